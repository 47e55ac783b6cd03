package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
	"coffer/internal/graph"
)

// A directory is the door, spoken to in plain HTTP with one token.
type directory struct {
	t      *testing.T
	server *coffertest.Server
	token  string
}

func newDirectory(t *testing.T) *directory {
	t.Helper()
	s := coffertest.New(t)
	return (&directory{t: t, server: s}).as(s.Owner())
}

func (d *directory) as(p coffertest.Principal) *directory {
	d.t.Helper()
	token, err := p.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com//.default"}})
	if err != nil {
		d.t.Fatal(err)
	}
	other := *d
	other.token = token.Token
	return &other
}

type answer struct {
	status int
	text   string
	body   map[string]any
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a answer) id() string { id, _ := a.body["id"].(string); return id }

func (a answer) count() int { list, _ := a.body["value"].([]any); return len(list) }

func (d *directory) do(method, path, body string) answer {
	d.t.Helper()
	r, err := http.NewRequest(method, "https://graph.microsoft.com/v1.0/"+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if d.token != "" {
		r.Header.Set("Authorization", "Bearer "+d.token)
	}
	response, err := d.server.HTTPClient().Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	out := answer{status: response.StatusCode, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			d.t.Fatalf("%s %s answers %q", method, path, text)
		}
	}
	return out
}

func (d *directory) want(a answer, status int, code string) answer {
	d.t.Helper()
	if a.status != status || a.code() != code {
		d.t.Errorf("want %d %s, got %d %s", status, code, a.status, a.text)
	}
	return a
}

// signIn reports whether an application gets a token with a secret.
func (d *directory) signIn(appID, secret string) int {
	d.t.Helper()
	response, err := d.server.HTTPClient().PostForm("https://login.microsoftonline.com/"+d.server.TenantID()+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {appID}, "client_secret": {secret}, "scope": {"https://vault.azure.net/.default"},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func filter(text string) string { return "?$filter=" + url.QueryEscape(text) }

// What the command-line tool does to make an application, and to make it again.
func TestCreateForRBAC(t *testing.T) {
	d := newDirectory(t)
	if a := d.want(d.do("GET", "servicePrincipals"+filter("displayName eq 'http://my-application'"), ""), 200, ""); a.count() != 0 {
		t.Error(a.text)
	}
	app := d.want(d.do("POST", "applications", `{"displayName":"http://my-application","keyCredentials":[]}`), 201, "")
	appID, _ := app.body["appId"].(string)
	if !strings.Contains(app.text, `"passwordCredentials":[]`) || appID == "" || app.id() == appID {
		t.Error(app.text)
	}
	password := d.want(d.do("POST", "applications/"+app.id()+"/addPassword", `{"passwordCredential":{"displayName":"rbac","startDateTime":"2026-01-01T00:00:00Z","endDateTime":"2099-01-01T00:00:00Z"}}`), 200, "")
	secret, _ := password.body["secretText"].(string)
	if len(secret) < 40 || password.body["hint"] != secret[:3] || password.body["displayName"] != "rbac" {
		t.Error(password.body["hint"], len(secret))
	}
	if got := d.signIn(appID, secret); got != 400 { // no service principal yet
		t.Error(got)
	}
	d.want(d.do("POST", "servicePrincipals", `{"appId":"33333333-3333-4333-8333-333333333333"}`), 400, "Request_BadRequest")
	sp := d.want(d.do("POST", "servicePrincipals", `{"appId":"`+appID+`","accountEnabled":true}`), 201, "")
	d.want(d.do("POST", "servicePrincipals", `{"appId":"`+appID+`"}`), 409, "Request_MultipleObjectsWithSameKeyValue")
	if got := d.signIn(appID, secret); got != 200 {
		t.Error(got)
	}
	for path, count := range map[string]int{
		"servicePrincipals" + filter("servicePrincipalNames/any(c:c eq '"+appID+"')"): 1, "servicePrincipals" + filter("appId eq '"+appID+"'"): 1,
		"servicePrincipals" + filter("startswith(displayName,'HTTP://MY')"): 1, "applications" + filter("startswith(displayName,'http://my-application')"): 1,
		"applications" + filter("appId eq '"+app.id()+"'"): 0, "applications" + filter("appId eq '"+appID+"'") + "&$select=id": 1, "servicePrincipals" + filter(""): 2, "groups": 0,
	} {
		if a := d.want(d.do("GET", path, ""), 200, ""); a.count() != count {
			t.Errorf("%s: %d", path, a.count())
		}
	}
	for _, path := range []string{"applications/" + app.id(), "applications(appId='" + appID + "')"} {
		if a := d.want(d.do("GET", path, ""), 200, ""); a.id() != app.id() || strings.Contains(a.text, secret) {
			t.Error(a.text)
		}
	}
	if a := d.want(d.do("GET", "servicePrincipals(appId='"+appID+"')", ""), 200, ""); a.id() != sp.id() {
		t.Error(a.text)
	}
	if a := d.want(d.do("POST", "directoryObjects/getByIds", `{"ids":["`+sp.id()+`"],"types":["servicePrincipal"]}`), 200, ""); !strings.Contains(a.text, `"@odata.type":"#microsoft.graph.servicePrincipal"`) {
		t.Error(a.text)
	}
	if a := d.want(d.do("GET", "me", ""), 400, "Request_BadRequest"); !strings.Contains(a.text, `"message"`) {
		t.Error(a.text)
	}
	d.want(d.do("PATCH", "applications/"+app.id(), `{"displayName":"other","identifierUris":["api://x"]}`), 204, "")
	if a := d.do("GET", "servicePrincipals"+filter("servicePrincipalNames/any(c:c eq 'api://x')"), ""); a.count() != 1 {
		t.Error(a.text)
	}

	// A secret that is removed does not work any more, and neither does a disabled principal.
	keyID := password.body["keyId"].(string)
	d.want(d.do("POST", "applications/"+app.id()+"/removePassword", `{"keyId":"`+keyID+`"}`), 204, "")
	d.want(d.do("POST", "applications/"+app.id()+"/removePassword", `{"keyId":"`+keyID+`"}`), 400, "Request_BadRequest")
	if got := d.signIn(appID, secret); got != 401 {
		t.Error(got)
	}
	secret = d.do("POST", "servicePrincipals/"+sp.id()+"/addPassword", `{}`).body["secretText"].(string)
	if got := d.signIn(appID, secret); got != 200 {
		t.Error(got)
	}
	d.want(d.do("PATCH", "servicePrincipals/"+sp.id(), `{"accountEnabled":false}`), 204, "")
	if got := d.signIn(appID, secret); got != 401 {
		t.Error(got)
	}
	d.want(d.do("DELETE", "servicePrincipals/"+sp.id(), ""), 204, "")
	d.want(d.do("GET", "servicePrincipals/"+sp.id(), ""), 404, "Request_ResourceNotFound")
	d.want(d.do("DELETE", "applications/"+app.id(), ""), 204, "")
	d.want(d.do("GET", "applications/"+app.id(), ""), 404, "Request_ResourceNotFound")
}

func TestFederatedAndOwners(t *testing.T) {
	d := newDirectory(t)
	other := d.server.NewPrincipal("other")
	app := d.do("POST", "applications", `{"displayName":"a"}`)
	base := "applications/" + app.id()
	body := `{"name":"gh","issuer":"https://token.actions.githubusercontent.com","subject":"repo:a/b:ref:refs/heads/main","audiences":["api://AzureADTokenExchange"]}`
	made := d.want(d.do("POST", base+"/federatedIdentityCredentials", body), 201, "")
	d.want(d.do("POST", base+"/federatedIdentityCredentials", body), 409, "Request_MultipleObjectsWithSameKeyValue")
	d.want(d.do("POST", base+"/federatedIdentityCredentials", `{"name":"x"}`), 400, "Request_BadRequest")
	if a := d.want(d.do("GET", base+"/federatedIdentityCredentials", ""), 200, ""); a.count() != 1 {
		t.Error(a.text)
	}
	d.want(d.do("PATCH", base+"/federatedIdentityCredentials/gh", `{"subject":"other"}`), 204, "")
	if a := d.want(d.do("GET", base+"/federatedIdentityCredentials/"+made.id(), ""), 200, ""); a.body["subject"] != "other" {
		t.Error(a.text)
	}
	d.want(d.do("DELETE", base+"/federatedIdentityCredentials/gh", ""), 204, "")

	// Whoever is made an owner may change it, and nobody else.
	o := d.as(other)
	o.want(o.do("PATCH", base, `{"displayName":"mine"}`), 403, "Authorization_RequestDenied")
	d.want(d.do("POST", base+"/owners/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+other.ObjectID+`"}`), 204, "")
	o.want(o.do("PATCH", base, `{"displayName":"mine"}`), 204, "")
	if a := d.want(d.do("GET", base+"/owners", ""), 200, ""); a.count() != 2 {
		t.Error(a.text)
	}
	d.want(d.do("DELETE", base+"/owners/"+other.ObjectID+"/$ref", ""), 204, "")
	o.want(o.do("PATCH", base, `{"displayName":"mine"}`), 403, "Authorization_RequestDenied")
}

// What changes something of others is refused to whoever does not own it, on every route;
// and a principal that was removed gets 401 everywhere.
func TestEveryRouteIsAuthorized(t *testing.T) {
	d := newDirectory(t)
	stranger, gone := d.as(d.server.NewPrincipal("stranger")), d.server.NewPrincipal("gone")
	removed := d.as(gone)
	d.server.Remove(gone)
	app := d.do("POST", "applications", `{"displayName":"a"}`)
	sp := d.do("POST", "servicePrincipals", fmt.Sprintf(`{"appId":%q}`, app.body["appId"]))
	d.want(d.do("POST", "applications/"+app.id()+"/federatedIdentityCredentials", `{"name":"f","issuer":"https://i","subject":"s","audiences":["a"]}`), 201, "")
	empty := d.do("POST", "applications", `{"displayName":"b"}`)
	rows := graph.Routes()
	if len(rows) < 30 {
		t.Fatalf("only %d routes", len(rows))
	}
	before := d.do("GET", "applications/"+app.id(), "").text
	for _, row := range rows {
		id := map[string]string{"a": app.id(), "s": sp.id(), "u": "someone@coffer.local", "d": sp.id()}[row.Pattern[:1]]
		path := strings.NewReplacer("{id}", id, "{part}", "f").Replace(row.Pattern)
		body := fmt.Sprintf(`{"appId":%q,"accountEnabled":false,"displayName":"x","keyId":"x","name":"n","issuer":"https://j","subject":"t","audiences":["a"],"userPrincipalName":"a@b","passwordProfile":{"password":"long enough"},"ids":[],"@odata.id":%q}`,
			empty.body["appId"], sp.id())
		if row.Method == "GET" || row.Method == "DELETE" {
			body = ""
		}
		a := stranger.do(row.Method, path, body)
		owns := row.Pattern == "applications" // making one's own
		if row.Changes && !owns && (a.status != 403 || a.code() != "Authorization_RequestDenied") || !row.Changes && a.status == 403 || a.status == 500 {
			t.Errorf("stranger: %s %s: %d %s", row.Method, path, a.status, a.text)
		}
		if a := removed.do(row.Method, path, body); a.status != 401 {
			t.Errorf("removed: %s %s: %d %s", row.Method, path, a.status, a.text)
		}
	}
	if after := d.do("GET", "applications/"+app.id(), "").text; after != before {
		t.Errorf("a refused request changed something:\n%s\n%s", before, after)
	}
	nobody := *d
	nobody.token = ""
	nobody.want(nobody.do("GET", "applications", ""), 401, "InvalidAuthenticationToken")
}

func TestBadInput(t *testing.T) {
	d := newDirectory(t)
	app := d.do("POST", "applications", `{"displayName":"a"}`)
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "applications", `{}`, 400, "Request_BadRequest"}, {"POST", "applications", `nonsense`, 400, "BadRequest"}, {"POST", "applications", `{"displayName":5}`, 400, "BadRequest"},
		{"POST", "applications", `{"displayName":"` + strings.Repeat("x", 257) + `"}`, 400, "Request_BadRequest"}, {"POST", "applications", `{"displayName":"x","keyCredentials":[{"key":"AAAA"}]}`, 400, "Request_BadRequest"},
		{"GET", "applications/nobody", "", 404, "Request_ResourceNotFound"}, {"GET", "nonsense", "", 400, "BadRequest"}, {"PUT", "applications", "", 405, "Request_BadRequest"},
		{"GET", "applications" + filter("displayName ne 'x'"), "", 400, "Request_UnsupportedQuery"}, {"GET", "applications" + filter("secret eq 'x'"), "", 400, "Request_UnsupportedQuery"},
		{"GET", "applications" + filter("displayName eq 'x' or 1 eq 1"), "", 400, "Request_UnsupportedQuery"}, {"GET", "users" + filter("displayName eq 'x'' or ''"), "", 400, "Request_UnsupportedQuery"},
		{"POST", "applications/" + app.id() + "/addPassword", `{"passwordCredential":{"startDateTime":"2030-01-01T00:00:00Z","endDateTime":"2020-01-01T00:00:00Z"}}`, 400, "Request_BadRequest"},
		{"POST", "users", `{"userPrincipalName":"x@y","displayName":"x","passwordProfile":{"password":"long enough"}}`, 403, "Authorization_RequestDenied"},
	} {
		d.want(d.do(test.method, test.path, test.body), test.status, test.code)
	}
}

func TestFilters(t *testing.T) {
	for text, want := range map[string]string{
		"displayName eq 'it''s'": "it's", "startswith(displayName,'a')": "abc", "startswith(displayName, 'A')": "abc", "identifierUris/any(u:u eq 'x')": "X", "appId eq 'b'": "B",
	} {
		property, holds, err := graph.ParseFilter(text)
		if err != nil || property == "" || !holds(want) || holds("other") {
			t.Errorf("%s: %s %v", text, property, err)
		}
	}
}

// A filter that is read holds of the text that it quotes, and of nothing that lacks it.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{"displayName eq 'a'", "startswith(displayName,'a')", "x/any(c:c eq 'a')", "a eq ''''", "a eq 'b' and c eq 'd'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		property, holds, err := graph.ParseFilter(text)
		if err == nil && property != "" && !strings.Contains(text, "''") && holds("\x01 no such text") && !strings.Contains(text, "\x01") && !strings.Contains(text, "''") && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "startswith") {
			t.Errorf("%q holds of everything", text)
		}
	})
}
