package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/server"
	"coffer/internal/store"
	"coffer/internal/vault"
)

// furnish fills a world with something of everything.
func (w *world) furnish(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"web", "old"} {
		for range 2 {
			in := newEC()
			in.Policy.Actions = &[]vault.LifetimeActionInput{{Percentage: ptr(80), Action: ptr(vault.ActionAutoRenew)}}
			if name == "old" {
				in.Policy.Secret.ContentType = ptr(vault.ContentTypePFX)
			}
			_, err := w.Vaults.CreateCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: name}, in)
			must(err)
			must(w.Vaults.Settle(ctx))
		}
	}
	_, err := w.Vaults.DeleteCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: "old"})
	must(err)
	for _, name := range []string{"s1", "s1", "s2"} {
		_, err := w.Vaults.SetSecret(ctx, w.caller, vault.Ref{Vault: "demo", Name: name}, vault.NewSecret{Value: ptr("value")})
		must(err)
	}
	_, err = w.Vaults.DeleteSecret(ctx, w.caller, vault.Ref{Vault: "demo", Name: "s2"})
	must(err)
	_, err = w.Vaults.CreateKey(ctx, w.caller, vault.Ref{Vault: "demo", Name: "k"}, vault.NewKey{Kty: "EC", Curve: ptr("P-256")})
	must(err)
	_, err = w.Vaults.UpdateKeyRotationPolicy(ctx, w.caller, vault.Ref{Vault: "demo", Name: "k"}, vault.RotationPolicy{Actions: []vault.RotationAction{{Type: "Rotate", AfterCreate: "P30D"}}})
	must(err)
}

func (w *world) check(t *testing.T, repair bool) server.Checked {
	t.Helper()
	return w.administer(t, server.VerbCheck, server.AdminRequest{Repair: repair}).(server.Checked)
}

// change changes records as somebody who can write the store's file could.
func (w *world) change(t *testing.T, fn func(store.Tx) error) {
	t.Helper()
	if err := w.Store.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, tx store.Tx, key store.Key) store.Record {
	rec, err := tx.Get(key)
	if err != nil || !rec.Exists() {
		t.Fatalf("%s: %v", key, err)
	}
	return rec
}

// A store that only Coffer wrote has nothing wrong.
func TestCheckFindsNothingWrong(t *testing.T) {
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	w.furnish(t)
	found := w.check(t, false)
	for _, f := range found.Findings {
		t.Errorf("%s: %s", f.Key, f.Problem)
	}
	if found.Records < 20 || found.Due < 4 || found.Wrong() {
		t.Errorf("%d records, %d due rows", found.Records, found.Due)
	}
}

// What was altered, moved, swapped, removed or added is found; what can be derived is
// repaired, and nothing else is touched.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	const web, key, secret = "o/demo/certificate/web", "o/demo/key/web", "o/demo/secret/web"
	for name, test := range map[string]struct {
		change func(*testing.T, store.Tx) error
		key    string
		repair string
	}{
		"altered": {func(t *testing.T, tx store.Tx) error {
			rec := get(t, tx, secret)
			rec.Body[len(rec.Body)-1] ^= 1
			return tx.Put(rec.Key, rec.Revision, rec.Body)
		}, secret, ""},
		"moved": {func(t *testing.T, tx store.Tx) error {
			return tx.Put("o/demo/secret/elsewhere", 0, get(t, tx, "o/demo/secret/s1").Body)
		}, "o/demo/secret/elsewhere", ""},
		"swapped": {func(t *testing.T, tx store.Tx) error {
			a, b := get(t, tx, "o/demo/secret/s1"), get(t, tx, secret)
			if err := tx.Put(a.Key, a.Revision, b.Body); err != nil {
				return err
			}
			return tx.Put(b.Key, b.Revision, a.Body)
		}, "o/demo/secret/s1", ""},
		"key removed": {func(t *testing.T, tx store.Tx) error { return tx.Delete(key, get(t, tx, key).Revision) }, web, ""},
		"vault removed": {func(t *testing.T, tx store.Tx) error {
			return tx.Delete("vault/demo", get(t, tx, "vault/demo").Revision)
		}, web, ""},
		"application removed": {func(t *testing.T, tx store.Tx) error {
			at := store.Key("t/app/" + app.AppID)
			return tx.Delete(at, get(t, tx, at).Revision)
		}, "t/sp/" + app.ObjectID, ""},
		"unknown record": {func(_ *testing.T, tx store.Tx) error { return tx.Put("x/y", 0, []byte("z")) }, "x/y", ""},
		"audit head":     {func(_ *testing.T, tx store.Tx) error { return tx.Put("sys/audit/other", 0, []byte("z")) }, "sys/audit/other", ""},
		"index removed": {func(t *testing.T, tx store.Tx) error {
			return tx.Delete("o/demo/deleted-secret/s2", get(t, tx, "o/demo/deleted-secret/s2").Revision)
		}, "o/demo/deleted-secret/s2", "done"},
		"index added":        {func(_ *testing.T, tx store.Tx) error { return tx.Put("o/demo/deleted-secret/s1", 0, nil) }, "o/demo/deleted-secret/s1", "done"},
		"index of nothing":   {func(_ *testing.T, tx store.Tx) error { return tx.Put("o/demo/deleted/none", 0, nil) }, "o/demo/deleted/none", "done"},
		"renewal forgotten":  {func(_ *testing.T, tx store.Tx) error { return tx.SetDue("o/demo/renewal/web", time.Time{}) }, "o/demo/renewal/web", "done"},
		"rotation forgotten": {func(_ *testing.T, tx store.Tx) error { return tx.SetDue("o/demo/rotation/k", time.Time{}) }, "o/demo/rotation/k", "done"},
		"purge forgotten":    {func(_ *testing.T, tx store.Tx) error { return tx.SetDue("o/demo/certificate/old", time.Time{}) }, "o/demo/certificate/old", "done"},
		"due of nothing": {func(_ *testing.T, tx store.Tx) error {
			return tx.SetDue("o/demo/renewal/none", time.Now().Add(time.Hour))
		}, "o/demo/renewal/none", "done"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options(t.TempDir(), rootKey(t)))
			defer w.Close()
			w.furnish(t)
			w.change(t, func(tx store.Tx) error { return test.change(t, tx) })
			before := w.check(t, false)
			if !before.Wrong() || !hasFinding(before, test.key) {
				t.Fatalf("not found: %+v", before.Findings)
			}
			repaired := w.check(t, true)
			if !hasFinding(repaired, test.key) || repaired.Wrong() != (test.repair == "") {
				t.Errorf("after the repair: %+v", repaired.Findings)
			}
			if after := w.check(t, false); after.Wrong() != (test.repair == "") {
				t.Errorf("a second check found %+v", after.Findings)
			}
		})
	}
}

func hasFinding(c server.Checked, key string) bool {
	for _, f := range c.Findings {
		if f.Key == key {
			return true
		}
	}
	return false
}

// Two certificates of one vault whose keys were exchanged by somebody who has the keys to
// seal would not be found by opening: the triple is compared. Here a version is put back.
func TestCheckComparesTheTriple(t *testing.T) {
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	w.furnish(t)
	var old []byte
	w.change(t, func(tx store.Tx) error { old = bytes.Clone(get(t, tx, "o/demo/key/web").Body); return nil })
	if _, err := w.Vaults.CreateCertificate(t.Context(), w.caller, ref, newEC()); err != nil {
		t.Fatal(err)
	}
	if err := w.Vaults.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.change(t, func(tx store.Tx) error { return tx.Put("o/demo/key/web", get(t, tx, "o/demo/key/web").Revision, old) })
	found := w.check(t, true)
	if !found.Wrong() || !strings.Contains(fmt.Sprint(found.Findings), "another state or version") {
		t.Errorf("%+v", found.Findings)
	}
}
