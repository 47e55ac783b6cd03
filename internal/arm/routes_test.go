package arm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"coffer/coffertest"
	"coffer/internal/arm"
)

// A rule is who may use a route, and a request by which that shows: refused with
// AuthorizationFailed who may not, anything else who may. Nothing of it changes anything.
type rule struct {
	action string // of the control plane
	kind   string // empty: it decides; see below
	body   string
}

// The kinds of rules without a refusal.
const (
	anyone   = "anyone"   // every principal of the tenant
	assigned = "assigned" // whoever has a role in the subscription; the list of subscriptions is empty for others
	listed   = "listed"   // a list of what may be read
	inGroup  = "inGroup"  // the same of a group, which is refused to who may read nothing in it
	holder   = "holder"   // whoever has the token, which is sealed
)

const (
	groups        = "Microsoft.Resources/subscriptions/resourceGroups/"
	vaultActions  = "Microsoft.KeyVault/vaults/"
	roleActions   = "Microsoft.Authorization/roleDefinitions/"
	assignActions = "Microsoft.Authorization/roleAssignments/"
	kvActions     = "Microsoft.KeyVault/"
)

// rules has every route. In the paths the group and the vault of a change do not exist.
func (c *control) rules() map[string]rule {
	const sub, kv, groupKV, auth = "subscriptions/{sub}", "subscriptions/{sub}/providers/microsoft.keyvault/", "subscriptions/{sub}/resourcegroups/{group}/providers/microsoft.keyvault/", "{scope}/providers/microsoft.authorization/"
	assign := fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, secretsUser, stranger)
	return map[string]rule{
		"GET tenants": {kind: anyone}, "GET subscriptions": {kind: assigned}, "GET " + sub: {kind: assigned}, "GET " + sub + "/locations": {kind: assigned},
		"GET " + sub + "/providers": {action: "Microsoft.Resources/subscriptions/providers/read"}, "GET " + sub + "/providers/{namespace}": {action: "Microsoft.Resources/subscriptions/providers/read"},
		"POST " + sub + "/providers/{namespace}/register": {action: kvActions + "register/action"}, "POST " + sub + "/providers/{namespace}/unregister": {action: kvActions + "register/action"},

		"GET " + sub + "/resourcegroups": {action: groups + "read", kind: listed}, "PUT " + sub + "/resourcegroups/{group}": {action: groups + "write", body: `{"location":"westus"}`},
		"GET " + sub + "/resourcegroups/{group}": {action: groups + "read"}, "HEAD " + sub + "/resourcegroups/{group}": {action: groups + "read"},
		"PATCH " + sub + "/resourcegroups/{group}": {action: groups + "write", body: `{}`}, "DELETE " + sub + "/resourcegroups/{group}": {action: groups + "delete"},
		"GET " + sub + "/operationresults/{token}": {kind: holder}, "GET " + sub + "/resources": {action: vaultActions + "read", kind: listed}, "GET " + sub + "/resourcegroups/{group}/resources": {action: vaultActions + "read", kind: inGroup},

		"GET " + kv + "vaults": {action: vaultActions + "read", kind: listed}, "GET " + groupKV + "vaults": {action: vaultActions + "read", kind: inGroup},
		"PUT " + groupKV + "vaults/{vault}": {action: vaultActions + "write", body: c.properties(none)}, "PATCH " + groupKV + "vaults/{vault}": {action: vaultActions + "write", body: `{}`},
		"GET " + groupKV + "vaults/{vault}": {action: vaultActions + "read"}, "DELETE " + groupKV + "vaults/{vault}": {action: vaultActions + "delete"},
		"PUT " + groupKV + "vaults/{vault}/accesspolicies/{kind}":         {action: vaultActions + "accessPolicies/write", body: `{}`},
		"GET " + groupKV + "vaults/{vault}/privatelinkresources":          {action: vaultActions + "read"},
		"GET " + groupKV + "vaults/{vault}/privateendpointconnections":    {action: vaultActions + "read"},
		"POST " + kv + "checknameavailability":                            {action: kvActions + "checkNameAvailability/read", body: `{"name":"x","type":"Microsoft.KeyVault/vaults"}`},
		"GET " + kv + "deletedvaults":                                     {action: kvActions + "deletedVaults/read"},
		"GET " + kv + "locations/{location}/deletedvaults/{vault}":        {action: kvActions + "locations/deletedVaults/read"},
		"POST " + kv + "locations/{location}/deletedvaults/{vault}/purge": {action: kvActions + "locations/deletedVaults/purge/action"},
		"GET " + kv + "locations/{location}/operationresults/{token}":     {action: kvActions + "locations/operationResults/read"},
		"GET " + kv + "managedhsms":                                       {kind: anyone}, "GET " + groupKV + "managedhsms": {kind: anyone}, "GET " + kv + "deletedmanagedhsms": {kind: anyone},
		"POST " + kv + "checkmhsmnameavailability": {kind: anyone, body: `{"name":"x"}`},

		"GET " + auth + "roledefinitions": {action: roleActions + "read"}, "GET " + auth + "roledefinitions/{role}": {action: roleActions + "read"},
		"PUT " + auth + "roledefinitions/{role}": {action: roleActions + "write", body: c.customRole("owner", "a")}, "DELETE " + auth + "roledefinitions/{role}": {action: roleActions + "delete"},
		"GET " + auth + "roleassignments": {action: assignActions + "read"}, "GET " + auth + "roleassignments/{assignment}": {action: assignActions + "read"},
		"PUT " + auth + "roleassignments/{assignment}": {action: assignActions + "write", body: assign}, "DELETE " + auth + "roleassignments/{assignment}": {action: assignActions + "delete"},
	}
}

// path is a route's, at a group that exists where that is not changed.
func (c *control) path(method, pattern string) string {
	group := "rg"
	if strings.Contains(pattern, "{vault}") || method == "DELETE" {
		group = "none"
	}
	return "/" + strings.NewReplacer("{sub}", c.server.TenantID(), "{group}", group, "{vault}", "demo", "{location}", "eastus", "{scope}/", c.group("rg")[1:]+"/", "{namespace}", "Microsoft.KeyVault",
		"{kind}", "add", "{token}", "AAAA", "{role}", stranger, "{assignment}", stranger).Replace(pattern)
}

// granted compares an action with a role, as the service documents it.
func granted(r role, action string) bool {
	match := func(patterns []string) bool {
		for _, p := range patterns {
			if regexp.MustCompile(`(?i)^` + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, `.*`) + `$`).MatchString(action) {
				return true
			}
		}
		return false
	}
	return match(r.actions) && !match(r.notActions)
}

// Every route of the table × every built-in role × every single action, each assigned at the
// subscription, and a principal without any.
func TestConformRoutesTimesRoles(t *testing.T) {
	claims(t, "arm-5.2-1", "arm-5.2-2", "arm-5.2-3", "arm-5.1-3", "arm-1-25")
	c := newVaults(t)
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, "")
	rules := c.rules()
	all := append(roles(t), role{name: "nobody"})
	single := map[string]bool{"Microsoft.KeyVault/vaults/secrets/getSecret/action": true}
	for _, r := range rules {
		if r.action != "" && !single[r.action] {
			single[r.action] = true
			all = append(all, role{name: r.action, actions: []string{r.action}})
		}
	}
	routes := arm.Routes()
	for i, r := range all {
		who := c.as(c.server.NewPrincipal(fmt.Sprint("p", i)))
		if r.id == "" && len(r.actions) > 0 {
			r.id = fmt.Sprintf("00000000-0000-4000-9000-%012d", i)
			c.want(c.do("PUT", c.sub+"/providers/Microsoft.Authorization/roleDefinitions/"+r.id, c.customRole(r.name, r.actions...)), 201, "")
		}
		if r.id != "" {
			c.want(c.assign(r.id, c.sub, who.who), 201, "")
		}
		before := c.whole()
		for _, route := range routes {
			name := route.Method + " " + route.Pattern
			rule, ok := rules[name]
			if !ok {
				t.Fatalf("%s has no rule in this test", name)
			}
			a := who.do(route.Method, c.path(route.Method, route.Pattern), rule.body)
			who.checkRule(r, name, rule, a)
		}
		if after := c.whole(); after != before {
			t.Errorf("%s: something changed:\n%s\n%s", r.name, before, after)
		}
	}
	if len(rules) != len(routes) {
		t.Errorf("%d rules for %d routes", len(rules), len(routes))
	}
}

func (c *control) checkRule(r role, name string, rule rule, a answer) {
	c.t.Helper()
	may := granted(r, rule.action)
	if r.id == "8b54135c-b56d-4d72-a534-26097cfdc8d8" && strings.HasPrefix(name, "DELETE") && strings.HasSuffix(name, "roleassignments/{assignment}") {
		may = false // what is not there is no assignment of one of the roles that it may give
	}
	refused := a.status == 403 && (a.code() == "AuthorizationFailed" || strings.HasPrefix(name, "HEAD"))
	empty := a.status == 200 && strings.HasPrefix(a.text, `{"value":[]`)
	wrong := a.status >= 500 || a.status == 401 || a.status == 403 && !refused
	switch rule.kind {
	case "":
		wrong = wrong || refused == may
	case anyone:
		wrong = wrong || refused
	case assigned:
		wrong = wrong || (refused || empty) != (r.id == "")
	case listed:
		wrong = wrong || empty == may || refused
	case inGroup:
		wrong = wrong || empty || refused == may
	case holder:
		wrong = wrong || a.status != 404
	}
	if wrong {
		c.t.Errorf("%s: %s: %d %s", r.name, name, a.status, a.text)
	}
	if refused && a.text != "" {
		for _, part := range []string{c.who.AppID, c.who.ObjectID, rule.action, c.sub} {
			if !strings.Contains(a.message(), part) {
				c.t.Errorf("%s: %q is not in %s", name, part, a.message())
			}
		}
	}
}

// whole is all that there is, as the owner sees it, but for the assignments.
func (c *control) whole() string {
	c.t.Helper()
	var b strings.Builder
	for _, path := range []string{"/resourcegroups", "/providers/Microsoft.KeyVault/vaults", "/providers/Microsoft.KeyVault/deletedVaults", "/providers/Microsoft.Authorization/roleDefinitions?$filter=type%20eq%20'CustomRole'", "/providers/Microsoft.Authorization/roleAssignments"} {
		b.WriteString(c.want(c.do("GET", c.sub+path, ""), 200, "").text)
	}
	return b.String()
}

// A role counts at its scope and below, and nowhere else.
func TestConformScopes(t *testing.T) {
	claims(t, "arm-5.1-4", "arm-5.1-5")
	c := newVaults(t)
	c.want(c.do("PUT", c.group("rg2"), `{"location":"eastus"}`), 201, "")
	c.want(c.do("PUT", c.id("rg", "one"), c.properties(none)), 200, "")
	c.want(c.do("PUT", c.id("rg", "onetwo"), c.properties(none)), 200, "")
	c.want(c.do("PUT", c.id("rg2", "three"), c.properties(none)), 200, "")
	for _, test := range []struct {
		scope string
		reach string
	}{
		{"/", "one onetwo three"}, {c.sub, "one onetwo three"}, {c.group("rg"), "one onetwo"}, {strings.ToUpper(c.group("RG2")), "three"}, {c.id("rg", "one"), "one"}, {c.id("rg", "one") + "/secrets/x", ""},
	} {
		who := c.as(c.server.NewPrincipal("p"))
		c.want(c.assign(contributor, strings.TrimSuffix(test.scope, "/"), who.who), 201, "")
		for name, group := range map[string]string{"one": "rg", "onetwo": "rg", "three": "rg2"} {
			status, code := 403, "AuthorizationFailed"
			if strings.Contains(" "+test.reach+" ", " "+name+" ") {
				status, code = 200, ""
			}
			who.want(who.do("GET", c.id(group, name), ""), status, code)
			who.want(who.do("PATCH", c.id(group, name), `{}`), status, code)
		}
		if a := who.want(who.do("GET", c.sub+"/providers/Microsoft.KeyVault/vaults", ""), 200, ""); strings.Join(a.names(), " ") != test.reach {
			t.Errorf("%s: %s", test.scope, a.text)
		}
		// Of a group, who may read one of its vaults sees that one, and who may read none cannot
		// tell it from a group that is not there.
		for group, names := range map[string]string{"rg": "one onetwo", "rg2": "three", "rg3": ""} {
			var reach []string
			for _, name := range strings.Fields(test.reach) {
				if strings.Contains(" "+names+" ", " "+name+" ") {
					reach = append(reach, name)
				}
			}
			for _, path := range []string{"/providers/Microsoft.KeyVault/vaults", "/resources"} {
				a := who.do("GET", c.group(group)+path, "")
				switch {
				case len(reach) > 0 && strings.Join(who.want(a, 200, "").names(), " ") != strings.Join(reach, " "):
					t.Errorf("%s: %s: %s", test.scope, group, a.text)
				case len(reach) == 0 && (test.scope == "/" || test.scope == c.sub):
					who.want(a, 404, "ResourceGroupNotFound")
				case len(reach) == 0:
					who.want(a, 403, "AuthorizationFailed")
				}
			}
		}
	}
}

// Whoever is no principal any more, or disabled, gets the challenge on every route.
func TestConformGone(t *testing.T) {
	claims(t, "arm-1-26")
	c := newVaults(t)
	removed, disabled := c.as(c.server.NewPrincipal("removed")), c.as(c.server.NewPrincipal("disabled"))
	for _, who := range []*control{removed, disabled} {
		c.want(c.assign(owner, c.sub, who.who), 201, "")
		who.want(who.do("GET", c.sub, ""), 200, "") // it has its token
	}
	c.server.Remove(removed.who)
	c.want(c.ask("https://graph.microsoft.com", "https://graph.microsoft.com", "", "PATCH", "/v1.0/servicePrincipals/"+disabled.who.ObjectID, `{"accountEnabled":false}`), 204, "")
	for name, rule := range c.rules() {
		method, pattern, _ := strings.Cut(name, " ")
		for _, who := range []*control{removed, disabled, c.as(coffertest.Principal{})} {
			a := who.do(method, c.path(method, pattern), rule.body)
			want := map[bool]string{true: "AuthenticationFailed", false: "InvalidAuthenticationToken"}[who.who.AppID == ""]
			if a.status != 401 || a.code() != want && method != "HEAD" || !strings.Contains(a.header.Get("WWW-Authenticate"), c.server.TenantID()) {
				t.Errorf("%s: %d %s", name, a.status, a.text)
			}
		}
	}
}
