package arm_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"coffer/coffertest"
)

// A page is the public quickstart, as the requests that the command-line tool sends for it
// (measured), with what it reads of the answers.
type page struct {
	*control
	app, sp string // client id and object id of the program
}

func (p *page) graph(status int, method, path string, body any) answer {
	p.t.Helper()
	text := ""
	if body != nil {
		raw, _ := json.Marshal(body)
		text = string(raw)
	}
	return p.want(p.ask("https://graph.microsoft.com", "https://graph.microsoft.com/", "", method, "/v1.0"+path, text), status, "")
}

func filtered(collection, filter string) string {
	return "/" + collection + "?$filter=" + url.QueryEscape(filter)
}

// newProgram is az ad sp create-for-rbac -n "http://my-application".
func (p *page) newProgram() coffertest.Principal {
	p.graph(200, "GET", filtered("servicePrincipals", "displayName eq 'http://my-application'"), nil)
	p.graph(200, "GET", filtered("applications", "startswith(displayName,'http://my-application')"), nil)
	app := p.graph(201, "POST", "/applications", object{"displayName": "http://my-application", "keyCredentials": []any{}})
	password := p.graph(200, "POST", "/applications/"+app.at("id").(string)+"/addPassword", object{"passwordCredential": object{"displayName": "rbac", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2099-01-01T00:00:00Z"}})
	sp := p.graph(201, "POST", "/servicePrincipals", object{"appId": app.at("appId"), "accountEnabled": true})
	p.app, p.sp = app.at("appId").(string), sp.at("id").(string)
	program := p.server.NewPrincipal("unused") // for its server
	program.AppID, program.ObjectID, program.Secret = p.app, p.sp, password.at("secretText").(string)
	return program
}

func TestConformPage(t *testing.T) {
	claims(t, "arm-8-1", "arm-8-2", "arm-8-3", "arm-8-4", "arm-8-5", "arm-8-6", "arm-8-7", "arm-8-8")
	p := &page{control: newControl(t)}
	program := p.newProgram()
	const rg = "KeyVault-PythonQS-rg"
	// az group create; az keyvault create.
	p.want(p.do("PUT", p.sub+"/resourcegroups/"+rg, `{"location":"eastus"}`), 201, "")
	location := p.want(p.do("GET", p.sub+"/resourcegroups/"+rg, ""), 200, "").at("location").(string)
	if a := p.do("GET", p.id(rg, "demo"), ""); a.status != 404 {
		t.Error(a.text)
	}
	if a := p.ask("https://graph.microsoft.com", "https://graph.microsoft.com/", "", "GET", "/v1.0/me", ""); a.status < 400 || a.message() == "" {
		t.Error(a.text)
	}
	me := p.graph(200, "GET", filtered("servicePrincipals", "servicePrincipalNames/any(c:c eq '"+p.who.AppID+"')"), nil).at("value.0.id").(string)
	const all = `{"keys":["get","create","delete","list","update","import","backup","restore","recover"],"secrets":["all"],"certificates":["get","list","delete","create","import","update","managecontacts","getissuers","listissuers","setissuers","deleteissuers","manageissuers","recover"],"storage":["get","list"]}`
	made := p.want(p.do("PUT", p.id(rg, "demo"), fmt.Sprintf(`{"location":%q,"properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":%s}],"enableSoftDelete":true,"softDeleteRetentionInDays":90}}`, location, p.server.TenantID(), p.server.TenantID(), me, all)), 200, "")
	p.is(made, "properties.provisioningState", "Succeeded")
	// az keyvault set-policy --spn.
	spn := p.graph(200, "GET", filtered("servicePrincipals", "servicePrincipalNames/any(c:c eq '"+p.app+"')"), nil).at("value.0.id").(string)
	vault := p.want(p.do("GET", p.id(rg, "demo"), ""), 200, "")
	policies := append(vault.at("properties.accessPolicies").([]any), object{"tenantId": p.server.TenantID(), "objectId": spn, "permissions": object{"certificates": []string{"list", "create", "get", "delete"}}})
	vault.at("properties").(object)["accessPolicies"] = policies
	whole, _ := json.Marshal(object{"location": vault.at("location"), "tags": vault.at("tags"), "properties": vault.at("properties")})
	p.want(p.do("PUT", p.id(rg, "demo"), string(whole)), 200, "")
	// az keyvault list, and show without its group.
	found := p.want(p.do("GET", p.sub+"/resources?$filter=resourceType%20eq%20%27Microsoft.KeyVault%2Fvaults%27", ""), 200, "").at("value.0.id").(string)
	p.want(p.do("GET", found, ""), 200, "")
	p.want(p.do("GET", p.sub+"/providers/Microsoft.KeyVault/managedHSMs", ""), 200, "")
	// The program, which may do this and no more.
	q := p.as(program)
	policy := `{"policy":{"issuer":{"name":"Self"},"x509_props":{"subject":"CN=DefaultPolicy","sans":{}}},"attributes":{"enabled":true}}`
	q.want(q.vault("demo", "POST", "/certificates/cert/create", policy), 202, "")
	for range 50 {
		if q.vault("demo", "GET", "/certificates/cert/pending", "").at("status") == "completed" {
			break
		}
	}
	q.want(q.vault("demo", "GET", "/certificates/cert/", ""), 200, "")
	q.want(q.vault("demo", "DELETE", "/certificates/cert", ""), 200, "")
	q.want(q.vault("demo", "DELETE", "/deletedcertificates/cert", ""), 403, "Forbidden/ForbiddenByPolicy")
	q.want(q.vault("demo", "POST", "/certificates/cert/import", `{"value":"AAAA"}`), 403, "Forbidden/ForbiddenByPolicy")
	q.want(q.do("GET", p.id(rg, "demo"), ""), 403, "AuthorizationFailed")
	// The current form: roles.
	p.want(p.do("PUT", p.id(rg, "roles"), fmt.Sprintf(`{"location":%q,"properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"accessPolicies":[],"enableRbacAuthorization":true}}`, location, p.server.TenantID())), 200, "")
	q.want(q.vault("roles", "GET", "/certificates", ""), 403, "Forbidden/ForbiddenByRbac")
	definition := p.want(p.do("GET", p.id(rg, "roles")+"/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName%20eq%20%27Key%20Vault%20Certificates%20Officer%27&api-version=2022-05-01-preview", ""), 200, "").at("value.0.id").(string)
	assignment := p.id(rg, "roles") + "/providers/Microsoft.Authorization/roleAssignments/" + stranger
	p.want(p.do("PUT", assignment+"?api-version=2022-04-01", fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q,"principalType":"ServicePrincipal"}}`, definition, spn)), 201, "")
	q.want(q.vault("roles", "GET", "/certificates", ""), 200, "")
	q.want(q.vault("roles", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByRbac")
	listed := p.want(p.do("GET", p.id(rg, "roles")+"/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()", ""), 200, "")
	var ids []any
	for _, one := range listed.body["value"].([]any) {
		ids = append(ids, one.(object)["properties"].(object)["principalId"])
	}
	named := p.graph(200, "POST", "/directoryObjects/getByIds", object{"ids": ids, "types": []string{"user", "group", "servicePrincipal", "directoryObjectPartnerReference"}})
	for _, one := range named.body["value"].([]any) {
		if o := one.(object); o["@odata.type"] != "#microsoft.graph.servicePrincipal" || o["servicePrincipalNames"].([]any)[0] != o["appId"] {
			t.Errorf("%v", o)
		}
	}
	// az keyvault delete, list-deleted, show-deleted, recover, delete, purge.
	p.want(p.do("DELETE", found, ""), 200, "")
	deleted := p.want(p.do("GET", p.sub+"/providers/Microsoft.KeyVault/deletedVaults", ""), 200, "")
	p.want(p.do("GET", p.sub+"/providers/Microsoft.KeyVault/deletedManagedHSMs", ""), 200, "")
	p.want(p.do("GET", deleted.at("value.0.id").(string), ""), 200, "")
	p.is(p.want(p.do("PUT", deleted.at("value.0.properties.vaultId").(string), fmt.Sprintf(`{"location":%q,"properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"createMode":"recover"}}`, deleted.at("value.0.properties.location"), p.server.TenantID())), 200, ""), "properties.provisioningState", "Succeeded")
	q.want(q.vault("demo", "GET", "/certificates", ""), 200, "")
	p.want(p.do("DELETE", found, ""), 200, "")
	p.want(p.do("POST", deleted.at("value.0.id").(string)+"/purge", ""), 200, "")
	// az group delete.
	p.want(p.do("DELETE", p.sub+"/resourcegroups/"+rg, ""), 200, "")
	if a := p.do("HEAD", p.sub+"/resourcegroups/"+rg, ""); a.status != 404 {
		t.Errorf("%d", a.status)
	}
	q.want(q.vault("roles", "GET", "/certificates", ""), 404, "VaultNotFound")
}
