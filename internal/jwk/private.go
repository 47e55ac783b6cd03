package jwk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A Private is a JSON Web Key with its private members, as clients send it (RFC 7517,
// RFC 7518). Octets are base64url; padding and leading zeros are accepted. It is never
// written: nothing here encodes it, and it prints nothing of itself.
type Private struct {
	Kty                 string
	N, E                string // RSA
	D, P, Q, DP, DQ, QI string // D is an EC key's, too
	Crv, X, Y           string // EC
	K                   string // symmetric
	KeyHSM              string // a transfer blob instead of all of the above
}

// Format prints nothing of the key, whatever the verb.
func (Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "private key (hidden)") }

// PKCS8 returns the key pair as a document of PKCS#8 (RFC 5208), DER and unencrypted. An
// RSA key has its CRT members, which have to fit. The error is ErrKey, and quotes
// nothing of the key.
func (p Private) PKCS8() ([]byte, error) {
	switch strings.TrimSuffix(p.Kty, "-HSM") {
	case "RSA":
		return p.rsa()
	case "EC":
		return p.ec()
	}
	return nil, fmt.Errorf("%w: a key pair is RSA or EC", ErrKey)
}

// Symmetric returns the octets of a symmetric key: 16, 24 or 32.
func (p Private) Symmetric() ([]byte, error) {
	octets, err := lenient("k", p.K, 64)
	if err != nil {
		return nil, err
	}
	if len(octets) != 16 && len(octets) != 24 && len(octets) != 32 {
		return nil, fmt.Errorf("%w: k has 16, 24 or 32 octets", ErrKey)
	}
	return octets, nil
}

func (p Private) rsa() ([]byte, error) {
	numbers := map[string]*big.Int{}
	for name, text := range map[string]string{"n": p.N, "e": p.E, "d": p.D, "p": p.P, "q": p.Q, "dp": p.DP, "dq": p.DQ, "qi": p.QI} {
		octets, err := lenient(name, text, maxModulus/8+1)
		if err != nil {
			return nil, err
		}
		if len(octets) == 0 {
			return nil, fmt.Errorf("%w: an RSA key has n, e, d, p, q, dp, dq and qi", ErrKey)
		}
		numbers[name] = new(big.Int).SetBytes(octets)
	}
	n, e := numbers["n"], numbers["e"]
	switch bits := n.BitLen(); {
	case bits != 2048 && bits != 3072 && bits != 4096:
		return nil, fmt.Errorf("%w: an RSA key has 2048, 3072 or 4096 bits", ErrKey)
	case e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3:
		return nil, fmt.Errorf("%w: e is an odd number from 3 to 2^31-1", ErrKey)
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: numbers["d"], Primes: []*big.Int{numbers["p"], numbers["q"]}}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the numbers of the RSA key do not fit together", ErrKey)
	}
	key.Precompute()
	if key.Precomputed.Dp.Cmp(numbers["dp"]) != 0 || key.Precomputed.Dq.Cmp(numbers["dq"]) != 0 || key.Precomputed.Qinv.Cmp(numbers["qi"]) != 0 {
		return nil, fmt.Errorf("%w: dp, dq or qi does not fit the key", ErrKey)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

func (p Private) ec() ([]byte, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521(), p256k: foreignCurve()}
	curve := curves[p.Crv]
	if curve == nil {
		return nil, fmt.Errorf("%w: crv is P-256, P-256K, P-384 or P-521", ErrKey)
	}
	size := (curve.Params().BitSize + 7) / 8
	parts := map[string][]byte{}
	for name, text := range map[string]string{"x": p.X, "y": p.Y, "d": p.D} {
		octets, err := lenient(name, text, size+1)
		if err != nil {
			return nil, err
		}
		number := new(big.Int).SetBytes(octets)
		if len(octets) == 0 || number.BitLen() > 8*size {
			return nil, fmt.Errorf("%w: an EC key has x, y and d of at most %d octets on this curve", ErrKey, size)
		}
		parts[name] = number.FillBytes(make([]byte, size))
	}
	point := append(append([]byte{4}, parts["x"]...), parts["y"]...)
	if curve == foreignCurve() {
		return foreignPKCS8(parts["d"], point)
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, parts["d"])
	if err != nil {
		return nil, fmt.Errorf("%w: d is no private key on this curve", ErrKey)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil || string(public) != string(point) {
		return nil, fmt.Errorf("%w: x and y are not the point of d", ErrKey)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// foreignPKCS8 writes a key on secp256k1, which the library does not know, with the name
// of the curve (RFC 5915, RFC 5480).
func foreignPKCS8(scalar, point []byte) ([]byte, error) {
	var d secp256k1.ModNScalar
	if d.SetByteSlice(scalar) || d.IsZero() {
		return nil, fmt.Errorf("%w: d is no private key on this curve", ErrKey)
	}
	if string(secp256k1.NewPrivateKey(&d).PubKey().SerializeUncompressed()) != string(point) {
		return nil, fmt.Errorf("%w: x and y are not the point of d", ErrKey)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1})
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 132, 0, 10})
		})
		b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1OctetString(scalar)
				b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
			})
		})
	})
	return b.Bytes()
}

// lenient reads base64url as clients write it.
func lenient(member, text string, most int) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if len(text) > base64.RawURLEncoding.EncodedLen(most) {
		return nil, fmt.Errorf("%w: %s is too long", ErrKey, member)
	}
	octets, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: %s is not base64url", ErrKey, member)
	}
	return octets, nil
}
