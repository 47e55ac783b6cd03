package graph

import (
	"net/http"
	"slices"
	"strings"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

func (d *Door) listPrincipals(r request) (answer, error) {
	f, err := parseFilter(r.query.Get("$filter"))
	if err != nil {
		return answer{}, err
	}
	known := map[string]func(tenant.Principal) []string{
		"":                      func(tenant.Principal) []string { return []string{""} },
		"displayname":           func(p tenant.Principal) []string { return []string{p.App.DisplayName} },
		"appid":                 func(p tenant.Principal) []string { return []string{p.App.AppID} },
		"id":                    func(p tenant.Principal) []string { return []string{p.ID} },
		"serviceprincipalnames": func(p tenant.Principal) []string { return append([]string{p.App.AppID}, p.App.IdentifierURIs...) },
	}
	values := known[f.property]
	if values == nil {
		return answer{}, unsupported(r.query.Get("$filter"))
	}
	found, err := d.Tenant.ListPrincipals(r.ctx, r.caller, func(p tenant.Principal) bool { return f.holds(values(p)...) })
	var out []any
	for _, p := range found {
		out = append(out, d.principalOf(p))
	}
	return r.collection("servicePrincipals", out), err
}

// principal finds the service principal of a path, by its object id or appId='X'.
func (d *Door) principal(r request) (tenant.Principal, error) {
	appID, byApp := appIDKey(r.id)
	if !byApp {
		return d.Tenant.Principal(r.ctx, r.caller, r.id)
	}
	found, err := d.Tenant.ListPrincipals(r.ctx, r.caller, func(p tenant.Principal) bool { return strings.EqualFold(p.App.AppID, appID) })
	if err == nil && len(found) == 0 {
		err = tenant.ErrNotFound
	}
	if err != nil {
		return tenant.Principal{}, err
	}
	return found[0], nil
}

func (d *Door) principalAnswer(r request, status int, p tenant.Principal, err error) (answer, error) {
	out := d.principalOf(p)
	out.Context = r.base + "/$metadata#servicePrincipals/$entity"
	return answer{status, out}, err
}

func (d *Door) getPrincipal(r request) (answer, error) {
	p, err := d.principal(r)
	return d.principalAnswer(r, http.StatusOK, p, err)
}

type principalInput struct {
	AppID   string `json:"appId"`
	Enabled *bool  `json:"accountEnabled"`
}

func (d *Door) createPrincipal(r request) (answer, error) {
	var body principalInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	p, err := d.Tenant.CreatePrincipal(r.ctx, r.caller, body.AppID)
	if err == nil && body.Enabled != nil && !*body.Enabled {
		p.Enabled = false
		err = d.Tenant.EnablePrincipal(r.ctx, r.caller, p.ID, false)
	}
	return d.principalAnswer(r, http.StatusCreated, p, err)
}

func (d *Door) patchPrincipal(r request) (answer, error) {
	var body principalInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	p, err := d.principal(r)
	if err != nil {
		return answer{}, err
	}
	if body.Enabled == nil {
		return answer{}, fail(http.StatusBadRequest, "Request_BadRequest", "Of a service principal, accountEnabled can be changed here; change the rest at its application.")
	}
	return nothing, d.Tenant.EnablePrincipal(r.ctx, r.caller, p.ID, *body.Enabled)
}

func (d *Door) deletePrincipal(r request) (answer, error) {
	p, err := d.principal(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.DeletePrincipal(r.ctx, r.caller, p.ID)
}

func (d *Door) addPrincipalPassword(r request) (answer, error) {
	p, err := d.principal(r)
	if err != nil {
		return answer{}, err
	}
	return d.addPassword(r, tenant.OfPrincipal(p.ID))
}

func (d *Door) removePrincipalPassword(r request) (answer, error) {
	p, err := d.principal(r)
	if err != nil {
		return answer{}, err
	}
	return d.removePassword(r, tenant.OfPrincipal(p.ID))
}

// objects are the principals, users and applications with the ids, in no order.
func (d *Door) objects(r request, ids []string) (out []any, err error) {
	has := func(id string) bool {
		return slices.ContainsFunc(ids, func(want string) bool { return strings.EqualFold(want, id) })
	}
	principals, err := d.Tenant.ListPrincipals(r.ctx, r.caller, func(p tenant.Principal) bool { return has(p.ID) })
	if err != nil {
		return nil, err
	}
	for _, p := range principals {
		one := d.principalOf(p)
		one.ODataType = "#microsoft.graph.servicePrincipal"
		out = append(out, one)
	}
	users, err := d.Tenant.ListUsers(r.ctx, r.caller, func(u tenant.User) bool { return has(u.ID) })
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		one := userOf(u)
		one.ODataType = "#microsoft.graph.user"
		out = append(out, one)
	}
	applications, err := d.Tenant.ListRegistrations(r.ctx, r.caller, func(a tenant.Registration) bool { return has(a.ID) })
	for _, a := range applications {
		one := applicationOf(a)
		one.ODataType = "#microsoft.graph.application"
		out = append(out, one)
	}
	return out, err
}

// maxIDs bounds getByIds (the service's).
const maxIDs = 1000

func (d *Door) getByIDs(r request) (answer, error) {
	var body struct {
		IDs []string `json:"ids"`
	}
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	if len(body.IDs) > maxIDs {
		return answer{}, fail(http.StatusBadRequest, "Request_BadRequest", "At most %d ids can be asked for at a time.", maxIDs)
	}
	out, err := d.objects(r, body.IDs)
	return r.collection("directoryObjects", out), err
}

func (d *Door) getObject(r request) (answer, error) {
	out, err := d.objects(r, []string{r.id})
	if err == nil && len(out) == 0 {
		err = tenant.ErrNotFound
	}
	if err != nil {
		return answer{}, err
	}
	return ok(out[0]), nil
}
