package compat_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

// serveLife signs in at the served installation as its administrator and makes a
// certificate, by the official Go client configured for the domain.
func serveLife(t *testing.T, dir, address, made string) {
	t.Helper()
	var m struct {
		AuthorityHost string            `json:"authority_host"`
		VaultURLs     []string          `json:"vault_urls"`
		Environment   map[string]string `json:"environment"`
	}
	if err := json.Unmarshal([]byte(made), &m); err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	waitHealthy(t, client, m.AuthorityHost)
	options := azcore.ClientOptions{Transport: client, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: m.AuthorityHost}}
	for name, value := range m.Environment { // nothing but what init prints tells where to sign in
		t.Setenv(name, value)
	}
	credential, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: client}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := certificates.NewClient(m.VaultURLs[0], credential, &azcertificates.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	policy := certificates.DefaultPolicy()
	poller, err := c.BeginCreateCertificate(context.Background(), "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}, nil)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := poller.PollUntilDone(context.Background(), nil)
	if err != nil || len(issued.CER) == 0 {
		t.Fatalf("%v", err)
	}
}

func waitHealthy(t *testing.T, client *http.Client, host string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequest("GET", host+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "health.test"
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusMisdirectedRequest {
			return
		}
	}
	t.Fatal("the server did not become healthy")
}
