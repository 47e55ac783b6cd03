package vault

import (
	"context"
	"crypto"
	"errors"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// UpdateCertificateOperation asks for the cancellation of an operation, or takes the
// wish back. An operation of an issuer ends as cancelled with its next step, unless the
// issuer is faster; one that waits for a merge goes on waiting (recorded).
func (s *Service) UpdateCertificateOperation(ctx context.Context, caller access.Caller, ref Ref, requestID string, cancel *bool) (Operation, error) {
	now := s.Now()
	out, err := s.changeOperation(ctx, caller, CertificatePendingUpdate, ref, requestID, func(e edit, head *certificateHead, op operationRecord, was store.Revision) (operationRecord, error) {
		if op.Status != statusInProgress {
			return op, &Error{Code: CodeForbidden, Message: "Pending status must be in progress to allow update."}
		}
		if cancel == nil {
			return op, badProperty("cancellation_requested", "Send true or false")
		}
		op.Cancel = *cancel
		if err := e.put(ref.key(kindOperation), e.vault.place(kindOperation, ref, head.object, ""), was, op); err != nil || op.merges() {
			return op, err
		}
		return op, e.tx.SetDue(ref.key(kindOperation), now)
	})
	if err == nil {
		s.runner.Kick()
	}
	return out, explain(err)
}

// DeleteCertificateOperation removes an operation, whatever its status, and returns
// what it was. What the issuer answers afterwards is not kept.
func (s *Service) DeleteCertificateOperation(ctx context.Context, caller access.Caller, ref Ref, requestID string) (Operation, error) {
	var deleted string
	out, err := s.changeOperation(ctx, caller, CertificatePendingDelete, ref, requestID, func(e edit, head *certificateHead, op operationRecord, was store.Revision) (operationRecord, error) {
		deleted = op.RequestID
		head.Pending = false
		rec, err := e.tx.Get(ref.key(kindCertificate))
		if err != nil {
			return op, err
		}
		if err := e.putHead(kindCertificate, ref, rec.Revision, head); err != nil {
			return op, err
		}
		return op, e.tx.Delete(ref.key(kindOperation), was)
	})
	var refused *Error
	if deleted != "" && errors.As(err, &refused) && refused.Code == CodePendingCertificateNotFound { // a rerun of a commit that did happen
		return out, nil
	}
	return out, explain(err)
}

// changeOperation finds the operation in an Update and hands it to fn, which puts what
// becomes of it.
func (s *Service) changeOperation(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref, requestID string, fn func(edit, *certificateHead, operationRecord, store.Revision) (operationRecord, error)) (out Operation, err error) {
	err = s.write(ctx, caller, op, "certificates", ref, func(e edit) error {
		var head certificateHead
		if _, err := e.head(kindCertificate, ref, &head); err != nil {
			return err
		}
		record, was, err := e.operation(ref, head)
		if err != nil {
			return err
		}
		if !record.answers(head, requestID) {
			return pendingNotFound(ref)
		}
		record, err = fn(e, &head, record, was)
		if err == nil {
			out = record.operation(head.Name)
		}
		return err
	})
	return out, err
}

// answers reports whether there is the operation that a request means.
func (r operationRecord) answers(head certificateHead, requestID string) bool {
	return head.State == stateLive && r.RequestID != "" && (requestID == "" || requestID == r.RequestID)
}

// A Merge is a certificate that an authority made of an operation's CSR.
type Merge struct {
	Chain   [][]byte // DER, the leaf anywhere in it
	Enabled *bool
	Tags    *map[string]string
}

// maxChain bounds the certificates of a merge.
const maxChain = 100

// MergeCertificate makes a version of the operation's private key and a certificate
// that was issued elsewhere. It is for operations of the issuer Unknown, and of any
// issuer that refused or was cancelled. A certificate for another key leaves the
// operation as it is.
func (s *Service) MergeCertificate(ctx context.Context, caller access.Caller, ref Ref, in Merge) (Certificate, error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindCertificate), ref.key(kindOperation))
	if err != nil {
		return Certificate{}, err
	}
	var out Certificate
	err = s.Gate.Write(ctx, s.request(f, CertificatePendingMerge, "certificates", ref), func(g seal.Grant) error {
		head, op, err := s.openOperation(g, f.vault, ref, f.recs)
		if err != nil {
			return err
		}
		end, err := in.plan(ref, head, op, s.Now())
		if err != nil {
			return err
		}
		end.was = f.recs[1].Revision
		return s.update(ctx, g, f.vault, func(e edit) error {
			if err := end.merge(e); err != nil {
				return err
			}
			var head certificateHead
			_, err := e.head(kindCertificate, ref, &head)
			out = head.certificate(e.vault)
			return err
		})
	})
	return out, explain(err)
}

// plan checks the merge against the operation and renders the version.
func (in Merge) plan(ref Ref, head certificateHead, op operationRecord, now time.Time) (*ending, error) {
	switch {
	case !op.answers(head, ""):
		return nil, pendingNotFound(ref)
	case op.Status == statusInProgress && !op.merges():
		return nil, &Error{Code: CodeForbidden, Message: "A certificate cannot be merged while the issuer " + op.Policy.Issuer + " is working on the pending certificate; cancel the operation first."}
	case op.Status == statusCompleted:
		return nil, &Error{Code: CodeForbidden, Message: "The pending certificate is completed; create a new one to merge another certificate."}
	}
	if in.Tags != nil {
		if err := checkTags(*in.Tags); err != nil {
			return nil, err
		}
	}
	signer, err := pki.ParseKey(op.PKCS8)
	if err != nil {
		return nil, err
	}
	leaf, err := findLeaf(in.Chain, signer)
	if err != nil {
		return nil, err
	}
	r := rendering{
		id: op.Version, enabled: value(in.Enabled, op.Enabled), tags: value(in.Tags, op.Tags), preserve: op.Preserve,
		policy: op.Policy.policy(), signer: signer, chain: in.Chain, leaf: leaf, now: now,
	}
	end := &ending{ref: ref, op: op}
	if end.issued, err = newIssued(r); err != nil {
		return nil, err
	}
	end.op.complete()
	return end, nil
}

// merge is the commit of a merge.
func (end *ending) merge(e edit) error {
	var head certificateHead
	if _, err := e.head(kindCertificate, end.ref, &head); err != nil {
		return err
	}
	op, was, err := e.operation(end.ref, head)
	switch {
	case err != nil:
		return err
	case head.Current.ID == end.op.Version && len(head.Current.CER) > 0: // a rerun of a commit that did happen
		return nil
	case was != end.was || !op.answers(head, end.op.RequestID):
		return store.ErrChanged
	}
	return end.finish(e, head, was)
}

var errMismatch = &Error{Code: CodeBadParameter, Message: "The public key of the end-entity certificate in the specified X.509 certificate content does not match the public part of the specified private key. Please check if certificate is valid."}

// findLeaf reads every certificate of a chain and finds the one of a key.
func findLeaf(chain [][]byte, key crypto.Signer) (int, error) {
	if len(chain) == 0 {
		return 0, badProperty("x5c", "Send the certificate, and the chain after it")
	}
	if len(chain) > maxChain {
		return 0, badProperty("x5c", "There are too many certificates")
	}
	leaf, c, err := pki.FindLeaf(key, chain)
	if errors.Is(err, pki.ErrMismatch) {
		return 0, errMismatch
	}
	if err == nil {
		_, err = pki.Describe(c) // within the bounds of what can be imported
	}
	if err != nil {
		return 0, badProperty("x5c", err.Error())
	}
	return leaf, nil
}
