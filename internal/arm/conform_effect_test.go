package arm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/arm"
)

// What the control plane sets, holds in the vault from the next request on.
func TestConformPropertiesTakeEffect(t *testing.T) {
	claims(t, "arm-4.1-23", "arm-4.1-24", "arm-4.1-25", "arm-4.1-26", "arm-4.1-27", "arm-4.1-28")
	c := newVaults(t)
	policy := fmt.Sprintf(`"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"secrets":["all","purge"],"keys":["all"]}}]`, c.server.TenantID(), c.who.ObjectID)
	patch := func(properties string) {
		t.Helper()
		c.want(c.do("PATCH", c.id("rg", "demo"), `{"properties":{`+properties+`}}`), 200, "")
	}
	c.want(c.do("PUT", c.id("rg", "demo"), c.properties(policy, `"softDeleteRetentionInDays":8`)), 200, "")
	// Retention.
	c.want(c.vault("demo", "PUT", "/secrets/one", `{"value":"v"}`), 200, "")
	deleted := c.want(c.vault("demo", "DELETE", "/secrets/one", ""), 200, "")
	if from, to := deleted.at("deletedDate").(float64), deleted.at("scheduledPurgeDate").(float64); to-from != 8*24*3600 {
		t.Errorf("%s", deleted.text)
	}
	c.is(deleted, "attributes.recoveryLevel", "CustomizedRecoverable+Purgeable", "attributes.recoverableDays", 8)
	// Protection.
	patch(`"enablePurgeProtection":true`)
	c.is(c.want(c.vault("demo", "GET", "/deletedsecrets/one", ""), 200, ""), "attributes.recoveryLevel", "CustomizedRecoverable")
	if a := c.vault("demo", "DELETE", "/deletedsecrets/one", ""); a.status != 403 {
		t.Errorf("%d %s", a.status, a.text)
	}
	c.server.Turn(8 * 24 * time.Hour)
	c.want(c.vault("demo", "GET", "/deletedsecrets/one", ""), 404, "SecretNotFound")
	// The SKU.
	c.want(c.vault("demo", "POST", "/keys/hsm/create", `{"kty":"EC-HSM"}`), 400, "BadParameter")
	c.want(c.do("PUT", c.id("rg", "premium"), strings.Replace(c.properties(policy), "standard", "premium", 1)), 200, "")
	c.want(c.vault("premium", "POST", "/keys/hsm/create", `{"kty":"EC-HSM"}`), 200, "")
	// Who decides.
	c.want(c.vault("demo", "GET", "/secrets", ""), 200, "")
	patch(`"enableRbacAuthorization":true`)
	c.want(c.vault("demo", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByRbac")
	c.want(c.assign("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", c.id("rg", "demo"), c.who), 201, "")
	c.want(c.vault("demo", "GET", "/secrets", ""), 200, "")
	patch(`"accessPolicies":[]`)
	c.want(c.vault("demo", "GET", "/secrets", ""), 200, "")
	patch(`"enableRbacAuthorization":false`)
	c.want(c.vault("demo", "GET", "/secrets", ""), 403, "Forbidden/ForbiddenByPolicy")
	patch(policy)
	// From where.
	for _, step := range []struct{ properties, code string }{
		{`"networkAcls":{"defaultAction":"Deny"}`, "Forbidden/ForbiddenByFirewall"}, {`"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"10.0.0.0/8"}]}`, "Forbidden/ForbiddenByFirewall"},
		{`"networkAcls":{"defaultAction":"Deny","virtualNetworkRules":[{"id":"/subscriptions/x"}]}`, "Forbidden/ForbiddenByFirewall"}, {`"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"10.0.0.0/8"},{"value":"127.0.0.1"}]}`, ""},
		{`"networkAcls":{"defaultAction":"Allow","ipRules":[{"value":"10.0.0.0/8"}]}`, ""}, {`"publicNetworkAccess":"Disabled"`, "Forbidden/ForbiddenByConnection"}, {`"publicNetworkAccess":"Enabled"`, ""},
	} {
		patch(step.properties)
		status := map[bool]int{true: 200, false: 403}[step.code == ""]
		c.want(c.vault("demo", "GET", "/secrets", ""), status, step.code)
		c.want(c.do("GET", c.id("rg", "demo"), ""), 200, "") // the control plane is reached from everywhere
	}
}

// Every route leaves a line in the audit log, whoever asks.
func TestConformEveryRouteIsAudited(t *testing.T) {
	claims(t, "arm-10-4")
	c := newVaults(t)
	stranger := c.as(c.server.NewPrincipal("stranger"))
	rules := c.rules()
	for _, route := range arm.Routes() {
		for _, who := range []*control{c, stranger} {
			who.token("https://management.azure.com")
			before := strings.Count(c.server.AuditLog(), who.who.ObjectID)
			a := who.do(route.Method, c.path(route.Method, route.Pattern), rules[route.Method+" "+route.Pattern].body)
			if strings.Count(c.server.AuditLog(), who.who.ObjectID) == before {
				t.Errorf("%s %s: %d %s", route.Method, route.Pattern, a.status, a.text)
			}
		}
	}
}
