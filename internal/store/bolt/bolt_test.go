package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/store/storetest"
)

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

func TestSecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	open(t, path, bolt.Options{})
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	open(t, path, bolt.Options{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestEphemeralHasNoName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{Ephemeral: true})
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", 0, []byte("x")) }); err != nil {
		t.Error(err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", 0, make([]byte, 100_000)) }); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	whole, _ := os.ReadFile(path)
	for name, text := range map[string][]byte{"text": []byte(strings.Repeat("hello ", 10_000)), "cut": whole[:5000], "tiny": []byte("x")} {
		other := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(other, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.Open(other, bolt.Options{}); err == nil {
			t.Errorf("%s was opened", name)
		}
		if after, _ := os.ReadFile(other); string(after) != string(text) {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestFullDisk(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), bolt.Options{MaxSize: 256 << 10})
	ctx := context.Background()
	put := func(key store.Key, size int) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.Put(key, 0, make([]byte, size)) })
	}
	if err := put("small", 10); err != nil {
		t.Fatal(err)
	}
	err := put("large", 1<<20)
	if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "free disk space") {
		t.Errorf("%v", err)
	}
	recs, err := s.Get(ctx, store.Ask{Key: "small"}, store.Ask{Key: "large"})
	if err != nil || !recs[0].Exists() || recs[1].Exists() {
		t.Errorf("%v, %v", recs, err)
	}
	if err := put("small2", 10); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
}

// Updates of many writers, which share commits, are all there.
func TestManyWriters(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"), bolt.Options{})
	var group sync.WaitGroup
	for w := range 32 {
		group.Go(func() {
			for i := range 10 {
				key := store.Key(fmt.Sprintf("%d/%d", w, i))
				if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, 0, nil) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	err := s.View(context.Background(), func(tx store.Tx) error {
		recs, err := tx.Scan("", "", 1000)
		if len(recs) != 320 {
			t.Errorf("%d of 320 records", len(recs))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestMain runs the writer of TestKill when it is asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("COFFER_TEST_WRITER"); path != "" {
		writer(path)
	}
	os.Exit(m.Run())
}

// writer writes until it is killed, and says what was acknowledged.
func writer(path string) {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		panic(err)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := store.Key(fmt.Sprintf("%d/%d/%d", os.Getpid(), w, i))
				if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, 0, []byte(key)) }); err != nil {
					panic(err)
				}
				fmt.Println(key)
			}
		}()
	}
	select {}
}

// What was acknowledged before kill -9 is there afterwards.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var acknowledged []store.Key
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "COFFER_TEST_WRITER="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if !strings.HasSuffix(lines.Text(), "\n") && strings.Count(lines.Text(), "/") == 2 {
				acknowledged = append(acknowledged, store.Key(lines.Text()))
			}
			if n == 3+round*5 {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait()
	}
	s := open(t, path, bolt.Options{})
	if len(acknowledged) < 50 {
		t.Fatalf("only %d writes were acknowledged", len(acknowledged))
	}
	for _, key := range acknowledged[:len(acknowledged)-1] { // the last line may be torn
		recs, err := s.Get(context.Background(), store.Ask{Key: key})
		if err != nil || string(recs[0].Body) != string(key) {
			t.Errorf("%s was acknowledged and is gone: %v", key, err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "store"), bolt.Options{})
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			key := store.Key(fmt.Sprintf("%p/%d", pb, i))
			if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, 0, make([]byte, 500)) }); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "updates/s")
}
