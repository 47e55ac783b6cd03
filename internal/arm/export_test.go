package arm

import "net/http"

// A RouteRow is what tests see of the route table.
type RouteRow struct {
	Method, Pattern string
	TakesBody       bool
}

// Routes returns the route table.
func Routes() (out []RouteRow) {
	for _, r := range routes {
		out = append(out, RouteRow{r.method, r.pattern, r.takesBody})
	}
	return out
}

// Bodies are what the bodies of the routes are read into.
func Bodies() map[string]any {
	return map[string]any{
		"PUT subscriptions/{sub}/resourcegroups/{group}": groupInput{}, "PATCH subscriptions/{sub}/resourcegroups/{group}": groupInput{},
		"PUT " + groupKeyVault + "vaults/{vault}": vaultInput{}, "PATCH " + groupKeyVault + "vaults/{vault}": vaultInput{}, "PUT " + groupKeyVault + "vaults/{vault}/accesspolicies/{kind}": policiesInput{},
		"POST " + keyVault + "checknameavailability": nameInput{}, "POST " + keyVault + "checkmhsmnameavailability": nameInput{},
		"PUT " + authorization + "roledefinitions/{role}": roleDefinitionInput{}, "PUT " + authorization + "roleassignments/{assignment}": roleAssignmentInput{},
	}
}

// Match finds the route of a request, and what stands for the words in braces.
func Match(r *http.Request) (params map[string]string, scope string, ok bool) {
	_, params, scope, err := match(r)
	return params, scope, err == nil
}
