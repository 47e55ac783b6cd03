package tenant_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

func TestTwoNodesAtOnceEndWithOneTenantAndOneKey(t *testing.T) {
	made, err := newInstallation()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, path: t.TempDir() + "/store", now: time.Now()}
	if err := w.open(made, nil); err != nil { // for what is below the tenant
		t.Fatal(err)
	}
	defer w.close()
	err = w.store.Update(context.Background(), func(tx store.Tx) error { // begin anew
		rec, err := tx.Get("t/tenant")
		if err != nil {
			return err
		}
		return tx.Delete("t/tenant", rec.Revision)
	})
	if err != nil {
		t.Fatal(err)
	}
	var nodes [3]*tenant.Service
	var ids, keys [3]string
	var group sync.WaitGroup
	for i := range nodes {
		group.Go(func() {
			node, err := tenant.Open(context.Background(), w.config)
			if err != nil {
				t.Error(err)
				return
			}
			defer node.Close()
			public, err := node.PublicKeys(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], keys[i] = node.TenantID(), public[0].ID
		})
	}
	group.Wait()
	if ids[0] == "" || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("tenants %v", ids)
	}
	if keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[2] {
		t.Errorf("keys %v", keys)
	}
}

func TestRestartKeepsTenantKeyAndTokens(t *testing.T) {
	t.Attr("conformance", "id-10-9")
	t.Attr("conformance", "id-2.4-2")
	made, err := kept()
	if err != nil {
		t.Fatal(err)
	}
	w := startWorld(t, made, nil)
	c := w.newClient()
	issued := w.mustIssue(c)
	id := w.TenantID()
	keys, err := w.PublicKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if err := w.open(made, nil); err != nil {
		t.Fatal(err)
	}
	again, err := w.PublicKeys(context.Background())
	if err != nil || w.TenantID() != id || again[0].ID != keys[0].ID {
		t.Fatalf("%v, tenant %s then %s", err, id, w.TenantID())
	}
	if _, err := w.Authenticate(context.Background(), issued.Raw, []string{vaults}); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	w.mustIssue(c)
}

func TestConfiguredTenantID(t *testing.T) {
	const id = "0a1b2c3d-0000-4000-8000-00000000000f"
	w := freshWorld(t, func(c *tenant.Config) { c.TenantID = strings.ToUpper(id) })
	if w.TenantID() != id {
		t.Errorf("tenant %s", w.TenantID())
	}
	if err := w.Ready(context.Background()); err != nil && !strings.Contains(err.Error(), "being made") {
		t.Error(err)
	}
	for _, test := range []struct {
		name, id string
		want     error // nil: any
	}{
		{"another", "0a1b2c3d-0000-4000-8000-000000000001", tenant.ErrTenant},
		{"no GUID", "contoso", nil},
		{"braces", "{" + id + "}", nil},
	} {
		config := w.config
		config.TenantID = test.id
		opened, err := tenant.Open(context.Background(), config)
		if err == nil {
			opened.Close()
			t.Fatalf("%s: opened", test.name)
		}
		if test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestWrongRootKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	other, _ := newInstallation()
	config := w.config
	var err error
	if config.Keyring, _, err = seal.Open(other.root, "test", other.wrapped); err != nil {
		t.Fatal(err)
	}
	before := w.bodies()
	if _, err := tenant.Open(context.Background(), config); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("%v", err)
	}
	for key, rec := range w.bodies() {
		if before[key].Revision != rec.Revision {
			t.Errorf("%s was changed", key)
		}
	}
}

// gatedClock stops whoever asks it first, which is the making of the signing key.
type gatedClock struct {
	asked, goOn chan struct{}
	first       atomic.Bool
}

func newGatedClock() *gatedClock {
	return &gatedClock{asked: make(chan struct{}), goOn: make(chan struct{})}
}

func (c *gatedClock) now() time.Time {
	if c.first.CompareAndSwap(false, true) {
		close(c.asked)
		<-c.goOn
	}
	return time.Now()
}

func TestCloseDoesNotWaitForTheKey(t *testing.T) {
	clock := newGatedClock()
	w := freshWorld(t, func(c *tenant.Config) { c.Now = clock.now })
	<-clock.asked
	service := w.Service
	waiting := make(chan error, 1)
	go func() {
		_, err := service.PublicKeys(context.Background())
		waiting <- err
	}()
	service.Close() // returns although the key is in the making
	if err := <-waiting; !errors.Is(err, tenant.ErrClosed) {
		t.Errorf("who waited for the key got %v", err)
	}
	close(clock.goOn)
	for err := service.Ready(context.Background()); !errors.Is(err, tenant.ErrClosed); err = service.Ready(context.Background()) {
		if err == nil {
			t.Fatal("the key was finished after Close")
		}
		runtime.Gosched() // until the making has ended
	}
	service.Close() // a second time
	if rec := w.bodies()["t/key/signing"]; rec.Exists() {
		t.Error("a key was stored after Close")
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("log: %s", w.log)
	}
}

func TestOnlyWhoNeedsTheKeyWaitsForIt(t *testing.T) {
	clock := newGatedClock()
	w := freshWorld(t, func(c *tenant.Config) { c.Now = clock.now })
	<-clock.asked
	c := w.newClient() // needs no key
	if err := w.Ready(context.Background()); err == nil {
		t.Error("ready without a key")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.PublicKeys(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(clock.goOn)
	w.mustIssue(c)
	if err := w.Ready(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAKeyThatCouldNotBeStoredIsTriedAgain(t *testing.T) {
	clock := newGatedClock()
	w := freshWorld(t, func(c *tenant.Config) { c.Now = clock.now })
	<-clock.asked
	full := errors.New("no space left on device")
	w.store.set(func(context.Context, func(store.Tx) error) error { return full })
	close(clock.goOn)
	for range 3 {
		if _, err := w.PublicKeys(context.Background()); !errors.Is(err, full) {
			t.Fatalf("%v", err)
		}
	}
	w.store.set(nil)
	c := w.newClient()
	issued, err := w.issue(c.request())
	for err != nil && errors.Is(err, full) { // the last failed attempt may have been under way still
		issued, err = w.issue(c.request())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Authenticate(context.Background(), issued.Raw, []string{vaults}); err != nil {
		t.Error(err)
	}
}

func TestNewerRecordsAreNotGuessed(t *testing.T) {
	w := newWorld(t)
	c := w.newClient()
	place := seal.Place{Purpose: seal.PurposeRecord, Kind: "application", Name: c.AppID, Object: "application", Format: 2}
	box, err := w.ring.Seal(w.granter.Write(), place, []byte(`{"appid":"`+c.AppID+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	w.overwrite(store.Key("t/app/"+c.AppID), box)
	var refused *tenant.Error
	if _, err := w.issue(c.request()); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("%v", err)
	}
}

func TestSwappedRecordsDoNotOpen(t *testing.T) {
	w := newWorld(t)
	a, b := w.newClient(), w.newClient()
	all := w.bodies()
	w.overwrite(store.Key("t/app/"+a.AppID), all[store.Key("t/app/"+b.AppID)].Body)
	w.overwrite(store.Key("t/sp/"+a.ObjectID), all[store.Key("t/sp/"+b.ObjectID)].Body)
	for _, secret := range []string{a.secret, b.secret} {
		if _, err := w.issue(tenant.TokenRequest{ClientID: a.AppID, ClientSecret: secret, Resource: vaults}); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%v", err)
		}
	}
	issued := w.mustIssue(b)
	caller, err := w.Authenticate(context.Background(), issued.Raw, []string{vaults})
	if err != nil {
		t.Fatal(err)
	}
	caller.ObjectID, caller.AppID = a.ObjectID, a.AppID
	if _, err := w.look(caller); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("%v", err)
	}
}

func (w *world) overwrite(key store.Key, box []byte) {
	w.t.Helper()
	err := w.store.Update(context.Background(), func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Put(key, rec.Revision, slices.Clone(box))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
