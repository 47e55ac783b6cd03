package entra_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/entra"
	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/seal"
	"coffer/internal/store/bolt"
	"coffer/internal/tenant"
)

const (
	vaults     = "https://vault.azure.net"
	management = "https://management.core.windows.net"
)

// sink is an audit log in memory that can be told to fail.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

func (s *sink) Append(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return errors.New("no space left on device")
	}
	s.text.Write(line)
	return nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *sink) fill(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (*sink) Sync() error               { return nil }
func (*sink) Tail() (audit.Tail, error) { return audit.Tail{}, nil }
func (*sink) Close() error              { return nil }

// world is a door with everything below it.
type world struct {
	t       testing.TB
	tenant  *tenant.Service
	door    http.Handler
	gate    *gate.Gate
	store   *bolt.Store
	sink    *sink
	log     *bytes.Buffer
	app     tenant.Application
	secret  string
	now     time.Time
	barrier httpd.Barrier
	ring    *seal.Keyring
	granter *seal.Granter

	// Of the tenant's configuration.
	assertions tenant.Assertions
	deviceUser string
}

// installation is a store that has a tenant and a signing key, made once for all tests
// because making a key is slow.
type installation struct {
	root    seal.RootKey
	wrapped []byte
	file    []byte
}

var kept = sync.OnceValues(func() (installation, error) {
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		return installation{}, err
	}
	_, _, wrapped, err := seal.Create(root, "test")
	if err != nil {
		return installation{}, err
	}
	made := installation{root: root, wrapped: wrapped}
	dir, err := os.MkdirTemp("", "entra")
	if err != nil {
		return made, err
	}
	defer os.RemoveAll(dir)
	w := &world{now: time.Now()}
	if err := w.open(made, filepath.Join(dir, "store"), publicHosts); err != nil {
		return made, err
	}
	_, err = w.tenant.PublicKeys(context.Background())
	if err := errors.Join(err, w.close()); err != nil {
		return made, err
	}
	made.file, err = os.ReadFile(filepath.Join(dir, "store"))
	return made, err
})

var publicHosts = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

// newWorld has a door for the hosts, and one application.
func newWorld(t testing.TB, hosts ...string) *world {
	t.Helper()
	return newWorldWith(t, func(*world) {}, hosts...)
}

// newWorldWith changes the world before it is opened.
func newWorldWith(t testing.TB, change func(*world), hosts ...string) *world {
	t.Helper()
	made, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) == 0 {
		hosts = publicHosts
	}
	w := &world{t: t, now: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)}
	change(w)
	path := filepath.Join(t.TempDir(), "store")
	if err := errors.Join(os.WriteFile(path, made.file, 0o600), w.open(made, path, hosts)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	if w.app, w.secret, err = w.tenant.CreateApplication(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(made installation, path string, hosts []string) error {
	var err error
	if w.store, err = bolt.Open(path, bolt.Options{}); err != nil {
		return err
	}
	ring, granter, err := seal.Open(made.root, "test", made.wrapped)
	if err != nil {
		return err
	}
	w.ring, w.granter = ring, granter
	w.sink, w.log = &sink{}, &bytes.Buffer{}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	clock := func() time.Time { return w.now }
	if w.gate, err = gate.Open(context.Background(), gate.Config{
		Store: w.store, Keyring: ring, Granter: granter, Sink: w.sink, Node: "n", Now: time.Now, Log: log,
	}); err != nil {
		return err
	}
	issuer := "https://sts.windows.net/"
	if hosts[0] != publicHosts[0] {
		issuer = "https://" + hosts[0] + "/"
	}
	if w.tenant, err = tenant.Open(context.Background(), tenant.Config{
		Store: w.store, Keyring: ring, Gate: w.gate, Now: clock, Log: log,
		Issuer:    func(id string) string { return issuer + id + "/" },
		Resources: []string{vaults, management, "https://graph.microsoft.com"}, Assertions: w.assertions, DeviceUser: w.deviceUser,
	}); err != nil {
		return err
	}
	w.door = entra.New(entra.Config{Tenant: w.tenant, Hosts: hosts, Log: log, Now: clock})
	w.barrier = httpd.Barrier{Log: log, Now: time.Now}
	return nil
}

func (w *world) clock() time.Time { return w.now }

func (w *world) close() error {
	w.tenant.Close()
	return errors.Join(w.gate.Close(), w.store.Close())
}

// answer is a response with its JSON.
type answer struct {
	*http.Response
	text string
	json map[string]any
}

// send sends a request to a handler, the way the server does.
func (w *world) send(t testing.TB, to http.Handler, r *http.Request) answer {
	t.Helper()
	barrier := w.barrier
	barrier.Next = to
	recorded := httptest.NewRecorder()
	barrier.ServeHTTP(recorded, r)
	a := answer{Response: recorded.Result()}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.text = string(body)
	if a.Header.Get("Content-Type") == "text/plain; charset=utf-8" && strings.HasPrefix(a.text, "Codes are not typed here.") {
		return a // the one page for people
	}
	if err := json.Unmarshal(body, &a.json); err != nil {
		t.Fatalf("%s %s: %d, no JSON: %q", r.Method, r.URL, a.StatusCode, a.text)
	}
	if kind := a.Header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("%s: content type %q", r.URL, kind)
	}
	return a
}

// get asks for a path at the first public host; a full URL is taken as it is.
func (w *world) get(t testing.TB, address string) answer {
	t.Helper()
	if !strings.HasPrefix(address, "https:") {
		address = "https://login.microsoftonline.com" + address
	}
	return w.send(t, w.door, httptest.NewRequest(http.MethodGet, address, nil))
}

func newPost(path, body string) *http.Request {
	if !strings.HasPrefix(path, "https:") {
		path = "https://login.microsoftonline.com" + path
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (w *world) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	return w.send(t, w.door, newPost(path, form.Encode()))
}

// form is a good request, changed: names and values in turn; the value "-" removes.
func (w *world) form(changes ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.app.AppID}, "client_secret": {w.secret}, "scope": {vaults + "/.default"}}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			form.Del(changes[i])
		} else {
			form.Set(changes[i], changes[i+1])
		}
	}
	return form
}

func (w *world) v2() string { return "/" + w.tenant.TenantID() + "/oauth2/v2.0/token" }
func (w *world) v1() string { return "/" + w.tenant.TenantID() + "/oauth2/token" }
