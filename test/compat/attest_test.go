package compat_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// attester is an attestation service with the routes of the one that the SDK's live tests
// use, and the file of its TLS authority.
func attester(t *testing.T) (url, caFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := func(use string) map[string]string {
		encode := base64.RawURLEncoding.EncodeToString
		return map[string]string{"kty": "RSA", "kid": "k", "use": use, "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	}
	var server *httptest.Server
	answers := map[string]func() any{
		"/.well-known/openid-configuration": func() any { return map[string]string{"jwks_uri": server.URL + "/keys"} },
		"/keys":                             func() any { return map[string]any{"keys": []any{public("sig")}} },
		"//generate-test-token":             nil, "/generate-test-token": nil,
	}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case answer != nil:
			_ = json.NewEncoder(w).Encode(answer())
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"token": jwt(t, key, map[string]any{
				"iss": server.URL + "/", "exp": time.Now().Add(time.Hour).Unix(), "sdk-test": true,
				"x-ms-runtime": map[string]any{"keys": []any{public("enc")}},
			})})
		}
	}))
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, caFile
}

// jwt signs claims with RS256.
func jwt(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := encode([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}
