// Package audit writes one line of JSON for every decision, and chains the lines so
// that one that is removed, altered or moved is found.
//
// A line has the form of the service's diagnostic log, category AuditEvent, so that
// tools which read that log read this one. Its last member, chain, holds the node, a
// sequence number and a MAC: HMAC-SHA256 under a key that only this installation has,
// over the MAC of the line before and this line up to its own MAC.
//
//	{"time":…,"operationName":"CertificateGet",…,"chain":{"node":"n","sequence":7,"mac":"…"}}
//
// Verify reads a log and says where the chain breaks. The end of the chain, the Head,
// is kept by the caller too, so that lines missing from the end are noticed at the next
// start: Settle makes lines durable and returns the head that may be kept.
//
// Wherever the chain does not simply go on, a line of the log's own says so, and carries
// the MAC that it follows (chain.previous): when a log is opened, when an append or a
// sync has failed before it, and when the file was moved away or cut. What a crash or a
// failed append left of a line is kept: the next line names how many bytes are torn and
// their SHA-256 (chain.torn), so that Verify knows a torn line from an altered one.
//
// Nothing secret may be put into an Event. Texts that come from requests are bounded
// and escaped here.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The phases of an event.
const (
	PhaseDecision = "decision" // a read, a refusal or a sign-in: one line
	PhaseIntent   = "intent"   // a change is about to be made
	PhaseResult   = "result"   // what came of it
)

// OutcomeOK is the outcome of what succeeded. Every other outcome is a code.
const OutcomeOK = "OK"

// An Event is one line.
type Event struct {
	ResourceID string // of the vault
	Operation  string // such as "CertificateGet"
	// OperationID is the same in the intent and the result of one change.
	OperationID string
	Phase       string
	Allowed     bool   // by the decision
	Outcome     string // OutcomeOK, or a code such as "CertificateNotFound"
	Duration    time.Duration
	// Who: a principal, or a part of the server.
	TenantID, ObjectID, AppID, System string
	// Where from.
	Address, RequestID, CorrelationID, ClientInfo, URI string
	// What: the full id of the object.
	Object string
	// Detail is a short fixed text, such as why a token was rejected.
	Detail string
	// Count is how many events the line stands for, when it is not 1.
	Count int
}

// A Head is the end of a chain.
type Head struct {
	Node     string `json:"node"`
	Sequence uint64 `json:"sequence"` // of the last line; the first is 1
	MAC      []byte `json:"mac"`      // of the last line; nil if there is none
}

// A Config says where a Log writes.
type Config struct {
	Sink Sink
	Key  []byte // of the HMAC, at least 32 bytes
	Head Head   // the last one that was kept elsewhere; its Node has to be set
	Now  func() time.Time
	// Log is told, loudly, of lines that are missing or torn; nil: nobody is.
	Log *slog.Logger
}

// The errors of this package.
var (
	// ErrBroken means that no line of the log at hand verifies, so that it is not one of
	// this installation's, or was altered.
	ErrBroken = errors.New("audit: the log does not verify with this installation's key; move it away, a new one carries on")
	// ErrNode means that the log at hand is the one of another node.
	ErrNode = errors.New("audit: the log belongs to another node; give each node a log of its own")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("audit: the log is closed")
)

// A Log writes a chain. It is safe for any number of goroutines.
type Log struct {
	config   Config
	discards bool

	mu     sync.Mutex // the sink's end and the chain's
	signer signer
	head   Head
	buffer []byte
	// doubt is set when it is not known how the log ends: an append or a sync failed.
	doubt  bool
	unsure string // why, when it was a sync
	closed bool

	syncing sync.Mutex // taken before mu
	synced  uint64     // lines up to this one are durable
	// Lines after lostFrom up to lostTo were written when a sync failed. A later sync
	// that succeeds says nothing about them: a system forgets what it could not write.
	lostFrom, lostTo uint64
}

// Open goes on with the chain at the end of the sink, and writes a line that says how.
// Lines that are missing at the end, compared with the head that was kept, are said by
// that line; the chain then carries on from the kept head. The error is ErrBroken when
// the sink ends with something else than a chain under this key, and ErrNode when it is
// another node's.
//
// With Discard nothing is written, and no line is even made.
func Open(c Config) (*Log, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{config: c, head: c.Head, signer: newSigner(c.Key)}
	if _, l.discards = c.Sink.(Discard); l.discards {
		return l, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.resume("AuditLogOpened"); err != nil {
		return nil, err
	}
	return l, nil
}

func (c Config) check() error {
	switch {
	case len(c.Key) < macSize:
		return fmt.Errorf("audit: the key of a log has at least %d bytes", macSize)
	case c.Head.Node == "" || len(c.Head.Node) > maxID:
		return fmt.Errorf("audit: the node of a log has a name of at most %d bytes", maxID)
	case c.Head.Sequence == 0 && len(c.Head.MAC) != 0, c.Head.Sequence != 0 && len(c.Head.MAC) != macSize:
		return errors.New("audit: the kept head of the log was altered: it is no end of a chain")
	}
	return nil
}

// Append writes the event and returns when it is written or, if durable, on the disk.
// After an error the line may be there or not; if not, the log says so with the next
// line that it can write.
func (l *Log) Append(ctx context.Context, e Event, durable bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.discards {
		return nil
	}
	sequence, err := l.write(e)
	if err != nil || !durable {
		return err
	}
	return l.sync(sequence)
}

func (l *Log) write(e Event) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, ErrClosed
	}
	if l.doubt {
		if err := l.resume("AuditLogResumed"); err != nil {
			return 0, err
		}
	}
	return l.put(e, link{}, false)
}

// put writes one line and moves the head. A newline before it ends a torn line.
func (l *Log) put(e Event, with link, newline bool) (uint64, error) {
	next := Head{Node: l.head.Node, Sequence: l.head.Sequence + 1}
	l.buffer = l.buffer[:0]
	if newline {
		l.buffer = append(l.buffer, '\n')
	}
	var err error
	l.buffer, next.MAC, err = l.signer.appendLine(l.buffer, form(e, l.config.Now(), next, with), l.head.MAC)
	if err != nil {
		return 0, fmt.Errorf("audit: a line cannot be made: %w", err)
	}
	if err := l.config.Sink.Append(l.buffer); err != nil {
		l.doubt = true
		return 0, fmt.Errorf("audit: the log cannot be written: %w", err)
	}
	l.head = next
	return next.Sequence, nil
}

// sync makes the line durable. Whoever waits while another syncs is often done by the
// next sync already.
func (l *Log) sync(sequence uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	switch {
	case l.lostFrom < sequence && sequence <= l.lostTo:
		return errors.New("audit: the log could not be made durable; see the error before")
	case sequence <= l.synced:
		return nil
	}
	written := l.Head().Sequence
	if err := l.config.Sink.Sync(); err != nil {
		l.lose()
		return fmt.Errorf("audit: the log cannot be made durable: %w", err)
	}
	l.synced = written
	return nil
}

// lose notes that the lines since the last good sync may not be on the disk.
func (l *Log) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostTo == 0 {
		l.lostFrom = l.synced
	}
	l.lostTo = l.head.Sequence // what was appended while the sync ran may be lost with it
	l.doubt = true
	l.unsure = fmt.Sprintf("a sync failed: lines %d to %d may be missing after a crash", l.synced+1, l.lostTo)
}

// Settle makes everything written so far durable and returns the head, which may then
// be kept elsewhere: a head that is ahead of the disk would report lines as missing
// that only a power failure took. It also notices that the sink was moved away or cut,
// and carries on in a new one. It costs next to nothing when nothing was written.
func (l *Log) Settle() (Head, error) {
	if l.discards {
		return l.Head(), nil
	}
	if err := l.follow(); err != nil {
		return Head{}, err
	}
	head := l.Head()
	return head, l.sync(head.Sequence)
}

// follow goes after a sink that was moved away or cut.
func (l *Log) follow() error {
	sink, ok := l.config.Sink.(reopener)
	if !ok {
		return nil
	}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	moved, err := sink.Reopen()
	if err != nil || !moved {
		return err
	}
	return l.resume("AuditLogReopened")
}

// Head returns the end of the chain as it was written, durable or not.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Close syncs and closes the sink. A second Close returns nil.
func (l *Log) Close() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return errors.Join(l.config.Sink.Sync(), l.config.Sink.Close())
}
