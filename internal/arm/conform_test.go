package arm_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffer/coffertest"
	"coffer/internal/access"
	"coffer/internal/arm"
	"coffer/internal/token"
)

// claims says which rows of docs/conformance.md the test proves, see test/conformance.
func claims(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("conformance", id)
	}
}

// object is JSON.
type object = map[string]any

// at is the member at a path such as "properties.sku.name"; a number is a place in a list.
func (a answer) at(path string) any {
	var value any = a.body
	for word := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case object:
			value = v[word]
		case []any:
			var n int
			if _, err := fmt.Sscan(word, &n); err != nil || n >= len(v) {
				return nil
			}
			value = v[n]
		default:
			return nil
		}
	}
	return value
}

func (a answer) message() string { text, _ := a.at("error.message").(string); return text }

// is fails unless the members at the paths have the values, given in turn.
func (c *control) is(a answer, pathsAndValues ...any) {
	c.t.Helper()
	for i := 0; i < len(pathsAndValues); i += 2 {
		path, want := pathsAndValues[i].(string), pathsAndValues[i+1]
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		if got := a.at(path); !reflect.DeepEqual(got, want) {
			c.t.Errorf("%s is %#v, want %#v, in %s", path, got, want, a.text)
		}
	}
}

// order fails unless the texts stand in the answer one behind the other.
func (c *control) order(a answer, texts ...string) {
	c.t.Helper()
	rest := a.text
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			c.t.Errorf("%q is not at its place in %s", text, a.text)
			return
		}
		rest = after
	}
}

const stranger = "33333333-3333-4333-8333-333333333333" // nobody's id

func TestConformPaths(t *testing.T) {
	claims(t, "arm-1-1", "arm-1-2", "arm-1-3", "arm-1-14", "arm-2-8")
	c := newControl(t)
	c.want(c.do("PUT", c.group("My-RG"), `{"location":"East US"}`), 201, "")
	c.want(c.do("PUT", c.id("My-RG", "Demo"), c.properties(none)), 200, "")
	for _, path := range []string{
		strings.ToLower(c.id("My-RG", "Demo")), strings.ToUpper(c.id("My-RG", "Demo")), c.id("my-rg", "dEMO"), c.id("My-RG", "Demo") + "/",
	} {
		c.is(c.want(c.do("GET", path, ""), 200, ""), "id", c.id("My-RG", "Demo"), "name", "Demo", "location", "eastus")
		c.is(c.want(c.do("PATCH", path, `{}`), 200, ""), "id", c.id("My-RG", "Demo"))
	}
	c.is(c.want(c.do("GET", strings.ToUpper(c.group("my-rg")), ""), 200, ""), "id", c.group("My-RG"), "name", "My-RG")
	// Any date is a version, for every type; none is not.
	for _, path := range []string{"/tenants", "/subscriptions", c.sub, c.sub + "/locations", c.sub + "/resourcegroups", c.sub + "/providers/Microsoft.KeyVault", c.id("My-RG", "Demo"), c.sub + "/providers/Microsoft.Authorization/roleDefinitions"} {
		for _, version := range []string{"2015-11-01", "2018-01-01-preview", "2022-07-01", "2026-02-01", "2099-12-31-Preview"} {
			c.want(c.do("GET", path+"?api-version="+version, ""), 200, "")
		}
		c.want(c.do("GET", path+"?api-version=", ""), 400, "MissingApiVersionParameter")
		c.want(c.do("GET", path+"?api-version=7.4", ""), 400, "InvalidApiVersionParameter")
	}
	c.want(c.ask("https://management.azure.com", "https://management.azure.com", "2022-07-01", "GET", c.sub+"?api%2Dversion=2022-07-01&api-version", ""), 200, "")
}

func TestConformTokens(t *testing.T) {
	claims(t, "arm-1-4", "arm-1-5", "arm-1-6", "arm-1-7", "arm-1-8", "arm-1-9")
	c := newControl(t)
	for _, host := range []string{"https://management.azure.com", "https://management.core.windows.net"} {
		for _, resource := range []string{"https://management.azure.com", "https://management.azure.com/", "https://management.core.windows.net", "https://management.core.windows.net/"} {
			c.want(c.ask(host, resource, "2022-07-01", "GET", c.sub, ""), 200, "")
		}
	}
	challenged := func(a answer, code string) {
		t.Helper()
		c.want(a, 401, code)
		if want := fmt.Sprintf(`Bearer authorization_uri="https://login.microsoftonline.com/%s", error="invalid_token", error_description="%s"`, c.server.TenantID(), a.message()); a.header.Get("WWW-Authenticate") != want {
			t.Errorf("%s, want %s", a.header.Get("WWW-Authenticate"), want)
		}
	}
	nobody := c.as(coffertest.Principal{})
	challenged(nobody.do("GET", c.sub, ""), "AuthenticationFailed") // by which tools learn the tenant
	challenged(nobody.do("PUT", c.group("rg"), ""), "AuthenticationFailed")
	challenged(c.ask("https://management.azure.com", "https://vault.azure.net", "2022-07-01", "GET", c.sub, ""), "InvalidAuthenticationTokenAudience")
	good := c.token("https://management.azure.com")
	for raw, code := range map[string]string{
		forge(t, good, object{"iss": "https://sts.windows.net/" + stranger + "/", "tid": stranger}): "InvalidAuthenticationTokenTenant",
		forge(t, good, nil):     "InvalidAuthenticationToken",
		"nonsense":              "InvalidAuthenticationToken",
		unsigned(good, "none"):  "InvalidAuthenticationToken",
		unsigned(good, "HS256"): "InvalidAuthenticationToken",
		good + "x":              "InvalidAuthenticationToken",
	} {
		c.tokens[c.who.AppID+" forged"] = raw
		challenged(c.ask("https://management.azure.com", "forged", "2022-07-01", "GET", c.sub, ""), code)
	}
	// The wall clock is not the test's: an authenticator says what a real one does an hour later.
	for reason, code := range map[token.Reason]string{token.Expired: "ExpiredAuthenticationToken", token.NotYetValid: "InvalidAuthenticationToken", token.WrongAudience: "InvalidAuthenticationTokenAudience"} {
		door := arm.New(arm.Config{Auth: refusing(reason), Rejected: func(context.Context, access.Origin, string) {}, Audiences: []string{"a"}, Authority: "https://login", Log: slog.New(slog.DiscardHandler)})
		r, out := httptest.NewRequest("GET", "https://management.azure.com/subscriptions?api-version=2022-07-01", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer x")
		door.ServeHTTP(out, r)
		if out.Code != 401 || !strings.Contains(out.Body.String(), `"code":"`+code+`"`) || out.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", reason, out.Code, out.Body)
		}
	}
}

type refusing token.Reason

func (r refusing) Authenticate(context.Context, string, []string) (access.Caller, error) {
	return access.Caller{}, &token.Error{Reason: token.Reason(r)}
}

// unsigned is a token with the claims of a good one, another algorithm, and a key of its own
// in the header, which nobody is to believe.
func unsigned(good, alg string) string {
	header := `{"alg":"` + alg + `","typ":"JWT","kid":"x","jku":"https://evil.example/keys","jwk":{"kty":"oct","k":"AAAA"}}`
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + strings.Split(good, ".")[1] + "."
}

// forge signs changed claims with a key that nobody knows.
func forge(t *testing.T, good string, change object) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	claims := object{}
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	for name, value := range change {
		claims[name] = value
	}
	body, _ = json.Marshal(claims)
	text := parts[0] + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestConformHeaders(t *testing.T) {
	claims(t, "arm-1-10", "arm-1-11", "arm-1-12", "arm-1-13", "arm-1-15", "arm-1-16", "arm-1-17")
	c := newControl(t)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	for _, test := range []struct {
		method, path, body string
		status             int
		provider           bool
	}{
		{"GET", "/tenants", "", 200, false}, {"GET", c.sub, "", 200, false}, {"PUT", c.group("rg"), `{"location":"eastus"}`, 200, false}, {"HEAD", c.group("rg"), "", 204, false},
		{"PUT", c.id("rg", "demo"), c.properties(none), 200, true}, {"GET", c.id("rg", "demo"), "", 200, true}, {"GET", c.sub + "/providers/Microsoft.KeyVault/vaults", "", 200, true},
		{"GET", c.sub + "/providers/Microsoft.KeyVault/deletedVaults", "", 200, true}, {"PUT", c.id("rg", "a"), c.properties(none), 400, true}, {"PUT", c.id("rg", "demo"), c.properties(none, `"enablePurgeProtection":false`), 400, true},
		{"GET", c.id("rg", "missing"), "", 404, false}, {"GET", c.id("none", "demo"), "", 404, false}, {"GET", c.sub + "/nothing", "", 404, false}, {"PUT", c.group("rg"), `x`, 400, false},
		{"DELETE", c.id("rg", "demo"), "", 200, true}, {"DELETE", c.id("rg", "demo"), "", 204, true}, {"GET", c.group("rg") + "/providers/Microsoft.Authorization/roleAssignments", "", 200, false},
	} {
		a := c.do(test.method, test.path, test.body)
		if a.status != test.status {
			t.Errorf("%s %s: %d %s", test.method, test.path, a.status, a.text)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q", test.method, test.path, name, got)
			}
		}
		if uuid.Validate(a.header.Get("x-ms-request-id")) != nil || uuid.Validate(a.header.Get("x-ms-correlation-request-id")) != nil || !strings.HasSuffix(a.header.Get("x-ms-routing-request-id"), a.header.Get("x-ms-request-id")) {
			t.Errorf("%s %s: %v", test.method, test.path, a.header)
		}
		if (a.header.Get("x-ms-keyvault-service-version") != "") != test.provider || (a.header.Get("x-ms-failure-cause") == "gateway") != (test.status >= 400 && !test.provider) {
			t.Errorf("%s %s: %v", test.method, test.path, a.header)
		}
		if a.text == "" && test.status != 204 && a.header.Get("Content-Length") != "0" || a.text != "" && a.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s %s: %q with %v", test.method, test.path, a.text, a.header)
		}
		if test.status >= 400 && (len(a.body) != 1 || len(a.at("error").(object)) != 2 || a.message() == "") {
			t.Errorf("%s %s: %s", test.method, test.path, a.text)
		}
	}
	// A DELETE and a POST without a body, as clients send them.
	r, err := http.NewRequest("DELETE", "https://management.azure.com"+c.id("rg", "demo")+"?api-version=2022-07-01", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token("https://management.azure.com"))
	r.Header.Set("x-ms-client-request-id", "0a1b2c3d-0000-4000-8000-00000000000f")
	r.Header.Set("CommandName", "keyvault delete")
	response, err := c.server.HTTPClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	if response.Body.Close(); response.StatusCode != 204 || !strings.Contains(c.server.AuditLog(), "0a1b2c3d-0000-4000-8000-00000000000f") {
		t.Errorf("%d", response.StatusCode)
	}
	// An empty filter is none, escaped or not.
	for _, query := range []string{"?$filter=&$expand=", "?%24filter=&%24expand=", "?$filter=resourceType%20eq%20%27Microsoft.KeyVault%2Fvaults%27", "?%24filter=resourceType+eq+'microsoft.keyvault/VAULTS'"} {
		c.want(c.do("GET", c.sub+"/resources"+query, ""), 200, "")
	}
	if a := c.do("GET", c.sub+"/resourcegroups", ""); strings.Contains(a.text, "nextLink") {
		t.Error(a.text)
	}
}

func TestConformSubscriptions(t *testing.T) {
	claims(t, "arm-2-1", "arm-2-2", "arm-2-3", "arm-2-4", "arm-2-5", "arm-2-6", "arm-2-7", "arm-1-22")
	c := newControl(t)
	id := c.server.TenantID()
	tenants := c.want(c.do("GET", "/tenants", ""), 200, "")
	c.is(tenants, "value.0.id", "/tenants/"+id, "value.0.tenantId", id, "value.0.defaultDomain", "coffer.local", "value.0.domains", []any{}, "value.0.tenantCategory", "Home", "value.0.tenantType", "AAD", "value.0.countryCode", "US", "value.0.displayName", "Coffer")
	subscription := object{
		"id": c.sub, "subscriptionId": id, "tenantId": id, "displayName": "Coffer", "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": object{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	}
	c.is(c.want(c.do("GET", "/subscriptions", ""), 200, ""), "value", []any{subscription}, "count", object{"type": "Total", "value": 1.0})
	if got := c.want(c.do("GET", c.sub, ""), 200, "").body; !reflect.DeepEqual(got, subscription) {
		t.Errorf("%v", got)
	}
	locations := c.want(c.do("GET", c.sub+"/locations", ""), 200, "")
	seen := 0
	for _, one := range locations.body["value"].([]any) {
		l := one.(object)
		name := l["name"].(string)
		if l["id"] != c.sub+"/locations/"+name || l["type"] != "Region" || l["displayName"] == "" || l["regionalDisplayName"] == "" || strings.ToLower(strings.ReplaceAll(l["displayName"].(string), " ", "")) != name {
			t.Errorf("%v", l)
		}
		for _, member := range []string{"regionType", "regionCategory", "geographyGroup", "physicalLocation", "longitude", "latitude", "pairedRegion"} {
			if l["metadata"].(object)[member] == nil {
				t.Errorf("%s has no %s", name, member)
			}
		}
		// Each can be used, in both of its forms.
		for _, form := range []string{name, l["displayName"].(string)} {
			c.is(c.do("PUT", c.group("at-"+name), `{"location":"`+form+`"}`), "location", name)
		}
		seen++
	}
	if seen < 50 {
		t.Errorf("%d locations", seen)
	}
	for _, namespace := range []string{"Microsoft.KeyVault", "Microsoft.Authorization", "Microsoft.Resources"} {
		policy := "RegistrationFree"
		if namespace == "Microsoft.KeyVault" {
			policy = "RegistrationRequired"
		}
		got := c.want(c.do("GET", c.sub+"/providers/"+strings.ToLower(namespace), ""), 200, "")
		c.is(got, "id", c.sub+"/providers/"+namespace, "namespace", namespace, "registrationPolicy", policy, "registrationState", "Registered", "resourceTypes.0.capabilities", "None")
		for _, member := range []string{"resourceType", "locations", "apiVersions"} {
			if got.at("resourceTypes.0."+member) == nil {
				t.Error(got.text)
			}
		}
		registered := c.want(c.do("POST", c.sub+"/providers/"+namespace+"/register", ""), 200, "")
		if registered.text != got.text {
			t.Errorf("%s, %s", registered.text, got.text)
		}
		c.want(c.do("POST", c.sub+"/providers/"+namespace+"/unregister", ""), 409, "CannotUnregisterProvider")
	}
	if a := c.want(c.do("GET", c.sub+"/providers", ""), 200, ""); len(a.body["value"].([]any)) != 3 {
		t.Error(a.text)
	}
	if vaults := c.do("GET", c.sub+"/providers/Microsoft.KeyVault", "").at("resourceTypes.0"); vaults.(object)["resourceType"] != "vaults" || !slices.Contains(vaults.(object)["apiVersions"].([]any), any("2026-02-01")) || !slices.Contains(vaults.(object)["locations"].([]any), any("East US")) {
		t.Errorf("%v", vaults)
	}
	c.want(c.do("GET", c.sub+"/providers/Microsoft.Storage", ""), 404, "InvalidResourceNamespace")
	for _, path := range []string{c.group("rg") + "/providers/Microsoft.Storage/storageAccounts/a", c.id("rg", "v") + "/nothing", "/nothing", "/"} {
		c.want(c.do("GET", path, ""), 404, "InvalidResourceType")
	}
	for _, path := range []string{"/subscriptions/" + stranger, "/subscriptions/" + stranger + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v", "/subscriptions/" + stranger + "/providers/Microsoft.Authorization/roleDefinitions"} {
		c.want(c.do("GET", path, ""), 404, "SubscriptionNotFound")
	}
}

func TestConformGroups(t *testing.T) {
	claims(t, "arm-3-1", "arm-3-2", "arm-3-3", "arm-3-4", "arm-3-5", "arm-3-6", "arm-3-7", "arm-3-8", "arm-3-9", "arm-3-10", "arm-1-18", "arm-1-19", "arm-1-23")
	c := newControl(t)
	c.want(c.do("PUT", c.group("none"), `{}`), 400, "LocationRequired")
	c.want(c.do("PUT", c.group("none"), `{"location":"atlantis"}`), 400, "LocationNotAvailableForResourceType")
	made := c.want(c.do("PUT", c.group("RG"), `{"location":"East US","tags":{"a":"b"}}`), 201, "")
	c.order(made, `"id":`, `"name":"RG"`, `"type":"Microsoft.Resources/resourceGroups"`, `"location":"eastus"`, `"tags":{"a":"b"}`, `"properties":{"provisioningState":"Succeeded"}`)
	same := c.want(c.do("PUT", c.group("rg"), `{"location":"eastus","tags":{"a":"b"}}`), 200, "")
	if got := c.want(c.do("GET", c.group("rg"), ""), 200, ""); got.text != made.text || same.text != made.text {
		t.Errorf("%s %s", got.text, same.text)
	}
	c.want(c.do("PUT", c.group("RG"), `{"location":"westus"}`), 409, "InvalidResourceGroupLocation")
	if a := c.want(c.do("HEAD", c.group("rg"), ""), 204, ""); a.text != "" {
		t.Error(a.text)
	}
	if a := c.do("HEAD", c.group("none"), ""); a.status != 404 || a.text != "" {
		t.Errorf("%d %s", a.status, a.text)
	}
	c.want(c.do("GET", c.group("none"), ""), 404, "ResourceGroupNotFound")
	for _, name := range []string{"", "/resources", "/providers/Microsoft.KeyVault/vaults", "/providers/Microsoft.KeyVault/vaults/v"} {
		c.want(c.do("GET", c.group("none")+name, ""), 404, "ResourceGroupNotFound")
	}
	c.is(c.want(c.do("PATCH", c.group("rg"), `{"tags":{"x":"y"}}`), 200, ""), "tags", object{"x": "y"}, "location", "eastus")
	c.is(c.want(c.do("PATCH", c.group("rg"), `{}`), 200, ""), "tags", object{"x": "y"})
	c.want(c.do("PUT", c.id("rg", "one"), c.properties(none)), 200, "")
	c.want(c.do("PUT", c.group("other"), `{"location":"westus"}`), 201, "")
	c.want(c.do("PUT", c.id("other", "two"), strings.Replace(c.properties(none), "East US", "westus", 1)), 200, "")
	if a := c.want(c.do("GET", c.sub+"/resourceGroups", ""), 200, ""); !slices.Equal(a.names(), []string{"other", "RG"}) {
		t.Error(a.text)
	}
	all := c.want(c.do("GET", c.sub+"/resources?$filter=resourceType%20eq%20'Microsoft.KeyVault/vaults'", ""), 200, "")
	if !reflect.DeepEqual(all.body["value"], []any{
		object{"id": c.id("RG", "one"), "name": "one", "type": "Microsoft.KeyVault/vaults", "location": "eastus", "tags": object{}},
		object{"id": c.id("other", "two"), "name": "two", "type": "Microsoft.KeyVault/vaults", "location": "westus", "tags": object{}},
	}) {
		t.Error(all.text)
	}
	for query, names := range map[string]string{"": "[one two]", "?$filter=resourceType%20eq%20'Microsoft.KeyVault/vaults'%20and%20name%20eq%20'Two'": "[two]", "?$filter=resourceType%20eq%20'Microsoft.Storage/x'": "[]"} {
		if a := c.want(c.do("GET", c.sub+"/resources"+query, ""), 200, ""); fmt.Sprint(a.names()) != names {
			t.Errorf("%s: %s", query, a.text)
		}
	}
	c.want(c.do("PATCH", c.id("other", "two"), `{"tags":{"k":"v"}}`), 200, "")
	for filter, names := range map[string]string{
		"resourceGroup eq 'rg'": "[one]", "resourcegroup eq 'OTHER' and resourceType eq 'microsoft.keyvault/vaults' and name eq 'two'": "[two]", "name eq 'none'": "[]",
		"location eq 'West US'": "[two]", "location eq 'westus' and resourceGroup eq 'rg'": "[]", "tagName eq 'k'": "[two]", "tagname eq 'k' and tagvalue eq 'v'": "[two]", "tagName eq 'k' and tagValue eq 'w'": "[]",
	} {
		if a := c.want(c.do("GET", c.sub+"/resources?$filter="+url.QueryEscape(filter), ""), 200, ""); fmt.Sprint(a.names()) != names {
			t.Errorf("%s: %s", filter, a.text)
		}
	}
	for _, filter := range []string{"name eq 'one' and", "name eq 'one' and name eq 'two'", "name eq 'one' or name eq 'two'", "name eq 'one'and location eq 'eastus'", "tagValue eq 'v'", "name eq 'o'ne'", "kind eq 'x'"} {
		c.want(c.do("GET", c.sub+"/resources?$filter="+url.QueryEscape(filter), ""), 400, "InvalidFilterInQueryString")
	}
	if a := c.want(c.do("GET", c.group("rg")+"/resources", ""), 200, ""); fmt.Sprint(a.names()) != "[one]" {
		t.Error(a.text)
	}
	// The deletion is done when it is answered, so that no client waits.
	if a := c.want(c.do("DELETE", c.group("rg"), ""), 200, ""); a.text != "" || a.header.Get("Location")+a.header.Get("Retry-After") != "" {
		t.Errorf("%s %v", a.text, a.header)
	}
	if a := c.do("GET", c.sub+"/providers/Microsoft.KeyVault/deletedVaults", ""); fmt.Sprint(a.names()) != "[one]" {
		t.Error(a.text)
	}
	c.want(c.do("DELETE", c.group("rg"), ""), 404, "ResourceGroupNotFound")
	// One that is too much for a request is an operation that the client asks about.
	c.manyVaults("rg")
	deleted := c.want(c.do("DELETE", c.group("rg"), ""), 202, "")
	location := deleted.header.Get("Location")
	if deleted.text != "" || deleted.header.Get("Retry-After") != "1" || !strings.HasPrefix(location, "https://management.azure.com"+c.sub+"/operationresults/") || !strings.HasSuffix(location, "?api-version=2022-07-01") {
		t.Errorf("%v", deleted.header)
	}
	c.server.Settle()
	if a := c.want(c.do("GET", strings.TrimPrefix(location, "https://management.azure.com"), ""), 200, ""); a.text != "" {
		t.Error(a.text)
	}
	if a := c.do("GET", c.sub+"/providers/Microsoft.KeyVault/deletedVaults", ""); len(a.names()) != 52 {
		t.Error(a.text)
	}
	// It is not another operation's.
	purge := strings.Replace(strings.TrimPrefix(location, "https://management.azure.com"), "/operationresults/", "/providers/Microsoft.KeyVault/locations/eastus/operationResults/", 1)
	c.want(c.do("GET", purge, ""), 404, "ResourceNotFound")
}

func TestConformCloudMetadata(t *testing.T) {
	claims(t, "arm-9-1", "arm-9-2", "arm-9-3", "arm-9-4")
	c := newControl(t)
	c.who = coffertest.Principal{}
	old := c.want(c.do("GET", "/metadata/endpoints?api-version=2015-01-01", ""), 200, "")
	c.is(old, "graphEndpoint", "https://graph.microsoft.com/", "portalEndpoint", "https://portal.azure.com", "authentication.loginEndpoint", "https://login.microsoftonline.com/", "authentication.audiences", []any{"https://management.core.windows.net/"})
	for _, version := range []string{"2019-05-01", "2020-06-01"} {
		a := c.list("/metadata/endpoints?api-version=" + version)
		c.is(a, "value.0.name", "AzureCloud", "value.0.resourceManager", "https://management.azure.com/", "value.0.suffixes.keyVaultDns", "vault.azure.net", "value.0.authentication.tenant", "common",
			"value.0.authentication.identityProvider", "AAD", "value.0.graph", "https://graph.microsoft.com/", "value.0.microsoftGraphResourceId", "https://graph.microsoft.com/", "value.0.graphAudience", "https://graph.microsoft.com/",
			"value.0.portal", "https://portal.azure.com", "value.0.batch", "", "value.0.media", "", "value.0.sqlManagement", "", "value.0.vmImageAliasDoc", "", "value.0.suffixes.storage", "")
	}
	c.is(c.want(c.do("GET", "/metadata/endpoints?api-version=2022-09-01", ""), 200, ""), "name", "AzureCloud", "authentication.tenant", "common")
	c.want(c.do("GET", "/metadata/endpoints?api-version=", ""), 400, "MissingApiVersionParameter")
	c.want(c.do("GET", "/metadata/endpoints?api-version=zz", ""), 400, "InvalidApiVersionParameter")
	c.want(c.do("POST", "/metadata/endpoints", ""), 401, "AuthenticationFailed")
}

// list is a GET of a document that is an array; it becomes the member value.
func (c *control) list(path string) answer {
	c.t.Helper()
	response, err := c.server.HTTPClient().Get("https://management.azure.com" + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var value []any
	text, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(text, &value) != nil || response.StatusCode != 200 {
		c.t.Fatalf("%d %q, %v", response.StatusCode, text, err)
	}
	return answer{status: 200, header: response.Header, text: string(text), body: object{"value": value}}
}
