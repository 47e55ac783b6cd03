package pki_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zmap/rc2"
	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"coffer/internal/pki"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func same(a, b any) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

// sound checks what any import promises: the leaf is the certificate of the key.
func sound(t testing.TB, in pki.Import) {
	t.Helper()
	leaf, err := pki.ParseCertificate(in.Chain[in.Leaf])
	if err != nil || !same(in.Key.Public(), leaf.PublicKey) {
		t.Fatalf("the leaf is not the key's: %v", err)
	}
}

// subjects are the certificates of an import, the leaf with an asterisk.
func subjects(t testing.TB, in pki.Import) string {
	t.Helper()
	var out []string
	for i, der := range in.Chain {
		c, err := pki.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		name := c.Subject.CommonName
		if i == in.Leaf {
			name += "*"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

const umlauts = "pässwörd"

// What OpenSSL, Java and the authors of RFC 9579 wrote is read.
func TestForeignPFX(t *testing.T) {
	for _, test := range []struct{ file, password, want string }{
		{"legacy.pfx", umlauts, "leaf* root"},
		{"legacy-empty.pfx", "", "leaf* root"},
		{"modern.pfx", umlauts, "leaf* root"},
		{"modern-empty.pfx", "", "leaf* root"},
		{"rc2-128.pfx", "1234", "leaf* root"},
		{"rc2-40-key.pfx", "1234", "leaf* root"},
		{"aes-128.pfx", "1234", "leaf* root"},
		{"des3-pbes2.pfx", "1234", "leaf* root"},
		{"plain-bags.pfx", "1234", "leaf* root"},
		{"surrogates.pfx", "😀", "leaf* root"},
		{"java.pfx", "changeit", "java*"},
		{"java-legacy.pfx", "changeit", "java*"},
		{"p-256k.pfx", "1234", "bad*"},
		{"rfc9579-a1.pfx", "1234", ""},
		{"rfc9579-a2.pfx", "1234", ""},
		{"rfc9579-a3.pfx", "1234", ""},
	} {
		file := fixture(t, test.file)
		in, err := pki.ParsePFX(file, test.password)
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		sound(t, in)
		if got := subjects(t, in); test.want != "" && got != test.want {
			t.Errorf("%s: %s", test.file, got)
		}
		for _, wrong := range []string{test.password + "x", "Pässwörd", " "} {
			_, err := pki.ParsePFX(file, wrong)
			if !errors.Is(err, pki.ErrPFX) || !strings.Contains(err.Error(), "password is wrong") || strings.Contains(err.Error(), "ssw\u00f6rd") {
				t.Errorf("%s with a wrong password: %v", test.file, err)
			}
		}
	}
}

// A file that is cut anywhere is refused, whoever made it, and so is one with more at
// its end.
func TestTruncatedPFX(t *testing.T) {
	for file, password := range map[string]string{"legacy.pfx": umlauts, "modern-empty.pfx": "", "plain-bags.pfx": "1234", "java.pfx": "changeit"} {
		whole := fixture(t, file)
		for n := range whole {
			if _, err := pki.ParsePFX(whole[:n], password); !errors.Is(err, pki.ErrPFX) {
				t.Fatalf("%s cut at %d: %v", file, n, err)
			}
		}
		if _, err := pki.ParsePFX(append(whole, 0), password); !errors.Is(err, pki.ErrPFX) {
			t.Errorf("%s with more behind: %v", file, err)
		}
	}
}

// Whichever octet of a file is altered, its key and certificates are not, if they come
// out at all.
func TestAlteredPFX(t *testing.T) {
	whole := fixture(t, "rc2-128.pfx")
	want, err := pki.ParsePFX(whole, "1234")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		altered := slices.Clone(whole)
		altered[n] ^= 1
		in, err := pki.ParsePFX(altered, "1234")
		if err == nil && (!same(in.Key.Public(), want.Key.Public()) || !slices.EqualFunc(in.Chain, want.Chain, bytes.Equal)) {
			t.Errorf("octet %d", n)
		}
	}
}

func TestBadPFX(t *testing.T) {
	for file, text := range map[string]string{
		"no-mac.pfx": "no MAC", "no-key.pfx": "no private key", "rfc9579-a4.pfx": "", "rfc9579-a5.pfx": "", "rfc9579-a6.pfx": "",
	} {
		if _, err := pki.ParsePFX(fixture(t, file), "1234"); !errors.Is(err, pki.ErrPFX) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := pki.ParsePFX(fixture(t, "no-certificate.pfx"), "1234"); !errors.Is(err, pki.ErrMismatch) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := pki.ParsePFX(bytes.Repeat([]byte{0x30}, 1<<20+1), ""); !errors.Is(err, pki.ErrPFX) {
		t.Errorf("a huge file: %v", err)
	}
}

// An independent writer's files are read.
func TestOtherWriter(t *testing.T) {
	key := newKey(t)
	leaf, other := issue(t, template(t, "CN=leaf"), key), issue(t, template(t, "CN=other"), newKey(t))
	for name, encoder := range map[string]*pkcs12.Encoder{"RC2": pkcs12.LegacyRC2, "DES": pkcs12.LegacyDES, "legacy": pkcs12.Legacy, "modern": pkcs12.Modern} {
		for _, password := range []string{"", "changeit", "ünï"} {
			file, err := encoder.Encode(key, leaf, []*x509.Certificate{other}, password)
			if err != nil {
				t.Fatal(err)
			}
			in, err := pki.ParsePFX(file, password)
			if err != nil {
				t.Errorf("%s, %q: %v", name, password, err)
				continue
			}
			sound(t, in)
			if !bytes.Equal(in.Chain[in.Leaf], leaf.Raw) || len(in.Chain) != 2 || !same(in.Key.Public(), key.Public()) {
				t.Errorf("%s: %s", name, subjects(t, in))
			}
		}
	}
}

// The vectors of RFC 2268 §5 whose effective key bits are those of the key, which is
// how PKCS#12 uses the cipher.
func TestRC2(t *testing.T) {
	for _, v := range []struct{ key, plain, cipher string }{
		{"ffffffffffffffff", "ffffffffffffffff", "278b27e42e2f0d49"},
		{"3000000000000000", "1000000000000001", "30649edf9be7d2c2"},
		{"88bca90e90875a7f0f79c384627bafb2", "0000000000000000", "2269552ab0f85ca6"},
	} {
		key, plain, encrypted := unhex(t, v.key), unhex(t, v.plain), unhex(t, v.cipher)
		block, err := rc2.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		if block.Decrypt(got, encrypted); !bytes.Equal(got, plain) {
			t.Errorf("%s: %x, not %s", v.key, got, v.plain)
		}
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	out, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestForeignPEM(t *testing.T) {
	for _, test := range []struct{ file, password, want string }{
		{"key-first.pem", "", "leaf* root"},
		{"key-first.pem", "ignored", "leaf* root"},
		{"key-last.pem", "", "root leaf*"},
		{"encrypted-3des.pem", umlauts, "leaf*"},
		{"encrypted-aes.pem", umlauts, "leaf*"},
		{"rsa.pem", "", "rsa*"},
		{"p-256k-named.pem", "", "bad*"},
		{"p-256k-explicit.pem", "", "bad*"},
	} {
		in, err := pki.ParsePEM(fixture(t, test.file), test.password)
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		sound(t, in)
		if got := subjects(t, in); got != test.want {
			t.Errorf("%s: %s", test.file, got)
		}
	}
}

// Every hash of PBKDF2 derives the keys that the standard library derives by it; none
// means SHA-1 (RFC 8018 appendix A.2).
func TestPBKDF2Hashes(t *testing.T) {
	key := newKey(t)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, "CN=leaf", key)})
	for arc, hash := range map[int]crypto.Hash{0: crypto.SHA1, 7: crypto.SHA1, 8: crypto.SHA224, 9: crypto.SHA256, 10: crypto.SHA384, 11: crypto.SHA512} {
		secret, err := pbkdf2.Key(hash.New, umlauts, []byte("salt"), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		kdf := [][]byte{octets([]byte("salt")), {2, 1, 10}}
		if arc > 0 {
			kdf = append(kdf, list(t, []byte{6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, byte(arc)}))
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			t.Fatal(err)
		}
		iv, padding := make([]byte, aes.BlockSize), aes.BlockSize-len(pkcs8)%aes.BlockSize
		encrypted := append(slices.Clone(pkcs8), bytes.Repeat([]byte{byte(padding)}, padding)...)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(encrypted, encrypted)
		scheme := list(t, unhex(t, "06092a864886f70d01050d"), list(t,
			list(t, unhex(t, "06092a864886f70d01050c"), list(t, kdf...)),
			list(t, unhex(t, "060960864801650304012a"), octets(iv))))
		text := append(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: list(t, scheme, octets(encrypted))}), certificate...)
		in, err := pki.ParsePEM(text, umlauts)
		if err != nil || !same(in.Key.Public(), key.Public()) {
			t.Errorf("hash %d: %v", arc, err)
		}
	}
}

func TestBadPEM(t *testing.T) {
	good := string(fixture(t, "key-first.pem"))
	certificate := good[strings.Index(good, "-----BEGIN CERTIFICATE"):]
	key := strings.TrimSuffix(good, certificate)
	foreign := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issue(t, template(t, "CN=a"), newKey(t)).Raw}))
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, test := range map[string]struct {
		text, password string
		want           error
	}{
		"empty":                 {"", "", pki.ErrPEM},
		"PKCS#1":                {string(fixture(t, "pkcs1.pem")), "", pki.ErrPEM},
		"SEC1":                  {string(fixture(t, "sec1.pem")), "", pki.ErrPEM},
		"carriage returns":      {strings.ReplaceAll(good, "\n", "\r\n"), "", pki.ErrPEM},
		"one carriage return":   {good + "\r", "", pki.ErrPEM},
		"no key":                {certificate, "", pki.ErrPEM},
		"no certificate":        {key, "", pki.ErrPEM},
		"two keys":              {key + good, "", pki.ErrPEM},
		"another key's":         {key + foreign, "", pki.ErrMismatch},
		"another block":         {good + block("X509 CRL", []byte{0x30, 0}), "", pki.ErrPEM},
		"headers":               {strings.Replace(good, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1), "", pki.ErrPEM},
		"a broken block":        {good + "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "", pki.ErrPEM},
		"an open block":         {good + "-----BEGIN CERTIFICATE-----\n", "", pki.ErrPEM},
		"a certificate of dust": {good + block("CERTIFICATE", []byte{0x30, 0}), "", pki.ErrCertificate},
		"a key of dust":         {certificate + block("PRIVATE KEY", []byte{0x30, 0}), "", pki.ErrPEM},
		"an encrypted key":      {certificate + block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), "", pki.ErrPEM},
		"too many":              {good + strings.Repeat(foreign, 100), "", pki.ErrPEM},
		"a bomb":                {strings.Repeat("-----BEGIN A-----\n", 50_000), "", pki.ErrPEM},
		"a huge text":           {strings.Repeat("a", 1<<20+1), "", pki.ErrPEM},
		"a wrong password":      {string(fixture(t, "encrypted-aes.pem")), "x", pki.ErrPEM},
		"another one":           {string(fixture(t, "encrypted-3des.pem")), "", pki.ErrPEM},
		"scrypt":                {string(fixture(t, "encrypted-scrypt.pem")), umlauts, pki.ErrPEM},
		"MD5":                   {string(fixture(t, "encrypted-md5.pem")), umlauts, pki.ErrPEM},
		"RSA 1024":              {string(fixture(t, "rsa-1024.pem")), "", pki.ErrKeyType},
		"RSA PSS":               {string(fixture(t, "rsa-pss.pem")), "", pki.ErrKeyType},
		"P-224":                 {string(fixture(t, "p-224.pem")), "", pki.ErrKeyType},
		"Ed25519":               {string(fixture(t, "ed25519.pem")), "", pki.ErrKeyType},
		"Brainpool spelt out":   {string(fixture(t, "brainpool-explicit.pem")), "", pki.ErrKeyType},
		"P-256 spelt out":       {string(fixture(t, "p-256-explicit.pem")), "", pki.ErrKeyType},
		"exponent of one":       {certificate + block("PRIVATE KEY", rsaKey(t, big.NewInt(1))), "", pki.ErrKeyType},
		"an even exponent":      {certificate + block("PRIVATE KEY", rsaKey(t, big.NewInt(65536))), "", pki.ErrKeyType},
		"a large exponent":      {certificate + block("PRIVATE KEY", rsaKey(t, big.NewInt(1<<31+1))), "", pki.ErrKeyType},
	} {
		in, err := pki.ParsePEM([]byte(test.text), test.password)
		if !errors.Is(err, test.want) || in.Key != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "MII") {
			t.Errorf("%s quotes the text: %v", name, err)
		}
	}
	if in, err := pki.ParsePEM([]byte("subject=leaf\n"+key+"issuer=root\n"+certificate+"bye"), ""); err != nil || len(in.Chain) != 2 {
		t.Errorf("text between blocks: %v", err)
	}
}

// rsaKey is PKCS#8 of an RSA key with another exponent written into it.
func rsaKey(t testing.TB, e *big.Int) []byte {
	t.Helper()
	in, err := pki.ParsePEM(fixture(t, "rsa.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	k := in.Key.(*rsa.PrivateKey)
	one := big.NewInt(1)
	body, err := asn1.Marshal([]*big.Int{new(big.Int), k.N, e, one, k.Primes[0], k.Primes[1], one, one, one})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm struct {
			OID  asn1.ObjectIdentifier
			Null asn1.RawValue
		}
		Key []byte
	}{Algorithm: struct {
		OID  asn1.ObjectIdentifier
		Null asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, asn1.NullRawValue}, Key: body})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Public keys that GenerateKey would not make are ErrKeyType; garbage is not.
func TestParsePublicKey(t *testing.T) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 2047)
	modulus.Add(modulus, big.NewInt(1))
	spki := func(public any) []byte {
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"RSA 1024": spki(&rsa.PublicKey{N: new(big.Int).Rsh(modulus, 1024), E: 65537}), "RSA 2049": spki(&rsa.PublicKey{N: new(big.Int).Lsh(modulus, 1), E: 65537}),
		"e=1": spki(&rsa.PublicKey{N: modulus, E: 1}), "e=4": spki(&rsa.PublicKey{N: modulus, E: 4}), "a large e": spki(&rsa.PublicKey{N: modulus, E: 1<<31 + 1}), "Ed25519": spki(edwards),
	} {
		if _, err := pki.ParsePublicKey(der); !errors.Is(err, pki.ErrKeyType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, der := range [][]byte{nil, {0x30, 0}, append(spki(newKey(t).Public()), 0)} {
		if _, err := pki.ParsePublicKey(der); err == nil || errors.Is(err, pki.ErrKeyType) {
			t.Errorf("%x: %v", der, err)
		}
	}
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		der, err := pki.MarshalPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if back, err := pki.ParsePublicKey(der); err != nil || !same(back, key.Public()) {
			t.Errorf("%v: %v", kt, err)
		}
	}
}

// The forms that are exported are read again, the certificates where they were put.
func TestExportsAreImported(t *testing.T) {
	for _, kt := range append(keyTypes, koblitz) {
		key, err := pki.GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		leaf, a, b := selfSigned(t, "CN=leaf", key), selfSigned(t, "CN=a", newKey(t)), selfSigned(t, "CN=b", newKey(t))
		for want, chain := range map[string][][]byte{"leaf* a b": {leaf, a, b}, "a leaf* b": {a, leaf, b}, "a b leaf*": {a, b, leaf}} {
			text, err := pki.EncodePEM(key, chain)
			if err != nil {
				t.Fatal(err)
			}
			in, err := pki.ParsePEM(text, "")
			if err != nil || subjects(t, in) != want || !same(in.Key.Public(), key.Public()) {
				t.Errorf("%v, PEM: %v, not %s", kt, err, want)
			}
			file, err := pki.EncodePFX(key, chain)
			if err != nil {
				t.Fatal(err)
			}
			if in, err = pki.ParsePFX(file, ""); err != nil {
				t.Fatal(err)
			}
			slices.Reverse(in.Chain)
			in.Leaf = len(in.Chain) - 1 - in.Leaf
			if subjects(t, in) != want || !same(in.Key.Public(), key.Public()) {
				t.Errorf("%v, PFX: %s, not %s", kt, subjects(t, in), want)
			}
		}
	}
}

func selfSigned(t testing.TB, subject string, key crypto.Signer) []byte {
	t.Helper()
	serial, err := pki.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.SelfSign(template(t, subject, "digitalSignature"), key, pki.Validity{NotBefore: now, NotAfter: pki.AddMonths(now, 12)}, serial)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// An import says nothing of its key, however it is printed.
func TestImportIsNotPrinted(t *testing.T) {
	in, err := pki.ParsePEM(fixture(t, "p-256k-named.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, in); got != "private key with 1 certificates" {
			t.Errorf("%s of an import: %s", verb, got)
		}
		if got := fmt.Sprintf(verb, in.Key); got != "private key on P-256K" {
			t.Errorf("%s of a key: %s", verb, got)
		}
	}
}
