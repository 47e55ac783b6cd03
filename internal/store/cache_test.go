package store_test

import (
	"errors"
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
