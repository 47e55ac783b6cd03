package graph

import (
	"net/http"

	"coffer/internal/tenant"
)

// addPassword answers with the secret; no other answer has it.
func addPassword(principal bool) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		var body struct {
			PasswordCredential passwordBody `json:"passwordCredential"`
		}
		if err := r.decode(&body); err != nil {
			return answer{}, err
		}
		asked := tenant.PasswordCredential{DisplayName: orBlank(body.PasswordCredential.DisplayName)}
		var err error
		if asked.Start, err = parseDate("startDateTime", body.PasswordCredential.StartDateTime); err != nil {
			return answer{}, err
		}
		if asked.End, err = parseDate("endDateTime", body.PasswordCredential.EndDateTime); err != nil {
			return answer{}, err
		}
		made, secret, err := d.Tenant.AddPassword(r.ctx, r.caller, r.ref(principal), asked)
		out := showPassword(made)
		out.Context, out.SecretText = r.context("microsoft.graph.passwordCredential"), &secret
		return answer{status: http.StatusOK, body: out}, err
	}
}

func removePassword(principal bool) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		var body struct {
			KeyID *string `json:"keyId"`
		}
		if err := r.decode(&body); err != nil {
			return answer{}, err
		}
		if body.KeyID == nil {
			return answer{}, badRequest("A value is required for property 'keyId'.")
		}
		return noContent(d.Tenant.RemovePassword(r.ctx, r.caller, r.ref(principal), *body.KeyID))
	}
}

type federatedBody struct {
	Name        *string   `json:"name"`
	Issuer      *string   `json:"issuer"`
	Subject     *string   `json:"subject"`
	Description *string   `json:"description"`
	Audiences   *[]string `json:"audiences"`
}

func (r request) federated() string {
	return "applications('" + r.names["id"] + "')/federatedIdentityCredentials"
}

var federatedProperties = []property[tenant.FederatedCredential]{
	{name: "id", ops: "eq", get: func(f tenant.FederatedCredential) []string { return []string{f.ID} }},
	{name: "name", ops: "eq", get: func(f tenant.FederatedCredential) []string { return []string{f.Name} }},
	{name: "issuer", ops: "eq", get: func(f tenant.FederatedCredential) []string { return []string{f.Issuer} }},
	{name: "subject", ops: "eq", get: func(f tenant.FederatedCredential) []string { return []string{f.Subject} }},
}

func (d *Door) listFederated(r request) (answer, error) {
	found, err := d.Tenant.ListFederatedCredentials(r.ctx, r.caller, r.ref(false))
	if err != nil {
		return answer{}, err
	}
	return whole(r, r.federated(), federatedProperties, found, showFederated)
}

func (d *Door) getFederated(r request) (answer, error) {
	found, err := d.Tenant.FindFederatedCredential(r.ctx, r.caller, r.ref(false), r.names["sub"])
	out := showFederated(found)
	out.Context = r.context(r.federated() + "/$entity")
	return answer{status: http.StatusOK, body: out}, err
}

func (d *Door) addFederated(r request) (answer, error) {
	var body federatedBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	asked := tenant.FederatedCredential{Name: orBlank(body.Name), Issuer: orBlank(body.Issuer), Subject: orBlank(body.Subject), Description: orBlank(body.Description)}
	if body.Audiences != nil {
		asked.Audiences = *body.Audiences
	}
	made, err := d.Tenant.AddFederatedCredential(r.ctx, r.caller, r.ref(false), asked)
	out := showFederated(made)
	out.Context = r.context(r.federated() + "/$entity")
	return answer{status: http.StatusCreated, body: out, location: r.root + "/applications/" + r.names["id"] + "/federatedIdentityCredentials/" + made.ID}, err
}

func (d *Door) updateFederated(r request) (answer, error) {
	var body federatedBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	return noContent(d.Tenant.UpdateFederatedCredential(r.ctx, r.caller, r.ref(false), r.names["sub"], tenant.FederatedEdit{
		Description: body.Description, Issuer: body.Issuer, Subject: body.Subject, Audiences: body.Audiences,
	}))
}

func (d *Door) removeFederated(r request) (answer, error) {
	return noContent(d.Tenant.RemoveFederatedCredential(r.ctx, r.caller, r.ref(false), r.names["sub"]))
}
