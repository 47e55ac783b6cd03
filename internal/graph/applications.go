package graph

import (
	"net/http"
	"strings"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

func (d *Door) listApplications(r request) (answer, error) {
	f, err := parseFilter(r.query.Get("$filter"))
	if err != nil {
		return answer{}, err
	}
	known := map[string]func(tenant.Registration) []string{
		"":               func(tenant.Registration) []string { return []string{""} },
		"displayname":    func(a tenant.Registration) []string { return []string{a.DisplayName} },
		"appid":          func(a tenant.Registration) []string { return []string{a.AppID} },
		"id":             func(a tenant.Registration) []string { return []string{a.ID} },
		"identifieruris": func(a tenant.Registration) []string { return a.IdentifierURIs },
	}
	values := known[f.property]
	if values == nil {
		return answer{}, unsupported(r.query.Get("$filter"))
	}
	found, err := d.Tenant.ListRegistrations(r.ctx, r.caller, func(a tenant.Registration) bool { return f.holds(values(a)...) })
	var out []any
	for _, a := range found {
		out = append(out, applicationOf(a))
	}
	return r.collection("applications", out), err
}

// application finds the application of a path, by its object id or appId='X'.
func (d *Door) application(r request) (tenant.Registration, error) {
	appID, byApp := appIDKey(r.id)
	if !byApp {
		return d.Tenant.Registration(r.ctx, r.caller, r.id)
	}
	found, err := d.Tenant.ListRegistrations(r.ctx, r.caller, func(a tenant.Registration) bool { return strings.EqualFold(a.AppID, appID) })
	if err == nil && len(found) == 0 {
		err = tenant.ErrNotFound
	}
	if err != nil {
		return tenant.Registration{}, err
	}
	return found[0], nil
}

func (r request) applicationAnswer(status int, a tenant.Registration, err error) (answer, error) {
	out := applicationOf(a)
	out.Context = r.base + "/$metadata#applications/$entity"
	return answer{status, out}, err
}

func (d *Door) getApplication(r request) (answer, error) {
	a, err := d.application(r)
	return r.applicationAnswer(http.StatusOK, a, err)
}

type applicationInput struct {
	DisplayName    *string               `json:"displayName"`
	IdentifierURIs *[]string             `json:"identifierUris"`
	Keys           *[]keyCredentialInput `json:"keyCredentials"`
}

type keyCredentialInput struct {
	DisplayName string     `json:"displayName"`
	ID          string     `json:"keyId"`
	Key         *string    `json:"key"` // DER of a certificate, base64
	End         *time.Time `json:"endDateTime"`
}

func (in applicationInput) change() (out tenant.RegistrationChange, err error) {
	out.DisplayName, out.IdentifierURIs = in.DisplayName, in.IdentifierURIs
	if in.Keys == nil {
		return out, nil
	}
	keys := []tenant.KeyCredential{}
	for _, k := range *in.Keys {
		key := tenant.KeyCredential{ID: k.ID, DisplayName: k.DisplayName}
		if k.End != nil {
			key.End = *k.End
		}
		if k.Key != nil {
			if key.Certificate, err = decodeKey(*k.Key); err != nil {
				return out, fail(http.StatusBadRequest, "Request_BadRequest", "The 'key' of a key credential has to be an X.509 certificate, DER in base64.")
			}
		}
		keys = append(keys, key)
	}
	out.Keys = &keys
	return out, nil
}

func (d *Door) createApplication(r request) (answer, error) {
	var body applicationInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	change, err := body.change()
	if err != nil {
		return answer{}, err
	}
	var in tenant.NewRegistration
	if change.DisplayName != nil {
		in.DisplayName = *change.DisplayName
	}
	if change.IdentifierURIs != nil {
		in.IdentifierURIs = *change.IdentifierURIs
	}
	if change.Keys != nil {
		in.Keys = *change.Keys
	}
	a, err := d.Tenant.Register(r.ctx, r.caller, in)
	return r.applicationAnswer(http.StatusCreated, a, err)
}

func (d *Door) patchApplication(r request) (answer, error) {
	var body applicationInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	change, err := body.change()
	if err != nil {
		return answer{}, err
	}
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.ChangeRegistration(r.ctx, r.caller, a.ID, change)
}

func (d *Door) deleteApplication(r request) (answer, error) {
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.Unregister(r.ctx, r.caller, a.ID)
}

type passwordInput struct {
	Password *struct {
		DisplayName string     `json:"displayName"`
		Start       *time.Time `json:"startDateTime"`
		End         *time.Time `json:"endDateTime"`
	} `json:"passwordCredential"`
}

func (d *Door) addPassword(r request, of tenant.Owned) (answer, error) {
	var body passwordInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	var name string
	var start, end time.Time
	if p := body.Password; p != nil {
		name = p.DisplayName
		if p.Start != nil {
			start = *p.Start
		}
		if p.End != nil {
			end = *p.End
		}
	}
	p, secret, err := d.Tenant.AddPassword(r.ctx, r.caller, of, name, start, end)
	out := passwordOf(p)
	out.SecretText = &secret
	return ok(out), err
}

func (d *Door) removePassword(r request, of tenant.Owned) (answer, error) {
	var body struct {
		ID string `json:"keyId"`
	}
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.RemovePassword(r.ctx, r.caller, of, body.ID)
}

func (d *Door) addApplicationPassword(r request) (answer, error) {
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return d.addPassword(r, tenant.OfApplication(a.ID))
}

func (d *Door) removeApplicationPassword(r request) (answer, error) {
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return d.removePassword(r, tenant.OfApplication(a.ID))
}

func (d *Door) listOwners(r request) (answer, error) {
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	out, err := d.objects(r, a.Owners)
	return r.collection("directoryObjects", out), err
}

func (d *Door) addOwner(r request) (answer, error) {
	var body struct {
		ID string `json:"@odata.id"`
	}
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.SetOwner(r.ctx, r.caller, a.ID, body.ID[strings.LastIndex(body.ID, "/")+1:], true)
}

func (d *Door) removeOwner(r request) (answer, error) {
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.SetOwner(r.ctx, r.caller, a.ID, r.part, false)
}

func (d *Door) listFederated(r request) (answer, error) {
	a, err := d.application(r)
	var out []any
	for _, f := range a.Federated {
		out = append(out, federatedOf(f))
	}
	return r.collection("applications('"+a.ID+"')/federatedIdentityCredentials", out), err
}

// federated finds the credential of a path, by id or name.
func (d *Door) federated(r request) (tenant.Registration, tenant.Federated, error) {
	a, err := d.application(r)
	if err != nil {
		return a, tenant.Federated{}, err
	}
	for _, f := range a.Federated {
		if strings.EqualFold(f.ID, r.part) || f.Name == r.part {
			return a, f, nil
		}
	}
	return a, tenant.Federated{}, tenant.ErrNotFound
}

func (d *Door) getFederated(r request) (answer, error) {
	_, f, err := d.federated(r)
	return ok(federatedOf(f)), err
}

type federatedInput struct {
	Name        *string   `json:"name"`
	Issuer      *string   `json:"issuer"`
	Subject     *string   `json:"subject"`
	Description *string   `json:"description"`
	Audiences   *[]string `json:"audiences"`
}

func (in federatedInput) over(f tenant.Federated) tenant.Federated {
	for _, member := range []struct {
		from *string
		to   *string
	}{{in.Name, &f.Name}, {in.Issuer, &f.Issuer}, {in.Subject, &f.Subject}, {in.Description, &f.Description}} {
		if member.from != nil {
			*member.to = *member.from
		}
	}
	if in.Audiences != nil {
		f.Audiences = *in.Audiences
	}
	return f
}

func (d *Door) createFederated(r request) (answer, error) {
	var body federatedInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	a, err := d.application(r)
	if err != nil {
		return answer{}, err
	}
	f, err := d.Tenant.PutFederated(r.ctx, r.caller, a.ID, body.over(tenant.Federated{}))
	out := federatedOf(f)
	out.Context = r.base + "/$metadata#applications('" + a.ID + "')/federatedIdentityCredentials/$entity"
	return answer{http.StatusCreated, out}, err
}

func (d *Door) patchFederated(r request) (answer, error) {
	var body federatedInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	a, f, err := d.federated(r)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Tenant.PutFederated(r.ctx, r.caller, a.ID, body.over(f))
	return nothing, err
}

func (d *Door) deleteFederated(r request) (answer, error) {
	a, f, err := d.federated(r)
	if err != nil {
		return answer{}, err
	}
	return nothing, d.Tenant.RemoveFederated(r.ctx, r.caller, a.ID, f.ID)
}
