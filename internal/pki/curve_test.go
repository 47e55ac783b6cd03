package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"coffer/internal/pki"
)

var koblitz = pki.KeyType{Kty: "EC", Size: 256, Curve: "P-256K"}

func koblitzKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := pki.GenerateKey(koblitz)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The curve as SEC 2 §2.4.1 has it, in the encoding of SEC 1 §C.2.
const explicitCurve = "3081e0020101" +
	"302c06072a8648ce3d0101022100fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f" +
	"304404200000000000000000000000000000000000000000000000000000000000000000" +
	"04200000000000000000000000000000000000000000000000000000000000000007" +
	"04410479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" +
	"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8" +
	"022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141020101"

// A key of P-256K has the recorded form: the curve spelt out, and an attribute keyUsage.
func TestKoblitzForms(t *testing.T) {
	key := koblitzKey(t)
	if kt, err := pki.TypeOf(key.Public()); err != nil || kt != koblitz {
		t.Errorf("%v, %v", kt, err)
	}
	pkcs8, err := pki.MarshalKey(key)
	if text := hex.EncodeToString(pkcs8); err != nil || !strings.Contains(text, "06072a8648ce3d0201"+explicitCurve) || !strings.HasSuffix(text, "a00d300b0603551d0f310403020080") {
		t.Errorf("%v, %d octets", err, len(pkcs8))
	}
	back, err := pki.ParseKey(pkcs8)
	if err != nil || !back.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) || !same(back.Public(), key.Public()) {
		t.Errorf("another key came back: %v", err)
	}
	spki, err := pki.MarshalPublicKey(key.Public())
	if err != nil || !strings.Contains(hex.EncodeToString(spki), "06072a8648ce3d0201"+explicitCurve) {
		t.Errorf("%x, %v", spki, err)
	}
	if public, err := pki.ParsePublicKey(spki); err != nil || !same(public, key.Public()) {
		t.Errorf("another public key came back: %v", err)
	}
}

// Signatures verify by the standard library's arithmetic, are the same each time
// (RFC 6979), and are made of nothing but a digest of SHA-256.
func TestKoblitzSign(t *testing.T) {
	key := koblitzKey(t)
	digest := sha256.Sum256([]byte("a"))
	first, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], first) {
		t.Errorf("%x: %v", first, err)
	}
	if again, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil || !bytes.Equal(first, again) {
		t.Errorf("%x became %x: %v", first, again, err)
	}
	if _, err := key.Sign(rand.Reader, digest[:31], crypto.SHA256); err == nil {
		t.Error("half a digest was signed")
	}
}

// A certificate on P-256K is as any other, and its members say what is in it.
func TestKoblitzCertificate(t *testing.T) {
	key := koblitzKey(t)
	der := selfSigned(t, "CN=leaf", key)
	c, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalPublicKey(key.Public())
	if err != nil || !bytes.Equal(c.Raw, der) || !bytes.Equal(c.RawSubjectPublicKeyInfo, spki) || !bytes.Contains(der, c.RawTBSCertificate) || !same(c.PublicKey, key.Public()) {
		t.Errorf("the members are not the certificate's: %v", err)
	}
	if c.SignatureAlgorithm != x509.ECDSAWithSHA256 || len(c.DNSNames) != 2 || c.Subject.CommonName != "leaf" {
		t.Errorf("%v %v %v", c.SignatureAlgorithm, c.DNSNames, c.Subject)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Error(err)
	}
	digest := sha256.Sum256(c.RawTBSCertificate)
	if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], c.Signature) {
		t.Error("the signature is wrong")
	}
	altered := bytes.Replace(der, []byte("leaf"), []byte("Leaf"), 1)
	if c, err := pki.ParseCertificate(altered); err != nil || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
		t.Errorf("another name has the same signature, %v", err)
	}
	if _, err := pki.CreateRequest(template(t, "CN=leaf"), key); err != nil {
		t.Errorf("request: %v", err)
	}
}

// What OpenSSL wrote of the curve, named and spelt out, is the same key for us.
func TestKoblitzFromOpenSSL(t *testing.T) {
	for _, file := range []string{"p-256k-named.pem", "p-256k-explicit.pem"} {
		in, err := pki.ParsePEM(fixture(t, file), "")
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c, err := pki.ParseCertificate(in.Chain[0])
		if err != nil || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
			t.Errorf("%s: %v", file, err)
		}
		if public, err := pki.ParsePublicKey(c.RawSubjectPublicKeyInfo); err != nil || !same(public, in.Key.Public()) {
			t.Errorf("%s: %v", file, err)
		}
		pkcs8, err := pki.MarshalKey(in.Key)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := pki.ParseKey(pkcs8); err != nil || !same(back.Public(), in.Key.Public()) {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := pki.EncodePFX(in.Key, in.Chain); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// replaced is a document with some octets in place of others of the same number.
func replaced(t testing.TB, der []byte, old, with string) []byte {
	t.Helper()
	text := hex.EncodeToString(der)
	if len(old) != len(with) || strings.Count(text, old) != 1 {
		t.Fatalf("%s is there %d times", old, strings.Count(text, old))
	}
	return unhex(t, strings.Replace(text, old, with, 1))
}

// Any number of the curve that differs makes it another curve, even the base point
// alone, by which a forger fits the curve to somebody else's public key.
func TestOtherExplicitCurves(t *testing.T) {
	key := koblitzKey(t)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	der := selfSigned(t, "CN=a", key)
	for name, change := range map[string][2]string{
		"version":    {"3081e0020101302c", "3081e0020102302c"},
		"field":      {"2a8648ce3d0101", "2a8648ce3d0102"},
		"prime":      {"fefffffc2f3044", "fefffffc2d3044"},
		"a":          {"000000000000000420", "000000000000010420"},
		"b":          {"000000000000070441", "000000000000080441"},
		"base point": {"10d4b8022100", "10d4b9022100"},
		"form":       {"04410479be66", "04410579be66"},
		"order":      {"d0364141020101", "d0364143020101"},
		"cofactor":   {"d0364141020101", "d0364141020104"},
	} {
		if _, err := pki.ParseKey(replaced(t, pkcs8, change[0], change[1])); !errors.Is(err, pki.ErrKeyType) {
			t.Errorf("%s: private key: %v", name, err)
		}
		if _, err := pki.ParsePublicKey(replaced(t, spki, change[0], change[1])); !errors.Is(err, pki.ErrKeyType) {
			t.Errorf("%s: public key: %v", name, err)
		}
		if _, err := pki.ParseCertificate(replaced(t, der, change[0], change[1])); !errors.Is(err, pki.ErrCertificate) {
			t.Errorf("%s: certificate: %v", name, err)
		}
	}
}

// A private scalar is from 1 to the order less one, and the point is the scalar's.
func TestBadKoblitzKeys(t *testing.T) {
	private, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	d, point := hex.EncodeToString(private.Serialize()), hex.EncodeToString(private.PubKey().SerializeUncompressed())
	other := hex.EncodeToString(koblitzPoint(t))
	document := func(d, point string) []byte {
		return unhex(t, "308184020100301006072a8648ce3d020106052b8104000a046d306b0201010420"+d+"a144034200"+point)
	}
	if key, err := pki.ParseKey(document(d, point)); err != nil || !same(key.Public(), private.PubKey().ToECDSA()) {
		t.Errorf("the sound one: %v", err)
	}
	order := "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	for name, bad := range map[string][]byte{
		"zero": document(strings.Repeat("0", 64), point), "the order": document(order, point), "beyond it": document(strings.Repeat("f", 64), point),
		"another point": document(d, other), "off the curve": document(d, point[:129]+string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", point[129])+1)%16])),
	} {
		if _, err := pki.ParseKey(bad); err == nil || strings.Contains(err.Error(), d[:16]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spki := func(point string) []byte {
		return unhex(t, "3056301006072a8648ce3d020106052b8104000a034200"+point)
	}
	if public, err := pki.ParsePublicKey(spki(other)); err != nil || same(public, private.PubKey().ToECDSA()) {
		t.Errorf("a named curve: %v", err)
	}
	for name, point := range map[string]string{"zero": "04" + strings.Repeat("0", 128), "beyond the field": "04" + strings.Repeat("f", 128), "hybrid": "06" + point[2:]} {
		if _, err := pki.ParsePublicKey(spki(point)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// A key may name its curve once more inside (RFC 5915 §3), and has to name the same.
func TestInnerCurve(t *testing.T) {
	private, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(tag byte, content []byte) []byte {
		length := []byte{byte(len(content))}
		if len(content) > 0x7f {
			length = []byte{0x82, byte(len(content) >> 8), byte(len(content))}
		}
		if len(content) > 0x7f && len(content) < 0x100 {
			length = []byte{0x81, byte(len(content))}
		}
		return append(append([]byte{tag}, length...), content...)
	}
	document := func(curve []byte) []byte {
		key := append(append([]byte{2, 1, 1}, wrap(4, private.Serialize())...), wrap(0xa0, curve)...)
		return wrap(0x30, append(append([]byte{2, 1, 0}, unhex(t, "301006072a8648ce3d020106052b8104000a")...), wrap(4, wrap(0x30, key))...))
	}
	for name, curve := range map[string]string{"named": "06052b8104000a", "spelt out": explicitCurve} {
		if key, err := pki.ParseKey(document(unhex(t, curve))); err != nil || !same(key.Public(), private.PubKey().ToECDSA()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, curve := range map[string]string{
		"P-256": "06082a8648ce3d030107", "P-384": "06052b81040022", "another base point": strings.Replace(explicitCurve, "10d4b8", "10d4b9", 1), "nothing": "", "two": "06052b8104000a06052b8104000a",
	} {
		if key, err := pki.ParseKey(document(unhex(t, curve))); err == nil {
			t.Errorf("%s was taken: %v", name, key)
		}
	}
}

func koblitzPoint(t testing.TB) []byte {
	t.Helper()
	private, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return private.PubKey().SerializeUncompressed()
}

// FuzzParseKey checks that what parses is written in a form that parses to the same.
func FuzzParseKey(f *testing.F) {
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			f.Fatal(err)
		}
		der, err := pki.MarshalKey(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	for _, file := range []string{"p-256k-named.pem", "p-256k-explicit.pem", "p-224.pem", "rsa-1024.pem", "p-256-explicit.pem"} {
		block, _ := pem.Decode(fixture(f, file))
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := pki.ParseKey(der)
		if err != nil {
			return
		}
		again, err := pki.MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		back, err := pki.ParseKey(again)
		if err != nil || !back.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
			t.Fatalf("another key came back: %v", err)
		}
	})
}

// FuzzParsePublicKey checks the same of public keys.
func FuzzParsePublicKey(f *testing.F) {
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			f.Fatal(err)
		}
		der, err := pki.MarshalPublicKey(key.Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		public, err := pki.ParsePublicKey(der)
		if err != nil {
			return
		}
		again, err := pki.MarshalPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := pki.ParsePublicKey(again); err != nil || !same(back, public) {
			t.Fatalf("another key came back: %v", err)
		}
	})
}
