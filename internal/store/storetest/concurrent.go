package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coffer/internal/store"
)

// writeBoth changes two records in one Update, over and over, until stop is closed.
func writeBoth(s store.Store, stop chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		body := fmt.Appendf(nil, "%d", i)
		err := s.Update(ctx, func(tx store.Tx) error {
			for _, key := range []store.Key{"x", "y"} {
				rec, _ := tx.Get(key)
				if err := tx.Put(key, rec.Revision, body); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// withWriter runs fn while two records are changed together.
func withWriter(t *testing.T, s store.Store, fn func()) {
	t.Helper()
	put(t, s, "x", "0")
	put(t, s, "y", "0")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := writeBoth(s, stop); err != nil {
			t.Error(err)
		}
	})
	defer writer.Wait()
	defer close(stop)
	fn()
}

func testSnapshot(t *testing.T, o Opener) {
	s := open(t, o)
	withWriter(t, s, func() {
		for range 200 {
			recs, err := s.Get(ctx, store.Ask{Key: "x"}, store.Ask{Key: "y"})
			if err != nil || !bytes.Equal(recs[0].Body, recs[1].Body) {
				t.Fatalf("two states at once: %s %s %v", recs[0].Body, recs[1].Body, err)
			}
		}
	})
}

func testViewSnapshot(t *testing.T, o Opener) {
	s := open(t, o)
	withWriter(t, s, func() {
		for range 50 {
			view(t, s, func(tx store.Tx) error {
				x, err := tx.Get("x")
				recs, err2 := tx.Scan("", "", 2)
				if len(recs) != 2 || !bytes.Equal(recs[0].Body, x.Body) || !bytes.Equal(recs[1].Body, x.Body) {
					t.Errorf("two states at once: %s %v", x.Body, recs)
				}
				return errors.Join(err, err2)
			})
		}
	})
}

// What was acknowledged is seen by every read that begins afterwards, anywhere.
func testAcknowledged(t *testing.T, o Opener) {
	s := open(t, o)
	var group sync.WaitGroup
	for w := range 8 {
		told := make(chan int)
		key := store.Key(fmt.Sprintf("k%d", w))
		group.Go(func() {
			defer close(told)
			for i := range 20 {
				put(t, s, key, fmt.Sprint(i))
				told <- i
			}
		})
		group.Go(func() {
			for i := range told {
				var n int
				if _, err := fmt.Sscan(string(get(t, s, key).Body), &n); err != nil || n < i {
					t.Errorf("%s: %d was acknowledged, %d is there, %v", key, i, n, err)
				}
			}
		})
	}
	group.Wait()
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
		oneOfTwo(t, s, keys, func(tx store.Tx, other store.Key) (bool, error) {
			rec, err := tx.Get(other)
			return rec.Exists(), err
		})
	}
}

// The same with a scan: what is not there yet counts as read, too.
func testPhantoms(t *testing.T, o Opener) {
	s := open(t, o)
	for round := range 50 {
		prefix := store.Key(fmt.Sprintf("%d/", round))
		oneOfTwo(t, s, [2]store.Key{prefix + "a", prefix + "b"}, func(tx store.Tx, _ store.Key) (bool, error) {
			recs, err := tx.Scan(prefix, "", 1)
			return len(recs) > 0, err
		})
	}
}

// oneOfTwo puts both keys at once, each unless taken says that the other is there.
func oneOfTwo(t *testing.T, s store.Store, keys [2]store.Key, taken func(tx store.Tx, other store.Key) (bool, error)) {
	t.Helper()
	second := errors.New("the other was first")
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() {
			err := s.Update(ctx, func(tx store.Tx) error {
				is, err := taken(tx, keys[1-i])
				if err != nil || is {
					return errors.Join(err, second)
				}
				return tx.Put(keys[i], 0, nil)
			})
			if err != nil && !errors.Is(err, second) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if get(t, s, keys[0]).Exists() == get(t, s, keys[1]).Exists() {
		t.Fatalf("%q: both or none", keys)
	}
}
