package vault

import (
	"context"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A CertificateUpdate is what a request changes of a certificate. What is nil stays as
// it is.
type CertificateUpdate struct {
	Enabled *bool
	Tags    *map[string]string // replaces all tags
	Policy  *PolicyInput       // put over the stored policy
}

// UpdateCertificate changes the current version, or the one that ref names, and with it
// the version's key and secret. It returns what GetCertificate would, and whether there
// is an operation.
func (s *Service) UpdateCertificate(ctx context.Context, caller access.Caller, ref Ref, in CertificateUpdate) (Certificate, error) {
	var out Certificate
	now := s.Now()
	err := s.write(ctx, caller, CertificatePropertiesUpdate, "certificates", ref, func(e edit) error {
		t, err := e.triple(ref)
		if err != nil {
			return err
		}
		if t.revisions[0] == 0 || t.certificate.State != stateLive {
			return notFound(kindCertificate, ref)
		}
		out, err = in.apply(e, ref, t, now)
		return err
	})
	return out, explain(err)
}

// apply checks the change and puts what it touches.
func (in CertificateUpdate) apply(e edit, ref Ref, t triple, now time.Time) (Certificate, error) {
	if in.Tags != nil {
		if err := checkTags(*in.Tags); err != nil {
			return Certificate{}, err
		}
	}
	if in.Policy != nil {
		p, err := in.Policy.over(t.certificate.Policy.policy(), e.vault.vaultRecord, now)
		if err != nil {
			return Certificate{}, err
		}
		if err := e.checkIssuer(p.Issuer); err != nil {
			return Certificate{}, err
		}
		t.certificate.Policy = p.record()
	}
	if ref.Version != "" && fold(ref.Version) != t.certificate.Current.ID {
		return in.applyOlder(e, ref, t, now)
	}
	issued := len(t.certificate.Current.CER) > 0
	in.change(&t.certificate.Current.versionRecord, now, issued)
	if issued {
		mirror(&t.key.Current.versionRecord, t.certificate.Current.versionRecord)
		mirror(&t.secret.Current.versionRecord, t.certificate.Current.versionRecord)
	} else if err := in.applyPending(e, ref, t); err != nil {
		return Certificate{}, err
	}
	out := t.certificate.certificate(e.vault)
	if ref.Version != "" {
		out.Policy = nil
	}
	if err := e.schedule(ref, &t.certificate); err != nil {
		return Certificate{}, err
	}
	return out, e.putTriple(ref, t)
}

// change changes a version. A version that is not issued stays disabled.
func (in CertificateUpdate) change(v *versionRecord, now time.Time, issued bool) {
	if in.Enabled != nil && issued {
		v.Enabled = *in.Enabled
	}
	if in.Tags != nil {
		v.Tags = *in.Tags
	}
	v.Updated = later(now, v.Updated)
}

// later is now, or a second more when the object was updated within this second, so
// that a client that compares the times sees that something changed.
func later(now time.Time, before int64) int64 {
	return max(unix(now), min(before+1, unix(now)+1))
}

// mirror gives a key or a secret the attributes of its certificate.
func mirror(v *versionRecord, certificate versionRecord) {
	v.Enabled, v.Updated = certificate.Enabled, certificate.Updated
}

// applyPending keeps what was changed of a version that is not issued for the moment
// when it is.
func (in CertificateUpdate) applyPending(e edit, ref Ref, t triple) error {
	op, revision, err := e.operation(ref, t.certificate)
	if err != nil || op.RequestID == "" {
		return err
	}
	op.Enabled = value(in.Enabled, op.Enabled)
	if in.Tags != nil {
		op.Tags = *in.Tags
	}
	return e.put(ref.key(kindOperation), e.vault.place(kindOperation, ref, t.certificate.object, ""), revision, op)
}

// applyOlder changes an older version. Its answer has no policy.
func (in CertificateUpdate) applyOlder(e edit, ref Ref, t triple, now time.Time) (Certificate, error) {
	var v struct {
		certificate certificateVersion
		key         keyVersion
		secret      secretVersion
	}
	parts := [3]any{&v.certificate, &v.key, &v.secret}
	var revisions [3]store.Revision
	for i, head := range t.heads() {
		var err error
		if revisions[i], err = e.version(versionKinds[i], ref, head.base().object, parts[i]); err != nil {
			return Certificate{}, err
		}
		if revisions[i] == 0 {
			return Certificate{}, notFound(kindCertificate, ref)
		}
	}
	in.change(&v.certificate.versionRecord, now, true)
	mirror(&v.key.versionRecord, v.certificate.versionRecord)
	mirror(&v.secret.versionRecord, v.certificate.versionRecord)
	for i, head := range t.heads() {
		place := e.vault.place(versionKinds[i], ref, head.base().object, ref.Version)
		if err := e.put(ref.versionKey(versionKinds[i], ref.Version), place, revisions[i], parts[i]); err != nil {
			return Certificate{}, err
		}
	}
	out := t.certificate.version(e.vault, v.certificate)
	out.Pending = t.certificate.Pending
	if in.Policy == nil {
		return out, nil
	}
	if err := e.schedule(ref, &t.certificate); err != nil {
		return Certificate{}, err
	}
	return out, e.putHead(kindCertificate, ref, t.revisions[0], &t.certificate)
}

// GetCertificatePolicy returns the policy of a certificate, also while its first
// version is being issued.
func (s *Service) GetCertificatePolicy(ctx context.Context, caller access.Caller, ref Ref) (name string, out Policy, err error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindCertificate))
	if err != nil {
		return "", Policy{}, err
	}
	err = s.Gate.Read(ctx, s.request(f, CertificatePolicyGet, "certificates", ref), func(g seal.Grant) error {
		var head certificateHead
		ok, err := s.openHead(g, f.vault, kindCertificate, ref, f.recs[0], &head)
		if err != nil {
			return err
		}
		if !ok || head.State != stateLive {
			return notFound(kindCertificate, ref)
		}
		name, out = head.Name, head.Policy.policy()
		return nil
	})
	return name, out, explain(err)
}

// UpdateCertificatePolicy replaces the members of the policy that were sent; the others
// stay (recorded). It touches no version and no operation.
func (s *Service) UpdateCertificatePolicy(ctx context.Context, caller access.Caller, ref Ref, in PolicyInput) (name string, out Policy, err error) {
	now := s.Now()
	err = s.write(ctx, caller, CertificatePolicyUpdate, "certificates", ref, func(e edit) error {
		var head certificateHead
		revision, err := e.head(kindCertificate, ref, &head)
		if err != nil {
			return err
		}
		if revision == 0 || head.State != stateLive {
			return notFound(kindCertificate, ref)
		}
		if out, err = in.over(head.Policy.policy(), e.vault.vaultRecord, now); err != nil {
			return err
		}
		if err := e.checkIssuer(out.Issuer); err != nil {
			return err
		}
		out.Updated = moment(later(now, head.Policy.Updated))
		name, head.Policy = head.Name, out.record()
		if err := e.schedule(ref, &head); err != nil {
			return err
		}
		return e.putHead(kindCertificate, ref, revision, &head)
	})
	return name, out, explain(err)
}
