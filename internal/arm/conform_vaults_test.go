package arm_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/coffertest"
)

// newVaults is a control plane with the group rg.
func newVaults(t *testing.T) *control {
	t.Helper()
	c := newControl(t)
	c.want(c.do("PUT", c.group("rg"), `{"location":"eastus"}`), 201, "")
	return c
}

func TestConformVaultResource(t *testing.T) {
	claims(t, "arm-4.1-1", "arm-4.1-2", "arm-4.1-3", "arm-4.1-4", "arm-4.1-5", "arm-4.1-6", "arm-4.1-10", "arm-4.1-11", "arm-4.1-12", "arm-4.1-13", "arm-4.1-14", "arm-4.1-15", "arm-4.1-16", "arm-4.1-17", "arm-4.1-18", "arm-1-20")
	c := newVaults(t)
	plain := c.want(c.do("PUT", c.id("rg", "Plain"), c.properties(none)), 200, "")
	c.order(plain, `"id":`, `"name":"Plain"`, `"type":"Microsoft.KeyVault/vaults"`, `"location":"eastus"`, `"tags":{}`, `"systemData":{"createdBy":"`+c.who.AppID+`","createdByType":"Application","createdAt":`, `"lastModifiedBy":`, `"lastModifiedByType":"Application"`, `"lastModifiedAt":`,
		`"properties":{"sku":{"family":"A","name":"standard"}`, `"tenantId":`, `"accessPolicies":[]`, `"enabledForDeployment":false`, `"enableSoftDelete":true`, `"softDeleteRetentionInDays":90`, `"vaultUri":"https://plain.vault.azure.net/"`, `"provisioningState":"Succeeded"`, `"publicNetworkAccess":"Enabled"`)
	for _, absent := range []string{"networkAcls", "enablePurgeProtection", "enableRbacAuthorization", "enabledForDiskEncryption", "enabledForTemplateDeployment", "createMode", "privateEndpointConnections", "hsmPoolResourceId"} {
		if strings.Contains(plain.text, absent) {
			t.Errorf("%s is in %s", absent, plain.text)
		}
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", plain.at("systemData.createdAt").(string)); err != nil {
		t.Error(err)
	}
	policy := c.policy(c.who, "Get", "LIST")
	full := c.want(c.do("PUT", c.id("rg", "full"), c.properties(policy, `"networkAcls":{"bypass":"none","defaultAction":"deny","ipRules":[{"value":"10.1.0.7"},{"value":"10.2.0.0/24"}],"virtualNetworkRules":[{"id":"/Subscriptions/X/Subnets/S"}]}`,
		`"enabledForDeployment":true,"enabledForDiskEncryption":true,"enabledForTemplateDeployment":false`, `"softDeleteRetentionInDays":7,"enableRbacAuthorization":false,"enablePurgeProtection":true,"publicNetworkAccess":"disabled"`,
		`"vaultUri":"https://evil.example/","provisioningState":"Failed","createMode":"default","hsmPoolResourceId":"x","privateEndpointConnections":[{}],"unknown":1`)), 200, "")
	c.order(full, `"sku":`, `"tenantId":`, `"networkAcls":{"bypass":"None","defaultAction":"Deny","ipRules":[{"value":"10.1.0.7/32"},{"value":"10.2.0.0/24"}],"virtualNetworkRules":[{"id":"/subscriptions/x/subnets/s"}]}`,
		`"accessPolicies":[{"tenantId":`, `"objectId":`, `"permissions":{"keys":[],"secrets":[],"certificates":["Get","LIST"]}}]`, `"enabledForDeployment":true`, `"enabledForDiskEncryption":true`, `"enabledForTemplateDeployment":false`, `"enableSoftDelete":true`,
		`"softDeleteRetentionInDays":7`, `"enableRbacAuthorization":false`, `"enablePurgeProtection":true`, `"vaultUri":"https://full.vault.azure.net/"`, `"provisioningState":"Succeeded"`, `"publicNetworkAccess":"Disabled"`)
	c.is(c.want(c.do("PUT", c.id("rg", "premium"), strings.NewReplacer(`"standard"`, `"PREMIUM"`, `"A"`, `"a"`).Replace(c.properties(none))), 200, ""), "properties.sku", object{"family": "A", "name": "premium"})
	c.is(c.want(c.do("PUT", c.id("rg", "gone"), c.properties(none, `"networkAcls":{"bypass":"AzureServices","defaultAction":"Allow","ipRules":[],"virtualNetworkRules":[]}`)), 200, ""), "properties.networkAcls", nil)
	// What az has read, it sends back whole.
	again := c.want(c.do("PUT", c.id("rg", "full"), full.text), 200, "")
	if !reflect.DeepEqual(again.body["properties"], full.body["properties"]) {
		t.Errorf("%s\n%s", full.text, again.text)
	}
	c.is(again, "systemData.createdAt", full.at("systemData.createdAt"))
	// Storage permissions come back as they were sent.
	c.is(c.want(c.do("PUT", c.id("rg", "storage"), c.properties(strings.Replace(policy, `"certificates"`, `"storage":["get"],"certificates"`, 1))), 200, ""), "properties.accessPolicies.0.permissions.storage", []any{"get"})
	var many []string
	for i := range 1025 {
		many = append(many, fmt.Sprintf(`{"tenantId":%q,"objectId":"00000000-0000-4000-8000-%012d","permissions":{"keys":["get"]}}`, c.server.TenantID(), i))
	}
	c.want(c.do("PUT", c.id("rg", "many"), c.properties(`"accessPolicies":[`+strings.Join(many, ",")+`]`)), 400, "BadRequest")
	if a := c.want(c.do("PUT", c.id("rg", "many"), c.properties(`"accessPolicies":[`+strings.Join(many[:1024], ",")+`]`)), 200, ""); len(a.at("properties.accessPolicies").([]any)) != 1024 {
		t.Errorf("%.500s", a.text)
	}
	c.want(c.do("PUT", c.id("rg", "many")+"/accessPolicies/add", `{"properties":{"accessPolicies":[`+many[1024]+`]}}`), 400, "BadRequest")
}

// The rules of the properties, each at the create and at the update.
func TestConformVaultRules(t *testing.T) {
	claims(t, "arm-4.1-7", "arm-4.1-8", "arm-4.1-9", "arm-4.1-19", "arm-4.3-3", "arm-4.3-4", "arm-4.3-5", "arm-4.3-6", "arm-4.3-10", "arm-1-24")
	c := newVaults(t)
	c.want(c.do("PUT", c.id("rg", "there"), c.properties(none)), 200, "")
	before := c.do("GET", c.id("rg", "there"), "").text
	foreign := strings.Replace(c.properties(none), c.server.TenantID(), stranger, 1)
	for _, test := range []struct{ body, code string }{
		{c.properties(none, `"enableSoftDelete":false`), "BadRequest"}, {c.properties(none, `"enablePurgeProtection":false`), "BadRequest"},
		{c.properties(none, `"softDeleteRetentionInDays":6`), "BadRequest"}, {c.properties(none, `"softDeleteRetentionInDays":91`), "BadRequest"}, {c.properties(none, `"softDeleteRetentionInDays":-1`), "BadRequest"},
		{c.properties(), "BadRequest"}, {c.properties(`"enableRbacAuthorization":false`), "BadRequest"}, {foreign, "BadRequest"},
		{strings.Replace(c.properties(none), fmt.Sprintf(`"tenantId":%q,`, c.server.TenantID()), "", 1), "BadRequest"}, {strings.Replace(c.properties(none), `"sku":{"family":"A","name":"standard"},`, "", 1), "BadRequest"},
		{strings.Replace(c.properties(none), `"standard"`, `"gold"`, 1), "SkuNotSupported"}, {strings.Replace(c.properties(none), `"A"`, `"B"`, 1), "SkuNotSupported"},
		{c.properties(none, `"publicNetworkAccess":"Sometimes"`), "BadRequest"}, {c.properties(none, `"createMode":"magic"`), "BadRequest"},
		{c.properties(`"accessPolicies":[{"tenantId":"` + stranger + `","objectId":"` + stranger + `","permissions":{}}]`), "BadRequest"},
		{c.properties(`"accessPolicies":[{"tenantId":"` + c.server.TenantID() + `","objectId":"x","permissions":{}}]`), "BadRequest"},
		{c.properties(`"accessPolicies":[{"tenantId":"` + c.server.TenantID() + `","objectId":"` + stranger + `","applicationId":"x","permissions":{}}]`), "BadRequest"},
		{c.properties(c.policy(c.who, "dance")), "BadRequest"},
		{c.properties(none, `"networkAcls":{"ipRules":[{"value":"everywhere"}]}`), "NetworkAclsValidationFailure"}, {c.properties(none, `"networkAcls":{"ipRules":[{"value":"10.0.0.0/33"}]}`), "NetworkAclsValidationFailure"},
		{c.properties(none, `"networkAcls":{"defaultAction":"Perhaps"}`), "NetworkAclsValidationFailure"}, {c.properties(none, `"networkAcls":{"bypass":"Perhaps"}`), "NetworkAclsValidationFailure"},
		{strings.Replace(c.properties(none), "East US", "atlantis", 1), "LocationNotAvailableForResourceType"}, {`{`, "InvalidRequestContent"}, {`[]`, "InvalidRequestContent"}, {`{"properties":[]}`, "InvalidRequestContent"},
	} {
		c.want(c.do("PUT", c.id("rg", "fresh"), test.body), 400, test.code)
		c.want(c.do("PUT", c.id("rg", "there"), test.body), 400, test.code)
	}
	c.want(c.do("PUT", c.id("rg", "fresh"), strings.Replace(c.properties(none), `"location":"East US",`, "", 1)), 400, "LocationRequired")
	c.want(c.do("PATCH", c.id("rg", "there"), `{"properties":{"softDeleteRetentionInDays":8}}`), 400, "BadRequest")
	c.want(c.do("PATCH", c.id("rg", "there"), `{"properties":{"tenantId":"`+stranger+`"}}`), 400, "BadRequest")
	c.want(c.do("GET", c.id("rg", "fresh"), ""), 404, "ResourceNotFound")
	if after := c.do("GET", c.id("rg", "there"), "").text; after != before {
		t.Errorf("%s\n%s", before, after)
	}
	c.want(c.do("PATCH", c.id("rg", "there"), `{"properties":{"softDeleteRetentionInDays":90}}`), 200, "") // what it is
	// Protection does not go again, whatever a PUT leaves out.
	c.want(c.do("PATCH", c.id("rg", "there"), `{"properties":{"enablePurgeProtection":true}}`), 200, "")
	c.is(c.want(c.do("PUT", c.id("rg", "there"), c.properties(none)), 200, ""), "properties.enablePurgeProtection", true)
	c.want(c.do("PATCH", c.id("rg", "there"), `{"properties":{"enablePurgeProtection":false}}`), 400, "BadRequest")
}

// The permission model of a new vault follows the api-version; an update leaves it.
func TestConformModel(t *testing.T) {
	claims(t, "arm-4.1-20", "arm-4.1-21", "arm-4.1-22", "arm-4.3-7", "arm-5.2-4")
	c := newVaults(t)
	for i, test := range []struct {
		version string
		more    []string
		want    any
	}{
		{"2018-02-14", []string{none}, nil}, {"2022-07-01", []string{none}, nil}, {"2025-05-01", []string{none}, nil}, {"2026-02-01", nil, true}, {"2026-02-01", []string{none}, true}, {"2026-03-01-preview", nil, true}, {"2027-01-01", nil, true},
		{"2026-02-01", []string{none, `"enableRbacAuthorization":false`}, false}, {"2022-07-01", []string{`"enableRbacAuthorization":true`}, true},
	} {
		path := c.id("rg", fmt.Sprint("model", i))
		c.is(c.want(c.do("PUT", path+"?api-version="+test.version, c.properties(test.more...)), 200, ""), "properties.enableRbacAuthorization", test.want)
		c.is(c.want(c.do("PUT", path+"?api-version=2026-02-01", c.properties(none)), 200, ""), "properties.enableRbacAuthorization", test.want)
		c.is(c.want(c.do("PATCH", path+"?api-version=2026-02-01", `{}`), 200, ""), "properties.enableRbacAuthorization", test.want)
	}
	// Who may not give roles does not change who decides; nor with a PUT.
	manager := c.server.NewPrincipal("manager")
	c.want(c.assign(contributor, c.group("rg"), manager), 201, "")
	m := c.as(manager)
	for _, method := range []string{"PATCH", "PUT"} {
		m.want(m.do(method, c.id("rg", "model1"), c.properties(none, `"enableRbacAuthorization":true`)), 400, "InsufficientPermissions")
		m.want(m.do(method, c.id("rg", "model3"), c.properties(none, `"enableRbacAuthorization":false`)), 400, "InsufficientPermissions")
		m.want(m.do(method, c.id("rg", "model3"), c.properties(none, `"enableRbacAuthorization":true`)), 200, "") // what it is
	}
	m.want(m.do("PUT", c.id("rg", "own"), c.properties(`"enableRbacAuthorization":true`)), 200, "")
}

func TestConformVaultOperations(t *testing.T) {
	claims(t, "arm-4.2-1", "arm-4.2-2", "arm-4.2-3", "arm-4.2-4", "arm-4.2-5", "arm-4.2-10", "arm-4.2-11", "arm-4.2-12", "arm-4.2-13", "arm-4.3-1", "arm-4.3-2", "arm-4.3-9", "arm-4.3-11", "arm-1-21")
	c := newVaults(t)
	c.want(c.do("PUT", c.id("rg", "demo"), strings.Replace(c.properties(c.policy(c.who, "get"), `"enabledForDeployment":true`), `{"location"`, `{"tags":{"a":"b"},"location"`, 1)), 200, "")
	// PUT replaces, PATCH merges.
	c.is(c.want(c.do("PATCH", c.id("rg", "demo"), `{"properties":{"enabledForTemplateDeployment":true}}`), 200, ""), "tags", object{"a": "b"}, "properties.enabledForDeployment", true, "properties.accessPolicies.0.permissions.certificates", []any{"get"}, "properties.enabledForTemplateDeployment", true)
	c.is(c.want(c.do("PATCH", c.id("rg", "demo"), `{"tags":{"c":"d"},"properties":{`+c.policy(c.who, "list")+`}}`), 200, ""), "tags", object{"c": "d"}, "properties.accessPolicies.0.permissions.certificates", []any{"list"})
	c.is(c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, ""), "tags", object{}, "properties.enabledForDeployment", false, "properties.enabledForTemplateDeployment", nil, "properties.accessPolicies", []any{})
	c.want(c.do("GET", c.id("rg", "missing"), ""), 404, "ResourceNotFound")
	c.want(c.do("GET", c.id("none", "demo"), ""), 404, "ResourceGroupNotFound")
	c.want(c.do("PUT", c.id("none", "demo"), c.properties(none)), 404, "ResourceGroupNotFound")
	c.want(c.do("DELETE", c.id("none", "demo"), ""), 404, "ResourceGroupNotFound")
	c.want(c.do("PATCH", c.id("rg", "missing"), `{}`), 404, "ResourceNotFound")
	// Names.
	for _, name := range []string{"ab", strings.Repeat("a", 25), "1abc", "-abc", "abc-", "a--b", "a_b", "a.b", "ä-b", "a%20b", "abc%ff"} {
		c.want(c.do("PUT", c.id("rg", name), c.properties(none)), 400, "VaultNameNotValid")
		c.is(c.want(c.do("POST", c.sub+"/providers/Microsoft.KeyVault/checkNameAvailability", fmt.Sprintf(`{"name":%q,"type":"Microsoft.KeyVault/vaults"}`, name)), 200, ""), "nameAvailable", false, "reason", "AccountNameInvalid")
	}
	for _, name := range []string{"abc", "A-b-9", strings.Repeat("a", 24)} {
		c.want(c.do("PUT", c.id("rg", name), c.properties(none)), 200, "")
	}
	// A list in pages.
	for _, base := range []string{c.sub, c.group("rg")} {
		var names []string
		next, pages := base+"/providers/Microsoft.KeyVault/vaults?$top=3", 0
		for ; next != "" && pages < 9; pages++ {
			a := c.want(c.do("GET", next, ""), 200, "")
			names = append(names, a.names()...)
			next, _ = a.body["nextLink"].(string)
			next = strings.TrimPrefix(next, "https://management.azure.com")
		}
		if slices.Sort(names); pages != 2 || !slices.Equal(names, []string{"A-b-9", strings.Repeat("a", 24), "abc", "demo"}) {
			t.Errorf("%d pages: %q", pages, names)
		}
	}
	for query, code := range map[string]string{"$top=0": "BadRequest", "$top=-1": "BadRequest", "$top=x": "BadRequest", "$skiptoken=x": "InvalidSkipToken", "$skiptoken=-1": "InvalidSkipToken", "$skiptoken=99": "InvalidSkipToken"} {
		c.want(c.do("GET", c.sub+"/providers/Microsoft.KeyVault/vaults?"+query, ""), 400, code)
	}
	// The name is one for all groups.
	c.want(c.do("PUT", c.group("other"), `{"location":"eastus"}`), 201, "")
	c.want(c.do("PUT", c.id("other", "Demo"), c.properties(none)), 409, "VaultAlreadyExists")
	c.want(c.do("PUT", c.id("rg", "demo"), strings.Replace(c.properties(none), "East US", "westus", 1)), 409, "InvalidResourceLocation")
	check := func(name string) answer {
		return c.want(c.do("POST", c.sub+"/providers/Microsoft.KeyVault/checkNameAvailability", fmt.Sprintf(`{"name":%q,"type":"Microsoft.KeyVault/vaults"}`, name)), 200, "")
	}
	if a := check("free"); a.text != `{"nameAvailable":true}` {
		t.Error(a.text)
	}
	c.is(check("DEMO"), "nameAvailable", false, "reason", "AlreadyExists")
	c.want(c.do("POST", c.sub+"/providers/Microsoft.KeyVault/checkNameAvailability", `{"name":"x","type":"Microsoft.KeyVault/managedHSMs"}`), 400, "BadRequest")
	deleted := c.want(c.do("DELETE", c.id("rg", "demo"), ""), 200, "")
	if deleted.text != "" || deleted.header.Get("Location")+deleted.header.Get("Azure-AsyncOperation")+deleted.header.Get("Retry-After") != "" {
		t.Errorf("%v", deleted.header)
	}
	c.want(c.do("DELETE", c.id("rg", "demo"), ""), 204, "")
	c.is(check("demo"), "nameAvailable", false, "reason", "AlreadyExists")
	for _, group := range []string{"rg", "other"} { // deleted in the same subscription
		c.want(c.do("PUT", c.id(group, "demo"), c.properties(none)), 409, "ConflictError")
	}
	// What there never is.
	for _, path := range []string{c.id("rg", "abc") + "/privateLinkResources", c.id("rg", "abc") + "/privateEndpointConnections", c.sub + "/providers/Microsoft.KeyVault/managedHSMs", c.group("rg") + "/providers/Microsoft.KeyVault/managedHSMs", c.sub + "/providers/Microsoft.KeyVault/deletedManagedHSMs"} {
		if a := c.want(c.do("GET", path, ""), 200, ""); a.text != `{"value":[]}` {
			t.Error(a.text)
		}
	}
	c.want(c.do("POST", c.sub+"/providers/Microsoft.KeyVault/checkMhsmNameAvailability", `{"name":"x"}`), 400, "RegionNotSupported")
}

func TestConformAccessPolicies(t *testing.T) {
	claims(t, "arm-4.2-6", "arm-4.2-7", "arm-4.2-8", "arm-4.2-9")
	c := newVaults(t)
	p, q := c.server.NewPrincipal("p"), c.server.NewPrincipal("q")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, "")
	change := func(status int, kind string, p coffertest.Principal, more string, words ...string) answer {
		t.Helper()
		return c.want(c.do("PUT", c.id("rg", "demo")+"/accessPolicies/"+kind, `{"properties":{`+strings.Replace(c.policy(p, words...), `"permissions"`, more+`"permissions"`, 1)+`}}`), status, "")
	}
	const app = `"applicationId":"` + stranger + `",`
	a := change(201, "add", p, "", "get")
	c.is(a, "id", c.id("rg", "demo")+"/accessPolicies/", "type", "Microsoft.KeyVault/vaults/accessPolicies", "location", "eastus", "properties.accessPolicies.0.objectId", p.ObjectID, "properties.accessPolicies.0.permissions.certificates", []any{"get"})
	change(200, "add", p, "", "GET") // there already
	c.is(change(201, "add", p, "", "list"), "properties.accessPolicies.0.permissions.certificates", []any{"GET", "list"})
	change(201, "add", q, "", "get")
	c.is(change(201, "ADD", p, app, "get"), "properties.accessPolicies.2.applicationId", stranger, "properties.accessPolicies.2.permissions.certificates", []any{"get"})
	c.is(change(200, "replace", p, "", "create"), "properties.accessPolicies.0.permissions.certificates", []any{"create"}, "properties.accessPolicies.1.objectId", q.ObjectID, "properties.accessPolicies.2.permissions.certificates", []any{"get"})
	c.is(change(200, "remove", p, app, "get", "list"), "properties.accessPolicies.2", nil, "properties.accessPolicies.0.permissions.certificates", []any{"create"})
	c.is(change(200, "remove", q, "", "list"), "properties.accessPolicies.1.permissions.certificates", []any{"get"})
	c.is(change(200, "remove", q, "", "get"), "properties.accessPolicies.1", nil)
	if got := c.do("GET", c.id("rg", "demo"), "").at("properties.accessPolicies").([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	body := `{"properties":{` + c.policy(p, "get") + `}}`
	c.want(c.do("PUT", c.id("rg", "missing")+"/accessPolicies/add", body), 404, "ParentResourceNotFound")
	c.want(c.do("PUT", c.id("none", "demo")+"/accessPolicies/add", body), 404, "ResourceGroupNotFound")
	c.want(c.do("PUT", c.id("rg", "demo")+"/accessPolicies/dance", body), 400, "BadRequest")
	c.want(c.do("PUT", c.id("rg", "demo")+"/accessPolicies/add", strings.Replace(body, `"get"`, `"dance"`, 1)), 400, "BadRequest")
}

func TestConformDeletedVaults(t *testing.T) {
	claims(t, "arm-4.4-1", "arm-4.4-2", "arm-4.4-3", "arm-4.4-5", "arm-4.4-6", "arm-4.4-7", "arm-4.4-8", "arm-4.4-9", "arm-4.3-8", "arm-4.3-12")
	c := newVaults(t)
	place := c.sub + "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/demo"
	for _, path := range []string{place, place + "/purge"} {
		method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(path, "purge")]
		c.want(c.do(method, path, ""), 404, "DeletedVaultNotFound")
	}
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 404, "DeletedVaultNotFound")
	made := c.want(c.do("PUT", c.id("rg", "Demo"), strings.Replace(c.properties(c.policy(c.who, "all", "purge"), `"softDeleteRetentionInDays":10`), `{"location"`, `{"tags":{"a":"b"},"location"`, 1)), 200, "")
	c.want(c.vault("demo", "POST", "/certificates/web/create", `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=a"}}}`), 202, "")
	c.want(c.do("DELETE", c.id("rg", "demo"), ""), 200, "")
	const form = "2006-01-02T15:04:05Z"
	now := c.server.Now()
	d := object{"id": strings.Replace(place, "demo", "Demo", 1), "name": "Demo", "type": "Microsoft.KeyVault/deletedVaults", "properties": object{
		"vaultId": c.id("rg", "Demo"), "location": "eastus", "tags": object{"a": "b"}, "deletionDate": now.Format(form), "scheduledPurgeDate": now.Add(10 * 24 * time.Hour).Format(form),
	}}
	if got := c.want(c.do("GET", strings.Replace(place, "eastus", "East%20US", 1), ""), 200, "").body; !reflect.DeepEqual(got, d) {
		t.Errorf("%v", got)
	}
	if got := c.want(c.do("GET", c.sub+"/providers/Microsoft.KeyVault/deletedVaults", ""), 200, "").body; !reflect.DeepEqual(got, object{"value": []any{d}}) {
		t.Errorf("%v", got)
	}
	c.want(c.do("GET", strings.Replace(place, "eastus", "westus", 1), ""), 404, "DeletedVaultNotFound")
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 404, "VaultNotFound")
	// Recovered, it is what it was.
	c.want(c.do("PUT", c.group("other"), `{"location":"eastus"}`), 201, "")
	c.want(c.do("PUT", c.id("other", "demo"), c.properties(`"createMode":"recover"`)), 400, "BadRequest")
	recovered := c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 200, "")
	if !reflect.DeepEqual(recovered.body["properties"], made.body["properties"]) || !reflect.DeepEqual(recovered.body["tags"], made.body["tags"]) {
		t.Errorf("%s\n%s", made.text, recovered.text)
	}
	c.want(c.vault("demo", "GET", "/certificates/web", ""), 200, "")
	// Without its group it cannot be recovered.
	c.want(c.do("DELETE", c.group("rg"), ""), 200, "")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(`"createMode":"recover"`)), 404, "ResourceGroupNotFound")
	c.want(c.do("PUT", c.group("rg"), `{"location":"eastus"}`), 201, "")
	// Purged for good.
	if a := c.want(c.do("POST", place+"/purge", ""), 200, ""); a.text != "" || a.header.Get("Location")+a.header.Get("Retry-After") != "" {
		t.Errorf("%s %v", a.text, a.header)
	}
	c.want(c.do("POST", place+"/purge", ""), 404, "DeletedVaultNotFound")
	// Protected, it is not, until its date.
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none, `"enablePurgeProtection":true,"softDeleteRetentionInDays":7`)), 200, "")
	c.want(c.do("DELETE", c.id("rg", "demo"), ""), 200, "")
	c.is(c.want(c.do("GET", place, ""), 200, ""), "properties.purgeProtectionEnabled", true)
	if a := c.want(c.do("POST", place+"/purge", ""), 405, "MethodNotAllowed"); !strings.Contains(a.message(), "DeletedVaultPurge") {
		t.Error(a.text)
	}
	c.server.Turn(7*24*time.Hour - time.Second)
	c.want(c.do("GET", place, ""), 200, "")
	c.server.Turn(time.Second)
	c.want(c.do("GET", place, ""), 404, "DeletedVaultNotFound")
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, "")
}

// Changes at once: each answer is of the protocol, and what is acknowledged is there.
func TestConformConcurrentUpdates(t *testing.T) {
	claims(t, "arm-4.3-13")
	c := newVaults(t)
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(none)), 200, "")
	c.token("https://management.azure.com")
	var wait sync.WaitGroup
	var mu sync.Mutex
	added := map[string]bool{}
	for i := range 16 {
		wait.Go(func() {
			oid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			a := c.do("PUT", c.id("rg", "demo")+"/accessPolicies/add", fmt.Sprintf(`{"properties":{"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get"]}}]}}`, c.server.TenantID(), oid))
			mu.Lock()
			defer mu.Unlock()
			if added[oid] = a.status == 201; !added[oid] && a.code() != "ConflictError" {
				t.Errorf("%d %s", a.status, a.text)
			}
		})
		wait.Go(func() {
			if a := c.do("PATCH", c.id("rg", "demo"), fmt.Sprintf(`{"tags":{"a":"%d"}}`, i)); a.status != 200 && a.code() != "ConflictError" {
				t.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	wait.Wait()
	text := c.do("GET", c.id("rg", "demo"), "").text
	for oid, there := range added {
		if strings.Contains(text, oid) != there {
			t.Errorf("%s: %v", oid, there)
		}
	}
}

// Of a purge and a recovery at once one wins, and the vault is what the winner was told.
func TestConformPurgeAgainstRecover(t *testing.T) {
	claims(t, "arm-4.3-14")
	c := newVaults(t)
	c.token("https://management.azure.com")
	won := map[string]int{}
	for i := range 12 {
		name := fmt.Sprint("race", i)
		c.want(c.do("PUT", c.id("rg", name), c.properties(none)), 200, "")
		c.want(c.do("DELETE", c.id("rg", name), ""), 200, "")
		var purge, recovery answer
		var wait sync.WaitGroup
		wait.Go(func() {
			purge = c.do("POST", c.sub+"/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/"+name+"/purge", "")
		})
		wait.Go(func() { recovery = c.do("PUT", c.id("rg", name), c.properties(`"createMode":"recover"`)) })
		wait.Wait()
		c.server.Settle()
		there := c.do("GET", c.id("rg", name), "").status == 200
		switch {
		case purge.status == 200 && recovery.status != 200 && !there:
			won["purge"]++
		case recovery.status == 200 && purge.status != 200 && there:
			won["recover"]++
		default:
			t.Errorf("purge %d %s, recover %d %s, there %v", purge.status, purge.code(), recovery.status, recovery.code(), there)
		}
		for _, a := range []answer{purge, recovery} {
			if a.status != 200 && a.status != 202 && a.code() != "ConflictError" && a.code() != "VaultAlreadyExists" && a.code() != "DeletedVaultNotFound" {
				t.Errorf("%d %s", a.status, a.text)
			}
		}
	}
	t.Log(won)
}

// Of many that make the same at once one does, and the others are told that it is there.
func TestConformOneOfManyMakes(t *testing.T) {
	claims(t, "arm-4.3-15", "arm-5-20", "graph-7-38")
	c := newVaults(t)
	c.token("https://management.azure.com")
	c.token("https://graph.microsoft.com")
	p := c.server.NewPrincipal("p")
	for i := range 8 {
		c.want(c.do("PUT", c.group(fmt.Sprint("many", i)), `{"location":"eastus"}`), 201, "")
	}
	for what, test := range map[string]struct {
		make func(i int) answer
		done int
		code string
	}{
		"a vault of one name in several groups": {func(i int) answer { return c.do("PUT", c.id(fmt.Sprint("many", i), "wanted"), c.properties(none)) }, 200, "VaultAlreadyExists"},
		"an assignment under several names": {func(i int) answer {
			return c.do("PUT", fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-%012d", c.group("rg"), i), fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, reader, p.ObjectID))
		}, 201, "RoleAssignmentExists"},
		"applications of one identifier URI": {func(int) answer {
			return c.ask("https://graph.microsoft.com", "https://graph.microsoft.com", "", "POST", "/v1.0/applications", `{"displayName":"x","identifierUris":["https://wanted.example"]}`)
		}, 201, "Request_MultipleObjectsWithSameKeyValue"},
	} {
		var wait sync.WaitGroup
		answers := make([]answer, 8)
		for i := range answers {
			wait.Go(func() { answers[i] = test.make(i) })
		}
		wait.Wait()
		done := 0
		for i, a := range answers {
			switch {
			case a.status == test.done:
				done++
			case a.status != 409 || a.code() != test.code:
				t.Errorf("%s: %d: %d %s", what, i, a.status, a.text)
			}
		}
		if done != 1 {
			t.Errorf("%s: %d have made it", what, done)
		}
	}
	if a := c.do("GET", c.sub+"/providers/Microsoft.KeyVault/vaults", ""); fmt.Sprint(a.names()) != "[wanted]" {
		t.Error(a.text)
	}
}
