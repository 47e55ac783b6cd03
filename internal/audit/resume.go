package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// An ending is how a log ends.
type ending struct {
	head      Head   // of the last line that verifies; the zero Head if there is none
	rest      []byte // what follows that line
	unwritten bool   // the last newline is missing
}

// How much of a log's end is searched for a line that verifies, in bytes. A crash
// leaves far less than the last.
const (
	firstWindow = maxLine
	lastWindow  = 16 << 20
)

// readEnding finds the last line of a log that verifies. The error is ErrBroken when
// there are lines, and none does.
func (s signer) readEnding(t Tail) (ending, error) {
	for window := int64(firstWindow); ; window *= 16 {
		from := max(0, t.Size-window)
		text := make([]byte, t.Size-from)
		if len(text) == 0 {
			return ending{}, nil
		}
		if n, err := t.Text.ReadAt(text, from); n < len(text) {
			return ending{}, fmt.Errorf("audit: the end of the log cannot be read: %w", err)
		}
		if e, ok := s.lastGood(text); ok {
			return e, nil
		}
		switch {
		case from == 0 && bytes.IndexByte(text, '\n') < 0 && len(text) < maxLine:
			return ending{rest: text, unwritten: true}, nil // a piece of a first line
		case from == 0, window >= lastWindow:
			return ending{}, ErrBroken
		}
	}
}

// lastGood looks backwards for a line that verifies, by itself or behind the line
// before it.
func (s signer) lastGood(text []byte) (ending, bool) {
	for end := len(text); end > 0; {
		start := bytes.LastIndexByte(text[:end-1], '\n') + 1
		if p, ok := s.good(text[:start], bytes.TrimSuffix(text[start:end], []byte("\n"))); ok {
			return ending{head: p.Head, rest: text[end:], unwritten: text[len(text)-1] != '\n'}, true
		}
		end = start
	}
	return ending{}, false
}

func (s signer) good(before, text []byte) (parsed, bool) {
	p, err := parse(text)
	if err != nil {
		return p, false
	}
	if s.anchored(p) {
		return p, true
	}
	before = bytes.TrimSuffix(before, []byte("\n"))
	previous, err := parse(before[bytes.LastIndexByte(before, '\n')+1:])
	return p, err == nil && previous.Sequence+1 == p.Sequence && s.follows(p, previous.MAC)
}

// resume looks how the log really ends, and writes the line from which the chain
// carries on. The log's head is what is expected; l.mu is held.
func (l *Log) resume(operation string) error {
	l.doubt = true
	tail, err := l.config.Sink.Tail()
	if err != nil {
		return fmt.Errorf("audit: the end of the log cannot be read: %w", err)
	}
	end, err := l.signer.readEnding(tail)
	if err != nil {
		return err
	}
	if end.head.Node != "" && end.head.Node != l.head.Node {
		return ErrNode
	}
	e := l.opening(operation, end)
	if end.head.Sequence > l.head.Sequence { // as after a crash, or an append that failed only by its answer
		l.head = end.head
	}
	with := link{Previous: hex.EncodeToString(l.head.MAC)}
	if len(end.rest) > 0 {
		with.Torn = tear(end.rest, end.unwritten)
	}
	if _, err := l.put(e, with, end.unwritten); err != nil {
		return err
	}
	l.tell(e)
	l.doubt, l.unsure = false, ""
	return nil
}

// tear describes what is torn, with the newline that will end it.
func tear(rest []byte, newline bool) *torn {
	hash, size := sha256.New(), int64(len(rest))
	hash.Write(rest)
	if newline {
		hash.Write([]byte{'\n'})
		size++
	}
	return &torn{Bytes: size, SHA256: hex.EncodeToString(hash.Sum(nil))}
}

// The outcomes of opening and resuming a log, beside OutcomeOK.
const (
	outcomeTorn    = "TornLine"
	outcomeSync    = "SyncFailed"
	outcomeMissing = "LinesMissing"
)

// opening is the event of a log that ended so and goes on; the worst news gives the
// outcome.
func (l *Log) opening(operation string, end ending) Event {
	e := Event{Operation: operation, Phase: PhaseDecision, Allowed: true, Outcome: OutcomeOK, System: "audit"}
	var details []string
	say := func(outcome, format string, args ...any) {
		e.Outcome = outcome
		details = append(details, fmt.Sprintf(format, args...))
	}
	found, expected := end.head, l.head
	if found.Sequence == 0 && expected.Sequence > 0 {
		say(OutcomeOK, "a new log carries on from line %d", expected.Sequence)
	}
	if len(end.rest) > 0 {
		say(outcomeTorn, "%d bytes before this line are torn", tear(end.rest, end.unwritten).Bytes)
	}
	if l.unsure != "" {
		say(outcomeSync, "%s", l.unsure)
	}
	switch {
	case found.Sequence == 0:
	case found.Sequence < expected.Sequence:
		say(outcomeMissing, "the log ended at line %d, the chain at %d", found.Sequence, expected.Sequence)
	case found.Sequence == expected.Sequence && !bytes.Equal(found.MAC, expected.MAC):
		say(outcomeMissing, "the log ended with another line %d than the chain", found.Sequence)
	}
	e.Detail = strings.Join(details, "; ")
	return e
}

// tell puts the same into the server's log.
func (l *Log) tell(e Event) {
	switch e.Outcome {
	case OutcomeOK:
	case outcomeTorn:
		l.config.Log.Warn("the audit log ended with a torn line, which is kept and marked", "detail", e.Detail)
	case outcomeMissing:
		l.config.Log.Error("LINES OF THE AUDIT LOG ARE MISSING: it was cut or replaced; compare it with your copies", "detail", e.Detail)
	default:
		l.config.Log.Error("the audit log carries on after a failure", "outcome", e.Outcome, "detail", e.Detail)
	}
}
