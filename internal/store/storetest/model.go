package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/store"
)

// A model is what a store has to hold, in maps.
type model struct {
	bodies map[store.Key]string
	dues   map[store.Key]int64 // seconds
}

func (m model) copy() model { return model{bodies: maps.Clone(m.bodies), dues: maps.Clone(m.dues)} }

// testModel does what comes, to a store and to a model of it, and compares them: inside
// every transaction, after every commit, after every failure and after every restart.
func testModel(t *testing.T, o Opener) {
	s := open(t, o)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	is := model{bodies: map[store.Key]string{}, dues: map[store.Key]int64{}}
	fail := errors.New("changed my mind")
	for round := range 150 {
		next := is.copy()
		fails := random.IntN(4) == 0
		seed := random.Uint64()
		err := s.Update(ctx, func(tx store.Tx) error {
			next = is.copy()
			steps := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same in a rerun
			for range steps.IntN(8) {
				if err := next.step(tx, steps); err != nil {
					return err
				}
			}
			next.compare(t, tx, steps)
			if fails {
				return fail
			}
			return nil
		})
		switch {
		case err == nil:
			is = next
		case !fails || !errors.Is(err, fail):
			t.Fatal(err)
		}
		if round%25 == 24 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, o)
		}
		view(t, s, func(tx store.Tx) error { is.compare(t, tx, random); return nil })
	}
}

// step makes one change to both.
func (m model) step(tx store.Tx, random *rand.Rand) error {
	key := store.Key(fmt.Sprintf("%c/%d", 'a'+random.IntN(3), random.IntN(20)))
	rec, err := tx.Get(key)
	if err != nil {
		return err
	}
	switch random.IntN(5) {
	case 0, 1:
		body := strings.Repeat(string(key), random.IntN(3000))
		m.bodies[key] = body
		return tx.Put(key, rec.Revision, []byte(body))
	case 2, 3:
		at := 1 + random.Int64N(20)
		m.dues[key] = at
		return tx.SetDue(key, second(at))
	}
	if !rec.Exists() {
		delete(m.dues, key)
		return tx.SetDue(key, time.Time{})
	}
	delete(m.bodies, key)
	delete(m.dues, key)
	return tx.Delete(key, rec.Revision)
}

// compare reads everything, in pages of any size.
func (m model) compare(t *testing.T, tx store.Tx, random *rand.Rand) {
	t.Helper()
	want := slices.Sorted(maps.Keys(m.bodies))
	size, after := 1+random.IntN(40), store.Key("")
	for n := 0; ; {
		recs, err := tx.Scan("", after, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if n >= len(want) || rec.Key != want[n] || string(rec.Body) != m.bodies[rec.Key] || !rec.Exists() {
				t.Fatalf("record %d is %q, of %d", n, rec.Key, len(want))
			}
			n, after = n+1, rec.Key
		}
		if len(recs) < size {
			if n != len(want) {
				t.Fatalf("%d of %d records", n, len(want))
			}
			break
		}
	}
	m.compareDues(t, tx, second(1+random.Int64N(20)), 1+random.IntN(40))
}

func (m model) compareDues(t *testing.T, tx store.Tx, until time.Time, limit int) {
	t.Helper()
	var want []store.Due
	for key, at := range m.dues {
		if !second(at).After(until) {
			want = append(want, store.Due{Key: key, At: second(at).UTC()})
		}
	}
	slices.SortFunc(want, func(a, b store.Due) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key, b.Key))
	})
	want = want[:min(limit, len(want))]
	if got, err := tx.Due(until, limit); err != nil || !slices.Equal(got, want) {
		t.Fatalf("due: %v, %v; want %v", got, err, want)
	}
}
