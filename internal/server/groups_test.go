package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"coffer/internal/store"
)

// What is given to a group its members have from the next request on, at the control plane
// and in vaults of both models, and no longer than they are in it; tokens say the groups.
func TestConformGroupsGrant(t *testing.T) {
	claims(t, "arm-6-16", "arm-6-17", "arm-5-21", "id-5-9")
	const (
		azureCLI    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
		reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
		secretsUser = "4633458b-17de-408a-b874-0445c86b69e6"
		jane        = "jane@coffer.local"
	)
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	p := newPlane(t, w, "")
	do := func(want int, door func(method, path, body string) (int, string), method, path, body string) string {
		t.Helper()
		status, text := door(method, path, body)
		if status != want {
			t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		return text
	}
	user := field(do(201, p.graph, "POST", "/users", `{"accountEnabled":true,"displayName":"Jane","userPrincipalName":"`+jane+`","passwordProfile":{"password":"canary-of-a-user"}}`), "id")
	made := do(201, p.graph, "POST", "/applications", `{"displayName":"member"}`)
	principal := field(do(201, p.graph, "POST", "/servicePrincipals", `{"appId":"`+field(made, "appId")+`"}`), "id")
	secret := field(do(200, p.graph, "POST", "/applications/"+field(made, "id")+"/addPassword", `{}`), "secretText")
	team := func(name string) string {
		return field(do(201, p.graph, "POST", "/groups", `{"displayName":"`+name+`","mailNickname":"`+name+`"}`), "id")
	}
	group := team("team")
	sub := "/subscriptions/" + p.Tenant.TenantID()
	do(201, p.arm, "PUT", sub+"/resourceGroups/rg", `{"location":"eastus"}`)
	vault := func(name, properties string) string {
		at := sub + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + name
		do(200, p.arm, "PUT", at, fmt.Sprintf(`{"location":"eastus","properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},%s}}`, p.Tenant.TenantID(), properties))
		return at
	}
	vault("policies", fmt.Sprintf(`"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"secrets":["list"]}}]`, p.Tenant.TenantID(), group))
	roles := vault("roles", `"enableRbacAuthorization":true`)
	assign := func(id, scope, role, kind string) int {
		status, _ := p.arm("PUT", scope+"/providers/Microsoft.Authorization/roleAssignments/"+id, fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q%s}}`, role, group, kind))
		return status
	}
	const one, two = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	if got := assign(one, roles, secretsUser, `,"principalType":"User"`); got != 400 {
		t.Errorf("a group is a user: %d", got)
	}
	if got := assign(one, roles, secretsUser, `,"principalType":"Group"`); got != 201 {
		t.Fatal(got)
	}
	if got := assign(two, sub+"/resourceGroups/rg", reader, ""); got != 201 {
		t.Fatal(got)
	}
	doors := map[string]string{
		"https://policies.vault.azure.net/secrets?api-version=7.4":                      "https://vault.azure.net",
		"https://roles.vault.azure.net/secrets?api-version=7.4":                         "https://vault.azure.net",
		"https://management.azure.com" + roles + "?api-version=2022-07-01":              "https://management.azure.com",
		"https://management.azure.com" + sub + "/resourceGroups?api-version=2022-07-01": "https://management.azure.com",
	}
	asUser, asApplication := map[string]string{}, map[string]string{}
	for _, resource := range doors {
		_, text := p.signIn(jane, azureCLI, resource)
		asUser[resource] = field(text, "access_token")
		_, _, text = p.ask("POST", "https://login.microsoftonline.com/"+p.Tenant.TenantID()+"/oauth2/token", "", url.Values{"grant_type": {"client_credentials"}, "client_id": {field(made, "appId")}, "client_secret": {secret}, "resource": {resource}}.Encode())
		asApplication[resource] = field(text, "access_token")
	}
	// each asks at every door, with tokens that were made before.
	each := func(tokens map[string]string, may bool) {
		t.Helper()
		for address, resource := range doors {
			status, _, text := p.ask("GET", address, tokens[resource], "")
			list := strings.Contains(address, "/resourceGroups?") // of which one sees what one may
			if ok := status == 200 && (!list || strings.Contains(text, `"rg"`)); ok != may || !may && !list && status != 403 {
				t.Errorf("%s: %d %s", address, status, text)
			}
		}
	}
	reference := func(id string) string {
		return `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/` + id + `"}`
	}
	members := "/groups/" + group + "/members/"
	each(asUser, false)
	each(asApplication, false)
	do(204, p.graph, "POST", members+"$ref", reference(user))
	each(asUser, true)
	each(asApplication, false)
	do(204, p.graph, "POST", members+"$ref", reference(principal))
	each(asApplication, true)
	// assignedTo finds what a member has by its groups; principalId what it has itself.
	for filter, want := range map[string]int{"assignedTo('" + user + "')": 2, "principalId%20eq%20'" + user + "'": 0, "principalId%20eq%20'" + group + "'": 2} {
		if text := do(200, p.arm, "GET", sub+"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter="+filter, ""); strings.Count(text, `"principalType":"Group"`) != want {
			t.Errorf("%s: %s", filter, text)
		}
	}
	do(204, p.graph, "DELETE", members+user+"/$ref", "")
	each(asUser, false)
	each(asApplication, true)
	do(204, p.graph, "POST", members+"$ref", reference(user))
	// The claim is of users, in every one of their tokens.
	if got := groupsOf(t, p, azureCLI); !slices.Equal(got, []string{group}) {
		t.Errorf("%v", got)
	}
	// A group that is gone gives nothing, and its role assignments are gone with it.
	do(204, p.graph, "DELETE", "/groups/"+group, "")
	each(asUser, false)
	each(asApplication, false)
	if text := do(200, p.arm, "GET", sub+"/providers/Microsoft.Authorization/roleAssignments", ""); strings.Contains(text, group) {
		t.Error(text)
	}
	if got := assign(one, roles, secretsUser, ""); got != 400 {
		t.Errorf("a role is assigned to nobody: %d", got)
	}
	if got := groupsOf(t, p, azureCLI); len(got) != 0 {
		t.Errorf("%v", got)
	}
	// A namesake is another group.
	group = team("team")
	do(204, p.graph, "POST", "/groups/"+group+"/members/$ref", reference(user))
	each(asUser, false)
	if found := w.check(t, false); found.Wrong() {
		t.Errorf("%v", found.Findings)
	}
	key := store.Key("t/group/" + group)
	if err := w.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(key, get(t, tx, key).Revision) }); err != nil {
		t.Fatal(err)
	}
	if found := w.check(t, false); len(found.Findings) != 1 || found.Findings[0].Key != "t/sp/"+user || !strings.Contains(found.Findings[0].Problem, group) {
		t.Errorf("a group that is gone has a member: %v", found.Findings)
	}
}

// groupsOf is the claim groups of a new token of the user jane.
func groupsOf(t *testing.T, p *plane, client string) []string {
	t.Helper()
	status, text := p.signIn("jane@coffer.local", client, "https://vault.azure.net")
	parts := strings.Split(field(text, "access_token"), ".")
	if status != 200 || len(parts) != 3 {
		t.Fatalf("%d %s", status, text)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Groups []string }
	if err := json.Unmarshal(claims, &out); err != nil {
		t.Fatal(err)
	}
	return out.Groups
}
