//go:build unix

package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"coffer/internal/server"
	"coffer/internal/store/postgres"
	"coffer/internal/store/postgres/pgtest"
)

// A store is moved from a file to a database, by a process that is killed in the middle and
// another that goes on, and back to a file: it is as it was, to the last record.
func TestMigrate(t *testing.T) {
	root, quiet := rootKey(t), slog.New(slog.DiscardHandler)
	file, database, back := furnished(t, root), elsewhere(t, root), elsewhere(t, root)
	fill(t, file.Store)
	database.Store, database.Postgres = "", &server.PostgresConfig{URL: pgtest.Start(t).Database()}
	copied := killed(t, file, database)
	done, err := database.Migrate(t.Context(), file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if done.Records < 3000 || done.Due < 3000 || done.Copied == 0 || done.Copied > done.Records-copied {
		t.Errorf("%+v, after %d records were there", done, copied)
	}
	if _, err := database.Migrate(t.Context(), file, quiet); !errors.Is(err, server.ErrMoved) {
		t.Errorf("a second time: %v", err)
	}
	returned, err := back.Migrate(t.Context(), database, quiet)
	if err != nil || returned.Due != done.Due || returned.Records < done.Records || returned.Installation != done.Installation {
		t.Errorf("%+v and back %+v, %v", done, returned, err)
	}
	o := options(filepath.Dir(back.Store), root)
	o.StorePath, o.Create = back.Store, false
	w := newWorld(t, o)
	defer w.Close()
	w.wantSecret(t, "s1", "value")
	for _, f := range w.check(t, false).Findings {
		if len(f.Key) < 3 || f.Key[:3] != "zz/" {
			t.Errorf("%+v", f)
		}
	}
}

// killed kills a migration when some of the records are there, and returns how many.
func killed(t *testing.T, from, to server.Config) (n int) {
	t.Helper()
	text, err := json.Marshal(moving{from.Store, to.Postgres.URL, to.RootKeyFile, to.AuditFile})
	if err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: to.Postgres.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "COFFER_TEST_MIGRATE="+string(text))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for n < 100 {
		if n = records(t, s); len(ended) > 0 {
			t.Fatalf("the migration ended by itself: %v", <-ended)
		}
	}
	_ = child.Process.Kill()
	if err := <-ended; err == nil {
		t.Fatal("the migration ended before it was killed")
	}
	return records(t, s) - 1 // the mark
}
