package storetest

import (
	"errors"
	"strings"
	"testing"

	"coffer/internal/store"
)

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
	if rec := get(t, s, "empty"); !rec.Exists() || rec.Body == nil || len(rec.Body) != 0 {
		t.Errorf("an empty body: %v", rec)
	}
	update(t, s, func(tx store.Tx) error {
		err := tx.Put("nil", 0, nil)
		if rec, err := tx.Get("nil"); err != nil || !rec.Exists() || rec.Body == nil {
			t.Errorf("a nil body inside: %v, %v", rec, err)
		}
		return err
	})
	if rec := get(t, s, "nil"); !rec.Exists() || rec.Body == nil {
		t.Errorf("a nil body: %v", rec)
	}
	rec := get(t, s, "a")
	update(t, s, func(tx store.Tx) error { return tx.Delete("a", rec.Revision) })
	if rec := get(t, s, "a"); rec.Exists() || rec.Body != nil {
		t.Error("deleted, and there")
	}
}

// One record per ask, in the order of the asks, whatever they ask for.
func testManyAsks(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	put(t, s, "b", "2")
	recs, err := s.Get(ctx, store.Ask{Key: "b"}, store.Ask{Key: "none"}, store.Ask{Key: "a"}, store.Ask{Key: "b"})
	if err != nil || len(recs) != 4 {
		t.Fatalf("%v, %v", recs, err)
	}
	for i, want := range []struct {
		key  store.Key
		body string
	}{{"b", "2"}, {"none", ""}, {"a", "1"}, {"b", "2"}} {
		if recs[i].Key != want.key || string(recs[i].Body) != want.body || recs[i].Exists() != (want.body != "") {
			t.Errorf("%d: %v", i, recs[i])
		}
	}
	if recs, err := s.Get(ctx); err != nil || len(recs) != 0 {
		t.Errorf("no asks: %v, %v", recs, err)
	}
}

func testIfNot(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "k", "1")
	rec := get(t, s, "k")
	recs, err := s.Get(ctx, store.Ask{Key: "k", IfNot: rec.Revision}, store.Ask{Key: "k", IfNot: rec.Revision + 7}, store.Ask{Key: "none", IfNot: 3})
	if err != nil || recs[0].Body != nil || recs[0].Revision != rec.Revision || string(recs[1].Body) != "1" || recs[2].Exists() {
		t.Errorf("%v, %v", recs, err)
	}
	put(t, s, "k", "2")
	recs, err = s.Get(ctx, store.Ask{Key: "k", IfNot: rec.Revision})
	if err != nil || string(recs[0].Body) != "2" {
		t.Errorf("changed, and not returned: %v, %v", recs, err)
	}
}

// The body that a reader got is its own, and the store keeps none of the writer's.
func testCopies(t *testing.T, o Opener) {
	s := open(t, o)
	mine := []byte("abc")
	update(t, s, func(tx store.Tx) error {
		if err := tx.Put("a", 0, mine); err != nil {
			return err
		}
		rec, err := tx.Get("a")
		copy(rec.Body, "xyz")
		recs, err2 := tx.Scan("a", "", 1)
		copy(recs[0].Body, "xyz")
		return errors.Join(err, err2)
	})
	copy(mine, "xyz")
	rec := get(t, s, "a")
	copy(rec.Body, "xyz")
	view(t, s, func(tx store.Tx) error {
		recs, err := tx.Scan("a", "", 1)
		copy(recs[0].Body, "xyz")
		return err
	})
	if string(get(t, s, "a").Body) != "abc" {
		t.Error("a caller changed the store")
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
		for _, wrong := range []error{
			s.Update(ctx, func(tx store.Tx) error { return tx.Put("k", second, nil) }),
			s.Update(ctx, func(tx store.Tx) error { return tx.Delete("k", second) }),
			s.Update(ctx, func(tx store.Tx) error { return tx.Delete("k", 0) }),
		} {
			if !errors.Is(wrong, store.ErrChanged) {
				t.Errorf("a deleted record: %v", wrong)
			}
		}
		if err := s.Close(); err != nil { // nor after a restart
			t.Fatal(err)
		}
		s = open(t, o)
	}
}

// Nothing of an Update is kept that came upon another revision.
func testChanged(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	put(t, s, "b", "1")
	a, b := get(t, s, "a"), get(t, s, "b")
	put(t, s, "b", "2")
	err := s.Update(ctx, func(tx store.Tx) error {
		if err := tx.Put("a", a.Revision, []byte("2")); err != nil {
			return err
		}
		return tx.Put("b", b.Revision, []byte("3"))
	})
	if !errors.Is(err, store.ErrChanged) || get(t, s, "a").Revision != a.Revision || string(get(t, s, "b").Body) != "2" {
		t.Errorf("%v", err)
	}
}

func testLimits(t *testing.T, o Opener) {
	s := open(t, o)
	long := store.Key(strings.Repeat("k", store.MaxKey))
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Put(long, 0, make([]byte, store.MaxBody)), tx.SetDue(long, second(5)))
	})
	if len(get(t, s, long).Body) != store.MaxBody || len(dueRows(t, s)) != 1 {
		t.Error("the largest record was not kept")
	}
	for name, fn := range map[string]func(store.Tx) error{
		"key":  func(tx store.Tx) error { return tx.Put(long+"k", 0, nil) },
		"due":  func(tx store.Tx) error { return tx.SetDue(long+"k", second(1)) },
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
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, second(1)) }); err == nil {
			t.Errorf("the key %q became due", key)
		}
	}
}

// Keys are bytes in the order of bytes, and bodies are any bytes.
func testAnyBytes(t *testing.T, o Opener) {
	s := open(t, o)
	keys := []store.Key{"\x01", "\x7f", "é", "\xff", "\xff\x01", "\xff\xff"}
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	for i := range keys {
		put(t, s, keys[len(keys)-1-i], string(body))
	}
	view(t, s, func(tx store.Tx) error {
		recs, err := tx.Scan("", "", 100)
		if err != nil || len(recs) != len(keys) {
			t.Fatalf("%v, %v", recs, err)
		}
		for i, rec := range recs {
			if rec.Key != keys[i] || string(rec.Body) != string(body) {
				t.Errorf("%d: %q", i, rec.Key)
			}
		}
		recs, err = tx.Scan("\xff", "\xff", 100)
		if len(recs) != 2 || recs[0].Key != "\xff\x01" {
			t.Errorf("%v", recs)
		}
		return err
	})
}
