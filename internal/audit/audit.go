// Package audit writes one line of JSON for every decision, and chains the lines so
// that one that is removed, altered or moved is found.
//
// A line has the form of the service's diagnostic log, category AuditEvent, so that
// tools which read that log read this one. Its last member, chain, holds the node, a
// sequence number and a MAC: HMAC-SHA256 under a key that only this installation has,
// over the MAC of the line before and this line up to its own MAC. Verify reads a log
// and says where the chain breaks. The end of the chain (Head) is kept elsewhere too,
// so that lines missing from the end are noticed at the next start.
//
// A crash can leave the last line torn. It is kept: the next start ends it with a
// newline and writes a line that names its length and SHA-256, chained to the last
// whole line.
//
// Nothing secret may be put into an Event; texts from requests are bounded here.
package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The phases of an event.
const (
	PhaseDecision = "decision" // a read or a refusal: one line
	PhaseIntent   = "intent"   // a change is about to be made
	PhaseResult   = "result"   // what came of it
)

// An Event is one line.
type Event struct {
	ResourceID string // of the vault
	Operation  string // such as "CertificateGet"
	Phase      string
	Allowed    bool   // by the decision
	Outcome    string // "OK", or a code such as "CertificateNotFound"
	Duration   time.Duration
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
	Sequence uint64 `json:"sequence"`
	MAC      []byte `json:"mac"`
}

// A Sink takes lines. It is used by one goroutine at a time, except that Sync may be
// called while Append is.
type Sink interface {
	// Append writes one line, newline included. After an error the line may be there
	// in part.
	Append(line []byte) error
	// Sync makes everything appended so far durable.
	Sync() error
	// Tail tells how the log ended when it was opened.
	Tail() (Tail, error)
	Close() error
}

// A Tail is the end of a log.
type Tail struct {
	Before, Last []byte // the last two whole lines, without newline; nil if there are none
	Torn         []byte // what follows the last newline
}

// A Config says where a Log writes.
type Config struct {
	Sink Sink
	Key  []byte // of the HMAC, at least 32 bytes
	Head Head   // the last one that was kept elsewhere; its Node has to be set
	Now  func() time.Time
}

// A Log writes a chain. It is safe for any number of goroutines.
type Log struct {
	config Config

	mu      sync.Mutex // the sink and the chain
	head    Head
	damaged bool // the last append may have left a piece of a line
	line    []byte
	mac     hash.Hash

	syncing sync.Mutex
	synced  uint64
}

// ErrBroken means that the log at hand does not continue the chain that it should.
var ErrBroken = errors.New("audit: the log does not verify with this installation's key; move it away, a new one carries on")

// Open goes on with the chain at the end of the sink. Where lines are missing, or the
// sink is new, the next line says so. A sink that ends with a line of another chain
// is ErrBroken.
func Open(c Config) (*Log, error) {
	if len(c.Key) < 32 || c.Head.Node == "" {
		return nil, errors.New("audit: a log needs a key of 32 bytes and the name of its node")
	}
	tail, err := c.Sink.Tail()
	if err != nil {
		return nil, err
	}
	l := &Log{config: c, head: c.Head, mac: hmac.New(sha256.New, c.Key)}
	at, err := l.resume(tail)
	if err != nil {
		return nil, err
	}
	stored := c.Head.Sequence
	if at.Sequence >= stored {
		l.head = at
	}
	return l, l.open(tail, at.Sequence, stored)
}

// resume reads where the sink's chain ended.
func (l *Log) resume(tail Tail) (Head, error) {
	if tail.Last == nil {
		return Head{Node: l.head.Node}, nil
	}
	last, err := parse(tail.Last)
	if err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	previous := last.previous
	if tail.Before != nil {
		if before, err := parse(tail.Before); err == nil && before.Sequence+1 == last.Sequence {
			previous = before.MAC
		}
	}
	if previous == nil && last.Sequence > 1 { // behind a torn line: its own MAC is all there is
		return last.Head, nil
	}
	if !hmac.Equal(last.MAC, sum(l.config.Key, previous, last.signed)) {
		return Head{}, ErrBroken
	}
	return last.Head, nil
}

// open writes the line that says how this log carries on.
func (l *Log) open(tail Tail, found, stored uint64) error {
	e := Event{Operation: "AuditLogOpened", Phase: PhaseDecision, Allowed: true, Outcome: "OK", System: "audit"}
	switch {
	case found < stored && tail.Last != nil:
		e.Outcome, e.Detail = "LinesMissing", fmt.Sprintf("the log ended at %d, the chain at %d", found, stored)
	case found < stored:
		e.Detail = fmt.Sprintf("a new log carries on from %d", stored)
	}
	if len(tail.Torn) > 0 {
		torn := sha256.Sum256(tail.Torn)
		e.Outcome = "TornLine"
		e.Detail = strings.TrimPrefix(fmt.Sprintf("%s; %d bytes before this line are torn, SHA-256 %x", e.Detail, len(tail.Torn), torn), "; ")
		l.damaged = true
	}
	return l.Append(context.Background(), e, false)
}

// Append writes the event and returns when it is written or, if durable, on the disk.
func (l *Log) Append(ctx context.Context, e Event, durable bool) error {
	if err := ctx.Err(); err != nil {
		return err
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
	next := Head{Node: l.head.Node, Sequence: l.head.Sequence + 1}
	first := l.line == nil
	l.line = l.line[:0]
	if l.damaged {
		l.line = append(l.line, '\n')
	}
	start := len(l.line)
	body, err := json.Marshal(l.form(e, next, first))
	if err != nil {
		return 0, err
	}
	l.line = append(l.line, body[:len(body)-2]...) // up to the chain's and the line's closing braces
	next.MAC = sumWith(l.mac, l.head.MAC, l.line[start:])
	l.line = append(l.line, `,"mac":"`...)
	l.line = hex.AppendEncode(l.line, next.MAC)
	l.line = append(l.line, "\"}}\n"...)
	if err := l.config.Sink.Append(l.line); err != nil {
		l.damaged = true
		return 0, fmt.Errorf("audit: the log cannot be written: %w", err)
	}
	l.damaged, l.head = false, next
	return next.Sequence, nil
}

// sync makes the line durable. Whoever waits while another syncs is often done by the
// next sync already.
func (l *Log) sync(sequence uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced >= sequence {
		return nil
	}
	written := l.Head().Sequence
	if err := l.config.Sink.Sync(); err != nil {
		return fmt.Errorf("audit: the log cannot be made durable: %w", err)
	}
	l.synced = written
	return nil
}

// Head returns the end of the chain.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Close syncs and closes the sink.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.config.Sink.Sync(), l.config.Sink.Close())
}

func sum(key, previous, line []byte) []byte {
	return sumWith(hmac.New(sha256.New, key), previous, line)
}

// sumWith is sum with a MAC that is kept, because its key takes as long as a line.
func sumWith(mac hash.Hash, previous, line []byte) []byte {
	mac.Reset()
	mac.Write(previous)
	mac.Write(line)
	return mac.Sum(nil)
}

// The JSON form of a line. The names are the service's, down to chain.
type line struct {
	Time              string     `json:"time"`
	ResourceID        string     `json:"resourceId,omitempty"`
	OperationName     string     `json:"operationName"`
	Category          string     `json:"category"`
	ResultType        string     `json:"resultType"`
	ResultSignature   string     `json:"resultSignature"`
	ResultDescription string     `json:"resultDescription,omitempty"`
	DurationMs        string     `json:"durationMs"`
	CallerIPAddress   string     `json:"callerIpAddress,omitempty"`
	CorrelationID     string     `json:"correlationId,omitempty"`
	Identity          identity   `json:"identity"`
	Properties        properties `json:"properties"`
	Chain             chain      `json:"chain"`
}

type identity struct {
	Claim  *claim `json:"claim,omitempty"`
	System string `json:"system,omitempty"`
}

type claim struct {
	ObjectID string `json:"oid,omitempty"`
	AppID    string `json:"appid,omitempty"`
	TenantID string `json:"tid,omitempty"`
}

type properties struct {
	ID         string `json:"id,omitempty"`
	ClientInfo string `json:"clientInfo,omitempty"`
	RequestURI string `json:"requestUri,omitempty"`
	RequestID  string `json:"requestId,omitempty"`
	Phase      string `json:"phase"`
	Count      int    `json:"count,omitempty"`
}

type chain struct {
	Node     string `json:"node"`
	Previous string `json:"previous,omitempty"` // MAC of the line before, in the first line of a run
	Sequence uint64 `json:"sequence"`
}

// maxText bounds every text of a line, in bytes.
const maxText = 1024

func (l *Log) form(e Event, next Head, first bool) line {
	out := line{
		Time: l.config.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"), ResourceID: clip(e.ResourceID),
		OperationName: clip(e.Operation), Category: "AuditEvent", ResultType: resultType(e), ResultSignature: clip(e.Outcome),
		ResultDescription: clip(e.Detail), DurationMs: strconv.FormatInt(e.Duration.Milliseconds(), 10),
		CallerIPAddress: e.Address, CorrelationID: clip(e.CorrelationID), Identity: identity{System: e.System},
		Properties: properties{
			ID: clip(e.Object), ClientInfo: clip(e.ClientInfo), RequestURI: clip(e.URI), RequestID: e.RequestID, Phase: e.Phase, Count: e.Count,
		},
		Chain: chain{Node: next.Node, Sequence: next.Sequence},
	}
	if e.ObjectID != "" || e.AppID != "" || e.TenantID != "" {
		out.Identity.Claim = &claim{ObjectID: clip(e.ObjectID), AppID: clip(e.AppID), TenantID: clip(e.TenantID)}
	}
	if first {
		out.Chain.Previous = hex.EncodeToString(l.head.MAC)
	}
	return out
}

func resultType(e Event) string {
	switch {
	case !e.Allowed:
		return "Denied"
	case e.Phase == PhaseIntent:
		return "Started"
	case e.Outcome == "OK":
		return "Success"
	}
	return "Failure"
}

func clip(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
