package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"

	vaults "coffer/internal/vault"
)

// benchObjects measures secrets and key operations over keep-alive TLS, authenticated
// and audited, each beside its limit.
func benchObjects(string) error {
	s, err := newVault()
	if err != nil {
		return err
	}
	defer s.close()
	for _, part := range []func(*served) error{benchGetSecret, benchSetSecret, benchSigning, benchOperations} {
		if err := part(s); err != nil {
			return err
		}
	}
	return nil
}

func benchGetSecret(s *served) error {
	if _, _, err := s.do("PUT", "/secrets/s", `{"value":"s3cr3t"}`); err != nil {
		return err
	}
	header, body, err := s.do("GET", "/secrets/s", "")
	if err != nil {
		return err
	}
	bare, err := newBare(header, body, s.token)
	if err != nil {
		return err
	}
	defer bare.close()
	get := target{client: s.client, request: func() (*http.Request, error) { return s.newRequest("GET", "/secrets/s", "") }}
	ratio, ours, plain, err := compareRates(bare.target, get)
	fmt.Printf("GET secret, ratio to bare TLS      %8.2f      (at least 0.6; last: %.0f of %.0f a second)\n", ratio, ours, plain)
	return err
}

// compareRates is the median of five ratios.
func compareRates(bare, get target) (ratio, ours, plain float64, err error) {
	var ratios []float64
	for range 5 {
		if plain, err = bare.rate(time.Second); err != nil {
			return 0, 0, 0, err
		}
		if ours, err = get.rate(time.Second); err != nil {
			return 0, 0, 0, err
		}
		ratios = append(ratios, ours/plain)
	}
	return medianOf(ratios), ours, plain, nil
}

// benchSetSecret compares SET with the group commits of the bare engine. Each SET has
// two lines of the audit log on the disk, before and after its commit.
func benchSetSecret(s *served) error {
	const writers, n = 64, 6_000
	caller, value := s.caller(), "s3cr3t"
	start := time.Now()
	if err := parallel(writers, n, func(i int) error {
		_, err := s.core.Vaults.SetSecret(context.Background(), caller, vaults.Ref{Vault: "objects", Name: nameOf(i)}, vaults.NewSecret{Value: &value})
		return err
	}); err != nil {
		return err
	}
	rate := n / time.Since(start).Seconds()
	groups, updates, err := bareCommits(writers)
	fmt.Printf("SET secret, 64 writers             %8.2f      (at least 0.6 of the bare engine's group commits; %.0f a second, %.0f groups and %.0f updates of the engine)\n", rate/groups, rate, groups, updates)
	return err
}

// benchSigning compares signatures with a loop of the library's own, on all processors.
func benchSigning(s *served) error {
	digest := sha256.Sum256([]byte("bench"))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for _, test := range []struct {
		name, create, alg string
		key               crypto.Signer
	}{{"rsa", `{"kty":"RSA"}`, "RS256", rsaKey}, {"ec", `{"kty":"EC"}`, "ES256", ecKey}} {
		if _, _, err := s.do("POST", "/keys/"+test.name+"/create", test.create); err != nil {
			return err
		}
		bare, err := during(2*time.Second, runtime.NumCPU(), func(int) error {
			_, err := test.key.Sign(rand.Reader, digest[:], crypto.SHA256)
			return err
		})
		if err != nil {
			return err
		}
		body := `{"alg":"` + test.alg + `","value":"` + base64.RawURLEncoding.EncodeToString(digest[:]) + `"}`
		ours, err := target{client: s.client, request: func() (*http.Request, error) { return s.newRequest("POST", "/keys/"+test.name+"/sign", body) }}.rate(2 * time.Second)
		if err != nil {
			return err
		}
		fmt.Printf("sign %s, ratio to the library    %8.2f      (at least 0.85; %.0f of %.0f a second)\n", test.alg, ours/bare, ours, bare)
	}
	return nil
}

func benchOperations(s *served) error {
	if _, _, err := s.do("POST", "/keys/aes/create", `{"kty":"oct-HSM"}`); err != nil {
		return err
	}
	_, text, err := s.do("POST", "/keys/rsa/wrapkey", `{"alg":"RSA-OAEP","value":"AAAAAAAAAAAAAAAAAAAAAA"}`)
	if err != nil {
		return err
	}
	var wrapped struct{ Value string }
	if err := json.Unmarshal(text, &wrapped); err != nil {
		return err
	}
	for _, test := range []struct{ name, path, body string }{
		{"unwrapKey RSA-OAEP", "/keys/rsa/unwrapkey", `{"alg":"RSA-OAEP","value":"` + wrapped.Value + `"}`},
		{"encrypt A256GCM", "/keys/aes/encrypt", `{"alg":"A256GCM","value":"AAAAAAAAAAAAAAAAAAAAAA"}`},
	} {
		rate, err := target{client: s.client, request: func() (*http.Request, error) { return s.newRequest("POST", test.path, test.body) }}.rate(2 * time.Second)
		if err != nil {
			return err
		}
		fmt.Printf("%-34s %8.0f a second\n", test.name, rate)
	}
	return nil
}
