package vault

import (
	"context"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A Secret is one version of a secret, value included.
type Secret struct {
	Name, Version string
	Value         string
	ContentType   string
	Attributes    Attributes
	Tags          map[string]string
	Managed       bool // belongs to the certificate of its name; its key has the same version
}

// GetSecret returns the current version, or the one that ref names. A disabled version
// is refused; so is the secret of a certificate that was never issued.
func (s *Service) GetSecret(ctx context.Context, caller access.Caller, ref Ref) (Secret, error) {
	keys := []store.Key{ref.key(kindSecret), ref.key(kindCertificate)}
	if ref.Version != "" {
		keys = append(keys, ref.versionKey(kindSecretVersion, ref.Version))
	}
	f, err := s.find(ctx, caller, ref.Vault, keys...)
	if err != nil {
		return Secret{}, err
	}
	var out Secret
	err = s.Gate.Read(ctx, s.request(f, SecretGet, "secrets", ref), func(g seal.Grant) error {
		var head secretHead
		ok, err := s.openHead(g, f.vault, kindSecret, ref, f.recs[0], &head)
		if err != nil {
			return err
		}
		if !ok || head.State != stateLive {
			return s.noSecret(g, f, ref)
		}
		v, err := s.secretVersion(g, f, ref, head)
		if err != nil {
			return err
		}
		if !v.Enabled {
			return errSecretDisabled
		}
		out = Secret{
			Name: head.Name, Version: v.ID, Value: v.Value, ContentType: v.ContentType,
			Attributes: v.attributes(f.vault), Tags: v.Tags, Managed: head.Managed,
		}
		return nil
	})
	return out, explain(err)
}

var errSecretDisabled = &Error{Code: CodeForbidden, Inner: InnerSecretDisabled, Message: "Operation get is not allowed on a disabled secret."}

// noSecret says why there is no secret: a certificate of the name that was never
// issued counts as a disabled one (reported).
func (s *Service) noSecret(g seal.Grant, f found, ref Ref) error {
	var certificate certificateHead
	ok, err := s.openHead(g, f.vault, kindCertificate, ref, f.recs[1], &certificate)
	if err != nil {
		return err
	}
	if ok && certificate.State == stateLive && len(certificate.Current.CER) == 0 {
		return errSecretDisabled
	}
	return notFound(kindSecret, ref)
}

func (s *Service) secretVersion(g seal.Grant, f found, ref Ref, head secretHead) (secretVersion, error) {
	if ref.Version == "" || head.Current.ID == ref.Version {
		return head.Current, nil
	}
	if !f.recs[2].Exists() {
		return secretVersion{}, notFound(kindSecret, ref)
	}
	var v secretVersion
	_, err := s.open(g, f.vault, f.vault.place(kindSecretVersion, ref, head.object, ref.Version), f.recs[2], &v)
	return v, err
}
