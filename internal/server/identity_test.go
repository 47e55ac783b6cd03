package server_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/access"
	"coffer/internal/proxy"
	"coffer/internal/server"
	"coffer/internal/tenant"
)

// foreign is an outside issuer that counts what it is asked.
type foreign struct {
	*httptest.Server
	key   *rsa.PrivateKey
	asked atomic.Int32
}

func newForeign(t *testing.T) *foreign {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{key: key}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		if r.URL.Path != "/keys" {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, f.URL, f.URL+"/keys")
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig"}}})
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *foreign) token(t *testing.T, key any, alg jose.SignatureAlgorithm, subject string, expires time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(map[string]any{"iss": f.URL, "sub": subject, "aud": []string{"api://AzureADTokenExchange"}, "exp": expires.Unix()})
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := signed.CompactSerialize()
	return raw
}

// post sends a form to a core's login host.
func (w *world) post(path string, form url.Values) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	out := httptest.NewRecorder()
	w.Handler().ServeHTTP(out, r)
	return out.Code, out.Body.String()
}

func TestFederatedSignIn(t *testing.T) {
	t.Attr("conformance", "id-4.1-14")
	t.Attr("conformance", "id-4.1-15")
	t.Attr("conformance", "id-7.4-1")
	named, other := newForeign(t), newForeign(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: named.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t.TempDir(), rootKey(t))
	o.AssertionIssuers = []server.IssuerConfig{{URL: named.URL, CAFile: ca}}
	w := newWorld(t, o)
	defer w.Close()
	const pod = "system:serviceaccount:default:app"
	ctx := context.Background()
	developer := tenant.User{ID: "33333333-3333-4333-8333-333333333333", Name: "developer@coffer.local", DisplayName: "Developer"}
	if err := w.Tenant.EnsureUser(ctx, developer, true); err != nil {
		t.Fatal(err)
	}
	admin := access.Caller{TenantID: w.Tenant.TenantID(), ObjectID: developer.ID}
	for name, issuer := range map[string]string{"named": named.URL, "other": other.URL} {
		if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, tenant.FederatedCredential{Name: name, Issuer: issuer, Subject: pod, Audiences: []string{"api://AzureADTokenExchange"}}); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.Now().Add(time.Hour)
	for _, test := range []struct {
		name, raw, want string
		status          int
	}{
		{"good", named.token(t, named.key, jose.RS256, pod, soon), "access_token", 200},
		{"PS256", named.token(t, named.key, jose.PS256, pod, soon), "access_token", 200},
		{"another subject", named.token(t, named.key, jose.RS256, pod+"2", soon), "AADSTS700213", 401},
		{"expired", named.token(t, named.key, jose.RS256, pod, time.Now().Add(-2*time.Minute)), "AADSTS700024", 401},
		{"longer than a day", named.token(t, named.key, jose.RS256, pod, time.Now().Add(25*time.Hour)), "AADSTS700024", 401},
		{"another's signature", named.token(t, other.key, jose.RS256, pod, soon), "AADSTS700027", 401},
		{"HS256", named.token(t, named.key.N.Bytes(), jose.HS256, pod, soon), "AADSTS700027", 401},
		{"an issuer that the configuration does not name", other.token(t, other.key, jose.RS256, pod, soon), "AADSTS700211", 401},
	} {
		status, text := w.post("/"+w.Tenant.TenantID()+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {app.AppID}, "scope": {"https://vault.azure.net/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {test.raw},
		})
		if status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s: %d %s", test.name, status, text)
		}
	}
	if named.asked.Load() != 2 || other.asked.Load() != 0 {
		t.Errorf("the named issuer was asked %d times, the other %d", named.asked.Load(), other.asked.Load())
	}
}

// A developed is a run and what a program in it sees.
type developed struct {
	*server.Run
	client *http.Client
}

func develop(t *testing.T, change func(*server.Development)) developed {
	t.Helper()
	d := server.Development{Scratch: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	change(&d)
	run, err := server.Develop(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	out := developed{Run: run}
	through, err := url.Parse(out.env("HTTPS_PROXY"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(out.env("SSL_CERT_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	out.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(out.client.CloseIdleConnections)
	return out
}

func (d developed) env(name string) string { return proxy.Lookup(d.Environ(), name) }

func send(t *testing.T, c *http.Client, method, address, body string, header ...string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if len(text) > 0 && json.Unmarshal(text, &out) != nil {
		out = map[string]any{"text": string(text)}
	}
	return response.StatusCode, out
}

// What `az login` without arguments does, and then a command: the developer signs in and
// uses a vault that nobody made.
func TestDeveloperSignsInByDeviceCode(t *testing.T) {
	t.Attr("conformance", "id-4.4-5")
	for _, data := range []string{"", t.TempDir()} {
		d := develop(t, func(d *server.Development) { d.Data = data })
		const login, client = "https://login.microsoftonline.com/organizations/oauth2/v2.0/", "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
		status, started := send(t, d.client, "POST", login+"devicecode", url.Values{"client_id": {client}, "scope": {"https://vault.azure.net/.default offline_access"}}.Encode())
		if status != 200 {
			t.Fatalf("%d %v", status, started)
		}
		status, signedIn := send(t, d.client, "POST", login+"token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {client}, "device_code": {fmt.Sprint(started["device_code"])},
		}.Encode())
		if status != 200 {
			t.Fatalf("%d %v", status, signedIn)
		}
		bearer := []string{"Authorization", "Bearer " + fmt.Sprint(signedIn["access_token"])}
		if status, list := send(t, d.client, "GET", "https://demo.vault.azure.net/secrets?api-version=7.4", "", bearer...); status != 200 {
			t.Errorf("the developer's first request: %d %v", status, list)
		}
	}
}

func TestManagedIdentityForms(t *testing.T) {
	t.Attr("conformance", "id-7.2-1")
	t.Attr("conformance", "id-7.2-2")
	t.Attr("conformance", "id-7.3-1")
	direct := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(direct.CloseIdleConnections)
	const query = "?api-version=2019-08-01&resource=https://vault.azure.net"
	app := develop(t, func(d *server.Development) { d.Identity = server.IdentityAppService })
	endpoint, secret := app.env("IDENTITY_ENDPOINT"), app.env("IDENTITY_HEADER")
	if status, out := send(t, direct, "GET", endpoint+query, "", "X-IDENTITY-HEADER", secret); status != 200 || out["access_token"] == nil || out["client_id"] != app.env("AZURE_CLIENT_ID") || out["expires_on"] == nil {
		t.Errorf("app service: %d %v", status, out)
	}
	for _, header := range []string{"", secret[1:], "x"} {
		if status, out := send(t, direct, "GET", endpoint+query, "", "X-IDENTITY-HEADER", header); status != 401 || out["access_token"] != nil {
			t.Errorf("app service with %q: %d %v", header, status, out)
		}
	}
	if status, _ := send(t, direct, "POST", endpoint+query, "", "X-IDENTITY-HEADER", secret); status != 405 {
		t.Errorf("app service by POST: %d", status)
	}
	imds := "http://169.254.169.254/metadata/identity/oauth2/token" + query
	if status, out := send(t, app.client, "GET", imds, "", "Metadata", "true"); status != 400 || out["error_description"] != "Identity not found" {
		t.Errorf("IMDS under app service: %d %v", status, out)
	}

	shell := develop(t, func(d *server.Development) { d.Identity = server.IdentityCloudShell })
	msi, form := shell.env("MSI_ENDPOINT"), url.Values{"resource": {"https://management.core.windows.net/"}}.Encode()
	if status, out := send(t, direct, "POST", msi, form, "Metadata", "true"); status != 200 || out["resource"] != "https://management.core.windows.net/" || out["expires_in"] != "86399" {
		t.Errorf("cloud shell: %d %v", status, out)
	}
	if status, _ := send(t, direct, "POST", msi, form); status != 400 {
		t.Errorf("cloud shell without header: %d", status)
	}
	base, _, _ := strings.Cut(msi, "/msi/")
	for _, path := range []string{"/msi/token", "/msi//token", "/msi/x/token", "/"} {
		if status, out := send(t, direct, "POST", base+path, form, "Metadata", "true"); status != 401 || out["access_token"] != nil {
			t.Errorf("cloud shell at %s: %d %v", path, status, out)
		}
	}
	if shell.env("IDENTITY_ENDPOINT") != "" || app.env("MSI_ENDPOINT") != "" {
		t.Error("a program is told of more than one form")
	}

	none := develop(t, func(d *server.Development) {})
	address := "http://" + strings.Split(none.env("HTTPS_PROXY"), "@")[1]
	if status, _ := send(t, direct, "GET", address+"/msi/token"+query, "", "X-IDENTITY-HEADER", ""); status != 400 {
		t.Errorf("without --identity: %d", status)
	}
	virtual := develop(t, func(d *server.Development) { d.Identity = server.IdentityIMDS })
	if status, out := send(t, virtual.client, "GET", imds, "", "Metadata", "true"); status != 200 {
		t.Errorf("IMDS: %d %v", status, out)
	}
	if _, err := server.Develop(context.Background(), server.Development{Scratch: t.TempDir(), Log: slog.New(slog.DiscardHandler), Identity: "arc"}); err == nil {
		t.Error("an unknown form is accepted")
	}
}
