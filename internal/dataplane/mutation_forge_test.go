package dataplane_test

import (
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"
)

// Files that no usual writer makes.

// markedIterations is how often keys are derived in a file whose counts are to be
// replaced.
const markedIterations = 4097

// forge is a PKCS#12 file that asks for other iterations than it was made with,
// wherever it derives a key: for its MAC, its certificates and its private key.
func (f *keyFile) forge(encoder *pkcs12.Encoder, iterations *big.Int) []byte {
	f.t.Helper()
	c, err := x509.ParseCertificate(f.der)
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := encoder.WithIterations(markedIterations).Encode(f.key, c, nil, filePassword)
	if err != nil {
		f.t.Fatal(err)
	}
	found := 0
	out := replaceIntegers(f.t, file, iterations, &found)
	if found < 2 {
		f.t.Fatalf("%d counts of iterations were found", found)
	}
	return out
}

// forgeMAC replaces only the iterations of the MAC, which is the end of the file.
func (f *keyFile) forgeMAC(encoder *pkcs12.Encoder, iterations *big.Int) []byte {
	f.t.Helper()
	c, err := x509.ParseCertificate(f.der)
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := encoder.WithIterations(1).Encode(f.key, c, nil, filePassword)
	if err != nil {
		f.t.Fatal(err)
	}
	var pfx struct {
		Version int
		Safe    asn1.RawValue
		MAC     struct {
			Info       asn1.RawValue
			Salt       []byte
			Iterations *big.Int `asn1:"optional"`
		}
	}
	if _, err := asn1.Unmarshal(file, &pfx); err != nil {
		f.t.Fatal(err)
	}
	pfx.MAC.Iterations = iterations
	return marshal(f.t, pfx)
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	out, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// replaceIntegers rewrites DER, also inside of octet strings, with another number for
// each one that is markedIterations.
func replaceIntegers(t testing.TB, der []byte, number *big.Int, found *int) []byte {
	t.Helper()
	var out cryptobyte.Builder
	input := cryptobyte.String(der)
	for !input.Empty() {
		var content, whole cryptobyte.String
		var tag cbasn1.Tag
		var value int
		rest := input
		if !input.ReadAnyASN1Element(&whole, &tag) || !rest.ReadAnyASN1(&content, &tag) {
			t.Fatalf("this is not DER: %x", der)
		}
		inner := content
		switch integer := whole; {
		case tag == cbasn1.INTEGER && integer.ReadASN1Integer(&value) && value == markedIterations:
			*found++
			out.AddASN1BigInt(number)
			continue
		case tag&0x20 != 0, tag == cbasn1.OCTET_STRING && inner.SkipASN1(cbasn1.SEQUENCE) && inner.Empty():
			content = replaceIntegers(t, content, number, found)
		}
		out.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	}
	return out.BytesOrPanic()
}

// encryptedPEM is a PEM text whose private key is encrypted (RFC 8018) under a key that
// takes many iterations to derive.
func (f *keyFile) encryptedPEM(iterations *big.Int) string {
	algorithm := func(oid asn1.ObjectIdentifier, parameters any) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: marshal(f.t, parameters)}}
	}
	kdf := algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, struct {
		Salt       []byte
		Iterations *big.Int
	}{[]byte("saltsalt"), iterations})
	cipher := algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, aes.BlockSize))
	key := struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, []pkix.AlgorithmIdentifier{kdf, cipher}), make([]byte, 10*aes.BlockSize)}
	return string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: marshal(f.t, key)})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.der}))
}

// rawRSA is an RSA private key in PKCS#8, whatever its numbers are.
func rawRSA(t testing.TB, n *big.Int, e int, d, p, q *big.Int) []byte {
	one := big.NewInt(1)
	inverse := new(big.Int).ModInverse(q, p)
	if inverse == nil {
		inverse = one
	}
	key := marshal(t, struct {
		Version          int
		N                *big.Int
		E                int
		D, P, Q          *big.Int
		DP, DQ, QInverse *big.Int
	}{0, n, e, d, p, q, new(big.Int).Mod(d, new(big.Int).Sub(p, one)), new(big.Int).Mod(d, new(big.Int).Sub(q, one)), inverse})
	return marshal(t, struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}, key})
}

// oneExponent is a pair of RSA whose public exponent is 1, so that everybody signs.
func (f *keyFile) oneExponent() string {
	f.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.t.Fatal(err)
	}
	der := f.certificate(&rsa.PublicKey{N: key.N, E: 1}, nil)
	return pemOf(rawRSA(f.t, key.N, 1, big.NewInt(1), key.Primes[0], key.Primes[1]), der)
}

// giantRSA is a pair of RSA with a modulus of so many bits; its factors are no primes.
func (f *keyFile) giantRSA(bits int) string {
	f.t.Helper()
	factor := func() *big.Int {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits/2-1)))
		if err != nil {
			f.t.Fatal(err)
		}
		return n.SetBit(n.SetBit(n, bits/2-1, 1), 0, 1)
	}
	p, q := factor(), factor()
	n := new(big.Int).Mul(p, q)
	return pemOf(rawRSA(f.t, n, 65537, new(big.Int).Sub(n, big.NewInt(2)), p, q), f.certificate(&rsa.PublicKey{N: n, E: 65537}, nil))
}

// negativeSerial is a certificate whose serial number became negative.
func negativeSerial(t testing.TB, der []byte) []byte {
	t.Helper()
	const serial = "\x02\x05\x7a\x7b\x7c\x7d\x7e"
	if strings.Count(string(der), serial) != 1 {
		t.Fatal("the serial number is not where it was put")
	}
	return []byte(strings.Replace(string(der), serial, "\x02\x05\xfa\x7b\x7c\x7d\x7e", 1))
}

// replaceTime is a certificate with another text for the end of its validity.
func replaceTime(t testing.TB, der []byte, was, is string) []byte {
	t.Helper()
	if len(was) != len(is) || strings.Count(string(der), was) != 1 {
		t.Fatalf("%q is not in the certificate once", was)
	}
	return []byte(strings.Replace(string(der), was, is, 1))
}

func base64Of(der []byte) string { return base64.StdEncoding.EncodeToString(der) }
