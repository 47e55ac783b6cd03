//go:build unix

package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/store/postgres"
	"coffer/internal/store/postgres/pgtest"
)

// A certificate's life, and the restart of the node, with everything in a database.
func TestDatabase(t *testing.T) {
	o := options(t.TempDir(), rootKey(t))
	o.Postgres = &server.PostgresConfig{URL: pgtest.Start(t).Database()}
	w := newWorld(t, o)
	for _, step := range append(w.steps(), w.objects()...) {
		if err := step.run(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	before := w.state(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, o)
	defer w.Close()
	if after := w.state(t); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
	if _, err := os.Stat(o.StorePath); err == nil {
		t.Error("there is a file, too")
	}
}

// While the database is away every door answers 503 with Retry-After, a token request and a
// read too; when it is back the node serves without being told.
func TestDatabaseAway(t *testing.T) {
	database := pgtest.Start(t)
	o := options(t.TempDir(), rootKey(t))
	o.Postgres = &server.PostgresConfig{URL: database.Database()}
	o.Names.Health = true
	w := newWorld(t, o)
	defer w.Close()
	p := newPlane(t, w, "")
	secrets, control, directory := p.token("https://vault.azure.net"), p.token("https://management.azure.com"), p.token("https://graph.microsoft.com")
	const secret = "https://demo.vault.azure.net/secrets/s?api-version=7.4"
	if status, _, text := p.ask("PUT", secret, secrets, `{"value":"v"}`); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	database.Kill()
	for _, request := range []struct{ token, method, address, body string }{
		{secrets, "GET", secret, ""}, {secrets, "PUT", secret, `{"value":"w"}`},
		{control, "GET", "https://management.azure.com/subscriptions?api-version=2022-12-01", ""},
		{control, "PUT", "https://management.azure.com/subscriptions/" + p.Tenant.TenantID() + "/resourceGroups/rg?api-version=2022-07-01", `{"location":"eastus"}`},
		{directory, "GET", "https://graph.microsoft.com/v1.0/applications", ""}, {directory, "POST", "https://graph.microsoft.com/v1.0/applications", `{"displayName":"x"}`},
	} {
		if status, header, text := p.ask(request.method, request.address, request.token, request.body); status != 503 || header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %v %s", request.method, request.address, status, header, text)
		}
	}
	if status, header, text := login(p); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("a token: %d %v %s", status, header, text)
	}
	if status, _, text := p.ask("GET", "https://10.0.0.1/healthz", "", ""); status != 503 {
		t.Errorf("health: %d %s", status, text)
	}
	database.Run()
	if status, _, text := p.ask("GET", secret, secrets, ""); status != 200 || !strings.Contains(text, `"value":"v"`) {
		t.Errorf("afterwards: %d %s", status, text)
	}
	if status, _, text := login(p); status != 200 {
		t.Errorf("a token, afterwards: %d %s", status, text)
	}
}

func login(p *plane) (int, http.Header, string) {
	form := "grant_type=client_credentials&client_id=" + app.AppID + "&client_secret=secret&resource=https://vault.azure.net"
	return p.ask("POST", "https://login.microsoftonline.com/"+p.Tenant.TenantID()+"/oauth2/token", "", form)
}

// coffer init makes an installation in a database, whose configuration says so, and does
// not touch a database that has one.
func TestInitInDatabase(t *testing.T) {
	url := pgtest.Start(t).Database()
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("any\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := server.Init{Dir: dir, Domain: "a.example.com", Listen: "127.0.0.1:0", Vaults: []string{"main"}, Postgres: &server.PostgresConfig{URL: url, PasswordFile: password}}
	if _, err := server.Initialize(context.Background(), i, quiet); err != nil {
		t.Fatal(err)
	}
	c, err := server.ReadConfig(filepath.Join(dir, "coffer.yaml"))
	if err != nil || c.Store != "" || c.Postgres == nil || *c.Postgres != *i.Postgres {
		t.Fatalf("%+v, %v", c, err)
	}
	i.Dir = t.TempDir()
	if _, err := server.Initialize(context.Background(), i, quiet); err == nil {
		t.Error("an installation over an installation")
	}
	if left, _ := os.ReadDir(i.Dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Initialize(context.Background(), i, quiet); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a password that others can read: %v", err)
	}
}

// An init that fails leaves nothing in the database, so that the next one works.
func TestInitLeavesNothingInDatabase(t *testing.T) {
	i := server.Init{Dir: t.TempDir(), Domain: "a.example.com", Listen: "127.0.0.1:0", Postgres: &server.PostgresConfig{URL: pgtest.Start(t).Database()}}
	for n := range 30 { // so that it takes a while
		i.Vaults = append(i.Vaults, fmt.Sprint("vault", n))
	}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: i.Postgres.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for records(t, s) < 3 && ctx.Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	quiet := slog.New(slog.DiscardHandler)
	if _, err := server.Initialize(ctx, i, quiet); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if n := records(t, s); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if _, err := server.Initialize(context.Background(), i, quiet); err != nil {
		t.Error(err)
	}
}

func records(t *testing.T, s store.Store) (n int) {
	if err := s.View(context.Background(), func(tx store.Tx) error {
		recs, err := tx.Scan("", "", 1000)
		n = len(recs)
		return err
	}); err != nil {
		t.Error(err)
	}
	return n
}

func TestDatabaseConfig(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"neither":   {"", "store is missing"},
		"both":      {"store: a.db\npostgres:\n  url: postgres://u@db/coffer\n", "remove the one"},
		"password":  {"postgres:\n  url: postgres://u:secret@db/coffer\n", "password_file"},
		"plain TLS": {"postgres:\n  url: postgres://u@db/coffer?sslmode=prefer\n", "sslmode=verify-full or disable"},
		"pool":      {"postgres:\n  url: postgres://u@db/coffer\n  pool_size: -1\n", "pool_size"},
		"unknown":   {"postgres:\n  url: postgres://u@db/coffer\n  password: secret\n", "unknown"},
	} {
		path := filepath.Join(t.TempDir(), "coffer.yaml")
		text := "domain: a.example.com\nlisten: 127.0.0.1:0\nroot_key_file: root.key\naudit_file: audit.log\ntls:\n  authority_file: ca.pem\n  authority_key_file: ca.key\n" + test.text
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ReadConfig(path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
