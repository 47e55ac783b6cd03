package arm

import (
	"net/http"
	"net/url"
	"strings"
)

// A route is one line of the table of what the door answers. A word in braces stands for
// any one segment; {scope} at the beginning for any number.
type route struct {
	method    string
	pattern   string
	takesBody bool
	handle    func(*Door, request) (answer, error)
}

const (
	keyVault      = "subscriptions/{sub}/providers/microsoft.keyvault/"
	groupKeyVault = "subscriptions/{sub}/resourcegroups/{group}/providers/microsoft.keyvault/"
	authorization = "{scope}/providers/microsoft.authorization/"
)

// routes is the table. Its order matters only where a word stands beside braces.
var routes = []route{
	{"GET", "tenants", false, (*Door).listTenants},
	{"GET", "subscriptions", false, (*Door).listSubscriptions},
	{"GET", "subscriptions/{sub}", false, (*Door).getSubscription},
	{"GET", "subscriptions/{sub}/locations", false, (*Door).listLocations},
	{"GET", "subscriptions/{sub}/providers", false, (*Door).listProviders},
	{"GET", "subscriptions/{sub}/providers/{namespace}", false, (*Door).getProvider},
	{"POST", "subscriptions/{sub}/providers/{namespace}/register", false, (*Door).registerProvider},
	{"POST", "subscriptions/{sub}/providers/{namespace}/unregister", false, (*Door).unregisterProvider},

	{"GET", "subscriptions/{sub}/resourcegroups", false, (*Door).listGroups},
	{"PUT", "subscriptions/{sub}/resourcegroups/{group}", true, (*Door).putGroup},
	{"GET", "subscriptions/{sub}/resourcegroups/{group}", false, (*Door).getGroup},
	{"HEAD", "subscriptions/{sub}/resourcegroups/{group}", false, (*Door).headGroup},
	{"PATCH", "subscriptions/{sub}/resourcegroups/{group}", true, (*Door).patchGroup},
	{"DELETE", "subscriptions/{sub}/resourcegroups/{group}", false, (*Door).deleteGroup},
	{"GET", "subscriptions/{sub}/operationresults/{token}", false, (*Door).groupResult},
	{"GET", "subscriptions/{sub}/resources", false, (*Door).listResources},
	{"GET", "subscriptions/{sub}/resourcegroups/{group}/resources", false, (*Door).listResources},

	{"GET", keyVault + "vaults", false, (*Door).listVaults},
	{"GET", groupKeyVault + "vaults", false, (*Door).listVaults},
	{"PUT", groupKeyVault + "vaults/{vault}", true, (*Door).putVault},
	{"PATCH", groupKeyVault + "vaults/{vault}", true, (*Door).patchVault},
	{"GET", groupKeyVault + "vaults/{vault}", false, (*Door).getVault},
	{"DELETE", groupKeyVault + "vaults/{vault}", false, (*Door).deleteVault},
	{"PUT", groupKeyVault + "vaults/{vault}/accesspolicies/{kind}", true, (*Door).changePolicies},
	{"GET", groupKeyVault + "vaults/{vault}/privatelinkresources", false, (*Door).listNothing},
	{"GET", groupKeyVault + "vaults/{vault}/privateendpointconnections", false, (*Door).listNothing},
	{"POST", keyVault + "checknameavailability", true, (*Door).checkName},
	{"GET", keyVault + "deletedvaults", false, (*Door).listDeletedVaults},
	{"GET", keyVault + "locations/{location}/deletedvaults/{vault}", false, (*Door).getDeletedVault},
	{"POST", keyVault + "locations/{location}/deletedvaults/{vault}/purge", false, (*Door).purgeVault},
	{"GET", keyVault + "locations/{location}/operationresults/{token}", false, (*Door).purgeResult},

	// There are no managed HSMs; tools that list vaults ask for them as well.
	{"GET", keyVault + "managedhsms", false, (*Door).listNoHSMs},
	{"GET", groupKeyVault + "managedhsms", false, (*Door).listNoHSMs},
	{"GET", keyVault + "deletedmanagedhsms", false, (*Door).listNoHSMs},
	{"POST", keyVault + "checkmhsmnameavailability", true, (*Door).checkHSMName},

	{"GET", authorization + "roledefinitions", false, (*Door).listRoleDefinitions},
	{"GET", authorization + "roledefinitions/{role}", false, (*Door).getRoleDefinition},
	{"PUT", authorization + "roledefinitions/{role}", true, (*Door).putRoleDefinition},
	{"DELETE", authorization + "roledefinitions/{role}", false, (*Door).deleteRoleDefinition},
	{"GET", authorization + "roleassignments", false, (*Door).listRoleAssignments},
	{"GET", authorization + "roleassignments/{assignment}", false, (*Door).getRoleAssignment},
	{"PUT", authorization + "roleassignments/{assignment}", true, (*Door).putRoleAssignment},
	{"DELETE", authorization + "roleassignments/{assignment}", false, (*Door).deleteRoleAssignment},
}

// words are the patterns of the routes, taken apart.
var words = func() [][]string {
	var out [][]string
	for _, r := range routes {
		out = append(out, strings.Split(r.pattern, "/"))
	}
	return out
}()

// match finds the route of a request, and what stands for the words in braces. A path that
// fits with another method is 405; one that fits nothing is 404.
func match(r *http.Request) (*route, map[string]string, string, error) {
	segments, err := split(r.URL)
	if err != nil {
		return nil, nil, "", err
	}
	allowed := false
	for i := range routes {
		params, scope, ok := fits(words[i], segments)
		switch {
		case !ok:
		case routes[i].method == r.Method:
			return &routes[i], params, scope, nil
		default:
			allowed = true
		}
	}
	if allowed {
		return nil, nil, "", fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The HTTP method '%s' is not supported at this path.", clip(r.Method))
	}
	return nil, nil, "", fail(http.StatusNotFound, "InvalidResourceType",
		"There is nothing at this path. This server has subscriptions, resource groups, the vaults of Microsoft.KeyVault, and role definitions and assignments of Microsoft.Authorization.")
}

// split takes the path apart before it is unescaped, so that an escaped slash stays in its
// segment, and refuses what could be read in two ways.
func split(u *url.URL) ([]string, error) {
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/"), "/")
	for i, segment := range segments {
		text, err := url.PathUnescape(segment)
		if err != nil || text == "." || text == ".." || strings.ContainsAny(text, "/\\\x00") || text == "" && i > 0 {
			return nil, fail(http.StatusBadRequest, "InvalidRequestUri", "The path of the request is not valid.")
		}
		segments[i] = text
	}
	if len(segments) > 1 && segments[0] == "" { // a scope of "/" and its providers
		segments = segments[1:]
	}
	return segments, nil
}

func fits(pattern, segments []string) (map[string]string, string, bool) {
	scope := ""
	if pattern[0] == "{scope}" {
		n := len(segments) - (len(pattern) - 1)
		if n < 0 || n%2 != 0 {
			return nil, "", false
		}
		if n > 0 {
			scope = "/" + strings.Join(segments[:n], "/")
		}
		pattern, segments = pattern[1:], segments[n:]
	}
	if len(pattern) != len(segments) {
		return nil, "", false
	}
	params := map[string]string{}
	for i, word := range pattern {
		switch {
		case strings.HasPrefix(word, "{"):
			params[word] = segments[i]
		case !strings.EqualFold(word, segments[i]):
			return nil, "", false
		}
	}
	return params, scope, true
}
