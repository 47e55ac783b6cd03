package graph

import (
	"net/http"
	"strconv"

	"coffer/internal/tenant"
)

var principalProperties = []property[tenant.PrincipalObject]{
	{name: "id", ops: "eq", get: func(p tenant.PrincipalObject) []string { return []string{p.ID} }},
	{name: "appId", ops: "eq", get: func(p tenant.PrincipalObject) []string { return []string{p.AppID} }},
	{name: "displayName", ops: "eq startswith", get: func(p tenant.PrincipalObject) []string { return []string{p.DisplayName} }},
	{name: "servicePrincipalNames", ops: "any", get: func(p tenant.PrincipalObject) []string { return p.Names }},
	{name: "servicePrincipalType", ops: "eq", get: func(tenant.PrincipalObject) []string { return []string{principalType} }},
	{name: "alternativeNames", ops: "any", get: func(tenant.PrincipalObject) []string { return nil }},
	{name: "accountEnabled", ops: "eq", flag: true, get: func(p tenant.PrincipalObject) []string { return []string{strconv.FormatBool(p.Enabled)} }},
}

// principalBody is what is taken of a service principal; nil members are left as they are.
type principalBody struct {
	AppID          *string    `json:"appId"`
	AccountEnabled *bool      `json:"accountEnabled"`
	KeyCredentials *[]keyBody `json:"keyCredentials"`
}

func (d *Door) listPrincipals(r request) (answer, error) {
	return list(r, "servicePrincipals", principalProperties, func(q tenant.Query[tenant.PrincipalObject]) (tenant.Page[tenant.PrincipalObject], error) {
		return d.Tenant.ListPrincipals(r.ctx, r.caller, q)
	}, d.showPrincipal)
}

func (d *Door) getPrincipal(r request) (answer, error) {
	found, err := d.Tenant.FindPrincipal(r.ctx, r.caller, r.ref(true))
	out := d.showPrincipal(found)
	out.Context = r.context("servicePrincipals/$entity")
	return answer{status: http.StatusOK, body: out}, err
}

func (d *Door) createPrincipal(r request) (answer, error) {
	var body principalBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.AppID == nil {
		return answer{}, badRequest("A value is required for property 'appId' of resource 'ServicePrincipal'.")
	}
	made, err := d.Tenant.CreatePrincipal(r.ctx, r.caller, *body.AppID, body.AccountEnabled == nil || *body.AccountEnabled)
	out := d.showPrincipal(made)
	out.Context = r.context("servicePrincipals/$entity")
	return answer{status: http.StatusCreated, body: out, location: r.root + "/servicePrincipals/" + made.ID}, err
}

func (d *Door) updatePrincipal(r request) (answer, error) {
	var body principalBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	keys, err := keyInputs(body.KeyCredentials)
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.UpdatePrincipal(r.ctx, r.caller, r.ref(true), tenant.PrincipalEdit{Enabled: body.AccountEnabled, Keys: keys}))
}

func (d *Door) deletePrincipal(r request) (answer, error) {
	return noContent(d.Tenant.DeletePrincipal(r.ctx, r.caller, r.ref(true)))
}
