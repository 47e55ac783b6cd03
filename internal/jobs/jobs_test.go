package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/jobs"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type world struct {
	store  store.Store
	now    atomic.Int64 // seconds after start
	config jobs.Config
}

func (w *world) clock() time.Time { return start.Add(time.Duration(w.now.Load()) * time.Second) }

func newWorld(t *testing.T, handler jobs.Handler) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{store: s}
	w.config = jobs.Config{Store: s, Now: w.clock, Lease: 30 * time.Second, Log: slog.New(slog.DiscardHandler), Route: func(store.Key) jobs.Handler { return handler }}
	return w
}

func (w *world) due(t *testing.T, key store.Key, after time.Duration) {
	t.Helper()
	if err := w.store.Update(context.Background(), func(tx store.Tx) error { return tx.SetDue(key, start.Add(after)) }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) end(ctx context.Context, key store.Key) error {
	return w.store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, time.Time{}) })
}

func TestSettleDoesWhatIsDue(t *testing.T) {
	var done []store.Key
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		done = append(done, key)
		return w.end(ctx, key)
	})
	w.due(t, "b", time.Second)
	w.due(t, "a", 2*time.Second)
	w.due(t, "later", time.Hour)
	w.now.Store(10)
	if err := jobs.New(w.config).Settle(context.Background()); err != nil || len(done) != 2 || done[0] != "b" {
		t.Errorf("%v, %v", done, err)
	}
}

func TestOneOfTwoNodesWins(t *testing.T) {
	var calls atomic.Int32
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		calls.Add(1)
		return w.end(ctx, key)
	})
	for _, key := range []store.Key{"a", "b", "c", "d"} {
		w.due(t, key, 0)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := jobs.New(w.config).Settle(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if calls.Load() != 4 {
		t.Errorf("%d calls for 4 jobs", calls.Load())
	}
}

func TestFailureAndPanicAreTriedAgainLater(t *testing.T) {
	calls := 0
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		switch calls++; calls {
		case 1:
			return errors.New("not now")
		case 2:
			panic("oh")
		}
		return w.end(ctx, key)
	})
	w.due(t, "a", 0)
	r := jobs.New(w.config)
	for want, at := range []int64{0, 1, 3} { // pauses of 1 s and 2 s
		w.now.Store(at)
		if err := r.Settle(context.Background()); (err == nil) != (want == 2) {
			t.Errorf("attempt %d: %v", want+1, err)
		}
		if err := r.Settle(context.Background()); err != nil || calls != want+1 {
			t.Errorf("attempt %d was made again at once: %v", want+1, err)
		}
	}
}

func TestLeaseOfADeadProcessEndsAtOnce(t *testing.T) {
	done := make(chan store.Key, 1)
	var w *world
	w = newWorld(t, func(ctx context.Context, key store.Key) error {
		err := w.end(ctx, key)
		done <- key
		return err
	})
	w.due(t, "leased", 30*time.Second)
	w.config.Sole = true
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { jobs.New(w.config).Run(ctx) })
	select {
	case key := <-done:
		if key != "leased" {
			t.Errorf("%q", key)
		}
	case <-time.After(10 * time.Second):
		t.Error("the lease was waited for")
	}
	cancel()
	group.Wait()
}

func TestUnknownJobIsKept(t *testing.T) {
	w := newWorld(t, nil)
	w.due(t, "x", 0)
	if err := jobs.New(w.config).Settle(context.Background()); err == nil {
		t.Error("an unknown job was done")
	}
	err := w.store.View(context.Background(), func(tx store.Tx) error {
		rows, err := tx.Due(start.Add(time.Hour), 1)
		if len(rows) != 1 {
			t.Error("the row is gone")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
