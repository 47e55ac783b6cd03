package dataplane

import (
	"net/http"

	"coffer/internal/gate"
	"coffer/internal/jwk"
	"coffer/internal/wire"
)

func (d *Door) getSecret(r request) (answer, error) {
	s, err := d.Vaults.GetSecret(r.ctx, r.caller, r.ref)
	if err != nil {
		return answer{}, err
	}
	out := wire.SecretBundle{
		ID: r.id("secrets", s.Name, s.Version), Value: s.Value, ContentType: s.ContentType, Managed: s.Managed,
		Attributes: r.attributes(s.Attributes, true), Tags: tags(s.Tags),
	}
	if s.Managed {
		out.KeyID = r.id("keys", s.Name, s.Version)
	}
	return answer{status: http.StatusOK, body: out}, nil
}

func (d *Door) getKey(r request) (answer, error) {
	k, err := d.Vaults.GetKey(r.ctx, r.caller, r.ref)
	if err != nil {
		return answer{}, err
	}
	key, err := jwk.FromPublic(k.Public)
	if err != nil {
		return answer{}, err
	}
	if k.HSM {
		key.Kty += "-HSM"
	}
	key.ID, key.Ops = r.id("keys", k.Name, k.Version), k.Ops
	out := wire.KeyBundle{Key: key, Attributes: r.attributes(k.Attributes, true), Tags: tags(k.Tags), Managed: k.Managed}
	if !r.version.before("7.5-preview.1") {
		out.Attributes.HSMPlatform = "0"
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// The writes of secrets and keys are not built yet; what belongs to a certificate is
// refused already.

func refuseManagedSecret(op gate.Operation) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		return answer{}, d.Vaults.RefuseManagedSecret(r.ctx, r.caller, op, r.ref)
	}
}

func refuseManagedKey(op gate.Operation) func(*Door, request) (answer, error) {
	return func(d *Door, r request) (answer, error) {
		return answer{}, d.Vaults.RefuseManagedKey(r.ctx, r.caller, op, r.ref)
	}
}
