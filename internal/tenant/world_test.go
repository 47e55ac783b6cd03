package tenant_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/audit"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
	"coffer/internal/tenant"
)

const vaults = "https://vault.azure.net"

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

func (s *sink) lines() int { return strings.Count(s.String(), "\n") }

func (s *sink) fill(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (*sink) Sync() error               { return nil }
func (*sink) Tail() (audit.Tail, error) { return audit.Tail{}, nil }
func (*sink) Close() error              { return nil }

// faulty lets a test stand between the service and its store.
type faulty struct {
	store.Store
	mu     sync.Mutex
	update func(ctx context.Context, fn func(store.Tx) error) error // nil: the store's
}

func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	update := f.update
	f.mu.Unlock()
	if update != nil {
		return update(ctx, fn)
	}
	return f.Store.Update(ctx, fn)
}

func (f *faulty) set(update func(context.Context, func(store.Tx) error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.update = update
}

// world is everything below a tenant.Service, and the service.
type world struct {
	*tenant.Service
	t       testing.TB
	path    string
	store   *faulty
	ring    *seal.Keyring
	granter *seal.Granter
	gate    *gate.Gate
	sink    *sink
	log     *bytes.Buffer
	config  tenant.Config

	mu  sync.Mutex
	now time.Time
}

// installation is what survives a restart beside the store's file.
type installation struct {
	root    seal.RootKey
	wrapped []byte
	file    []byte // a store that has a tenant and a signing key; empty for a fresh one
}

func newInstallation() (installation, error) {
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		return installation{}, err
	}
	_, _, wrapped, err := seal.Create(root, "test")
	return installation{root: root, wrapped: wrapped}, err
}

// kept makes one store with a signing key for all tests, because making a key is slow.
var kept = sync.OnceValues(func() (installation, error) {
	made, err := newInstallation()
	if err != nil {
		return made, err
	}
	dir, err := os.MkdirTemp("", "tenant")
	if err != nil {
		return made, err
	}
	defer os.RemoveAll(dir)
	w := &world{path: filepath.Join(dir, "store"), now: time.Now()}
	if err := errors.Join(w.open(made, nil)); err != nil {
		return made, err
	}
	_, err = w.PublicKeys(context.Background())
	if err := errors.Join(err, w.close()); err != nil {
		return made, err
	}
	made.file, err = os.ReadFile(w.path)
	return made, err
})

// newWorld opens a copy of the kept store.
func newWorld(t testing.TB) *world {
	t.Helper()
	made, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	return startWorld(t, made, nil)
}

// freshWorld opens an empty store. The change, if any, is made to the configuration.
func freshWorld(t testing.TB, change func(*tenant.Config)) *world {
	t.Helper()
	made, err := newInstallation()
	if err != nil {
		t.Fatal(err)
	}
	return startWorld(t, made, change)
}

func startWorld(t testing.TB, made installation, change func(*tenant.Config)) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "store"), now: time.Now()}
	if made.file != nil {
		if err := os.WriteFile(w.path, made.file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.open(made, change); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) open(made installation, change func(*tenant.Config)) error {
	opened, err := bolt.Open(w.path, bolt.Options{})
	if err != nil {
		return err
	}
	w.store, w.sink, w.log = &faulty{Store: opened}, &sink{}, &bytes.Buffer{}
	if w.ring, w.granter, err = seal.Open(made.root, "test", made.wrapped); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	if w.gate, err = gate.Open(context.Background(), gate.Config{
		Store: w.store, Keyring: w.ring, Granter: w.granter, Sink: w.sink, Node: "n", Now: time.Now, Log: log,
	}); err != nil {
		return err
	}
	w.config = tenant.Config{
		Store: w.store, Keyring: w.ring, Gate: w.gate, Now: w.clock, Log: log,
		Issuer:    func(id string) string { return "https://sts.windows.net/" + id + "/" },
		Resources: []string{vaults, "https://management.azure.com"},
	}
	if change != nil {
		change(&w.config)
	}
	w.Service, err = tenant.Open(context.Background(), w.config)
	return err
}

// close may be called twice.
func (w *world) close() error {
	if w.Service == nil {
		return nil
	}
	w.Service.Close()
	w.Service = nil
	return errors.Join(w.gate.Close(), w.store.Close())
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) turn(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// client is an application that can sign in.
type client struct {
	tenant.Application
	secret string
}

func (w *world) newClient() client {
	w.t.Helper()
	app, secret, err := w.CreateApplication(context.Background(), "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return client{app, secret}
}

func (c client) request() tenant.TokenRequest {
	return tenant.TokenRequest{ClientID: c.AppID, ClientSecret: c.secret, Scope: vaults + "/.default"}
}

func (w *world) issue(r tenant.TokenRequest) (tenant.Token, error) {
	return w.IssueToken(context.Background(), access.Origin{}, r)
}

func (w *world) mustIssue(c client) tenant.Token {
	w.t.Helper()
	issued, err := w.issue(c.request())
	if err != nil {
		w.t.Fatal(err)
	}
	return issued
}

// look does what a vault does with the caller of a token.
func (w *world) look(caller access.Caller) (access.Caller, error) {
	w.t.Helper()
	look := w.Look(caller)
	recs, err := w.store.Get(context.Background(), look.Asks()...)
	if err != nil {
		w.t.Fatal(err)
	}
	return look.Caller(recs)
}

// bodies returns everything that the store holds.
func (w *world) bodies() map[store.Key]store.Record {
	w.t.Helper()
	all := map[store.Key]store.Record{}
	err := w.store.View(context.Background(), func(tx store.Tx) error {
		recs, err := tx.Scan("t/", "", 1000)
		for _, rec := range recs {
			all[rec.Key] = rec
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
