package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/pki"
	"coffer/internal/proxy"
)

// A front is a running proxy whose every outward connection is counted.
type front struct {
	t         *testing.T
	address   string
	authority *pki.Authority
	dials     atomic.Int32
}

const secret = "s3cret"

func newFront(t *testing.T, change func(*proxy.Config)) *front {
	t.Helper()
	f := &front{t: t}
	var err error
	if f.authority, err = pki.NewAuthority(time.Now(), time.Hour, proxy.Domains()); err != nil {
		t.Fatal(err)
	}
	config := proxy.Config{
		Credential: secret, Authority: f.authority, Log: slog.New(slog.DiscardHandler),
		Serves: func(host string) bool { return strings.HasSuffix(host, ".vault.azure.net") },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "door %s %s %s", r.Host, r.URL, r.Proto)
		}),
		Metadata: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "metadata %s %q", r.URL, r.Header.Get("Proxy-Authorization"))
		}),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			f.dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	if change != nil {
		change(&config)
	}
	p := proxy.New(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-ended); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	if u, err := url.Parse(p.URL(listener.Addr())); err != nil || u.User.Username() != "run" || u.Host != f.address {
		t.Errorf("%v, %v", u, err)
	}
	return f
}

// client uses the proxy as a program would.
func (f *front) client(user *url.Userinfo, h2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(f.authority.Certificate())
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: f.address, User: user}),
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

var admitted = url.UserPassword("run", secret)

func get(t *testing.T, c *http.Client, address string) (int, string) {
	t.Helper()
	response, err := c.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// raw sends a request line by line and returns the answer.
func (f *front) raw(request string) *http.Response {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, request)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return response
}

func credential(user, password string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
}

// Another user of the machine gets nothing.
func TestOnlyTheRunIsAdmitted(t *testing.T) {
	t.Attr("conformance", "id-2.2-6")
	f := newFront(t, nil)
	for _, header := range []string{"", credential("run", "wrong"), credential("root", secret), credential("run", ""), "Proxy-Authorization: Bearer " + secret + "\r\n", "Proxy-Authorization: Basic !!\r\n"} {
		for _, line := range []string{"CONNECT demo.vault.azure.net:443", "CONNECT example.test:443", "GET http://169.254.169.254/metadata", "GET http://example.test/"} {
			response := f.raw(line + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n")
			if response.StatusCode != http.StatusProxyAuthRequired || !strings.HasPrefix(response.Header.Get("Proxy-Authenticate"), "Basic ") {
				t.Errorf("%s with %q: %s", line, header, response.Status)
			}
		}
	}
	if response := f.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a browser gets %s", response.Status)
	}
	if f.dials.Load() != 0 {
		t.Error("somebody was connected")
	}
}

func TestServedHostsAreTakenOver(t *testing.T) {
	t.Attr("conformance", "id-2.2-1")
	f := newFront(t, nil)
	for proto, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		status, text := get(t, f.client(admitted, h2), "https://demo.vault.azure.net/certificates?x=1")
		if status != 200 || text != "door demo.vault.azure.net /certificates?x=1 "+proto {
			t.Errorf("%d %s", status, text)
		}
	}
	if f.dials.Load() != 0 {
		t.Error("something left the machine")
	}
}

// What belongs to a cloud and is not served never leaves the machine.
func TestReservedHostsAreRefused(t *testing.T) {
	t.Attr("conformance", "id-2.2-7")
	f := newFront(t, nil)
	for _, host := range []string{
		"management.azure.com:443", "login.microsoftonline.us:443", "a.managedhsm.azure.net:443", "a.b.vault.azure.net:443", "VAULT.azure.net.:443",
		"demo.vault.azure.cn:443", "demo.vault.azure.net:8443", "westus2.login.microsoft.com:443", "169.254.169.254:80", "[::ffff:169.254.169.254]:80",
	} {
		if response := f.raw("CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n" + credential("run", secret) + "\r\n"); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", host, response.Status)
		}
	}
	if status, text := get(t, f.client(admitted, false), "http://demo.vault.azure.net/"); status != http.StatusForbidden {
		t.Errorf("a vault by plain HTTP: %d %s", status, text)
	}
	if f.dials.Load() != 0 {
		t.Error("something left the machine")
	}
}

func TestHostsHaveToAgree(t *testing.T) {
	t.Attr("conformance", "id-2.4-3")
	f := newFront(t, nil)
	for name, test := range map[string]struct{ sni, host string }{
		"host": {"demo.vault.azure.net", "other.vault.azure.net"}, "sni": {"other.vault.azure.net", "demo.vault.azure.net"}, "both": {"other.vault.azure.net", "other.vault.azure.net"},
	} {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT demo.vault.azure.net:443 HTTP/1.1\r\nHost: demo.vault.azure.net:443\r\n%s\r\n", credential("run", secret))
		if response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"}); err != nil || response.StatusCode != 200 {
			t.Fatalf("%v", err)
		}
		secure := tls.Client(conn, &tls.Config{ServerName: test.sni, InsecureSkipVerify: true})
		fmt.Fprintf(secure, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", test.host)
		response, err := http.ReadResponse(bufio.NewReader(secure), nil)
		if err != nil || response.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: %v, %v", name, response, err)
		}
		_ = secure.Close()
	}
}

func TestMetadata(t *testing.T) {
	t.Attr("conformance", "id-2.2-3")
	f := newFront(t, nil)
	if status, text := get(t, f.client(admitted, false), "http://169.254.169.254/metadata/identity/oauth2/token?resource=x"); status != 200 || text != `metadata /metadata/identity/oauth2/token?resource=x ""` {
		t.Errorf("%d %s", status, text)
	}
	if f.dials.Load() != 0 {
		t.Error("the metadata service was looked for outside")
	}
}

// Other hosts are tunnelled byte for byte, and plain requests are forwarded without the
// credential.
func TestOthersPass(t *testing.T) {
	t.Attr("conformance", "id-2.2-3")
	t.Attr("conformance", "id-2.2-4")
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q", r.Host, text, r.Header.Get("Proxy-Authorization"))
	})
	secure, plain := httptest.NewTLSServer(inner), httptest.NewServer(inner)
	defer secure.Close()
	defer plain.Close()
	direct := newFront(t, nil)
	// behind is a proxy whose way out is another one that wants a credential
	behind := newFront(t, func(c *proxy.Config) {
		c.Upstream = func(*url.URL) (*url.URL, error) {
			return &url.URL{Scheme: "http", Host: direct.address, User: admitted}, nil
		}
	})
	for name, f := range map[string]*front{"direct": direct, "behind another proxy": behind} {
		client := f.client(admitted, false)
		roots := x509.NewCertPool()
		roots.AddCert(secure.Certificate())
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
		for _, server := range []*httptest.Server{secure, plain} {
			response, err := client.Post(server.URL+"/x", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if want := strings.TrimPrefix(strings.TrimPrefix(server.URL, "https://"), "http://") + ` body ""`; string(text) != want {
				t.Errorf("%s: %s, want %s", name, text, want)
			}
		}
	}
}

func TestUnreachableIs502(t *testing.T) {
	t.Attr("conformance", "id-2.2-5")
	f := newFront(t, func(c *proxy.Config) {
		c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			if limit, ok := ctx.Deadline(); !ok || time.Until(limit) > 3*time.Second {
				t.Error("the connection has no limit of 3 seconds")
			}
			return nil, errors.New("no route")
		}
	})
	if response := f.raw("CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n" + credential("run", secret) + "\r\n"); response.StatusCode != http.StatusBadGateway {
		t.Error(response.Status)
	}
	if status, _ := get(t, f.client(admitted, false), "http://example.test/"); status != http.StatusBadGateway {
		t.Error(status)
	}
}

// The run's authority vouches for the cloud's names and for nothing else.
func TestAuthorityIsConstrained(t *testing.T) {
	t.Attr("conformance", "id-2.2-2")
	f := newFront(t, nil)
	roots := x509.NewCertPool()
	roots.AddCert(f.authority.Certificate())
	for host, good := range map[string]bool{"demo.vault.azure.net": true, "login.microsoftonline.com": true, "example.com": false, "vault.azure.net.example.com": false} {
		leaf, err := f.authority.Leaf(host, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
		if again, _ := f.authority.Leaf(host, time.Now()); again != leaf {
			t.Errorf("%s was certified twice", host)
		}
	}
}
