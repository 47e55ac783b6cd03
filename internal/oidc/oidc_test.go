package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/oidc"
)

// An issuer is an outside one, in this process.
type issuer struct {
	*httptest.Server
	t       *testing.T
	key     *rsa.PrivateKey
	now     atomic.Int64
	asked   atomic.Int32
	handler map[string]http.HandlerFunc // by path, over the usual ones
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key, handler: map[string]http.HandlerFunc{}}
	i.now.Store(time.Now().Unix())
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if own := i.handler[r.URL.Path]; own != nil {
			own(w, r)
			return
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"jwks_uri":%q}`, i.URL+"/keys")
		case "/keys":
			i.write(w, jose.JSONWebKey{Key: key.Public(), KeyID: "k1", Use: "sig"})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) write(w http.ResponseWriter, keys ...any) {
	if err := json.NewEncoder(w).Encode(map[string]any{"keys": keys}); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) verifier(change ...func(*oidc.Issuer)) *oidc.Verifier {
	i.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	one := oidc.Issuer{URL: i.URL, CAs: roots}
	for _, fn := range change {
		fn(&one)
	}
	v, err := oidc.New(oidc.Config{
		Issuers: []oidc.Issuer{one}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(i.now.Load(), 0) },
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

func (i *issuer) claims(over map[string]any) map[string]any {
	claims := map[string]any{"iss": i.URL + "/", "sub": "s", "aud": "a", "exp": i.now.Load() + 3600, "nbf": i.now.Load() - 10}
	maps.Copy(claims, over)
	return claims
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerify(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := i.now.Load()
	for name, test := range map[string]struct {
		raw  string
		want error
	}{
		"good":              {sign(t, jose.RS256, i.key, "k1", i.claims(nil)), nil},
		"PS256":             {sign(t, jose.PS256, i.key, "k1", i.claims(nil)), nil},
		"no key id":         {sign(t, jose.RS256, i.key, "", i.claims(nil)), nil},
		"many audiences":    {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"aud": []string{"a", "b"}})), nil},
		"other key":         {sign(t, jose.RS256, other, "k1", i.claims(nil)), oidc.ErrSignature},
		"unknown key":       {sign(t, jose.RS256, other, "k2", i.claims(nil)), oidc.ErrUnknownKey},
		"other issuer":      {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"iss": "https://elsewhere.example"})), oidc.ErrUnknownIssuer},
		"no issuer":         {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"iss": nil})), oidc.ErrUnknownIssuer},
		"expired":           {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"exp": now - 61})), oidc.ErrTimes},
		"not yet":           {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"nbf": now + 62})), oidc.ErrTimes},
		"endless":           {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"exp": nil})), oidc.ErrTimes},
		"time of no use":    {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"exp": 1e300})), oidc.ErrMalformed},
		"audience a number": {sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"aud": 7})), oidc.ErrMalformed},
		"by a secret":       {sign(t, jose.HS256, []byte("0123456789abcdef0123456789abcdef"), "k1", i.claims(nil)), oidc.ErrMalformed},
		"not a token":       {"a.b.c", oidc.ErrMalformed},
		"empty":             {"", oidc.ErrMalformed},
		"huge":              {strings.Repeat("a", 65<<10) + "..", oidc.ErrMalformed},
	} {
		claims, err := v.Verify(context.Background(), i.URL, test.raw)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if test.want == nil && (err != nil || claims.Subject != "s" || claims.Audience[0] != "a" || claims.Expires != now+3600) {
			t.Errorf("%s: %+v %v", name, claims, err)
		}
	}
	if _, err := v.Verify(context.Background(), "https://elsewhere.example", sign(t, jose.RS256, i.key, "k1", i.claims(nil))); !errors.Is(err, oidc.ErrUnknownIssuer) {
		t.Error(err)
	}
}

// Key ids that are unknown make one fetch a minute, and keys are fetched anew after an
// hour. Those that are there serve on while the issuer is away.
func TestFetches(t *testing.T) {
	t.Attr("conformance", "id-4.1-17")
	i := newIssuer(t)
	v, ctx := i.verifier(), context.Background()
	good := func() string { return sign(t, jose.RS256, i.key, "k1", i.claims(nil)) }
	verify := func(raw string, want error, asked int32) {
		t.Helper()
		if _, err := v.Verify(ctx, i.URL, raw); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if got := i.asked.Load(); got != asked {
			t.Errorf("the issuer was asked %d times, want %d", got, asked)
		}
	}
	verify(sign(t, jose.RS256, i.key, "k1", i.claims(map[string]any{"iss": "https://elsewhere.example"})), oidc.ErrUnknownIssuer, 0)
	verify(good(), nil, 2)
	for range 5 {
		verify(sign(t, jose.RS256, i.key, "new", i.claims(nil)), oidc.ErrUnknownKey, 2)
	}
	i.now.Add(61)
	verify(sign(t, jose.RS256, i.key, "new", i.claims(nil)), oidc.ErrUnknownKey, 4)
	verify(good(), nil, 4)
	i.now.Add(3600)
	i.handler["/keys"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	verify(good(), nil, 6)
	verify(good(), nil, 6)
	i.now.Add(24 * 3600)
	verify(good(), oidc.ErrUnavailable, 8)
	delete(i.handler, "/keys")
	i.now.Add(6)
	verify(good(), nil, 10)
}

// What an issuer publishes leads nowhere else and costs little.
func TestHostileIssuer(t *testing.T) {
	t.Attr("conformance", "id-4.1-17")
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer elsewhere.Close()
	const document, keys = "/.well-known/openid-configuration", "/keys"
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
	}
	for name, handler := range map[string]map[string]http.HandlerFunc{
		"other host":    {document: text(`{"jwks_uri":"` + elsewhere.URL + `/keys"}`)},
		"plain HTTP":    {document: text(`{"jwks_uri":"http://127.0.0.1/keys"}`)},
		"other issuer":  {document: text(`{"issuer":"https://elsewhere.example","jwks_uri":"/keys"}`)},
		"no address":    {document: text(`{}`)},
		"no JSON":       {document: text(`<html>`)},
		"redirect":      {keys: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }},
		"huge":          {keys: text(`{"keys":[],"x":"` + strings.Repeat("x", 300<<10) + `"}`)},
		"too many keys": {keys: text(`{"keys":[` + strings.Repeat("{},", 256) + `{}]}`)},
		"no keys":       {keys: text(`{"keys":[]}`)},
		"not found":     {keys: func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			maps.Copy(i.handler, handler)
			if _, err := i.verifier().Verify(context.Background(), i.URL, sign(t, jose.RS256, i.key, "k1", i.claims(nil))); !errors.Is(err, oidc.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
}

// Keys of no use are passed over; a certificate alone is a key, too.
func TestKeySets(t *testing.T) {
	i := newIssuer(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	i.handler["/keys"] = func(w http.ResponseWriter, _ *http.Request) {
		i.write(w,
			map[string]any{"kty": "oct", "kid": "secret", "k": "AAAA"}, map[string]any{"kty": "RSA", "kid": "bad", "n": 5}, 7,
			map[string]any{"kty": "RSA", "kid": "certificate", "x5c": []string{base64.StdEncoding.EncodeToString(der)}},
			map[string]any{"kty": "RSA", "kid": "torn", "x5c": []string{"AAAA"}},
			jose.JSONWebKey{Key: ec.Public(), KeyID: "ec"}, jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"},
			jose.JSONWebKey{Key: i.key.Public(), KeyID: "enc", Use: "enc"},
		)
	}
	v := i.verifier()
	for kid, test := range map[string]struct {
		alg  jose.SignatureAlgorithm
		key  any
		want error
	}{
		"certificate": {jose.RS256, i.key, nil}, "ec": {jose.ES256, ec, nil}, "weak": {jose.RS256, weak, oidc.ErrUnknownKey},
		"enc": {jose.RS256, i.key, oidc.ErrUnknownKey}, "secret": {jose.RS256, i.key, oidc.ErrUnknownKey},
	} {
		if _, err := v.Verify(context.Background(), i.URL, sign(t, test.alg, test.key, kid, i.claims(nil))); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", kid, err)
		}
	}
}

func TestBadIssuers(t *testing.T) {
	for _, url := range []string{"", "http://attest.example.com", "https://", "attest.example.com", "https://a.example/?x=y", "https://u:p@a.example"} {
		if _, err := oidc.New(oidc.Config{Issuers: []oidc.Issuer{{URL: url}}, Now: time.Now}); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	if _, err := oidc.New(oidc.Config{Issuers: []oidc.Issuer{{URL: "https://a.example"}, {URL: "https://A.example/"}}, Now: time.Now}); err == nil {
		t.Error("an issuer can be named twice")
	}
}
