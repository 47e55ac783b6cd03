package storetest_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/store/storetest"
)

var ctx = context.Background()

func faulty(t *testing.T) *storetest.Faulty {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &storetest.Faulty{Store: s}
}

// put puts a record, or finds its own.
func put(s store.Store, key store.Key, runs *int) error {
	return s.Update(ctx, func(tx store.Tx) error {
		*runs++
		rec, err := tx.Get(key)
		if err != nil || string(rec.Body) == "mine" {
			return err
		}
		return tx.Put(key, 0, []byte("mine"))
	})
}

func TestFaults(t *testing.T) {
	tests := map[storetest.Fault]struct {
		err  error
		kept bool
		runs int
	}{
		storetest.Lost:        {err: storetest.ErrLost, runs: 1},
		storetest.Kept:        {err: store.ErrUnknown, kept: true, runs: 1},
		storetest.RunAgain:    {kept: true, runs: 2},
		storetest.LostAgain:   {kept: true, runs: 2},
		storetest.LostUnknown: {err: store.ErrUnknown, runs: 1},
		storetest.CrashBefore: {err: storetest.ErrCrashed, runs: 1},
		storetest.CrashAfter:  {err: storetest.ErrCrashed, kept: true, runs: 1},
	}
	if len(tests) != len(storetest.Faults)+len(storetest.Crashes) {
		t.Error("a fault is not tested")
	}
	for fault, want := range tests {
		f, runs := faulty(t), 0
		f.FailAt(2, fault)
		if err := put(f, "before", new(int)); err != nil {
			t.Errorf("%s: the commit before: %v", fault, err)
		}
		err := put(f, "a", &runs)
		recs, err2 := f.Store.Get(ctx, store.Ask{Key: "a"})
		if !errors.Is(err, want.err) || runs != want.runs || err2 != nil || recs[0].Exists() != want.kept {
			t.Errorf("%s: %v, %d runs, kept %v", fault, err, runs, recs[0].Exists())
		}
		if err := put(f, "after", new(int)); errors.Is(err, storetest.ErrCrashed) != errors.Is(want.err, storetest.ErrCrashed) || err != nil && !errors.Is(err, storetest.ErrCrashed) {
			t.Errorf("%s: the commit after: %v", fault, err)
		}
	}
}

// Only what changes something is a commit.
func TestCommits(t *testing.T) {
	f := faulty(t)
	mine := errors.New("mine")
	for want, fn := range []func(store.Tx) error{
		func(store.Tx) error { return nil },
		func(tx store.Tx) error { return tx.Put("a", 0, nil) },
		func(tx store.Tx) error {
			rec, err := tx.Get("a")
			return errors.Join(err, tx.Delete("a", rec.Revision))
		},
		func(tx store.Tx) error { return tx.SetDue("a", time.Unix(1, 0)) },
	} {
		if err := f.Update(ctx, fn); err != nil || f.Commits() != want {
			t.Errorf("%v, %d commits, want %d", err, f.Commits(), want)
		}
	}
	err := f.Update(ctx, func(tx store.Tx) error { return errors.Join(tx.Put("b", 0, nil), mine) })
	if !errors.Is(err, mine) || f.Commits() != 3 {
		t.Errorf("%v, %d commits", err, f.Commits())
	}
}

// After a crash nothing works, until the store below is opened again.
func TestCrash(t *testing.T) {
	f := faulty(t)
	f.FailAt(1, storetest.CrashAfter)
	_ = put(f, "a", new(int))
	_, err := f.Get(ctx, store.Ask{Key: "a"})
	for _, err := range []error{err, f.View(ctx, func(store.Tx) error { return nil }), put(f, "b", new(int))} {
		if !errors.Is(err, storetest.ErrCrashed) {
			t.Error(err)
		}
	}
}
