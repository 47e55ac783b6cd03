package token_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/token"
)

const issuer, tenant, audience = "https://sts.windows.net/T/", "T", "https://vault.azure.net"

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newKey(t testing.TB) *token.SigningKey {
	t.Helper()
	k, err := token.NewSigningKey(now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func expect(k *token.SigningKey) token.Expect {
	return token.Expect{Issuers: []token.Issuer{{Name: issuer, TenantID: tenant, Keys: []token.PublicKey{k.Public()}}}, Audiences: []string{audience}, Now: now}
}

func claims() token.Claims {
	return token.Claims{Audience: audience, Issuer: issuer, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Unix() + 3599, ObjectID: "o", Subject: "o", TenantID: tenant, Version: "1.0"}
}

func sign(t testing.TB, k *token.SigningKey, change func(*token.Claims)) string {
	t.Helper()
	c := claims()
	if change != nil {
		change(&c)
	}
	raw, err := token.Sign(k, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSignedTokenVerifies(t *testing.T) {
	k := newKey(t)
	raw := sign(t, k, nil)
	got, err := token.Verify(raw, expect(k))
	if err != nil || got.ObjectID != "o" {
		t.Fatalf("%+v, %v", got, err)
	}
	head, _ := base64.RawURLEncoding.DecodeString(raw[:strings.Index(raw, ".")])
	var header map[string]string
	if err := json.Unmarshal(head, &header); err != nil || header["typ"] != "JWT" || header["alg"] != "RS256" || header["x5t"] != k.Thumbprint || header["kid"] != k.ID || len(header) != 4 {
		t.Errorf("header %s", head)
	}
	kept, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := token.ParseSigningKey(kept)
	if err != nil || again.ID != k.ID {
		t.Fatalf("%v", err)
	}
	if _, err := token.Verify(sign(t, again, nil), expect(k)); err != nil {
		t.Errorf("a token of the key read back: %v", err)
	}
}

func forge(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(claims())
	signed, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := signed.CompactSerialize()
	return raw
}

func TestBadTokens(t *testing.T) {
	k, other := newKey(t), newKey(t)
	good := sign(t, k, nil)
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	public := x509.MarshalPKCS1PublicKey(k.Public().Key)
	foreign := mustParse(t, other)
	for name, test := range map[string]struct {
		raw    string
		reason token.Reason
	}{
		"empty":            {"", token.Malformed},
		"two parts":        {parts[0] + "." + parts[1], token.Malformed},
		"junk":             {"a.b.c", token.Malformed},
		"huge":             {strings.Repeat("a", 20000) + ".b.c", token.Malformed},
		"alg none":         {enc([]byte(`{"alg":"none","kid":"`+k.ID+`"}`)) + "." + parts[1] + ".", token.Algorithm},
		"HS256 public key": {forge(t, jose.HS256, public, k.ID), token.Algorithm},
		"PS256":            {forge(t, jose.PS256, foreign, k.ID), token.Algorithm},
		"unknown kid":      {sign(t, other, nil), token.UnknownKey},
		"no kid":           {forge(t, jose.RS256, foreign, ""), token.UnknownKey},
		"foreign key":      {forge(t, jose.RS256, foreign, k.ID), token.BadSignature},
		"payload changed":  {parts[0] + "." + enc([]byte(`{"iss":"`+issuer+`","aud":"`+audience+`","oid":"x","tid":"T","exp":9999999999}`)) + "." + parts[2], token.BadSignature},
		"issuer":           {sign(t, k, func(c *token.Claims) { c.Issuer = "https://sts.windows.net/T" }), token.UnknownIssuer},
		"tenant":           {sign(t, k, func(c *token.Claims) { c.TenantID = "U" }), token.WrongTenant},
		"audience":         {sign(t, k, func(c *token.Claims) { c.Audience = "https://graph.microsoft.com" }), token.WrongAudience},
		"expired":          {sign(t, k, func(c *token.Claims) { c.Expires = now.Unix() - 60 }), token.Expired},
		"no expiry":        {sign(t, k, func(c *token.Claims) { c.Expires = 0 }), token.Malformed},
		"no principal":     {sign(t, k, func(c *token.Claims) { c.ObjectID = "" }), token.Malformed},
		"not yet":          {sign(t, k, func(c *token.Claims) { c.NotBefore = now.Unix() + 61 }), token.NotYetValid},
	} {
		verifier := token.NewVerifier(8)
		for range 2 { // the second time, a remembered signature must not help
			_, err := token.Verify(test.raw, expect(k))
			_, err2 := verifier.Verify(test.raw, 1, expect(k))
			for _, err := range []error{err, err2} {
				var refused *token.Error
				if !errors.As(err, &refused) || refused.Reason != test.reason {
					t.Errorf("%s: %v, want %s", name, err, test.reason)
				}
			}
		}
	}
}

func mustParse(t *testing.T, k *token.SigningKey) *rsa.PrivateKey {
	t.Helper()
	data, _ := k.Marshal()
	var m struct{ PKCS8 []byte }
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(m.PKCS8)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func TestVerifierForgetsWithTheKeys(t *testing.T) {
	k, other := newKey(t), newKey(t)
	v := token.NewVerifier(2)
	raw := sign(t, k, nil)
	if _, err := v.Verify(raw, 1, expect(k)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(raw, 2, expect(other)); err == nil {
		t.Error("a token of a key that is gone was accepted")
	}
	late := expect(k)
	late.Now = now.Add(2 * time.Hour)
	if _, err := v.Verify(raw, 1, late); err == nil {
		t.Error("a remembered token did not expire")
	}
}

// FuzzVerify checks that only what was signed verifies.
func FuzzVerify(f *testing.F) {
	k := newKey(f)
	good := sign(f, k, nil)
	f.Add(good)
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := token.Verify(raw, expect(k)); err == nil && raw != good {
			t.Fatalf("%q verified", raw)
		}
	})
}

func BenchmarkVerifierHit(b *testing.B) {
	k := newKey(b)
	v, raw, e := token.NewVerifier(8), sign(b, k, nil), expect(k)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(raw, 1, e); err != nil {
			b.Fatal(err)
		}
	}
}
