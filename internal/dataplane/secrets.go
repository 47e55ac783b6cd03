package dataplane

import (
	"net/http"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

func (d *Door) setSecret(r request) (answer, error) {
	var body wire.SetSecret
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.NewSecret{Value: body.Value, Attributes: attributesInput(body.Attributes), Tags: tagsInput(body.Tags)}
	if body.ContentType != nil {
		in.ContentType = *body.ContentType
	}
	s, err := d.Vaults.SetSecret(r.ctx, r.caller, r.ref, in)
	return answer{status: http.StatusOK, body: r.secretWithValue(s)}, err
}

// attributesInput takes over what a request says of attributes.
func attributesInput(a *wire.AttributesInput) (in vault.AttributesInput) {
	if a == nil {
		return in
	}
	in.Enabled = a.Enabled
	if a.NotBefore != nil {
		t := time.Unix(*a.NotBefore, 0).UTC()
		in.NotBefore = &t
	}
	if a.Expires != nil {
		t := time.Unix(*a.Expires, 0).UTC()
		in.Expires = &t
	}
	return in
}

func (d *Door) getSecret(r request) (answer, error) {
	as := ""
	if !r.version.before(since2025) {
		as = r.query.Get("outContentType")
	}
	s, err := d.Vaults.GetSecretAs(r.ctx, r.caller, r.ref, as)
	return answer{status: http.StatusOK, body: r.secretWithValue(s)}, err
}

func (d *Door) updateSecret(r request) (answer, error) {
	var body wire.UpdateSecret
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	s, err := d.Vaults.UpdateSecret(r.ctx, r.caller, r.ref, vault.SecretUpdate{
		ContentType: body.ContentType, Attributes: attributesInput(body.Attributes), Tags: body.Tags,
	})
	return answer{status: http.StatusOK, body: r.secret(s)}, err
}

func (d *Door) deleteSecret(r request) (answer, error) {
	s, err := d.Vaults.DeleteSecret(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedSecret(s)}, err
}

func (d *Door) getDeletedSecret(r request) (answer, error) {
	s, err := d.Vaults.GetDeletedSecret(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.deletedSecret(s)}, err
}

func (d *Door) recoverDeletedSecret(r request) (answer, error) {
	s, err := d.Vaults.RecoverDeletedSecret(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.secret(s)}, err
}

func (d *Door) purgeDeletedSecret(r request) (answer, error) {
	return answer{status: http.StatusNoContent}, d.Vaults.PurgeDeletedSecret(r.ctx, r.caller, r.ref)
}

func (d *Door) backupSecret(r request) (answer, error) {
	blob, err := d.Vaults.BackupSecret(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: wire.Backup{Value: blob}}, err
}

func (d *Door) restoreSecret(r request) (answer, error) {
	var body wire.Backup
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	s, err := d.Vaults.RestoreSecret(r.ctx, r.caller, r.ref.Vault, body.Value)
	return answer{status: http.StatusOK, body: r.secret(s)}, err
}

func (d *Door) listSecrets(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Secret, string, error) {
		return d.Vaults.ListSecrets(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(s vault.Secret) wire.SecretBundle { return r.secretItem(s, "") })
}

func (d *Door) listSecretVersions(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Secret, string, error) {
		return d.Vaults.ListSecretVersions(r.ctx, r.caller, r.ref, p)
	}
	return listAnswer(r, get, func(s vault.Secret) wire.SecretBundle { return r.secretItem(s, s.Version) })
}

func (d *Door) listDeletedSecrets(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Secret, string, error) {
		return d.Vaults.ListDeletedSecrets(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(s vault.Secret) wire.DeletedSecretBundle {
		out := r.deletedSecret(s)
		out.SecretBundle = r.secretItem(s, "")
		return out
	})
}

// secret is a bundle without the value.
func (r request) secret(s vault.Secret) wire.SecretBundle {
	out := r.secretItem(s, s.Version)
	if s.Managed {
		out.KeyID = r.id("keys", s.Name, s.Version)
		if !r.version.before(since2025) {
			out.PreviousVersion = s.Previous
		}
	}
	return out
}

func (r request) secretWithValue(s vault.Secret) wire.SecretBundle {
	out := r.secret(s)
	out.Value = &s.Value
	return out
}

// secretItem is a row of a list.
func (r request) secretItem(s vault.Secret, version string) wire.SecretBundle {
	out := wire.SecretBundle{
		ID: r.id("secrets", s.Name, version), Managed: s.Managed, Attributes: r.attributes(s.Attributes, true), Tags: tags(s.Tags),
	}
	if s.ContentType != "" {
		out.ContentType = &s.ContentType
	}
	return out
}

func (r request) deletedSecret(s vault.Secret) wire.DeletedSecretBundle {
	return wire.DeletedSecretBundle{
		RecoveryID: r.id("deletedsecrets", s.Name, ""), DeletedDate: s.Deleted.Unix(), ScheduledPurgeDate: s.PurgeAt.Unix(), SecretBundle: r.secret(s),
	}
}
