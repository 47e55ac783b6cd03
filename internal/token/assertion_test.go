package token_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/token"
)

const assertedClient = "0a1b2c3d-0000-4000-8000-000000000001"

type certified struct {
	key *rsa.PrivateKey
	der []byte
}

var assertionKeys = sync.OnceValue(func() (out [2]certified) {
	for i, bits := range []int{2048, 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: assertionTime.Add(-time.Hour), NotAfter: assertionTime.Add(30 * 24 * time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		out[i] = certified{key, der}
	}
	return out
})

var assertionTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func assertion(t testing.TB, alg jose.SignatureAlgorithm, key any, header, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(claims)
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

func TestVerifyAssertion(t *testing.T) {
	good, weak := assertionKeys()[0], assertionKeys()[1]
	now := float64(assertionTime.Unix())
	sum, sum256 := sha1.Sum(good.der), sha256.Sum256(good.der)
	x5t, s256 := base64.RawURLEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum256[:])
	weakSum := sha256.Sum256(weak.der)
	claims := map[string]any{"iss": assertedClient, "sub": assertedClient, "aud": "https://login.example/t/oauth2/v2.0/token", "exp": now + 600, "nbf": now, "jti": "x"}
	with := func(over map[string]any) map[string]any {
		out := maps.Clone(claims)
		for name, value := range over {
			out[name] = value
			if value == nil {
				delete(out, name)
			}
		}
		return out
	}
	header := map[string]any{"x5t": x5t}
	for _, test := range []struct {
		name   string
		alg    jose.SignatureAlgorithm
		key    any
		header map[string]any
		claims map[string]any
		want   token.Reason
	}{
		{"RS256, x5t", jose.RS256, good.key, header, claims, ""},
		{"PS256, x5t#S256", jose.PS256, good.key, map[string]any{"x5t#S256": s256}, claims, ""},
		{"both thumbprints", jose.RS256, good.key, map[string]any{"x5t": x5t, "x5t#S256": s256}, claims, ""},
		{"padded standard base64", jose.RS256, good.key, map[string]any{"x5t": base64.StdEncoding.EncodeToString(sum[:])}, claims, ""},
		{"audience in a list", jose.RS256, good.key, header, with(map[string]any{"aud": []string{"x", "HTTPS://LOGIN.example/t/oauth2/v2.0/token"}}), ""},
		{"a day", jose.RS256, good.key, header, with(map[string]any{"exp": now + 86400}), ""},
		{"no nbf", jose.RS256, good.key, header, with(map[string]any{"nbf": nil}), ""},
		{"fractions", jose.RS256, good.key, header, with(map[string]any{"exp": now + 600.5}), ""},
		{"more than a day", jose.RS256, good.key, header, with(map[string]any{"exp": now + 86400 + 61}), token.OverLifetime},
		{"more than a day, without nbf", jose.RS256, good.key, header, with(map[string]any{"nbf": nil, "exp": now + 86400 + 61}), token.OverLifetime},
		{"a day left of two", jose.RS256, good.key, header, with(map[string]any{"nbf": now - 86400, "exp": now + 86400}), token.OverLifetime},
		{"for ever", jose.RS256, good.key, header, with(map[string]any{"exp": 1e300}), token.OverLifetime},
		{"no end", jose.RS256, good.key, header, with(map[string]any{"exp": nil}), token.Malformed},
		{"expired", jose.RS256, good.key, header, with(map[string]any{"nbf": now - 700, "exp": now - 60}), token.Expired},
		{"negative end", jose.RS256, good.key, header, with(map[string]any{"exp": -1e300}), token.Expired},
		{"not yet", jose.RS256, good.key, header, with(map[string]any{"nbf": now + 61}), token.NotYetValid},
		{"wrong audience", jose.RS256, good.key, header, with(map[string]any{"aud": "https://login.example/other/oauth2/v2.0/token"}), token.WrongAudience},
		{"no audience", jose.RS256, good.key, header, with(map[string]any{"aud": nil}), token.WrongAudience},
		{"wrong issuer", jose.RS256, good.key, header, with(map[string]any{"iss": "x"}), token.WrongClient},
		{"wrong subject", jose.RS256, good.key, header, with(map[string]any{"sub": nil}), token.WrongClient},
		{"no thumbprint", jose.RS256, good.key, nil, claims, token.UnknownKey},
		{"a kid is none", jose.RS256, good.key, map[string]any{"kid": x5t}, claims, token.UnknownKey},
		{"thumbprints of two", jose.RS256, good.key, map[string]any{"x5t": x5t, "x5t#S256": base64.RawURLEncoding.EncodeToString(weakSum[:])}, claims, token.UnknownKey},
		{"a weak key", jose.RS256, weak.key, map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(weakSum[:])}, claims, token.UnknownKey},
		{"another's signature", jose.RS256, weak.key, header, claims, token.BadSignature},
		{"RS384", jose.RS384, good.key, header, claims, token.Algorithm},
		{"HS256 with the certificate", jose.HS256, good.der, header, claims, token.Algorithm},
		{"HS256 with the thumbprint", jose.HS256, []byte(strings.Repeat("x", 32)), header, claims, token.Algorithm},
	} {
		raw := assertion(t, test.alg, test.key, test.header, test.claims)
		checkAssertion(t, test.name, raw, assertionTime, test.want)
	}
	raw := assertion(t, jose.RS256, good.key, header, claims)
	parts := strings.Split(raw, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","x5t":"` + x5t + `"}`))
	checkAssertion(t, "none", none+"."+parts[1]+".", assertionTime, token.Algorithm)
	checkAssertion(t, "no signature", parts[0]+"."+parts[1]+".", assertionTime, token.BadSignature)
	checkAssertion(t, "empty", "", assertionTime, token.Malformed)
	checkAssertion(t, "long", raw+strings.Repeat("A", 17<<10), assertionTime, token.Malformed)
	later := assertionTime.Add(31 * 24 * time.Hour)
	checkAssertion(t, "expired certificate", assertion(t, jose.RS256, good.key, header, with(map[string]any{"nbf": float64(later.Unix()), "exp": float64(later.Unix() + 600)})), later, token.UnknownKey)
	if got := token.AssertionIssuer(raw); got != assertedClient {
		t.Errorf("issuer %q", got)
	}
}

func checkAssertion(t *testing.T, name, raw string, now time.Time, want token.Reason) {
	t.Helper()
	keys := assertionKeys()
	err := token.VerifyAssertion(raw, token.ExpectAssertion{
		ClientID: strings.ToUpper(assertedClient), Audiences: []string{"https://login.example/t/oauth2/v2.0/token"}, Certificates: [][]byte{keys[1].der, keys[0].der}, Now: now,
	})
	var refused *token.Error
	switch {
	case want == "" && err != nil, want != "" && (!errors.As(err, &refused) || refused.Reason != want):
		t.Errorf("%s: %v %+v, want %q", name, err, refused, want)
	}
}

// What is accepted was signed by the one key that there is: no change of a good assertion is.
func FuzzAssertion(f *testing.F) {
	good := assertionKeys()[0]
	sum := sha1.Sum(good.der)
	now := assertionTime.Unix()
	raw := assertion(f, jose.RS256, good.key, map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(sum[:])},
		map[string]any{"iss": assertedClient, "sub": assertedClient, "aud": "a", "exp": now + 600})
	for _, seed := range []string{raw, raw[1:], raw + "A", "..", "e30.e30.", strings.Replace(raw, ".", "..", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token.AssertionIssuer(text)
		err := token.VerifyAssertion(text, token.ExpectAssertion{ClientID: assertedClient, Audiences: []string{"a"}, Certificates: [][]byte{good.der}, Now: assertionTime})
		if at := strings.LastIndex(raw, "."); err == nil && !strings.HasPrefix(text, raw[:at]) {
			t.Errorf("%q is accepted", text)
		}
		var refused *token.Error
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("%v", err)
		}
	})
}
