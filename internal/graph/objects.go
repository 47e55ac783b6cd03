package graph

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/tenant"
)

// maxIDs bounds how many objects one request asks for (documented).
const maxIDs = 1000

func (d *Door) getByIDs(r request) (answer, error) {
	var body struct {
		IDs   *[]string `json:"ids"`
		Types []string  `json:"types"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.IDs == nil || len(*body.IDs) > maxIDs {
		return answer{}, badRequest("The request has to have 'ids', at most %d of them.", maxIDs)
	}
	found, err := d.Tenant.GetObjects(r.ctx, r.caller, *body.IDs)
	if err != nil {
		return answer{}, err
	}
	found = slices.DeleteFunc(found, func(o tenant.Object) bool { return !wanted(o, body.Types) })
	return whole(r, "directoryObjects", nil, found, d.showObject)
}

// wanted reports whether an object is of one of the types; none means all.
func wanted(o tenant.Object, types []string) bool {
	kind := "application"
	switch {
	case o.Principal != nil:
		kind = "servicePrincipal"
	case o.User != nil:
		kind = "user"
	case o.Group != nil:
		kind = "group"
	}
	return len(types) == 0 || slices.ContainsFunc(types, func(name string) bool {
		return strings.EqualFold(name, kind) || strings.EqualFold(name, "directoryObject")
	})
}

func (d *Door) getObject(r request) (answer, error) {
	found, err := d.Tenant.FindObject(r.ctx, r.caller, r.names["id"])
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: d.showObject(found)}, nil
}

func listOwners(principal bool) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		found, err := d.Tenant.ListOwners(r.ctx, r.caller, r.ref(principal))
		if err != nil {
			return answer{}, err
		}
		return whole(r, "directoryObjects", nil, found, d.showObject)
	}
}

func (d *Door) addOwner(r request) (answer, error) {
	id, err := r.reference()
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.AddOwner(r.ctx, r.caller, r.ref(false), id))
}

// reference reads the object that a body refers to.
func (r request) reference() (string, error) {
	var body struct {
		ID string `json:"@odata.id"`
	}
	if err := r.decode(&body); err != nil {
		return "", err
	}
	return referred(body.ID)
}

// referred takes the id out of https://graph.microsoft.com/v1.0/directoryObjects/ID, or one
// under users or servicePrincipals.
func referred(address string) (string, error) {
	link, err := url.Parse(address)
	if err != nil || !strings.Contains(link.Path, "/") {
		return "", badRequest("The request has to have '@odata.id', the address of an object of the directory.")
	}
	return link.Path[strings.LastIndexByte(link.Path, '/')+1:], nil
}

func (d *Door) removeOwner(r request) (answer, error) {
	return noContent(d.Tenant.RemoveOwner(r.ctx, r.caller, r.ref(false), r.names["sub"]))
}

// listOrganizations shows the one tenant.
func (d *Door) listOrganizations(r request) (answer, error) {
	id, err := d.Tenant.GetOrganization(r.ctx, r.caller)
	if err != nil {
		return answer{}, err
	}
	return whole(r, "organization", nil, []string{id}, func(id string) organization {
		return organization{ID: id, DisplayName: "Coffer", TenantType: "AAD", VerifiedDomains: []verifiedDomain{{d.Domain, "Managed", true, true}}}
	})
}
