package jwk_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
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
	foreign, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return append(out, foreign.PubKey().ToECDSA())
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
	if k.Crv == "P-256K" { // which the other package does not know
		if len(k.X) != 43 || len(k.Y) != 43 {
			t.Errorf("short coordinates: %s", text)
		}
	} else if err := json.Unmarshal(text, &other); err != nil || !other.Key.(equal).Equal(public) {
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
		{Kty: "EC", Crv: "P-256", X: strings.Repeat("A", 43), Y: strings.Repeat("A", 43)}, {Kty: "EC", Crv: "P-224"}, {Kty: "EC", Crv: "secp256k1"},
		{Kty: "EC", Crv: "P-256K", X: "AA", Y: "AA"}, {Kty: "EC", Crv: "P-256K", X: strings.Repeat("A", 43), Y: strings.Repeat("A", 43)}, {Kty: "EC", Crv: "P-256K", X: strings.Repeat("_", 42) + "8", Y: strings.Repeat("A", 43)}} {
		if _, err := k.Public(); err == nil {
			t.Errorf("%+v was accepted", k)
		}
	}
}

// A point with another curve than it is on, or without one, is not written.
func TestForeignPoint(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	moved := *foreign.PubKey().ToECDSA()
	moved.X = p256.X //lint:ignore SA1019 there is no other way to a wrong point
	for name, public := range map[string]*ecdsa.PublicKey{"off the curve": &moved, "no point": {Curve: moved.Curve}} {
		if k, err := jwk.FromPublic(public); !errors.Is(err, jwk.ErrKey) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	k, err := jwk.FromPublic(foreign.PubKey().ToECDSA())
	if err != nil || k.Kty != "EC" || k.Crv != "P-256K" {
		t.Errorf("%+v, %v", k, err)
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
