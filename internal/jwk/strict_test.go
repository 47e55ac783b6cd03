package jwk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coffer/internal/jwk"
)

// One key has one text: every other spelling of a number is refused.
func TestOneSpelling(t *testing.T) {
	all := publics(t)
	rsa, err := jwk.FromPublic(all[0])
	if err != nil {
		t.Fatal(err)
	}
	ec, err := jwk.FromPublic(all[1])
	if err != nil {
		t.Fatal(err)
	}
	change := func(k jwk.Key, f func(*jwk.Key)) jwk.Key {
		f(&k)
		return k
	}
	for name, k := range map[string]jwk.Key{
		"line feed in n":       change(rsa, func(k *jwk.Key) { k.N = k.N[:8] + "\n" + k.N[8:] }),
		"carriage return in e": change(rsa, func(k *jwk.Key) { k.E += "\r" }),
		"line feed in x":       change(ec, func(k *jwk.Key) { k.X += "\n" }),
		"padding":              change(ec, func(k *jwk.Key) { k.Y += "=" }),
		"leading zero in n":    change(rsa, func(k *jwk.Key) { k.N = "AAAA" + k.N }),
		"bits left over":       change(ec, func(k *jwk.Key) { k.X = strings.Repeat("_", 43) }),
		"no e":                 change(rsa, func(k *jwk.Key) { k.E = "" }),
		"e is one":             change(rsa, func(k *jwk.Key) { k.E = "AQ" }),
		"e is even":            change(rsa, func(k *jwk.Key) { k.E = "AQAA" }),
		"e beyond 31 bits":     change(rsa, func(k *jwk.Key) { k.E = "_____w" }),
		"n is even":            change(rsa, func(k *jwk.Key) { k.N = k.N[:len(k.N)-2] + "AA" }),
		"a short n":            change(rsa, func(k *jwk.Key) { k.N = k.N[:100] }),
		"a huge n":             change(rsa, func(k *jwk.Key) { k.N = strings.Repeat(k.N, 64) }),
		"RSA with a curve":     change(rsa, func(k *jwk.Key) { k.Crv, k.X, k.Y = ec.Crv, ec.X, ec.Y }),
		"EC with a modulus":    change(ec, func(k *jwk.Key) { k.N, k.E = rsa.N, rsa.E }),
	} {
		if _, err := k.Public(); !errors.Is(err, jwk.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever private members a document has, none is kept.
func TestPrivateMembersAreLost(t *testing.T) {
	var k jwk.Key
	err := json.Unmarshal([]byte(`{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"SECRET","p":"SECRET","q":"SECRET","dp":"SECRET","dq":"SECRET","qi":"SECRET","k":"SECRET","oth":[{"r":"SECRET"}]}`), &k)
	text, err2 := json.Marshal(k)
	if err != nil || err2 != nil || strings.Contains(string(text), "SECRET") {
		t.Errorf("%s, %v, %v", text, err, err2)
	}
}

// The members are in the order in which the service writes them (recorded).
func TestOrder(t *testing.T) {
	text, err := json.Marshal(jwk.Key{ID: "i", Kty: "t", Ops: []string{"sign"}, N: "n", E: "e", Crv: "c", X: "x", Y: "y"})
	if want := `{"kid":"i","kty":"t","key_ops":["sign"],"n":"n","e":"e","crv":"c","x":"x","y":"y"}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

// A private key prints nothing of itself, whatever the verb and whatever it is in.
func TestPrivatePrintsNothing(t *testing.T) {
	key := jwk.Private{Kty: "RSA", D: "SECRET", P: "SECRET", K: "SECRET", KeyHSM: "SECRET"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{key, &key, struct{ Key jwk.Private }{key}} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "SECRET") || strings.Contains(text, "534543524554") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}
