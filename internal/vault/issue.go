package vault

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

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
	case strings.HasPrefix(string(key), vaultPrefix):
		return s.purgeVaultDue
	case strings.HasPrefix(string(key), groupPrefix):
		return s.deleteGroupDue
	case ok && kind == kindOperation:
		return s.issue
	case ok && kind == kindCertificate:
		return s.purgeDue
	case ok && kind == kindRenewal:
		return s.renewDue
	case ok && kind == kindSecret:
		return s.purgeObjectDue(secretClass())
	case ok && kind == kindKey:
		return s.purgeObjectDue(keyClass())
	case ok && kind == kindRotation:
		return s.rotateDue
	}
	return nil
}

// due runs fn for the object of a due row. It drops the row of one whose vault is gone.
func (s *Service) due(ctx context.Context, key store.Key, fn func(*vaultState, Ref) error) error {
	_, ref, _ := parseKey(key)
	look := s.vaults.Look(vaultKey(ref.Vault))
	recs, err := s.Store.Get(ctx, look.Ask())
	if err != nil {
		return err
	}
	v, ok, err := look.Value(recs[0], s.openVault(ref.Vault))
	if err != nil {
		return err
	}
	switch {
	case !ok, v.State == statePurging:
		return s.drop(ctx, key)
	case v.State == stateDeleted: // it may be recovered, and then goes on
		return s.Store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, s.Now().Add(deletedPause)) })
	}
	return fn(v, ref)
}

// deletedPause is how long due work of a deleted vault waits before it looks again.
const deletedPause = 10 * time.Minute

// drop removes a due row that leads to nothing.
func (s *Service) drop(ctx context.Context, key store.Key) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, time.Time{}) })
}

// issue goes on with the issuance at key: it calls the issuer with the state that the
// issuer left, and commits what comes of it. A crash repeats the call; only the commit
// decides.
func (s *Service) issue(ctx context.Context, key store.Key) error {
	return s.due(ctx, key, func(v *vaultState, ref Ref) error {
		return s.Gate.System(ctx, "issuer", certificateEnroll, s.subject(v, "certificates", ref), func(g seal.Grant) error {
			err := s.step(ctx, g, v, ref)
			if errors.Is(err, store.ErrChanged) { // a cancellation came in between, for example: look again
				err = s.step(ctx, g, v, ref)
			}
			return err
		})
	})
}

// step calls the issuer once and commits what comes of it.
func (s *Service) step(ctx context.Context, g seal.Grant, v *vaultState, ref Ref) error {
	key := ref.key(kindOperation)
	recs, err := s.Store.Get(ctx, store.Ask{Key: ref.key(kindCertificate)}, store.Ask{Key: key})
	if err != nil {
		return err
	}
	head, op, err := s.openOperation(g, v, ref, recs)
	if err != nil {
		return err
	}
	if head.State != stateLive || op.Status != statusInProgress || op.merges() {
		return s.drop(ctx, key)
	}
	end, err := s.callIssuer(ctx, g, v, op)
	if err != nil {
		return err
	}
	end.ref, end.was = ref, recs[1].Revision
	return s.update(ctx, g, v, end.commit)
}

// An ending is what a call of the issuer came to, with everything that its commit
// needs.
type ending struct {
	ref    Ref
	was    store.Revision // of the operation that the issuer was called for
	op     operationRecord
	wait   time.Time // the issuer wants to be called again
	issued *issued   // nil unless there is a certificate
}

// The codes of a failed operation (recorded, and documented).
const (
	codeRequestRejected = "Request rejected"
	codeIssuerError     = "Certificate issuer error"
)

func (s *Service) callIssuer(ctx context.Context, g seal.Grant, v *vaultState, op operationRecord) (*ending, error) {
	end := &ending{op: op}
	if op.Cancel {
		end.op.Status = statusCancelled
		return end, nil
	}
	iss := s.Issuers[fold(op.Policy.Issuer)]
	if iss == nil {
		refused, err := s.noProvider(ctx, g, v, op.Policy.Issuer)
		end.op.Status, end.op.ErrorCode, end.op.ErrorText = statusFailed, refused.Code, refused.Message
		return end, err
	}
	signer, err := pki.ParseKey(op.PKCS8)
	if err != nil {
		return nil, err
	}
	policy := op.Policy.policy()
	template, err := policy.template()
	if err != nil { // it will not become better
		end.op.Status, end.op.ErrorCode, end.op.ErrorText = statusFailed, codeRequestRejected, err.Error()
		return end, nil
	}
	now := s.Now()
	result, err := iss.Issue(ctx, issuer.Request{
		ID: op.RequestID, Template: template, CSR: op.CSR, Key: signer, ValidityMonths: policy.ValidityMonths, Now: now,
	}, op.IssuerState)
	if err != nil {
		return nil, err
	}
	switch {
	case result.Wait != nil:
		end.op.IssuerState, end.wait = result.Wait.State, result.Wait.Until
	case result.Refused != nil:
		end.op.Status, end.op.ErrorCode, end.op.ErrorText = statusFailed, result.Refused.Code, result.Refused.Message
		end.op.IssuerState = nil
	default:
		end.issued, err = newIssued(rendering{
			id: op.Version, enabled: op.Enabled, tags: op.Tags, preserve: op.Preserve,
			policy: policy, signer: signer, chain: result.Chain, now: now,
		})
		end.op.complete()
	}
	return end, err
}

// noProvider says why an issuer object of the vault cannot issue.
func (s *Service) noProvider(ctx context.Context, g seal.Grant, v *vaultState, name string) (issuer.Refusal, error) {
	record, ok, err := s.openIssuer(g, v, name, s.getter(ctx))
	if err != nil {
		return issuer.Refusal{}, err
	}
	if !ok {
		return issuer.Refusal{Code: codeRequestRejected, Message: "The vault has no issuer named " + name + " any more; change the issuer in the certificate's policy."}, nil
	}
	return issuer.Refusal{Code: codeIssuerError, Message: fmt.Sprintf(
		"The provider %s of the issuer %s cannot be reached from this vault. Send the CSR of this operation to the authority yourself and merge its answer, or use the issuer Self or Unknown.", record.Provider, record.Name)}, nil
}

// complete marks the end of the operation. The private key is the key's from now on.
func (r *operationRecord) complete() {
	r.Status, r.Cancel, r.PKCS8, r.IssuerState, r.ErrorCode, r.ErrorText = statusCompleted, false, nil, nil, "", ""
}

// commit is the one commit that ends an operation. It checks again that the operation
// is the one that the issuer was called for and that the certificate is still there.
func (end *ending) commit(e edit) error {
	var head certificateHead
	if _, err := e.head(kindCertificate, end.ref, &head); err != nil {
		return err
	}
	op, was, err := e.operation(end.ref, head)
	switch {
	case err != nil:
		return err
	case op.RequestID == end.op.RequestID && op.Status != statusInProgress: // a rerun of a commit that did happen
		return nil
	case was != end.was || head.State != stateLive: // deleted or cancelled meanwhile
		return store.ErrChanged
	}
	return end.finish(e, head, was)
}

// finish puts what became of the operation, and the version if there is one.
func (end *ending) finish(e edit, head certificateHead, was store.Revision) error {
	key := end.ref.key(kindOperation)
	if err := e.put(key, e.vault.place(kindOperation, end.ref, head.object, ""), was, end.op); err != nil {
		return err
	}
	if err := e.tx.SetDue(key, end.wait); err != nil || end.issued == nil {
		return err
	}
	t, err := e.triple(end.ref)
	if err != nil {
		return err
	}
	return end.issued.put(e, end.ref, t)
}

// purgeDue does what a certificate's due row is about: a purge that was scheduled, or
// one that is not finished.
func (s *Service) purgeDue(ctx context.Context, key store.Key) error {
	now := s.Now()
	return s.due(ctx, key, func(v *vaultState, ref Ref) error {
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
	})
}
