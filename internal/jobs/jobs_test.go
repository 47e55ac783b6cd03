package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/jobs"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/store/storetest"
)

var (
	ctx   = context.Background()
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

const lease = 30 * time.Second

// A world is a store, a hand-turned clock, and a log of what was done.
type world struct {
	store  store.Store
	now    atomic.Int64 // milliseconds after start
	config jobs.Config

	mu   sync.Mutex
	done []store.Key
}

func (w *world) clock() time.Time { return start.Add(time.Duration(w.now.Load()) * time.Millisecond) }

func (w *world) turn(d time.Duration) { w.now.Add(d.Milliseconds()) }

// newWorld makes a world in which handler does the jobs; nil means w.finish.
func newWorld(t *testing.T, handler jobs.Handler) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{store: s}
	if handler == nil {
		handler = w.finish
	}
	w.config = jobs.Config{
		Store: s, Now: w.clock, Lease: lease, Log: slog.New(slog.DiscardHandler),
		Route: func(key store.Key) jobs.Handler {
			if strings.HasPrefix(string(key), "unknown") {
				return nil
			}
			return handler
		},
	}
	return w
}

// due makes rows that are due some time after the start.
func (w *world) due(t *testing.T, after time.Duration, keys ...store.Key) {
	t.Helper()
	err := w.store.Update(ctx, func(tx store.Tx) error {
		for _, key := range keys {
			if err := tx.SetDue(key, start.Add(after)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// finish is a handler that ends the job.
func (w *world) finish(ctx context.Context, key store.Key) error {
	w.mu.Lock()
	w.done = append(w.done, key)
	w.mu.Unlock()
	return w.store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, time.Time{}) })
}

func (w *world) did() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.done)
}

// rows are all due rows.
func (w *world) rows(t *testing.T) map[store.Key]time.Time {
	t.Helper()
	rows := map[store.Key]time.Time{}
	err := w.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Due(start.AddDate(1, 0, 0), 10_000)
		for _, row := range all {
			rows[row.Key] = row.At
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func settle(t *testing.T, r *jobs.Runner) {
	t.Helper()
	if err := r.Settle(ctx); err != nil {
		t.Error(err)
	}
}

// running runs r for the time of the test; stop waits until it has returned.
func running(t *testing.T, r *jobs.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { r.Run(ctx) })
	stop = func() { cancel(); group.Wait() }
	t.Cleanup(stop)
	return stop
}

// receive fails the test when nothing comes.
func receive[T any](t *testing.T, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing came", what)
	}
	return got
}

func TestSettleDoesWhatIsDue(t *testing.T) {
	w := newWorld(t, nil)
	w.due(t, time.Second, "b")
	w.due(t, 2*time.Second, "c", "a")
	w.due(t, time.Hour, "later")
	r := jobs.New(w.config)
	if settle(t, r); w.did() != "[]" {
		t.Errorf("too early: %s", w.did())
	}
	w.turn(2 * time.Second)
	if settle(t, r); w.did() != "[b a c]" || len(w.rows(t)) != 1 {
		t.Errorf("%s, %v", w.did(), w.rows(t))
	}
}

// What a job makes due is done by the same Settle.
func TestSettleDoesWhatFollows(t *testing.T) {
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		if key == "a" {
			w.due(t, 0, "b")
		}
		return w.finish(ctx, key)
	})
	w.due(t, 0, "a")
	if settle(t, jobs.New(w.config)); w.did() != "[a b]" {
		t.Error(w.did())
	}
}

func TestSettleGoesOnAfterFailures(t *testing.T) {
	bad := errors.New("bad")
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		if key == "b" {
			return bad
		}
		return w.finish(ctx, key)
	})
	w.due(t, 0, "a", "b", "c")
	if err := jobs.New(w.config).Settle(ctx); !errors.Is(err, bad) || w.did() != "[a c]" {
		t.Errorf("%v, %s", err, w.did())
	}
}

func TestSettleEndsWithContext(t *testing.T) {
	w := newWorld(t, nil)
	w.due(t, 0, "a")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := jobs.New(w.config).Settle(ended); !errors.Is(err, context.Canceled) || w.did() != "[]" {
		t.Errorf("%v, %s", err, w.did())
	}
}

// Several nodes do each job once.
func TestOneOfManyNodesWins(t *testing.T) {
	w := newWorld(t, nil)
	keys := make([]store.Key, 40)
	for i := range keys {
		keys[i] = store.Key(fmt.Sprintf("k%d", i))
	}
	w.due(t, 0, keys...)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := jobs.New(w.config).Settle(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	seen := map[store.Key]bool{}
	for _, key := range w.done {
		seen[key] = true
	}
	if len(w.done) != 40 || len(seen) != 40 || len(w.rows(t)) != 0 {
		t.Errorf("%d calls for %d of 40 jobs", len(w.done), len(seen))
	}
}

// While a handler works, its row is a lease away; a job that nobody ended comes up
// again then, and not before.
func TestLeaseRunsOut(t *testing.T) {
	calls := 0
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		calls++
		if at := w.rows(t)[key]; !at.Equal(w.clock().Add(lease)) {
			t.Errorf("leased until %v", at)
		}
		if left, ok := ctx.Deadline(); !ok || time.Until(left) > lease {
			t.Error("a call may take longer than its lease")
		}
		return nil
	})
	w.due(t, 0, "a")
	r := jobs.New(w.config)
	for _, want := range []struct {
		turn  time.Duration
		calls int
	}{{0, 1}, {0, 1}, {lease - time.Millisecond, 1}, {time.Millisecond, 2}} {
		w.turn(want.turn)
		if settle(t, r); calls != want.calls {
			t.Errorf("%d calls, want %d", calls, want.calls)
		}
	}
}

func TestFailuresAndPanicsAreTriedAgainLater(t *testing.T) {
	calls := 0
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		switch calls++; {
		case calls%2 == 0:
			panic("oh")
		case calls < 14:
			return errors.New("not now")
		}
		return w.finish(ctx, key)
	})
	w.due(t, 0, "a")
	r := jobs.New(w.config)
	pauses := []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600} // seconds
	for i, pause := range pauses {
		if err := r.Settle(ctx); err == nil || calls != i+1 {
			t.Fatalf("attempt %d: %v, %d calls", i+1, err, calls)
		}
		w.turn(time.Duration(pause)*time.Second - time.Millisecond)
		if settle(t, r); calls != i+1 {
			t.Fatalf("attempt %d was made too early", i+2)
		}
		w.turn(time.Millisecond)
	}
	if settle(t, r); calls != len(pauses)+1 || len(w.rows(t)) != 0 {
		t.Errorf("%d calls, %v", calls, w.rows(t))
	}
	calls = 0
	w.due(t, 0, "a") // begins with short pauses again
	if err := r.Settle(ctx); err == nil || !w.rows(t)["a"].Equal(w.clock().Add(time.Second)) {
		t.Errorf("%v, %v", err, w.rows(t))
	}
}

// Jobs of another version stay as they are, and do not keep others from being done.
func TestUnknownJobsAreLeftAlone(t *testing.T) {
	w := newWorld(t, nil)
	keys := make([]store.Key, 60)
	for i := range keys {
		keys[i] = store.Key(fmt.Sprintf("unknown%d", i))
	}
	w.due(t, 0, keys...)
	w.due(t, time.Second, "a", "b")
	w.turn(time.Second)
	r := jobs.New(w.config)
	if err := r.Settle(ctx); err == nil || !strings.Contains(err.Error(), "unknown59") || w.did() != "[a b]" {
		t.Errorf("%v, %s", err, w.did())
	}
	for _, key := range keys {
		if at, ok := w.rows(t)[key]; !ok || !at.Equal(start) {
			t.Fatalf("%s is %v, %v", key, at, ok)
		}
	}
	settle(t, r) // not told of again at once
	w.turn(2 * time.Second)
	if err := r.Settle(ctx); err == nil {
		t.Error("not looked at again")
	}
}

// Leases of an earlier process end at once where there can be no other, and only there.
func TestLeasesOfADeadProcess(t *testing.T) {
	for _, sole := range []bool{true, false} {
		w := newWorld(t, nil)
		w.config.Sole = sole
		w.due(t, -time.Second, "overdue")
		w.due(t, time.Second, "leased")
		w.due(t, lease, "just leased")
		w.due(t, lease+time.Millisecond, "planned")
		r := jobs.New(w.config)
		want := map[bool]string{true: "[overdue just leased leased]", false: "[overdue]"}[sole]
		if settle(t, r); w.did() != want {
			t.Errorf("sole %v: %s", sole, w.did())
		}
		w.due(t, lease, "of this life")
		if settle(t, r); w.did() != want {
			t.Errorf("sole %v: took its own lease: %s", sole, w.did())
		}
	}
}

func TestRunTakesLeasesOver(t *testing.T) {
	done := make(chan store.Key, 1)
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		defer func() { done <- key }()
		return w.finish(ctx, key)
	})
	w.config.Sole = true
	w.due(t, lease, "leased")
	running(t, jobs.New(w.config))
	if key := receive(t, done, "the leased job"); key != "leased" {
		t.Errorf("%q", key)
	}
}

// Run does what it is kicked for, and Settle waits until it has.
func TestSettleWaitsForRun(t *testing.T) {
	begun, goOn := make(chan store.Key), make(chan struct{})
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		begun <- key
		<-goOn
		return w.finish(ctx, key)
	})
	r := jobs.New(w.config)
	running(t, r)
	w.due(t, time.Hour, "a")
	w.turn(time.Hour)
	r.Kick()
	receive(t, begun, "a")
	settled := make(chan error, 1)
	go func() { settled <- r.Settle(ctx) }()
	select {
	case <-settled:
		t.Error("settled while a job is under way")
	case goOn <- struct{}{}:
	}
	if err := receive(t, settled, "Settle"); err != nil || w.did() != "[a]" {
		t.Errorf("%v, %s", err, w.did())
	}
}

// Four jobs are done at a time, and no more; a slow one holds up no others.
func TestRunIsConcurrentAndBounded(t *testing.T) {
	var now, most atomic.Int32
	four, slow, done := make(chan struct{}), make(chan struct{}), make(chan store.Key, 40)
	allFour := sync.OnceFunc(func() { close(four) })
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == 4 {
			allFour()
		}
		<-four
		if key == "0" {
			<-slow
		}
		defer func() { done <- key }()
		return w.finish(ctx, key)
	})
	for i := range 40 {
		w.due(t, 0, store.Key(fmt.Sprint(i)))
	}
	running(t, jobs.New(w.config))
	for range 39 {
		if key := receive(t, done, "a quick job"); key == "0" {
			t.Error("the slow one was not slow")
		}
	}
	close(slow)
	receive(t, done, "the slow job")
	if most.Load() != 4 {
		t.Errorf("%d at a time", most.Load())
	}
}

// A handler that panics gives its slot back.
func TestRunSurvivesPanics(t *testing.T) {
	done := make(chan store.Key, 1)
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		if key != "z" {
			panic("oh")
		}
		defer func() { done <- key }()
		return w.finish(ctx, key)
	})
	for i := range 12 {
		w.due(t, 0, store.Key(fmt.Sprint(i)))
	}
	w.due(t, time.Millisecond, "z")
	w.turn(time.Millisecond)
	running(t, jobs.New(w.config))
	receive(t, done, "the job behind")
}

// On the real clock, Run wakes up when something becomes due, without being kicked.
func TestRunWakesUp(t *testing.T) {
	woken := make(chan time.Time, 1)
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		woken <- time.Now()
		return w.finish(ctx, key)
	})
	w.config.Now = time.Now
	at := time.Now().Add(150 * time.Millisecond)
	w.due(t, at.Sub(start), "a")
	running(t, jobs.New(w.config))
	if late := receive(t, woken, "the job").Sub(at.Truncate(time.Millisecond)); late < 0 || late > 3*time.Second {
		t.Errorf("%v late", late)
	}
}

// What a job makes due is done by the same Run, without waiting for the next poll.
func TestRunDoesWhatFollows(t *testing.T) {
	done := make(chan time.Time, 1)
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		if key == "a" {
			w.due(t, 0, "b")
		} else {
			defer func() { done <- time.Now() }()
		}
		return w.finish(ctx, key)
	})
	w.due(t, 0, "a")
	began := time.Now()
	running(t, jobs.New(w.config))
	if took := receive(t, done, "b").Sub(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// When Run is stopped, its handlers are, and what they had is free at once.
func TestRunStops(t *testing.T) {
	begun := make(chan struct{})
	w := newWorld(t, func(ctx context.Context, key store.Key) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	w.due(t, 0, "a")
	stop := running(t, jobs.New(w.config))
	receive(t, begun, "the job")
	w.turn(time.Second)
	stop()
	if at := w.rows(t)["a"]; !at.Equal(w.clock()) {
		t.Errorf("due at %v", at)
	}
}

// Whatever happens to a commit, the job is done in the end, and no row is left.
func TestEveryCommitFails(t *testing.T) {
	flow := func(t *testing.T, n int, fault storetest.Fault) int {
		w := newWorld(t, nil)
		faulty := &storetest.Faulty{Store: w.store}
		w.config.Sole = true
		w.due(t, lease, "a")
		w.store, w.config.Store = faulty, faulty
		if n > 0 {
			faulty.FailAt(n, fault)
		}
		r := jobs.New(w.config)
		for range 3 {
			_ = r.Settle(ctx) // fails, or does not
			w.turn(lease)
		}
		if !strings.HasPrefix(w.did(), "[a") || len(w.rows(t)) != 0 {
			t.Errorf("%s, %v", w.did(), w.rows(t))
		}
		return faulty.Commits()
	}
	commits := flow(t, 0, storetest.Lost)
	if commits != 3 { // take over, lease, finish
		t.Fatalf("%d commits", commits)
	}
	for n := 1; n <= commits; n++ {
		for _, fault := range storetest.Faults {
			t.Run(fmt.Sprintf("%d %s", n, fault), func(t *testing.T) { flow(t, n, fault) })
		}
	}
}

// A lease whose commit was run again over itself is a lease.
func TestLeaseRunsAgain(t *testing.T) {
	w := newWorld(t, nil)
	faulty := &storetest.Faulty{Store: w.store}
	w.due(t, 0, "a", "b")
	w.config.Store = faulty
	faulty.FailAt(1, storetest.RunAgain)
	if settle(t, jobs.New(w.config)); w.did() != "[a b]" {
		t.Error(w.did())
	}
}
