package vault_test

import (
	"context"
	"testing"
	"time"

	"coffer/internal/issuer"
	"coffer/internal/vault"
)

const day = 24 * time.Hour

func TestAutoRenew(t *testing.T) {
	t.Attr("conformance", "cert-6.7-1")
	w, ctx := newWorld(t), context.Background()
	in := policy("Self") // a year, AutoRenew at 80 %
	in.Key.ReuseKey = ptr(false)
	w.create(vault.NewCertificate{Policy: in, Tags: map[string]string{"team": "a"}})
	first := w.certificate()
	w.turn(290 * day)
	if len(w.versions()) != 1 {
		t.Fatal("renewed before the trigger")
	}
	w.turn(5 * day)
	second := w.certificate()
	if len(w.versions()) != 2 || second.Version == first.Version || second.Tags["team"] != "a" || !second.Attributes.Enabled {
		t.Fatalf("%+v", second)
	}
	if op := w.operation(); !op.Completed() {
		t.Errorf("%+v", op)
	}
	if a, b := w.publicKey(first.Version), w.publicKey(second.Version); a == b {
		t.Error("the key was used again")
	}
	w.turn(2 * day)
	if len(w.versions()) != 2 {
		t.Error("renewed twice")
	}
	// With reuse_key the next one has the same key.
	in.Key.ReuseKey = ptr(true)
	if _, _, err := w.vaults.UpdateCertificatePolicy(ctx, w.caller, web, vault.PolicyInput{Key: in.Key}); err != nil {
		t.Fatal(err)
	}
	w.turn(295 * day)
	third := w.certificate()
	if len(w.versions()) != 3 || w.publicKey(third.Version) != w.publicKey(second.Version) {
		t.Error("the key was not used again")
	}
}

func (w *world) publicKey(version string) string {
	w.t.Helper()
	key, err := w.vaults.GetKey(context.Background(), w.caller, vault.Ref{Vault: web.Vault, Name: web.Name, Version: version})
	if err != nil {
		w.t.Fatal(err)
	}
	public, ok := key.Public.(interface{ Bytes() ([]byte, error) })
	if !ok {
		w.t.Fatalf("%T", key.Public)
	}
	point, err := public.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	return string(point)
}

func TestNoRenewal(t *testing.T) {
	t.Attr("conformance", "cert-6.7-2")
	ctx := context.Background()
	for name, change := range map[string]func(*world) error{
		"disabled": func(w *world) error {
			_, err := w.vaults.UpdateCertificate(ctx, w.caller, web, vault.CertificateUpdate{Enabled: ptr(false)})
			return err
		},
		"policy disabled": func(w *world) error {
			_, _, err := w.vaults.UpdateCertificatePolicy(ctx, w.caller, web, vault.PolicyInput{Enabled: ptr(false)})
			return err
		},
		"mail only": func(w *world) error {
			_, err := w.vaults.UpdateCertificate(ctx, w.caller, web, vault.CertificateUpdate{
				Policy: &vault.PolicyInput{Actions: &[]vault.LifetimeActionInput{{Days: ptr(30), Action: ptr("EmailContacts")}}}})
			return err
		},
		"issuer Unknown": func(w *world) error {
			_, _, err := w.vaults.UpdateCertificatePolicy(ctx, w.caller, web, vault.PolicyInput{Issuer: &vault.IssuerInput{Name: ptr("unknown")}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(vault.NewCertificate{Policy: policy("Self")})
			if err := change(w); err != nil {
				t.Fatal(err)
			}
			w.turn(400 * day)
			if n := len(w.versions()); n != 1 {
				t.Errorf("%d versions", n)
			}
		})
	}
}

// A deleted certificate is not renewed; a recovered one is.
func TestRenewAfterRecover(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.create(vault.NewCertificate{Policy: policy("Self")})
	w.turn(280 * day)
	if _, err := w.vaults.DeleteCertificate(ctx, w.caller, web); err != nil {
		t.Fatal(err)
	}
	w.turn(20 * day)
	if _, err := w.vaults.RecoverDeletedCertificate(ctx, w.caller, web); err != nil {
		t.Fatal(err)
	}
	if n := len(w.versions()); n != 1 {
		t.Fatalf("%d versions of a deleted certificate", n)
	}
	w.settle()
	if n := len(w.versions()); n != 2 {
		t.Errorf("%d versions after it was recovered past its trigger", n)
	}
}

// A renewal that fails leaves the current version, and is tried again a day later.
func TestRenewalFails(t *testing.T) {
	t.Attr("conformance", "cert-6.7-3")
	w := newWorld(t)
	w.slow.set(true, nil)
	in := policy("slow")
	in.Actions = &[]vault.LifetimeActionInput{{Days: ptr(30), Action: ptr("autorenew")}}
	w.create(vault.NewCertificate{Policy: in})
	first := w.certificate()
	w.slow.set(false, &issuer.Refusal{Code: "Request rejected", Message: "no"})
	w.turn(336 * day)
	if c := w.certificate(); c.Version != first.Version || !w.operation().Failed() {
		t.Fatalf("%+v, %+v", c, w.operation())
	}
	w.slow.set(true, nil)
	w.turn(time.Hour)
	if len(w.versions()) != 1 {
		t.Error("tried again at once")
	}
	w.turn(day)
	if c := w.certificate(); c.Version == first.Version || len(w.versions()) != 2 {
		t.Errorf("%+v", c)
	}
}
