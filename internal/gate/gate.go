// Package gate is the one way to an object: it decides, it writes down what it
// decided, and only then does it hand out the Grant without which nothing opens.
//
//	err := g.Read(ctx, request, func(grant seal.Grant) error {
//		plain, _, err := keyring.Open(grant, place, box)
//		…
//	})
//
// Read writes one line, after the work and before Read returns, with what came of it.
// Write writes two: an intent, durable before the work begins, and a result, durable
// before Write returns. If a line cannot be written the answer is not given: ErrAudit.
// If it is the result of a change that was made, the change stands, the caller gets
// ErrAuditAfter, and the gate stays shut for everything until the log works again.
//
// The texts of errors are never logged, only their codes: an error may name what it
// should not.
package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// The errors of a log that cannot be written.
var (
	ErrAudit      = errors.New("gate: the audit log cannot be written, so nothing is answered; see the server's log")
	ErrAuditAfter = errors.New("gate: the change was made, but its result could not be written to the audit log")
)

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
	Sink    audit.Sink
	Node    string // of the audit chain
	Now     func() time.Time
	Log     *slog.Logger
}

// A Gate decides and writes down. It is safe for any number of goroutines.
type Gate struct {
	config   Config
	log      *audit.Log
	inputs   seal.Grant
	rejected rejections // tokens
	refused  rejections // sign-ins

	mu     sync.Mutex
	broken bool
	probed time.Time
	saved  uint64 // sequence of the head in the store
	stop   chan struct{}
	idle   sync.WaitGroup
}

// Inputs is the grant for what decisions are made of. It opens nothing else.
func (g *Gate) Inputs() seal.Grant { return g.inputs }

// Read decides, runs fn if the caller may, and writes one line.
func (g *Gate) Read(ctx context.Context, r Request, fn func(seal.Grant) error) error {
	if err := g.usable(); err != nil {
		return err
	}
	start := g.config.Now()
	if err := g.decide(ctx, r); err != nil {
		return err
	}
	err := fn(g.config.Granter.Read())
	e := r.event(audit.PhaseDecision)
	e.Outcome, e.Duration = outcome(err), g.config.Now().Sub(start)
	return g.append(ctx, e, err)
}

// Write decides, writes the intent, runs fn, and writes the result.
func (g *Gate) Write(ctx context.Context, r Request, fn func(seal.Grant) error) error {
	if err := g.usable(); err != nil {
		return err
	}
	if err := g.decide(ctx, r); err != nil {
		return err
	}
	return g.change(ctx, r.event(audit.PhaseIntent), fn)
}

// System is Write for a part of the server itself, which no permission governs.
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
	decision := r.Subject.Rules.Allow(r.Caller, r.Operation.Permission)
	if decision.Allowed {
		return nil
	}
	e := r.event(audit.PhaseDecision)
	e.Allowed, e.Outcome = false, string(decision.Reason)
	return g.append(ctx, e, &Denied{Request: r, Decision: decision})
}

// append writes a line and returns err, or ErrAudit if the line was not written. The
// line is written even when the client has gone.
func (g *Gate) append(ctx context.Context, e audit.Event, err error) error {
	if failed := g.log.Append(context.WithoutCancel(ctx), e, false); failed != nil {
		g.config.Log.Error("the audit log cannot be written", "error", failed)
		return ErrAudit
	}
	return err
}

// change runs fn between its intent and its result. A panic in fn gets its result
// line too, and goes on.
func (g *Gate) change(ctx context.Context, e audit.Event, fn func(seal.Grant) error) (err error) {
	ctx = context.WithoutCancel(ctx)
	start := g.config.Now()
	if failed := g.log.Append(ctx, e, true); failed != nil {
		g.config.Log.Error("the audit log cannot be written; nothing was changed", "error", failed)
		return ErrAudit
	}
	finished := false
	defer func() {
		e.Phase, e.Outcome, e.Duration = audit.PhaseResult, "Panic", g.config.Now().Sub(start)
		if finished {
			e.Outcome = outcome(err)
		}
		if failed := g.log.Append(ctx, e, true); failed != nil {
			g.config.Log.Error("the audit log cannot be written; nothing is served until it can", "error", failed)
			g.shut()
			err = errors.Join(ErrAuditAfter, err)
		}
	}()
	err = fn(g.config.Granter.Write())
	finished = true
	return err
}

func (g *Gate) shut() {
	g.mu.Lock()
	g.broken = true
	g.mu.Unlock()
}

// usable reports whether the log works; a gate that was shut tries it at most once a
// second.
func (g *Gate) usable() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.broken {
		return nil
	}
	if now := time.Now(); now.Sub(g.probed) >= time.Second {
		g.probed = now
		e := audit.Event{Operation: "AuditLogRecovered", Phase: audit.PhaseDecision, Allowed: true, Outcome: "OK", System: "audit"}
		g.broken = g.log.Append(context.Background(), e, true) != nil
	}
	if g.broken {
		return ErrAudit
	}
	return nil
}

func (r Request) event(phase string) audit.Event {
	e := audit.Event{
		ResourceID: r.Subject.ResourceID, Operation: r.Operation.Name, Phase: phase, Allowed: true, Outcome: "OK",
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

// outcome is what the log shows of an error: its code, or nothing about it.
func outcome(err error) string {
	var coded interface{ AuditCode() string }
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &coded):
		return coded.AuditCode()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "Cancelled"
	}
	return "InternalError"
}

// A SignIn is a request for a token and what came of it.
type SignIn struct {
	TenantID, AppID, ObjectID string
	Resource                  string // the audience that was asked for
	Outcome                   string // "OK", or the error's code, such as "invalid_client"
}

// SignIn writes the line of a sign-in. On ErrAudit no token is given out. Refused ones,
// which anyone can cause, are bounded like rejected tokens.
func (g *Gate) SignIn(ctx context.Context, o access.Origin, s SignIn) error {
	if err := g.usable(); err != nil {
		return err
	}
	e := audit.Event{
		Operation: "SignIn", Phase: audit.PhaseDecision, Allowed: s.Outcome == "OK", Outcome: s.Outcome,
		TenantID: s.TenantID, AppID: s.AppID, ObjectID: s.ObjectID, Object: s.Resource,
	}
	from(&e, o)
	if !e.Allowed {
		write := false
		if e.Count, write = g.refused.take(g.config.Now().Unix()); !write {
			return nil
		}
	}
	return g.append(ctx, e, nil)
}

// rejections bounds how many lines bad tokens, or bad sign-ins, can cause.
type rejections struct {
	mu      sync.Mutex
	second  int64
	written int
	left    int // not written since the last line
}

// maxRejections is how many lines a second they get.
const maxRejections = 10

// Rejected writes that a token was rejected. Beyond some lines a second, only their
// number is written, with the next line that is.
func (g *Gate) Rejected(ctx context.Context, o access.Origin, reason string) {
	count, write := g.rejected.take(g.config.Now().Unix())
	if !write {
		return
	}
	e := audit.Event{Operation: "Authentication", Phase: audit.PhaseDecision, Outcome: "Unauthorized", Detail: reason, Count: count}
	from(&e, o)
	_ = g.append(ctx, e, nil) // the answer is a refusal either way; append has logged it
}

// take counts one rejection; count is how many the line stands for.
func (r *rejections) take(second int64) (count int, write bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.second != second {
		r.second, r.written = second, 0
	}
	if r.written >= maxRejections {
		r.left++
		return 0, false
	}
	r.written++
	count, r.left = r.left+1, 0
	return count, true
}

// The records of the audit chain: the sealed key, shared by all nodes, and the head of
// each node, which the chain's own MAC protects.
const (
	auditKey     store.Key = "sys/audit-key"
	auditHeads   store.Key = "sys/audit/"
	auditKeySize           = 32
)

// Open makes a gate over the audit log of this node, and makes the log's key if the
// installation has none.
func Open(ctx context.Context, c Config) (*Gate, error) {
	key, err := chainKey(ctx, c)
	if err != nil {
		return nil, err
	}
	head, err := loadHead(ctx, c)
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(audit.Config{Sink: c.Sink, Key: key, Head: head, Now: c.Now})
	if err != nil {
		return nil, err
	}
	g := &Gate{
		config: c, log: log, stop: make(chan struct{}), saved: head.Sequence,
		inputs: c.Granter.Read("vault", "principal", "application", "signing-key", "tenant"),
	}
	g.idle.Go(g.keepHead)
	return g, nil
}

// chainKey reads the key of the chain. Two nodes that start at once end with one key:
// the second finds the first's.
func chainKey(ctx context.Context, c Config) ([]byte, error) {
	place := seal.Place{Purpose: seal.PurposeRecord, Kind: "audit-key", Object: "audit", Format: 1}
	fresh := make([]byte, auditKeySize)
	if _, err := rand.Read(fresh); err != nil {
		return nil, err
	}
	box, err := c.Keyring.Seal(c.Granter.Write("audit-key"), place, fresh)
	if err != nil {
		return nil, err
	}
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(auditKey)
		if err != nil {
			return err
		}
		if rec.Exists() {
			box = rec.Body
			return nil
		}
		return tx.Put(auditKey, 0, box)
	})
	if err != nil {
		return nil, fmt.Errorf("gate: the key of the audit chain cannot be stored: %w", err)
	}
	key, _, err := c.Keyring.Open(c.Granter.Read("audit-key"), place, box)
	return key, err
}

func loadHead(ctx context.Context, c Config) (audit.Head, error) {
	recs, err := c.Store.Get(ctx, store.Ask{Key: auditHeads + store.Key(c.Node)})
	if err != nil || !recs[0].Exists() {
		return audit.Head{Node: c.Node}, err
	}
	var head audit.Head
	if err := json.Unmarshal(recs[0].Body, &head); err != nil {
		return head, fmt.Errorf("gate: the head of the audit chain cannot be read: %w", err)
	}
	head.Node = c.Node
	return head, nil
}

// keepHead puts the head into the store every second, if there are new lines.
func (g *Gate) keepHead() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := g.saveHead(); err != nil {
				g.config.Log.Warn("the head of the audit chain was not stored; it is tried again", "error", err)
			}
		case <-g.stop:
			return
		}
	}
}

func (g *Gate) saveHead() error {
	head := g.log.Head()
	if head.Sequence == g.saved {
		return nil
	}
	body, err := json.Marshal(head)
	if err != nil {
		return err
	}
	key := auditHeads + store.Key(g.config.Node)
	err = g.config.Store.Update(context.Background(), func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Put(key, rec.Revision, body)
	})
	if err == nil {
		g.saved = head.Sequence
	}
	return err
}

// Close stores the head and closes the log. Nothing may be asked of the gate then.
func (g *Gate) Close() error {
	close(g.stop)
	g.idle.Wait()
	return errors.Join(g.saveHead(), g.log.Close())
}
