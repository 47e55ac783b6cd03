package vault

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A certificate, its key and its secret change their state together.

// DeleteCertificate moves a certificate, all its versions, its key and its secret into
// the deleted state, in which it stays for the vault's retention.
func (s *Service) DeleteCertificate(ctx context.Context, caller access.Caller, ref Ref) (DeletedCertificate, error) {
	var out DeletedCertificate
	change, now := uuid.NewString(), s.Now()
	err := s.write(ctx, caller, CertificateDelete, "certificates", ref, func(e edit) error {
		t, err := e.triple(ref)
		switch {
		case err != nil:
			return err
		case t.certificate.Change == change && change != "": // a rerun
		case t.revisions[0] == 0 || t.certificate.State != stateLive:
			return notFound(kindCertificate, ref)
		}
		t.mark(change, stateDeleted, now, now.Add(time.Duration(e.vault.RetentionDays)*24*time.Hour))
		out = t.certificate.deleted(e.vault)
		return e.deleteTriple(ref, t, out.PurgeAt)
	})
	return out, explain(err)
}

// RecoverDeletedCertificate makes a deleted certificate what it was before.
func (s *Service) RecoverDeletedCertificate(ctx context.Context, caller access.Caller, ref Ref) (Certificate, error) {
	var out Certificate
	change, now := uuid.NewString(), s.Now()
	err := s.write(ctx, caller, CertificateRecover, "deletedcertificates", ref, func(e edit) error {
		t, err := e.triple(ref)
		switch {
		case err != nil:
			return err
		case t.certificate.Change == change && change != "": // a rerun
		case t.revisions[0] == 0 || t.certificate.State != stateDeleted:
			return notFound(kindCertificate, ref)
		}
		t.mark(change, stateLive, time.Time{}, time.Time{})
		out = t.certificate.certificate(e.vault)
		return e.recoverTriple(ref, t, now)
	})
	if err == nil && out.Pending {
		s.runner.Kick()
	}
	return out, explain(err)
}

// PurgeDeletedCertificate removes a deleted certificate for good, with its versions,
// its key and its secret. A long history is removed piece by piece; until it is gone,
// the name stays taken.
func (s *Service) PurgeDeletedCertificate(ctx context.Context, caller access.Caller, ref Ref) error {
	seen, now := false, s.Now()
	err := s.write(ctx, caller, CertificatePurge, "deletedcertificates", ref, func(e edit) error {
		if e.vault.PurgeProtection {
			return e.purgeProtected()
		}
		t, err := e.triple(ref)
		switch {
		case err != nil:
			return err
		case t.revisions[0] == 0 && seen: // a rerun of a commit that did happen
			return nil
		case t.revisions[0] == 0 || t.certificate.State == stateLive:
			return notFound(kindCertificate, ref)
		}
		seen = true
		return e.purgeTriple(ref, t, now)
	})
	s.runner.Kick()
	return explain(err)
}

// write finds the vault, asks the gate, and runs fn in one Update.
func (s *Service) write(ctx context.Context, caller access.Caller, op gate.Operation, collection string, ref Ref, fn func(edit) error) error {
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return err
	}
	return s.Gate.Write(ctx, s.request(f, op, collection, ref), func(g seal.Grant) error {
		return s.update(ctx, g, f.vault, fn)
	})
}

// A triple is a certificate with its key and its secret, which do not exist while the
// certificate was never issued.
type triple struct {
	certificate certificateHead
	key         keyHead
	secret      secretHead
	revisions   [3]store.Revision // of the heads above; zero means that there is none
}

func (e edit) triple(ref Ref) (t triple, err error) {
	for i, kind := range tripleKinds {
		if t.revisions[i], err = e.head(kind, ref, t.heads()[i]); err != nil {
			return t, err
		}
	}
	return t, nil
}

// tripleKinds are the kinds of the heads of a triple, in the order of triple.heads.
var tripleKinds = [3]string{kindCertificate, kindKey, kindSecret}

// versionKinds are the kinds of their older versions.
var versionKinds = [3]string{kindCertificateVersion, kindKeyVersion, kindSecretVersion}

func (t *triple) heads() [3]headed { return [3]headed{&t.certificate, &t.key, &t.secret} }

// mark sets the state of all three.
func (t *triple) mark(change, state string, deleted, purgeAt time.Time) {
	for _, head := range t.heads() {
		h := head.base()
		h.Change, h.State, h.Deleted, h.PurgeAt = change, state, unix(deleted), unix(purgeAt)
	}
}

// put puts the heads that exist.
func (e edit) putTriple(ref Ref, t triple) error {
	for i, head := range t.heads() {
		if t.revisions[i] == 0 {
			continue
		}
		if err := e.putHead(tripleKinds[i], ref, t.revisions[i], head); err != nil {
			return err
		}
	}
	return nil
}

func (e edit) deleteTriple(ref Ref, t triple, purgeAt time.Time) error {
	if err := e.putTriple(ref, t); err != nil {
		return err
	}
	for i, kind := range deletedIndexes {
		if t.revisions[i] == 0 {
			continue
		}
		if err := e.index(ref.key(kind)); err != nil {
			return err
		}
	}
	if err := e.tx.SetDue(ref.key(kindOperation), time.Time{}); err != nil {
		return err
	}
	if err := e.schedule(ref, &t.certificate); err != nil { // never, now
		return err
	}
	return e.tx.SetDue(ref.key(kindCertificate), purgeAt)
}

// index adds a record without a body, by which lists find what it points at.
func (e edit) index(key store.Key) error {
	rec, err := e.tx.Get(key)
	if err != nil || rec.Exists() {
		return err
	}
	return e.tx.Put(key, 0, nil)
}

// deletedIndexes are those of a triple, in the order of triple.heads.
var deletedIndexes = [3]string{indexDeleted, indexDeletedKey, indexDeletedSecret}

func (e edit) recoverTriple(ref Ref, t triple, now time.Time) error {
	if err := e.putTriple(ref, t); err != nil {
		return err
	}
	for _, kind := range deletedIndexes {
		if err := e.remove(ref.key(kind)); err != nil {
			return err
		}
	}
	if t.certificate.Pending { // an issuance that was under way goes on
		if err := e.tx.SetDue(ref.key(kindOperation), now); err != nil {
			return err
		}
	}
	if err := e.schedule(ref, &t.certificate); err != nil {
		return err
	}
	return e.tx.SetDue(ref.key(kindCertificate), time.Time{})
}

// purgeChunk is how many older versions one Update removes.
const purgeChunk = 200

// purgeTriple removes what one Update may remove. What is left is marked, and a due
// row sees to it.
func (e edit) purgeTriple(ref Ref, t triple, now time.Time) error {
	left := purgeChunk
	for _, kind := range versionKinds {
		removed, err := e.removeVersions(ref.versionPrefix(kind), left)
		if err != nil {
			return err
		}
		left -= removed
	}
	if left <= 0 {
		t.mark(t.certificate.Change, statePurging, moment(t.certificate.Deleted), moment(t.certificate.PurgeAt))
		if err := e.putTriple(ref, t); err != nil {
			return err
		}
		return e.tx.SetDue(ref.key(kindCertificate), now)
	}
	for _, kind := range []string{kindCertificate, kindKey, kindSecret, kindOperation, indexDeleted, indexDeletedKey, indexDeletedSecret} {
		if err := e.remove(ref.key(kind)); err != nil {
			return err
		}
	}
	return nil
}

func (e edit) removeVersions(prefix store.Key, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	recs, err := e.tx.Scan(prefix, "", limit)
	if err != nil {
		return 0, err
	}
	for _, rec := range recs {
		if err := e.tx.Delete(rec.Key, rec.Revision); err != nil {
			return 0, err
		}
	}
	return len(recs), nil
}
