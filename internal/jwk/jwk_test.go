package jwk_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/jwk"
)

func publics(t testing.TB) []crypto.PublicKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	out := []crypto.PublicKey{&private.PublicKey}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &k.PublicKey)
	}
	return out
}

type equal interface{ Equal(crypto.PublicKey) bool }

// What is written reads back as the same key, by this package and by another one.
func TestRoundTrip(t *testing.T) {
	for range 16 { // coordinates with leading zeros come up
		for _, public := range publics(t)[1:] {
			check(t, public)
		}
	}
	check(t, publics(t)[0])
}

func check(t *testing.T, public crypto.PublicKey) {
	t.Helper()
	k, err := jwk.FromPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(k)
	var other jose.JSONWebKey
	if err := json.Unmarshal(text, &other); err != nil || !other.Key.(equal).Equal(public) {
		t.Errorf("another reader: %v: %s", err, text)
	}
	back, err := k.Public()
	if err != nil || !back.(equal).Equal(public) {
		t.Errorf("%v: %s", err, text)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
		if strings.Contains(string(text), private) {
			t.Errorf("a private member: %s", text)
		}
	}
}

func TestBadKeys(t *testing.T) {
	for _, k := range []jwk.Key{{}, {Kty: "oct"}, {Kty: "RSA"}, {Kty: "RSA", N: "AQAB", E: "AAEAAQ"}, {Kty: "EC", Crv: "P-256", X: "AA", Y: "AA"},
		{Kty: "EC", Crv: "P-256", X: strings.Repeat("A", 43), Y: strings.Repeat("A", 43)}, {Kty: "EC", Crv: "P-224"}} {
		if _, err := k.Public(); err == nil {
			t.Errorf("%+v was accepted", k)
		}
	}
}

// FuzzPublic checks that what parses is written the same again.
func FuzzPublic(f *testing.F) {
	for _, public := range publics(f) {
		k, _ := jwk.FromPublic(public)
		text, _ := json.Marshal(k)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var k jwk.Key
		if json.Unmarshal(text, &k) != nil {
			return
		}
		public, err := k.Public()
		if err != nil {
			return
		}
		again, err := jwk.FromPublic(public)
		if err != nil || again.N != k.N || again.E != k.E || again.X != k.X || again.Y != k.Y {
			t.Fatalf("%+v became %+v, %v", k, again, err)
		}
	})
}
