package server_test

import (
	"context"
	"errors"
	"testing"

	"coffer/internal/vault"
)

// FuzzSkipToken checks that nothing but a token that the vault gave is taken.
func FuzzSkipToken(f *testing.F) {
	w := newWorld(f, options(f.TempDir(), rootKey(f)))
	f.Cleanup(func() { _ = w.Close() })
	ctx := context.Background()
	for _, name := range []string{"a", "b"} {
		if _, err := w.Vaults.CreateCertificate(ctx, w.caller, vault.Ref{Vault: "demo", Name: name}, newEC()); err != nil {
			f.Fatal(err)
		}
	}
	_, next, err := w.Vaults.ListCertificates(ctx, w.caller, "demo", vault.Page{Size: 1})
	if err != nil || next == "" {
		f.Fatalf("%q, %v", next, err)
	}
	f.Add(next)
	f.Add(next[:len(next)-1])
	f.Add("AQEA")
	f.Fuzz(func(t *testing.T, token string) {
		_, _, err := w.Vaults.ListCertificates(ctx, w.caller, "demo", vault.Page{Token: token})
		var coded *vault.Error
		if taken := token == next || token == ""; taken != (err == nil) || err != nil && (!errors.As(err, &coded) || coded.Code != vault.CodeBadParameter) {
			t.Errorf("%q: %v", token, err)
		}
	})
}
