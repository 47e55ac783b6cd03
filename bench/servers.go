package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/tenant"
)

// app is the principal of all requests.
var app = tenant.Application{AppID: "11111111-1111-4111-8111-111111111111", ObjectID: "22222222-2222-4222-8222-222222222222"}

const (
	secret = "bench"
	vault  = "https://demo.vault.azure.net"
)

// A served handler listens on the loopback interface with TLS and HTTP/1.1.
type served struct {
	target
	front *http.Server
	core  *server.Core
	dir   string
	token string
}

// listen puts a handler behind TLS; the client reaches it under every name.
func (s *served) listen(handler http.Handler) error {
	authority, err := pki.NewAuthority(time.Now(), time.Hour, nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.front = &http.Server{Handler: handler, TLSConfig: &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return authority.Leaf(h.ServerName, time.Now())
	}}, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go func() { _ = s.front.ServeTLS(listener, "", "") }()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: writers, MaxConnsPerHost: writers,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
		},
	}}
	return nil
}

func (s *served) close() {
	s.client.CloseIdleConnections()
	_ = s.front.Close()
	if s.core != nil {
		_ = s.core.Close()
		_ = os.RemoveAll(s.dir)
	}
}

// newVault serves a vault as in production: durable store, audit log in a file.
func newVault() (*served, error) {
	dir, err := os.MkdirTemp("", "coffer-bench-")
	if err != nil {
		return nil, err
	}
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &served{dir: dir}
	if s.core, err = openCore(dir, root); err != nil {
		return nil, err
	}
	s.core.Start()
	if err := s.listen(s.core.Handler()); err != nil {
		return nil, err
	}
	if s.token, err = s.signIn(); err != nil {
		return nil, err
	}
	s.request = func() (*http.Request, error) { return s.newRequest("GET", "/certificates/web", "") }
	return s, s.create("web")
}

// caller is the principal of all requests, for calls that go round HTTP.
func (s *served) caller() access.Caller {
	return access.Caller{TenantID: s.core.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}
}

func openCore(dir string, root seal.RootKey) (*server.Core, error) {
	sink, err := audit.OpenFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		return nil, err
	}
	core, err := server.Open(context.Background(), server.Options{
		StorePath: filepath.Join(dir, "store"), Create: true, Root: root, Sink: sink, Log: slog.New(slog.DiscardHandler), Names: server.PublicNames(), FirstTouch: true, OwnProcess: true,
	})
	if err != nil {
		return nil, err
	}
	core.Own(app)
	return core, core.Tenant.EnsureApplication(context.Background(), app, secret)
}

func (s *served) signIn() (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {app.AppID}, "client_secret": {secret}, "scope": {"https://vault.azure.net/.default"}}
	response, err := s.client.PostForm("https://login.microsoftonline.com/"+s.core.Tenant.TenantID()+"/oauth2/v2.0/token", form)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	err = json.NewDecoder(response.Body).Decode(&body)
	return body.Token, err
}

func (s *served) newRequest(method, path, body string) (*http.Request, error) {
	r, err := http.NewRequest(method, vault+path+"?api-version=7.6", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// do sends a request that has to succeed.
func (s *served) do(method, path, body string) (http.Header, []byte, error) {
	r, err := s.newRequest(method, path, body)
	if err != nil {
		return nil, nil, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, response.Status, text)
	}
	return response.Header, text, err
}

const selfRSA = `{"policy":{"issuer":{"name":"Self"},"x509_props":{"subject":"CN=DefaultPolicy"}}}`

func (s *served) create(name string) error {
	if _, _, err := s.do("POST", "/certificates/"+name+"/create", selfRSA); err != nil {
		return err
	}
	for {
		_, text, err := s.do("GET", "/certificates/"+name+"/pending", "")
		if err != nil || strings.Contains(string(text), `"completed"`) {
			return err
		}
	}
}

// sample is the answer that the bare server repeats.
func (s *served) sample() (http.Header, []byte, error) { return s.do("GET", "/certificates/web", "") }

// newBare serves the same bytes with the same headers, and nothing else.
func newBare(header http.Header, body []byte, token string) (*served, error) {
	s := &served{token: token} // the requests are the same, too
	header.Del("Date")
	s.request = func() (*http.Request, error) { return s.newRequest("GET", "/certificates/web", "") }
	return s, s.listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for name, values := range header {
			w.Header()[name] = values
		}
		_, _ = w.Write(body)
	}))
}
