package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/store/storetest"
)

var ctx = context.Background()

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "store")
		return func(t *testing.T) store.Store { return open(t, path, bolt.Options{}) }
	})
}

func open(t testing.TB, path string, o bolt.Options) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fresh(t testing.TB, o bolt.Options) *bolt.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "store"), o)
}

// put puts a record that must not be there.
func put(s store.Store, key store.Key, body []byte) error {
	return s.Update(ctx, func(tx store.Tx) error { return tx.Put(key, 0, body) })
}

func exists(t testing.TB, s store.Store, key store.Key) bool {
	t.Helper()
	recs, err := s.Get(ctx, store.Ask{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0].Exists()
}

func TestSecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	for range 2 {
		if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
		if err := put(s, store.Key(fmt.Sprint(runtime.NumGoroutine())), nil); err != nil && !errors.Is(err, store.ErrChanged) {
			t.Errorf("the first one was harmed: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, bolt.Options{})
}

// Of many that make the same store at the same time, one does.
func TestOneOfManyMakesIt(t *testing.T) {
	for round := range 10 {
		path := filepath.Join(t.TempDir(), fmt.Sprint(round))
		var won atomic.Pointer[bolt.Store]
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				s, err := bolt.Open(path, bolt.Options{})
				if err == nil && !won.CompareAndSwap(nil, s) {
					t.Error("two have it open")
				}
				if err != nil && !errors.Is(err, store.ErrLocked) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() == nil {
			t.Fatal("nobody has it open")
		}
		if err := won.Load().Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "store")
	open(t, path, bolt.Options{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestEphemeralHasNoName(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"), bolt.Options{Ephemeral: true})
	if err := put(s, "a", make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if !exists(t, s, "a") {
		t.Error("not there")
	}
	if runtime.GOOS != "windows" && len(names(t, dir)) != 0 {
		t.Errorf("on the disk: %v", names(t, dir))
	}
	if err := s.Close(); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("on the disk afterwards: %v, %v", names(t, dir), err)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// wholeFile returns the bytes of a store with one large record.
func wholeFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	for i := range 3 {
		if err := put(s, store.Key(fmt.Sprint(i)), make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// otherProgram returns the bytes of a file of bbolt that is no store.
func otherProgram(t *testing.T, o bbolt.Options) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other")
	db, err := bbolt.Open(path, 0o600, &o)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("records"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	whole := wholeFile(t)
	files := map[string][]byte{
		"text": []byte(strings.Repeat("hello ", 10_000)), "tiny": []byte("x"), "zeros": make([]byte, 16384),
		"other program": otherProgram(t, bbolt.Options{}), "other program's free list": otherProgram(t, bbolt.Options{NoFreelistSync: true}),
		"no metas": append(make([]byte, 2*os.Getpagesize()), whole[2*os.Getpagesize():]...),
	}
	for cut := 1000; cut < 300_000; cut += 30_000 {
		files[fmt.Sprintf("cut at %d", cut)] = whole[:cut]
	}
	for name, text := range files {
		path := filepath.Join(t.TempDir(), "store")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bolt.Open(path, bolt.Options{})
		if err == nil || errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(text) {
			t.Errorf("%s was changed", name)
		}
	}
}

// The meta page that was being written when the power failed does not count; the other
// one does.
func TestTornMetaIsSurvived(t *testing.T) {
	whole := wholeFile(t)
	for page := range 2 {
		for at := 16; at < 80; at += 4 {
			torn := append([]byte(nil), whole...)
			torn[page*os.Getpagesize()+at] ^= 0xff
			path := filepath.Join(t.TempDir(), "store")
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, bolt.Options{})
			if !exists(t, s, "0") || !exists(t, s, "1") {
				t.Fatal("a record is gone")
			}
			if err := errors.Join(put(s, "new", nil), s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "store")} {
		if _, err := bolt.Open(path, bolt.Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzOpen: whatever was done to a file, it is opened or refused, and a file that is
// refused is not changed.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	s := open(f, path, bolt.Options{})
	if err := errors.Join(put(s, "a", []byte("x")), s.Close()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), []byte{}, len(whole))
	f.Add(uint16(0), []byte("not a store"), len(whole))
	f.Add(uint16(os.Getpagesize()), whole[:80], len(whole))
	f.Add(uint16(3*os.Getpagesize()+10), []byte{9}, len(whole))
	f.Add(uint16(0), []byte{}, len(whole)/2)
	f.Fuzz(func(t *testing.T, at uint16, patch []byte, size int) {
		raw := append([]byte(nil), whole...)
		copy(raw[min(int(at), len(raw)):], patch)
		raw = raw[:min(max(size, 0), len(raw))]
		openDamaged(t, raw)
	})
}

func openDamaged(t *testing.T, raw []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		if after, _ := os.ReadFile(path); string(after) != string(raw) {
			t.Error("refused, and changed")
		}
		return
	}
	_, _ = s.Get(ctx, store.Ask{Key: "a"}) // an error or an answer, not a crash
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := fresh(b, bolt.Options{})
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := put(s, store.Key(fmt.Sprintf("k/%d", n.Add(1))), make([]byte, 500)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	s := fresh(b, bolt.Options{})
	for i := range 1000 {
		if err := put(s, store.Key(fmt.Sprintf("k/%d", i)), make([]byte, 500)); err != nil {
			b.Fatal(err)
		}
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			key := store.Key(fmt.Sprintf("k/%d", i%1000))
			if recs, err := s.Get(ctx, store.Ask{Key: "k/1"}, store.Ask{Key: "k/2"}, store.Ask{Key: key}); err != nil || !recs[2].Exists() {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenFresh(b *testing.B) {
	for name, o := range map[string]bolt.Options{"durable": {}, "ephemeral": {Ephemeral: true}} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				s, err := bolt.Open(filepath.Join(dir, fmt.Sprint(i)), o)
				if err != nil {
					b.Fatal(err)
				}
				_ = s.Close()
			}
		})
	}
}
