// Package storetest is the specification of a store as a test suite, which every engine
// runs, and a store that fails, for the tests of everything above.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/store"
)

// An Opener opens the same store each time it is called with the same test; a store
// that was closed has to be found as it was.
type Opener func(t *testing.T) store.Store

// Run runs the suite. fresh returns an Opener of a store that is empty.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	tests := []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"PutGetDelete", testPutGetDelete}, {"Revisions", testRevisions}, {"GetIsOneSnapshot", testSnapshot}, {"IfNot", testIfNot},
		{"Scan", testScan}, {"OwnChanges", testOwnChanges}, {"FailingFunction", testFailingFunction}, {"Panic", testPanic},
		{"ReadOnly", testReadOnly}, {"Limits", testLimits}, {"Due", testDue}, {"Context", testContext}, {"Closed", testClosed},
		{"Reopen", testReopen}, {"Counters", testCounters}, {"WriteSkew", testWriteSkew}, {"BodiesAreCopies", testCopies},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

var ctx = context.Background()

func open(t *testing.T, o Opener) store.Store {
	t.Helper()
	s := o(t)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func update(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, key store.Key, body string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		rec, err := tx.Get(key)
		return errors.Join(err, tx.Put(key, rec.Revision, []byte(body)))
	})
}

func get(t *testing.T, s store.Store, key store.Key) store.Record {
	t.Helper()
	recs, err := s.Get(ctx, store.Ask{Key: key})
	if err != nil || len(recs) != 1 || recs[0].Key != key {
		t.Fatalf("%v, %v", recs, err)
	}
	return recs[0]
}

func testPutGetDelete(t *testing.T, o Opener) {
	s := open(t, o)
	if rec := get(t, s, "a"); rec.Exists() || rec.Body != nil {
		t.Errorf("an empty store has %v", rec)
	}
	put(t, s, "a", "1")
	put(t, s, "empty", "")
	if rec := get(t, s, "a"); string(rec.Body) != "1" || !rec.Exists() {
		t.Errorf("%v", rec)
	}
	if rec := get(t, s, "empty"); !rec.Exists() || len(rec.Body) != 0 {
		t.Errorf("an empty body: %v", rec)
	}
	rec := get(t, s, "a")
	update(t, s, func(tx store.Tx) error { return tx.Delete("a", rec.Revision) })
	if get(t, s, "a").Exists() {
		t.Error("deleted, and there")
	}
}

func testRevisions(t *testing.T, o Opener) {
	s := open(t, o)
	seen := map[store.Revision]bool{}
	note := func() store.Revision {
		r := get(t, s, "k").Revision
		if seen[r] || r == 0 {
			t.Errorf("revision %d was there before", r)
		}
		seen[r] = true
		return r
	}
	for range 3 { // made, changed, deleted, made anew: never twice the same
		put(t, s, "k", "x")
		first := note()
		put(t, s, "k", "x")
		second := note()
		for _, wrong := range []store.Revision{0, first, second + 1000} {
			if err := s.Update(ctx, func(tx store.Tx) error { return tx.Put("k", wrong, nil) }); !errors.Is(err, store.ErrChanged) {
				t.Errorf("put over %d: %v", wrong, err)
			}
			if err := s.Update(ctx, func(tx store.Tx) error { return tx.Delete("k", wrong) }); !errors.Is(err, store.ErrChanged) {
				t.Errorf("delete of %d: %v", wrong, err)
			}
		}
		update(t, s, func(tx store.Tx) error { return tx.Delete("k", second) })
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.Put("k", second, nil) }); !errors.Is(err, store.ErrChanged) {
			t.Errorf("put over a deleted record: %v", err)
		}
	}
}

func testSnapshot(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "x", "0")
	put(t, s, "y", "0")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			body := fmt.Appendf(nil, "%d", i)
			_ = s.Update(ctx, func(tx store.Tx) error {
				for _, key := range []store.Key{"x", "y"} {
					rec, _ := tx.Get(key)
					if err := tx.Put(key, rec.Revision, body); err != nil {
						return err
					}
				}
				return nil
			})
		}
	})
	for range 200 {
		recs, err := s.Get(ctx, store.Ask{Key: "x"}, store.Ask{Key: "y"})
		if err != nil || !bytes.Equal(recs[0].Body, recs[1].Body) {
			t.Fatalf("two states at once: %s %s %v", recs[0].Body, recs[1].Body, err)
		}
	}
	close(stop)
	writer.Wait()
}

func testIfNot(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "k", "1")
	rec := get(t, s, "k")
	recs, err := s.Get(ctx, store.Ask{Key: "k", IfNot: rec.Revision}, store.Ask{Key: "k", IfNot: rec.Revision + 7}, store.Ask{Key: "none", IfNot: 3})
	if err != nil || recs[0].Body != nil || recs[0].Revision != rec.Revision || string(recs[1].Body) != "1" || recs[2].Exists() {
		t.Errorf("%v, %v", recs, err)
	}
}

func testScan(t *testing.T, o Opener) {
	s := open(t, o)
	for _, key := range []store.Key{"p/c", "p/a", "p/b", "p", "q/a", "o/z", "p/a-b", "p/a/1"} {
		put(t, s, key, string(key))
	}
	err := s.View(ctx, func(tx store.Tx) error {
		for _, test := range []struct {
			prefix, after store.Key
			limit         int
			want          string
		}{
			{"p/", "", 9, "p/a p/a-b p/a/1 p/b p/c"}, {"p/", "", 2, "p/a p/a-b"}, {"p/", "p/a-b", 2, "p/a/1 p/b"}, {"p/", "p/c", 2, ""},
			{"p/", "p/aa", 1, "p/b"}, {"", "", 2, "o/z p"}, {"z", "", 2, ""}, {"p/", "a", 1, "p/a"},
		} {
			recs, err := tx.Scan(test.prefix, test.after, test.limit)
			var got []string
			for _, rec := range recs {
				got = append(got, string(rec.Key))
				if string(rec.Body) != string(rec.Key) || !rec.Exists() {
					t.Errorf("%v", rec)
				}
			}
			if err != nil || strings.Join(got, " ") != test.want {
				t.Errorf("scan %q after %q: %v, %v", test.prefix, test.after, got, err)
			}
		}
		if _, err := tx.Scan("p", "", 0); err == nil {
			t.Error("a limit of 0")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testOwnChanges(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "b", "old")
	put(t, s, "d", "old")
	update(t, s, func(tx store.Tx) error {
		b, _ := tx.Get("b")
		d, _ := tx.Get("d")
		if err := errors.Join(tx.Put("a", 0, []byte("new")), tx.Put("b", b.Revision, []byte("new")), tx.Put("c", 0, []byte("new")), tx.Delete("d", d.Revision)); err != nil {
			return err
		}
		recs, err := tx.Scan("", "", 9)
		if err != nil || len(recs) != 3 {
			t.Errorf("%v, %v", recs, err)
		}
		for i, rec := range recs {
			if string(rec.Key) != string("abc"[i]) || string(rec.Body) != "new" || !rec.Exists() {
				t.Errorf("%v", rec)
			}
		}
		again, err := tx.Get("a")
		if err != nil || string(again.Body) != "new" {
			t.Errorf("%v, %v", again, err)
		}
		return tx.Put("a", again.Revision, []byte("newer"))
	})
	if rec := get(t, s, "a"); string(rec.Body) != "newer" {
		t.Errorf("%v", rec)
	}
}

func testFailingFunction(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	mine := errors.New("mine")
	err := s.Update(ctx, func(tx store.Tx) error {
		rec, _ := tx.Get("a")
		_ = tx.Put("a", rec.Revision, []byte("2"))
		_ = tx.Put("b", 0, nil)
		_ = tx.SetDue("a", time.Unix(1, 0))
		return mine
	})
	if !errors.Is(err, mine) || string(get(t, s, "a").Body) != "1" || get(t, s, "b").Exists() || len(dueRows(t, s)) != 0 {
		t.Errorf("%v; something was kept", err)
	}
}

func testPanic(t *testing.T, o Opener) {
	s := open(t, o)
	var others sync.WaitGroup
	for i := range 20 {
		others.Go(func() { put(t, s, store.Key(fmt.Sprintf("k%d", i)), "x") })
	}
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not come out")
			}
		}()
		_ = s.Update(ctx, func(tx store.Tx) error { _ = tx.Put("bad", 0, nil); panic("boom") })
	}()
	others.Wait()
	if get(t, s, "bad").Exists() || !get(t, s, "k19").Exists() {
		t.Error("a panic changed something, or harmed others")
	}
}

func testReadOnly(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	err := s.View(ctx, func(tx store.Tx) error {
		rec, _ := tx.Get("a")
		for _, err := range []error{tx.Put("b", 0, nil), tx.Delete("a", rec.Revision), tx.SetDue("a", time.Unix(1, 0))} {
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%v", err)
			}
		}
		return nil
	})
	if err != nil || get(t, s, "b").Exists() {
		t.Error(err)
	}
}

func testLimits(t *testing.T, o Opener) {
	s := open(t, o)
	long := store.Key(strings.Repeat("k", store.MaxKey))
	update(t, s, func(tx store.Tx) error { return tx.Put(long, 0, make([]byte, store.MaxBody)) })
	if len(get(t, s, long).Body) != store.MaxBody {
		t.Error("the largest record was not kept")
	}
	for name, fn := range map[string]func(store.Tx) error{
		"key":  func(tx store.Tx) error { return tx.Put(long+"k", 0, nil) },
		"body": func(tx store.Tx) error { return tx.Put("b", 0, make([]byte, store.MaxBody+1)) },
	} {
		if err := s.Update(ctx, fn); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []store.Key{"", "a\x00b"} {
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.Put(key, 0, nil) }); err == nil {
			t.Errorf("the key %q was taken", key)
		}
	}
}

func dueRows(t *testing.T, s store.Store) (rows []store.Due) {
	t.Helper()
	err := s.View(ctx, func(tx store.Tx) (err error) {
		rows, err = tx.Due(time.Unix(1000, 0), 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func testDue(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.SetDue("b", time.Unix(5, 0)), tx.SetDue("a", time.Unix(5, 0)), tx.SetDue("c", time.Unix(3, 999_999)), tx.SetDue("late", time.Unix(2000, 0)))
	})
	rows := dueRows(t, s)
	if len(rows) != 3 || rows[0].Key != "c" || rows[1].Key != "a" || rows[2].Key != "b" || !rows[0].At.Equal(time.Unix(3, 0)) {
		t.Fatalf("%v", rows)
	}
	rec := get(t, s, "a")
	update(t, s, func(tx store.Tx) error {
		if err := errors.Join(tx.SetDue("c", time.Unix(9, 0)), tx.SetDue("b", time.Time{}), tx.Delete("a", rec.Revision)); err != nil {
			return err
		}
		own, err := tx.Due(time.Unix(1000, 0), 1)
		if len(own) != 1 || own[0].Key != "c" || !own[0].At.Equal(time.Unix(9, 0)) {
			t.Errorf("inside: %v", own)
		}
		return err
	})
	if rows := dueRows(t, s); len(rows) != 1 || rows[0].Key != "c" || !rows[0].At.Equal(time.Unix(9, 0)) {
		t.Errorf("%v", rows)
	}
}

func testContext(t *testing.T, o Opener) {
	s := open(t, o)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	err := s.Update(ended, func(tx store.Tx) error { return tx.Put("a", 0, nil) })
	if !errors.Is(err, context.Canceled) || get(t, s, "a").Exists() {
		t.Errorf("%v", err)
	}
	if _, err := s.Get(ended, store.Ask{Key: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func testClosed(t *testing.T, o Opener) {
	s := open(t, o)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(ctx, store.Ask{Key: "a"})
	for _, err := range []error{err, s.View(ctx, func(store.Tx) error { return nil }), s.Update(ctx, func(store.Tx) error { return nil })} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
}

func testReopen(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	update(t, s, func(tx store.Tx) error { return tx.SetDue("a", time.Unix(5, 0)) })
	before := get(t, s, "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if after := get(t, s, "a"); after.Revision != before.Revision || string(after.Body) != "1" || len(dueRows(t, s)) != 1 {
		t.Errorf("%v became %v", before, after)
	}
	put(t, s, "a", "2")
	if get(t, s, "a").Revision == before.Revision {
		t.Error("a revision was used twice")
	}
}

func testCounters(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "n", "")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				err := s.Update(ctx, func(tx store.Tx) error {
					rec, err := tx.Get("n")
					if err != nil {
						return err
					}
					return tx.Put("n", rec.Revision, append(rec.Body, 'x'))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(get(t, s, "n").Body); n != 200 {
		t.Errorf("%d of 200 increments", n)
	}
}

// Two updates that each read what the other writes must not both see the old state.
func testWriteSkew(t *testing.T, o Opener) {
	s := open(t, o)
	for round := range 50 {
		keys := [2]store.Key{store.Key(fmt.Sprintf("%d/a", round)), store.Key(fmt.Sprintf("%d/b", round))}
		var group sync.WaitGroup
		for i := range 2 {
			group.Go(func() {
				_ = s.Update(ctx, func(tx store.Tx) error {
					other, err := tx.Get(keys[1-i])
					if err != nil || other.Exists() {
						return errors.Join(err, errors.New("the other was first"))
					}
					return tx.Put(keys[i], 0, nil)
				})
			})
		}
		group.Wait()
		if get(t, s, keys[0]).Exists() == get(t, s, keys[1]).Exists() {
			t.Fatalf("round %d: both or none", round)
		}
	}
}

func testCopies(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "abc")
	rec := get(t, s, "a")
	copy(rec.Body, "xyz")
	if string(get(t, s, "a").Body) != "abc" {
		t.Error("a reader changed the store")
	}
}
