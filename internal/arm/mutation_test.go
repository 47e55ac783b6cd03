package arm_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"coffer/internal/arm"
	"coffer/test/mutation"
)

// Every route with a body × every member × every mutation: the answer is one of the
// protocol's, and what is refused has changed nothing.
func TestConformBodyMutations(t *testing.T) {
	claims(t, "arm-1-27", "arm-1-28")
	c := newVaults(t)
	p := c.server.NewPrincipal("p")
	full := c.properties(c.policy(p, "get"), `"networkAcls":{"bypass":"None","defaultAction":"Deny","ipRules":[{"value":"10.1.0.7/32"}],"virtualNetworkRules":[{"id":"/subscriptions/x"}]}`,
		`"enabledForDeployment":true,"enabledForDiskEncryption":true,"enabledForTemplateDeployment":true,"enableSoftDelete":true,"softDeleteRetentionInDays":90,"enableRbacAuthorization":false,"enablePurgeProtection":true,"publicNetworkAccess":"Enabled","createMode":"default"`)
	c.want(c.do("PUT", c.id("rg", "demo"), full), 200, "")
	role := `{"properties":{"roleName":"Custom","description":"d","assignableScopes":["` + c.sub + `"],"permissions":[{"actions":["a/read"],"notActions":["b"],"dataActions":["c"],"notDataActions":["d"]}]}}`
	assignment := fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q,"principalType":"ServicePrincipal","description":"d"}}`, reader, p.ObjectID)
	const id = "44444444-4444-4444-8444-444444444444"
	c.want(c.do("PUT", c.sub+"/providers/Microsoft.Authorization/roleDefinitions/"+id, role), 201, "")
	c.want(c.do("PUT", c.id("rg", "demo")+"/providers/Microsoft.Authorization/roleAssignments/"+id, assignment), 201, "")
	good := map[string]string{
		"PUT resourcegroups/{group}": `{"location":"eastus","tags":{"a":"b"}}`, "PATCH resourcegroups/{group}": `{"tags":{"a":"b"}}`, "PUT vaults/{vault}": full, "PATCH vaults/{vault}": full,
		"PUT accesspolicies/{kind}": `{"properties":{` + c.policy(p, "get", "list") + `}}`, "POST checknameavailability": `{"name":"free","type":"Microsoft.KeyVault/vaults"}`, "POST checkmhsmnameavailability": `{"name":"free","type":"x"}`,
		"PUT roledefinitions/{role}": role, "PUT roleassignments/{assignment}": assignment,
	}
	into, sent, fresh := arm.Bodies(), 0, 0
	for _, route := range arm.Routes() {
		if !route.TakesBody {
			continue
		}
		words := strings.Split(route.Pattern, "/")
		short := words[len(words)-1]
		if strings.HasPrefix(short, "{") {
			short = words[len(words)-2] + "/" + short
		}
		body, name := good[route.Method+" "+short], route.Method+" "+route.Pattern
		if body == "" || into[name] == nil {
			t.Errorf("%s has no body in this test", name)
			continue
		}
		pattern := "/" + strings.NewReplacer("{sub}", c.server.TenantID(), "{group}", "rg", "{kind}", "add", "{role}", id, "{assignment}", id, "{scope}/", strings.TrimPrefix(c.id("rg", "demo"), "/")+"/").Replace(route.Pattern)
		// Vaults that are there, and that are not.
		for _, vault := range map[bool][]string{true: {"demo", "fresh"}, false: {"demo"}}[name == "PUT "+"subscriptions/{sub}/resourcegroups/{group}/providers/microsoft.keyvault/vaults/{vault}"] {
			before := c.whole()
			for text := range mutation.Bodies(into[name], body) {
				at := strings.ReplaceAll(pattern, "{vault}", vault)
				if vault == "fresh" {
					at = strings.ReplaceAll(pattern, "{vault}", fmt.Sprint("fresh", fresh))
				}
				a := c.do(route.Method, at, text)
				sent++
				c.mutated(name, text, a)
				if a.status < 300 {
					fresh++
					before = ""
					continue
				}
				if before == "" { // it was another one before this
					before = c.whole()
				}
				if sent%7 == 0 {
					if after := c.whole(); after != before {
						t.Fatalf("%s: a refused body, this or one of the last, changed something: %.300s\n%s\n%s", name, text, before, after)
					}
				}
			}
		}
	}
	if sent < 1000 {
		t.Errorf("only %d bodies", sent)
	}
	t.Logf("%d bodies", sent)
}

func (c *control) mutated(name, text string, a answer) {
	c.t.Helper()
	if a.status < 300 {
		return
	}
	if a.status < 400 || a.status >= 500 || a.code() == "" || a.message() == "" || len(a.body) != 1 || len(a.text) > 3000 || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		c.t.Errorf("%s with %.200s: %d %.500s", name, text, a.status, a.text)
	}
}

// Paths that are written to mean something else reach nothing else: no other group, no other
// vault, no other scope.
func TestConformPathGames(t *testing.T) {
	claims(t, "arm-1-29", "arm-1-30")
	c := newVaults(t)
	c.want(c.do("PUT", c.group("mine"), `{"location":"eastus"}`), 201, "")
	c.want(c.do("PUT", c.id("rg", "other"), c.properties(none)), 200, "")
	c.want(c.do("PUT", c.id("mine", "vault"), c.properties(none)), 200, "")
	who := c.as(c.server.NewPrincipal("who"))
	c.want(c.assign(owner, c.group("mine"), who.who), 201, "")
	who.want(who.do("GET", c.id("mine", "vault"), ""), 200, "")
	before := c.whole()
	kv := "/providers/Microsoft.KeyVault/vaults/"
	mine := c.group("mine")
	for _, path := range []string{
		mine + "/../rg" + kv + "other", mine + "/%2e%2e/rg" + kv + "other", mine + "/%2E%2E/rg" + kv + "other", mine + "%2f..%2frg" + kv + "other", mine + "/..%2frg" + kv + "other", mine + "/..%5crg" + kv + "other",
		mine + kv + "vault/../other", mine + kv + "vault%2f..%2fother", mine + kv + "other", mine + kv + "OTHER", mine + kv + "other/", mine + kv + "other.", mine + kv + "other..", mine + kv + "other%00", mine + kv + "vault%00other", mine + kv + "other%20", mine + kv + "%20other",
		mine + kv + "./other", mine + "//" + strings.TrimPrefix(kv, "/") + "other", "//" + strings.TrimPrefix(c.id("rg", "other"), "/"), "/" + c.id("rg", "other"), c.id("rg", "other") + "//", c.id("rg", "other"), strings.ToUpper(c.id("rg", "other")), c.id("rg", "other") + "%2f", c.id("rg", "other") + "/x/..",
		mine + kv + "other;a=b", mine + kv + "other%3fx", mine + kv + "other%23", mine + kv + "oth%65r", mine + kv + "o\u200bther", mine + kv + "other%ff", mine + kv + strings.Repeat("o", 9000), c.group(strings.Repeat("x", 9000)) + kv + "other", c.sub + "/resourceGroups/mine/resourceGroups/rg" + kv + "other",
		c.sub + "/resourceGroups//resourceGroups/rg" + kv + "other", "/subscriptions/%2e/" + c.server.TenantID(), "/subscriptions/" + c.server.TenantID() + "%20/resourceGroups/rg" + kv + "other",
		mine + "/providers/Microsoft.KeyVault/vaults/other/providers/Microsoft.Authorization/roleAssignments/../../../x", c.id("rg", "other") + "/providers/Microsoft.Authorization/roleAssignments/" + stranger, mine + "/../rg/providers/Microsoft.Authorization/roleAssignments/" + stranger,
		mine + "%2f%2e%2e/rg/providers/Microsoft.Authorization/roleAssignments/" + stranger, "/providers/Microsoft.Authorization/roleAssignments/" + stranger, "//providers/Microsoft.Authorization/roleAssignments/" + stranger, c.sub + "/providers/Microsoft.Authorization/roleAssignments/" + stranger,
		c.sub + "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/other/purge", c.sub + "/providers/Microsoft.KeyVault/locations/..%2feastus/deletedVaults/other", mine + "/providers/Microsoft.KeyVault/vaults/vault/secrets/../../other/providers/Microsoft.Authorization/roleAssignments/" + stranger,
	} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "POST"} {
			body := ""
			if method == "PUT" || method == "PATCH" {
				body = strings.TrimSuffix(c.properties(none, fmt.Sprintf(`"roleDefinitionId":%q,"principalId":%q`, owner, who.who.ObjectID)), "}") + `,"tags":{"taken":"over"}}`
			}
			if _, err := url.Parse("https://management.azure.com" + path); err != nil {
				continue
			}
			a := who.do(method, path, body)
			if a.status < 400 && !slices.Contains([]int{http.StatusNoContent}, a.status) || a.status >= 500 || strings.Contains(a.text, `"name":"other"`) || len(a.text) > 3000 {
				t.Errorf("%s %.150s: %d %.300s", method, path, a.status, a.text)
			}
		}
	}
	if after := c.whole(); after != before {
		t.Errorf("%s\n%s", before, after)
	}
}

// What is matched is spelled as the path, and no segment has a separator in it.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v", "/subscriptions/s/resourcegroups/rg", "/providers/Microsoft.Authorization/roleDefinitions/x", "//providers/Microsoft.Authorization/roleAssignments",
		"/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v/secrets/one/providers/Microsoft.Authorization/roleAssignments/x", "/subscriptions/%2e%2e/locations", "/subscriptions/a%2fb", "/subscriptions/a\\b", "/", "", "/tenants/", "/%zz", "/subscriptions/s/providers/Microsoft.KeyVault/locations/l/deletedVaults/v/purge",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			f.Add(method, seed)
		}
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.Parse("https://management.azure.com" + path)
		if err != nil || u.Host != "management.azure.com" {
			return
		}
		params, scope, ok := arm.Match(&http.Request{Method: method, URL: u})
		if !ok {
			return
		}
		decoded := strings.ToLower(u.Path)
		for _, text := range append(slices.Collect(values(params)), strings.Split(strings.Trim(scope, "/"), "/")...) {
			if strings.ContainsAny(text, "/\\\x00") || text == "." || text == ".." || !strings.Contains(decoded, strings.ToLower(text)) {
				t.Errorf("%q is read as %q", path, text)
			}
		}
		if scope != "" && (!strings.HasPrefix(scope, "/") || strings.Contains(scope, "//")) {
			t.Errorf("%q has the scope %q", path, scope)
		}
	})
}

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// No token of an operation but the server's own leads to one.
func FuzzOperationToken(f *testing.F) {
	c := newFuzzControl(f)
	c.manyVaults("rg")
	location := c.do("DELETE", c.group("rg"), "").header.Get("Location")
	good := strings.TrimSuffix(location[strings.LastIndex(location, "/")+1:], "?api-version=2022-07-01")
	for _, seed := range []string{good, good[1:], good + "A", "AAAA", "", "=", "..", strings.ToLower(good), good[:len(good)/2]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if len(token) > 4000 {
			return
		}
		d := *c
		d.t = t
		for _, path := range []string{"/operationresults/", "/providers/Microsoft.KeyVault/locations/eastus/operationResults/"} {
			a := d.do("GET", d.sub+path+url.PathEscape(token), "")
			if a.status >= 500 || a.status < 400 && (token != good || path != "/operationresults/") {
				t.Errorf("%q: %d %s", token, a.status, a.text)
			}
		}
	})
}

// What filters are read as is what stands in them.
func FuzzFilters(f *testing.F) {
	for _, seed := range []string{"atScope()", "principalId eq 'x'", "assignedTo('3b8b4d9c-0000-4000-8000-000000000000')", "roleName eq 'it''s' and type eq 'BuiltInRole'", "resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'x'", "a or b", "'", "atScope() and atScope()"} {
		f.Add(seed)
	}
	c := newFuzzControl(f)
	f.Fuzz(func(t *testing.T, filter string) {
		if len(filter) > 4000 {
			return
		}
		d := *c
		d.t = t
		for _, path := range []string{"/providers/Microsoft.Authorization/roleAssignments", "/providers/Microsoft.Authorization/roleDefinitions", "/resources"} {
			a := d.do("GET", d.sub+path+"?$filter="+url.QueryEscape(filter), "")
			if a.status != 200 && a.status != 400 || a.status == 400 && a.code() == "" {
				t.Errorf("%q: %d %s", filter, a.status, a.text)
			}
			lower := strings.ToLower(filter)
			if a.status == 200 && (strings.Contains(lower, " or ") && !strings.Contains(lower, "'") || strings.Contains(lower, " ne ") && !strings.Contains(lower, "'")) {
				t.Errorf("%q was not refused: %s", filter, a.text)
			}
		}
	})
}
