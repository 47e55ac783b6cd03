package tenant

import (
	"context"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
)

// A PasswordCredential is what is shown of a secret.
type PasswordCredential struct {
	ID, DisplayName, Hint string
	Start, End            time.Time // zero: not known; never
}

// A KeyCredential is what is shown of a certificate by whose key an application signs in.
type KeyCredential struct {
	ID, DisplayName string
	Thumbprint      []byte // SHA-1 of the certificate
	Start, End      time.Time
}

// A KeyInput is a certificate that there is to be. Without Certificate it is one that is
// there already, by its id.
type KeyInput struct {
	ID, DisplayName string
	Certificate     []byte // DER
}

// The bounds of credentials.
const (
	maxKeys     = 100
	minRSA      = 2048 // bits
	maxRSA      = 8192 // bits: the work of a sign-in
	hintLength  = 3
	hintedBytes = secretSize + hintLength // so that 256 bits are left beside the hint
	// defaultYears is how long a secret lasts when nobody says it (the service's).
	defaultYears = 2
)

func showPasswords(secrets []secretRecord, ofPrincipal bool) []PasswordCredential {
	out := []PasswordCredential{}
	for _, r := range secrets {
		if r.OfPrincipal == ofPrincipal {
			out = append(out, r.show())
		}
	}
	return out
}

func (r secretRecord) show() PasswordCredential {
	return PasswordCredential{ID: r.ID, DisplayName: r.DisplayName, Hint: r.Hint, Start: moment(r.Start), End: moment(r.Expires)}
}

func showKeys(keys []keyRecord, ofPrincipal bool) []KeyCredential {
	out := []KeyCredential{}
	for _, r := range keys {
		if r.OfPrincipal == ofPrincipal {
			sum := sha1.Sum(r.Certificate) // what everyone calls a thumbprint
			out = append(out, KeyCredential{ID: r.ID, DisplayName: r.DisplayName, Thumbprint: sum[:], Start: moment(r.Start), End: moment(r.Expires)})
		}
	}
	return out
}

// AddPassword gives an application, or its service principal, one more secret, which is
// returned here and never again. Of p, the id and the hint are not taken. Errors:
// ObjectNotFound, BadObject.
func (s *Service) AddPassword(ctx context.Context, caller access.Caller, ref Ref, p PasswordCredential) (out PasswordCredential, secret string, err error) {
	now := s.config.Now().UTC().Truncate(time.Second)
	if p.Start.IsZero() {
		p.Start = now
	}
	if p.End.IsZero() {
		p.End = p.Start.AddDate(defaultYears, 0, 0)
	}
	if !p.Start.Before(p.End) || !now.Before(p.End) {
		return out, "", badObject("Key credential end date is invalid: it has to be after the start date, and in the future.")
	}
	if p.DisplayName != "" {
		if err := checkName("displayName", p.DisplayName); err != nil {
			return out, "", err
		}
	}
	text, record, err := randomSecret(hintedBytes, p.End)
	if err != nil {
		return out, "", err
	}
	record.DisplayName, record.Start, record.Hint, record.OfPrincipal = p.DisplayName, p.Start.Unix(), text[:hintLength], ref.Principal
	err = s.change(ctx, caller, edit{ref.kind() + "PasswordAdd", ref.collection() + "/addPassword", ref, func(d *draft) error {
		if len(d.application.Secrets) >= maxSecrets {
			return badObject("The application has %d passwords, the most there may be; remove one first.", maxSecrets)
		}
		d.application.Secrets = append(d.application.Secrets, record)
		return nil
	}})
	if err != nil {
		return out, "", err
	}
	return record.show(), text, nil
}

func (r Ref) kind() string {
	if r.Principal {
		return "ServicePrincipal"
	}
	return "Application"
}

func (r Ref) collection() string {
	if r.Principal {
		return "servicePrincipals"
	}
	return "applications"
}

// RemovePassword removes a secret; it stops working at once. Errors: ObjectNotFound,
// BadObject if there is no such secret.
func (s *Service) RemovePassword(ctx context.Context, caller access.Caller, ref Ref, id string) error {
	return s.change(ctx, caller, edit{ref.kind() + "PasswordRemove", ref.collection() + "/removePassword", ref, func(d *draft) error {
		before := len(d.application.Secrets)
		d.application.Secrets = slices.DeleteFunc(d.application.Secrets, func(r secretRecord) bool {
			return r.OfPrincipal == ref.Principal && strings.EqualFold(r.ID, id)
		})
		if len(d.application.Secrets) == before {
			return badObject("No password credential found with keyId '%s'.", clip(id))
		}
		return nil
	}})
}

// keepPasswords removes the secrets of the application whose ids are not given.
func (r *applicationRecord) keepPasswords(ids []string) error {
	for _, id := range ids {
		if !slices.ContainsFunc(r.Secrets, func(s secretRecord) bool { return !s.OfPrincipal && strings.EqualFold(s.ID, id) }) {
			return badObject("New password credentials must be generated with service actions: use addPassword.")
		}
	}
	r.Secrets = slices.DeleteFunc(r.Secrets, func(s secretRecord) bool {
		return !s.OfPrincipal && !slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(s.ID, id) })
	})
	return nil
}

// setKeys replaces the certificates of the application, or those of its service principal.
func (r *applicationRecord) setKeys(inputs []KeyInput, ofPrincipal bool) error {
	var keys []keyRecord
	for _, in := range inputs {
		key, err := r.key(in, ofPrincipal)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(keys, func(other keyRecord) bool { return other.ID == key.ID }) {
			return badObject("Key credential ids have to be unique.")
		}
		keys = append(keys, key)
	}
	for _, other := range r.Keys {
		if other.OfPrincipal != ofPrincipal {
			keys = append(keys, other)
		}
	}
	if len(keys) > maxKeys {
		return badObject("There are at most %d key credentials.", maxKeys)
	}
	r.Keys = keys
	return nil
}

// key returns the certificate that is there, or a new one.
func (r *applicationRecord) key(in KeyInput, ofPrincipal bool) (keyRecord, error) {
	id, given := guid(in.ID)
	if in.ID != "" && !given {
		return keyRecord{}, badObject("Key credential is invalid: its keyId is not a GUID.")
	}
	if len(in.Certificate) == 0 {
		for _, old := range r.Keys {
			if old.ID == id && old.OfPrincipal == ofPrincipal {
				return old, nil
			}
		}
		return keyRecord{}, badObject("Key credential is invalid: it has no key, and no keyId of one that is there.")
	}
	if in.DisplayName != "" {
		if err := checkName("displayName", in.DisplayName); err != nil {
			return keyRecord{}, err
		}
	}
	certificate, err := x509.ParseCertificate(in.Certificate)
	if err != nil {
		return keyRecord{}, badObject("Key credential is invalid: its key is not an X.509 certificate, DER in base64.")
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minRSA || public.N.BitLen() > maxRSA {
		return keyRecord{}, badObject("Key credential is invalid: the key of the certificate has to be RSA with %d to %d bits.", minRSA, maxRSA)
	}
	if !given {
		id = uuid.NewSHA1(applicationIDs, in.Certificate).String() // the same when the change is made again
	}
	return keyRecord{
		ID: id, DisplayName: in.DisplayName, Certificate: in.Certificate, Start: certificate.NotBefore.Unix(), Expires: certificate.NotAfter.Unix(), OfPrincipal: ofPrincipal,
	}, nil
}
