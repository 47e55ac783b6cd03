package tenant_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
	"coffer/internal/tenant"
	"coffer/internal/token"
)

// part decodes one part of a token, with numbers as they are.
func part(t *testing.T, raw string, n int) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestClaims(t *testing.T) {
	w := newWorld(t)
	c := w.newClient()
	keys, err := w.PublicKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	now := float64(w.clock().Unix())
	common := map[string]any{
		"iss": "https://sts.windows.net/" + w.TenantID() + "/", "idp": "https://sts.windows.net/" + w.TenantID() + "/", "tid": w.TenantID(),
		"iat": now, "nbf": now, "appid": c.AppID, "idtyp": "app", "oid": c.ObjectID, "sub": c.ObjectID, "ver": "1.0",
	}
	issued, err := w.issue(tenant.TokenRequest{ClientID: strings.ToUpper(c.AppID), ClientSecret: c.secret, Scope: "https://vault.azure.net//.default openid offline_access profile"})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := w.ManagedIdentityToken(context.Background(), access.Origin{}, c.Application, vaults)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		token tenant.Token
		own   map[string]any
	}{
		{"secret", issued, map[string]any{"aud": vaults + "/", "exp": now + 3599, "appidacr": "1"}},
		{"managed identity", identity, map[string]any{"aud": vaults, "exp": now + 86399, "appidacr": "2", "xms_mirid": w.ManagedIdentityID()}},
	} {
		header, claims := part(t, test.token.Raw, 0), part(t, test.token.Raw, 1)
		if want := map[string]any{"typ": "JWT", "alg": "RS256", "kid": keys[0].ID, "x5t": keys[0].Thumbprint}; !reflect.DeepEqual(header, want) {
			t.Errorf("%s: header %v", test.name, header)
		}
		if uti, _ := claims["uti"].(string); len(uti) != 22 {
			t.Errorf("%s: uti %q", test.name, uti)
		}
		delete(claims, "uti")
		want := map[string]any{}
		for _, some := range []map[string]any{common, test.own} {
			for name, value := range some {
				want[name] = value
			}
		}
		if !reflect.DeepEqual(claims, want) {
			t.Errorf("%s: claims %v\nwant %v", test.name, claims, want)
		}
		if test.token.Resource != want["aud"] || test.token.ClientID != c.AppID || float64(test.token.Expires.Unix()) != want["exp"] || float64(test.token.NotBefore.Unix()) != now {
			t.Errorf("%s: %+v", test.name, test.token)
		}
	}
}

func TestScopesAndResources(t *testing.T) {
	w := newWorld(t)
	c := w.newClient()
	for _, test := range []struct {
		scope, resource string
		audience        string
		number          int
	}{
		{scope: vaults + "/.default", audience: vaults},
		{scope: vaults + "//.default", audience: vaults + "/"},
		{scope: "openid " + vaults + "/.default  profile offline_access email", audience: vaults},
		{scope: "https://management.azure.com//.default", audience: "https://management.azure.com/"},
		{resource: vaults, audience: vaults},
		{resource: vaults + "/", audience: vaults + "/"},
		{scope: "anything", resource: vaults, audience: vaults},

		{number: tenant.NumberMalformedScope},
		{scope: "openid profile", number: tenant.NumberMalformedScope},
		{scope: vaults, number: tenant.NumberScopeSuffix},
		{scope: vaults + "/.DEFAULT", number: tenant.NumberScopeSuffix},
		{scope: "/.default", number: tenant.NumberScopeSuffix},
		{scope: vaults + "/.default https://management.azure.com/.default", number: tenant.NumberScopeSuffix},
		{scope: vaults + "/user_impersonation " + vaults + "/.default", number: tenant.NumberScopeSuffix},
		{scope: "https://graph.microsoft.com/.default", number: tenant.NumberUnknownResource},
		{scope: vaults + "///.default", number: tenant.NumberUnknownResource},
		{scope: vaults + ".evil.example/.default", number: tenant.NumberUnknownResource},
		{scope: "//.default", number: tenant.NumberUnknownResource},
		{resource: "https://evil.example", number: tenant.NumberUnknownResource},
		{resource: vaults + " ", number: tenant.NumberUnknownResource},
	} {
		issued, err := w.issue(tenant.TokenRequest{ClientID: c.AppID, ClientSecret: c.secret, Scope: test.scope, Resource: test.resource})
		switch {
		case test.number != 0:
			wantNumber(t, err, test.number)
		case err != nil || issued.Resource != test.audience || part(t, issued.Raw, 1)["aud"] != test.audience:
			t.Errorf("%q %q: %v, audience %q", test.scope, test.resource, err, issued.Resource)
		}
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	good, disabled, orphan, removed := w.newClient(), w.newClient(), w.newClient(), w.newClient()
	if err := errors.Join(w.SetEnabled(ctx, disabled.Application, false), w.RemoveApplication(ctx, removed.AppID)); err != nil {
		t.Fatal(err)
	}
	w.drop(store.Key("t/sp/" + orphan.ObjectID))
	for _, test := range []struct {
		name   string
		client client
		code   string
		number int
	}{
		{"wrong secret", client{good.Application, disabled.secret}, "invalid_client", tenant.NumberBadSecret},
		{"a part of the secret", client{good.Application, good.secret[:40]}, "invalid_client", tenant.NumberBadSecret},
		{"no secret", client{good.Application, ""}, "invalid_client", tenant.NumberNoCredential},
		{"disabled", disabled, "unauthorized_client", tenant.NumberDisabled},
		{"disabled, wrong secret", client{disabled.Application, "x"}, "invalid_client", tenant.NumberBadSecret},
		{"no principal", orphan, "unauthorized_client", tenant.NumberNoPrincipal},
		{"removed", removed, "unauthorized_client", tenant.NumberUnknownClient},
		{"unknown", client{tenant.Application{AppID: "0a1b2c3d-0000-4000-8000-000000000001"}, good.secret}, "unauthorized_client", tenant.NumberUnknownClient},
		{"object id", client{tenant.Application{AppID: good.ObjectID}, good.secret}, "unauthorized_client", tenant.NumberUnknownClient},
		{"no GUID", client{tenant.Application{AppID: "a\x00b/../c"}, good.secret}, "unauthorized_client", tenant.NumberUnknownClient},
		{"nothing", client{}, "invalid_request", tenant.NumberMissingParameter},
	} {
		issued, err := w.issue(test.client.request())
		var refused *tenant.Error
		if !errors.As(err, &refused) || refused.Code != test.code || refused.Number != test.number || issued.Raw != "" {
			t.Errorf("%s: %v", test.name, err)
		}
		if line := w.lastLine(); !strings.Contains(line, `"SignIn"`) || !strings.Contains(line, `"`+test.code+`"`) {
			t.Errorf("%s: audit line %s", test.name, line)
		}
	}
	w.mustIssue(good)
	if line := w.lastLine(); !strings.Contains(line, `"SignIn"`) || !strings.Contains(line, good.AppID) || !strings.Contains(line, good.ObjectID) || !strings.Contains(line, vaults) {
		t.Errorf("audit line %s", line)
	}
}

func (w *world) lastLine() string {
	lines := strings.Split(strings.TrimSpace(w.sink.String()), "\n")
	return lines[len(lines)-1]
}

func (w *world) drop(key store.Key) {
	w.t.Helper()
	rec := w.bodies()[key]
	if err := w.store.Update(context.Background(), func(tx store.Tx) error { return tx.Delete(key, rec.Revision) }); err != nil {
		w.t.Fatal(err)
	}
}

func TestManagedIdentityRefusals(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	_, err := w.ManagedIdentityToken(ctx, access.Origin{}, c.Application, "https://evil.example")
	wantNumber(t, err, tenant.NumberUnknownResource)
	if err := w.SetEnabled(ctx, c.Application, false); err != nil {
		t.Fatal(err)
	}
	_, err = w.ManagedIdentityToken(ctx, access.Origin{}, c.Application, vaults)
	wantNumber(t, err, tenant.NumberDisabled)
	if line := w.lastLine(); !strings.Contains(line, `"SignIn"`) || !strings.Contains(line, `"unauthorized_client"`) {
		t.Errorf("audit line %s", line)
	}
}

func TestNoAuditNoToken(t *testing.T) {
	w := newWorld(t)
	c := w.newClient()
	w.sink.fill(true)
	if issued, err := w.issue(c.request()); !errors.Is(err, gate.ErrAudit) || issued.Raw != "" {
		t.Errorf("token %q, error %v", issued.Raw, err)
	}
	if issued, err := w.ManagedIdentityToken(context.Background(), access.Origin{}, c.Application, vaults); !errors.Is(err, gate.ErrAudit) || issued.Raw != "" {
		t.Errorf("token %q, error %v", issued.Raw, err)
	}
	var refused *tenant.Error
	if _, err := w.issue(tenant.TokenRequest{ClientID: c.AppID, ClientSecret: "x"}); !errors.Is(err, gate.ErrAudit) || errors.As(err, &refused) {
		t.Errorf("a refusal that is not written down: %v", err)
	}
	w.sink.fill(false)
	w.mustIssue(c)
}

func TestAuthenticate(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	c := w.newClient()
	raw := w.mustIssue(c).Raw
	caller, err := w.Authenticate(ctx, raw, []string{"other", vaults})
	want := access.Caller{TenantID: w.TenantID(), ObjectID: c.ObjectID, AppID: c.AppID, Issuer: w.Issuer()}
	if err != nil || !reflect.DeepEqual(caller, want) {
		t.Errorf("%+v, %v", caller, err)
	}
	foreign, err := token.NewSigningKey(w.clock())
	if err != nil {
		t.Fatal(err)
	}
	forged, err := token.Sign(foreign, token.Claims{Audience: vaults, Issuer: w.Issuer(), TenantID: w.TenantID(), ObjectID: c.ObjectID, AppID: c.AppID, Expires: w.clock().Unix() + 3600})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := token.Sign(foreign, token.Claims{Audience: vaults, Issuer: "https://sts.windows.net/0a1b2c3d-0000-4000-8000-000000000001/", ObjectID: c.ObjectID, Expires: w.clock().Unix() + 3600})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, raw string
		audiences []string
		later     time.Duration
		reason    token.Reason
	}{
		{"audience", raw, []string{vaults + "/", "https://management.azure.com"}, 0, token.WrongAudience},
		{"no audience", raw, nil, 0, token.WrongAudience},
		{"forged", forged, []string{vaults}, 0, token.UnknownKey},
		{"issuer", elsewhere, []string{vaults}, 0, token.UnknownIssuer},
		{"altered", raw[:len(raw)-8] + "AAAAAAAA", []string{vaults}, 0, token.BadSignature},
		{"malformed", "x", []string{vaults}, 0, token.Malformed},
		{"empty", "", []string{vaults}, 0, token.Malformed},
		{"early", raw, []string{vaults}, -time.Hour, token.NotYetValid},
		{"late", raw, []string{vaults}, 3 * time.Hour, token.Expired},
	} {
		w.turn(test.later)
		caller, err := w.Authenticate(ctx, test.raw, test.audiences)
		var refused *token.Error
		if !errors.As(err, &refused) || refused.Reason != test.reason || caller.ObjectID != "" {
			t.Errorf("%s: %v, %+v", test.name, err, caller)
		}
		w.turn(-test.later)
	}
}

func FuzzScope(f *testing.F) {
	for _, seed := range []string{"", vaults + "/.default", vaults + "//.default", "openid " + vaults + "/.default", vaults, "/.default", "a/.default b/.default", "\x00/.default", vaults + "/.default\u00a0x"} {
		f.Add(seed)
	}
	w := newWorld(f)
	c := w.newClient()
	f.Fuzz(func(t *testing.T, scope string) {
		issued, err := w.issue(tenant.TokenRequest{ClientID: c.AppID, ClientSecret: c.secret, Scope: scope})
		var refused *tenant.Error
		switch {
		case err == nil && !slices.Contains(strings.Fields(scope), issued.Resource+"/.default"):
			t.Errorf("%q gave the audience %q", scope, issued.Resource)
		case err == nil && !slices.Contains(w.config.Resources, strings.TrimSuffix(issued.Resource, "/")):
			t.Errorf("%q gave the unknown audience %q", scope, issued.Resource)
		case err != nil && (!errors.As(err, &refused) || refused.Code != "invalid_scope" && refused.Code != "invalid_resource"):
			t.Errorf("%q: %v", scope, err)
		case err != nil && len(err.Error()) > 1000:
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
