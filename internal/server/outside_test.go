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
func trusting(t *testing.T, bearer, assertion *foreign, over ...func(*server.BearerConfig)) (*world, access.Caller) {
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
	for _, change := range over {
		change(&o.BearerIssuers[0])
	}
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

// An outside issuer's access token is taken for the user with the identity, of the claim that
// the configuration names; what it says of itself and of its groups counts for nothing.
func TestOutsideUsers(t *testing.T) {
	for _, claim := range []string{"", "sub", "oid"} {
		t.Run("by "+claim, func(t *testing.T) {
			bearer, assertion := newForeign(t), newForeign(t)
			w, admin := trusting(t, bearer, assertion, func(c *server.BearerConfig) { c.UserClaim = claim })
			ctx, id, by := context.Background(), "jane outside", claim
			if by == "" {
				by = "sub"
			}
			identities := &[]tenant.Identity{{Issuer: bearer.URL, ID: id}}
			jane, err := w.Tenant.CreateUser(ctx, admin, tenant.UserEdit{Name: ptr("jane@coffer.local"), DisplayName: ptr("Jane"), Identities: identities})
			if err != nil {
				t.Fatal(err)
			}
			me := func(over map[string]any) (int, string) {
				t.Helper()
				claims := map[string]any{"aud": "https://graph.microsoft.com", by: id}
				maps.Copy(claims, over)
				status, _, text := w.ask("GET", "https://graph.microsoft.com/v1.0/me", bearer.access(t, bearer.key, jose.RS256, claims), "")
				return status, text
			}
			for range 2 { // found, and remembered
				if status, text := me(nil); status != 200 || field(text, "id") != jane.ID || !strings.Contains(text, `{"signInType":"federated","issuer":"`+bearer.URL+`","issuerAssignedId":"`+id+`"}`) {
					t.Fatalf("%d %s", status, text)
				}
			}
			other := map[string]string{"sub": "oid", "oid": "sub"}[by]
			for name, over := range map[string]map[string]any{
				"another": {by: "joe outside"}, "nobody": {by: nil, other: nil}, "by the other claim": {by: "x", other: id}, "a number": {by: 1}, "nothing": {by: ""}, "another case": {by: strings.ToUpper(id)},
				"another tenant": {"tid": "other"}, "another audience": {"aud": "https://elsewhere.example"}, "the well-known audience": {"aud": graphID}, "expired": {"exp": time.Now().Add(-time.Hour).Unix()}, "another issuer": {"iss": assertion.URL},
			} {
				if status, text := me(over); status != 401 {
					t.Errorf("%s: %d %s", name, status, text)
				}
			}
			// Groups are those of this directory.
			group, err := w.Tenant.CreateGroup(ctx, admin, tenant.GroupEdit{DisplayName: ptr("owners"), MailNickname: ptr("owners")}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Tenant.EnsureAssignment(ctx, group.ID, roleOwner, "/"); err != nil {
				t.Fatal(err)
			}
			put := func() int {
				raw := bearer.access(t, bearer.key, jose.RS256, map[string]any{"aud": "https://management.azure.com", by: id, "groups": []string{group.ID}, "roles": []string{"Owner"}, "wids": []string{roleOwner}})
				status, _, _ := w.ask("PUT", "https://management.azure.com/subscriptions/"+w.Tenant.TenantID()+"/resourceGroups/rg?api-version=2022-07-01", raw, `{"location":"eastus"}`)
				return status
			}
			if got := put(); got != 403 {
				t.Errorf("a group that the token claims counts: %d", got)
			}
			if err := w.Tenant.AddMember(ctx, admin, group.ID, jane.ID); err != nil {
				t.Fatal(err)
			}
			if got := put(); got != 201 {
				t.Errorf("%d", got)
			}
			// Nobody signs in here without a password, and who is disabled or unbound is out.
			if status, text := (&plane{world: w, t: t}).signIn("jane@coffer.local", "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "https://vault.azure.net", "password", ""); status == 200 {
				t.Errorf("%d %s", status, text)
			}
			for _, step := range []struct {
				edit tenant.UserEdit
				want int
			}{{tenant.UserEdit{Enabled: ptr(false)}, 401}, {tenant.UserEdit{Enabled: ptr(true)}, 200}, {tenant.UserEdit{Name: ptr("jane.roe@coffer.local")}, 200}, {tenant.UserEdit{Identities: &[]tenant.Identity{}}, 401}, {tenant.UserEdit{Identities: identities}, 200}} {
				if err := w.Tenant.UpdateUser(ctx, admin, jane.ID, step.edit); err != nil {
					t.Fatal(err)
				}
				if status, text := me(nil); status != step.want {
					t.Errorf("%+v: %d %s", step.edit, status, text)
				}
			}
			if err := w.Tenant.DeleteUser(ctx, admin, jane.ID); err != nil {
				t.Fatal(err)
			}
			if status, text := me(nil); status != 401 {
				t.Errorf("removed: %d %s", status, text)
			}
		})
	}
}

// Administrators alone give identities, of issuers that the configuration names, and each to
// one user and to no application beside.
func TestOutsideIdentitiesAreTheAdministrators(t *testing.T) {
	bearer, assertion := newForeign(t), newForeign(t)
	w, admin := trusting(t, bearer, assertion)
	ctx := context.Background()
	user := func(name string, identities ...tenant.Identity) (tenant.User, error) {
		return w.Tenant.CreateUser(ctx, admin, tenant.UserEdit{Name: ptr(name + "@coffer.local"), DisplayName: ptr(name), Identities: &identities})
	}
	one := tenant.Identity{Issuer: bearer.URL, ID: "one"}
	jane, err := user("jane", one)
	if err != nil {
		t.Fatal(err)
	}
	code := func(err error) tenant.DirectoryCode {
		var refused *tenant.DirectoryError
		_ = errors.As(err, &refused)
		if refused == nil {
			return ""
		}
		return refused.Code
	}
	for name, test := range map[string]struct {
		want       tenant.DirectoryCode
		identities []tenant.Identity
	}{
		"another's": {tenant.ObjectConflict, []tenant.Identity{one}}, "twice": {tenant.ObjectConflict, []tenant.Identity{{Issuer: bearer.URL, ID: "two"}, {Issuer: bearer.URL, ID: "two"}}}, "none and no password": {tenant.BadObject, nil},
		"of sign-ins alone": {tenant.BadObject, []tenant.Identity{{Issuer: assertion.URL, ID: "two"}}}, "our own": {tenant.BadObject, []tenant.Identity{{Issuer: w.Tenant.Issuer(), ID: "two"}}}, "of nobody": {tenant.BadObject, []tenant.Identity{{Issuer: bearer.URL}}},
		"long": {tenant.BadObject, []tenant.Identity{{Issuer: bearer.URL, ID: strings.Repeat("x", 601)}}}, "zero": {tenant.BadObject, []tenant.Identity{{Issuer: bearer.URL, ID: "a\x00"}}}, "many": {tenant.BadObject, make([]tenant.Identity, 11)},
	} {
		if _, err := user("joe", test.identities...); code(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who administers nothing changes no identity, not even the own one.
	self := access.Caller{TenantID: w.Tenant.TenantID(), ObjectID: jane.ID}
	if err := w.Tenant.UpdateUser(ctx, self, jane.ID, tenant.UserEdit{Identities: &[]tenant.Identity{{Issuer: bearer.URL, ID: "two"}}}); err == nil {
		t.Error("a user changed an identity")
	}
	credential := tenant.FederatedCredential{Name: "outside", Issuer: bearer.URL, Subject: "one", Audiences: []string{vaultAudience}}
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, credential); code(err) != tenant.ObjectConflict {
		t.Errorf("a user's: %v", err)
	}
	credential.Subject = "workload"
	if _, err := w.Tenant.AddFederatedCredential(ctx, admin, tenant.Ref{AppID: app.AppID}, credential); err != nil {
		t.Fatal(err)
	}
	if _, err := user("joe", tenant.Identity{Issuer: bearer.URL, ID: "workload"}); code(err) != tenant.ObjectConflict {
		t.Errorf("an application's: %v", err)
	}
	if a := w.list(bearer.access(t, bearer.key, jose.RS256, nil)); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// graphID is the directory's well-known id, which is also the service's.
const graphID = "00000003-0000-0000-c000-000000000000"

func TestBearerIssuersInTheConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"bearer_issuers:\n  - url: https://a.example\n    authority: http://login.example/t\n":                                                                                                         "is no https address with a tenant",
		"bearer_issuers:\n  - url: https://a.example\n    authority: https://login.example\n":                                                                                                          "is no https address with a tenant",
		"bearer_issuers:\n  - url: https://a.example\n    authority: https://login.example/t\n  - url: https://b.example\n    authority: https://login.example/u\n":                                    "only one issuer",
		"bearer_issuers:\n  - url: https://a.example\n    user_claim: upn\n":                                                                                                                           "neither sub nor oid",
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
