package vault

import (
	"context"
	"time"

	"coffer/internal/access"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// Attributes are those of one version. Zero times are not set.
type Attributes struct {
	Enabled            bool
	NotBefore, Expires time.Time
	Created, Updated   time.Time
	RecoveryLevel      string // such as "Recoverable+Purgeable"
	RecoverableDays    int
}

// A Certificate is one version of a certificate.
type Certificate struct {
	Name       string // as it was created
	Version    string
	CER        []byte // DER of the leaf; nil while it was never issued
	Thumbprint string // SHA-1 of CER in base64url; empty while it was never issued
	Attributes Attributes
	Tags       map[string]string // nil when none were ever supplied
	Preserve   *bool             // preserveCertOrder, if it was supplied
	Policy     *Policy           // of the name; nil when one version was asked for
	Pending    bool              // there is an operation, under way or ended
}

// Issued reports whether there is an X.509 certificate, and so a key and a secret.
func (c Certificate) Issued() bool { return len(c.CER) > 0 }

// A DeletedCertificate can be recovered until it is purged.
type DeletedCertificate struct {
	Certificate
	Deleted, PurgeAt time.Time
}

// GetCertificate returns the current version with its policy, or the version that ref
// names without it. A certificate whose first issuance has not ended is there:
// disabled, with the times that it will have.
func (s *Service) GetCertificate(ctx context.Context, caller access.Caller, ref Ref) (Certificate, error) {
	held := s.certificates.Look(ref.key(kindCertificate))
	asks := []store.Ask{held.Ask()}
	if ref.Version != "" {
		asks = append(asks, store.Ask{Key: ref.versionKey(kindCertificateVersion, ref.Version)})
	}
	f, err := s.ask(ctx, caller, ref.Vault, asks)
	if err != nil {
		return Certificate{}, err
	}
	var out Certificate
	err = s.Gate.Read(ctx, s.request(f, CertificateGet, "certificates", ref), func(g seal.Grant) error {
		opened, ok, err := held.Value(f.recs[0], s.openCertificateHead(g, f.vault, ref))
		head := opened.head
		switch {
		case err != nil:
			return err
		case !ok || opened.instance != f.vault.Instance || head.State != stateLive:
			return notFound(kindCertificate, ref)
		case ref.Version == "":
			out = head.certificate(f.vault)
			return nil
		}
		v, err := s.certificateVersion(g, f, ref, head)
		out = head.version(f.vault, v)
		return err
	})
	return out, explain(err)
}

// An openCertificate is a certificate's head that is kept opened. Nothing in it is secret:
// the key and the secret of the certificate are records of their own.
type openCertificate struct {
	instance string // of the vault: a namesake's certificate is not this one
	head     certificateHead
}

// maxOpenCertificates bounds the heads that are kept. Whether one is still what the store
// has is asked at each use.
const maxOpenCertificates = 1024

func (s *Service) openCertificateHead(g seal.Grant, v *vaultState, ref Ref) func(store.Record) (openCertificate, error) {
	return func(rec store.Record) (openCertificate, error) {
		out := openCertificate{instance: v.Instance}
		_, err := s.openHead(g, v, kindCertificate, ref, rec, &out.head)
		return out, err
	}
}

// certificateVersion finds the version that ref names: the current one, or the record
// that was read beside the head.
func (s *Service) certificateVersion(g seal.Grant, f found, ref Ref, head certificateHead) (certificateVersion, error) {
	if head.Current.ID == fold(ref.Version) {
		return head.Current, nil
	}
	if !f.recs[1].Exists() {
		return certificateVersion{}, notFound(kindCertificate, ref)
	}
	var v certificateVersion
	_, err := s.open(g, f.vault, f.vault.place(kindCertificateVersion, ref, head.object, ref.Version), f.recs[1], &v)
	return v, err
}

// certificate is the current version with everything that belongs to the name.
func (h *certificateHead) certificate(v *vaultState) Certificate {
	c := h.version(v, h.Current)
	policy := h.Policy.policy()
	c.Policy, c.Pending = &policy, h.Pending
	return c
}

// version is one version without what belongs to the name.
func (h *certificateHead) version(vault *vaultState, v certificateVersion) Certificate {
	c := Certificate{
		Name: h.Name, Version: v.ID, CER: v.CER, Attributes: v.attributes(vault), Tags: v.Tags, Preserve: v.Preserve,
	}
	if c.Issued() {
		c.Thumbprint = pki.Thumbprint(v.CER)
	}
	return c
}

func (v versionRecord) attributes(vault *vaultState) Attributes {
	return Attributes{
		Enabled: v.Enabled, NotBefore: moment(v.NotBefore), Expires: moment(v.Expires),
		Created: moment(v.Created), Updated: moment(v.Updated),
		RecoveryLevel: vault.recoveryLevel(), RecoverableDays: vault.RetentionDays,
	}
}

// recoveryLevel is the service's word for the vault's soft-delete settings.
func (r vaultRecord) recoveryLevel() string {
	level := "Recoverable"
	if r.RetentionDays < MaxRetentionDays {
		level = "CustomizedRecoverable"
	}
	if !r.PurgeProtection {
		level += "+Purgeable"
	}
	return level
}

// GetDeletedCertificate returns a deleted certificate.
func (s *Service) GetDeletedCertificate(ctx context.Context, caller access.Caller, ref Ref) (DeletedCertificate, error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindCertificate))
	if err != nil {
		return DeletedCertificate{}, err
	}
	var out DeletedCertificate
	err = s.Gate.Read(ctx, s.request(f, CertificateGetDeleted, "deletedcertificates", ref), func(g seal.Grant) error {
		var head certificateHead
		ok, err := s.openHead(g, f.vault, kindCertificate, ref, f.recs[0], &head)
		switch {
		case err != nil:
			return err
		case !ok:
			return notFound(kindCertificate, ref)
		case head.State != stateDeleted:
			return &Error{Code: CodeCertificateNotFound, Message: "Deleted Certificate not found: " + ref.Name}
		}
		out = head.deleted(f.vault)
		return nil
	})
	return out, explain(err)
}

func (h *certificateHead) deleted(v *vaultState) DeletedCertificate {
	return DeletedCertificate{Certificate: h.certificate(v), Deleted: moment(h.Deleted), PurgeAt: moment(h.PurgeAt)}
}
