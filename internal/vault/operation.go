package vault

import (
	"context"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// An Operation is the issuance of a certificate, under way or ended.
type Operation struct {
	Name                  string // of the certificate
	RequestID             string
	Issuer                string // as the policy has it
	CSR                   []byte // DER
	Status                string // "inProgress", "completed", "failed" or "cancelled"
	CancellationRequested bool
	ErrorCode, ErrorText  string // when failed
	Preserve              *bool  // preserveCertOrder, if it was supplied
}

// InProgress reports whether the operation has not ended.
func (o Operation) InProgress() bool { return o.Status == statusInProgress }

// Merges reports whether the operation waits for a certificate to be merged.
func (o Operation) Merges() bool { return o.InProgress() && fold(o.Issuer) == unknownIssuer }

// Completed reports whether the certificate was issued.
func (o Operation) Completed() bool { return o.Status == statusCompleted }

// Failed reports whether the issuer refused.
func (o Operation) Failed() bool { return o.Status == statusFailed }

func (r operationRecord) merges() bool { return fold(r.Policy.Issuer) == unknownIssuer }

func (r operationRecord) operation(name string) Operation {
	return Operation{
		Name: name, RequestID: r.RequestID, Issuer: r.Policy.Issuer, CSR: r.CSR, Status: r.Status,
		CancellationRequested: r.Cancel, ErrorCode: r.ErrorCode, ErrorText: r.ErrorText, Preserve: r.Preserve,
	}
}

// patience is how long GetCertificateOperation waits for a certificate that is being
// signed on this node at that moment, so that clients with a fixed interval of seconds
// need no second round.
const patience = 500 * time.Millisecond

// GetCertificateOperation returns the operation of a certificate. When requestID is
// not empty and is not the operation's, the operation is not found.
func (s *Service) GetCertificateOperation(ctx context.Context, caller access.Caller, ref Ref, requestID string) (Operation, error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindCertificate), ref.key(kindOperation))
	if err != nil {
		return Operation{}, err
	}
	var out Operation
	err = s.Gate.Read(ctx, s.request(f, CertificatePendingGet, "certificates", ref), func(g seal.Grant) error {
		head, op, err := s.openOperation(g, f.vault, ref, f.recs)
		if err == nil && op.Status == statusInProgress && s.await(ctx, ref.key(kindOperation)) {
			if head, op, err = s.readOperation(ctx, g, f.vault, ref); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return err
		case head.State != stateLive || op.RequestID == "" || requestID != "" && requestID != op.RequestID:
			return pendingNotFound(ref)
		}
		out = op.operation(head.Name)
		return nil
	})
	return out, explain(err)
}

// openOperation opens the head of a certificate and its operation; what does not exist
// stays empty.
func (s *Service) openOperation(g seal.Grant, v *vaultState, ref Ref, recs []store.Record) (head certificateHead, op operationRecord, err error) {
	ok, err := s.openHead(g, v, kindCertificate, ref, recs[0], &head)
	if err != nil || !ok || !recs[1].Exists() {
		return head, op, err
	}
	_, err = s.open(g, v, v.place(kindOperation, ref, head.object, ""), recs[1], &op)
	return head, op, err
}

func (s *Service) readOperation(ctx context.Context, g seal.Grant, v *vaultState, ref Ref) (certificateHead, operationRecord, error) {
	recs, err := s.Store.Get(ctx, store.Ask{Key: ref.key(kindCertificate)}, store.Ask{Key: ref.key(kindOperation)})
	if err != nil {
		return certificateHead{}, operationRecord{}, err
	}
	return s.openOperation(g, v, ref, recs)
}

// await waits a moment for the issuance that this node is busy with; false means that
// there is none.
func (s *Service) await(ctx context.Context, key store.Key) bool {
	s.mu.Lock()
	done := s.signing[key]
	s.mu.Unlock()
	if done == nil {
		return true // it may have ended since the snapshot
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}
