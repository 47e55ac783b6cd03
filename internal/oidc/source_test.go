package oidc

import "testing"

// Whatever is published, what comes out is a public key that verifies.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"}`))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	f.Add([]byte(`{"kty":"RSA","x5c":["AAAA"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key, ok := parseKey(raw); ok && key.key == nil {
			t.Errorf("%q is taken without a key", raw)
		}
	})
}
