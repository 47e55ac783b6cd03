package compat_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leading is a proxy that leads every name to one address, as the resolver of an own domain does.
func leading(t *testing.T, address string) string {
	t.Helper()
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		there, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// own serves the domain coffer.test, which trusts an issuer, and returns the environment
// of a program that is to use it: what coffer init prints, the authority and the way there.
func own(t *testing.T, issuer, issuerCA string) (env []string, vaultURL string) {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	var made struct {
		AuthorityHost string            `json:"authority_host"`
		VaultURLs     []string          `json:"vault_urls"`
		Tenant        string            `json:"tenant_id"`
		Environment   map[string]string `json:"environment"`
	}
	out := command(t, ".", "", 0, nil, binary, "init", "--dir", dir, "--domain", "coffer.test", "--listen", address, "--vault", "main", "--output", "json")
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	config, ca := filepath.Join(dir, "coffer.yaml"), filepath.Join(dir, "ca.pem")
	file, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(file, "assertion_issuers:\n  - url: %s\n    ca_file: %s\n", issuer, issuerCA)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, config)
	proxy := leading(t, address)
	way, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	waitHealthy(t, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, Proxy: http.ProxyURL(way),
	}}, made.AuthorityHost)
	env = append(env, "TENANT="+made.Tenant)
	for name, value := range made.Environment {
		env = append(env, name+"="+value)
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		env = append(env, name+"="+proxy)
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		env = append(env, name+"="+ca)
	}
	return append(env, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"), made.VaultURLs[0]
}

func start(t *testing.T, config string) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--config", config)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%v\n%s", err, log.String())
		}
	})
}

// On an own domain, the ways that need no machinery of the cloud around the program work
// in the same manner. There is no instance metadata and no App Service there.
func TestDefaultAzureCredentialOnOwnDomain(t *testing.T) {
	need(t, "sh", "openssl")
	programs := credentialPrograms(t)
	issuer, issuerCA, tokenFile := workloads(t)
	env, vault := own(t, issuer, issuerCA)
	for _, w := range ways(issuer, "") {
		switch w.name {
		case "instance metadata", "App Service", "command-line tool":
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			env := append(append(w.environ(issuer, tokenFile), env...), "VAULT_URL="+vault)
			w.check(t, programs, command(t, t.TempDir(), "", 0, env, "sh", "-c", w.shell(programs)))
		})
	}
}
