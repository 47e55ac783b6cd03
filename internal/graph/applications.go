package graph

import (
	"encoding/base64"
	"net/http"

	"coffer/internal/tenant"
)

var applicationProperties = []property[tenant.ApplicationObject]{
	{name: "id", ops: "eq", get: func(a tenant.ApplicationObject) []string { return []string{a.ID} }},
	{name: "appId", ops: "eq", get: func(a tenant.ApplicationObject) []string { return []string{a.AppID} }},
	{name: "displayName", ops: "eq startswith", get: func(a tenant.ApplicationObject) []string { return []string{a.DisplayName} }},
	{name: "identifierUris", ops: "any", get: func(a tenant.ApplicationObject) []string { return a.IdentifierURIs }},
}

// applicationBody is what is taken of an application; nil members are left as they are.
type applicationBody struct {
	DisplayName         *string         `json:"displayName"`
	IdentifierURIs      *[]string       `json:"identifierUris"`
	KeyCredentials      *[]keyBody      `json:"keyCredentials"`
	PasswordCredentials *[]passwordBody `json:"passwordCredentials"`
}

type keyBody struct {
	DisplayName *string `json:"displayName"`
	Key         *string `json:"key"`
	KeyID       *string `json:"keyId"`
	Type        *string `json:"type"`
	Usage       *string `json:"usage"`
}

type passwordBody struct {
	DisplayName   *string `json:"displayName"`
	StartDateTime *string `json:"startDateTime"`
	EndDateTime   *string `json:"endDateTime"`
	KeyID         *string `json:"keyId"`
}

func (b applicationBody) edit() (e tenant.ApplicationEdit, err error) {
	e.DisplayName, e.IdentifierURIs = b.DisplayName, b.IdentifierURIs
	if b.PasswordCredentials != nil {
		ids := []string{}
		for _, p := range *b.PasswordCredentials {
			ids = append(ids, orBlank(p.KeyID))
		}
		e.Passwords = &ids
	}
	e.Keys, err = keyInputs(b.KeyCredentials)
	return e, err
}

func keyInputs(bodies *[]keyBody) (*[]tenant.KeyInput, error) {
	if bodies == nil {
		return nil, nil
	}
	out := []tenant.KeyInput{}
	for _, b := range *bodies {
		if b.Type != nil && *b.Type != keyType || b.Usage != nil && *b.Usage != keyUsage {
			return nil, badRequest("Key credential is invalid: this server has type %s with usage %s.", keyType, keyUsage)
		}
		der, err := base64.StdEncoding.DecodeString(orBlank(b.Key))
		if err != nil {
			return nil, badRequest("Key credential is invalid: its key is not an X.509 certificate, DER in base64.")
		}
		out = append(out, tenant.KeyInput{ID: orBlank(b.KeyID), DisplayName: orBlank(b.DisplayName), Certificate: der})
	}
	return &out, nil
}

func orBlank(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (d *Door) listApplications(r request) (answer, error) {
	return list(r, "applications", applicationProperties, func(q tenant.Query[tenant.ApplicationObject]) (tenant.Page[tenant.ApplicationObject], error) {
		return d.Tenant.ListApplications(r.ctx, r.caller, q)
	}, d.showApplication)
}

func (d *Door) getApplication(r request) (answer, error) {
	found, err := d.Tenant.FindApplication(r.ctx, r.caller, r.ref(false))
	out := d.showApplication(found)
	out.Context = r.context("applications/$entity")
	return answer{status: http.StatusOK, body: out}, err
}

func (d *Door) createApplication(r request) (answer, error) {
	var body applicationBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	made, err := d.Tenant.RegisterApplication(r.ctx, r.caller, edit)
	out := d.showApplication(made)
	out.Context = r.context("applications/$entity")
	return answer{status: http.StatusCreated, body: out, location: r.root + "/applications/" + made.ID}, err
}

func (d *Door) updateApplication(r request) (answer, error) {
	var body applicationBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	edit, err := body.edit()
	if err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.UpdateApplication(r.ctx, r.caller, r.ref(false), edit))
}

func (d *Door) deleteApplication(r request) (answer, error) {
	return noContent(d.Tenant.DeleteApplication(r.ctx, r.caller, r.ref(false)))
}
