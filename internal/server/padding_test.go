package server_test

import (
	"context"
	"errors"
	"testing"

	"coffer/internal/vault"
)

// An installation can refuse the paddings that are oracles; the others go on.
func TestRefuseWeakPadding(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		o := options(t.TempDir(), rootKey(t))
		o.RefuseWeakPadding = refuse
		w := newWorld(t, o)
		ctx, k := context.Background(), vault.Ref{Vault: "demo", Name: "k"}
		if _, err := w.Vaults.CreateKey(ctx, w.caller, k, vault.NewKey{Kty: "RSA"}); err != nil {
			t.Fatal(err)
		}
		for alg, weak := range map[string]bool{"RSA1_5": true, "RSA-OAEP-256": false} {
			sealed, err := w.Vaults.Encrypt(ctx, w.caller, k, vault.KeyOperation{Algorithm: alg, Value: []byte("x")})
			if err != nil {
				t.Fatal(err)
			}
			for name, run := range map[string]func() (vault.KeyResult, error){
				"decrypt": func() (vault.KeyResult, error) {
					return w.Vaults.Decrypt(ctx, w.caller, k, vault.KeyOperation{Algorithm: alg, Value: sealed.Value})
				},
				"unwrap": func() (vault.KeyResult, error) {
					return w.Vaults.UnwrapKey(ctx, w.caller, k, vault.KeyOperation{Algorithm: alg, Value: sealed.Value})
				},
			} {
				_, err := run()
				var coded *vault.Error
				if refused := errors.As(err, &coded) && coded.Code == vault.CodeBadParameter; refused != (refuse && weak) {
					t.Errorf("switch %v, %s with %s: %v", refuse, name, alg, err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
