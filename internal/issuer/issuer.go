// Package issuer turns requests into certificates. Every issuer, ourselves or an
// authority far away, is behind the one interface Issuer, which can be resumed: it is
// called with the state that it left, as often as it asks for, until there is a
// certificate or a refusal. Whoever calls it keeps the state and decides, by a commit
// of its own, whether a result counts.
package issuer

import (
	"context"
	"crypto"
	"time"

	"coffer/internal/pki"
)

// A Request is what a certificate is asked for with.
type Request struct {
	// ID is the same for every call about one operation. An issuer far away uses it to
	// find what it has begun already.
	ID             string
	Template       pki.Template
	CSR            []byte        // PKCS#10, DER
	Key            crypto.Signer // only an issuer that signs with the subject's key uses it
	ValidityMonths int
	Now            time.Time
}

// A Result has exactly one member.
type Result struct {
	Chain   [][]byte // issued: DER, the leaf first
	Wait    *Wait
	Refused *Refusal
}

// A Wait asks to be called again with State, not before Until.
type Wait struct {
	State []byte
	Until time.Time
}

// A Refusal ends the operation. Code is a phrase, such as "Request rejected" for what
// the request is to blame for and "Certificate issuer error" for what is not (recorded,
// documented).
type Refusal struct{ Code, Message string }

// An Issuer issues. An error means that the call may be repeated with the same state;
// a call that is repeated with the same Request.ID never issues twice at a price.
type Issuer interface {
	Issue(ctx context.Context, r Request, state []byte) (Result, error)
}

// Self is the issuer of self-signed certificates. It keeps no state: when a call is
// repeated it signs again, and of two such certificates only the one that is committed
// is ever seen.
type Self struct{}

// predate is how far the validity begins before the signing (recorded).
const predate = 600 * time.Second

// Issue signs with the request's own key. The certificate is valid from 600 seconds
// ago until the same time of day that many calendar months from now (recorded).
func (Self) Issue(_ context.Context, r Request, _ []byte) (Result, error) {
	serial, err := pki.NewSerial()
	if err != nil {
		return Result{}, err
	}
	now := r.Now.UTC().Truncate(time.Second)
	validity := pki.Validity{NotBefore: now.Add(-predate), NotAfter: pki.AddMonths(now, r.ValidityMonths)}
	der, err := pki.SelfSign(r.Template, r.Key, validity, serial)
	if err != nil { // signing again would not help: what is wrong is what was asked for
		return Result{Refused: &Refusal{Code: "Request rejected", Message: err.Error()}}, nil
	}
	return Result{Chain: [][]byte{der}}, nil
}
