package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"coffer/internal/audit"
)

// A flaky sink keeps its lines in memory, and fails as it is told to.
type flaky struct {
	mu    sync.Mutex
	text  []byte
	part  int // how much of a line a failing append keeps: a percentage, or whole with its answer lost
	fail  bool
	syncs func() error // nil: no error
}

var errDisk = errors.New("no space left on device")

func (f *flaky) Append(line []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail {
		f.text = append(f.text, line[:len(line)*f.part/100]...)
		return errDisk
	}
	f.text = append(f.text, line...)
	return nil
}

func (f *flaky) Sync() error {
	if f.syncs != nil {
		return f.syncs()
	}
	return nil
}

func (f *flaky) Tail() (audit.Tail, error) {
	return audit.Tail{Text: bytes.NewReader(f.text), Size: int64(len(f.text))}, nil
}

func (f *flaky) Close() error { return nil }

func TestFailedAppendIsRepaired(t *testing.T) {
	for _, part := range []int{0, 1, 50, 99, 100} {
		for _, times := range []int{1, 3} {
			t.Run(fmt.Sprintf("%d%% %d times", part, times), func(t *testing.T) {
				sink := &flaky{part: part}
				log, err := audit.Open(config(sink, audit.Head{}))
				if err != nil {
					t.Fatal(err)
				}
				appendN(t, log, 1)
				sink.fail = true
				for range times {
					if err := log.Append(context.Background(), audit.Event{Operation: "X"}, false); !errors.Is(err, errDisk) {
						t.Fatalf("%v", err)
					}
				}
				sink.fail = false
				appendN(t, log, 2)
				report, err := audit.Verify(bytes.NewReader(sink.text), key)
				if err != nil || report.Tail != 0 || !bytes.Equal(report.Head.MAC, log.Head().MAC) || !bytes.Contains(sink.text, []byte("AuditLogResumed")) {
					t.Fatalf("%+v, %v\n%s", report, err, sink.text)
				}
				if torn := part > 0 && part < 100; torn != (report.Torn == 1) {
					t.Errorf("%+v\n%s", report, sink.text)
				}
				log, err = audit.Open(config(sink, log.Head())) // and it opens again
				if err != nil || bytes.Contains(sink.text, []byte("LinesMissing")) {
					t.Errorf("%v\n%s", err, sink.text)
				}
				appendN(t, log, 1)
			})
		}
	}
}

func TestLineWithoutItsNewlineIsNotTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 2)
	head := shut(t, log)
	if err := os.Truncate(path, int64(len(logged(t, path))-1)); err != nil {
		t.Fatal(err)
	}
	if report, err := verify(t, path); err != nil || report.Lines != 3 {
		t.Errorf("before: %+v, %v", report, err)
	}
	log = open(t, path, head)
	appendN(t, log, 1)
	shut(t, log)
	if report, err := verify(t, path); err != nil || report.Torn != 0 || report.Lines != 5 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A crash may leave any beginning of the file, and any junk where blocks were not
// written; whatever it is, the next start keeps it, marks it, and goes on.
func TestTornTailIsKeptAndMarked(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	log := open(t, whole, audit.Head{})
	appendN(t, log, 3)
	head := shut(t, log)
	full := logged(t, whole)
	junk := map[string]string{
		"nothing": "", "a piece": `{"time":"2026-01`, "zeros": strings.Repeat("\x00", 5000), "zeros and a newline": "\x00\x00\n",
		"lines": "junk\njunk\n\n", "long": strings.Repeat("x", 200<<10), "long, then lines": strings.Repeat("x", 200<<10) + "\na\nb",
	}
	for name, piece := range junk {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, twice %v", name, twice), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "audit.log")
				if err := os.WriteFile(path, append(bytes.Clone(full), piece...), 0o600); err != nil {
					t.Fatal(err)
				}
				want, lines := 0, 4
				for range map[bool]int{false: 1, true: 2}[twice] {
					log := open(t, path, head)
					appendN(t, log, 1)
					head := shut(t, log)
					if head.Sequence != uint64(lines+2) {
						t.Fatalf("head %d", head.Sequence)
					}
					lines += 2
					if piece != "" {
						want++
					}
					report, err := verify(t, path)
					if err != nil || report.Torn != want || report.Lines != lines {
						t.Fatalf("%+v, %v", report, err)
					}
					if twice {
						file, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
						_, _ = file.WriteString(piece)
						_ = file.Close()
					}
				}
				if text := logged(t, path); !bytes.HasPrefix(text, append(bytes.Clone(full), piece...)) || bytes.Contains(text, []byte("LinesMissing")) {
					t.Error("the torn piece was not kept, or missing lines were made up")
				}
			})
		}
	}
}

func TestEveryCutOfALogOpens(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 1)
	shut(t, log)
	full := logged(t, path)
	for cut := range len(full) {
		sink := &flaky{text: bytes.Clone(full[:cut])}
		log, err := audit.Open(config(sink, audit.Head{}))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		appendN(t, log, 1)
		if report, err := audit.Verify(bytes.NewReader(sink.text), key); err != nil || report.Tail != 0 {
			t.Fatalf("cut at %d: %+v, %v", cut, report, err)
		}
	}
}

func TestMissingLinesAreSaidLoudly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 4)
	head := shut(t, log)
	lines := bytes.SplitAfter(logged(t, path), []byte("\n"))
	altered := bytes.Replace(lines[4], []byte("CertificateGet"), []byte("CertificatePut"), 1)
	for name, left := range map[string][]byte{
		"cut":         bytes.Join(lines[:3], nil),
		"cut in line": bytes.Join(lines[:3], nil)[:len(lines[0])+len(lines[1])+20],
		"altered end": append(bytes.Join(lines[:4], nil), altered...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, left, 0o600); err != nil {
				t.Fatal(err)
			}
			sink, err := audit.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var loud bytes.Buffer
			c := config(sink, head)
			c.Log = slog.New(slog.NewTextHandler(&loud, nil))
			log, err := audit.Open(c)
			if err != nil {
				t.Fatal(err)
			}
			appendN(t, log, 1)
			shut(t, log)
			if !strings.Contains(loud.String(), "MISSING") || !bytes.Contains(logged(t, path), []byte(`"LinesMissing"`)) {
				t.Errorf("no word of the missing lines: %s\n%s", loud.String(), logged(t, path))
			}
			if log.Head().Sequence != head.Sequence+2 {
				t.Errorf("the chain went back to %d", log.Head().Sequence)
			}
			report, err := verify(t, path)
			if err == nil || report.Head.Sequence != head.Sequence+2 {
				t.Errorf("the gap verifies, or what is behind it is not counted: %+v, %v", report, err)
			}
		})
	}
}

func TestAnotherEndOfTheSameLengthIsSaid(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	log := open(t, one, audit.Head{})
	appendN(t, log, 1)
	shut(t, log)
	log = open(t, two, audit.Head{})
	if err := log.Append(context.Background(), audit.Event{Operation: "CertificatePurge"}, false); err != nil {
		t.Fatal(err)
	}
	head := shut(t, log)
	shut(t, open(t, one, head))
	if _, err := verify(t, one); err == nil || !bytes.Contains(logged(t, one), []byte(`"LinesMissing"`)) {
		t.Errorf("%v\n%s", err, logged(t, one))
	}
}

func TestNewLogCarriesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 4)
	head := shut(t, log)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log = open(t, path, head)
	appendN(t, log, 1)
	shut(t, log)
	if report, err := verify(t, path); err != nil || report.First != head.Sequence+1 || report.Lines != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if !bytes.Contains(logged(t, path), []byte("a new log carries on from line 5")) {
		t.Errorf("%s", logged(t, path))
	}
	both := append(logged(t, path+".1"), logged(t, path)...) // the two are one chain
	if report, err := audit.Verify(bytes.NewReader(both), key); err != nil || report.Lines != 7 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestMovedAwayWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 2)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 1) // still into the old one
	if _, err := log.Settle(); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := log.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	appendN(t, log, 1)
	shut(t, log)
	if report, err := verify(t, path+".1"); err != nil || report.Lines != 4 {
		t.Errorf("old: %+v, %v", report, err)
	}
	if report, err := verify(t, path); err != nil || report.First != 7 || report.Lines != 2 {
		t.Errorf("new: %+v, %v", report, err)
	}
}

func TestCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 4)
	lines := bytes.SplitAfter(logged(t, path), []byte("\n"))
	if err := os.Truncate(path, int64(len(lines[0])+len(lines[1]))); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Settle(); err != nil {
		t.Fatal(err)
	}
	shut(t, log)
	if _, err := verify(t, path); err == nil || !bytes.Contains(logged(t, path), []byte(`"LinesMissing"`)) {
		t.Errorf("%v\n%s", err, logged(t, path))
	}
}

func TestMovedAwayAndNoNewOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 1)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Settle(); err == nil {
		t.Error("a log that is nowhere was settled")
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	if head, err := log.Settle(); err != nil || head.Sequence != 2 {
		t.Errorf("%+v, %v", head, err)
	}
	shut(t, log)
}

// A sync that failed is not made good by the next one: a system forgets what it could
// not write. So whoever waited for it hears of it, and the log says it.
func TestFailedSyncIsNotForgotten(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	calls := 0
	sink := &flaky{}
	sink.syncs = func() error {
		if calls++; calls > 1 {
			return nil
		}
		close(entered)
		<-release
		return errDisk
	}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error), make(chan error)
	go func() { first <- log.Append(context.Background(), audit.Event{Operation: "A"}, true) }()
	<-entered
	go func() { second <- log.Append(context.Background(), audit.Event{Operation: "B"}, true) }()
	for log.Head().Sequence < 3 { // until B is written and waits
		runtime.Gosched()
	}
	close(release)
	if err := <-first; !errors.Is(err, errDisk) {
		t.Errorf("A: %v", err)
	}
	if err := <-second; err == nil {
		t.Error("B was called durable by a sync that came after the one that failed")
	}
	if err := log.Append(context.Background(), audit.Event{Operation: "C"}, true); err != nil {
		t.Errorf("C: %v", err)
	}
	if !bytes.Contains(sink.text, []byte(`"SyncFailed"`)) || !bytes.Contains(sink.text, []byte("lines 1 to 3 may be missing")) {
		t.Errorf("no word of it:\n%s", sink.text)
	}
	if _, err := log.Settle(); err != nil {
		t.Error(err)
	}
	if _, err := audit.Verify(bytes.NewReader(sink.text), key); err != nil {
		t.Error(err)
	}
}

// Whoever waits is served by the next sync: eight lines that are written while one sync
// runs need one more.
func TestSyncsAreShared(t *testing.T) {
	entered, release := make(chan struct{}, 16), make(chan struct{})
	sink := &flaky{syncs: func() error { entered <- struct{}{}; <-release; return nil }}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	add := func() {
		group.Go(func() {
			if err := log.Append(context.Background(), audit.Event{Operation: "X"}, true); err != nil {
				t.Error(err)
			}
		})
	}
	add()
	<-entered
	for range 8 {
		add()
	}
	for log.Head().Sequence < 10 {
		runtime.Gosched()
	}
	close(release)
	group.Wait()
	close(entered)
	if more := len(entered); more != 1 {
		t.Errorf("%d syncs for the eight that waited", more)
	}
}

func TestSettleSyncsOnlyWhatIsNew(t *testing.T) {
	syncs := 0
	sink := &flaky{syncs: func() error { syncs++; return nil }}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if head, err := log.Settle(); err != nil || head.Sequence != 1 {
			t.Errorf("%+v, %v", head, err)
		}
	}
	if syncs != 1 {
		t.Errorf("%d syncs for one line", syncs)
	}
}
