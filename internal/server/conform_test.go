package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"coffer/internal/server"
)

// claims says which rows of docs/conformance.md the test proves, see test/conformance.
func claims(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("conformance", id)
	}
}

// ask sends a request to a core, as it comes from a listener.
func (w *world) ask(method, address, token string, body string) (int, http.Header, string) {
	r := httptest.NewRequest(method, "https://unused.example/", strings.NewReader(body))
	u, err := url.Parse(address)
	if err != nil {
		return 400, nil, "" // no server sees it
	}
	r.URL, r.Host = &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}, u.Host
	r.TLS = nil
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	out := httptest.NewRecorder()
	w.Handler().ServeHTTP(out, r)
	return out.Code, out.Header(), out.Body.String()
}

// tokenFor signs the world's application in.
func (w *world) tokenFor(t *testing.T, endpoint, resource string) string {
	t.Helper()
	status, _, text := w.ask("POST", endpoint, "", url.Values{"grant_type": {"client_credentials"}, "client_id": {app.AppID}, "client_secret": {"secret"}, "resource": {resource}}.Encode())
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || status != 200 {
		t.Fatalf("%s: %d %s", resource, status, text)
	}
	return body.Token
}

// The host decides which door answers, however it is written, and nothing else does.
func TestConformHosts(t *testing.T) {
	claims(t, "id-2.4-1", "id-2.4-4")
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	if err := w.Tenant.EnsureAssignment(context.Background(), app.ObjectID, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "/"); err != nil {
		t.Fatal(err)
	}
	id := w.Tenant.TenantID()
	endpoint := "https://login.microsoftonline.com/" + id + "/oauth2/token"
	vaults, management, directory := w.tokenFor(t, endpoint, "https://vault.azure.net"), w.tokenFor(t, endpoint, "https://management.azure.com"), w.tokenFor(t, endpoint, "https://graph.microsoft.com")
	for host, test := range map[string]struct{ path, token, want string }{
		"login.microsoftonline.com": {"/" + id + "/.well-known/openid-configuration", "", "token_endpoint"}, "login.windows.net": {"/" + id + "/.well-known/openid-configuration", "", "token_endpoint"},
		"login.microsoft.com": {"/" + id + "/.well-known/openid-configuration", "", "token_endpoint"}, "sts.windows.net": {"/" + id + "/.well-known/openid-configuration", "", "token_endpoint"},
		"management.azure.com": {"/subscriptions?api-version=2022-07-01", management, "authorizationSource"}, "management.core.windows.net": {"/subscriptions?api-version=2022-07-01", management, "authorizationSource"},
		"graph.microsoft.com": {"/v1.0/organization", directory, "verifiedDomains"}, "demo.vault.azure.net": {"/secrets?api-version=7.4", vaults, "nextLink"},
	} {
		for _, spelling := range []string{host, strings.ToUpper(host), host + ".", host + ":443"} {
			if status, _, text := w.ask("GET", "https://"+spelling+test.path, test.token, ""); status != 200 || !strings.Contains(text, test.want) {
				t.Errorf("%s: %d %s", spelling, status, text)
			}
		}
	}
	// No other host is a vault, and none of another spelling is one.
	if status, _, text := w.ask("PUT", "https://demo.vault.azure.net/secrets/one?api-version=7.4", vaults, `{"value":"canary"}`); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, host := range []string{
		"vault.azure.net", "a.demo.vault.azure.net", "demo.vault.azure.net.evil.example", "demo..vault.azure.net", "demo.vault.azure.net..", ".demo.vault.azure.net", "demo.vault.azure.net:443:443", "xn--demo.vault.azure.net",
		"demo%2evault.azure.net", "demo_.vault.azure.net", "dem0.vault.azure.net", "evil.example", "127.0.0.1", "demovault.azure.net", "demo.vault.azure.net%00", "demo.vault.azure.net@evil.example", strings.Repeat("a", 300) + ".vault.azure.net", "", "demo-.vault.azure.net", "-demo.vault.azure.net",
	} {
		r := httptest.NewRequest("GET", "https://unused.example/secrets/one?api-version=7.4", nil)
		r.Host, r.TLS = host, nil
		r.Header.Set("Authorization", "Bearer "+vaults)
		r.Header.Set("X-Forwarded-Host", "demo.vault.azure.net")
		out := httptest.NewRecorder()
		w.Handler().ServeHTTP(out, r)
		if out.Code < 400 || out.Code >= 500 || strings.Contains(out.Body.String(), "canary") {
			t.Errorf("%s: %d %s", host, out.Code, out.Body)
		}
	}
}

// Paths that are written to mean something else reach no other vault.
func TestConformVaultPaths(t *testing.T) {
	claims(t, "id-2.4-5")
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	endpoint := "https://login.microsoftonline.com/" + w.Tenant.TenantID() + "/oauth2/token"
	vaults := w.tokenFor(t, endpoint, "https://vault.azure.net")
	for name, value := range map[string]string{"one": "canary-one", "two": "canary-two"} {
		if status, _, text := w.ask("PUT", "https://"+name+".vault.azure.net/secrets/name?api-version=7.4", vaults, `{"value":"`+value+`"}`); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	for _, path := range []string{
		"/secrets/../../two.vault.azure.net/secrets/name", "/secrets/%2e%2e/name", "/secrets/%2e%2e%2ftwo%2fname", "//two.vault.azure.net/secrets/name", "/secrets/two%2fname", "/secrets/two/name", "/secrets%2fname", "/secrets/name%00", "/secrets/name/..", "/./secrets/name",
		"/secrets/name%2f..%2fname", "/secrets/..%5ctwo", "/secrets;x/name", "/secrets/name.", "/secrets/name%20", "/secrets/" + strings.Repeat("n", 10000), "/secrets/na%6de/", "/SECRETS/NAME", "/secrets/ｎａｍｅ", "/secrets/na\u212ae", "/https://two.vault.azure.net/secrets/name", "/secrets/name%ff",
	} {
		status, _, text := w.ask("GET", "https://one.vault.azure.net"+path+"?api-version=7.4", vaults, "")
		if strings.Contains(text, "canary-two") || status >= 500 || status == 200 && !strings.Contains(text, "canary-one") || len(text) > 2000 {
			t.Errorf("%.100s: %d %.300s", path, status, text)
		}
	}
}

// An installation on its own domain and port: what its challenge names, which tokens its
// vaults take, and what tells clients of it.
func TestConformOwnDomain(t *testing.T) {
	claims(t, "id-6-3", "id-6-4", "id-6-5", "id-9-3", "id-9-4", "id-10-7", "id-10-10")
	for _, port := range []string{"", "8443"} {
		o := options(t.TempDir(), rootKey(t))
		o.Names = server.DomainNames("coffer.example", port)
		w := newWorld(t, o)
		at := func(host string) string {
			if port == "" {
				return "https://" + host + ".coffer.example"
			}
			return "https://" + host + ".coffer.example:" + port
		}
		status, header, _ := w.ask("GET", at("demo.vault")+"/secrets?api-version=7.4", "", "")
		if want := fmt.Sprintf(`Bearer authorization="%s/adfs", resource="%s"`, at("login"), at("vault")); status != 401 || header.Get("WWW-Authenticate") != want {
			t.Errorf("%d %s, want %s", status, header.Get("WWW-Authenticate"), want)
		}
		for _, resource := range []string{at("vault"), at("vault") + "/", "https://vault.coffer.example", "https://vault.coffer.example/"} {
			token := w.tokenFor(t, at("login")+"/adfs/oauth2/token", resource)
			if status, _, text := w.ask("GET", at("demo.vault")+"/secrets?api-version=7.4", token, ""); status != 200 {
				t.Errorf("%s: %d %s", resource, status, text)
			}
		}
		token := w.tokenFor(t, at("login")+"/adfs/oauth2/token", at("management"))
		if status, _, text := w.ask("GET", at("demo.vault")+"/secrets?api-version=7.4", token, ""); status != 401 || !strings.Contains(text, "AKV10022") {
			t.Errorf("%d %s", status, text)
		}
		for version, begins := range map[string]string{"2015-01-01": `{`, "2019-05-01": `[{`} {
			status, _, text := w.ask("GET", at("management")+"/metadata/endpoints?api-version="+version, "", "")
			if status != 200 || !strings.HasPrefix(text, begins) || !strings.Contains(text, `"loginEndpoint":"`+at("login")+`/adfs","audiences":["`+at("management")+`"]`) {
				t.Errorf("%s: %d %s", version, status, text)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What each client sends, in its order, from the vault's challenge to the answer.
func TestConformClientFlows(t *testing.T) {
	claims(t, "id-8-1", "id-8-2", "id-8-3", "id-8-4")
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	if err := w.Tenant.EnsureAssignment(context.Background(), app.ObjectID, roleOwner, "/"); err != nil {
		t.Fatal(err)
	}
	id := w.Tenant.TenantID()
	get := func(address string) string {
		t.Helper()
		status, _, text := w.ask("GET", address, "", "")
		if status != 200 {
			t.Errorf("%s: %d %s", address, status, text)
		}
		return text
	}
	const instance = "https://login.microsoftonline.com/common/discovery/instance?api-version=1.1&authorization_endpoint="
	flows := map[string]func(authority string) string{
		"Python": func(authority string) string {
			document := get("https://login.microsoftonline.com/" + id + "/v2.0/.well-known/openid-configuration")
			get(instance + "https://login.microsoftonline.com/common/oauth2/authorize")
			return field(document, "token_endpoint")
		},
		"Go": func(authority string) string {
			return field(get(field(get(instance+url.QueryEscape("https://login.microsoftonline.com/"+id+"/oauth2/v2.0/authorize")), "tenant_discovery_endpoint")), "token_endpoint")
		},
		"Node": func(authority string) string {
			return authority + "/oauth2/v2.0/token?client-request-id=0a1b2c3d-0000-4000-8000-00000000000f"
		},
	}
	for name, flow := range flows {
		status, header, _ := w.ask("POST", "https://demo.vault.azure.net/certificates/"+name+"/create?api-version=7.4", "", "")
		_, rest, _ := strings.Cut(header.Get("WWW-Authenticate"), `authorization="`)
		authority, _, _ := strings.Cut(rest, `"`)
		if status != 401 || authority != "https://login.microsoftonline.com/"+id {
			t.Fatalf("%s: %d %v", name, status, header)
		}
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {app.AppID}, "client_secret": {"secret"}, "scope": {"https://vault.azure.net/.default openid offline_access profile"}, "client_info": {"1"}, "x-client-SKU": {"x"}, "claims": {`{"access_token":{"xms_cc":{"values":["CP1"]}}}`}}
		status, _, text := w.ask("POST", flow(authority), "", form.Encode())
		if status != 200 {
			t.Fatalf("%s: %d %s", name, status, text)
		}
		body := `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=a"}}}`
		if status, _, text := w.ask("POST", "https://demo.vault.azure.net/certificates/"+name+"/create?api-version=7.4", field(text, "access_token"), body); status != 202 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	// az login with a service principal, and the token that other tools get by it.
	token := w.tokenFor(t, "https://login.microsoftonline.com/"+id+"/oauth2/token", "https://management.core.windows.net/")
	status, _, text := w.ask("GET", "https://management.azure.com/subscriptions?api-version=2019-11-01", token, "")
	for _, member := range []string{`"id":"/subscriptions/`, `"displayName":`, `"state":"Enabled"`, `"tenantId":"` + id, `"managedByTenants":[]`} {
		if status != 200 || !strings.Contains(text, member) {
			t.Errorf("%d %s", status, text)
		}
	}
	status, _, text = w.ask("GET", "https://management.azure.com/tenants?api-version=2019-11-01", token, "")
	if status != 200 || !strings.Contains(text, `"tenantId":"`+id+`"`) || !strings.Contains(text, `"displayName":`) {
		t.Errorf("%d %s", status, text)
	}
}
