package dataplane

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"coffer/internal/httpd"
	"coffer/internal/jwk"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

// symmetricSince is the first api-version with symmetric keys.
const symmetricSince = "7.6-preview.2"

func (d *Door) createKey(r request) (answer, error) {
	var body wire.CreateKey
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.NewKey{
		Size: body.KeySize, Curve: body.Curve, Exponent: body.PublicExponent, Tags: tagsInput(body.Tags),
		Symmetric: !r.version.before(symmetricSince),
	}
	if body.Kty != nil {
		in.Kty = *body.Kty
	}
	if body.KeyOps != nil {
		in.Ops = *body.KeyOps
	}
	in.Attributes, in.Exportable = keyAttributesInput(body.Attributes)
	var err error
	if in.Release, err = releaseInput(body.ReleasePolicy); err != nil {
		return answer{}, err
	}
	return r.keyAnswer(d.Vaults.CreateKey(r.ctx, r.caller, r.ref, in))
}

func keyAttributesInput(a *wire.KeyAttributesInput) (in vault.AttributesInput, exportable bool) {
	if a == nil {
		return in, false
	}
	return attributesInput(&a.AttributesInput), a.Exportable != nil && *a.Exportable
}

func releaseInput(p *wire.ReleasePolicy) (*vault.ReleasePolicy, error) {
	if p == nil {
		return nil, nil
	}
	data, err := base64url("release_policy.data", p.Data)
	return &vault.ReleasePolicy{ContentType: p.ContentType, Data: data, Immutable: p.Immutable}, err
}

func (d *Door) importKey(r request) (answer, error) {
	var body wire.ImportKey
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.ImportKey{HSM: body.HSM != nil && *body.HSM, Tags: tagsInput(body.Tags), Symmetric: !r.version.before(symmetricSince)}
	if k := body.Key; k != nil {
		in.Key = jwk.Private{
			Kty: k.Kty, N: k.N, E: k.E, D: k.D, P: k.P, Q: k.Q, DP: k.DP, DQ: k.DQ, QI: k.QI,
			Crv: k.Curve, X: k.X, Y: k.Y, K: k.K, KeyHSM: k.KeyHSM,
		}
		if k.KeyOps != nil {
			in.Ops = given(k.KeyOps)
		}
	}
	in.Attributes, in.Exportable = keyAttributesInput(body.Attributes)
	var err error
	if in.Release, err = releaseInput(body.ReleasePolicy); err != nil {
		return answer{}, err
	}
	return r.keyAnswer(d.Vaults.ImportKey(r.ctx, r.caller, r.ref, in))
}

func (d *Door) getKey(r request) (answer, error) {
	return r.keyAnswer(d.Vaults.GetKey(r.ctx, r.caller, r.ref))
}

func (d *Door) updateKey(r request) (answer, error) {
	var body wire.UpdateKey
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.KeyUpdate{Tags: body.Tags}
	if body.KeyOps != nil {
		ops := given(body.KeyOps)
		in.Ops = &ops
	}
	in.Attributes, _ = keyAttributesInput(body.Attributes)
	var err error
	if in.Release, err = releaseInput(body.ReleasePolicy); err != nil {
		return answer{}, err
	}
	return r.keyAnswer(d.Vaults.UpdateKey(r.ctx, r.caller, r.ref, in))
}

func (d *Door) deleteKey(r request) (answer, error) {
	return r.deletedKeyAnswer(d.Vaults.DeleteKey(r.ctx, r.caller, r.ref))
}

func (d *Door) getDeletedKey(r request) (answer, error) {
	return r.deletedKeyAnswer(d.Vaults.GetDeletedKey(r.ctx, r.caller, r.ref))
}

func (d *Door) recoverDeletedKey(r request) (answer, error) {
	return r.keyAnswer(d.Vaults.RecoverDeletedKey(r.ctx, r.caller, r.ref))
}

func (d *Door) purgeDeletedKey(r request) (answer, error) {
	return answer{status: http.StatusNoContent}, d.Vaults.PurgeDeletedKey(r.ctx, r.caller, r.ref)
}

func (d *Door) backupKey(r request) (answer, error) {
	blob, err := d.Vaults.BackupKey(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: wire.Backup{Value: blob}}, err
}

func (d *Door) restoreKey(r request) (answer, error) {
	var body wire.Backup
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	return r.keyAnswer(d.Vaults.RestoreKey(r.ctx, r.caller, r.ref.Vault, body.Value))
}

func (d *Door) rotateKey(r request) (answer, error) {
	return r.keyAnswer(d.Vaults.RotateKey(r.ctx, r.caller, r.ref))
}

// releaseKey answers with a signed document, in which the private part is wrapped for the
// environment that the attestation speaks for.
func (d *Door) releaseKey(r request) (answer, error) {
	var body wire.ReleaseKey
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.Release{Target: body.Target, Nonce: body.Nonce, Wrap: body.Enc}
	jws, err := d.Vaults.ReleaseKey(r.ctx, r.caller, r.ref, in, r.releasedKey)
	return answer{status: http.StatusOK, body: wire.ReleaseResult{Value: jws}}, err
}

func (r request) releasedKey(k vault.Key, in vault.Release, keyHSM []byte) ([]byte, error) {
	bundle, err := r.key(k)
	if err != nil {
		return nil, err
	}
	public := bundle.Key.(jwk.Key)
	bundle.Key = struct {
		jwk.Key
		KeyHSM string `json:"key_hsm"`
	}{public, base64.RawURLEncoding.EncodeToString(keyHSM)}
	return json.Marshal(wire.ReleasedKey{
		Request:  wire.ReleaseRequest{Version: r.version.String(), Enc: in.Wrap, KeyID: public.ID, Nonce: in.Nonce},
		Response: wire.ReleaseResponse{Key: bundle},
	})
}

func (d *Door) listKeys(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Key, string, error) {
		return d.Vaults.ListKeys(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(k vault.Key) wire.KeyItem { return r.keyItem(k, "") })
}

func (d *Door) listKeyVersions(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Key, string, error) {
		return d.Vaults.ListKeyVersions(r.ctx, r.caller, r.ref, p)
	}
	return listAnswer(r, get, func(k vault.Key) wire.KeyItem { return r.keyItem(k, k.Version) })
}

func (d *Door) listDeletedKeys(r request) (answer, error) {
	get := func(p vault.Page) ([]vault.Key, string, error) {
		return d.Vaults.ListDeletedKeys(r.ctx, r.caller, r.ref.Vault, p)
	}
	return listAnswer(r, get, func(k vault.Key) wire.DeletedKeyItem {
		return wire.DeletedKeyItem{
			RecoveryID: r.id("deletedkeys", k.Name, ""), DeletedDate: k.Deleted.Unix(), ScheduledPurgeDate: k.PurgeAt.Unix(), KeyItem: r.keyItem(k, ""),
		}
	})
}

func (r request) keyAnswer(k vault.Key, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	out, err := r.key(k)
	return answer{status: http.StatusOK, body: out}, err
}

// deletedKeyAnswer leaves the release policy out (recorded).
func (r request) deletedKeyAnswer(k vault.Key, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	out, err := r.key(k)
	out.ReleasePolicy = nil
	return answer{status: http.StatusOK, body: wire.DeletedKeyBundle{
		RecoveryID: r.id("deletedkeys", k.Name, ""), DeletedDate: k.Deleted.Unix(), ScheduledPurgeDate: k.PurgeAt.Unix(), KeyBundle: out,
	}}, err
}

func (r request) key(k vault.Key) (wire.KeyBundle, error) {
	out := wire.KeyBundle{Attributes: r.keyAttributes(k), Tags: tags(k.Tags), Managed: k.Managed}
	key := jwk.Key{}
	if k.Public != nil {
		var err error
		if key, err = jwk.FromPublic(k.Public); err != nil {
			return out, err
		}
	}
	key.ID, key.Kty, key.Ops = r.id("keys", k.Name, k.Version), k.Kty, k.Ops
	if key.Ops == nil {
		key.Ops = []string{}
	}
	out.Key = key
	if p := k.Release; p != nil {
		out.ReleasePolicy = &wire.ReleasePolicy{ContentType: p.ContentType, Data: base64.RawURLEncoding.EncodeToString(p.Data), Immutable: p.Immutable}
	}
	return out, nil
}

func (r request) keyItem(k vault.Key, version string) wire.KeyItem {
	return wire.KeyItem{KeyID: r.id("keys", k.Name, version), Attributes: r.keyAttributes(k), Tags: tags(k.Tags), Managed: k.Managed}
}

// keyAttributes show whether the key can be exported from 7.3 on (recorded), but not of
// a certificate's key, and the platform from 7.5-preview.1 on. There is no hardware here.
func (r request) keyAttributes(k vault.Key) wire.KeyAttributes {
	out := wire.KeyAttributes{Attributes: r.attributes(k.Attributes, true)}
	if !k.Managed && !r.version.before("7.3-preview") {
		out.Exportable = &k.Exportable
	}
	if !r.version.before("7.5-preview.1") {
		out.HSMPlatform = "0"
	}
	return out
}

func (d *Door) getRotationPolicy(r request) (answer, error) {
	p, err := d.Vaults.GetKeyRotationPolicy(r.ctx, r.caller, r.ref)
	return answer{status: http.StatusOK, body: r.rotationPolicy(p)}, err
}

func (d *Door) setRotationPolicy(r request) (answer, error) {
	var body wire.RotationPolicy
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	in := vault.RotationPolicy{}
	if a := body.Attributes; a != nil && a.ExpiryTime != nil {
		in.Expiry = *a.ExpiryTime
	}
	if body.LifetimeActions != nil {
		for _, a := range *body.LifetimeActions {
			in.Actions = append(in.Actions, rotationInput(a))
		}
	}
	p, err := d.Vaults.UpdateKeyRotationPolicy(r.ctx, r.caller, r.ref, in)
	return answer{status: http.StatusOK, body: r.rotationPolicy(p)}, err
}

func rotationInput(a wire.RotationAction) (out vault.RotationAction) {
	if a.Action != nil && a.Action.Type != nil {
		out.Type = *a.Action.Type
	}
	if t := a.Trigger; t != nil {
		if t.TimeAfterCreate != nil {
			out.AfterCreate = *t.TimeAfterCreate
		}
		if t.TimeBeforeExpiry != nil {
			out.BeforeExpiry = *t.TimeBeforeExpiry
		}
	}
	return out
}

func (r request) rotationPolicy(p vault.RotationPolicy) wire.RotationPolicy {
	actions := make([]wire.RotationAction, 0, len(p.Actions))
	for _, a := range p.Actions {
		trigger := &wire.RotationTrigger{}
		if a.AfterCreate != "" {
			trigger.TimeAfterCreate = &a.AfterCreate
		} else {
			trigger.TimeBeforeExpiry = &a.BeforeExpiry
		}
		actions = append(actions, wire.RotationAction{Trigger: trigger, Action: &wire.RotationType{Type: &a.Type}})
	}
	out := wire.RotationPolicy{LifetimeActions: &actions}
	if p.Created.IsZero() {
		return out
	}
	out.ID = r.id("keys", p.Name, "rotationpolicy")
	out.Attributes = &wire.RotationAttributes{Created: p.Created.Unix(), Updated: p.Updated.Unix()}
	if p.Expiry != "" {
		out.Attributes.ExpiryTime = &p.Expiry
	}
	return out
}
