package faults_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"coffer/certificates"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "coffer-faults-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "coffer")
	build := exec.Command("go", "-C", "../../..", "build", "-trimpath", "-o", binary, "./cmd/coffer")
	build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// An installation is what coffer init made, and the node that serves it.
type installation struct {
	dir, address string
	made         struct {
		AuthorityHost string            `json:"authority_host"`
		VaultURLs     []string          `json:"vault_urls"`
		Environment   map[string]string `json:"environment"`
	}
	roots *x509.CertPool
	dial  func() *http.Client // nil: to the node

	mu   sync.Mutex
	node *exec.Cmd
	log  *bytes.Buffer
}

// install makes an installation in dir, with a vault.
func install(t *testing.T, dir string) *installation { return installIn(t, dir, "") }

// installIn makes it in the database at a URL; empty: in a file.
func installIn(t *testing.T, dir, database string) *installation {
	t.Helper()
	i := &installation{dir: dir, address: freeAddress(t), roots: x509.NewCertPool()}
	args := []string{"init", "--dir", dir, "--domain", "coffer.test", "--listen", i.address, "--vault", "main", "--output", "json"}
	if database != "" {
		args = append(args, "--postgres", database)
	}
	out, err := exec.Command(binary, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &i.made); err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	i.roots.AppendCertsFromPEM(authority)
	for name, value := range i.made.Environment {
		t.Setenv(name, value)
	}
	t.Cleanup(func() { i.kill(t) })
	return i
}

// start starts the node, by the words of prefix before its command line, and returns when
// it is healthy.
func (i *installation) start(t *testing.T, prefix ...string) {
	t.Helper()
	args := append(prefix, binary, "serve", "--config", filepath.Join(i.dir, "coffer.yaml"))
	cmd := exec.Command(args[0], args[1:]...)
	log := &bytes.Buffer{}
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	i.node, i.log = cmd, log
	i.mu.Unlock()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, // an address has no certificate
	}}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if healthy(client, i.address) {
			return
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the node did not become healthy:\n%s", log.String())
		}
	}
}

func healthy(client *http.Client, address string) bool {
	response, err := client.Get("https://" + address + "/healthz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// kill ends the node at once, as a power switch does to a process.
func (i *installation) kill(t *testing.T) {
	t.Helper()
	i.end(t, syscall.SIGKILL)
}

// stop asks the node to stop, which is to succeed.
func (i *installation) stop(t *testing.T) {
	t.Helper()
	if err := i.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("the node stopped with %v:\n%s", err, i.log.String())
	}
}

func (i *installation) end(t *testing.T, signal syscall.Signal) error {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.node == nil {
		return nil
	}
	_ = i.node.Process.Signal(signal)
	err := i.node.Wait()
	i.node = nil
	return err
}

// transport leads every host to the node.
func (i *installation) transport() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: i.roots}, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, i.address)
		},
	}}
}

// A clients are the official ones. They retry nothing, so that each answer is seen.
type clients struct {
	secrets      *azsecrets.Client
	certificates *certificates.Client
	http         *http.Client
	patience     time.Duration // with work that a node had begun which was killed
}

func (i *installation) clients(t *testing.T) clients {
	t.Helper()
	if i.dial == nil {
		i.dial = i.transport
	}
	c := clients{http: i.dial(), patience: 20 * time.Second}
	options := azcore.ClientOptions{
		Transport: c.http, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: i.made.AuthorityHost}, Retry: policy.RetryOptions{MaxRetries: -1},
	}
	credential, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	if c.secrets, err = azsecrets.NewClient(i.made.VaultURLs[0], credential, &azsecrets.ClientOptions{ClientOptions: options}); err != nil {
		t.Fatal(err)
	}
	if c.certificates, err = certificates.NewClient(i.made.VaultURLs[0], credential, &azcertificates.ClientOptions{ClientOptions: options}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// named is the name of an object of one round of load.
func named(kind string, round, n int) string { return fmt.Sprintf("%s-%d-%d", kind, round, n) }
