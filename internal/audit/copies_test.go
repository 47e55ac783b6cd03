package audit_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
)

// A place takes lines, or hangs, or fails.
type place struct {
	mu    sync.Mutex
	text  []byte
	fails bool
	hang  chan struct{} // nil: it does not
}

func (p *place) deliver(ctx context.Context, lines []byte) error {
	p.mu.Lock()
	hang := p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails {
		return errors.New("refused")
	}
	p.text = append(p.text, lines...)
	return nil
}

func (p *place) set(fails bool, hang chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails, p.hang = fails, hang
}

func (p *place) got() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.text)
}

const shortly = 20 * time.Millisecond

func (p *place) copy(name string, queue int) *audit.Copy {
	return audit.NewCopy(audit.CopyConfig{Name: name, Deliver: p.deliver, Wait: shortly, Queue: queue, Batch: 700, Retry: time.Millisecond})
}

func TestCopiesGetEveryLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one, two := &place{}, &place{}
	log, err := audit.Open(config(audit.NewFan(file, time.Minute, one.copy("one", 0), two.copy("two", 0)), audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 30)
	if err := log.Append(context.Background(), audit.Event{Operation: "SecretSet"}, true); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*place{"one": one, "two": two} { // durable is delivered
		if text := p.got(); !bytes.Equal(text, logged(t, path)) {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
	appendN(t, log, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(bytes.NewReader(two.got()), key); err != nil || report.Lines != 35 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A place that hangs holds a change up for the bound and refuses it, does not keep the
// other place from its lines, and is forgiven when it works again.
func TestSlowCopyFailsWithinItsBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slow, quick := &place{}, &place{}
	log, err := audit.Open(config(audit.NewFan(file, shortly, slow.copy("slow", 3000), quick.copy("quick", 0)), audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	durable := func() error {
		return log.Append(context.Background(), audit.Event{Operation: "SecretSet"}, true)
	}
	hang := make(chan struct{})
	slow.set(false, hang)
	if durable() == nil {
		t.Fatal("durable, and not delivered")
	}
	start := time.Now()
	for range 200 { // nobody waits for a place that is known to hang
		_ = durable()
	}
	if took := time.Since(start); took > 50*shortly {
		t.Errorf("200 lines waited %s", took)
	}
	if !bytes.Contains(quick.got(), []byte("SecretSet")) {
		t.Error("the quick place got nothing")
	}
	reads := 0
	for log.Append(context.Background(), audit.Event{Operation: "SecretGet"}, false) == nil && reads < 100 {
		reads++
	}
	if reads == 100 {
		t.Error("the queue has no bound")
	}
	slow.set(false, nil)
	close(hang)
	for deadline := time.Now().Add(time.Minute); durable() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the log does not recover")
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"file": logged(t, path), "slow": slow.got(), "quick": quick.got()} {
		if _, err := audit.Verify(bytes.NewReader(text), key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A place that refuses is asked again.
func TestDeliveryIsTriedAgain(t *testing.T) {
	p := &place{fails: true}
	main := &flaky{}
	log, err := audit.Open(config(audit.NewFan(main, time.Minute, p.copy("p", 0)), audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 2)
	p.set(false, nil)
	if _, err := log.Settle(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.got(), main.text) {
		t.Errorf("%s", p.got())
	}
	main.fail = true // what the file does not take, no copy gets
	if log.Append(context.Background(), audit.Event{Operation: "SecretSet"}, true) == nil {
		t.Error("no failure")
	}
	main.fail = false
	appendN(t, log, 1)
	if _, err := log.Settle(); err != nil || !bytes.Equal(p.got(), main.text) {
		t.Errorf("%v: %s", err, p.got())
	}
}
