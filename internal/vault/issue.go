package vault

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"coffer/internal/issuer"
	"coffer/internal/jobs"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// begin goes on with an issuance that was just stored and is leased to this node.
// Nothing depends on it: when it fails, or the process dies, the due row comes up.
func (s *Service) begin(key store.Key) {
	done := make(chan struct{})
	s.mu.Lock()
	s.signing[key] = done
	s.mu.Unlock()
	s.work.Go(func() {
		defer s.ended(key, done)
		ctx, cancel := context.WithTimeout(context.Background(), lease)
		defer cancel()
		if err := s.issue(ctx, key); err != nil {
			s.Log.Warn("an issuance did not end; it will be tried again", "key", string(key), "error", err)
			s.release(ctx, key)
		}
	})
}

// release gives the lease of an issuance that failed back, so that the runner tries it
// again, with its pauses. If that fails too, the lease runs out by itself.
func (s *Service) release(ctx context.Context, key store.Key) {
	now := s.Now()
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil || !rec.Exists() {
			return err
		}
		return tx.SetDue(key, now)
	})
	if err == nil {
		s.runner.Kick()
	}
}

func (s *Service) ended(key store.Key, done chan struct{}) {
	if cause := recover(); cause != nil {
		s.Log.Error("an issuance panicked; it will be tried again", "key", string(key), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	}
	s.mu.Lock()
	if s.signing[key] == done {
		delete(s.signing, key)
	}
	s.mu.Unlock()
	close(done)
}

// route tells the runner what a due row is about.
func (s *Service) route(key store.Key) jobs.Handler {
	switch kind, _, ok := parseKey(key); {
	case ok && kind == kindOperation:
		return s.issue
	case ok && kind == kindCertificate:
		return s.purgeDue
	}
	return nil
}

// withVault runs fn as the named job on an object, or removes the due row of an
// object whose vault is gone.
func (s *Service) withVault(ctx context.Context, ref Ref) (*vaultState, error) {
	look := s.vaults.Look(vaultKey(ref.Vault))
	recs, err := s.Store.Get(ctx, look.Ask())
	if err != nil {
		return nil, err
	}
	v, _, err := look.Value(recs[0], s.openVault(ref.Vault))
	return v, err
}

// drop removes a due row that leads to nothing.
func (s *Service) drop(ctx context.Context, key store.Key) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, time.Time{}) })
}

// issue goes on with the issuance at key: it calls the issuer with the state that the
// issuer left, and commits what comes of it. A crash repeats the call; only the commit
// decides.
func (s *Service) issue(ctx context.Context, key store.Key) error {
	_, ref, _ := parseKey(key)
	v, err := s.withVault(ctx, ref)
	if err != nil {
		return err
	}
	if v == nil {
		return s.drop(ctx, key)
	}
	return s.Gate.System(ctx, "issuer", certificateEnroll, s.subject(v, "certificates", ref), func(g seal.Grant) error {
		recs, err := s.Store.Get(ctx, store.Ask{Key: ref.key(kindCertificate)}, store.Ask{Key: key})
		if err != nil {
			return err
		}
		head, op, err := s.openOperation(g, v, ref, recs)
		if err != nil {
			return err
		}
		if head.State != stateLive || op.Status != statusInProgress {
			return s.drop(ctx, key)
		}
		end, err := s.callIssuer(ctx, op)
		if err != nil {
			return err
		}
		end.ref, end.was = ref, recs[1].Revision
		return s.update(ctx, g, v, end.commit)
	})
}

// An ending is what a call of the issuer came to, with everything that its commit
// needs.
type ending struct {
	ref     Ref
	was     store.Revision // of the operation that the issuer was called for
	op      operationRecord
	wait    time.Time // the issuer wants to be called again
	version versionRecord
	cer     []byte
	key     keyVersion
	secret  secretVersion
	objects [2]string // ids for a new key and a new secret
}

func (s *Service) callIssuer(ctx context.Context, op operationRecord) (*ending, error) {
	iss := s.Issuers[fold(op.Policy.Issuer)]
	if iss == nil {
		return nil, fmt.Errorf("vault: an operation names the issuer %q, which is not configured", op.Policy.Issuer)
	}
	signer, err := pki.ParseKey(op.PKCS8)
	if err != nil {
		return nil, err
	}
	policy := op.Policy.policy()
	template, err := policy.template()
	if err != nil {
		return nil, err
	}
	now := s.Now()
	result, err := iss.Issue(ctx, issuer.Request{
		ID: op.RequestID, Template: template, CSR: op.CSR, Key: signer, ValidityMonths: policy.ValidityMonths, Now: now,
	}, op.IssuerState)
	if err != nil {
		return nil, err
	}
	end := &ending{op: op}
	switch {
	case result.Wait != nil:
		end.op.IssuerState, end.wait = result.Wait.State, result.Wait.Until
		return end, nil
	case result.Refused != nil:
		end.op.Status, end.op.ErrorCode, end.op.ErrorText = statusFailed, result.Refused.Code, result.Refused.Message
		end.op.PKCS8, end.op.IssuerState = nil, nil
		return end, nil
	}
	return end, end.complete(signer, policy, result.Chain, now)
}

// complete renders everything that the issued version consists of.
func (end *ending) complete(signer crypto.Signer, policy Policy, chain [][]byte, now time.Time) error {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fmt.Errorf("vault: the issuer returned a certificate that cannot be read: %w", err)
	}
	end.cer = chain[0]
	end.version = versionRecord{
		ID: end.op.Version, Enabled: end.op.Enabled, NotBefore: unix(leaf.NotBefore), Expires: unix(leaf.NotAfter),
		Created: unix(now), Updated: unix(now), Tags: end.op.Tags,
	}
	if end.key, err = newKeyVersion(end.version, end.op.PKCS8, signer, policy); err != nil {
		return err
	}
	if end.secret, err = newSecretVersion(end.version, signer, policy, chain); err != nil {
		return err
	}
	end.op.Status, end.op.PKCS8, end.op.IssuerState = statusCompleted, nil, nil
	end.objects = [2]string{uuid.NewString(), uuid.NewString()}
	return nil
}

func newKeyVersion(v versionRecord, pkcs8 []byte, signer crypto.Signer, policy Policy) (keyVersion, error) {
	usage, err := pki.ParseKeyUsage(policy.KeyUsage)
	if err != nil {
		return keyVersion{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return keyVersion{}, err
	}
	v.Tags = nil
	return keyVersion{versionRecord: v, PKCS8: pkcs8, Ops: usage.KeyOps(), SPKI: spki}, nil
}

func newSecretVersion(v versionRecord, signer crypto.Signer, policy Policy, chain [][]byte) (secretVersion, error) {
	if !policy.Exportable {
		signer = nil
	}
	v.Tags = nil
	out := secretVersion{versionRecord: v, ContentType: policy.ContentType}
	if policy.ContentType == ContentTypePEM {
		text, err := pki.EncodePEM(signer, chain)
		out.Value = string(text)
		return out, err
	}
	pfx, err := pki.EncodePFX(signer, chain)
	out.Value = base64.StdEncoding.EncodeToString(pfx)
	return out, err
}

// commit is the one commit that ends an operation. It checks again that the operation
// is the one that the issuer was called for and that the certificate is still there.
func (end *ending) commit(e edit) error {
	key := end.ref.key(kindOperation)
	recs := make([]store.Record, 2)
	var err error
	for i, k := range []store.Key{end.ref.key(kindCertificate), key} {
		if recs[i], err = e.tx.Get(k); err != nil {
			return err
		}
	}
	head, op, err := e.s.openOperation(e.g, e.vault, end.ref, recs)
	switch {
	case err != nil:
		return err
	case op.RequestID == end.op.RequestID && op.Status != statusInProgress: // a rerun of a commit that did happen
		return nil
	case recs[1].Revision != end.was || head.State != stateLive: // deleted or cancelled meanwhile
		return store.ErrChanged
	}
	place := e.vault.place(kindOperation, end.ref, head.object, "")
	if err := e.put(key, place, recs[1].Revision, end.op); err != nil {
		return err
	}
	if err := e.tx.SetDue(key, end.wait); err != nil || end.op.Status != statusCompleted {
		return err
	}
	return end.store(e, head.object)
}

// store puts the new version of all three objects, and keeps what was current as an
// older version.
func (end *ending) store(e edit, object string) error {
	t, err := e.triple(end.ref)
	if err != nil {
		return err
	}
	if t.certificate.object != object {
		return store.ErrChanged
	}
	if err := end.keepOlder(e, t); err != nil {
		return err
	}
	for i, head := range []*header{&t.key.header, &t.secret.header} {
		if head.object == "" {
			*head = header{Name: t.certificate.Name, State: stateLive, Managed: true, object: end.objects[i]}
		}
	}
	sequence := t.certificate.Sequence + 1
	for _, head := range t.heads() {
		head.base().Sequence = sequence
	}
	end.version.Sequence, end.key.Sequence, end.secret.Sequence = sequence, sequence, sequence
	t.certificate.Current = certificateVersion{versionRecord: end.version, CER: end.cer, Preserve: end.op.Preserve}
	t.key.Current, t.secret.Current = end.key, end.secret
	for i, head := range t.heads() {
		if err := e.putHead(tripleKinds[i], end.ref, t.revisions[i], head); err != nil {
			return err
		}
	}
	return nil
}

// keepOlder makes records of the versions that are no longer current.
func (end *ending) keepOlder(e edit, t triple) error {
	if len(t.certificate.Current.CER) == 0 {
		return nil
	}
	older := t.certificate.Current.ID
	current := [3]any{t.certificate.Current, t.key.Current, t.secret.Current}
	for i, head := range t.heads() {
		if err := e.putVersion(versionKinds[i], end.ref, head.base().object, older, current[i]); err != nil {
			return err
		}
	}
	return nil
}

// purgeDue does what a certificate's due row is about: a purge that was scheduled, or
// one that is not finished.
func (s *Service) purgeDue(ctx context.Context, key store.Key) error {
	_, ref, _ := parseKey(key)
	v, err := s.withVault(ctx, ref)
	if err != nil {
		return err
	}
	if v == nil {
		return s.drop(ctx, key)
	}
	now := s.Now()
	return s.Gate.System(ctx, "purge", certificateExpire, s.subject(v, "deletedcertificates", ref), func(g seal.Grant) error {
		return s.update(ctx, g, v, func(e edit) error {
			t, err := e.triple(ref)
			switch {
			case err != nil:
				return err
			case t.certificate.State == stateDeleted && now.Before(moment(t.certificate.PurgeAt)):
				return e.tx.SetDue(key, moment(t.certificate.PurgeAt))
			case t.certificate.State == stateDeleted, t.certificate.State == statePurging:
				return e.purgeTriple(ref, t, now)
			}
			return e.tx.SetDue(key, time.Time{})
		})
	})
}
