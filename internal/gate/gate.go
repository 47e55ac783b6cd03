// Package gate is the one way to an object: it decides, it writes down what it
// decided, and only then does it hand out the Grant without which nothing opens.
//
//	err := g.Read(ctx, request, func(grant seal.Grant) error {
//		plain, _, err := keyring.Open(grant, place, box)
//		…
//	})
//
// Read writes one line, after the work and before Read returns, with what came of it.
// Write writes two of one operation id: an intent, durable before the work begins, and
// a result, durable before Write returns. If a line cannot be written the answer is not
// given: ErrAudit. If it is the result of a change, the change stands, the caller gets
// ErrAuditAfter, and the gate stays shut for everything until the log works again.
//
// The texts of errors are never logged, only their codes: an error may name what it
// should not.
//
// gate.go decides, chain.go keeps the key and the head of the audit log, identity.go
// writes down who signed in and whose token was rejected.
package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// The errors of a log that cannot be written.
var (
	// ErrAudit means that nothing was done, or that what was read must not be answered.
	ErrAudit = errors.New("gate: the audit log cannot be written, so nothing is answered; see the server's log")
	// ErrAuditAfter means that the work of a Write ran, and that what came of it could not
	// be written down. It wraps nothing, so that it is never taken for the work's own error.
	ErrAuditAfter = errors.New("gate: the operation ran, but its result could not be written to the audit log; see the server's log")
)

// Unlogged reports whether an error is of a log that cannot be written: the request can
// succeed later, so doors answer 503.
func Unlogged(err error) bool { return errors.Is(err, ErrAudit) || errors.Is(err, ErrAuditAfter) }

// An Operation is what the audit log calls it, and the permission it needs.
type Operation struct {
	Name       string
	Permission access.Permission
}

// A Subject is what an operation is about.
type Subject struct {
	Vault         string // name
	VaultInstance string
	Location      string
	ResourceID    string // of the vault, for the log
	Object        string // full id, for the log
	Below         string // what it is below the scope of the rules, such as /secrets/NAME
	Rules         access.Rules
}

// A Request asks whether a caller may do an operation.
type Request struct {
	Caller    access.Caller
	Operation Operation
	Subject   Subject
}

// Denied is the error of a refusal.
type Denied struct {
	Request  Request
	Decision access.Decision
}

// Error says what was refused.
func (d *Denied) Error() string {
	return fmt.Sprintf("gate: %s is denied: %s", d.Request.Operation.Permission, d.Decision.Reason)
}

// AuditCode is what the log shows.
func (d *Denied) AuditCode() string { return string(d.Decision.Reason) }

// A Config wires a Gate.
type Config struct {
	Store   store.Store
	Keyring *seal.Keyring
	Granter *seal.Granter
	Sink    audit.Sink       // closed by Close, not when Open fails
	Node    string           // of the audit chain; no two gates at once have the same
	Now     func() time.Time // the wall clock: of lines, durations and rates
	Log     *slog.Logger
}

// A Gate decides and writes down. It is safe for any number of goroutines.
type Gate struct {
	config   Config
	log      *audit.Log
	inputs   seal.Grant
	rejected rejections // tokens
	refused  rejections // sign-ins

	broken  atomic.Bool
	probing sync.Mutex
	probed  time.Time // the last time that the log was tried, while broken

	keeping sync.Mutex
	saved   uint64 // sequence of the head in the store
	closing sync.Once
	halting sync.Once
	stop    chan struct{}
	idle    sync.WaitGroup
}

// Inputs is the grant for what decisions are made of. It opens nothing else.
func (g *Gate) Inputs() seal.Grant { return g.inputs }

// Read decides, runs fn if the caller may, and writes one line. The error is *Denied,
// fn's, or ErrAudit. A panic in fn gets its line, and goes on.
func (g *Gate) Read(ctx context.Context, r Request, fn func(seal.Grant) error) (err error) {
	if err := g.usable(); err != nil {
		return err
	}
	start := g.config.Now()
	if err := g.decide(ctx, r); err != nil {
		return err
	}
	e := r.event(audit.PhaseDecision)
	e.Outcome = outcomePanic
	defer func() {
		e.Duration = g.config.Now().Sub(start)
		err = g.append(ctx, e, err)
	}()
	err = fn(g.config.Granter.Read())
	e.Outcome = outcome(err)
	return err
}

// Write decides, writes the intent, runs fn, and writes the result. The error is
// *Denied, ErrAudit when fn was not run because of the log, fn's, or ErrAuditAfter.
func (g *Gate) Write(ctx context.Context, r Request, fn func(seal.Grant) error) error {
	if err := g.usable(); err != nil {
		return err
	}
	if err := g.decide(ctx, r); err != nil {
		return err
	}
	return g.change(ctx, r.event(audit.PhaseIntent), fn)
}

// System is Write for a part of the server itself, which no permission governs. The log
// shows its name where it shows a caller else.
func (g *Gate) System(ctx context.Context, name string, op Operation, s Subject, fn func(seal.Grant) error) error {
	if err := g.usable(); err != nil {
		return err
	}
	e := Request{Operation: op, Subject: s}.event(audit.PhaseIntent)
	e.System = name
	return g.change(ctx, e, fn)
}

// decide asks the rules. A refusal is written down before it is returned.
func (g *Gate) decide(ctx context.Context, r Request) error {
	decision := r.Subject.Rules.Allow(r.Caller, r.Operation.Permission, r.Subject.Below)
	if decision.Allowed {
		return nil
	}
	e := r.event(audit.PhaseDecision)
	e.Allowed, e.Outcome = false, code(string(decision.Reason))
	return g.append(ctx, e, &Denied{Request: r, Decision: decision})
}

// append writes a line and returns err, or ErrAudit if the line was not written. The
// line is written even when the client has gone.
func (g *Gate) append(ctx context.Context, e audit.Event, err error) error {
	if failed := g.log.Append(context.WithoutCancel(ctx), e, false); failed != nil {
		g.config.Log.Error("the audit log cannot be written; the request is not answered", "operation", e.Operation, "request", e.RequestID, "error", failed)
		return ErrAudit
	}
	return err
}

// change runs fn between its intent and its result. A panic in fn gets its result line
// too, and goes on.
func (g *Gate) change(ctx context.Context, e audit.Event, fn func(seal.Grant) error) (err error) {
	ctx = context.WithoutCancel(ctx)
	e.OperationID = rand.Text()
	start := g.config.Now()
	if failed := g.log.Append(ctx, e, true); failed != nil {
		g.config.Log.Error("the audit log cannot be written; nothing was changed", "operation", e.Operation, "request", e.RequestID, "error", failed)
		return ErrAudit
	}
	e.Phase, e.Outcome = audit.PhaseResult, outcomePanic
	defer func() {
		e.Duration = g.config.Now().Sub(start)
		if failed := g.log.Append(ctx, e, true); failed != nil {
			g.config.Log.Error("the audit log cannot be written; nothing is served until it can",
				"operation", e.Operation, "request", e.RequestID, "outcome", e.Outcome, "error", failed)
			g.broken.Store(true)
			err = ErrAuditAfter
		}
	}()
	err = fn(g.config.Granter.Write())
	e.Outcome = outcome(err)
	return err
}

// probeEvery is how often a gate that is shut tries the log.
const probeEvery = time.Second

// Working reports whether the log works; while it does not, nothing is served. It tries
// the log like a request does, so that a node that gets none, because it is not ready,
// becomes ready again.
func (g *Gate) Working() bool { return g.usable() == nil }

// usable reports whether the log works. A gate that is shut tries it, on one of the
// requests that come.
func (g *Gate) usable() error {
	if !g.broken.Load() {
		return nil
	}
	if !g.probing.TryLock() { // one request tries, the others do not wait for it
		return ErrAudit
	}
	defer g.probing.Unlock()
	if !g.broken.Load() {
		return nil
	}
	now := g.config.Now()
	if since := now.Sub(g.probed); !g.probed.IsZero() && since >= 0 && since < probeEvery {
		return ErrAudit
	}
	g.probed = now
	if err := g.probe(); err != nil {
		g.config.Log.Error("the audit log still cannot be written; nothing is served", "error", err)
		return ErrAudit
	}
	g.broken.Store(false)
	g.config.Log.Info("the audit log works again")
	return nil
}

func (g *Gate) probe() error {
	e := audit.Event{Operation: "AuditLogRecovered", Phase: audit.PhaseDecision, Allowed: true, Outcome: audit.OutcomeOK, System: "audit"}
	if err := g.log.Append(context.Background(), e, true); err != nil {
		return err
	}
	_, err := g.log.Settle()
	return err
}

func (r Request) event(phase string) audit.Event {
	e := audit.Event{
		ResourceID: r.Subject.ResourceID, Operation: r.Operation.Name, Phase: phase, Allowed: true, Outcome: audit.OutcomeOK,
		TenantID: r.Caller.TenantID, ObjectID: r.Caller.ObjectID, AppID: r.Caller.AppID, Object: r.Subject.Object,
	}
	from(&e, r.Caller.Origin)
	return e
}

func from(e *audit.Event, o access.Origin) {
	e.RequestID, e.CorrelationID, e.ClientInfo, e.URI = o.RequestID, o.CorrelationID, o.ClientInfo, o.URI
	if o.Address.IsValid() {
		e.Address = o.Address.String()
	}
}

// The outcomes that are not an error's own code.
const (
	outcomeInternal  = "InternalError"
	outcomeCancelled = "Cancelled"
	outcomePanic     = "Panic" // or the goroutine ended in fn
)

// outcome is what the log shows of an error: its code, or nothing about it.
func outcome(err error) string {
	var coded interface{ AuditCode() string }
	switch {
	case err == nil:
		return audit.OutcomeOK
	case errors.As(err, &coded):
		return code(coded.AuditCode())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return outcomeCancelled
	}
	return outcomeInternal
}

// maxCode is the length of the longest code, in bytes.
const maxCode = 64

// code lets a code through, and nothing that could be a text, or pass for success.
func code(text string) string {
	if text == "" || len(text) > maxCode || text == audit.OutcomeOK {
		return outcomeInternal
	}
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return outcomeInternal
		}
	}
	return text
}
