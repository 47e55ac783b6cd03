// Package vault holds the rules: vaults, and the certificates, keys and secrets in
// them. Doors call it with a caller and plain values; it answers with plain values or
// an *Error. It knows nothing of HTTP, of URLs and of wire formats.
//
// # How a request goes
//
// A read asks the store once for everything: the caller's principal, the vault and
// the object's records. From these the gate decides; only its Grant opens the object.
//
//	find (one snapshot) → gate.Read (decide, audit) → open records → answer
//
// A change does the same, and then one store.Update in which the records are read
// again and checked again:
//
//	find → gate.Write (decide, intent line) → keys, ids, times → Update → result line
//
// # What is stored
//
// An object has a head record, which holds its state and its whole current version,
// and one record for each older version. A certificate is a key, a secret and a
// certificate of one name and one version: three heads that are made, deleted,
// recovered and purged in one Update. The operation of a certificate (its issuance,
// under way or ended) is a record of its own. See place.go for the keys, record.go
// for the sealed structs.
//
// # Issuance
//
// CreateCertificate makes the key pair and the CSR, and stores the operation together
// with a due row that is leased to this node. The issuer is then called outside of any
// transaction; issue.go has the one commit that ends an operation. When the process
// dies in between, the due row comes up again and the same code finishes the work.
package vault

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/idle"
	"coffer/internal/issuer"
	"coffer/internal/jobs"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// Principals tells who a caller is now. The vault reads the principal's record in the
// same snapshot as the object; tenant.Service knows how to open it.
type Principals interface {
	// Look begins the look-up of the caller's principal.
	Look(caller access.Caller) PrincipalLook
}

// A PrincipalLook is one look-up of a principal under way.
type PrincipalLook interface {
	// Asks names the records that the store is to answer.
	Asks() []store.Ask
	// Caller returns the caller with the groups and the role assignments of its principal;
	// recs are the answers to Asks. The error is access.ErrPrincipalGone when the principal
	// was removed or disabled.
	Caller(recs []store.Record) (access.Caller, error)
}

// A Config wires a Service.
type Config struct {
	Store      store.Store
	Keyring    *seal.Keyring
	Gate       *gate.Gate
	Principals Principals
	Now        func() time.Time // the clock of the rules; never nil
	Log        *slog.Logger
	TenantID   string
	Suffix     string // of vault hosts, such as "vault.azure.net"; for the audit log
	Location   string // region of vaults that are made here, such as "local"

	// FirstTouch, when set, tells the principals whose first request makes a vault. All of them
	// have all permissions on it.
	FirstTouch func() []access.Caller
	// Issuers are the issuers by folded name; "self" is always needed.
	Issuers map[string]issuer.Issuer
	// SoleNode says that no other node has the store, so that work which an earlier
	// process had leased is free at once.
	SoleNode bool
	// Keys does what keeps a processor busy: it makes RSA key pairs and reads imported
	// files. Beyond what may wait before it, requests are refused with Throttled.
	Keys *idle.Pool

	// Forget is told of a resource that is gone for good, by its ARM id, before its name is
	// free again: what was assigned there, and below if whole is set, must not count for a
	// namesake. It changes nothing if still, which is called in the Update that makes the
	// change, returns false: another node has ended the work, and there may be a namesake. May be nil.
	Forget func(ctx context.Context, scope string, whole bool, still func(store.Tx) (bool, error)) error

	// Attestations verify for whom a key is released; nil: for nobody.
	Attestations Attestations

	// RefuseWeakPadding refuses decryption with RSA1_5 and the CBCPAD algorithms, whose
	// answers tell an attacker who may ask often what was encrypted.
	RefuseWeakPadding bool
}

// lease is how long a node that took up an issuance, or other due work, may be at it, and
// skew how far the clocks of two nodes may be apart.
const (
	lease = 30 * time.Second
	skew  = time.Minute
)

// leased is the due time of work that this node takes up at a time.
func (s *Service) leased(now time.Time) time.Time {
	if s.SoleNode {
		return now.Add(lease)
	}
	return now.Add(lease + skew)
}

// A Service answers for all vaults of one installation. It is safe for any number of
// goroutines.
type Service struct {
	Config
	vaults *store.Cache[*vaultState]
	runner *jobs.Runner

	keys      *store.Cache[openHead] // of current versions
	olderKeys *store.Cache[openKey]

	certificates *store.Cache[openCertificate]

	mu      sync.Mutex
	signing map[store.Key]chan struct{} // closed when the issuance here has ended
	work    sync.WaitGroup
}

// New returns the service. Run has to be called for due work to be done.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Keyring == nil || c.Gate == nil || c.Principals == nil || c.Now == nil || c.Log == nil || c.Keys == nil {
		return nil, errors.New("vault: Config lacks a part")
	}
	if c.Issuers[selfIssuer] == nil {
		return nil, errors.New("vault: Config has no issuer named self")
	}
	s := &Service{
		Config: c, vaults: store.NewCache[*vaultState](1024),
		keys: store.NewCache[openHead](maxOpenKeys), olderKeys: store.NewCache[openKey](maxOpenKeys),
		certificates: store.NewCache[openCertificate](maxOpenCertificates),
		signing:      map[store.Key]chan struct{}{},
	}
	s.runner = jobs.New(jobs.Config{
		Store: c.Store, Now: c.Now, Lease: lease, Skew: skew, Route: s.route, Log: c.Log, Sole: c.SoleNode,
	})
	return s, nil
}

// Run does due work until ctx ends, and returns when what it had begun has ended.
func (s *Service) Run(ctx context.Context) {
	s.runner.Run(ctx)
	s.work.Wait()
}

// Kick looks for due work now; for callers that turn the clock.
func (s *Service) Kick() { s.runner.Kick() }

// Settle does everything that is due and returns when nothing is left; for callers
// that turn the clock.
func (s *Service) Settle(ctx context.Context) error {
	s.work.Wait()
	err := s.runner.Settle(ctx)
	s.work.Wait() // what the work that was due has begun
	return err
}
