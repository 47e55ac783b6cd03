//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"coffer/internal/store"
	"coffer/internal/store/postgres"
	"coffer/internal/store/postgres/pgtest"
	"coffer/internal/store/storetest"
)

func opener(url string) storetest.Opener {
	return func(t *testing.T) store.Store {
		t.Helper()
		s, err := postgres.Open(context.Background(), postgres.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestContract(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Run(t, func(*testing.T) storetest.Opener { return opener(server.Database()) })
}

func add(s store.Store, key store.Key) error {
	return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, 0, nil) })
}

// Two processes write the same records: no change is lost, and no revision comes twice.
func TestTwoWriters(t *testing.T) {
	open := opener(pgtest.Start(t).Database())
	writers := []store.Store{open(t), open(t)}
	const each, keys = 40, 4
	var mu sync.Mutex
	seen := map[store.Revision]string{}
	var group sync.WaitGroup
	for i, s := range writers {
		defer s.Close()
		for n := range each {
			group.Go(func() {
				key := store.Key(fmt.Sprint("counter", n%keys))
				if err := increment(s, key); err != nil {
					t.Error(err)
				}
				recs, err := s.Get(context.Background(), store.Ask{Key: key})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				state := string(key) + "=" + string(recs[0].Body)
				if was, ok := seen[recs[0].Revision]; ok && was != state {
					t.Errorf("writer %d: the revision %x is of %s and of %s", i, recs[0].Revision, was, state)
				}
				seen[recs[0].Revision] = state
			})
		}
	}
	group.Wait()
	for n := range keys {
		for _, s := range writers {
			recs, err := s.Get(context.Background(), store.Ask{Key: store.Key(fmt.Sprint("counter", n))})
			if err != nil || string(recs[0].Body) != fmt.Sprint(len(writers)*each/keys) {
				t.Errorf("%s, %v", recs[0].Body, err)
			}
		}
	}
}

func increment(s store.Store, key store.Key) error {
	return s.Update(context.Background(), func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(rec.Body))
		return tx.Put(key, rec.Revision, fmt.Append(nil, n+1))
	})
}

// The connection is cut in the middle of a commit, before the database has it or before its
// answer comes. The update is tried again, and finds what it has done itself: it is done once.
func TestCutInCommit(t *testing.T) {
	server := pgtest.Start(t)
	for name, forward := range map[string]bool{"before the database has it": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			target := server.Database()
			relay := pgtest.NewRelay(t, server, target)
			s := opener(relay.URL)(t)
			defer s.Close()
			if err := add(s, "first"); err != nil {
				t.Fatal(err)
			}
			relay.CutCommit(forward)
			runs, made := 0, 0
			if err := s.Update(context.Background(), func(tx store.Tx) error {
				runs++
				rec, err := tx.Get("second")
				if err != nil || string(rec.Body) == "mine" {
					return err
				}
				made++
				return tx.Put("second", rec.Revision, []byte("mine"))
			}); err != nil {
				t.Fatal(err)
			}
			want := map[bool]int{false: 2, true: 1}[forward]
			if runs != 2 || made != want || relay.Cuts() != 1 {
				t.Errorf("%d runs, %d puts, %d cuts", runs, made, relay.Cuts())
			}
			recs, err := s.Get(context.Background(), store.Ask{Key: "second"})
			if err != nil || string(recs[0].Body) != "mine" {
				t.Errorf("%v, %v", recs, err)
			}
		})
	}
}

// Only a database that proves who it is, by an authority that the URL names, is spoken to.
func TestVerifiedTLS(t *testing.T) {
	server := pgtest.Start(t)
	address, ca := server.ListenTLS()
	other := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(other, pgtest.Authority(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, ca, want string }{
		{"localhost:" + address, ca, ""}, {"localhost:" + address, other, "unknown authority"}, {"127.0.0.1:" + address, ca, "x509"}, {"localhost:" + address, "", "x509"},
	} {
		target := "postgres://coffer@" + c.host + "/postgres"
		if c.ca != "" {
			target += "?sslrootcert=" + url.QueryEscape(c.ca)
		}
		s, err := postgres.Open(context.Background(), postgres.Options{URL: target})
		if err == nil {
			err = errors.Join(add(s, "one"), s.Close())
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// While the database is away every call says so; when it is back, the same store serves,
// and has everything that was acknowledged.
func TestDatabaseRestarts(t *testing.T) {
	server := pgtest.Start(t)
	s := opener(server.Database())(t)
	defer s.Close()
	if err := add(s, "before"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	_, err := s.Get(context.Background(), store.Ask{Key: "before"})
	for _, err := range []error{err, s.View(context.Background(), func(store.Tx) error { return nil }), add(s, "during")} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("without a database: %v", err)
		}
	}
	server.Run()
	if err := add(s, "after"); err != nil {
		t.Fatal(err)
	}
	recs, err := s.Get(context.Background(), store.Ask{Key: "before"}, store.Ask{Key: "during"}, store.Ask{Key: "after"})
	if err != nil || !recs[0].Exists() || recs[1].Exists() || !recs[2].Exists() {
		t.Errorf("%v, %v", recs, err)
	}
}

// A database that would lose what was acknowledged, and one of a newer version, are
// refused.
func TestRefusedDatabases(t *testing.T) {
	server := pgtest.Start(t)
	newer := server.Database()
	if err := opener(newer)(t).Close(); err != nil {
		t.Fatal(err)
	}
	server.SQL(newer, "UPDATE coffer_schema SET version = 99")
	if _, err := postgres.Open(context.Background(), postgres.Options{URL: newer}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("tables of a newer version: %v", err)
	}
	server.SQL(newer, "ALTER SYSTEM SET fsync = off")
	server.SQL(newer, "SELECT pg_reload_conf()")
	server.Kill()
	server.Run()
	if _, err := postgres.Open(context.Background(), postgres.Options{URL: newer}); err == nil || !strings.Contains(err.Error(), "fsync = on") {
		t.Errorf("without fsync: %v", err)
	}
}

func TestCheckURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u@db.example.com/coffer":                                   "postgres://u@db.example.com/coffer?sslmode=verify-full",
		"postgres://u@/coffer?host=/run/postgresql&sslmode=disable":            "postgres://u@/coffer?host=%2Frun%2Fpostgresql&sslmode=disable",
		"postgres://u:secret@db/coffer":                                        "",
		"postgres://u@db/coffer?sslmode=prefer":                                "",
		"postgres://u@db/coffer?password=secret":                               "",
		"postgres://u@db/coffer?sslrootcert=ca.pem":                            "",
		"postgres://db/coffer":                                                 "",
		"postgres://u@/coffer":                                                 "",
		"postgres://u@db":                                                      "",
		"mysql://u@db/coffer":                                                  "",
		"coffer.db":                                                            "",
		"postgres://u@db/coffer?sslmode=verify-full&sslmode=disable":           "",
		"postgres://u@db:6432/coffer?sslmode=verify-full&sslrootcert=/etc/ca.": "postgres://u@db:6432/coffer?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.",
	} {
		got, err := postgres.CheckURL(url)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "secret") && !strings.Contains(url, "password=") {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
}
