package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/store/storetest"
)

const roleOwner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// A plane is the control plane and the directory of a core, as its administrator uses them.
type plane struct {
	*world
	t     *testing.T
	audit string // the file
	seen  int    // lines of it
}

func newPlane(t *testing.T, w *world, auditPath string) *plane {
	t.Helper()
	ctx := context.Background()
	if err := w.Tenant.EnsureAssignment(ctx, app.ObjectID, roleOwner, "/"); err != nil {
		t.Fatal(err)
	}
	if err := w.Tenant.EnsureAdministrator(ctx, app.ObjectID); err != nil {
		t.Fatal(err)
	}
	return &plane{world: w, t: t, audit: auditPath}
}

func (p *plane) token(resource string) string {
	return p.tokenFor(p.t, "https://login.microsoftonline.com/"+p.Tenant.TenantID()+"/oauth2/token", resource)
}

func (p *plane) arm(method, path, body string) (int, string) {
	if !strings.Contains(path, "?") {
		path += "?api-version=2022-07-01"
	}
	status, _, text := p.ask(method, "https://management.azure.com"+path, p.token("https://management.azure.com"), body)
	return status, text
}

func (p *plane) graph(method, path, body string) (int, string) {
	status, _, text := p.ask(method, "https://graph.microsoft.com/v1.0"+path, p.token("https://graph.microsoft.com"), body)
	return status, text
}

// lines are those that the audit log got since the last call.
func (p *plane) lines() []string {
	p.t.Helper()
	text, err := os.ReadFile(p.audit)
	if err != nil {
		p.t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	out := all[p.seen:]
	p.seen = len(all)
	return out
}

// changed is a change that has to be in the audit log: who, what, intent and result.
func (p *plane) changed(operation string, status int, text string, want int) string {
	p.t.Helper()
	if status != want {
		p.t.Fatalf("%s: %d %s", operation, status, text)
	}
	phases := map[string]int{}
	for _, line := range p.lines() {
		var one struct {
			Operation string `json:"operationName"`
			Result    string `json:"resultSignature"`
			Identity  struct{ Claim struct{ OID string } }
			Property  struct{ Phase string } `json:"properties"`
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			p.t.Fatalf("%v: %s", err, line)
		}
		if one.Operation == operation && strings.Contains(line, app.ObjectID) {
			phases[one.Property.Phase]++
		}
		if strings.Contains(line, "canary") && !strings.Contains(line, "canary-name") {
			p.t.Errorf("%s: the audit log shows %s", operation, line)
		}
	}
	if phases["intent"] != 1 || phases["result"] != 1 {
		p.t.Errorf("%s is not in the audit log: %v", operation, phases)
	}
	return text
}

// field is a member of an answer.
func field(text, name string) string {
	var body map[string]any
	_ = json.Unmarshal([]byte(text), &body)
	return fmt.Sprint(body[name])
}

// Every change of the control plane and of the directory is audited, is there after a restart,
// and cannot be read in the store's file.
func TestConformPersistence(t *testing.T) {
	claims(t, "arm-10-1", "arm-10-2", "arm-10-3")
	dir, root := t.TempDir(), rootKey(t)
	o := options(dir, root)
	auditPath := filepath.Join(dir, "audit.log")
	sink, err := audit.OpenFile(auditPath)
	if err != nil {
		t.Fatal(err)
	}
	o.Sink = sink
	w := newWorld(t, o)
	p := newPlane(t, w, auditPath)
	p.lines()
	sub := "/subscriptions/" + p.Tenant.TenantID()
	rg := sub + "/resourceGroups/canary-name-rg"
	vault := rg + "/providers/Microsoft.KeyVault/vaults/canary-name"
	auth := "/providers/Microsoft.Authorization/"
	const guid = "44444444-4444-4444-8444-444444444444"
	do := func(operation string, want int, door func(method, path, body string) (int, string), method, path, body string) string {
		t.Helper()
		status, text := door(method, path, body)
		return p.changed(operation, status, text, want)
	}
	policy := fmt.Sprintf(`"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"secrets":["all","purge"]}}]`, p.Tenant.TenantID(), app.ObjectID)
	full := fmt.Sprintf(`{"location":"eastus","tags":{"canary-tag":"canary-value"},"properties":{"tenantId":%q,"sku":{"family":"A","name":"premium"},%s,"softDeleteRetentionInDays":11,"enablePurgeProtection":true,"enabledForDeployment":true,"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"192.0.2.0/24"}]}}}`, p.Tenant.TenantID(), policy)
	do("ResourceGroupPut", 201, p.arm, "PUT", rg, `{"location":"eastus","tags":{"canary-tag":"canary-value"}}`)
	do("ResourceGroupPatch", 200, p.arm, "PATCH", rg, `{"tags":{"canary-tag":"canary-other"}}`)
	do("VaultPut", 200, p.arm, "PUT", vault, full)
	do("VaultPatch", 200, p.arm, "PATCH", vault, `{"tags":{"canary-tag":"canary-patched"}}`)
	do("VaultAccessPolicyChanged", 201, p.arm, "PUT", vault+"/accessPolicies/add", fmt.Sprintf(`{"properties":{"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get"]}}]}}`, p.Tenant.TenantID(), guid))
	do("VaultDelete", 200, p.arm, "DELETE", vault, "")
	do("VaultRecover", 200, p.arm, "PUT", vault, fmt.Sprintf(`{"location":"eastus","properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"createMode":"recover"}}`, p.Tenant.TenantID()))
	do("VaultPut", 200, p.arm, "PUT", strings.Replace(vault, "vaults/canary-name", "vaults/canary-name-two", 1), strings.Replace(full, `"enablePurgeProtection":true,`, "", 1))
	do("VaultDelete", 200, p.arm, "DELETE", strings.Replace(vault, "vaults/canary-name", "vaults/canary-name-two", 1), "")
	do("VaultPurge", 200, p.arm, "POST", sub+"/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/canary-name-two/purge", "")
	if err := w.Vaults.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	do("RoleDefinitionWrite", 201, p.arm, "PUT", sub+auth+"roleDefinitions/"+guid, fmt.Sprintf(`{"properties":{"roleName":"canary-role","description":"canary-description","assignableScopes":[%q],"permissions":[{"dataActions":["Microsoft.KeyVault/vaults/keys/sign/action"]}]}}`, sub))
	made := do("ApplicationCreate", 201, p.graph, "POST", "/applications", `{"displayName":"canary-application","identifierUris":["https://canary.example"]}`)
	appPath := "/applications/" + field(made, "id")
	do("ApplicationUpdate", 204, p.graph, "PATCH", appPath, `{"displayName":"canary-renamed"}`)
	password := do("ApplicationPasswordAdd", 200, p.graph, "POST", appPath+"/addPassword", `{"passwordCredential":{"displayName":"canary-password"}}`)
	second := do("ApplicationPasswordAdd", 200, p.graph, "POST", appPath+"/addPassword", `{}`)
	do("ApplicationPasswordRemove", 204, p.graph, "POST", appPath+"/removePassword", `{"keyId":"`+field(second, "keyId")+`"}`)
	do("ApplicationFederatedAdd", 201, p.graph, "POST", appPath+"/federatedIdentityCredentials", `{"name":"one","issuer":"https://canary-issuer.example","subject":"canary-subject","audiences":["canary-audience"]}`)
	do("ApplicationFederatedUpdate", 204, p.graph, "PATCH", appPath+"/federatedIdentityCredentials/one", `{"subject":"canary-changed"}`)
	principal := do("ServicePrincipalCreate", 201, p.graph, "POST", "/servicePrincipals", `{"appId":"`+field(made, "appId")+`"}`)
	do("ServicePrincipalUpdate", 204, p.graph, "PATCH", "/servicePrincipals/"+field(principal, "id"), `{"accountEnabled":true}`)
	do("ServicePrincipalPasswordAdd", 200, p.graph, "POST", "/servicePrincipals/"+field(principal, "id")+"/addPassword", `{}`)
	do("ApplicationOwnerAdd", 204, p.graph, "POST", appPath+"/owners/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+field(principal, "id")+`"}`)
	do("ApplicationOwnerRemove", 204, p.graph, "DELETE", appPath+"/owners/"+field(principal, "id")+"/$ref", "")
	user := do("UserCreate", 201, p.graph, "POST", "/users", `{"accountEnabled":true,"displayName":"canary-user","userPrincipalName":"canary-name@coffer.local","passwordProfile":{"password":"canary-of-a-user"}}`)
	do("UserUpdate", 204, p.graph, "PATCH", "/users/"+field(user, "id"), `{"displayName":"canary-jane"}`)
	do("RoleAssignmentCreate", 201, p.arm, "PUT", vault+auth+"roleAssignments/"+guid, fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q,"description":"canary-assignment"}}`, guid, field(principal, "id")))
	group := do("GroupCreate", 201, p.graph, "POST", "/groups", `{"displayName":"canary-group","mailNickname":"canary-nick","description":"canary-description"}`)
	groupPath := "/groups/" + field(group, "id")
	do("GroupUpdate", 204, p.graph, "PATCH", groupPath, `{"displayName":"canary-team"}`)
	do("GroupMemberAdd", 204, p.graph, "POST", groupPath+"/members/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+field(user, "id")+`"}`)
	do("GroupMemberAdd", 204, p.graph, "POST", groupPath+"/members/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+field(principal, "id")+`"}`)
	do("GroupMemberRemove", 204, p.graph, "DELETE", groupPath+"/members/"+field(principal, "id")+"/$ref", "")
	do("GroupOwnerAdd", 204, p.graph, "POST", groupPath+"/owners/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+field(principal, "id")+`"}`)
	do("GroupOwnerRemove", 204, p.graph, "DELETE", groupPath+"/owners/"+field(principal, "id")+"/$ref", "")
	// What is to be gone.
	do("GroupDelete", 204, p.graph, "DELETE", "/groups/"+field(do("GroupCreate", 201, p.graph, "POST", "/groups", `{"displayName":"canary-gone","mailNickname":"x"}`), "id"), "")
	other := do("ApplicationCreate", 201, p.graph, "POST", "/applications", `{"displayName":"canary-gone"}`)
	gone := do("ServicePrincipalCreate", 201, p.graph, "POST", "/servicePrincipals", `{"appId":"`+field(other, "appId")+`"}`)
	do("ServicePrincipalDelete", 204, p.graph, "DELETE", "/servicePrincipals/"+field(gone, "id"), "")
	do("ApplicationDelete", 204, p.graph, "DELETE", "/applications/"+field(other, "id"), "")
	do("UserDelete", 204, p.graph, "DELETE", "/users/"+field(do("UserCreate", 201, p.graph, "POST", "/users", `{"accountEnabled":true,"displayName":"x","userPrincipalName":"canary-name-gone@coffer.local","passwordProfile":{"password":"canary-of-a-user"}}`), "id"), "")
	do("ApplicationFederatedAdd", 201, p.graph, "POST", appPath+"/federatedIdentityCredentials", `{"name":"two","issuer":"https://canary-issuer.example","subject":"canary-two","audiences":["canary-audience"]}`)
	do("ApplicationFederatedRemove", 204, p.graph, "DELETE", appPath+"/federatedIdentityCredentials/two", "")
	do("RoleAssignmentCreate", 201, p.arm, "PUT", rg+auth+"roleAssignments/"+strings.Replace(guid, "4", "5", 1), fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, guid, field(principal, "id")))
	do("RoleAssignmentDelete", 200, p.arm, "DELETE", rg+auth+"roleAssignments/"+strings.Replace(guid, "4", "5", 1), "")
	do("RoleDefinitionWrite", 201, p.arm, "PUT", sub+auth+"roleDefinitions/"+strings.Replace(guid, "4", "5", 1), fmt.Sprintf(`{"properties":{"roleName":"canary-gone","assignableScopes":[%q],"permissions":[{"actions":["a"]}]}}`, sub))
	do("RoleDefinitionDelete", 200, p.arm, "DELETE", sub+auth+"roleDefinitions/"+strings.Replace(guid, "4", "5", 1), "")
	do("ResourceGroupPut", 201, p.arm, "PUT", sub+"/resourceGroups/canary-name-gone", `{"location":"eastus"}`)
	do("ResourceGroupDelete", 200, p.arm, "DELETE", sub+"/resourceGroups/canary-name-gone", "")

	state := func() string {
		var b strings.Builder
		for _, path := range []string{sub + "/resourceGroups", vault, sub + "/providers/Microsoft.KeyVault/deletedVaults", sub + auth + "roleDefinitions", vault + auth + "roleAssignments"} {
			status, text := p.arm("GET", path, "")
			fmt.Fprintln(&b, status, text)
		}
		for _, path := range []string{"/applications", "/servicePrincipals", "/users", "/groups", groupPath + "/members", groupPath + "/owners", appPath + "/federatedIdentityCredentials", appPath + "/owners"} {
			status, text := p.graph("GET", path, "")
			fmt.Fprintln(&b, status, text)
		}
		return b.String()
	}
	before := state()
	for _, want := range []string{"canary-patched", "canary-renamed", "canary-changed", "canary-jane", "canary-team", "canary-role", "canary-assignment", `"softDeleteRetentionInDays":11`, `"enablePurgeProtection":true`, "192.0.2.0/24"} {
		if !strings.Contains(before, want) {
			t.Errorf("%s is not there", want)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	secrets := []string{"canary-", "CANARY-", field(password, "secretText"), "192.0.2.0", "keys/sign/action", "softDelete", "premium"}
	// Names of groups, vaults and users are keys of the store, and readable.
	file, err := os.ReadFile(filepath.Join(dir, "store"))
	if err != nil || !bytes.Contains(file, []byte("canary-name")) {
		t.Fatalf("%v, %d bytes", err, len(file))
	}
	file = bytes.ReplaceAll(file, []byte("canary-name"), nil)
	for _, secret := range secrets {
		if at := bytes.Index(file, []byte(secret)); at >= 0 {
			t.Errorf("%q is in the store's file: %q", secret, file[max(0, at-20):at+40])
		}
	}
	log, err := os.ReadFile(auditPath)
	if err != nil || bytes.Contains(log, []byte(field(password, "secretText"))) || bytes.Contains(log, []byte("canary-of-a-user")) {
		t.Errorf("the audit log shows a password, %v", err)
	}
	if o.Sink, err = audit.OpenFile(auditPath); err != nil {
		t.Fatal(err)
	}
	p.world = newWorld(t, o)
	defer p.Close()
	if after := state(); after != before {
		t.Errorf("after the restart:\n%s\n%s", before, after)
	}
	// Credentials go on working.
	status, _, text := p.ask("POST", "https://login.microsoftonline.com/"+p.Tenant.TenantID()+"/oauth2/token", "", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {field(made, "appId")}, "client_secret": {field(password, "secretText")}, "resource": {"https://vault.azure.net"}}.Encode())
	if status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

// While a group is being deleted, nothing comes into it, and the deletion goes on after a
// failure: its vaults are deleted, and then the group.
func TestConformGroupBeingDeleted(t *testing.T) {
	claims(t, "arm-1-31", "arm-1-32", "arm-1-33", "arm-4.4-4")
	now := time.Now()
	o := options(t.TempDir(), rootKey(t))
	o.Now = func() time.Time { return now }
	w := newWorld(t, o)
	defer w.Close()
	p := newPlane(t, w, "")
	sub := "/subscriptions/" + p.Tenant.TenantID()
	vault := func(name string) string {
		return sub + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/" + name
	}
	body := fmt.Sprintf(`{"location":"eastus","properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"accessPolicies":[]}}`, p.Tenant.TenantID())
	for path, body := range map[string]string{sub + "/resourceGroups/rg": `{"location":"eastus"}`} {
		if status, text := p.arm("PUT", path, body); status != 201 {
			t.Fatalf("%d %s", status, text)
		}
	}
	for _, name := range []string{"one", "two"} {
		if status, text := p.arm("PUT", vault(name), body); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	w.faulty.FailAt(3, storetest.Lost) // the mark, the first vault, and then
	if status, text := p.arm("DELETE", sub+"/resourceGroups/rg", ""); status != 500 {
		t.Fatalf("%d %s", status, text)
	}
	for _, change := range [][3]string{{"PUT", sub + "/resourceGroups/rg", `{"location":"eastus"}`}, {"PATCH", sub + "/resourceGroups/rg", `{}`}, {"PUT", vault("three"), body}, {"PATCH", vault("two"), `{}`}} {
		if status, text := p.arm(change[0], change[1], change[2]); status != 409 || !strings.Contains(text, `"code":"ResourceGroupBeingDeleted"`) {
			t.Errorf("%v: %d %s", change, status, text)
		}
	}
	// A purge that has not come to an end says so.
	if status, text := p.arm("PUT", sub+"/resourceGroups/other", `{"location":"eastus"}`); status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	purged := strings.Replace(vault("purged"), "/rg/", "/other/", 1)
	for _, step := range [][3]string{{"PUT", purged, body}, {"DELETE", purged, ""}} {
		if status, text := p.arm(step[0], step[1], step[2]); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	token := p.token("https://management.azure.com")
	w.faulty.FailAt(2, storetest.Lost) // after the mark
	status, header, text := p.ask("POST", "https://management.azure.com"+sub+"/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/purged/purge?api-version=2022-07-01", token, "")
	result := header.Get("Location")
	if status != 202 || header.Get("Retry-After") != "1" || text != "" || !strings.HasPrefix(result, "https://management.azure.com"+sub+"/providers/Microsoft.KeyVault/locations/eastus/operationResults/") {
		t.Fatalf("%d %v %s", status, header, text)
	}
	status, header, text = p.ask("GET", result, token, "")
	if status != 202 || header.Get("Retry-After") != "1" || header.Get("Location") != result || text != "" {
		t.Errorf("%d %v %s", status, header, text)
	}
	if status, text := p.arm("PUT", purged, body); status != 409 {
		t.Errorf("its name is free: %d %s", status, text)
	}
	now = now.Add(time.Hour)
	if err := w.Vaults.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	status, _, text = p.ask("GET", result, token, "")
	for _, member := range []string{"createdDateTime", "lastActionDateTime"} {
		if _, err := time.Parse("2006-01-02 15:04:05Z", field(text, member)); err != nil {
			t.Error(err)
		}
	}
	if status != 200 || field(text, "status") != "Succeeded" {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := p.ask("GET", strings.Replace(result, "/providers/Microsoft.KeyVault/locations/eastus/operationResults/", "/operationresults/", 1), token, ""); status != 404 {
		t.Errorf("a purge is a deletion: %d %s", status, text)
	}
	if status, text := p.arm("GET", sub+"/resourceGroups/rg", ""); status != 404 {
		t.Errorf("%d %s", status, text)
	}
	_, text = p.arm("GET", sub+"/providers/Microsoft.KeyVault/deletedVaults", "")
	var deleted struct{ Value []struct{ Name string } }
	if err := json.Unmarshal([]byte(text), &deleted); err != nil || len(deleted.Value) != 2 || !slices.ContainsFunc(deleted.Value, func(v struct{ Name string }) bool { return v.Name == "two" }) {
		t.Errorf("%s", text)
	}
}

// A change that the store did not confirm is 503 with Retry-After, at every door, and done
// when it is asked for again.
func TestConformUnconfirmed(t *testing.T) {
	claims(t, "arm-1-34", "graph-7-39")
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	p := newPlane(t, w, "")
	sub := "/subscriptions/" + p.Tenant.TenantID()
	control, directory := p.token("https://management.azure.com"), p.token("https://graph.microsoft.com")
	const guid = "44444444-4444-4444-8444-444444444444"
	for _, fault := range []storetest.Fault{storetest.LostUnknown, storetest.Kept} {
		for _, step := range []struct {
			token, method, address, body string
			again                        []int
		}{
			{control, "PUT", "https://management.azure.com" + sub + "/resourceGroups/rg" + fault.String() + "?api-version=2022-07-01", `{"location":"eastus"}`, []int{200, 201}},
			{control, "PUT", "https://management.azure.com" + sub + "/resourceGroups/rg" + fault.String() + "/providers/Microsoft.Authorization/roleAssignments/" + strings.Replace(guid, "4", fmt.Sprint(int(fault)), 1) + "?api-version=2022-04-01",
				fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, roleOwner, app.ObjectID), []int{200, 201}},
			{directory, "POST", "https://graph.microsoft.com/v1.0/applications", `{"displayName":"x","identifierUris":["https://` + fault.String() + `.example"]}`, []int{201, 409}},
		} {
			w.faulty.FailAt(1, fault)
			status, header, text := p.ask(step.method, step.address, step.token, step.body)
			if status != 503 || header.Get("Retry-After") != "1" || !strings.Contains(text, `"code":"`) || strings.Contains(text, "storetest") {
				t.Errorf("%s %s: %d %v %s", fault, step.address, status, header, text)
			}
			if status, _, text := p.ask(step.method, step.address, step.token, step.body); !slices.Contains(step.again, status) {
				t.Errorf("%s %s, again: %d %s", fault, step.address, status, text)
			}
		}
	}
}
