package arm_test

import (
	"fmt"
	"strings"
	"testing"
)

const accessAdmin = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9" // User Access Administrator

// Who may change a role where it can be assigned changes nothing where it is still assigned
// from the time when it could be assigned there, too.
func TestARoleThatIsAssignedElsewhereIsNotTheirsToChange(t *testing.T) {
	c := newVaults(t)
	c.want(c.do("PUT", c.group("other"), `{"location":"eastus"}`), 201, "")
	local, other := c.server.NewPrincipal("local"), c.server.NewPrincipal("other")
	c.want(c.assign(accessAdmin, c.group("rg"), local), 201, "")
	path := "/providers/Microsoft.Authorization/roleDefinitions/44444444-4444-4444-8444-444444444444"
	role := func(action string, groups ...string) string {
		scopes := []string{}
		for _, name := range groups {
			scopes = append(scopes, fmt.Sprintf("%q", c.group(name)))
		}
		return fmt.Sprintf(`{"properties":{"roleName":"Shared","assignableScopes":[%s],"permissions":[{"actions":[%q]}]}}`, strings.Join(scopes, ","), action)
	}
	c.want(c.do("PUT", c.group("rg")+path, role("x/read", "rg", "other")), 201, "")
	c.want(c.assign("44444444-4444-4444-8444-444444444444", c.group("other"), local), 201, "")
	c.want(c.do("PUT", c.group("rg")+path, role("x/read", "rg")), 201, "")

	c.want(c.as(local).do("PUT", c.group("rg")+path, role("*", "rg")), 403, "AuthorizationFailed")
	c.want(c.as(local).assign(owner, c.group("other"), other), 403, "AuthorizationFailed")
	c.want(c.as(local).assign(owner, c.group("rg"), other), 201, "")
}

// What cannot be the id of a principal is nobody's, and what asks for nothing is not answered
// with everything.
func TestNamesThatCannotBe(t *testing.T) {
	c := newVaults(t)
	path := c.group("rg") + "/providers/Microsoft.Authorization/roleAssignments/44444444-4444-4444-8444-444444444444"
	for _, id := range []string{`a\u0000b`, `\u0000`, strings.Repeat("a", 2000), "../x", " ", "é"} {
		c.want(c.do("PUT", path, fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":"%s"}}`, reader, id)), 400, "PrincipalNotFound")
	}
	for _, query := range []string{
		"roleAssignments?$filter=assignedTo('" + strings.Repeat("a", 2000) + "')", "roleAssignments?$filter=assignedTo('')", "roleAssignments?$filter=principalId eq ''", "roleAssignments?$filter=principalId eq ",
		"roleDefinitions?$filter=roleName eq ''", "roleDefinitions?$filter=type eq ''",
	} {
		c.want(c.do("GET", c.sub+"/providers/Microsoft.Authorization/"+strings.ReplaceAll(query, " ", "%20"), ""), 400, "InvalidFilter")
	}
}

// What is too much for one tenant is refused, and what there is stays as it is.
func TestRolesHaveRoomForSoMuch(t *testing.T) {
	c := newVaults(t)
	path := func(i int) string {
		return fmt.Sprintf("%s/providers/Microsoft.Authorization/roleDefinitions/44444444-4444-4444-8444-44444444444%d", c.sub, i)
	}
	put := func(i int) answer {
		return c.do("PUT", path(i), fmt.Sprintf(`{"properties":{"roleName":"r%d","description":%q,"assignableScopes":[%q],"permissions":[{"actions":["a"]}]}}`, i, strings.Repeat("x", 1000000), c.sub))
	}
	for i := range 4 {
		c.want(put(i), 201, "")
	}
	c.want(put(4), 400, "RoleDefinitionLimitExceeded")
	c.want(c.do("GET", path(4), ""), 404, "RoleDefinitionDoesNotExist")
	c.want(c.do("DELETE", path(0), ""), 200, "")
	c.want(put(4), 201, "")
}
