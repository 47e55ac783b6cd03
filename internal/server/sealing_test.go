package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/audit"
	"coffer/internal/seal"
	"coffer/internal/seal/passphrase"
	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/vault"
)

// administer fails the test if the command fails.
func (w *world) administer(t *testing.T, verb string, r server.AdminRequest) any {
	t.Helper()
	out, err := w.Administer(t.Context(), verb, r)
	if err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
	return out
}

func (w *world) status(t *testing.T) server.SealStatus {
	t.Helper()
	return w.administer(t, server.VerbStatus, server.AdminRequest{}).(server.SealStatus)
}

func (w *world) setSecret(t *testing.T, name, value string) {
	t.Helper()
	if _, err := w.Vaults.SetSecret(t.Context(), w.caller, vault.Ref{Vault: "demo", Name: name}, vault.NewSecret{Value: &value}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) wantSecret(t *testing.T, name, value string) {
	t.Helper()
	got, err := w.Vaults.GetSecret(t.Context(), w.caller, vault.Ref{Vault: "demo", Name: name})
	if err != nil || got.Value != value {
		t.Fatalf("%s = %q, %v; want %q", name, got.Value, err, value)
	}
}

// More records than one step reads, of which each step finds some that need nothing, are
// gone through once, to the end.
func TestResealEndsWithManyRecords(t *testing.T) {
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	for n := range 300 {
		w.setSecret(t, fmt.Sprintf("s%03d", n), "kept")
	}
	w.administer(t, server.VerbRotateData, server.AdminRequest{Use: seal.Records})
	for n := 0; n < 300; n += 7 {
		w.setSecret(t, fmt.Sprintf("s%03d", n), "kept")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, some := range []bool{true, false} {
		out, err := w.Administer(ctx, server.VerbReseal, server.AdminRequest{})
		if done, ok := out.(server.Resealed); err != nil || !ok || done.Records < 300 || (done.Resealed > 0) != some {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	w.wantSecret(t, "s299", "kept")
}

// Root and data keys are rotated under load, everything is resealed, and the old key is
// retired; what was written at any time is read at the end, also after a restart.
func TestKeysRotateWhileServing(t *testing.T) {
	var turned atomic.Int64
	o := options(t.TempDir(), rootKey(t))
	o.Now = func() time.Time { return time.Now().Add(time.Duration(turned.Load())) }
	w := newWorld(t, o)
	for i := range 60 {
		w.setSecret(t, fmt.Sprintf("s%d", i), "old")
	}
	if _, err := w.Vaults.CreateCertificate(t.Context(), w.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	if err := w.Vaults.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var writes atomic.Int64
	for i := range 4 {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				at := vault.Ref{Vault: "demo", Name: fmt.Sprintf("s%d", i)}
				_, err := w.Vaults.SetSecret(context.WithoutCancel(ctx), w.caller, at, vault.NewSecret{Value: ptr(fmt.Sprint(n))})
				if err == nil {
					var got vault.Secret
					if got, err = w.Vaults.GetSecret(context.WithoutCancel(ctx), w.caller, at); err == nil && got.Value != fmt.Sprint(n) {
						err = fmt.Errorf("%q was read after %d was written", got.Value, n)
					}
				}
				if err != nil {
					t.Errorf("while keys are rotated: %v", err)
					return
				}
				writes.Add(1)
			}
		})
	}
	for writes.Load() == 0 && !t.Failed() { // a rotation can be quicker than the first write
		runtime.Gosched()
	}
	first := w.status(t).Keys[0].Key
	w.administer(t, server.VerbRotateData, server.AdminRequest{Use: seal.Records})
	w.administer(t, server.VerbRotateRoot, server.AdminRequest{})
	if _, err := w.Administer(ctx, server.VerbRetire, server.AdminRequest{Key: first}); err == nil {
		t.Error("a key was retired at once")
	}
	turned.Add(int64(10 * time.Minute))
	if _, err := w.Administer(ctx, server.VerbRetire, server.AdminRequest{Key: first}); err == nil || !strings.Contains(err.Error(), "reseal first") {
		t.Errorf("a key that records need was retired: %v", err)
	}
	done := w.administer(t, server.VerbReseal, server.AdminRequest{}).(server.Resealed)
	if done.Resealed < 60 {
		t.Errorf("resealed %+v", done)
	}
	if found := w.check(t, false); found.Wrong() {
		t.Errorf("a check under load found %+v", found.Findings)
	}
	stop()
	load.Wait()
	if writes.Load() == 0 {
		t.Error("there was no load")
	}
	w.administer(t, server.VerbReseal, server.AdminRequest{}) // what was under way with the old key
	w.administer(t, server.VerbRetire, server.AdminRequest{Key: first})
	for _, key := range w.status(t).Keys {
		if key.Key == first {
			t.Error("the key is still there")
		}
	}
	w.wantSecret(t, "s59", "old")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again := newWorld(t, o)
	defer again.Close()
	again.wantSecret(t, "s59", "old")
	if _, err := again.Vaults.GetCertificate(t.Context(), again.caller, ref); err != nil {
		t.Error(err)
	}
}

// A key for backups is retired only by who says which day that cuts off.
func TestRetiringAKeyOfBackups(t *testing.T) {
	var turned atomic.Int64
	o := options(t.TempDir(), rootKey(t))
	o.Now = func() time.Time { return time.Now().Add(time.Duration(turned.Load())) }
	w := newWorld(t, o)
	defer w.Close()
	w.setSecret(t, "a", "value")
	at := vault.Ref{Vault: "demo", Name: "a"}
	blob, err := w.Vaults.BackupSecret(t.Context(), w.caller, at)
	if err != nil {
		t.Fatal(err)
	}
	old := w.status(t).Keys[1]
	status := w.administer(t, server.VerbRotateData, server.AdminRequest{Use: seal.Blobs}).(server.SealStatus)
	if old.Use != seal.Blobs || len(status.Keys) != 3 {
		t.Fatalf("%+v", status.Keys)
	}
	if _, err := w.Administer(t.Context(), server.VerbRetire, server.AdminRequest{Key: status.Keys[2].Key}); err == nil {
		t.Error("the primary key was retired")
	}
	turned.Add(int64(10 * time.Minute))
	_, err = w.Administer(t.Context(), server.VerbRetire, server.AdminRequest{Key: old.Key})
	day := time.Now().UTC().Format(time.DateOnly)
	if err == nil || !strings.Contains(err.Error(), "--confirm "+day) {
		t.Fatalf("retired without the day: %v", err)
	}
	restore := func() error {
		other := vault.Ref{Vault: "second"}
		_, err := w.Vaults.RestoreSecret(t.Context(), w.caller, other.Vault, blob)
		return err
	}
	w.administer(t, server.VerbRetire, server.AdminRequest{Key: old.Key, Confirm: day})
	if err := restore(); err == nil {
		t.Error("a backup of the retired key was restored")
	}
	if _, err := w.Administer(t.Context(), server.VerbRetire, server.AdminRequest{Key: "nothex"}); err == nil {
		t.Error("a key that is none was retired")
	}
}

// installation is the record that the keys are wrapped in.
func (w *world) installation(t testing.TB) (i struct {
	ID     string
	Keyset []byte
}) {
	t.Helper()
	recs, err := w.Store.Get(t.Context(), store.Ask{Key: "sys/installation"})
	if err == nil {
		err = json.Unmarshal(recs[0].Body, &i)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// testCost makes the tests quick.
var testCost = passphrase.Cost{Time: 1, Memory: 64, Threads: 1}

func passphraseSeal(t testing.TB, text string) seal.Provider {
	t.Helper()
	p, err := passphrase.New([]byte(text), "the test", testCost)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The root key goes from a file to a passphrase while the server serves; afterwards only
// the passphrase opens the store, and a wrong one changes nothing.
func TestSealChanges(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, rootKey(t))
	w := newWorld(t, o)
	w.setSecret(t, "a", "kept")
	first := w.installation(t)
	file := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(file, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := &server.SealChoice{Seal: &server.SealConfig{Passphrase: &server.PassphraseConfig{File: file}}}
	status := w.administer(t, server.VerbChange, server.AdminRequest{To: to}).(server.SealStatus)
	if status.Provider != passphrase.Name {
		t.Errorf("%+v", status)
	}
	w.wantSecret(t, "a", "kept")
	last := w.installation(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.Open(o.Root, first.ID, first.Keyset); err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.Open(o.Root, first.ID, last.Keyset); !errors.Is(err, seal.ErrRootKey) {
		t.Errorf("the old root key still opens the keys: %v", err)
	}
	before, err := os.ReadFile(o.StorePath)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		provider seal.Provider
		want     error
	}{"the old root key": {nil, server.ErrProvider}, "another passphrase": {passphraseSeal(t, "another passphrase"), seal.ErrUnseal}} {
		closed := o
		closed.Seal, closed.Sink = test.provider, audit.Discard{}
		if _, err := server.Open(t.Context(), closed); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, _ := os.ReadFile(o.StorePath); !bytes.Equal(before, after) {
		t.Error("a refused start changed the store")
	}
	o.Seal = passphraseSeal(t, "correct horse battery staple")
	again := newWorld(t, o)
	defer again.Close()
	again.wantSecret(t, "a", "kept")
	again.administer(t, server.VerbRotateRoot, server.AdminRequest{})
	again.wantSecret(t, "a", "kept")
}

// An away is a provider that can be away.
type away struct {
	seal.Provider
	gone atomic.Bool
}

func (a *away) Remote() bool { return true }

func (a *away) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if a.gone.Load() {
		return nil, fmt.Errorf("%w: it is away", seal.ErrUnavailable)
	}
	return a.Provider.Unwrap(ctx, wrapped)
}

// A seal that is away keeps a store from being opened, and changes nothing; a server that
// runs goes on, and says so.
func TestSealIsAway(t *testing.T) {
	o := options(t.TempDir(), seal.RootKey{})
	provider := &away{Provider: passphraseSeal(t, "correct horse battery staple")}
	o.Seal = provider
	w := newWorld(t, o)
	w.setSecret(t, "a", "kept")
	provider.gone.Store(true)
	w.TendSeal(t.Context())
	if w.SealReachable() || w.status(t).Reachable {
		t.Error("it was not noticed that the seal is away")
	}
	w.wantSecret(t, "a", "kept")
	if _, err := w.Administer(t.Context(), server.VerbRotateRoot, server.AdminRequest{}); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("the root key was rotated without the seal: %v", err)
	}
	w.wantSecret(t, "a", "kept")
	provider.gone.Store(false)
	w.TendSeal(t.Context())
	if !w.SealReachable() {
		t.Error("it was not noticed that the seal is back")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	provider.gone.Store(true)
	before, _ := os.ReadFile(o.StorePath)
	if _, err := server.Open(t.Context(), o); !errors.Is(err, seal.ErrUnavailable) {
		t.Error(err)
	}
	if after, _ := os.ReadFile(o.StorePath); !bytes.Equal(before, after) {
		t.Error("a refused start changed the store")
	}
}

// A store that was put back as a whole is behind the pin.
func TestRollBackIsRefused(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, rootKey(t))
	w := newWorld(t, o)
	w.setSecret(t, "a", "old")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(o.StorePath)
	if err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, o)
	w.setSecret(t, "a", "new")
	pin := w.administer(t, server.VerbPin, server.AdminRequest{}).(server.Pin)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o.PinFile = filepath.Join(dir, "pin")
	if err := os.WriteFile(o.PinFile, fmt.Appendf(nil, `{"installation":%q,"counter":%d}`, pin.Installation, pin.Counter), 0o600); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, o)
	w.wantSecret(t, "a", "new")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.StorePath, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), o); !errors.Is(err, server.ErrRolledBack) {
		t.Errorf("a store that was put back was opened: %v", err)
	}
	if after, _ := os.ReadFile(o.StorePath); !bytes.Equal(copied, after) {
		t.Error("a refused start changed the store")
	}
	for _, text := range []string{"", "{}", `{"installation":"other","counter":1}`, `{"installation":"a","more":1}`} {
		if err := os.WriteFile(o.PinFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Create = false
		if _, err := server.Open(t.Context(), o); err == nil || errors.Is(err, server.ErrRolledBack) {
			t.Errorf("the pin %q: %v", text, err)
		}
	}
}

// The stores that cannot be opened: each a clear error, and nothing changed.
func TestStoreOfAnother(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, rootKey(t))
	w := newWorld(t, o)
	err := w.Store.Update(t.Context(), func(tx store.Tx) error {
		rec, err := tx.Get("sys/installation")
		if err != nil {
			return err
		}
		return tx.Put(rec.Key, rec.Revision, bytes.Replace(rec.Body, []byte(`"format":1`), []byte(`"format":2`), 1))
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(o.StorePath)
	if _, err := server.Open(t.Context(), o); !errors.Is(err, server.ErrNewer) {
		t.Errorf("a newer store: %v", err)
	}
	if after, _ := os.ReadFile(o.StorePath); !bytes.Equal(before, after) {
		t.Error("a refused start changed the store")
	}
}

// newInstallation makes an installation and returns its configuration.
func newInstallation(t *testing.T) server.Config {
	t.Helper()
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	made, err := server.Initialize(t.Context(), server.Init{Dir: dir, Domain: "a.example.com", Listen: "127.0.0.1:0", Vaults: []string{"main"}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	config, err := server.ReadConfig(made.Config)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// The commands reach a server by its socket, which is its user's alone, and do without one
// if none runs.
func TestAdminSocket(t *testing.T) {
	config, quiet := newInstallation(t), slog.New(slog.DiscardHandler)
	var offline, online server.SealStatus
	if err := config.Administer(t.Context(), server.VerbStatus, server.AdminRequest{}, &offline, quiet); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- server.Serve(ctx, config, quiet, nil, func(net.Addr) { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	info, err := os.Stat(config.AdminSocket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := config.Administer(t.Context(), server.VerbRotateData, server.AdminRequest{Use: seal.Records}, &online, quiet); err != nil {
		t.Fatal(err)
	}
	if online.Installation != offline.Installation || len(online.Keys) != len(offline.Keys)+1 {
		t.Errorf("off line %+v, on line %+v", offline, online)
	}
	for _, verb := range []string{"nothing", "../x", server.VerbRetire, server.VerbChange} {
		if err := config.Administer(t.Context(), verb, server.AdminRequest{}, &online, quiet); err == nil {
			t.Errorf("%s was done", verb)
		}
	}
	hidden := config
	hidden.AdminSocket = ""
	if err := hidden.Administer(t.Context(), server.VerbStatus, server.AdminRequest{}, &online, quiet); !errors.Is(err, store.ErrLocked) {
		t.Errorf("beside a server: %v", err)
	}
	if _, err := elsewhere(t, rootKey(t)).Migrate(t.Context(), config, quiet); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("moved while it is served: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(config.AdminSocket); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket was left behind")
	}
}

// What is at the path of the admin socket and is none is left alone.
func TestAdminSocketReplacesNoFile(t *testing.T) {
	config, quiet := newInstallation(t), slog.New(slog.DiscardHandler)
	key, err := os.ReadFile(config.RootKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	config.AdminSocket = config.RootKeyFile
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := server.Serve(ctx, config, quiet, nil, func(net.Addr) { stop() }); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(config.RootKeyFile); err != nil || !bytes.Equal(now, key) {
		t.Errorf("the root key was replaced: %v", err)
	}
}

func FuzzAdminRequest(f *testing.F) {
	f.Add([]byte(`{"use":"records","to":{"root_key_file":"/x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := server.ParseAdmin(bytes.NewReader(body)); err != nil && (r.To != nil || r.Repair) {
			t.Error("a refused request was returned")
		}
	})
}

func FuzzSealChoice(f *testing.F) {
	f.Add([]byte("seal:\n  passphrase:\n    file: x\n"))
	f.Add([]byte("root_key_file: root.key\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := server.ParseSealChoice(text, "/base")
		if err == nil && (c.RootKeyFile == "") == (c.Seal == nil) {
			t.Errorf("%q names no seal, or two", text)
		}
	})
}

func FuzzPin(f *testing.F) {
	f.Add([]byte(`{"installation":"a","counter":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if pin, err := server.ParsePin(text); err == nil && pin.Installation == "" {
			t.Errorf("%q is of no installation", text)
		}
	})
}

func FuzzInstallation(f *testing.F) {
	f.Add([]byte(`{"id":"a","format":1,"seal":{"provider":"file","wrapped":"AA=="}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if found, err := server.ParseInstallation(body); err == nil && found.Format > 1 {
			t.Errorf("%q is newer and was read", body)
		}
	})
}
