package dataplane

import (
	"net/http"
	"net/url"

	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

func (d *Door) createCertificate(r request) (answer, error) {
	var body wire.CreateCertificate
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.NewCertificate{
		Policy: r.policyInput(body.Policy), Enabled: enabledInput(body.Attributes), Tags: tagsInput(body.Tags),
		Preserve: r.preserveInput(body.PreserveCertOrder),
	}
	op, err := d.Vaults.CreateCertificate(r.ctx, r.caller, r.ref, in)
	if err != nil {
		return answer{}, err
	}
	location := r.id("certificates", op.Name, "pending") + "?api-version=" + url.QueryEscape(r.version.String()) + "&request_id=" + op.RequestID
	return answer{http.StatusAccepted, r.operation(op), map[string]string{"Location": location, "Retry-After": retryAfter}}, nil
}

func (d *Door) getCertificate(r request) (answer, error) {
	c, err := d.Vaults.GetCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) importCertificate(r request) (answer, error) {
	var body wire.ImportCertificate
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	c, err := d.Vaults.ImportCertificate(r.ctx, r.caller, r.ref, vault.Import{
		Value: body.Value, Password: body.Password, Policy: r.policyInput(body.Policy), Enabled: enabledInput(body.Attributes),
		Tags: tagsInput(body.Tags), Preserve: r.preserveInput(body.PreserveCertOrder),
	})
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) updateCertificate(r request) (answer, error) {
	var body wire.UpdateCertificate
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	c, err := d.Vaults.UpdateCertificate(r.ctx, r.caller, r.ref, vault.CertificateUpdate{
		Enabled: enabledInput(body.Attributes), Tags: body.Tags, Policy: r.policyInput(body.Policy),
	})
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) getCertificatePolicy(r request) (answer, error) {
	name, p, err := d.Vaults.GetCertificatePolicy(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.policy(name, p)}, err
}

func (d *Door) updateCertificatePolicy(r request) (answer, error) {
	var body wire.CertificatePolicy
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	name, p, err := d.Vaults.UpdateCertificatePolicy(r.ctx, r.caller, r.ref, *r.policyInput(&body))
	return answer{status: http.StatusOK, body: r.policy(name, p)}, err
}

func (d *Door) backupCertificate(r request) (answer, error) {
	blob, err := d.Vaults.BackupCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: wire.Backup{Value: blob}}, err
}

func (d *Door) restoreCertificate(r request) (answer, error) {
	var body wire.Backup
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	c, err := d.Vaults.RestoreCertificate(r.ctx, r.caller, r.ref.Vault, body.Value)
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) deleteCertificate(r request) (answer, error) {
	c, err := d.Vaults.DeleteCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedCertificate(c)}, err
}

func (d *Door) getDeletedCertificate(r request) (answer, error) {
	c, err := d.Vaults.GetDeletedCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedCertificate(c)}, err
}

func (d *Door) recoverDeletedCertificate(r request) (answer, error) {
	c, err := d.Vaults.RecoverDeletedCertificate(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.certificate(c)}, err
}

func (d *Door) purgeDeletedCertificate(r request) (answer, error) {
	return answer{status: http.StatusNoContent}, d.Vaults.PurgeDeletedCertificate(r.ctx, r.caller, r.ref)
}

func (d *Door) listCertificates(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Certificate, string, error) {
		return d.Vaults.ListCertificates(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(c vault.Certificate) wire.CertificateItem { return r.item(c, "") })
}

func (d *Door) listCertificateVersions(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Certificate, string, error) {
		return d.Vaults.ListCertificateVersions(r.ctx, r.caller, r.ref, p)
	}
	return listAnswer(r, get, func(c vault.Certificate) wire.CertificateItem { return r.item(c, c.Version) })
}

func (d *Door) listDeletedCertificates(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.DeletedCertificate, string, error) {
		return d.Vaults.ListDeletedCertificates(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, r.deletedItem)
}
