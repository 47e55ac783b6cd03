package arm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
)

// A control is the control plane, spoken to in plain HTTP.
type control struct {
	t      testing.TB
	server *coffertest.Server
	who    coffertest.Principal
	sub    string
	tokens map[string]string // by principal and resource
}

func newControl(t *testing.T) *control {
	t.Helper()
	return newFuzzControl(t)
}

func newFuzzControl(t testing.TB) *control {
	t.Helper()
	s := coffertest.New(t)
	return &control{t: t, server: s, who: s.Owner(), sub: "/subscriptions/" + s.TenantID(), tokens: map[string]string{}}
}

// manyVaults makes a group with more vaults than one request deletes.
func (c *control) manyVaults(group string) {
	c.t.Helper()
	c.do("PUT", c.group(group), `{"location":"eastus"}`)
	for i := range 51 {
		c.want(c.do("PUT", c.id(group, fmt.Sprint(group, "-", i)), c.properties(none)), 200, "")
	}
}

func (c *control) as(p coffertest.Principal) *control {
	other := *c
	other.who = p
	return &other
}

type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	if inner, ok := e["innererror"].(map[string]any); ok {
		code += "/" + inner["code"].(string)
	}
	return code
}

// values are the names of a list.
func (a answer) names() (out []string) {
	list, _ := a.body["value"].([]any)
	for _, item := range list {
		out = append(out, fmt.Sprint(item.(map[string]any)["name"]))
	}
	return out
}

// do sends a request to a host, with a token for the resource; a path without a query gets
// an api-version.
func (c *control) do(method, path, body string) answer {
	return c.ask("https://management.azure.com", "https://management.azure.com", "2022-07-01", method, path, body)
}

func (c *control) vault(name, method, path, body string) answer {
	return c.ask("https://"+name+".vault.azure.net", "https://vault.azure.net", "7.6", method, path, body)
}

func (c *control) ask(base, resource, version, method, path, body string) answer {
	c.t.Helper()
	if !strings.Contains(path, "?") {
		path += "?"
	}
	if !strings.Contains(path, "api-version") {
		path += "&api-version=" + version
	}
	r, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.who.AppID != "" {
		r.Header.Set("Authorization", "Bearer "+c.token(resource))
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := c.server.HTTPClient().Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	out := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			c.t.Fatalf("%s %s answers %q", method, path, text)
		}
	}
	return out
}

// token is one of the principal for a resource.
func (c *control) token(resource string) string {
	c.t.Helper()
	key := c.who.AppID + " " + resource
	if c.tokens[key] == "" {
		token, err := c.who.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
		if err != nil {
			c.t.Fatal(err)
		}
		c.tokens[key] = token.Token
	}
	return c.tokens[key]
}

func (c *control) want(a answer, status int, code string) answer {
	c.t.Helper()
	if a.status != status || a.code() != code {
		c.t.Errorf("want %d %s, got %d %s", status, code, a.status, a.text)
	}
	return a
}

func (c *control) group(name string) string { return c.sub + "/resourceGroups/" + name }

func (c *control) id(group, vault string) string {
	return c.group(group) + "/providers/Microsoft.KeyVault/vaults/" + vault
}

// properties is a body of a vault with more properties, such as `"a":1`.
func (c *control) properties(more ...string) string {
	all := append([]string{fmt.Sprintf(`"tenantId":%q,"sku":{"family":"A","name":"standard"}`, c.server.TenantID())}, more...)
	return `{"location":"East US","properties":{` + strings.Join(all, ",") + `}}`
}

// policy grants the words of certificates to a principal.
func (c *control) policy(p coffertest.Principal, words ...string) string {
	list, _ := json.Marshal(words)
	return fmt.Sprintf(`"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"certificates":%s}}]`, c.server.TenantID(), p.ObjectID, list)
}

const none = `"accessPolicies":[]`

func (c *control) assign(role, scope string, p coffertest.Principal) answer {
	c.t.Helper()
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", len(scope), time.Now().UnixNano()&0xffffffffffff)
	return c.do("PUT", scope+"/providers/Microsoft.Authorization/roleAssignments/"+id,
		fmt.Sprintf(`{"properties":{"roleDefinitionId":"%s/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q}}`, c.sub, role, p.ObjectID))
}

const (
	contributor         = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	reader              = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	certificatesOfficer = "a4417e6f-fecd-4de8-b567-7b0420556985"
	secretsUser         = "4633458b-17de-408a-b874-0445c86b69e6"
	dataAccessAdmin     = "8b54135c-b56d-4d72-a534-26097cfdc8d8"
	owner               = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
)

func TestGroups(t *testing.T) {
	c := newControl(t)
	made := c.want(c.do("PUT", c.group("RG"), `{"location":"East US","tags":{"a":"b"}}`), 201, "")
	if made.body["id"] != c.group("RG") || made.body["location"] != "eastus" || !strings.Contains(made.text, `"provisioningState":"Succeeded"`) {
		t.Error(made.text)
	}
	c.want(c.do("PUT", strings.ToLower(c.group("rg")), `{"location":"eastus"}`), 200, "")
	c.want(c.do("PUT", c.group("rg"), `{"location":"westus"}`), 409, "InvalidResourceGroupLocation")
	c.want(c.do("PUT", c.group("other"), `{}`), 400, "LocationRequired")
	c.want(c.do("PUT", c.group("other"), `{"location":"atlantis"}`), 400, "LocationNotAvailableForResourceType")
	c.want(c.do("PUT", c.group("dot."), `{"location":"eastus"}`), 400, "InvalidResourceGroupName")
	c.want(c.do("PUT", c.group("other"), `nonsense`), 400, "InvalidRequestContent")
	c.want(c.do("GET", c.group("none"), ""), 404, "ResourceGroupNotFound")
	c.want(c.do("HEAD", c.group("RG"), ""), 204, "")
	if a := c.do("HEAD", c.group("none"), ""); a.status != 404 || a.text != "" {
		t.Errorf("%+v", a)
	}
	if a := c.want(c.do("PATCH", c.group("rg"), `{"tags":{"x":"y"}}`), 200, ""); !strings.Contains(a.text, `"tags":{"x":"y"}`) {
		t.Error(a.text)
	}
	if a := c.want(c.do("GET", c.sub+"/resourcegroups", ""), 200, ""); fmt.Sprint(a.names()) != "[RG]" {
		t.Error(a.text)
	}
	c.want(c.do("PUT", c.id("RG", "one"), c.properties(none)), 200, "")
	c.want(c.do("DELETE", c.group("rg"), ""), 200, "")
	c.want(c.do("GET", c.sub+"/operationresults/nonsense", ""), 404, "ResourceNotFound")
	c.want(c.do("GET", c.group("rg"), ""), 404, "ResourceGroupNotFound")
	c.want(c.do("GET", c.id("rg", "one"), ""), 404, "ResourceGroupNotFound")
	if a := c.do("GET", c.sub+"/providers/Microsoft.KeyVault/deletedVaults", ""); fmt.Sprint(a.names()) != "[one]" {
		t.Error(a.text)
	}
	c.want(c.do("DELETE", c.group("rg"), ""), 404, "ResourceGroupNotFound")
}

func TestVaultLife(t *testing.T) {
	t.Attr("conformance", "cert-2.3-8")
	c := newControl(t)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.want(c.do("PUT", c.id("nowhere", "demo"), c.properties(none)), 404, "ResourceGroupNotFound")
	c.want(c.do("GET", c.id("rg", "demo"), ""), 404, "ResourceNotFound")
	made := c.want(c.do("PUT", c.id("rg", "Demo"), c.properties(c.policy(c.who, "all", "Purge"), `"softDeleteRetentionInDays":7`)), 200, "")
	for _, want := range []string{`"vaultUri":"https://demo.vault.azure.net/"`, `"certificates":["all","Purge"]`, `"enableSoftDelete":true,"softDeleteRetentionInDays":7`, `"name":"standard"`, `"createdByType":"Application"`} {
		if !strings.Contains(made.text, want) {
			t.Errorf("%s is missing in %s", want, made.text)
		}
	}
	for _, absent := range []string{"networkAcls", "enablePurgeProtection", "enableRbacAuthorization", "enabledForDiskEncryption", "createMode"} {
		if strings.Contains(made.text, absent) {
			t.Errorf("%s is in %s", absent, made.text)
		}
	}
	c.want(c.vault("demo", "POST", "/certificates/web/create", `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=a"}}}`), 202, "")
	if a := c.do("GET", c.sub+"/resources?$filter=resourceType%20eq%20'Microsoft.KeyVault/vaults'", ""); fmt.Sprint(a.names()) != "[Demo]" || strings.Contains(a.text, "properties") {
		t.Error(a.text)
	}
	c.want(c.do("GET", c.sub+"/resources?$filter=name%20gt%205", ""), 400, "InvalidFilterInQueryString")
	if a := c.want(c.do("PATCH", c.id("RG", "demo"), `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"10.1.0.7"}]}}}`), 200, ""); !strings.Contains(a.text, `"ipRules":[{"value":"10.1.0.7/32"}]`) || !strings.Contains(a.text, "Purge") {
		t.Error(a.text)
	}
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByFirewall")
	c.want(c.do("PATCH", c.id("RG", "demo"), `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"127.0.0.0/8"}]}}}`), 200, "")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 200, "")
	c.want(c.do("PATCH", c.id("RG", "demo"), `{"properties":{"publicNetworkAccess":"disabled"}}`), 200, "")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByConnection")
	c.want(c.do("PATCH", c.id("RG", "demo"), `{"properties":{"publicNetworkAccess":"Enabled"}}`), 200, "")

	// Deleted: no data, the name taken; recovered: all as it was.
	c.want(c.do("DELETE", c.id("rg", "demo"), ""), 200, "")
	c.want(c.do("DELETE", c.id("rg", "demo"), ""), 204, "")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 404, "VaultNotFound")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 409, "ConflictError")
	if a := c.do("POST", c.sub+"/providers/Microsoft.KeyVault/checkNameAvailability", `{"name":"demo","type":"Microsoft.KeyVault/vaults"}`); !strings.Contains(a.text, `"AlreadyExists"`) {
		t.Error(a.text)
	}
	place := c.sub + "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/demo"
	if a := c.want(c.do("GET", place, ""), 200, ""); !strings.Contains(a.text, `"scheduledPurgeDate":"`+c.server.Now().Add(7*24*time.Hour).Format("2006-01-02T15:04:05Z")) {
		t.Error(a.text)
	}
	c.want(c.do("GET", strings.Replace(place, "eastus", "westus", 1), ""), 404, "DeletedVaultNotFound")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 200, "")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 200, "")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 404, "DeletedVaultNotFound")

	// Purged: gone, and a namesake inherits nothing.
	c.want(c.do("POST", place+"/purge", ""), 404, "DeletedVaultNotFound")
	c.do("DELETE", c.id("rg", "demo"), "")
	c.want(c.do("POST", place+"/purge", ""), 200, "")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(c.policy(c.who, "get", "list"))), 200, "")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 404, "CertificateNotFound")
}

// What is deleted is purged at its date, and under protection not before.
func TestScheduledPurge(t *testing.T) {
	c := newControl(t)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none, `"enablePurgeProtection":true,"softDeleteRetentionInDays":7`)), 200, "")
	c.want(c.do("PATCH", c.id("rg", "demo"), `{"properties":{"enablePurgeProtection":false}}`), 400, "BadRequest")
	c.do("DELETE", c.id("rg", "demo"), "")
	place := c.sub + "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/demo"
	c.want(c.do("POST", place+"/purge", ""), 405, "MethodNotAllowed")
	c.server.Turn(7*24*time.Hour - time.Minute)
	c.want(c.do("GET", place, ""), 200, "")
	c.server.Turn(2 * time.Minute)
	c.want(c.do("GET", place, ""), 404, "DeletedVaultNotFound")
}

func TestBadVaults(t *testing.T) {
	c := newControl(t)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.do("PUT", c.group("rg2"), `{"location":"eastus"}`)
	c.want(c.do("PUT", c.id("rg", "taken"), c.properties(none)), 200, "")
	for _, test := range []struct {
		method, path, body, code string
		status                   int
	}{
		{"PUT", c.id("rg", "a"), c.properties(none), "VaultNameNotValid", 400}, {"PUT", c.id("rg", "a--b"), c.properties(none), "VaultNameNotValid", 400},
		{"PUT", c.id("rg2", "taken"), c.properties(none), "VaultAlreadyExists", 409}, {"PUT", c.id("rg", "taken"), strings.Replace(c.properties(none), "East US", "westus", 1), "InvalidResourceLocation", 409},
		{"PUT", c.id("rg", "new"), `{"properties":{}}`, "LocationRequired", 400}, {"PUT", c.id("rg", "new"), `{"location":"eastus"}`, "BadRequest", 400},
		{"PUT", c.id("rg", "new"), c.properties(), "BadRequest", 400}, {"PUT", c.id("rg", "new"), c.properties(none, `"enableSoftDelete":false`), "BadRequest", 400},
		{"PUT", c.id("rg", "new"), c.properties(none, `"softDeleteRetentionInDays":6`), "BadRequest", 400}, {"PUT", c.id("rg", "new"), c.properties(none, `"softDeleteRetentionInDays":"x"`), "InvalidRequestContent", 400},
		{"PUT", c.id("rg", "new"), strings.Replace(c.properties(none), "standard", "gold", 1), "SkuNotSupported", 400}, {"PUT", c.id("rg", "new"), c.properties(none, `"createMode":"magic"`), "BadRequest", 400},
		{"PUT", c.id("rg", "new"), c.properties(`"accessPolicies":[{"tenantId":"x","objectId":"y","permissions":{}}]`), "BadRequest", 400},
		{"PUT", c.id("rg", "new"), c.properties(c.policy(c.who, "dance")), "BadRequest", 400},
		{"PUT", c.id("rg", "new"), c.properties(none, `"networkAcls":{"ipRules":[{"value":"everywhere"}]}`), "NetworkAclsValidationFailure", 400},
		{"PUT", c.id("rg", "new"), strings.Replace(c.properties(none), c.server.TenantID(), "33333333-3333-4333-8333-333333333333", 1), "BadRequest", 400},
		{"PATCH", c.id("rg", "new"), `{}`, "ResourceNotFound", 404}, {"PATCH", c.id("rg", "taken"), `{"properties":{"softDeleteRetentionInDays":8}}`, "BadRequest", 400},
		{"PUT", c.id("rg", "new") + "/accessPolicies/add", `{}`, "ParentResourceNotFound", 404}, {"PUT", c.id("rg", "taken") + "/accessPolicies/dance", `{}`, "BadRequest", 400},
		{"GET", "/subscriptions/33333333-3333-4333-8333-333333333333/resourcegroups", "", "SubscriptionNotFound", 404},
		{"GET", c.group(strings.Repeat("x", 2000)), "", "ResourceGroupNotFound", 404}, {"DELETE", c.group("rg%00"), "", "InvalidRequestUri", 400},
		{"GET", c.id("rg", strings.Repeat("x", 2000)), "", "ResourceNotFound", 404}, {"POST", c.sub + "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/" + strings.Repeat("x", 2000) + "/purge", "", "DeletedVaultNotFound", 404},
		{"GET", c.sub + "/nonsense", "", "InvalidResourceType", 404}, {"POST", c.id("rg", "taken"), "", "MethodNotAllowed", 405},
		{"GET", c.group("rg") + "/providers/Microsoft.KeyVault/vaults/%2e%2e", "", "InvalidRequestUri", 400}, {"GET", c.group("rg") + "//providers/Microsoft.KeyVault/vaults/taken", "", "InvalidRequestUri", 400},
		{"GET", c.group("rg") + "/providers/Microsoft.KeyVault/vaults/x%2ftaken", "", "InvalidRequestUri", 400}, {"GET", c.sub + "?api-version=latest", "", "InvalidApiVersionParameter", 400},
		{"GET", c.sub + "?api-version=", "", "MissingApiVersionParameter", 400}, {"GET", c.sub + "/providers/Microsoft.Nothing", "", "InvalidResourceNamespace", 404},
	} {
		c.want(c.do(test.method, test.path, test.body), test.status, test.code)
	}
	if a := c.do("GET", c.sub+"/providers/Microsoft.KeyVault/vaults", ""); fmt.Sprint(a.names()) != "[taken]" {
		t.Errorf("a refused request made something: %s", a.text)
	}
	nobody := c.as(coffertest.Principal{})
	if a := nobody.want(nobody.do("GET", c.sub, ""), 401, "AuthenticationFailed"); !strings.Contains(a.header.Get("WWW-Authenticate"), "/"+c.server.TenantID()+`"`) {
		t.Errorf("%v", a.header)
	}
}

func TestAccessPolicies(t *testing.T) {
	c := newControl(t)
	p := c.server.NewPrincipal("p")
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.do("PUT", c.id("rg", "demo"), c.properties(none))
	change := func(kind string, words ...string) string {
		a := c.do("PUT", c.id("rg", "demo")+"/accessPolicies/"+kind, `{"properties":{`+c.policy(p, words...)+`}}`)
		if a.status != 200 && a.status != 201 {
			t.Errorf("%s: %s", kind, a.text)
		}
		_, after, _ := strings.Cut(a.text, `"certificates":`)
		list, _, _ := strings.Cut(after, "]")
		return list
	}
	for _, step := range []struct {
		kind  string
		words []string
		want  string
	}{{"add", []string{"get"}, `["get"`}, {"add", []string{"Get", "list"}, `["Get","list"`}, {"replace", []string{"create"}, `["create"`}, {"add", []string{"get"}, `["create","get"`}, {"remove", []string{"CREATE"}, `["get"`}, {"remove", []string{"get"}, ""}} {
		if got := change(step.kind, step.words...); got != step.want {
			t.Errorf("%+v: %s", step, got)
		}
	}
	as := c.as(p)
	as.want(as.vault("demo", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByPolicy")
	change("add", "list")
	as.want(as.vault("demo", "GET", "/certificates", ""), 200, "")
}

// A vault with role assignments, from its creation to the next request after a change.
func TestRoleAssignments(t *testing.T) {
	t.Attr("conformance", "cert-2.3-7")
	c := newControl(t)
	p := c.server.NewPrincipal("p")
	as := c.as(p)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	made := c.want(c.do("PUT", c.id("rg", "demo")+"?api-version=2026-02-01", c.properties()), 200, "")
	if !strings.Contains(made.text, `"enableRbacAuthorization":true`) {
		t.Error(made.text)
	}
	as.want(as.vault("demo", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByRbac")
	c.want(c.vault("demo", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByRbac") // owning is not reading
	assigned := c.want(c.assign(certificatesOfficer, c.id("rg", "demo"), p), 201, "")
	c.want(c.assign(certificatesOfficer, c.id("rg", "demo"), p), 409, "RoleAssignmentExists")
	as.want(as.vault("demo", "GET", "/certificates", ""), 200, "")
	as.want(as.vault("demo", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByRbac")
	id := assigned.body["id"].(string)
	c.want(c.do("GET", id, ""), 200, "")
	if a := c.do("GET", c.id("rg", "demo")+"/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()", ""); len(a.names()) != 2 {
		t.Error(a.text)
	}
	c.want(c.do("DELETE", id, ""), 200, "")
	c.want(c.do("DELETE", id, ""), 204, "")
	as.want(as.vault("demo", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByRbac")

	// One object's scope is that object.
	c.want(c.assign(secretsUser, c.id("rg", "demo")+"/secrets/one", p), 201, "")
	as.want(as.vault("demo", "GET", "/secrets/one", ""), 404, "SecretNotFound")
	as.want(as.vault("demo", "GET", "/secrets/two", ""), 403, "Forbidden/ForbiddenByRbac")
	c.want(c.assign("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", c.id("rg", "demo")+"/secrets/three", p), 201, "")
	as.want(as.vault("demo", "PUT", "/secrets/three", `{"value":"v"}`), 200, "")
	as.want(as.vault("demo", "DELETE", "/secrets/three", ""), 200, "")
	as.want(as.vault("demo", "POST", "/deletedsecrets/three/recover", ""), 200, "")
	as.want(as.vault("demo", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByRbac")
	c.want(c.assign(contributor, c.id("rg", "none"), p), 404, "ResourceNotFound")
	c.want(c.assign("33333333-3333-4333-8333-333333333333", c.group("rg"), p), 400, "RoleDefinitionDoesNotExist")
	c.want(c.assign(reader, c.group("rg"), coffertest.Principal{ObjectID: "33333333-3333-4333-8333-333333333333"}), 400, "PrincipalNotFound")
	if a := c.do("PUT", c.group("rg")+"/providers/Microsoft.Authorization/roleAssignments/33333333-3333-4333-8333-333333333333", `{"properties":{"roleDefinitionId":"`+reader+`","principalId":"`+p.ObjectID+`","condition":"true"}}`); a.code() != "ConditionNotSupported" {
		t.Error(a.text)
	}

	// Those of a group end with it; those of its vaults when they are purged.
	c.want(c.assign(certificatesOfficer, c.id("rg", "demo"), p), 201, "")
	c.want(c.assign(secretsUser, c.group("rg"), p), 201, "")
	c.want(c.do("DELETE", c.group("rg"), ""), 200, "")
	c.want(c.do("PUT", c.group("rg"), `{"location":"eastus"}`), 201, "")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 200, "")
	as.want(as.vault("demo", "GET", "/certificates", ""), 200, "")
	as.want(as.vault("demo", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByRbac")

	// A purged vault's assignments do not count for a namesake.
	c.do("DELETE", c.id("rg", "demo"), "")
	c.do("POST", c.sub+"/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/demo/purge", "")
	c.server.Settle()
	c.want(c.do("PUT", c.id("rg", "demo")+"?api-version=2026-02-01", c.properties()), 200, "")
	as.want(as.vault("demo", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByRbac")
}

// Who may give access, and who may not.
func TestDelegation(t *testing.T) {
	c := newControl(t)
	manager, delegate, p := c.server.NewPrincipal("manager"), c.server.NewPrincipal("delegate"), c.server.NewPrincipal("p")
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.do("PUT", c.id("rg", "demo"), c.properties(none))
	c.want(c.assign(contributor, c.group("rg"), manager), 201, "")
	c.want(c.assign(dataAccessAdmin, c.group("rg"), delegate), 201, "")
	m, d := c.as(manager), c.as(delegate)
	m.want(m.assign(secretsUser, c.group("rg"), p), 403, "AuthorizationFailed")
	m.want(m.do("PATCH", c.id("rg", "demo"), `{"properties":{"enableRbacAuthorization":true}}`), 400, "InsufficientPermissions")
	m.want(m.do("PATCH", c.id("rg", "demo"), `{"tags":{"a":"b"}}`), 200, "")
	d.want(d.assign(secretsUser, c.group("rg"), p), 201, "")
	d.want(d.assign(owner, c.group("rg"), delegate), 403, "AuthorizationFailed")
	d.want(d.assign(secretsUser, c.sub, p), 403, "AuthorizationFailed")
	d.want(d.do("DELETE", c.id("rg", "demo"), ""), 403, "AuthorizationFailed")
	c.want(c.do("PATCH", c.id("rg", "demo"), `{"properties":{"enableRbacAuthorization":true}}`), 200, "")
	custom := c.sub + "/providers/Microsoft.Authorization/roleDefinitions/44444444-4444-4444-8444-444444444444"
	role := fmt.Sprintf(`{"properties":{"roleName":"Signer","assignableScopes":[%q],"permissions":[{"dataActions":["Microsoft.KeyVault/vaults/keys/sign/action"]}]}}`, c.sub)
	m.want(m.do("PUT", custom, role), 403, "AuthorizationFailed")
	c.want(c.do("PUT", custom, role), 201, "")
	c.want(c.do("PUT", custom, role), 201, "")
	c.want(c.assign("44444444-4444-4444-8444-444444444444", c.group("rg"), p), 201, "")
	c.want(c.do("DELETE", custom, ""), 400, "RoleDefinitionHasAssignments")
	c.want(c.do("DELETE", strings.Replace(custom, "44444444-4444-4444-8444-444444444444", owner, 1), ""), 403, "RoleDefinitionUpdateNotPermitted")
}

// A vault that came into being by being used can be adopted while it is empty.
func TestAdoption(t *testing.T) {
	c := newControl(t)
	c.do("PUT", c.group("rg"), `{"location":"eastus"}`)
	c.want(c.vault("empty", "GET", "/secrets", ""), 200, "")
	c.want(c.vault("used", "PUT", "/secrets/s", `{"value":"v"}`), 200, "")
	if a := c.do("GET", c.group("coffer")+"/providers/Microsoft.KeyVault/vaults", ""); fmt.Sprint(a.names()) != "[empty used]" {
		t.Error(a.text)
	}
	c.want(c.do("GET", c.id("rg", "empty"), ""), 404, "ResourceNotFound")
	c.want(c.do("PUT", c.id("rg", "used"), c.properties(none)), 409, "VaultAlreadyExists")
	c.want(c.do("PUT", c.id("rg", "empty"), c.properties(none)), 200, "")
	c.want(c.vault("empty", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByPolicy")
	c.do("DELETE", c.id("rg", "empty"), "")
	c.want(c.vault("empty", "GET", "/secrets", ""), 404, "VaultNotFound") // it stays deleted, whoever touches it
}

func TestMetadata(t *testing.T) {
	c := newControl(t).as(coffertest.Principal{})
	for version, begin := range map[string]string{"2015-01-01": `{"galleryEndpoint"`, "2022-09-01": `{"portal"`} {
		if a := c.want(c.do("GET", "/metadata/endpoints?api-version="+version, ""), 200, ""); !strings.HasPrefix(a.text, begin) {
			t.Error(a.text)
		}
	}
}
