package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
)

// A subject is a kind of request.
type subject struct {
	name               string
	method, path, body string
	request            func() (*http.Request, error)
	// alone is the library's own operation, when that and not HTTP is what the request is
	// measured by.
	alone func() error
}

// benchObjects measures secrets and key operations over keep-alive TLS, authenticated
// and audited, each beside its limit.
func benchObjects(string) error {
	s, err := newVault()
	if err != nil {
		return err
	}
	defer s.close()
	subjects, err := s.subjects()
	if err != nil {
		return err
	}
	for _, one := range subjects {
		if err := s.beside(one); err != nil {
			return err
		}
	}
	return nil
}

// subjects makes a secret and keys, and the requests that use them.
func (s *served) subjects() ([]subject, error) {
	for _, made := range []struct{ method, path, body string }{
		{"PUT", "/secrets/s", `{"value":"s3cr3t"}`}, {"POST", "/keys/rsa/create", `{"kty":"RSA"}`},
		{"POST", "/keys/ec/create", `{"kty":"EC"}`}, {"POST", "/keys/aes/create", `{"kty":"oct-HSM"}`},
	} {
		if _, _, err := s.do(made.method, made.path, made.body); err != nil {
			return nil, err
		}
	}
	_, text, err := s.do("POST", "/keys/rsa/wrapkey", `{"alg":"RSA-OAEP","value":"AAAAAAAAAAAAAAAAAAAAAA"}`)
	if err != nil {
		return nil, err
	}
	var wrapped struct{ Value string }
	if err := json.Unmarshal(text, &wrapped); err != nil {
		return nil, err
	}
	rs, es, oaep, err := alone()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte("bench"))
	value := base64.RawURLEncoding.EncodeToString(digest[:])
	var written atomic.Int64
	return []subject{
		s.subject("GET certificate", "GET", "/certificates/web", ""),
		s.subject("GET secret", "GET", "/secrets/s", ""),
		{name: "SET secret", method: "PUT", request: func() (*http.Request, error) {
			return s.newRequest("PUT", "/secrets/"+nameOf(int(written.Add(1))), `{"value":"s3cr3t"}`)
		}},
		s.subject("sign RS256", "POST", "/keys/rsa/sign", `{"alg":"RS256","value":"`+value+`"}`).beside(rs),
		s.subject("sign ES256", "POST", "/keys/ec/sign", `{"alg":"ES256","value":"`+value+`"}`).beside(es),
		s.subject("unwrapKey RSA-OAEP", "POST", "/keys/rsa/unwrapkey", `{"alg":"RSA-OAEP","value":"`+wrapped.Value+`"}`).beside(oaep),
		s.subject("encrypt A256GCM", "POST", "/keys/aes/encrypt", `{"alg":"A256GCM","value":"AAAAAAAAAAAAAAAAAAAAAA"}`),
	}, nil
}

func (s *served) subject(name, method, path, body string) subject {
	return subject{name: name, method: method, path: path, body: body, request: func() (*http.Request, error) { return s.newRequest(method, path, body) }}
}

func (one subject) beside(alone func() error) subject {
	one.alone = alone
	return one
}

// alone returns the operations of the library.
func alone() (rs, es, oaep func() error, err error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &rsaKey.PublicKey, make([]byte, 16), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	digest := sha256.Sum256([]byte("bench"))
	rs = func() error { _, err := rsaKey.Sign(rand.Reader, digest[:], crypto.SHA256); return err }
	es = func() error { _, err := ecKey.Sign(rand.Reader, digest[:], crypto.SHA256); return err }
	oaep = func() error { _, err := rsa.DecryptOAEP(sha1.New(), nil, rsaKey, wrapped, nil); return err }
	return rs, es, oaep, nil
}

// beside prints how often a second a request is answered, beside its limit.
func (s *served) beside(one subject) error {
	requests := target{client: s.client, request: one.request}
	if one.method == "PUT" {
		return compareWrites(one.name, requests)
	}
	header, body, err := s.do(one.method, one.path, one.body)
	if err != nil {
		return err
	}
	bare, err := newBare(header, body, s.token)
	if err != nil {
		return err
	}
	defer bare.close()
	http := target{client: bare.client, request: func() (*http.Request, error) { return bare.newRequest(one.method, one.path, one.body) }}
	ratio, rate, limit, err := compareRates(http.rate, requests.rate)
	if err != nil {
		return err
	}
	if one.alone == nil {
		fmt.Printf("%-34s %8.2f      (at least 0.6 of bare TLS; last: %.0f of %.0f a second)\n", one.name, ratio, rate, limit)
		return nil
	}
	loop := func(d time.Duration) (float64, error) {
		return during(d, runtime.NumCPU(), func(int) error { return one.alone() })
	}
	toLibrary, _, library, err := compareRates(loop, requests.rate)
	fmt.Printf("%-34s %8.2f      (at least 0.85 of the library alone; last: %.0f of %.0f a second; bare TLS: %.0f)\n", one.name, toLibrary, rate, library, limit)
	return err
}

// compareRates is the median of five ratios.
func compareRates(bare, measured func(time.Duration) (float64, error)) (ratio, ours, plain float64, err error) {
	var ratios []float64
	for range 5 {
		if plain, err = bare(time.Second); err != nil {
			return 0, 0, 0, err
		}
		if ours, err = measured(time.Second); err != nil {
			return 0, 0, 0, err
		}
		ratios = append(ratios, ours/plain)
	}
	return medianOf(ratios), ours, plain, nil
}

// compareWrites compares writes with the group commits of the bare engine. Each has two
// lines of the audit log on the disk, before and after its commit.
func compareWrites(name string, requests target) error {
	var ratios []float64
	var rate, groups, updates float64
	for range 3 {
		var err error
		if groups, updates, err = bareCommits(writers); err != nil {
			return err
		}
		if rate, err = during(2*time.Second, writers, func(int) error { return requests.once() }); err != nil {
			return err
		}
		ratios = append(ratios, rate/groups)
	}
	fmt.Printf("%-34s %8.2f      (at least 0.6 of the bare engine's group commits; last: %.0f a second; engine: %.0f groups, %.0f updates)\n", name, medianOf(ratios), rate, groups, updates)
	return nil
}
