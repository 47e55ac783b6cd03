package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coffer/internal/pki"
	"coffer/internal/server"
)

// A node is a server of an installation of its own, and a client that reaches it by its
// names.
type node struct {
	t       *testing.T
	dir     string
	address string
	client  *http.Client
	made    server.Made
	log     *lines
	stop    func() error
}

// lines is a log that tests look into.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// metricName finds the names of metrics in a query.
var metricName = regexp.MustCompile(`\b(coffer|go|process)_[a-z0-9_]+`)

const testDomain = "a.example.com"

// startNode makes an installation with a vault "main", and serves it; more is added to
// its configuration, and prepare may put files beside it.
func startNode(t *testing.T, more string, prepare ...func(dir string)) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), log: &lines{}}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	var err error
	if n.made, err = server.Initialize(context.Background(), server.Init{Dir: n.dir, Domain: testDomain, Listen: "127.0.0.1:0", Vaults: []string{"main"}}, log); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(n.made.Config)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(more, "tls:") {
		text, _, _ = bytes.Cut(text, []byte("tls:\n"))
	}
	if err := os.WriteFile(n.made.Config, append(text, "\npublic_port: \"443\"\n"+more...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(n.dir)
	}
	config, err := server.ReadConfig(n.made.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- server.Serve(ctx, config, log, nil, func(a net.Addr) { ready <- a })
	}()
	select {
	case address := <-ready:
		n.address = address.String()
	case err := <-ended:
		t.Fatal(err)
	}
	n.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		n.client.CloseIdleConnections()
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	n.client = n.connect(nil)
	return n
}

// awaitKey asks for the keys of the tokens, an answer that waits for the first one to be
// made: until then the node is not ready, which is right and not what these tests are about.
func (n *node) awaitKey() {
	n.t.Helper()
	response, err := n.client.Get("https://login." + testDomain + "/common/discovery/keys")
	if err != nil {
		n.t.Fatal(err)
	}
	_ = response.Body.Close()
	n.client.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		n.t.Fatalf("the keys of the tokens: %s", response.Status)
	}
}

// connect returns a client whose connections all go to the node, each beginning with first.
func (n *node) connect(first []byte) *http.Client {
	pool := x509.NewCertPool()
	authority, err := os.ReadFile(n.made.AuthorityFile)
	if err != nil {
		n.t.Fatal(err)
	}
	pool.AppendCertsFromPEM(authority)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.address)
			if err == nil && first != nil {
				_, err = conn.Write(first)
			}
			return conn, err
		},
	}}
}

// token signs the administrator in.
func (n *node) token() string {
	n.t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {n.made.ClientID}, "client_secret": {n.made.ClientSecret},
		"scope": {"https://vault." + testDomain + "/.default"},
	}
	response, err := n.client.PostForm("https://login."+testDomain+"/"+n.made.TenantID+"/oauth2/v2.0/token", form)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		n.t.Fatalf("%s: %v", response.Status, err)
	}
	return answer.Token
}

// do sends a request to the vault.
func (n *node) do(client *http.Client, token, method, path, body string) (*http.Response, string, error) {
	r, err := http.NewRequest(method, "https://main.vault."+testDomain+path+"?api-version=7.6", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

// must is do that has to answer with a status.
func (n *node) must(token, method, path, body string, status int) (*http.Response, string) {
	n.t.Helper()
	response, text, err := n.do(n.client, token, method, path, body)
	if err != nil || response.StatusCode != status {
		n.t.Fatalf("%s %s: %v %s, %v", method, path, response, text, err)
	}
	return response, text
}

// await tries until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRateLimits(t *testing.T) {
	n := startNode(t, "rate_limits: {per_caller: 3}\n")
	token := n.token()
	statuses := map[int]int{}
	for range 9 { // three spans at most begin meanwhile
		response, text, err := n.do(n.client, token, "GET", "/secrets", "")
		if err != nil {
			t.Fatal(err)
		}
		statuses[response.StatusCode]++
		if response.StatusCode != http.StatusTooManyRequests {
			continue
		}
		after := response.Header.Get("Retry-After")
		if after == "" || len(after) > 2 || after == "0" || !strings.Contains(text, `{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"}}`) {
			t.Errorf("Retry-After %q: %s", after, text)
		}
	}
	if statuses[200] < 3 || statuses[429] == 0 || statuses[200]+statuses[429] != 9 {
		t.Errorf("%v", statuses)
	}
}

func TestHTTP2AndSuites(t *testing.T) {
	n := startNode(t, "")
	response, _ := n.must(n.token(), "GET", "/secrets", "", 200)
	if response.ProtoMajor != 2 {
		t.Errorf("%s", response.Proto)
	}
	for name, c := range map[string]*tls.Config{
		"TLS 1.1":            {MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		"no forward secrecy": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		"CBC":                {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	} {
		c.InsecureSkipVerify, c.ServerName = true, "main.vault."+testDomain //nolint:gosec // only whether it connects counts
		if conn, err := tls.Dial("tcp", n.address, c); err == nil {
			t.Errorf("%s: connected with %x", name, conn.ConnectionState().CipherSuite)
		}
	}
}

// leafFiles writes a certificate and its key.
func leafFiles(t *testing.T, dir, host string) {
	t.Helper()
	authority, err := pki.NewAuthority(time.Now(), time.Hour, []string{testDomain})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Leaf(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.pem": {Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A new certificate is shown after SIGHUP; one that cannot be used is not, and the old one
// stays.
func TestCertificateIsReadAgain(t *testing.T) {
	n := startNode(t, "tls: {certificate_file: tls.pem, key_file: tls.key}\n", func(dir string) { leafFiles(t, dir, "login."+testDomain) })
	shown := func() string {
		conn, err := tls.Dial("tcp", n.address, &tls.Config{InsecureSkipVerify: true, ServerName: "login." + testDomain}) //nolint:gosec // looked at below
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old := shown()
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(n.dir, "tls.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangup()
	await(t, "nothing is said of the wrong certificate", func() bool { return strings.Contains(n.log.String(), "the old one stays") })
	if shown() != old {
		t.Error("the old certificate is not shown any more")
	}
	leafFiles(t, n.dir, "login."+testDomain)
	hangup()
	await(t, "the new certificate is not shown", func() bool { return shown() != old })
}

const proxyHeader = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x30\x39\x01\xbb"

// The address that a balancer names is the one that is audited, and that the answers show.
func TestBehindABalancer(t *testing.T) {
	n := startNode(t, "balancers: [127.0.0.0/8]\n")
	plain := n.client
	n.client = n.connect([]byte(proxyHeader))
	response, _ := n.must(n.token(), "GET", "/secrets", "", 200)
	if info := response.Header.Get("x-ms-keyvault-network-info"); !strings.Contains(info, "addr=192.0.2.1;") {
		t.Errorf("%s", info)
	}
	if text, err := os.ReadFile(filepath.Join(n.dir, "audit.log")); err != nil || !strings.Contains(string(text), `"callerIpAddress":"192.0.2.1"`) {
		t.Errorf("not in the audit log: %v", err)
	}
	if _, _, err := n.do(plain, "", "GET", "/secrets", ""); err == nil {
		t.Error("a balancer without a header was served")
	}
}

func TestAdminListener(t *testing.T) {
	n := startNode(t, "admin: {listen: '127.0.0.1:0'}\n")
	token := n.token()
	n.must(token, "PUT", "/secrets/very-private-name", `{"value":"very-private-value"}`, 200)
	_, _, _ = n.do(n.client, token, "BREW", "/made-up-"+strings.Repeat("x", 50), "")
	_, after, _ := strings.Cut(n.log.String(), `"health and metrics" address=`)
	address, _, _ := strings.Cut(after, "\n")
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/debug/pprof/": 404} {
		if status, text := get(path); status != want {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	_, text := get("/metrics")
	for _, line := range []string{
		`coffer_requests_total{collection="secrets",door="vaults",method="PUT",status="200"} 1`,
		`coffer_requests_total{collection="",door="login",method="POST",status="200"} 1`,
		`collection="other",door="vaults",method="other"`, "coffer_audit_working 1", "coffer_connections 2", `coffer_request_duration_seconds_count{door="vaults"} 2`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
	for _, private := range []string{"very-private", "made-up", "main", n.made.ClientID} {
		if strings.Contains(text, private) {
			t.Errorf("the metrics name %s", private)
		}
	}
	checkMetricNames(t, text)
}

// Every metric that the dashboard and the alert rules name exists.
func checkMetricNames(t *testing.T, text string) {
	t.Helper()
	for _, file := range []string{"../../docs/monitoring/alerts.yaml", "../../docs/monitoring/dashboard.json"} {
		rules, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(rules), -1)
		if len(names) < 4 {
			t.Errorf("%s names only %v", file, names)
		}
		for _, name := range names {
			if !strings.Contains(text, "\n"+name) {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
}

// Beyond this machine nobody asks without the token, over TLS.
func TestAdminListenerNeedsItsToken(t *testing.T) {
	secret := strings.Repeat("s", 32)
	n := startNode(t, "admin: {listen: '0.0.0.0:0', token_file: token}\n", func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	n.awaitKey()
	_, after, _ := strings.Cut(n.log.String(), `"health and metrics" address=`)
	address, _, _ := strings.Cut(after, "\n")
	_, port, _ := net.SplitHostPort(address)
	n.address = "127.0.0.1:" + port
	for given, want := range map[string]int{"Bearer " + secret: 200, "Bearer " + secret[1:]: 401, "": 401, secret: 401, "bearer " + secret: 401} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			r, _ := http.NewRequest("GET", "https://login."+testDomain+path, nil)
			r.Header.Set("Authorization", given)
			response, err := n.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%q %s: %s", given, path, response.Status)
			}
		}
	}
	if response, err := http.Get("http://" + n.address + "/metrics"); err == nil && response.StatusCode == 200 {
		t.Error("metrics without TLS")
	}
	if strings.Contains(n.log.String(), secret) {
		t.Error("the token is in the log")
	}
}

// Whoever sends a header slowly, or a large one, is refused and holds nobody up.
func TestLargeHeader(t *testing.T) {
	n := startNode(t, "")
	token := n.token()
	response, _, err := n.do(n.client, token+strings.Repeat("x", 2<<20), "GET", "/secrets", "")
	if err == nil && response.StatusCode < 400 {
		t.Errorf("%s", response.Status)
	}
	n.must(token, "GET", "/secrets", "", 200)
}

// The directory of the audit log vanishes: nothing is answered and the node is not ready
// until it is there again.
func TestAuditDirectoryVanishes(t *testing.T) {
	n := startNode(t, "admin: {listen: '127.0.0.1:0'}\n", func(dir string) {
		config := filepath.Join(dir, "coffer.yaml")
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte("audit_file: audit.log"), []byte("audit_file: logs/audit.log"), 1)
		if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "audit.log"), filepath.Join(dir, "logs", "audit.log")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, text, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	token := n.token()
	n.must(token, "PUT", "/secrets/s", `{"value":"1"}`, 200)
	logs := filepath.Join(n.dir, "logs")
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	status := func() int {
		response, _, err := n.do(n.client, token, "GET", "/secrets/s", "")
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode
	}
	await(t, "served without an audit log", func() bool { return status() == 503 })
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	await(t, "not served again", func() bool { return status() == 200 })
	if _, text := n.must(token, "GET", "/secrets/s", "", 200); !strings.Contains(text, `"value":"1"`) {
		t.Errorf("%s", text)
	}
	if text, err := os.ReadFile(filepath.Join(logs, "audit.log")); err != nil || !strings.Contains(string(text), "AuditLogReopened") {
		t.Errorf("the chain does not go on: %v", err)
	}
}

// Many clients for a while: no 5xx, and nothing is left running.
func TestManyClients(t *testing.T) {
	n := startNode(t, "audit: {max_size_mb: 1, keep: 2}\n")
	token := n.token()
	n.must(token, "PUT", "/secrets/s", `{"value":"1"}`, 200)
	var all sync.WaitGroup
	failed := make(chan string, 64)
	for i := range 64 {
		all.Go(func() {
			client := n.connect(nil)
			defer client.CloseIdleConnections()
			for j := range 10 {
				method, path, body := "GET", "/secrets/s", ""
				if j == 5 {
					method, path, body = "PUT", fmt.Sprintf("/secrets/s%d", i), `{"value":"2"}`
				}
				if response, text, err := n.do(client, token, method, path, body); err != nil || response.StatusCode != 200 {
					failed <- fmt.Sprint(err, text)
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for text := range failed {
		t.Error(text)
	}
}
