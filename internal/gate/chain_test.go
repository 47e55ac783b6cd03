package gate_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

func TestHeadIsKeptAndTheChainGoesOn(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.Read(context.Background(), request("get"), nothing); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if report := w.verify(w.sink); !bytes.Equal(w.storedHead("n").MAC, report.Head.MAC) {
			t.Errorf("stored %+v, log %+v", w.storedHead("n"), report.Head)
		}
		w.Gate = w.open(w.conf)
	}
	if report := w.verify(w.sink); report.Lines != 5 || strings.Contains(w.sink.String(), "LinesMissing") {
		t.Errorf("%+v\n%s", report, w.sink)
	}
}

func TestLinesThatAreMissingAtTheNextStart(t *testing.T) {
	w := newWorld(t)
	_ = w.Read(context.Background(), request("get"), nothing)
	_ = w.Read(context.Background(), request("get"), nothing)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.sink.text = bytes.Join(bytes.SplitAfter(w.sink.text, []byte("\n"))[:2], nil)
	w.open(w.conf)
	if !strings.Contains(w.sink.String(), `"LinesMissing"`) || !strings.Contains(w.loud.String(), "MISSING") {
		t.Errorf("log %s\nserver's log %s", w.sink, w.loud)
	}
}

func TestHeadIsKeptEverySecondIfThereIsSomethingNew(t *testing.T) {
	w := newWorld(t)
	w.Tend()
	if head := w.storedHead("n"); head.Sequence != 1 {
		t.Errorf("%+v", head)
	}
	before := w.store.updates()
	w.Tend()
	if n := w.store.updates() - before; n != 0 {
		t.Errorf("%d updates for nothing", n)
	}
	w.store.standing(func() error { return store.ErrUnknown })
	_ = w.Read(context.Background(), request("get"), nothing)
	w.Tend()
	w.store.standing(nil)
	w.Tend()
	if head := w.storedHead("n"); head.Sequence != 2 || !strings.Contains(w.loud.String(), "tried again") {
		t.Errorf("%+v, %s", head, w.loud)
	}
}

// The head never gets ahead of the disk: otherwise a power failure would look like
// lines that someone took away.
func TestHeadIsKeptAfterItsSync(t *testing.T) {
	w := newWorld(t)
	_ = w.Read(context.Background(), request("get"), nothing)
	n := w.sink.traced()
	w.store.standing(func() error { w.sink.note("store"); return nil })
	w.Tend()
	w.store.standing(nil)
	if got := w.sink.steps(n); got != "sync store" {
		t.Error(got)
	}
}

func TestLogThatCannotBeSyncedShutsTheGate(t *testing.T) {
	w := newWorld(t)
	w.Tend()
	_ = w.Read(context.Background(), request("get"), nothing)
	w.sink.failing(always("sync", false))
	w.Tend()
	if head := w.storedHead("n"); head.Sequence != 1 {
		t.Errorf("a head was kept of what is not on the disk: %+v", head)
	}
	if err := w.Read(context.Background(), request("get"), func(seal.Grant) error { t.Error("ran"); return nil }); !errors.Is(err, gate.ErrAudit) {
		t.Error(err)
	}
	w.sink.failing(nil)
	w.pass(time.Second)
	if err := w.Read(context.Background(), request("get"), nothing); err != nil {
		t.Error(err)
	}
	w.Tend()
	if report := w.verify(w.sink); report.Head.Sequence != w.storedHead("n").Sequence {
		t.Errorf("%+v", report)
	}
}

func TestNodesShareTheKeyAndHaveTheirOwnChains(t *testing.T) {
	w := emptyWorld(t)
	var group sync.WaitGroup
	sinks := map[string]*sink{"a": {}, "b": {}, "c": {}}
	for node, s := range sinks {
		group.Go(func() {
			c := w.conf
			c.Node, c.Sink = node, s
			g, err := gate.Open(context.Background(), c)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(g.Read(context.Background(), request("get"), nothing), g.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for node, s := range sinks {
		if report := w.verify(s); report.Lines != 2 || w.storedHead(node).Sequence != 2 {
			t.Errorf("%s: %+v", node, report)
		}
	}
}

// Two nodes start at once: the other one's key comes first, after ours was looked for.
func TestWhoComesSecondTakesTheFirstsKey(t *testing.T) {
	w := emptyWorld(t)
	other := w.conf
	other.Node, other.Sink = "other", &sink{}
	var once sync.Once
	w.store.standing(func() error {
		once.Do(func() {
			other.Store = w.store.Store
			w.open(other)
		})
		return nil
	})
	w.open(w.conf)
	w.store.standing(nil)
	w.verify(w.sink)
	w.verify(other.Sink.(*sink))
}

func TestRecordsThatWereAlteredAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		key  store.Key
		body string
	}{
		"key":              {"sys/audit-key", "\x01\x01\x05auditxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
		"head, no JSON":    {"sys/audit/n", "{"},
		"head, other node": {"sys/audit/n", `{"node":"m","sequence":1,"mac":"` + strings.Repeat("A", 43) + `="}`},
		"head, no MAC":     {"sys/audit/n", `{"node":"n","sequence":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Update(context.Background(), func(tx store.Tx) error {
				rec, err := tx.Get(test.key)
				if err != nil {
					return err
				}
				return tx.Put(test.key, rec.Revision, []byte(test.body))
			}); err != nil {
				t.Fatal(err)
			}
			for name, s := range map[string]*sink{"the old log": w.sink, "a new log": {}} {
				before := s.String()
				w.conf.Sink = s
				if _, err := gate.Open(context.Background(), w.conf); err == nil || s.String() != before {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestStoreFailsAtTheStart(t *testing.T) {
	w := emptyWorld(t)
	w.store.standing(func() error { return store.ErrUnknown })
	if _, err := gate.Open(context.Background(), w.conf); !errors.Is(err, store.ErrUnknown) || w.sink.String() != "" {
		t.Errorf("%v, %s", err, w.sink)
	}
	w.store.standing(nil)
	w.sink.failing(always("", false))
	if _, err := gate.Open(context.Background(), w.conf); !errors.Is(err, errDisk) {
		t.Errorf("opened over a log that cannot be written: %v", err)
	}
}

func TestClosedGate(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, call := range w.calls() {
		if err := call(context.Background(), request("get"), nothing); !errors.Is(err, gate.ErrAudit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.SignIn(context.Background(), origin, gate.SignIn{Outcome: "OK"}); !errors.Is(err, gate.ErrAudit) {
		t.Error(err)
	}
}

func TestGateTendsItself(t *testing.T) {
	w := emptyWorld(t)
	g, err := gate.Open(context.Background(), w.conf)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan struct{})
	var once sync.Once
	w.store.standing(func() error { once.Do(func() { close(stored) }); return nil })
	select {
	case <-stored:
	case <-time.After(30 * time.Second):
		t.Error("no head was kept")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// A file that is moved away or removed while the gate is open is noticed within a
// second, and the chain carries on in a new one.
func TestFileThatIsRemoved(t *testing.T) {
	w := emptyWorld(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.conf.Sink = file
	w.Gate = w.open(w.conf)
	_ = w.Write(context.Background(), request("get"), nothing)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.Tend()
	if err := w.Write(context.Background(), request("get"), nothing); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(bytes.NewReader(text), w.key())
	if err != nil || report.First != 4 || report.Lines != 3 || !bytes.Contains(text, []byte("carries on from line 3")) {
		t.Errorf("%+v, %v\n%s", report, err, text)
	}
}

func TestDiscardKeepsNoHead(t *testing.T) {
	w := emptyWorld(t)
	w.conf.Sink = audit.Discard{}
	w.Gate = w.open(w.conf)
	if err := w.Write(context.Background(), request("get"), nothing); err != nil {
		t.Fatal(err)
	}
	var denied *gate.Denied
	if err := w.Read(context.Background(), request("list"), nothing); !errors.As(err, &denied) {
		t.Errorf("a throw-away vault checks less: %v", err)
	}
	if err := w.Close(); err != nil || w.storedHead("n").Sequence != 0 {
		t.Errorf("%v, %+v", err, w.storedHead("n"))
	}
}
