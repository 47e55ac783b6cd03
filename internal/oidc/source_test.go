package oidc

import (
	"errors"
	"testing"
)

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

// A token that is read has what it claims; one that is not is malformed, and nothing else.
func FuzzToken(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSIsImF1ZCI6WyJhIl0sImV4cCI6MX0.AAAA")
	f.Fuzz(func(t *testing.T, raw string) {
		if _, claims, err := parse(raw); err != nil && (claims.Issuer != "" || !errors.Is(err, ErrMalformed)) {
			t.Errorf("%q: %+v %v", raw, claims, err)
		}
	})
}
