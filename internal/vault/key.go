package vault

import (
	"context"
	"crypto"
	"fmt"

	"coffer/internal/access"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A Key is the public part of one version of a key.
type Key struct {
	Name, Version string
	Public        crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
	Ops           []string         // key_ops, as in a JWK
	HSM           bool             // of a kind with the suffix -HSM
	Attributes    Attributes
	Tags          map[string]string
	Managed       bool // belongs to the certificate of its name
}

// GetKey returns the public part of the current version, or of the one that ref names.
// The public part of a disabled key can be read.
func (s *Service) GetKey(ctx context.Context, caller access.Caller, ref Ref) (Key, error) {
	keys := []store.Key{ref.key(kindKey)}
	if ref.Version != "" {
		keys = append(keys, ref.versionKey(kindKeyVersion, ref.Version))
	}
	f, err := s.find(ctx, caller, ref.Vault, keys...)
	if err != nil {
		return Key{}, err
	}
	var out Key
	err = s.Gate.Read(ctx, s.request(f, KeyGet, "keys", ref), func(g seal.Grant) error {
		var head keyHead
		ok, err := s.openHead(g, f.vault, kindKey, ref, f.recs[0], &head)
		if err != nil {
			return err
		}
		if !ok || head.State != stateLive {
			return notFound(kindKey, ref)
		}
		v := head.Current
		if ref.Version != "" && ref.Version != v.ID {
			if !f.recs[1].Exists() {
				return notFound(kindKey, ref)
			}
			v = keyVersion{}
			if _, err := s.open(g, f.vault, f.vault.place(kindKeyVersion, ref, head.object, ref.Version), f.recs[1], &v); err != nil {
				return err
			}
		}
		out, err = v.key(f.vault, head.header)
		return err
	})
	return out, explain(err)
}

func (v keyVersion) key(vault *vaultState, head header) (Key, error) {
	public, err := pki.ParsePublicKey(v.SPKI)
	if err != nil {
		return Key{}, fmt.Errorf("vault: a public key cannot be read: %w", err)
	}
	return Key{
		Name: head.Name, Version: v.ID, Public: public, Ops: v.Ops, HSM: v.HSM,
		Attributes: v.attributes(vault), Tags: v.Tags, Managed: head.Managed,
	}, nil
}
