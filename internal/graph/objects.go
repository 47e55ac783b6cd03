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
	found = slices.DeleteFunc(found, func(o tenant.Object) bool { return !wanted(o, body.Types) })
	return whole(r, "directoryObjects", found, d.showObject), err
}

// wanted reports whether an object is of one of the types; none means all.
func wanted(o tenant.Object, types []string) bool {
	kind := "application"
	switch {
	case o.Principal != nil:
		kind = "servicePrincipal"
	case o.User != nil:
		kind = "user"
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
		return whole(r, "directoryObjects", found, d.showObject), err
	}
}

func (d *Door) addOwner(r request) (answer, error) {
	var body struct {
		ID string `json:"@odata.id"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	// https://graph.microsoft.com/v1.0/directoryObjects/ID, or under users or
	// servicePrincipals.
	link, err := url.Parse(body.ID)
	if err != nil || !strings.Contains(link.Path, "/") {
		return answer{}, badRequest("The request has to have '@odata.id', the address of an object of the directory.")
	}
	return noContent(d.Tenant.AddOwner(r.ctx, r.caller, r.ref(false), link.Path[strings.LastIndexByte(link.Path, '/')+1:]))
}

func (d *Door) removeOwner(r request) (answer, error) {
	return noContent(d.Tenant.RemoveOwner(r.ctx, r.caller, r.ref(false), r.names["sub"]))
}

// listOrganizations shows the one tenant.
func (d *Door) listOrganizations(r request) (answer, error) {
	id, err := d.Tenant.GetOrganization(r.ctx, r.caller)
	return whole(r, "organization", []string{id}, func(id string) organization {
		return organization{ID: id, DisplayName: "Coffer", TenantType: "AAD", VerifiedDomains: []verifiedDomain{{d.Domain, "Managed", true, true}}}
	}), err
}

// listGroups shows none: there are no groups in the directory yet.
func (d *Door) listGroups(r request) (answer, error) {
	ids, err := d.Tenant.ListGroups(r.ctx, r.caller)
	return whole(r, "groups", ids, func(id string) string { return id }), err
}

func (d *Door) getGroup(r request) (answer, error) {
	return answer{}, d.Tenant.FindGroup(r.ctx, r.caller, r.names["id"])
}
