package gate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

var errDisk = errors.New("no space left on device")

// A sink is an audit log in memory that notes what is asked of it, and fails where it
// is told to.
type sink struct {
	mu    sync.Mutex
	text  []byte
	trace []string // "intent", "result", "decision" and "sync"
	// fail is asked about every step of the trace. A line that fails is kept all the same
	// if keep.
	fail func(step string) (keep bool, err error)
}

func (s *sink) Append(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l entry
	if err := json.Unmarshal(bytes.TrimSpace(line), &l); err != nil {
		return err
	}
	keep, err := s.step(l.Properties.Phase)
	if err == nil || keep {
		s.text = append(s.text, line...)
	}
	return err
}

func (s *sink) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.step("sync")
	return err
}

func (s *sink) step(name string) (bool, error) {
	s.trace = append(s.trace, name)
	if s.fail == nil {
		return false, nil
	}
	return s.fail(name)
}

func (s *sink) note(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, step)
}

func (s *sink) failing(fail func(string) (bool, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *sink) Tail() (audit.Tail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return audit.Tail{Text: bytes.NewReader(bytes.Clone(s.text)), Size: int64(len(s.text))}, nil
}

func (s *sink) Close() error { return nil }

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// always fails at one step, or at every step if it is empty.
func always(at string, keep bool) func(string) (bool, error) {
	return func(step string) (bool, error) {
		if at == "" || step == at {
			return keep, errDisk
		}
		return false, nil
	}
}

// entry is what the tests look at in a line.
type entry struct {
	OperationName     string
	ResultType        string
	ResultSignature   string
	ResultDescription string
	DurationMs        string
	CallerIPAddress   string
	CorrelationID     string
	Identity          struct {
		Claim  struct{ OID, AppID, TID string }
		System string
	}
	Properties struct {
		ID, ClientInfo, RequestURI, RequestID, Phase, OperationID string
		Count                                                     int
	}
	Chain struct{ Sequence uint64 }
}

// lines returns the lines of an operation, or all if it is empty.
func (s *sink) lines(t *testing.T, operation string) []entry {
	t.Helper()
	var out []entry
	for text := range strings.Lines(s.String()) {
		var l entry
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if operation == "" || l.OperationName == operation {
			out = append(out, l)
		}
	}
	return out
}

// A world is a gate with what it stands on. Its clock stands still, and what is due
// every second is done by Tend.
type world struct {
	*gate.Gate
	t      *testing.T
	sink   *sink
	ring   *seal.Keyring
	store  *faulty
	conf   gate.Config
	loud   *lockedLog
	mu     sync.Mutex
	moment time.Time
}

type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A faulty store lets a test stand before Update.
type faulty struct {
	store.Store
	mu     sync.Mutex
	before func() error
	count  int
}

func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	before := f.before
	f.count++
	f.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return f.Store.Update(ctx, fn)
}

func (f *faulty) standing(before func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faulty) updates() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func emptyWorld(t *testing.T) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring, granter, _, err := seal.Create(root, "i")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sink: &sink{}, ring: ring, store: &faulty{Store: s}, loud: &lockedLog{}, moment: time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)}
	w.conf = gate.Config{
		Store: w.store, Keyring: ring, Granter: granter, Sink: w.sink, Node: "n", Now: w.now, Log: slog.New(slog.NewTextHandler(w.loud, nil)),
	}
	return w
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	w.Gate = w.open(w.conf)
	return w
}

// open opens a gate that is closed at the end of the test.
func (w *world) open(c gate.Config) *gate.Gate {
	w.t.Helper()
	g, err := gate.Open(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	g.Halt()
	w.t.Cleanup(func() { _ = g.Close() })
	return g
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moment
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment = w.moment.Add(d)
}

// key opens the key of the chain as the gate does.
func (w *world) key() []byte {
	w.t.Helper()
	recs, err := w.store.Get(context.Background(), store.Ask{Key: "sys/audit-key"})
	if err != nil || !recs[0].Exists() {
		w.t.Fatalf("no key of the chain: %v", err)
	}
	key, _, err := w.ring.Open(w.conf.Granter.Read("audit-key"), seal.Place{Purpose: seal.PurposeRecord, Kind: "audit-key"}, recs[0].Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func (w *world) verify(s *sink) audit.Report {
	w.t.Helper()
	report, err := audit.Verify(strings.NewReader(s.String()), w.key())
	if err != nil {
		w.t.Errorf("the log does not verify: %v\n%s", err, s)
	}
	return report
}

// storedHead returns the head of the node in the store.
func (w *world) storedHead(node string) audit.Head {
	w.t.Helper()
	recs, err := w.store.Get(context.Background(), store.Ask{Key: store.Key("sys/audit/" + node)})
	if err != nil {
		w.t.Fatal(err)
	}
	var head audit.Head
	if recs[0].Exists() {
		if err := json.Unmarshal(recs[0].Body, &head); err != nil {
			w.t.Fatal(err)
		}
	}
	return head
}

// request asks for certificates/get by a caller who has these permissions.
func request(granted ...string) gate.Request {
	return gate.Request{
		Caller:    access.Caller{TenantID: "t", ObjectID: "o", AppID: "a", Origin: access.Origin{RequestID: "r", CorrelationID: "c", ClientInfo: "ua", URI: "https://v/x"}},
		Operation: gate.Operation{Name: "CertificateGet", Permission: access.Permission{Collection: "certificates", Verb: "get"}},
		Subject: gate.Subject{
			Vault: "demo", ResourceID: "/demo", Object: "https://demo/certificates/x",
			Rules: access.NewRules(access.Policy{TenantID: "t", ObjectID: "o", Certificates: granted}),
		},
	}
}

var place = seal.Place{Purpose: seal.PurposeRecord, Kind: "secret", Object: "o", Format: 1}

// call is one of the gate's ways to an object.
type call func(context.Context, gate.Request, func(seal.Grant) error) error

func (w *world) calls() map[string]call {
	return map[string]call{"Read": w.Read, "Write": w.Write, "System": w.system}
}

func (w *world) system(ctx context.Context, r gate.Request, fn func(seal.Grant) error) error {
	return w.System(ctx, "jobs", r.Operation, r.Subject, fn)
}

func nothing(seal.Grant) error { return nil }

// steps is the trace since it had n entries.
func (s *sink) steps(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.trace[n:], " ")
}

func (s *sink) traced() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.trace)
}
