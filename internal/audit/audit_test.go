package audit_test

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
)

var key = bytes.Repeat([]byte{7}, 32)

func open(t *testing.T, path string, head audit.Head) *audit.Log {
	t.Helper()
	sink, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head.Node = "n1"
	log, err := audit.Open(audit.Config{Sink: sink, Key: key, Head: head, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func appendN(t *testing.T, log *audit.Log, n int) {
	t.Helper()
	for range n {
		e := audit.Event{Operation: "CertificateGet", Phase: audit.PhaseDecision, Allowed: true, Outcome: "OK", ObjectID: "o"}
		if err := log.Append(context.Background(), e, false); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, path string) (audit.Report, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Verify(bytes.NewReader(text), key)
}

func TestChainAcrossReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 3)
	head := log.Head()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = open(t, path, head)
	appendN(t, log, 2)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := verify(t, path)
	if err != nil || report.Lines != 7 || report.First != 1 || report.Head.Sequence != 7 {
		t.Fatalf("%+v, %v", report, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestEveryChangeIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 5)
	_ = log.Close()
	text, _ := os.ReadFile(path)
	lines := bytes.SplitAfter(text, []byte("\n"))
	for name, altered := range map[string][][]byte{
		"removed":  {lines[0], lines[1], lines[3], lines[4]},
		"swapped":  {lines[0], lines[2], lines[1], lines[3]},
		"repeated": {lines[0], lines[1], lines[1], lines[2]},
		"altered":  {lines[0], bytes.Replace(lines[1], []byte("CertificateGet"), []byte("CertificatePut"), 1), lines[2]},
		"first":    {bytes.Replace(lines[0], []byte("OK"), []byte("KO"), 1), lines[1]},
		"junk":     {lines[0], []byte("junk\n"), []byte("junk\n"), lines[1]},
	} {
		if _, err := audit.Verify(bytes.NewReader(bytes.Join(altered, nil)), key); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
	if _, err := audit.Verify(bytes.NewReader(text), bytes.Repeat([]byte{8}, 32)); err == nil {
		t.Error("verified with another key")
	}
}

func TestTornTailIsKeptAndMarked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 2)
	head := log.Head()
	_ = log.Close()
	file, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	_, _ = file.WriteString(`{"time":"2026-01`)
	_ = file.Close()
	log = open(t, path, head)
	appendN(t, log, 1)
	_ = log.Close()
	report, err := verify(t, path)
	if err != nil || report.Torn != 1 || report.Lines != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	text, _ := os.ReadFile(path)
	if !bytes.Contains(text, []byte(`{"time":"2026-01`+"\n")) || !bytes.Contains(text, []byte(`"TornLine"`)) {
		t.Error("the torn line was not kept and marked")
	}
}

func TestMissingLinesAreSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 4)
	head := log.Head()
	_ = log.Close()
	text, _ := os.ReadFile(path)
	lines := bytes.SplitAfter(text, []byte("\n"))
	if err := os.WriteFile(path, bytes.Join(lines[:3], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	log = open(t, path, head)
	_ = log.Close()
	text, _ = os.ReadFile(path)
	if !bytes.Contains(text, []byte(`"LinesMissing"`)) {
		t.Errorf("no word of the missing lines:\n%s", text)
	}
	if _, err := verify(t, path); err == nil {
		t.Error("the gap verifies")
	}
	_ = os.Remove(path) // moved away: a new log carries on, and verifies by itself
	log = open(t, path, log.Head())
	appendN(t, log, 1)
	_ = log.Close()
	if report, err := verify(t, path); err != nil || report.First != head.Sequence+2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A flaky sink fails when it is told to, in the middle of a line.
type flaky struct {
	bytes.Buffer
	fail bool
}

func (f *flaky) Append(line []byte) error {
	if f.fail {
		f.Write(line[:len(line)/2])
		return errors.New("no space left on device")
	}
	f.Write(line)
	return nil
}
func (f *flaky) Sync() error               { return nil }
func (f *flaky) Tail() (audit.Tail, error) { return audit.Tail{}, nil }
func (f *flaky) Close() error              { return nil }

func TestFailedAppendIsRepaired(t *testing.T) {
	sink := &flaky{}
	log, err := audit.Open(audit.Config{Sink: sink, Key: key, Head: audit.Head{Node: "n"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	sink.fail = true
	if err := log.Append(context.Background(), audit.Event{Operation: "X"}, false); err == nil {
		t.Fatal("no error")
	}
	sink.fail = false
	appendN(t, log, 2)
	if report, err := audit.Verify(bytes.NewReader(sink.Bytes()), key); err != nil || report.Lines != 3 || report.Torn != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestConcurrentDurableAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if err := log.Append(context.Background(), audit.Event{Operation: "X", Outcome: strings.Repeat("é", 2000)}, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	_ = log.Close()
	if report, err := verify(t, path); err != nil || report.Lines != 161 {
		t.Errorf("%+v, %v", report, err)
	}
}

// FuzzVerify checks that what is made up does not verify.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"chain":{"node":"n","sequence":1,"mac":"00"}}` + "\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if report, _ := audit.Verify(bytes.NewReader(text), key); report.Lines > 0 {
			t.Fatal("a made-up line verified")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	log, err := audit.Open(audit.Config{Sink: audit.Discard{}, Key: key, Head: audit.Head{Node: "n"}, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	e := audit.Event{Operation: "CertificateGet", Phase: audit.PhaseDecision, Allowed: true, Outcome: "OK", ObjectID: "o", Object: "https://demo.vault.azure.net/certificates/web", ClientInfo: "azsdk-go"}
	b.ReportAllocs()
	for b.Loop() {
		if err := log.Append(context.Background(), e, false); err != nil {
			b.Fatal(err)
		}
	}
}
