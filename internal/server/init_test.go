package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/server"
	"coffer/internal/tenant"
)

// A failed init leaves nothing, and above all no administrator whose secret nobody saw.
func TestFailedInitLeavesNothing(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	for name, i := range map[string]server.Init{
		"vault twice": {Domain: "a.example.com", Listen: "127.0.0.1:0", Vaults: []string{"main", "MAIN"}},
		"bad vault":   {Domain: "a.example.com", Listen: "127.0.0.1:0", Vaults: []string{"-"}},
		"bad domain":  {Domain: "nope", Listen: "127.0.0.1:0"},
		"bad listen":  {Domain: "a.example.com", Listen: "nowhere"},
	} {
		i.Dir = t.TempDir()
		if _, err := server.Initialize(context.Background(), i, quiet); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := os.ReadDir(i.Dir); len(left) != 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel() // fails after the first files were written
	late := server.Init{Dir: t.TempDir(), Domain: "a.example.com", Listen: "127.0.0.1:0"}
	if _, err := server.Initialize(gone, late, quiet); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(late.Dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	for _, name := range []string{"audit.log", "root.key", "coffer.yaml"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Initialize(context.Background(), server.Init{Dir: dir, Domain: "a.example.com", Listen: "127.0.0.1:0"}, quiet); err == nil {
			t.Errorf("made beside somebody's %s", name)
		}
		if text, _ := os.ReadFile(filepath.Join(dir, name)); string(text) != "mine" {
			t.Errorf("%s was changed", name)
		}
	}
}

// Close waits for the requests under way, and refuses others.
func TestCloseWaitsForRequests(t *testing.T) {
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	inside, finish, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	door := w.Guard(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-finish
		select {
		case <-closed:
			t.Error("closed under a request")
		default:
		}
		out.WriteHeader(http.StatusNoContent)
	}))
	ended := make(chan int)
	go func() {
		out := httptest.NewRecorder()
		door.ServeHTTP(out, httptest.NewRequest("GET", "/", nil))
		ended <- out.Code
	}()
	<-inside
	go func() { _ = w.Close(); close(closed) }()
	for { // until Close has begun
		out := httptest.NewRecorder()
		refused := w.Guard(http.NotFoundHandler())
		if refused.ServeHTTP(out, httptest.NewRequest("GET", "/", nil)); out.Code == http.StatusServiceUnavailable {
			break
		}
	}
	close(finish)
	if code := <-ended; code != http.StatusNoContent {
		t.Errorf("the request under way got %d", code)
	}
	<-closed
}

// The first application administers the directory and owns all resources.
func TestFirstApplicationAdministers(t *testing.T) {
	ctx, dir, quiet := context.Background(), t.TempDir(), slog.New(slog.DiscardHandler)
	made, err := server.Initialize(ctx, server.Init{Dir: dir, Domain: "a.example.com", Listen: "127.0.0.1:0"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	root, err := seal.ReadRootKeyFile(filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	core, err := server.Open(ctx, server.Options{
		StorePath: filepath.Join(dir, "coffer.db"), Root: root, Sink: audit.Discard{}, Log: quiet, Names: server.DomainNames("a.example.com", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	app, err := core.Tenant.GetApplication(ctx, made.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	caller := access.Caller{TenantID: made.TenantID, ObjectID: app.ObjectID, AppID: app.AppID}
	name, password := "u@a.example.com", "12345678"
	if _, err := core.Tenant.CreateUser(ctx, caller, tenant.UserEdit{Name: &name, DisplayName: &name, Password: &password}); err != nil {
		t.Error(err)
	}
	all := func(a tenant.RoleAssignment) bool { return a.RoleID == tenant.RoleOwner && a.Scope == "/" }
	if found, err := core.Tenant.ListRoleAssignments(ctx, caller, "/", "", all); err != nil || len(found) != 1 || found[0].PrincipalID != app.ObjectID {
		t.Errorf("%+v, %v", found, err)
	}
}
