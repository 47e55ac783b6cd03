//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"strings"
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

// A process that opens the store later takes over when it writes, and the earlier one can
// change nothing from then on, nor does it answer.
func TestSuperseded(t *testing.T) {
	open := opener(pgtest.Start(t).Database())
	first, second := open(t), open(t)
	defer first.Close()
	defer second.Close()
	if err := add(first, "a"); err != nil { // that the second is open changes nothing
		t.Fatal(err)
	}
	if err := add(second, "b"); err != nil {
		t.Fatal(err)
	}
	if err := add(first, "c"); !errors.Is(err, store.ErrLocked) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the superseded process was told %v", err)
	}
	if _, err := first.Get(context.Background(), store.Ask{Key: "a"}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("and answers: %v", err)
	}
	recs, err := second.Get(context.Background(), store.Ask{Key: "a"}, store.Ask{Key: "b"}, store.Ask{Key: "c"})
	if err != nil || !recs[0].Exists() || !recs[1].Exists() || recs[2].Exists() {
		t.Errorf("%v, %v", recs, err)
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
