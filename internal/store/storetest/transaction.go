package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/store"
)

func second(n int64) time.Time { return time.Unix(n, 0) }

func testScan(t *testing.T, o Opener) {
	s := open(t, o)
	for _, key := range []store.Key{"p/c", "p/a", "p/b", "p", "q/a", "o/z", "p/a-b", "p/a/1"} {
		put(t, s, key, string(key))
	}
	view(t, s, func(tx store.Tx) error {
		for _, test := range []struct {
			prefix, after store.Key
			limit         int
			want          string
		}{
			{"p/", "", 9, "p/a p/a-b p/a/1 p/b p/c"}, {"p/", "", 2, "p/a p/a-b"}, {"p/", "p/a-b", 2, "p/a/1 p/b"}, {"p/", "p/c", 2, ""},
			{"p/", "p/aa", 1, "p/b"}, {"", "", 2, "o/z p"}, {"z", "", 2, ""}, {"p/", "a", 1, "p/a"}, {"p/", "q", 1, ""}, {"p/", "p/", 1, "p/a"},
			{"p", "", 2, "p p/a"}, {"p", "p", 1, "p/a"}, {"p/a", "", 9, "p/a p/a-b p/a/1"},
		} {
			recs, err := tx.Scan(test.prefix, test.after, test.limit)
			if err != nil || keysOf(t, recs) != test.want {
				t.Errorf("scan %q after %q: %v, %v", test.prefix, test.after, keysOf(t, recs), err)
			}
		}
		if _, err := tx.Scan("p", "", 0); err == nil {
			t.Error("a limit of 0")
		}
		return nil
	})
}

// keysOf checks that every record has its key as its body.
func keysOf(t *testing.T, recs []store.Record) string {
	t.Helper()
	var keys []string
	for _, rec := range recs {
		keys = append(keys, string(rec.Key))
		if string(rec.Body) != string(rec.Key) || !rec.Exists() {
			t.Errorf("%v", rec)
		}
	}
	return strings.Join(keys, " ")
}

// Going on after the last key of a page finds every record once, for any page size.
func testScanPages(t *testing.T, o Opener) {
	s := open(t, o)
	update(t, s, func(tx store.Tx) error {
		for i := range 25 {
			for _, kind := range []string{"a", "b", "c"} {
				if err := tx.Put(store.Key(fmt.Sprintf("%s/%02d", kind, i)), 0, nil); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, size := range []int{1, 4, 5, 24, 25, 26, 1000} {
		view(t, s, func(tx store.Tx) error {
			n := 0
			for after, more := store.Key(""), true; more; {
				recs, err := tx.Scan("b/", after, size)
				if err != nil || len(recs) > size {
					t.Fatalf("%d records, %v", len(recs), err)
				}
				for _, rec := range recs {
					if rec.Key != store.Key(fmt.Sprintf("b/%02d", n)) {
						t.Errorf("page size %d: %q at %d", size, rec.Key, n)
					}
					n, after = n+1, rec.Key
				}
				more = len(recs) == size
			}
			if n != 25 {
				t.Errorf("page size %d: %d records", size, n)
			}
			return nil
		})
	}
}

func testOwnChanges(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "d", "old")
	var inside store.Revision
	update(t, s, func(tx store.Tx) error {
		if err := tx.Put("a", 0, []byte("new")); err != nil {
			return err
		}
		if err := tx.Put("a", 0, nil); !errors.Is(err, store.ErrChanged) {
			t.Errorf("put twice as if it was not there: %v", err)
		}
		a, err := tx.Get("a")
		if err != nil || string(a.Body) != "new" || !a.Exists() {
			t.Errorf("%v, %v", a, err)
		}
		inside = a.Revision
		d, _ := tx.Get("d")
		if err := errors.Join(tx.Put("a", a.Revision, []byte("newer")), tx.Delete("d", d.Revision)); err != nil {
			return err
		}
		if gone, err := tx.Get("d"); err != nil || gone.Exists() || gone.Body != nil || gone.Key != "d" {
			t.Errorf("%v, %v", gone, err)
		}
		if err := tx.Delete("d", d.Revision); !errors.Is(err, store.ErrChanged) {
			t.Errorf("deleted twice: %v", err)
		}
		if err := tx.Put("d", 0, []byte("again")); err != nil {
			return err
		}
		b := tx.Put("b", 0, nil)
		rec, _ := tx.Get("b")
		return errors.Join(b, tx.Delete("b", rec.Revision))
	})
	if rec := get(t, s, "a"); string(rec.Body) != "newer" || rec.Revision == inside {
		t.Errorf("%v, inside it was %d", rec, inside)
	}
	if string(get(t, s, "d").Body) != "again" || get(t, s, "b").Exists() {
		t.Error("deleted and put again, or put and deleted")
	}
}

// A scan inside an Update gives what a scan after its commit would.
func testScanMerges(t *testing.T, o Opener) {
	s := open(t, o)
	for _, key := range []store.Key{"p/b", "p/d", "p/f", "p/h", "q"} {
		put(t, s, key, "old")
	}
	update(t, s, func(tx store.Tx) error {
		for _, key := range []store.Key{"o", "p/a", "p/b", "p/c", "p/g", "p/i", "q"} {
			rec, _ := tx.Get(key)
			if err := tx.Put(key, rec.Revision, []byte(key)); err != nil {
				return err
			}
		}
		for _, key := range []store.Key{"p/d", "p/h"} {
			rec, _ := tx.Get(key)
			if err := tx.Delete(key, rec.Revision); err != nil {
				return err
			}
		}
		f, _ := tx.Get("p/f")
		if err := tx.Put("p/f", f.Revision, []byte("p/f")); err != nil {
			return err
		}
		for _, test := range []struct {
			after store.Key
			limit int
			want  string
		}{
			{"", 99, "p/a p/b p/c p/f p/g p/i"}, {"", 1, "p/a"}, {"p/a", 2, "p/b p/c"}, {"p/c", 2, "p/f p/g"}, {"p/d", 1, "p/f"},
			{"p/g", 9, "p/i"}, {"p/h", 9, "p/i"}, {"p/i", 9, ""}, {"o", 1, "p/a"},
		} {
			recs, err := tx.Scan("p/", test.after, test.limit)
			if err != nil || keysOf(t, recs) != test.want {
				t.Errorf("after %q: %s, %v", test.after, keysOf(t, recs), err)
			}
		}
		return nil
	})
}

func testFailingFunction(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	mine := errors.New("mine")
	err := s.Update(ctx, func(tx store.Tx) error {
		rec, _ := tx.Get("a")
		_ = tx.Put("a", rec.Revision, []byte("2"))
		_ = tx.Put("b", 0, nil)
		_ = tx.SetDue("a", second(1))
		return mine
	})
	if !errors.Is(err, mine) || string(get(t, s, "a").Body) != "1" || get(t, s, "b").Exists() || len(dueRows(t, s)) != 0 {
		t.Errorf("%v; something was kept", err)
	}
	if err := s.View(ctx, func(store.Tx) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("a view returned %v", err)
	}
}

func testPanic(t *testing.T, o Opener) {
	s := open(t, o)
	var others sync.WaitGroup
	for i := range 20 {
		others.Go(func() { put(t, s, store.Key(fmt.Sprintf("k%d", i)), "x") })
	}
	for _, call := range []func() error{
		func() error {
			return s.Update(ctx, func(tx store.Tx) error { _ = tx.Put("bad", 0, nil); panic("boom") })
		},
		func() error { return s.View(ctx, func(store.Tx) error { panic("boom") }) },
	} {
		func() {
			defer func() {
				if cause := recover(); cause != "boom" {
					t.Errorf("what came out was %v", cause)
				}
			}()
			_ = call()
		}()
	}
	others.Wait()
	if get(t, s, "bad").Exists() || !get(t, s, "k19").Exists() {
		t.Error("a panic changed something, or harmed others")
	}
}

// A test that ends inside a function must not take the store with it.
func testGoexit(t *testing.T, o Opener) {
	s := open(t, o)
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.Update(ctx, func(tx store.Tx) error { _ = tx.Put("bad", 0, nil); runtime.Goexit(); return nil })
	})
	group.Go(func() {
		_ = s.View(ctx, func(tx store.Tx) error { runtime.Goexit(); return nil })
	})
	group.Wait()
	put(t, s, "good", "x")
	if get(t, s, "bad").Exists() {
		t.Error("something was kept")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func testReadOnly(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	view(t, s, func(tx store.Tx) error {
		rec, _ := tx.Get("a")
		for _, err := range []error{tx.Put("b", 0, nil), tx.Delete("a", rec.Revision), tx.SetDue("a", second(1))} {
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%v", err)
			}
		}
		return nil
	})
	if get(t, s, "b").Exists() || !get(t, s, "a").Exists() || len(dueRows(t, s)) != 0 {
		t.Error("a view changed something")
	}
}

// An Update may change nothing, also as the first one of all.
func testNothingChanged(t *testing.T, o Opener) {
	s := open(t, o)
	for range 2 {
		update(t, s, func(tx store.Tx) error {
			rec, err := tx.Get("a")
			recs, err2 := tx.Scan("", "", 1)
			rows, err3 := tx.Due(second(1000), 1)
			if len(recs) != len(rec.Body) || len(rows) != len(rec.Body) {
				t.Errorf("%v, %v, %v", rec, recs, rows)
			}
			return errors.Join(err, err2, err3)
		})
		update(t, s, func(tx store.Tx) error { return nil })
		put(t, s, "a", "1")
		update(t, s, func(tx store.Tx) error { return tx.SetDue("a", second(1)) })
	}
}

func testContext(t *testing.T, o Opener) {
	s := open(t, o)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Get(ended, store.Ask{Key: "a"})
	for _, err := range []error{
		err,
		s.View(ended, func(store.Tx) error { return nil }),
		s.Update(ended, func(tx store.Tx) error { return tx.Put("a", 0, nil) }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	inside, cancel := context.WithCancel(ctx)
	err = s.Update(inside, func(tx store.Tx) error { cancel(); return tx.Put("a", 0, nil) })
	if !errors.Is(err, context.Canceled) || get(t, s, "a").Exists() {
		t.Errorf("ended inside: %v", err)
	}
	late, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.Update(late, func(tx store.Tx) error { return tx.Put("a", 0, nil) }); err != nil {
		t.Error(err)
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

// Close waits for the calls under way: each of them ends as if nothing was closed, or is
// refused before it began.
func testCloseWaits(t *testing.T, o Opener) {
	s := open(t, o)
	var kept, refused sync.Map
	var calls sync.WaitGroup
	begun := make(chan struct{}, 64)
	for i := range 64 {
		calls.Go(func() {
			key := store.Key(fmt.Sprintf("k%d", i))
			begun <- struct{}{}
			switch err := s.Update(ctx, func(tx store.Tx) error { return tx.Put(key, 0, nil) }); {
			case err == nil:
				kept.Store(key, true)
			case errors.Is(err, store.ErrClosed):
				refused.Store(key, true)
			default:
				t.Error(err)
			}
			if _, err := s.Get(ctx, store.Ask{Key: key}); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
	}
	for range 16 {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
	s = open(t, o)
	for i := range 64 {
		key := store.Key(fmt.Sprintf("k%d", i))
		_, was := kept.Load(key)
		_, not := refused.Load(key)
		if get(t, s, key).Exists() != was || was == not {
			t.Errorf("%s: acknowledged %v, refused %v", key, was, not)
		}
	}
}

func testReopen(t *testing.T, o Opener) {
	s := open(t, o)
	if err := s.Close(); err != nil { // nothing was written yet
		t.Fatal(err)
	}
	s = open(t, o)
	put(t, s, "a", "1")
	update(t, s, func(tx store.Tx) error { return tx.SetDue("a", second(5)) })
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
