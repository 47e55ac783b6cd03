package server_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/access"
	"coffer/internal/server"
	"coffer/internal/tenant"
)

const vaultAudience = "https://vault.azure.net"

// access signs an access token; over replaces claims, nil takes one away.
func (f *foreign) access(t *testing.T, key any, alg jose.SignatureAlgorithm, over map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": f.URL, "sub": "workload", "aud": vaultAudience, "tid": "outside-tenant", "exp": time.Now().Add(time.Hour).Unix(),
		"oid": "22222222-2222-4222-8222-222222222222", "appid": "11111111-1111-4111-8111-111111111111", // of somebody here: they count for nothing
	}
	maps.Copy(claims, over)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(claims)
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := signed.CompactSerialize()
	return raw
}

// list asks the vault demo for its secrets.
func (w *world) list(raw string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://demo.vault.azure.net/secrets?api-version=7.4", nil)
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	out := httptest.NewRecorder()
	w.Handler().ServeHTTP(out, r)
	return out
}

// trusting is a world that takes access tokens of an issuer, and a caller who administers.
func trusting(t *testing.T, bearer, assertion *foreign) (*world, access.Caller) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	var text []byte
	for _, f := range []*foreign{bearer, assertion} {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})...)
	}
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t.TempDir(), rootKey(t))
	o.AssertionIssuers = []server.IssuerConfig{{URL: assertion.URL, CAFile: ca}}
	o.BearerIssuers = []server.BearerConfig{{
		IssuerConfig: server.IssuerConfig{URL: bearer.URL, CAFile: ca}, Tenant: "outside-tenant", Authority: "https://login.example.com/outside-tenant",
	}}
	w := newWorld(t, o)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	developer := tenant.User{ID: "33333333-3333-4333-8333-333333333333", Name: "developer@coffer.local", DisplayName: "Developer"}
	if err := w.Tenant.EnsureUser(context.Background(), developer, true); err != nil {
		t.Fatal(err)
	}
	return w, access.Caller{TenantID: w.Tenant.TenantID(), ObjectID: developer.ID}
}

// An outside issuer's access token is taken for the application whose credential names the
// issuer, the subject and this door's audience, and for nobody else, whatever it claims.
func TestOutsideAccessTokens(t *testing.T) {
	bearer, assertion := newForeign(t), newForeign(t)
	w, admin := trusting(t, bearer, assertion)
	ctx, ref := context.Background(), tenant.Ref{AppID: app.AppID}
	good := bearer.access(t, bearer.key, jose.RS256, nil)
	if a := w.list(good); a.Code != http.StatusUnauthorized {
		t.Fatalf("without a credential: %d %s", a.Code, a.Body)
	}
	credential := tenant.FederatedCredential{Name: "outside", Issuer: bearer.URL, Subject: "workload", Audiences: []string{vaultAudience}}
	made, err := w.Tenant.AddFederatedCredential(ctx, admin, ref, credential)
	if err != nil {
		t.Fatal(err)
	}
	second := credential
	second.Name, second.Issuer = "assertion", assertion.URL
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, ref, second); err != nil {
		t.Fatal(err)
	}
	for range 2 { // found, and remembered
		if a := w.list(good); a.Code != http.StatusOK {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
	}
	for name, raw := range map[string]string{
		"another subject":              bearer.access(t, bearer.key, jose.RS256, map[string]any{"sub": "workload2"}),
		"no subject":                   bearer.access(t, bearer.key, jose.RS256, map[string]any{"sub": nil}),
		"the audience of sign-ins":     bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": "api://AzureADTokenExchange"}),
		"another door's audience":      bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": "https://management.azure.com"}),
		"an audience of no credential": bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": vaultAudience + "/"}),
		"no audience":                  bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": nil}),
		"another tenant":               bearer.access(t, bearer.key, jose.RS256, map[string]any{"tid": "other-tenant"}),
		"no tenant":                    bearer.access(t, bearer.key, jose.RS256, map[string]any{"tid": nil}),
		"expired":                      bearer.access(t, bearer.key, jose.RS256, map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()}),
		"no end":                       bearer.access(t, bearer.key, jose.RS256, map[string]any{"exp": nil}),
		"another's signature":          bearer.access(t, assertion.key, jose.RS256, nil),
		"PS256":                        bearer.access(t, bearer.key, jose.PS256, nil),
		"RS512":                        bearer.access(t, bearer.key, jose.RS512, nil),
		"HS256":                        bearer.access(t, bearer.key.N.Bytes(), jose.HS256, nil),
		"our issuer, its key":          bearer.access(t, bearer.key, jose.RS256, map[string]any{"iss": w.Tenant.Issuer()}),
		"an issuer for sign-ins alone": assertion.access(t, assertion.key, jose.RS256, nil),
		"with a slash":                 bearer.access(t, bearer.key, jose.RS256, map[string]any{"iss": bearer.URL + "/"}),
	} {
		if a := w.list(raw); a.Code != http.StatusUnauthorized || strings.Contains(a.Body.String(), `"value"`) {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	if challenge := w.list("").Header().Get("WWW-Authenticate"); !strings.Contains(challenge, `authorization="https://login.example.com/outside-tenant"`) {
		t.Errorf("the challenge is %s", challenge)
	}
	if err := w.Tenant.SetEnabled(ctx, app, false); err != nil {
		t.Fatal(err)
	}
	if a := w.list(good); a.Code != http.StatusUnauthorized {
		t.Errorf("disabled: %d %s", a.Code, a.Body)
	}
	if err := w.Tenant.SetEnabled(ctx, app, true); err != nil {
		t.Fatal(err)
	}
	if err := w.Tenant.RemoveFederatedCredential(ctx, admin, ref, made.ID); err != nil {
		t.Fatal(err)
	}
	if a := w.list(good); a.Code != http.StatusUnauthorized {
		t.Errorf("removed: %d %s", a.Code, a.Body)
	}
}

// Who owns an application cannot let an outside issuer's tokens act as it; an administrator
// cannot let the same token act as two.
func TestOutsideCredentialsAreTheAdministrators(t *testing.T) {
	bearer, assertion := newForeign(t), newForeign(t)
	w, admin := trusting(t, bearer, assertion)
	ctx := context.Background()
	owner := access.Caller{TenantID: w.Tenant.TenantID(), ObjectID: app.ObjectID, AppID: app.AppID}
	owned, err := w.Tenant.RegisterApplication(ctx, owner, tenant.ApplicationEdit{DisplayName: ptr("owned")})
	if err != nil {
		t.Fatal(err)
	}
	credential := tenant.FederatedCredential{Name: "outside", Issuer: bearer.URL, Subject: "workload", Audiences: []string{vaultAudience}}
	var refused *tenant.DirectoryError
	if _, err := w.Tenant.AddFederatedCredential(ctx, owner, tenant.Ref{AppID: owned.AppID}, credential); !errors.As(err, &refused) || refused.Code != tenant.NotOwnedAnyMore {
		t.Errorf("an owner made it: %v", err)
	}
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, credential); err != nil {
		t.Fatal(err)
	}
	raw := bearer.access(t, bearer.key, jose.RS256, nil)
	if a := w.list(raw); a.Code != http.StatusOK {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: owned.AppID}, credential); !errors.As(err, &refused) || refused.Code != tenant.ObjectConflict {
		t.Errorf("for two applications: %v", err)
	}
	if a := w.list(raw); a.Code != http.StatusOK { // and the first is left as it was
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// What an owner made before an issuer became one of access tokens does not count for it.
func TestEarlierCredentialsDoNotCount(t *testing.T) {
	bearer := newForeign(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bearer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t.TempDir(), rootKey(t))
	w, ctx := newWorld(t, o), context.Background()
	developer := tenant.User{ID: "33333333-3333-4333-8333-333333333333", Name: "developer@coffer.local", DisplayName: "Developer"}
	if err := w.Tenant.EnsureUser(ctx, developer, true); err != nil {
		t.Fatal(err)
	}
	admin := access.Caller{TenantID: w.Tenant.TenantID(), ObjectID: developer.ID}
	credential := tenant.FederatedCredential{Name: "outside", Issuer: bearer.URL, Subject: "workload", Audiences: []string{vaultAudience}}
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, credential); err != nil {
		t.Fatal(err)
	}
	own := w.Tenant.Issuer()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o.BearerIssuers = []server.BearerConfig{{IssuerConfig: server.IssuerConfig{URL: bearer.URL, CAFile: ca}}}
	again := newWorld(t, o)
	if a := again.list(bearer.access(t, bearer.key, jose.RS256, nil)); a.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	o.BearerIssuers = []server.BearerConfig{{IssuerConfig: server.IssuerConfig{URL: own}}}
	if core, err := server.Open(ctx, o); err == nil || !strings.Contains(err.Error(), "this installation's own") {
		t.Errorf("our own issuer as an outside one: %v", err)
		_ = core.Close()
	}
}

// A token that is meant for a service elsewhere is not taken, whatever a credential names.
func TestOutsideAudiencesAreOurs(t *testing.T) {
	bearer, assertion := newForeign(t), newForeign(t)
	w, admin := trusting(t, bearer, assertion)
	credential := tenant.FederatedCredential{Name: "outside", Issuer: bearer.URL, Subject: "workload", Audiences: []string{graphID, "https://graph.microsoft.com"}}
	if _, err := w.Tenant.AddFederatedCredential(context.Background(), admin, tenant.Ref{AppID: app.AppID}, credential); err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]int{graphID: http.StatusUnauthorized, "https://graph.microsoft.com": http.StatusOK} {
		r := httptest.NewRequest(http.MethodGet, "https://graph.microsoft.com/v1.0/organization", nil)
		r.Header.Set("Authorization", "Bearer "+bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": audience}))
		out := httptest.NewRecorder()
		if w.Handler().ServeHTTP(out, r); out.Code != want {
			t.Errorf("%s: %d %s", audience, out.Code, out.Body)
		}
	}
}

// graphID is the directory's well-known id, which is also the service's.
const graphID = "00000003-0000-0000-c000-000000000000"

func TestBearerIssuersInTheConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"bearer_issuers:\n  - url: https://a.example\n    authority: http://login.example/t\n":                                                                                                         "is no https address with a tenant",
		"bearer_issuers:\n  - url: https://a.example\n    authority: https://login.example\n":                                                                                                          "is no https address with a tenant",
		"bearer_issuers:\n  - url: https://a.example\n    authority: https://login.example/t\n  - url: https://b.example\n    authority: https://login.example/u\n":                                    "only one issuer",
		"bearer_issuers:\n  - url: https://a.example\n    audience: x\n":                                                                                                                               "audience",
		"bearer_issuers:\n  - url: https://a.example\n    jwks_url: https://b.example/keys\n    ca_file: ca.pem\n    tenant: t\n    authority: https://login.example/t\ntls:\n  certificate_file: x\n": "tls needs either",
	} {
		path := filepath.Join(t.TempDir(), "coffer.yaml")
		all := "domain: coffer.test\nlisten: 127.0.0.1:8443\nstore: s\nroot_key_file: r\naudit_file: a\n" + text
		if err := os.WriteFile(path, []byte(all), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ReadConfig(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
