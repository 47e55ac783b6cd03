package graph

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/tenant"
)

// A right says who may use a route. The rule is tenant's; a test holds the two together.
type right int

const (
	anyone        right = iota // every principal of the tenant
	owner                      // who owns the application, or administers the directory
	administrator              // who administers the directory
)

// A route is one line of the table.
type route struct {
	method    string
	pattern   string // segments; {id} and {sub} take what is there
	right     right
	takesBody bool
	handle    func(*Door, request) (answer, error)
}

// routes is everything that the door has. Fixed words stand before placeholders.
var routes = slices.Concat(objects,
	memberships("me", func(request) tenant.Holder { return tenant.Holder{Me: true} }),
	memberships("users/{id}", func(r request) tenant.Holder { return tenant.Holder{User: r.names["id"]} }),
	memberships("groups/{id}", func(r request) tenant.Holder { return tenant.Holder{Group: r.names["id"]} }),
	memberships("servicePrincipals/{id}", func(r request) tenant.Holder { return tenant.Holder{Principal: r.ref(true)} }),
	memberships("directoryObjects/{id}", func(r request) tenant.Holder { return tenant.Holder{ID: r.names["id"]} }),
)

// memberships are the routes that ask in which groups somebody is.
func memberships(of string, holder func(request) tenant.Holder) []route {
	return []route{
		{"GET", of + "/memberOf", anyone, false, listMemberships(holder)},
		{"GET", of + "/transitiveMemberOf", anyone, false, listMemberships(holder)},
		{"POST", of + "/getMemberGroups", anyone, true, getMemberGroups(holder)},
		{"POST", of + "/checkMemberGroups", anyone, true, checkMemberGroups(holder)},
	}
}

var objects = []route{
	{"GET", "me", anyone, false, (*Door).getMe},
	{"GET", "organization", anyone, false, (*Door).listOrganizations},
	{"GET", "groups", anyone, false, (*Door).listGroups},
	{"POST", "groups", administrator, true, (*Door).createGroup},
	{"GET", "groups/{id}", anyone, false, (*Door).getGroup},
	{"PATCH", "groups/{id}", owner, true, (*Door).updateGroup},
	{"DELETE", "groups/{id}", owner, false, (*Door).deleteGroup},
	{"GET", "groups/{id}/members", anyone, false, (*Door).listMembers},
	{"GET", "groups/{id}/transitiveMembers", anyone, false, (*Door).listMembers},
	{"POST", "groups/{id}/members/$ref", owner, true, (*Door).addMember},
	{"DELETE", "groups/{id}/members/{sub}/$ref", owner, false, (*Door).removeMember},
	{"GET", "groups/{id}/owners", anyone, false, (*Door).listGroupOwners},
	{"POST", "groups/{id}/owners/$ref", owner, true, (*Door).addGroupOwner},
	{"DELETE", "groups/{id}/owners/{sub}/$ref", owner, false, (*Door).removeGroupOwner},

	{"GET", "applications", anyone, false, (*Door).listApplications},
	{"POST", "applications", anyone, true, (*Door).createApplication},
	{"GET", "applications/{id}", anyone, false, (*Door).getApplication},
	{"PATCH", "applications/{id}", owner, true, (*Door).updateApplication},
	{"DELETE", "applications/{id}", owner, false, (*Door).deleteApplication},
	{"POST", "applications/{id}/addPassword", owner, true, addPassword(false)},
	{"POST", "applications/{id}/removePassword", owner, true, removePassword(false)},
	{"GET", "applications/{id}/owners", anyone, false, listOwners(false)},
	{"POST", "applications/{id}/owners/$ref", owner, true, (*Door).addOwner},
	{"DELETE", "applications/{id}/owners/{sub}/$ref", owner, false, (*Door).removeOwner},
	{"GET", "applications/{id}/federatedIdentityCredentials", anyone, false, (*Door).listFederated},
	{"POST", "applications/{id}/federatedIdentityCredentials", owner, true, (*Door).addFederated},
	{"GET", "applications/{id}/federatedIdentityCredentials/{sub}", anyone, false, (*Door).getFederated},
	{"PATCH", "applications/{id}/federatedIdentityCredentials/{sub}", owner, true, (*Door).updateFederated},
	{"DELETE", "applications/{id}/federatedIdentityCredentials/{sub}", owner, false, (*Door).removeFederated},

	{"GET", "servicePrincipals", anyone, false, (*Door).listPrincipals},
	{"POST", "servicePrincipals", owner, true, (*Door).createPrincipal},
	{"GET", "servicePrincipals/{id}", anyone, false, (*Door).getPrincipal},
	{"PATCH", "servicePrincipals/{id}", owner, true, (*Door).updatePrincipal},
	{"DELETE", "servicePrincipals/{id}", owner, false, (*Door).deletePrincipal},
	{"POST", "servicePrincipals/{id}/addPassword", owner, true, addPassword(true)},
	{"POST", "servicePrincipals/{id}/removePassword", owner, true, removePassword(true)},
	{"GET", "servicePrincipals/{id}/owners", anyone, false, listOwners(true)},

	{"GET", "users", anyone, false, (*Door).listUsers},
	{"POST", "users", administrator, true, (*Door).createUser},
	{"GET", "users/{id}", anyone, false, (*Door).getUser},
	{"PATCH", "users/{id}", administrator, true, (*Door).updateUser},
	{"DELETE", "users/{id}", administrator, false, (*Door).deleteUser},

	{"POST", "deviceCodes/approve", administrator, true, (*Door).approveDeviceCode},
	{"POST", "deviceCodes/decline", administrator, true, (*Door).declineDeviceCode},

	{"POST", "directoryObjects/getByIds", anyone, true, (*Door).getByIDs},
	{"GET", "directoryObjects/{id}", anyone, false, (*Door).getObject},
}

// match finds the route of a request.
func match(method string, segments []string) (*route, map[string]string, error) {
	other := false
	for i := range routes {
		names, ok := fits(routes[i].pattern, segments)
		switch {
		case !ok:
			continue
		case routes[i].method == method:
			return &routes[i], names, nil
		}
		other = true
	}
	if other {
		return nil, nil, &failure{http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."}
	}
	return nil, nil, &failure{http.StatusBadRequest, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", clip(segments[len(segments)-1]))}
}

func fits(pattern string, segments []string) (map[string]string, bool) {
	words := strings.Split(pattern, "/")
	if len(words) != len(segments) {
		return nil, false
	}
	names := map[string]string{}
	for i, word := range words {
		switch {
		case segments[i] == "":
			return nil, false
		case strings.HasPrefix(word, "{"):
			names[strings.Trim(word, "{}")] = segments[i]
		case !strings.EqualFold(word, segments[i]):
			return nil, false
		}
	}
	return names, true
}

// split takes a path apart before it is unescaped. A collection with a key in brackets
// becomes two segments; byAppID says that the key is a client id.
func split(u *url.URL) (version string, segments []string, byAppID bool, err error) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if version = parts[0]; version != "v1.0" && version != "beta" {
		return "", nil, false, &failure{http.StatusBadRequest, "BadRequest", "Invalid version: " + clip(version) + ". This server has v1.0."}
	}
	for i, part := range parts[1:] {
		text, err := url.PathUnescape(part)
		if err != nil {
			return "", nil, false, badRequest("The path of the request cannot be read.")
		}
		if collection, key, named, ok := bracketed(text); ok && i == 0 {
			segments, byAppID = append(segments, collection, key), named
			continue
		}
		segments = append(segments, text)
	}
	if len(segments) == 0 {
		segments = []string{""}
	}
	return version, segments, byAppID, nil
}

// bracketed takes applications(appId='…') apart, and users('…').
func bracketed(segment string) (collection, key string, byAppID, ok bool) {
	collection, rest, ok := strings.Cut(segment, "(")
	if !ok || !strings.HasSuffix(rest, ")") {
		return "", "", false, false
	}
	rest = strings.TrimSuffix(rest, ")")
	if name, value, found := strings.Cut(rest, "="); found && strings.EqualFold(strings.TrimSpace(name), "appId") {
		rest, byAppID = strings.TrimSpace(value), true
	}
	if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
		return "", "", false, false
	}
	return collection, strings.ReplaceAll(rest[1:len(rest)-1], "''", "'"), byAppID, true
}

// clip bounds what an error repeats of a request.
func clip(text string) string {
	if len(text) > 128 {
		text = text[:128]
	}
	return strings.ToValidUTF8(text, "")
}
