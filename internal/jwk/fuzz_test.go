package jwk_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"coffer/internal/jwk"
)

// A private key that is read is written again without an error, whatever came in.
func FuzzPrivate(f *testing.F) {
	f.Add("EC", "P-256", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "")
	f.Add("RSA", "", "AQAB", "AQAB", "AQAB", "AQAB")
	f.Add("oct", "", "", "", "", "AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, kty, crv, x, y, d, k string) {
		p := jwk.Private{Kty: kty, Crv: crv, X: x, Y: y, D: d, K: k, N: x, E: y, P: k, Q: k, DP: k, DQ: k, QI: k, KeyHSM: k}
		if der, err := p.PKCS8(); err == nil && len(der) == 0 {
			t.Error("a key without octets")
		}
		if octets, err := p.Symmetric(); err == nil && len(octets) == 0 {
			t.Error("a symmetric key without octets")
		}
		_, _, _ = p.Transfer()
	})
}

// A transfer blob that opens is one that was made for the key; nothing else does.
func FuzzTransfer(f *testing.F) {
	exchange, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	blob, err := jwk.SealTransfer(&exchange.PublicKey, "CKM_RSA_AES_KEY_WRAP", "kid", []byte("0123456789"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add([]byte(`{"schema_version":"1.0.0","header":{"kid":"kid","alg":"dir","enc":"CKM_RSA_AES_KEY_WRAP"},"ciphertext":"AAAA"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if plain, err := jwk.OpenTransfer(exchange, in, "kid"); err == nil && string(plain) != "0123456789" {
			t.Errorf("%q opens as %q", in, plain)
		}
	})
}
