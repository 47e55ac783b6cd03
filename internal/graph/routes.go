package graph

import (
	"net/http"
	"net/url"
	"strings"
)

// A route is one line of the table of what the door answers. {id} and {part} stand for any
// one segment.
type route struct {
	method    string
	pattern   string
	takesBody bool
	changes   bool // needs ownership or administration, or makes something
	handle    func(*Door, request) (answer, error)
}

var routes = []route{
	{"GET", "me", false, false, (*Door).me},
	{"GET", "organization", false, false, (*Door).organization},

	{"GET", "applications", false, false, (*Door).listApplications},
	{"POST", "applications", true, true, (*Door).createApplication},
	{"GET", "applications/{id}", false, false, (*Door).getApplication},
	{"PATCH", "applications/{id}", true, true, (*Door).patchApplication},
	{"DELETE", "applications/{id}", false, true, (*Door).deleteApplication},
	{"POST", "applications/{id}/addpassword", true, true, (*Door).addApplicationPassword},
	{"POST", "applications/{id}/removepassword", true, true, (*Door).removeApplicationPassword},
	{"GET", "applications/{id}/owners", false, false, (*Door).listOwners},
	{"POST", "applications/{id}/owners/$ref", true, true, (*Door).addOwner},
	{"DELETE", "applications/{id}/owners/{part}/$ref", false, true, (*Door).removeOwner},
	{"GET", "applications/{id}/federatedidentitycredentials", false, false, (*Door).listFederated},
	{"POST", "applications/{id}/federatedidentitycredentials", true, true, (*Door).createFederated},
	{"GET", "applications/{id}/federatedidentitycredentials/{part}", false, false, (*Door).getFederated},
	{"PATCH", "applications/{id}/federatedidentitycredentials/{part}", true, true, (*Door).patchFederated},
	{"DELETE", "applications/{id}/federatedidentitycredentials/{part}", false, true, (*Door).deleteFederated},

	{"GET", "serviceprincipals", false, false, (*Door).listPrincipals},
	{"POST", "serviceprincipals", true, true, (*Door).createPrincipal},
	{"GET", "serviceprincipals/{id}", false, false, (*Door).getPrincipal},
	{"PATCH", "serviceprincipals/{id}", true, true, (*Door).patchPrincipal},
	{"DELETE", "serviceprincipals/{id}", false, true, (*Door).deletePrincipal},
	{"POST", "serviceprincipals/{id}/addpassword", true, true, (*Door).addPrincipalPassword},
	{"POST", "serviceprincipals/{id}/removepassword", true, true, (*Door).removePrincipalPassword},

	{"GET", "users", false, false, (*Door).listUsers},
	{"POST", "users", true, true, (*Door).createUser},
	{"GET", "users/{id}", false, false, (*Door).getUser},
	{"PATCH", "users/{id}", true, true, (*Door).patchUser},
	{"DELETE", "users/{id}", false, true, (*Door).deleteUser},
	{"GET", "groups", false, false, (*Door).listGroups},

	{"POST", "directoryobjects/getbyids", true, false, (*Door).getByIDs},
	{"GET", "directoryobjects/{id}", false, false, (*Door).getObject},
}

// match finds the route of a request. A key may be given in brackets, by an alternate name:
// applications(appId='X') is applications/appId='X' here.
func match(r *http.Request) (*route, string, string, error) {
	segments := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if len(segments) < 2 || !strings.EqualFold(segments[0], "v1.0") && !strings.EqualFold(segments[0], "beta") {
		return nil, "", "", fail(http.StatusBadRequest, "BadRequest", "Invalid version. The path begins with /v1.0 or /beta.")
	}
	var words []string
	for _, segment := range segments[1:] {
		text, err := url.PathUnescape(segment)
		if err != nil || text == "" || strings.ContainsAny(text, "/\\\x00") {
			return nil, "", "", fail(http.StatusBadRequest, "BadRequest", "The path of the request is not valid.")
		}
		if name, key, found := strings.Cut(strings.TrimSuffix(text, ")"), "("); found {
			words = append(words, name, key)
		} else {
			words = append(words, text)
		}
	}
	known := false
	for i := range routes {
		id, part, ok := fits(strings.Split(routes[i].pattern, "/"), words)
		switch {
		case !ok:
		case routes[i].method == r.Method:
			return &routes[i], id, part, nil
		default:
			known = true
		}
	}
	if known {
		return nil, "", "", fail(http.StatusMethodNotAllowed, "Request_BadRequest", "The method %s is not supported at this path.", clip(r.Method))
	}
	return nil, "", "", fail(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'. This server has applications, servicePrincipals, users, directoryObjects, me and organization.", clip(words[0]))
}

func fits(pattern, words []string) (id, part string, ok bool) {
	if len(pattern) != len(words) {
		return "", "", false
	}
	for i, word := range pattern {
		switch {
		case word == "{id}":
			id = words[i]
		case word == "{part}":
			part = words[i]
		case !strings.EqualFold(word, words[i]):
			return "", "", false
		}
	}
	return id, part, true
}

// appIDKey reads the alternate key appId='X'.
func appIDKey(key string) (string, bool) {
	name, value, ok := strings.Cut(key, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "appId") || len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
		return "", false
	}
	return value[1 : len(value)-1], true
}
