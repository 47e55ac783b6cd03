package gate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// A memory sink keeps the lines and can be told to fail.
type memory struct {
	bytes.Buffer
	failFrom int // fail from this append on; 0: never
	appends  int
}

func (m *memory) Append(line []byte) error {
	m.appends++
	if m.failFrom != 0 && m.appends >= m.failFrom {
		return errors.New("no space left on device")
	}
	m.Write(line)
	return nil
}
func (m *memory) Sync() error               { return nil }
func (m *memory) Tail() (audit.Tail, error) { return audit.Tail{}, nil }
func (m *memory) Close() error              { return nil }

type world struct {
	gate  *gate.Gate
	sink  *memory
	ring  *seal.Keyring
	store store.Store
	conf  gate.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root, _ := seal.NewRootKey(rand.Reader)
	ring, granter, _, err := seal.Create(root, "i")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{sink: &memory{}, ring: ring, store: s}
	w.conf = gate.Config{Store: s, Keyring: ring, Granter: granter, Sink: w.sink, Node: "n", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if w.gate, err = gate.Open(context.Background(), w.conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.gate.Close(); _ = s.Close() })
	return w
}

func request(granted ...string) gate.Request {
	return gate.Request{
		Caller:    access.Caller{TenantID: "t", ObjectID: "o", AppID: "a"},
		Operation: gate.Operation{Name: "CertificateGet", Permission: access.Permission{Collection: "certificates", Verb: "get"}},
		Subject:   gate.Subject{Vault: "demo", Object: "id", Rules: access.Rules{Policies: []access.Policy{{TenantID: "t", ObjectID: "o", Certificates: granted}}}},
	}
}

var place = seal.Place{Purpose: seal.PurposeRecord, Kind: "secret", Object: "o", Format: 1}

func TestReadWritesOneLineWithTheOutcome(t *testing.T) {
	w := newWorld(t)
	before := w.sink.appends
	err := w.gate.Read(context.Background(), request("get"), func(g seal.Grant) error {
		if _, err := w.ring.Seal(g, place, nil); !errors.Is(err, seal.ErrNoGrant) {
			t.Errorf("a reader sealed: %v", err)
		}
		return errors.New("canary-text-of-an-error")
	})
	if err == nil || w.sink.appends != before+1 {
		t.Fatalf("%v, %d lines", err, w.sink.appends-before)
	}
	if text := w.sink.String(); strings.Contains(text, "canary") || !strings.Contains(text, `"InternalError"`) {
		t.Errorf("log: %s", text)
	}
}

func TestRefusal(t *testing.T) {
	w := newWorld(t)
	ran := false
	for _, call := range []func(context.Context, gate.Request, func(seal.Grant) error) error{w.gate.Read, w.gate.Write} {
		err := call(context.Background(), request("list"), func(seal.Grant) error { ran = true; return nil })
		var denied *gate.Denied
		if !errors.As(err, &denied) || denied.Decision.Reason != access.ForbiddenByPolicy {
			t.Errorf("%v", err)
		}
	}
	if ran || strings.Count(w.sink.String(), `"Denied"`) != 2 {
		t.Errorf("ran %v, log %s", ran, w.sink)
	}
}

func TestWriteOrder(t *testing.T) {
	w := newWorld(t)
	err := w.gate.Write(context.Background(), request("get"), func(g seal.Grant) error {
		if !strings.Contains(w.sink.String(), `"intent"`) || strings.Contains(w.sink.String(), `"result"`) {
			t.Error("the intent was not written first")
		}
		_, err := w.ring.Seal(g, place, nil)
		return err
	})
	if err != nil || !strings.Contains(w.sink.String(), `"result"`) {
		t.Errorf("%v\n%s", err, w.sink)
	}
}

func TestSinkFails(t *testing.T) {
	for name, at := range map[string]int{"intent": 1, "result": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sink.failFrom = w.sink.appends + at
			ran := false
			err := w.gate.Write(context.Background(), request("get"), func(seal.Grant) error { ran = true; return nil })
			if name == "intent" && (ran || !errors.Is(err, gate.ErrAudit)) {
				t.Errorf("ran %v, %v", ran, err)
			}
			if name == "result" && (!ran || !errors.Is(err, gate.ErrAuditAfter)) {
				t.Errorf("ran %v, %v", ran, err)
			}
			ran = false
			if err := w.gate.Read(context.Background(), request("get"), func(seal.Grant) error { ran = true; return nil }); !errors.Is(err, gate.ErrAudit) {
				t.Errorf("answered although the log cannot be written: %v", err)
			}
			if ran && name == "result" {
				t.Error("a shut gate let a reader through")
			}
		})
	}
}

func TestGateOpensAgain(t *testing.T) {
	w := newWorld(t)
	w.sink.failFrom = w.sink.appends + 2
	_ = w.gate.Write(context.Background(), request("get"), func(seal.Grant) error { return nil })
	w.sink.failFrom = 0
	if err := w.gate.Read(context.Background(), request("get"), func(seal.Grant) error { return nil }); err != nil {
		t.Errorf("the log works again, the gate does not: %v", err)
	}
}

func TestPanicGetsAResultLine(t *testing.T) {
	w := newWorld(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = w.gate.Write(context.Background(), request("get"), func(seal.Grant) error { panic("x") })
	}()
	if !strings.Contains(w.sink.String(), `"Panic"`) {
		t.Error("no result line")
	}
}

func TestRejectedIsBounded(t *testing.T) {
	w := newWorld(t)
	before := w.sink.appends
	for range 1000 {
		w.gate.Rejected(context.Background(), access.Origin{}, "Expired")
	}
	if n := w.sink.appends - before; n < 10 || n > 40 {
		t.Errorf("%d lines", n)
	}
}

func TestRefusedSignInsAreBounded(t *testing.T) {
	w := newWorld(t)
	before := w.sink.appends
	for range 1000 {
		if err := w.gate.SignIn(context.Background(), access.Origin{}, gate.SignIn{Outcome: "invalid_client"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.sink.appends - before; n < 10 || n > 40 {
		t.Errorf("%d lines of refusals", n)
	}
	before = w.sink.appends
	for range 100 {
		_ = w.gate.SignIn(context.Background(), access.Origin{}, gate.SignIn{Outcome: "OK"})
	}
	if n := w.sink.appends - before; n != 100 {
		t.Errorf("%d lines for 100 tokens", n)
	}
}

func TestHeadIsKept(t *testing.T) {
	w := newWorld(t)
	if err := w.gate.Read(context.Background(), request("get"), func(seal.Grant) error { return nil }); err != nil {
		t.Fatal(err)
	}
	second := w.conf
	second.Node = "n2"
	g2, err := gate.Open(context.Background(), second) // another node, same key
	if err != nil {
		t.Fatal(err)
	}
	if err := g2.Close(); err != nil {
		t.Fatal(err)
	}
	recs, err := w.store.Get(context.Background(), store.Ask{Key: "sys/audit/n2"})
	if err != nil || !recs[0].Exists() {
		t.Errorf("no head of the node that closed: %v", err)
	}
}

func TestInputsOpenNothingElse(t *testing.T) {
	w := newWorld(t)
	var box []byte
	_ = w.gate.Write(context.Background(), request("get"), func(g seal.Grant) (err error) {
		box, err = w.ring.Seal(g, place, nil)
		return err
	})
	if _, _, err := w.ring.Open(w.gate.Inputs(), place, box); !errors.Is(err, seal.ErrNoGrant) {
		t.Errorf("the grant of decision inputs opened a secret: %v", err)
	}
}
