package arm_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/coffertest"
)

// The built-in roles, as the service documents them: name, id, actions, not actions, data
// actions. BASE and READ stand for lists that many have.
const builtInRoles = `
Owner | 8e3af657-a8ff-443c-a75c-2fe8c4bcb635 | * | |
Contributor | b24988ac-6180-42a0-ab88-20f7382dd24c | * | Microsoft.Authorization/*/Delete Microsoft.Authorization/*/Write Microsoft.Authorization/elevateAccess/Action Microsoft.Blueprint/blueprintAssignments/write Microsoft.Blueprint/blueprintAssignments/delete Microsoft.Compute/galleries/share/action Microsoft.Purview/consents/write Microsoft.Purview/consents/delete |
Reader | acdd72a7-3385-48ef-bd42-f606fba81ae7 | */read | |
User Access Administrator | 18d7d88d-d35e-4fb5-a5c3-7773c20a72d9 | */read Microsoft.Authorization/* Microsoft.Support/* | |
Key Vault Contributor | f25e0fa2-a7c8-4377-a976-54943a77a395 | Microsoft.KeyVault/* BASE | Microsoft.KeyVault/locations/deletedVaults/purge/action Microsoft.KeyVault/hsmPools/* Microsoft.KeyVault/managedHsms/* |
Key Vault Administrator | 00482a5a-887f-4fb3-b363-3b7fe8e74483 | READ | | *
Key Vault Reader | 21090545-7ca7-4776-b22c-e363652d74d2 | READ | | */read secrets/readMetadata/action
Key Vault Purge Operator | a68e7c17-0ab2-4c09-9a58-125dae29748c | Microsoft.KeyVault/deletedVaults/read Microsoft.KeyVault/locations/deletedVaults/read Microsoft.KeyVault/locations/deletedVaults/purge/action Microsoft.KeyVault/locations/operationResults/read | |
Key Vault Certificates Officer | a4417e6f-fecd-4de8-b567-7b0420556985 | READ | | certificatecas/* certificates/* certificatecontacts/write
Key Vault Certificate User | db79e9a7-68ee-4b58-9aeb-b90e7c24fcba | | | certificates/read secrets/getSecret/action secrets/readMetadata/action keys/read
Key Vault Crypto Officer | 14b46e9e-c2b7-41b4-b07b-48a6ebf60603 | READ | | keys/* keyrotationpolicies/*
Key Vault Crypto User | 12338af0-0e69-4776-bea7-57ae8d297424 | | | keys/read keys/update/action keys/backup/action keys/encrypt/action keys/decrypt/action keys/wrap/action keys/unwrap/action keys/sign/action keys/verify/action
Key Vault Crypto Service Encryption User | e147488a-f6f5-4113-8e2d-b22465e65bf6 | Microsoft.EventGrid/eventSubscriptions/write Microsoft.EventGrid/eventSubscriptions/read Microsoft.EventGrid/eventSubscriptions/delete | | keys/read keys/wrap/action keys/unwrap/action
Key Vault Crypto Service Release User | 08bbd89e-9f13-488c-ac41-acfcb10c90ab | | | keys/release/action
Key Vault Secrets Officer | b86a8fe4-44ce-4948-aee5-eccb2c155cd7 | READ | | secrets/*
Key Vault Secrets User | 4633458b-17de-408a-b874-0445c86b69e6 | | | secrets/getSecret/action secrets/readMetadata/action
Key Vault Data Access Administrator | 8b54135c-b56d-4d72-a534-26097cfdc8d8 | Microsoft.Authorization/roleAssignments/write Microsoft.Authorization/roleAssignments/delete Microsoft.KeyVault/vaults/*/read BASE | |
`

const (
	baseActions = "Microsoft.Authorization/*/read Microsoft.Insights/alertRules/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read Microsoft.Support/*"
	readActions = "Microsoft.KeyVault/checkNameAvailability/read Microsoft.KeyVault/deletedVaults/read Microsoft.KeyVault/locations/*/read Microsoft.KeyVault/vaults/*/read Microsoft.KeyVault/operations/read " + baseActions
)

// A role is a line of builtInRoles.
type role struct {
	name, id                      string
	actions, notActions, dataActs []string
}

func roles(t *testing.T) (out []role) {
	t.Helper()
	for line := range strings.Lines(builtInRoles) {
		parts := strings.Split(strings.TrimSpace(line), "|")
		if len(parts) != 5 {
			continue
		}
		r := role{name: strings.TrimSpace(parts[0]), id: strings.TrimSpace(parts[1])}
		r.actions = strings.Fields(strings.NewReplacer("BASE", baseActions, "READ", readActions).Replace(parts[2]))
		r.notActions = strings.Fields(parts[3])
		for _, action := range strings.Fields(parts[4]) {
			r.dataActs = append(r.dataActs, "Microsoft.KeyVault/vaults/"+action)
		}
		out = append(out, r)
	}
	if len(out) != 17 {
		t.Fatalf("%d roles", len(out))
	}
	return out
}

func TestConformBuiltInRoles(t *testing.T) {
	claims(t, "arm-5.1-1", "arm-5.1-2", "arm-5-1", "arm-5-2", "arm-5-3")
	c := newVaults(t)
	const definitions = "/providers/Microsoft.Authorization/roleDefinitions"
	sorted := func(list any) (out []string) {
		for _, one := range list.([]any) {
			out = append(out, one.(string))
		}
		slices.Sort(out)
		return out
	}
	all := roles(t)
	for _, r := range all {
		slices.Sort(r.actions)
		slices.Sort(r.notActions)
		slices.Sort(r.dataActs)
		for _, scope := range []string{"", c.sub, c.group("rg"), c.id("rg", "any"), c.id("rg", "any") + "/secrets/one"} {
			a := c.want(c.do("GET", scope+definitions+"/"+r.id, ""), 200, "")
			prefix := ""
			if scope != "" {
				prefix = c.sub
			}
			c.is(a, "id", prefix+definitions+"/"+r.id, "name", r.id, "type", "Microsoft.Authorization/roleDefinitions", "properties.roleName", r.name, "properties.type", "BuiltInRole",
				"properties.assignableScopes", []any{"/"}, "properties.createdBy", nil, "properties.updatedBy", nil)
			if a.at("properties.description") == "" || a.at("properties.createdOn") == nil || a.at("properties.updatedOn") == nil {
				t.Error(a.text)
			}
			for member, want := range map[string][]string{"actions": r.actions, "notActions": r.notActions, "dataActions": r.dataActs, "notDataActions": nil} {
				if got := sorted(a.at("properties.permissions.0." + member)); !slices.Equal(got, want) {
					t.Errorf("%s: %s\n%q\n%q", r.name, member, got, want)
				}
			}
		}
		found := c.want(c.do("GET", c.sub+definitions+"?$filter="+strings.ReplaceAll("roleName eq '"+strings.ToLower(r.name)+"'", " ", "%20"), ""), 200, "")
		if fmt.Sprint(found.names()) != "["+r.id+"]" {
			t.Errorf("%s: %s", r.name, found.text)
		}
	}
	c.want(c.do("PUT", c.sub+definitions+"/44444444-4444-4444-8444-444444444444", c.customRole("Own", "*/read")), 201, "")
	for filter, want := range map[string]int{"": len(all) + 1, "type%20eq%20'BuiltInRole'": len(all), "type%20eq%20'CustomRole'": 1, "atScope()": len(all) + 1, "atScopeAndBelow()%20and%20roleName%20eq%20'own'": 1, "roleName%20eq%20'nothing'": 0} {
		if a := c.want(c.do("GET", c.sub+definitions+"?$filter="+filter, ""), 200, ""); len(a.names()) != want {
			t.Errorf("%s: %s", filter, a.text)
		}
	}
	for _, filter := range []string{"roleName%20ne%20'x'", "roleName%20eq%20'x'%20or%20type%20eq%20'y'", "roleName%20eq%20'x", "x", "roleName%20eq%20'a'b'"} {
		c.want(c.do("GET", c.sub+definitions+"?$filter="+filter, ""), 400, "InvalidFilter")
	}
	c.want(c.do("GET", c.sub+definitions+"/"+stranger, ""), 404, "RoleDefinitionDoesNotExist")
}

// customRole is the body of a role with actions of the control plane.
func (c *control) customRole(name string, actions ...string) string {
	return fmt.Sprintf(`{"properties":{"roleName":%q,"type":"CustomRole","description":"d","assignableScopes":[%q],"permissions":[{"actions":["%s"]}]}}`, name, c.sub, strings.Join(actions, `","`))
}

func TestConformCustomRoles(t *testing.T) {
	claims(t, "arm-5-4", "arm-5-5", "arm-5-6")
	c := newVaults(t)
	const id = "44444444-4444-4444-8444-444444444444"
	path := c.sub + "/providers/Microsoft.Authorization/roleDefinitions/" + id
	made := c.want(c.do("PUT", path, strings.Replace(c.customRole("Signer"), `{"actions":[""]}`, `{"actions":["a/read"],"notActions":["b"],"dataActions":["Microsoft.KeyVault/vaults/keys/sign/action"],"notDataActions":["c"]}`, 1)), 201, "")
	c.is(made, "id", path, "name", id, "type", "Microsoft.Authorization/roleDefinitions", "properties.roleName", "Signer", "properties.type", "CustomRole", "properties.description", "d", "properties.assignableScopes", []any{c.sub},
		"properties.createdBy", c.who.ObjectID, "properties.permissions", []any{object{"actions": []any{"a/read"}, "notActions": []any{"b"}, "dataActions": []any{"Microsoft.KeyVault/vaults/keys/sign/action"}, "notDataActions": []any{"c"}}})
	c.is(c.want(c.do("PUT", path, c.customRole("Signer", "x/read")), 201, ""), "properties.permissions.0.dataActions", []any{}, "properties.createdOn", made.at("properties.createdOn"))
	for body, code := range map[string]string{
		c.customRole("", "a"):      "InvalidRoleDefinition",
		c.customRole("owner", "a"): "RoleDefinitionWithSameNameExists",
		`{"properties":{}}`:        "InvalidRoleDefinition",
		`{"properties":{"roleName":"x","assignableScopes":[],"permissions":[{"actions":["a"]}]}}`:                                  "MissingAssignableScopes",
		`{"properties":{"roleName":"x","assignableScopes":["/"],"permissions":[{"actions":["a"]}]}}`:                               "InvalidAssignableScope",
		`{"properties":{"roleName":"x","assignableScopes":["/subscriptions/` + stranger + `"],"permissions":[{"actions":["a"]}]}}`: "InvalidAssignableScope",
		fmt.Sprintf(`{"properties":{"roleName":"x","assignableScopes":[%q],"permissions":[]}}`, c.sub):                             "InvalidRoleDefinition",
		`x`: "InvalidRequestContent", `{"properties":{"permissions":{}}}`: "InvalidRequestContent",
	} {
		if a := c.do("PUT", strings.Replace(path, "44444444-", "55555555-", 1), body); a.status < 400 || a.status > 409 || a.code() != code {
			t.Errorf("%s: %d %s", body, a.status, a.text)
		}
	}
	c.want(c.do("GET", strings.Replace(path, "44444444-", "55555555-", 1), ""), 404, "RoleDefinitionDoesNotExist")
	c.want(c.do("PUT", strings.Replace(path, id, owner, 1), c.customRole("x", "a")), 403, "RoleDefinitionUpdateNotPermitted")
	c.want(c.do("PUT", strings.Replace(path, id, "no-guid", 1), c.customRole("x", "a")), 404, "RoleDefinitionDoesNotExist")
	assigned := c.want(c.assign(id, c.group("rg"), c.server.NewPrincipal("p")), 201, "")
	c.want(c.do("DELETE", path, ""), 400, "RoleDefinitionHasAssignments")
	c.want(c.do("DELETE", assigned.at("id").(string), ""), 200, "")
	c.is(c.want(c.do("DELETE", path, ""), 200, ""), "name", id)
	c.want(c.do("DELETE", path, ""), 204, "")
}

func TestConformRoleAssignments(t *testing.T) {
	claims(t, "arm-5-7", "arm-5-8", "arm-5-9", "arm-5-10", "arm-5-11", "arm-5-12", "arm-5-13", "arm-5-14", "arm-5-15", "arm-5-16", "arm-5-17", "arm-5-18", "arm-5-19")
	c := newVaults(t)
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, "")
	p, q := c.server.NewPrincipal("p"), c.server.NewPrincipal("q")
	const name = "44444444-4444-4444-8444-444444444444"
	put := func(scope, id, role string, p coffertest.Principal, more string) answer {
		t.Helper()
		return c.do("PUT", scope+"/providers/Microsoft.Authorization/roleAssignments/"+id, fmt.Sprintf(`{"properties":{"roleDefinitionId":"%s/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q%s}}`, c.sub, role, p.ObjectID, more))
	}
	at := c.id("rg", "demo") + "/providers/Microsoft.Authorization/roleAssignments/" + name
	made := c.want(put(c.id("rg", "demo"), name, reader, p, `,"principalType":"ServicePrincipal","description":"text"`), 201, "")
	c.order(made, `"properties":{"roleDefinitionId":"`+c.sub+`/providers/Microsoft.Authorization/roleDefinitions/`+reader+`"`, `"principalId":"`+p.ObjectID+`"`, `"principalType":"ServicePrincipal"`, `"scope":"`+c.id("rg", "demo")+`"`, `"condition":null`, `"conditionVersion":null`,
		`"createdOn":"`, `"updatedOn":"`, `"createdBy":null`, `"updatedBy":"`+c.who.ObjectID+`"`, `"delegatedManagedIdentityResourceId":null`, `"description":"text"`, `"id":"`+at+`"`, `"type":"Microsoft.Authorization/roleAssignments"`, `"name":"`+name+`"`)
	if _, err := time.Parse("2006-01-02T15:04:05.0000000Z", made.at("properties.createdOn").(string)); err != nil {
		t.Error(err)
	}
	c.want(put(c.id("rg", "demo"), name, reader, p, `,"description":"text"`), 200, "")
	if a := c.want(put(c.id("rg", "demo"), strings.Replace(name, "4", "5", 1), reader, p, ""), 409, "RoleAssignmentExists"); !strings.Contains(strings.ToLower(a.message()), "role assignment already exists") {
		t.Error(a.text)
	}
	c.want(put(c.id("rg", "demo"), name, reader, q, ""), 403, "RoleAssignmentUpdateNotPermitted")
	c.want(put(c.id("rg", "demo"), name, contributor, p, ""), 403, "RoleAssignmentUpdateNotPermitted")
	c.want(put(c.group("rg"), name, reader, p, ""), 403, "RoleAssignmentUpdateNotPermitted")
	if a := c.want(put(c.group("rg"), stranger, reader, coffertest.Principal{ObjectID: stranger}, ""), 400, "PrincipalNotFound"); !strings.Contains(a.message(), " does not exist in the directory ") {
		t.Error(a.text)
	}
	c.want(put(c.group("rg"), stranger, reader, q, `,"principalType":"User"`), 400, "UnmatchedPrincipalType")
	c.want(put(c.group("rg"), stranger, reader, q, `,"principalType":"Application"`), 400, "PrincipalTypeNotSupported")
	c.want(put(c.group("rg"), stranger, stranger, q, ""), 400, "RoleDefinitionDoesNotExist")
	c.want(put(c.group("rg"), "no-guid", reader, q, ""), 404, "RoleAssignmentNotFound")
	c.want(put(c.group("none"), stranger, reader, q, ""), 404, "ResourceGroupNotFound")
	c.want(put(c.id("rg", "none"), stranger, reader, q, ""), 404, "ResourceNotFound")
	c.want(c.do("PUT", at, `{"properties":{}}`), 400, "BadRequestFormat")
	for _, scope := range []string{
		"/nothing/here", c.sub + "/nothing/here", c.sub + "/providers/Microsoft.KeyVault", c.group("rg") + "/providers/Microsoft.Storage", c.group("rg") + "/providers/Microsoft.Storage/storageAccounts/demo", c.id("rg", "demo") + "/nothing/x",
		c.id("rg", "demo") + "/secrets/a_b", c.id("rg", "demo") + "/secrets/one/versions/two", "/providers/Microsoft.Management/managementGroups/x", "/tenants/x",
	} {
		c.want(put(scope, stranger, reader, q, ""), 404, "ResourceNotFound")
	}
	if got := c.want(c.do("GET", strings.ToUpper(at), ""), 200, ""); got.at("properties.createdBy") != c.who.ObjectID || !reflect.DeepEqual(got.at("properties.scope"), c.id("rg", "demo")) {
		t.Error(got.text)
	}
	c.want(c.do("GET", c.group("rg")+"/providers/Microsoft.Authorization/roleAssignments/"+name, ""), 404, "RoleAssignmentNotFound")

	// Lists: here, above, and below.
	c.want(put(c.sub, "aaaaaaaa-4444-4444-8444-444444444444", reader, q, ""), 201, "")
	c.want(put(c.id("rg", "demo")+"/secrets/one", "bbbbbbbb-4444-4444-8444-444444444444", secretsUser, p, ""), 201, "")
	c.want(put(c.id("rg", "demo")+"/keys/one", "cccccccc-4444-4444-8444-444444444444", secretsUser, p, ""), 201, "")
	c.want(put(c.id("rg", "demo")+"/certificates/one", "dddddddd-4444-4444-8444-444444444444", secretsUser, p, ""), 201, "")
	list := func(scope, filter string) []string {
		a := c.want(c.do("GET", scope+"/providers/Microsoft.Authorization/roleAssignments?$filter="+filter, ""), 200, "")
		var out []string
		for _, n := range a.names() {
			out = append(out, n[:1])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	root := c.want(c.do("GET", "/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()", ""), 200, "")
	c.is(root, "value.0.properties.scope", "/", "value.1", nil, "value.0.id", "/providers/Microsoft.Authorization/roleAssignments/"+root.at("value.0.name").(string))
	o := root.at("value.0.name").(string)[:1]
	with := func(names ...string) string { slices.Sort(names); return fmt.Sprint(slices.Compact(names)) }
	for _, test := range []struct {
		scope, filter string
		want          string
	}{
		{c.sub, "atScope()", with(o, "a")}, {c.sub, "", with(o, "a", "4", "b", "c", "d")}, {c.id("rg", "demo"), "atScope()", with(o, "a", "4")}, {c.id("rg", "demo"), "", with(o, "a", "4", "b", "c", "d")},
		{c.id("rg", "demo") + "/secrets/one", "atScope()", with(o, "a", "4", "b")}, {strings.ToLower(c.id("rg", "demo")) + "/SECRETS/ONE", "", with(o, "a", "4", "b")},
		{c.sub, "principalId%20eq%20'" + p.ObjectID + "'", with("4", "b", "c", "d")}, {c.sub, "assignedTo('" + q.ObjectID + "')", with("a")}, {c.sub, "atScope()%20and%20principalId%20eq%20'" + q.ObjectID + "'", with("a")}, {c.sub, "principalId%20eq%20'" + stranger + "'", with()},
	} {
		if got := fmt.Sprint(list(test.scope, test.filter)); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
	for _, filter := range []string{"principalId%20ne%20'x'", "x", "atScope()%20or%20atScope()", "principalId%20eq%20'x'", "assignedTo('x", "principalId%20eq%20'" + stranger + "'%20or%201%20eq%201"} {
		c.want(c.do("GET", c.sub+"/providers/Microsoft.Authorization/roleAssignments?$filter="+filter, ""), 400, "InvalidFilter")
	}
	c.is(c.want(c.do("DELETE", at, ""), 200, ""), "id", at)
	c.want(c.do("DELETE", at, ""), 204, "")
	c.want(c.do("GET", at, ""), 404, "RoleAssignmentNotFound")
}
