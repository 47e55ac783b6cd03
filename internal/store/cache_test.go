package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"coffer/internal/store"
)

func TestCacheAsksAndRevalidates(t *testing.T) {
	cache := store.NewCache[string](2)
	parses := 0
	parse := func(rec store.Record) (string, error) { parses++; return string(rec.Body), nil }
	look := cache.Look("a")
	if look.Ask().IfNot != 0 {
		t.Error("an empty cache knows a revision")
	}
	if v, ok, err := look.Value(store.Record{Key: "a", Revision: 5, Body: []byte("x")}, parse); v != "x" || !ok || err != nil {
		t.Error(v, ok, err)
	}
	held := cache.Look("a")
	for _, key := range []store.Key{"b", "c", "d"} { // the entry goes, the look keeps its value
		_, _, _ = cache.Look(key).Value(store.Record{Key: key, Revision: 1}, parse)
	}
	parses = 0
	if v, ok, err := held.Value(store.Record{Key: "a", Revision: 5}, parse); v != "x" || !ok || err != nil || parses != 0 {
		t.Error(v, ok, err, parses)
	}
	if cache.Look("a").Ask().IfNot != 0 {
		t.Error("the cache grew over its bound")
	}
	if v, _, _ := held.Value(store.Record{Key: "a", Revision: 6, Body: []byte("y")}, parse); v != "y" {
		t.Errorf("a stale value: %q", v)
	}
	if _, ok, err := cache.Look("a").Value(store.Record{Key: "a"}, parse); ok || err != nil {
		t.Error("a record that is gone was found")
	}
	broken := errors.New("broken")
	if _, _, err := cache.Look("a").Value(store.Record{Key: "a", Revision: 7}, func(store.Record) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A memo is what the tests parse: the body and the revision it was made of.
type memo struct {
	body     string
	revision store.Revision
}

func parseMemo(rec store.Record) (memo, error) {
	return memo{string(rec.Body), rec.Revision}, nil
}

func TestCacheForgetsWhatWasNotUsedForTheLongestTime(t *testing.T) {
	cache := store.NewCache[memo](3)
	keep := func(key store.Key, revision store.Revision) {
		t.Helper()
		if _, ok, err := cache.Look(key).Value(store.Record{Key: key, Revision: revision}, parseMemo); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	keep("a", 1)
	keep("b", 2)
	keep("c", 3)
	cache.Look("a") // used
	keep("b", 4)    // parsed anew: used as well
	keep("d", 5)    // so c goes
	for key, want := range map[store.Key]store.Revision{"a": 1, "b": 4, "c": 0, "d": 5} {
		if got := cache.Look(key).Ask(); got.IfNot != want || got.Key != key {
			t.Errorf("%s: asks %+v, want revision %d", key, got, want)
		}
	}
}

func TestCacheDoesNotKeepWhatCannotBeParsed(t *testing.T) {
	cache := store.NewCache[memo](2)
	broken := errors.New("broken")
	fail := func(store.Record) (memo, error) { return memo{"half", 9}, broken }
	if v, ok, err := cache.Look("a").Value(store.Record{Key: "a", Revision: 1}, fail); v != (memo{}) || ok || !errors.Is(err, broken) {
		t.Error(v, ok, err)
	}
	if cache.Look("a").Ask().IfNot != 0 {
		t.Error("what could not be parsed is held")
	}
	if _, ok, err := cache.Look("a").Value(store.Record{Key: "a", Revision: 2, Body: []byte("x")}, parseMemo); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, _, _ = cache.Look("a").Value(store.Record{Key: "a", Revision: 3}, fail)
	if v, _, _ := cache.Look("a").Value(store.Record{Key: "a", Revision: 2}, parseMemo); v != (memo{"x", 2}) {
		t.Errorf("the good value is gone: %+v", v)
	}
}

func TestCacheForgetsWhatDoesNotExist(t *testing.T) {
	cache := store.NewCache[memo](2)
	never := func(store.Record) (memo, error) { t.Error("parsed"); return memo{}, nil }
	_, _, _ = cache.Look("a").Value(store.Record{Key: "a", Revision: 1}, parseMemo)
	held := cache.Look("a")
	for range 2 {
		if v, ok, err := cache.Look("a").Value(store.Record{Key: "a"}, never); v != (memo{}) || ok || err != nil {
			t.Error(v, ok, err)
		}
	}
	if cache.Look("a").Ask().IfNot != 0 {
		t.Error("what was deleted is held")
	}
	// The store's promise is to the look, not to the cache: an answer from a snapshot of
	// before the deletion is still good.
	if v, ok, err := held.Value(store.Record{Key: "a", Revision: 1}, never); !ok || err != nil || v.revision != 1 {
		t.Error(v, ok, err)
	}
}

// Whatever others do to the cache in between, a look returns the value of the revision
// that the store answered with. Run with -race.
func TestCacheIsNeverStale(t *testing.T) {
	cache := store.NewCache[memo](3)
	keys := []store.Key{"a", "b", "c", "d", "e"}
	var revisions [5]atomic.Uint64
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 2000 {
				i := (n*7 + g) % len(keys)
				if (n+g)%11 == 0 {
					revisions[i].Add(1)
				}
				look := cache.Look(keys[i])
				rec := store.Record{Key: keys[i], Revision: store.Revision(revisions[i].Load())}
				if rec.Revision != look.Ask().IfNot {
					rec.Body = fmt.Append(nil, rec.Revision)
				}
				v, ok, err := look.Value(rec, parseMemo)
				if err != nil || ok != rec.Exists() || ok && (v.revision != rec.Revision || v.body != fmt.Sprint(rec.Revision)) {
					t.Errorf("%s at %d: %+v, %v, %v", rec.Key, rec.Revision, v, ok, err)
					return
				}
			}
		})
	}
	group.Wait()
}
