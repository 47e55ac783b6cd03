package graph

import "strings"

// A Row is a route, as tests see it.
type Row struct {
	Method, Pattern             string
	ByOwner, ByAdmin, TakesBody bool
}

// Rows is the route table.
func Rows() (out []Row) {
	for _, r := range routes {
		out = append(out, Row{r.method, r.pattern, r.right == owner, r.right == administrator, r.takesBody})
	}
	return out
}

// ReadFilter reads a $filter and writes it again.
func ReadFilter(text string) (string, error) {
	terms, err := parseFilter(text)
	var out []string
	for _, t := range terms {
		out = append(out, t.String())
	}
	return strings.Join(out, " and "), err
}

// Bodies are what the bodies of the routes are read into. Those of a handler's own type are
// written down once more.
func Bodies() map[string]any {
	type key struct {
		ID string `json:"keyId"`
	}
	type password struct {
		PasswordCredential passwordBody `json:"passwordCredential"`
	}
	type reference struct {
		ID string `json:"@odata.id"`
	}
	type ids struct {
		IDs   []string `json:"ids"`
		Types []string `json:"types"`
	}
	out := map[string]any{
		"POST groups": groupBody{}, "PATCH groups/{id}": groupBody{}, "POST groups/{id}/members/$ref": reference{}, "POST groups/{id}/owners/$ref": reference{},
		"POST applications": applicationBody{}, "PATCH applications/{id}": applicationBody{}, "POST applications/{id}/addPassword": password{}, "POST applications/{id}/removePassword": key{},
		"POST applications/{id}/owners/$ref": reference{}, "POST applications/{id}/federatedIdentityCredentials": federatedBody{}, "PATCH applications/{id}/federatedIdentityCredentials/{sub}": federatedBody{},
		"POST servicePrincipals": principalBody{}, "PATCH servicePrincipals/{id}": principalBody{}, "POST servicePrincipals/{id}/addPassword": password{}, "POST servicePrincipals/{id}/removePassword": key{},
		"POST users": userBody{}, "PATCH users/{id}": userBody{}, "POST directoryObjects/getByIds": ids{},
		"POST deviceCodes/approve": deviceBody{}, "POST deviceCodes/decline": deviceBody{},
	}
	for _, r := range routes {
		switch {
		case strings.HasSuffix(r.pattern, "/getMemberGroups"):
			out[r.method+" "+r.pattern] = memberGroupsBody{}
		case strings.HasSuffix(r.pattern, "/checkMemberGroups"):
			out[r.method+" "+r.pattern] = checkGroupsBody{}
		}
	}
	return out
}
