package entra_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"coffer/internal/jwk"
	"coffer/internal/token"
)

// Every route of the door, as {tenant}, and the method it answers to.
var routes = map[string]string{
	"/common/discovery/instance?authorization_endpoint=https://login.microsoftonline.com/common": http.MethodGet,
	"/common/userrealm/jane@contoso.example?api-version=1.0":                                     http.MethodGet,
	"/{tenant}/v2.0/.well-known/openid-configuration":                                            http.MethodGet,
	"/{tenant}/.well-known/openid-configuration":                                                 http.MethodGet,
	"/{tenant}/discovery/v2.0/keys":                                                              http.MethodGet,
	"/{tenant}/discovery/keys":                                                                   http.MethodGet,
	"/{tenant}/oauth2/v2.0/token":                                                                http.MethodPost,
	"/{tenant}/oauth2/token":                                                                     http.MethodPost,
	"/{tenant}/oauth2/v2.0/devicecode":                                                           http.MethodPost,
	"/{tenant}/oauth2/devicecode":                                                                http.MethodPost,
	"/device":                                                                                    http.MethodGet,
}

func TestMethodsAndSpellings(t *testing.T) {
	claims(t, "id-3.2-10", "id-4-8")
	w := newWorld(t)
	for pattern, right := range routes {
		path := strings.ReplaceAll(pattern, "{tenant}", w.tenant.TenantID())
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
			a := w.send(t, w.door, httptest.NewRequest(method, "https://login.microsoftonline.com"+path, nil))
			if wrong := a.StatusCode == http.StatusMethodNotAllowed; wrong == (method == right) {
				t.Errorf("%s %s: %d", method, path, a.StatusCode)
			} else if wrong && (a.Header.Get("Allow") != right || a.json["error"] != "invalid_request") {
				t.Errorf("%s %s: Allow %q, %s", method, path, a.Header.Get("Allow"), a.text)
			}
		}
		if right != http.MethodGet {
			continue
		}
		plain := w.get(t, path)
		if plain.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, plain.StatusCode, plain.text)
		}
		before, query, _ := strings.Cut(path, "?")
		for _, spelled := range []string{before + "/?" + query, strings.ToUpper(before) + "?" + query} {
			if a := w.get(t, spelled); a.StatusCode != http.StatusOK || !strings.EqualFold(a.text, plain.text) {
				t.Errorf("%s: %d %s", spelled, a.StatusCode, a.text)
			}
		}
	}
}

func TestPathsThatAreNotServed(t *testing.T) {
	w := newWorld(t)
	id := w.tenant.TenantID()
	for _, path := range []string{"/", "/" + id, "/" + id + "/oauth2/v2.0/authorize", "/" + id + "//oauth2/token/x",
		"/" + id + "/discovery/instance", "/common/discovery/instance/x", "/" + id + "//discovery/keys", "//discovery/keys"} {
		a := w.get(t, path)
		if a.StatusCode != http.StatusNotFound || !strings.Contains(a.text, "/oauth2/v2.0/token") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
}

func TestInstanceDiscovery(t *testing.T) {
	claims(t, "id-3.1-1", "id-3.1-2", "id-3.1-3", "id-3.1-4", "id-10-3")
	public := newWorld(t)
	own := newWorld(t, "login.my.example")
	publicEntry := map[string]any{
		"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
		"aliases": []any{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
	}
	ownEntry := func(host string) map[string]any {
		return map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []any{host}}
	}
	for _, test := range []struct {
		name     string
		world    *world
		query    string
		endpoint string // host of tenant_discovery_endpoint; empty: refused
		metadata []any
	}{
		{"az", public, "api-version=1.1&authorization_endpoint=https://login.microsoftonline.com/common/oauth2/authorize", "login.microsoftonline.com", []any{publicEntry}},
		{"Go", public, "api-version=1.1&authorization_endpoint=https%3A%2F%2Flogin.windows.net%2FTID%2Foauth2%2Fv2.0%2Fauthorize", "login.windows.net", []any{publicEntry}},
		{"Node", public, "api%2Dversion=1.1&authorization_endpoint=https://Login.MicrosoftOnline.com/TID/oauth2/v2.0/authorize", "login.microsoftonline.com", []any{publicEntry}},
		{"own host", own, "api-version=1.0&authorization_endpoint=https://login.my.example/TID/oauth2/v2.0/authorize", "login.my.example", []any{publicEntry, ownEntry("login.my.example")}},
		{"own host and port", own, "authorization_endpoint=https://login.my.example:8443/TID", "login.my.example:8443", []any{publicEntry, ownEntry("login.my.example:8443")}},
		{"own host elsewhere", public, "authorization_endpoint=https://login.my.example/TID", "", nil},
		{"unknown", public, "authorization_endpoint=https://login.evil.example/TID", "", nil},
		{"a suffix", public, "authorization_endpoint=https://login.microsoftonline.com.evil.example/TID", "", nil},
		{"user info", public, "authorization_endpoint=https://login.microsoftonline.com@evil.example/TID", "", nil},
		{"plain HTTP", public, "authorization_endpoint=http://login.microsoftonline.com/TID", "", nil},
		{"no URL", public, "authorization_endpoint=%25%25%25", "", nil},
		{"nothing", public, "", "", nil},
	} {
		a := test.world.get(t, "/common/discovery/instance?"+test.query)
		if test.endpoint == "" {
			if a.StatusCode != http.StatusBadRequest || a.json["error"] != "invalid_instance" || !reflect.DeepEqual(a.json["error_codes"], []any{50049.0}) {
				t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
			}
			continue
		}
		want := map[string]any{
			"tenant_discovery_endpoint": "https://" + test.endpoint + "/" + test.world.tenant.TenantID() + "/v2.0/.well-known/openid-configuration",
			"api-version":               "1.1", "metadata": test.metadata,
		}
		if a.StatusCode != http.StatusOK || !reflect.DeepEqual(a.json, want) {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
		}
	}
}

func TestOpenIDConfiguration(t *testing.T) {
	claims(t, "id-3.2-1", "id-3.2-2", "id-3.2-3", "id-3.2-4", "id-3.2-8", "id-9-1")
	public, own := newWorld(t), newWorld(t, "login.my.example")
	id := public.tenant.TenantID()
	for _, test := range []struct {
		world           *world
		address         string
		issuer          string
		token, keys     string // after the authority
		authority, name string
	}{
		{public, "https://login.microsoftonline.com/" + id + "/v2.0", "https://login.microsoftonline.com/" + id + "/v2.0", "/oauth2/v2.0/token", "/discovery/v2.0/keys", "https://login.microsoftonline.com", id},
		{public, "https://login.windows.net/" + strings.ToUpper(id) + "/v2.0", "https://login.windows.net/" + id + "/v2.0", "/oauth2/v2.0/token", "/discovery/v2.0/keys", "https://login.windows.net", id},
		{public, "https://login.microsoftonline.com:443/" + id, "https://sts.windows.net/" + id + "/", "/oauth2/token", "/discovery/keys", "https://login.microsoftonline.com", id},
		{public, "https://login.microsoftonline.com/common/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0", "/oauth2/v2.0/token", "/discovery/v2.0/keys", "https://login.microsoftonline.com", "common"},
		{public, "https://login.microsoftonline.com/organizations/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0", "/oauth2/v2.0/token", "/discovery/v2.0/keys", "https://login.microsoftonline.com", "organizations"},
		{public, "https://login.microsoftonline.com/common", "https://sts.windows.net/{tenantid}/", "/oauth2/token", "/discovery/keys", "https://login.microsoftonline.com", "common"},
		{public, "https://unknown.example/" + id, "https://sts.windows.net/" + id + "/", "/oauth2/token", "/discovery/keys", "https://login.microsoftonline.com", id},
		{own, "https://login.my.example:8443/adfs", "https://login.my.example/" + own.tenant.TenantID() + "/", "/oauth2/token", "/discovery/keys", "https://login.my.example:8443", "adfs"},
		{own, "https://login.my.example/" + own.tenant.TenantID() + "/v2.0", "https://login.my.example/" + own.tenant.TenantID() + "/v2.0", "/oauth2/v2.0/token", "/discovery/v2.0/keys", "https://login.my.example", own.tenant.TenantID()},
	} {
		a := test.world.get(t, test.address+"/.well-known/openid-configuration")
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", test.address, a.StatusCode, a.text)
			continue
		}
		base := test.authority + "/" + test.name
		for member, want := range map[string]string{
			"issuer": test.issuer, "token_endpoint": base + test.token, "jwks_uri": base + test.keys,
			"authorization_endpoint":        base + strings.Replace(test.token, "token", "authorize", 1),
			"device_authorization_endpoint": base + strings.Replace(test.token, "token", "devicecode", 1),
		} {
			if a.json[member] != want {
				t.Errorf("%s: %s is %v, want %s", test.address, member, a.json[member], want)
			}
		}
		for _, member := range []string{"response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported", "tenant_region_scope", "cloud_instance_name", "cloud_graph_host_name", "msgraph_host"} {
			if a.json[member] == nil {
				t.Errorf("%s: there is no %s", test.address, member)
			}
		}
		if keys := test.world.get(t, a.json["jwks_uri"].(string)); keys.StatusCode != http.StatusOK {
			t.Errorf("the document names %v: %d", a.json["jwks_uri"], keys.StatusCode)
		}
		if tokens := test.world.post(t, a.json["token_endpoint"].(string), test.world.form("resource", vaults)); tokens.StatusCode != http.StatusOK {
			t.Errorf("the document names %v: %d %s", a.json["token_endpoint"], tokens.StatusCode, tokens.text)
		}
	}
}

func TestUnknownTenants(t *testing.T) {
	claims(t, "id-3.2-5", "id-3.2-7", "id-4.3-9")
	w, own := newWorld(t), newWorld(t, "login.my.example")
	for pattern, method := range routes {
		if !strings.Contains(pattern, "{tenant}") {
			continue
		}
		for _, name := range []string{"0a1b2c3d-0000-4000-8000-000000000001", "contoso.onmicrosoft.com", "adfs", "consumers", "%00", strings.Repeat("x", 500)} {
			r := newPost(strings.ReplaceAll(pattern, "{tenant}", name), w.form().Encode())
			r.Method = method
			code := "invalid_tenant"
			if method == http.MethodPost {
				code = "invalid_request"
			}
			a := w.send(t, w.door, r)
			if a.StatusCode != http.StatusBadRequest || a.json["error"] != code || !reflect.DeepEqual(a.json["error_codes"], []any{90002.0}) || len(a.text) > 1000 {
				t.Errorf("%s %s: %d %s", method, name, a.StatusCode, a.text)
			}
		}
		r := newPost("https://login.my.example"+strings.ReplaceAll(pattern, "{tenant}", "adfs"), own.form("resource", vaults).Encode())
		r.Method = method
		if a := own.send(t, own.door, r); a.StatusCode != http.StatusOK {
			t.Errorf("%s on an own domain: %d %s", pattern, a.StatusCode, a.text)
		}
	}
}

// A validator that has nothing but the JWKS document verifies a token.
func TestKeysVerifyTokens(t *testing.T) {
	claims(t, "id-3.2-9")
	w := newWorld(t)
	issued := w.post(t, w.v2(), w.form()).json["access_token"].(string)
	var first string
	for _, path := range []string{"/common/discovery/v2.0/keys", "/common/discovery/keys", "/organizations/discovery/v2.0/keys", "/" + w.tenant.TenantID() + "/discovery/v2.0/keys", "/" + w.tenant.TenantID() + "/discovery/keys"} {
		a := w.get(t, path)
		if first == "" {
			first = a.text
		}
		if a.StatusCode != http.StatusOK || a.text != first {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	var document struct {
		Keys []struct {
			jwk.Key
			Use, Issuer, X5T string
			X5C              [][]byte
		}
	}
	if err := json.Unmarshal([]byte(first), &document); err != nil || len(document.Keys) != 1 {
		t.Fatalf("%v: %s", err, first)
	}
	key := document.Keys[0]
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	if key.Use != "sig" || key.Kty != "RSA" || key.X5T == "" || key.ID == "" || len(key.X5C) != 1 || key.Issuer != w.tenant.Issuer() || strings.Contains(first, `"d"`) {
		t.Errorf("%s", first)
	}
	claims, err := token.Verify(issued, token.Expect{
		Issuers:   []token.Issuer{{Name: key.Issuer, TenantID: w.tenant.TenantID(), Keys: []token.PublicKey{{ID: key.ID, Key: public.(*rsa.PublicKey)}}}},
		Audiences: []string{vaults}, Now: w.now,
	})
	if err != nil || claims.AppID != w.app.AppID {
		t.Errorf("%+v, %v", claims, err)
	}
}

func TestClientThatWentAway(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a := w.send(t, w.door, newPost(w.v2(), w.form().Encode()).WithContext(ctx))
	if a.StatusCode != http.StatusInternalServerError || a.json["access_token"] != nil {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("it is no error of the server: %s", w.log)
	}
}

func TestUserRealm(t *testing.T) {
	claims(t, "id-3.3-1")
	w := newWorld(t)
	want := map[string]any{"ver": "1.0", "account_type": "Managed", "domain_name": "contoso.example", "cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline"}
	for _, name := range []string{"jane@contoso.example", "jane%40contoso.example"} {
		if a := w.get(t, "/common/userrealm/"+name+"?api-version=1.0"); a.StatusCode != http.StatusOK || !reflect.DeepEqual(a.json, want) {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	}
	if a := w.get(t, "/common/userrealm/jane"); a.json["domain_name"] != publicHosts[0] {
		t.Errorf("%s", a.text)
	}
}
