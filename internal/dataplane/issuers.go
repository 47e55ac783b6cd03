package dataplane

import (
	"net/http"

	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

func (d *Door) getContacts(r request) (answer, error) {
	contacts, err := d.Vaults.GetCertificateContacts(r.ctx, r.caller, r.ref.Vault)
	return answer{status: http.StatusOK, body: r.contacts(contacts)}, err
}

func (d *Door) setContacts(r request) (answer, error) {
	var body wire.Contacts
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	var contacts *[]vault.Contact
	if body.Contacts != nil {
		contacts = &[]vault.Contact{}
		for _, c := range *body.Contacts {
			*contacts = append(*contacts, vault.Contact(c))
		}
	}
	if err := d.Vaults.SetCertificateContacts(r.ctx, r.caller, r.ref.Vault, contacts); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: r.contacts(*contacts)}, nil
}

func (d *Door) deleteContacts(r request) (answer, error) {
	contacts, err := d.Vaults.DeleteCertificateContacts(r.ctx, r.caller, r.ref.Vault)
	return answer{status: http.StatusOK, body: r.contacts(contacts)}, err
}

func (r request) contacts(contacts []vault.Contact) wire.Contacts {
	rows := make([]wire.Contact, 0, len(contacts))
	for _, c := range contacts {
		rows = append(rows, wire.Contact(c))
	}
	return wire.Contacts{ID: r.id("certificates", "contacts", ""), Contacts: &rows}
}

func (d *Door) listIssuers(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Issuer, string, error) {
		return d.Vaults.ListCertificateIssuers(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(i vault.Issuer) wire.IssuerItem {
		return wire.IssuerItem{ID: r.id("certificates", "issuers", i.Name), Provider: i.Provider}
	})
}

func (d *Door) getIssuer(r request) (answer, error) {
	i, err := d.Vaults.GetCertificateIssuer(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.issuer(i)}, err
}

func (d *Door) setIssuer(r request) (answer, error) {
	in, err := r.issuerInput()
	if err != nil {
		return answer{}, err
	}
	i, err := d.Vaults.SetCertificateIssuer(r.ctx, r.caller, r.ref, in)
	return answer{status: http.StatusOK, body: r.issuer(i)}, err
}

func (d *Door) updateIssuer(r request) (answer, error) {
	in, err := r.issuerInput()
	if err != nil {
		return answer{}, err
	}
	i, err := d.Vaults.UpdateCertificateIssuer(r.ctx, r.caller, r.ref, in)
	return answer{status: http.StatusOK, body: r.issuer(i)}, err
}

func (d *Door) deleteIssuer(r request) (answer, error) {
	i, err := d.Vaults.DeleteCertificateIssuer(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.issuer(i)}, err
}

func (r request) issuerInput() (in vault.IssuerChange, err error) {
	var body wire.SetIssuer
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return in, err
	}
	in.Provider, in.Enabled = body.Provider, enabledInput(body.Attributes)
	if c := body.Credentials; c != nil {
		in.Credentials, in.AccountID, in.Password = true, c.AccountID, c.Password
	}
	if o := body.Organization; o != nil {
		in.Organization = &vault.Organization{ID: o.ID}
		if o.AdminDetails != nil {
			in.Organization.Admins = []vault.Admin{}
			for _, a := range *o.AdminDetails {
				in.Organization.Admins = append(in.Organization.Admins, vault.Admin(a))
			}
		}
	}
	return in, nil
}

func (r request) issuer(i vault.Issuer) wire.IssuerBundle {
	out := wire.IssuerBundle{
		ID: r.id("certificates", "issuers", i.Name), Provider: i.Provider,
		Attributes: wire.IssuerAttributes{Enabled: i.Enabled, Created: i.Created.Unix(), Updated: i.Updated.Unix()},
	}
	if i.Credentials != nil {
		out.Credentials = &wire.IssuerCredentials{AccountID: i.Credentials.AccountID}
	}
	if o := i.Organization; o != nil {
		out.Organization = &wire.OrganizationDetails{ID: o.ID}
		if o.Admins != nil {
			admins := make([]wire.AdminDetail, 0, len(o.Admins))
			for _, a := range o.Admins {
				admins = append(admins, wire.AdminDetail(a))
			}
			out.Organization.AdminDetails = &admins
		}
	}
	return out
}
