package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// A moving says which file a child moves to which database.
type moving struct{ Store, URL, RootKeyFile, AuditFile string }

// migrateChild moves a store until it is done or killed.
func migrateChild(text string) {
	var m moving
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	to := server.Config{Domain: "a.example.com", Postgres: &server.PostgresConfig{URL: m.URL}, RootKeyFile: m.RootKeyFile, AuditFile: m.AuditFile}
	if _, err := to.Migrate(context.Background(), server.Config{Store: m.Store}, slog.New(slog.DiscardHandler)); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// furnished makes a store with something of everything in it.
func furnished(t *testing.T, root seal.RootKey) server.Config {
	t.Helper()
	o := options(t.TempDir(), root)
	w := newWorld(t, o)
	w.furnish(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return server.Config{Domain: "a.example.com", Listen: "127.0.0.1:0", Store: o.StorePath, RootKeyFile: filepath.Join(filepath.Dir(o.StorePath), "unused"), AuditFile: filepath.Join(t.TempDir(), "audit.log")}
}

// fill puts many records into a store's file, so that moving them takes a while.
func fill(t *testing.T, path string) {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		for n := range 3000 {
			key := store.Key(fmt.Sprintf("zz/%04d", n))
			if err := errors.Join(tx.Put(key, 0, []byte(strings.Repeat("x", n))), tx.SetDue(key, time.UnixMilli(int64(n)))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What cannot be moved changes nothing.
func TestMigrateRefuses(t *testing.T) {
	root, quiet := rootKey(t), slog.New(slog.DiscardHandler)
	from := furnished(t, root)
	for name, test := range map[string]struct {
		from, to server.Config
		want     string
	}{
		"another root key":     {from, elsewhere(t, rootKey(t)), "nothing was changed"},
		"another installation": {from, occupied(t, root), "another installation is there"},
		"no source":            {elsewhere(t, root), elsewhere(t, root), "cannot be opened"},
		"itself":               {from, server.Config{Domain: "a.example.com", Store: from.Store, RootKeyFile: elsewhere(t, root).RootKeyFile}, "open in another process"},
	} {
		before, _ := os.ReadFile(test.to.Store)
		if _, err := test.to.Migrate(t.Context(), test.from, quiet); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(test.to.Store); string(before) != string(after) {
			t.Errorf("%s: the store to move to was changed", name)
		}
	}
}

// occupied is a store that has another installation.
func occupied(t *testing.T, root seal.RootKey) server.Config {
	c := elsewhere(t, root)
	o := options(t.TempDir(), root)
	if err := newWorld(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	c.Store = o.StorePath
	return c
}

// A countdown is a context that is canceled when it was looked at so often.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An attempt that was ended goes on, though the source was used in between: what it does not have
// any more is not there afterwards.
func TestMigrateResumes(t *testing.T) {
	root, quiet := rootKey(t), slog.New(slog.DiscardHandler)
	from, to := furnished(t, root), elsewhere(t, root)
	fill(t, from.Store)
	if _, err := to.Migrate(&countdown{Context: t.Context(), left: 60}, from, quiet); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first attempt: %v", err)
	}
	s, err := bolt.Open(from.Store, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx store.Tx) error {
		first, err1 := tx.Get("zz/0000")
		second, err2 := tx.Get("zz/0001")
		return errors.Join(err1, err2, tx.Delete(first.Key, first.Revision), tx.Put(second.Key, second.Revision, []byte("changed")))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	done, err := to.Migrate(t.Context(), from, quiet)
	if err != nil || done.Records < 3000 || done.Due < 2999 || done.Copied < 2 || done.Copied > done.Records-100 {
		t.Fatalf("%+v, %v", done, err)
	}
	if log, err := os.ReadFile(to.AuditFile); err != nil || !strings.Contains(string(log), "StoreMigrate") {
		t.Errorf("the log does not say that the store was moved: %v", err)
	}
	if _, err := to.Migrate(t.Context(), from, quiet); !errors.Is(err, server.ErrMoved) {
		t.Errorf("a second time: %v", err)
	}
}
