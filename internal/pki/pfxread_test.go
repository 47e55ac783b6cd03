package pki_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"coffer/internal/pki"
)

// A pfxFile writes PKCS#12 files of shapes that the usual writers do not. It shares no
// code with the reader. Its MAC is PBMAC1, its encryption PBES2 with AES-128.
type pfxFile struct {
	t          testing.TB
	password   string
	iterations int64
	keyOctets  int64 // of the key of the MAC; 32 if zero
}

func der(t testing.TB, content func(*cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, content)
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	pkcs7   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7}
	bagOID  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1}
	pkcs5   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}
	hmacOID = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	tag0    = cbasn1.Tag(0).ContextSpecific()
)

func below(oid asn1.ObjectIdentifier, arc int) asn1.ObjectIdentifier {
	return append(append(asn1.ObjectIdentifier{}, oid...), arc)
}

func explicit(b *cryptobyte.Builder, content []byte) {
	b.AddASN1(tag0.Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

func octets(content []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1OctetString(content)
	return b.BytesOrPanic()
}

func list(t testing.TB, elements ...[]byte) []byte {
	return der(t, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(elements, nil)) })
}

// tagged is an OID with a value under the tag 0: a ContentInfo, a SafeBag, a CertBag.
func tagged(t testing.TB, oid asn1.ObjectIdentifier, value []byte) []byte {
	return der(t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		explicit(b, value)
	})
}

func certBag(t testing.TB, certificate []byte) []byte {
	return tagged(t, below(bagOID, 3), tagged(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, octets(certificate)))
}

func plain(t testing.TB, bags ...[]byte) []byte {
	return tagged(t, below(pkcs7, 1), octets(list(t, bags...)))
}

func (f pfxFile) kdf(size int64) []byte {
	return der(f.t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(below(pkcs5, 12))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString([]byte("salt"))
			b.AddASN1Int64(f.iterations)
			b.AddASN1Int64(size)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(hmacOID) })
		})
	})
}

func (f pfxFile) key(size int64) []byte {
	out, err := pbkdf2.Key(sha256.New, f.password, []byte("salt"), int(min(f.iterations, 1000)), int(size))
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// encrypt returns the AlgorithmIdentifier and the octets.
func (f pfxFile) encrypt(data []byte) (algorithm, encrypted []byte) {
	iv := make([]byte, aes.BlockSize)
	block, err := aes.NewCipher(f.key(16))
	if err != nil {
		f.t.Fatal(err)
	}
	padding := aes.BlockSize - len(data)%aes.BlockSize
	encrypted = append(append([]byte{}, data...), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(encrypted, encrypted)
	return der(f.t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(below(pkcs5, 13))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(f.kdf(16))
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2})
				b.AddASN1OctetString(iv)
			})
		})
	}), encrypted
}

func (f pfxFile) shrouded(pkcs8 []byte) []byte {
	algorithm, encrypted := f.encrypt(pkcs8)
	return tagged(f.t, below(bagOID, 2), list(f.t, algorithm, octets(encrypted)))
}

// encrypted is a ContentInfo with the bags in it; in BER the octets come in pieces.
func (f pfxFile) encrypted(ber bool, bags ...[]byte) []byte {
	algorithm, encrypted := f.encrypt(list(f.t, bags...))
	return tagged(f.t, below(pkcs7, 6), der(f.t, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(below(pkcs7, 1))
			b.AddBytes(algorithm)
			if ber {
				explicit(b, append(octets(encrypted[:16]), octets(encrypted[16:])...))
				return
			}
			b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(encrypted) })
		})
	}))
}

// file puts contents into a PFX with its MAC.
func (f pfxFile) file(contents ...[]byte) []byte { return f.over(list(f.t, contents...)) }

func (f pfxFile) over(safe []byte) []byte {
	if f.keyOctets == 0 {
		f.keyOctets = 32
	}
	mac := hmac.New(sha256.New, f.key(f.keyOctets))
	mac.Write(safe)
	return der(f.t, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddBytes(tagged(f.t, below(pkcs7, 1), octets(safe)))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(below(pkcs5, 14))
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(f.kdf(f.keyOctets))
						b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(hmacOID) })
					})
				})
				b.AddASN1OctetString(mac.Sum(nil))
			})
			b.AddASN1OctetString([]byte("ignored"))
			b.AddASN1Int64(1)
		})
	})
}

// indefinite rewrites DER with indefinite lengths and octet strings in pieces.
func indefinite(t testing.TB, in cryptobyte.String) []byte {
	t.Helper()
	var out []byte
	for !in.Empty() {
		var content cryptobyte.String
		var tag cbasn1.Tag
		if !in.ReadAnyASN1(&content, &tag) {
			t.Fatal("not DER")
		}
		switch {
		case tag == cbasn1.OCTET_STRING:
			half := len(content) / 2
			out = append(append(append(append(out, 0x24, 0x80), octets(content[:half])...), octets(content[half:])...), 0, 0)
		case tag&0x20 != 0:
			out = append(append(append(out, byte(tag), 0x80), indefinite(t, content)...), 0, 0)
		default:
			var b cryptobyte.Builder
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
			out = append(out, b.BytesOrPanic()...)
		}
	}
	return out
}

// Shapes of files that are taken, and the certificates that come out.
func TestPFXShapes(t *testing.T) {
	f := pfxFile{t: t, password: umlauts, iterations: 10}
	key := newKey(t)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, twin, root := certBag(t, selfSigned(t, "CN=leaf", key)), selfSigned(t, "CN=twin", key), certBag(t, selfSigned(t, "CN=root", newKey(t)))
	keyBag, crl := tagged(t, below(bagOID, 1), pkcs8), tagged(t, below(bagOID, 4), list(t))
	safe := list(t, f.encrypted(true, root, leaf), plain(t, f.shrouded(pkcs8)))
	withID := func(bag []byte, id string) []byte {
		attribute := list(t, []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 21}, append([]byte{0x31, byte(2 + len(id))}, octets([]byte(id))...))
		in, body := cryptobyte.String(bag), cryptobyte.String(nil)
		in.ReadASN1(&body, cbasn1.SEQUENCE)
		return list(t, body, append([]byte{0x31, byte(len(attribute))}, attribute...))
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"the key encrypted with its bag":    {f.file(f.encrypted(false, f.shrouded(pkcs8), leaf, root)), "leaf* root"},
		"a plain key in encrypted bags":     {f.file(f.encrypted(false, root, keyBag, leaf)), "root leaf*"},
		"all in plain":                      {f.file(plain(t, keyBag, leaf)), "leaf*"},
		"order over contents":               {f.file(f.encrypted(false, root), plain(t, leaf, keyBag), f.encrypted(true, root)), "root leaf* root"},
		"other bags":                        {f.file(plain(t, crl, keyBag, crl, leaf)), "leaf*"},
		"nested bags":                       {f.file(plain(t, tagged(t, below(bagOID, 6), list(t, leaf, keyBag)), root)), "leaf* root"},
		"an empty content":                  {f.file(plain(t), plain(t, keyBag, leaf)), "leaf*"},
		"the first of two certificates":     {f.file(plain(t, keyBag, leaf, certBag(t, twin))), "leaf* twin"},
		"the one of two that has the id":    {f.file(plain(t, withID(keyBag, "1"), leaf, withID(certBag(t, twin), "1"))), "leaf twin*"},
		"an id that is another key's":       {f.file(plain(t, withID(keyBag, "1"), withID(root, "1"), leaf)), "root leaf*"},
		"BER round DER":                     {indefinite(t, f.over(safe)), "root leaf*"},
		"BER in DER":                        {f.over(indefinite(t, safe)), "root leaf*"},
		"BER in BER":                        {indefinite(t, f.over(indefinite(t, safe))), "root leaf*"},
		"BER in encrypted bags":             {f.file(berContent(f, leaf, keyBag)), "leaf*"},
		"a key of the MAC of 64 octets":     {pfxFile{t: t, password: umlauts, iterations: 10, keyOctets: 64}.file(plain(t, keyBag, leaf)), "leaf*"},
		"as many certificates as there may": {f.file(plain(t, append(repeated(root, 99), leaf, keyBag)...)), strings.Repeat("root ", 99) + "leaf*"},
	} {
		in, err := pki.ParsePFX(test.file, umlauts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sound(t, in)
		if got := subjects(t, in); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func berContent(f pfxFile, bags ...[]byte) []byte {
	f.t.Helper()
	return f.encryptedOctets(indefinite(f.t, list(f.t, bags...)))
}

// encryptedOctets is a ContentInfo with any octets in it.
func (f pfxFile) encryptedOctets(safe []byte) []byte {
	algorithm, encrypted := f.encrypt(safe)
	return tagged(f.t, below(pkcs7, 6), list(f.t, []byte{2, 1, 0}, der(f.t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(below(pkcs7, 1))
		b.AddBytes(algorithm)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(encrypted) })
	})))
}

func repeated(element []byte, times int) [][]byte {
	var out [][]byte
	for range times {
		out = append(out, element)
	}
	return out
}

// Shapes of files that are refused, and why.
func TestHostilePFX(t *testing.T) {
	f := pfxFile{t: t, password: "1234", iterations: 10}
	slow := pfxFile{t: t, password: "1234", iterations: 1_000_000_000}
	half := pfxFile{t: t, password: "1234", iterations: 499_999}
	key := newKey(t)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leafDER := selfSigned(t, "CN=leaf", key)
	leaf, keyBag := certBag(t, leafDER), tagged(t, below(bagOID, 1), pkcs8)
	nested := func(bag []byte) []byte { return tagged(t, below(bagOID, 6), list(t, bag)) }
	envelope := tagged(t, below(pkcs7, 3), list(t))
	deep := bytes.Repeat([]byte{0x30, 0x80}, 400_000)
	wide := bytes.Repeat([]byte{0x30, 0x80, 0, 0}, 200_000)
	edwards := unhex(t, "302e020100300506032b657004220420"+strings.Repeat("11", 32))
	for name, test := range map[string]struct {
		file []byte
		want error
		text string
	}{
		"a billion iterations of the MAC":         {slow.file(plain(t, keyBag, leaf)), pki.ErrPFX, "iterations"},
		"a billion iterations of a content":       {f.file(slow.encrypted(false, keyBag, leaf)), pki.ErrPFX, "iterations"},
		"a billion iterations of a key":           {f.file(plain(t, slow.shrouded(pkcs8), leaf)), pki.ErrPFX, "iterations"},
		"a billion iterations inside":             {f.file(f.encrypted(false, slow.shrouded(pkcs8), leaf)), pki.ErrPFX, "iterations"},
		"many iterations together":                {half.file(half.encrypted(false, leaf), half.encrypted(false, keyBag)), pki.ErrPFX, "iterations"},
		"no iterations":                           {pfxFile{t: t, password: "1234"}.zero(plain(t, keyBag, leaf)), pki.ErrPFX, "iterations"},
		"a short key of the MAC":                  {pfxFile{t: t, password: "1234", iterations: 10, keyOctets: 19}.file(plain(t, keyBag, leaf)), pki.ErrPFX, "20 to 64"},
		"a long key of the MAC":                   {pfxFile{t: t, password: "1234", iterations: 10, keyOctets: 65}.file(plain(t, keyBag, leaf)), pki.ErrPFX, "20 to 64"},
		"two keys":                                {f.file(plain(t, keyBag, leaf, keyBag)), pki.ErrPFX, "several"},
		"no key":                                  {f.file(plain(t, leaf)), pki.ErrPFX, "no private key"},
		"nothing":                                 {f.file(), pki.ErrPFX, "no private key"},
		"no certificate":                          {f.file(plain(t, keyBag)), pki.ErrMismatch, ""},
		"another key's certificate":               {f.file(plain(t, keyBag, certBag(t, selfSigned(t, "CN=a", newKey(t))))), pki.ErrMismatch, ""},
		"a certificate of dust":                   {f.file(plain(t, keyBag, leaf, certBag(t, []byte{0x30, 0}))), pki.ErrCertificate, ""},
		"an empty certificate":                    {f.file(plain(t, keyBag, leaf, certBag(t, nil))), pki.ErrCertificate, ""},
		"a negative serial number":                {f.file(plain(t, keyBag, leaf, certBag(t, fixture(t, "negative-serial.der")))), pki.ErrCertificate, ""},
		"a key of another kind":                   {f.file(plain(t, tagged(t, below(bagOID, 1), edwards), leaf)), pki.ErrKeyType, ""},
		"a key of dust":                           {f.file(plain(t, tagged(t, below(bagOID, 1), list(t)), leaf)), pki.ErrPFX, ""},
		"an exponent of one":                      {f.file(plain(t, f.shrouded(rsaKey(t, big.NewInt(1))), leaf)), pki.ErrKeyType, ""},
		"bags in bags in bags":                    {f.file(plain(t, nested(nested(keyBag)), leaf)), pki.ErrPFX, "nested"},
		"public-key privacy":                      {f.file(envelope), pki.ErrPFX, "public keys"},
		"too many certificates":                   {f.file(plain(t, append(repeated(leaf, 101), keyBag)...)), pki.ErrPFX, "100"},
		"a deep nest":                             {deep, pki.ErrPFX, ""},
		"a wide nest":                             {append(append([]byte{0x30, 0x80}, wide...), 0, 0), pki.ErrPFX, ""},
		"an end in no element":                    {[]byte{0x30, 2, 0, 0}, pki.ErrPFX, ""},
		"an indefinite length of a plain element": {[]byte{0x04, 0x80, 0, 0}, pki.ErrPFX, ""},
		"a length beyond the file":                {[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, pki.ErrPFX, ""},
		"a length of more than four octets":       {[]byte{0x30, 0x85, 0, 0, 0, 0, 0}, pki.ErrPFX, ""},
		"no integer in pieces":                    {[]byte{0x24, 3, 2, 1, 0}, pki.ErrPFX, ""},
	} {
		start := time.Now()
		in, err := pki.ParsePFX(test.file, "1234")
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || in.Key != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second { // a billion iterations take minutes
			t.Errorf("%s took %v", name, took)
		}
	}
}

// zero is a file that asks for no iterations at all.
func (f pfxFile) zero(contents ...[]byte) []byte {
	f.iterations = 1
	whole := f.file(contents...)
	return bytes.Replace(whole, []byte("salt\x02\x01\x01"), []byte("salt\x02\x01\x00"), 1)
}

// Altering what the MAC of a file says never lets another key through: only the octets
// that mean nothing may change.
func TestMACProtects(t *testing.T) {
	f := pfxFile{t: t, password: "1234", iterations: 10}
	key := newKey(t)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	whole := f.file(plain(t, tagged(t, below(bagOID, 1), pkcs8), certBag(t, selfSigned(t, "CN=leaf", key))))
	start := bytes.Index(whole, pkcs8)
	for n := start; n < start+len(pkcs8); n++ {
		altered := bytes.Clone(whole)
		altered[n] ^= 4
		if _, err := pki.ParsePFX(altered, "1234"); !errors.Is(err, pki.ErrPFX) && !errors.Is(err, pki.ErrKeyType) {
			t.Errorf("octet %d of the key: %v", n-start, err)
		}
	}
}

// FuzzParsePFX checks that what is imported is exported and imported the same.
func FuzzParsePFX(f *testing.F) {
	for file, password := range map[string]string{
		"legacy.pfx": umlauts, "legacy-empty.pfx": "", "modern.pfx": umlauts, "rc2-128.pfx": "1234", "plain-bags.pfx": "1234",
		"java.pfx": "changeit", "p-256k.pfx": "1234", "no-mac.pfx": "1234", "rfc9579-a1.pfx": "1234",
	} {
		f.Add(fixture(f, file), password)
	}
	f.Add(indefinite(f, fixture(f, "plain-bags.pfx")), "1234")
	f.Fuzz(func(t *testing.T, file []byte, password string) {
		in, err := pki.ParsePFX(file, password)
		if err != nil {
			known(t, err, pki.ErrPFX)
			return
		}
		sound(t, in)
		out, err := pki.EncodePFX(in.Key, in.Chain)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pki.ParsePFX(out, "")
		if err != nil || !same(again.Key.Public(), in.Key.Public()) || len(again.Chain) != len(in.Chain) || !bytes.Equal(again.Chain[0], in.Chain[len(in.Chain)-1]) {
			t.Fatalf("another import came back: %v", err)
		}
	})
}

// FuzzPFXContents alters what is behind the MAC, and makes the MAC anew, without which
// nothing altered gets that far. Bags are also tried encrypted.
func FuzzPFXContents(f *testing.F) {
	w := pfxFile{t: f, password: "1234", iterations: 1}
	key := newKey(f)
	pkcs8, err := pki.MarshalKey(key)
	if err != nil {
		f.Fatal(err)
	}
	leaf, keyBag := certBag(f, selfSigned(f, "CN=leaf", key)), tagged(f, below(bagOID, 1), pkcs8)
	safe, bags := list(f, w.encrypted(true, leaf), plain(f, w.shrouded(pkcs8))), list(f, keyBag, leaf)
	f.Add(safe, bags)
	f.Add(indefinite(f, safe), indefinite(f, bags))
	f.Add(list(f, plain(f, tagged(f, below(bagOID, 6), list(f, leaf, keyBag)))), list(f, leaf))
	f.Fuzz(func(t *testing.T, safe, bags []byte) {
		w := pfxFile{t: t, password: "1234", iterations: 1}
		for _, file := range [][]byte{w.over(safe), w.file(w.encryptedOctets(bags))} {
			in, err := pki.ParsePFX(file, "1234")
			if err != nil {
				known(t, err, pki.ErrPFX)
				continue
			}
			sound(t, in)
		}
	})
}

// FuzzParsePEM checks the same of PEM.
func FuzzParsePEM(f *testing.F) {
	for _, file := range []string{"key-first.pem", "key-last.pem", "encrypted-3des.pem", "encrypted-aes.pem", "rsa.pem", "p-256k-explicit.pem", "sec1.pem"} {
		f.Add(fixture(f, file), umlauts)
	}
	f.Fuzz(func(t *testing.T, text []byte, password string) {
		in, err := pki.ParsePEM(text, password)
		if err != nil {
			known(t, err, pki.ErrPEM)
			return
		}
		sound(t, in)
		out, err := pki.EncodePEM(in.Key, in.Chain)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pki.ParsePEM(out, "")
		if err != nil || !same(again.Key.Public(), in.Key.Public()) || len(again.Chain) != len(in.Chain) || again.Leaf != in.Leaf {
			t.Fatalf("another import came back: %v", err)
		}
	})
}

// known fails for an error that callers do not tell apart.
func known(t testing.TB, err, kind error) {
	t.Helper()
	for _, one := range []error{kind, pki.ErrKeyType, pki.ErrCertificate, pki.ErrMismatch} {
		if errors.Is(err, one) {
			return
		}
	}
	t.Fatalf("an error of no kind: %v", err)
}
