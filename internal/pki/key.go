package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKeyType means a kind of key that this version does not make or hold.
var ErrKeyType = errors.New("unsupported key type")

// A KeyType is a kind of key pair, in the words of a certificate policy.
type KeyType struct {
	Kty   string // "RSA" or "EC"
	Size  int    // bits: 2048, 3072 or 4096 for RSA; the curve's for EC, where zero means the same
	Curve string // "P-256", "P-384" or "P-521" for EC; empty for RSA
}

// GenerateKey makes a key pair. RSA keys have the public exponent 65537. It takes
// from a millisecond (EC) to seconds (RSA 4096) of one processor; the caller bounds
// how many run at one time. The error is ErrKeyType for any other kind of key.
func GenerateKey(kt KeyType) (crypto.Signer, error) {
	switch kt.Kty {
	case "RSA":
		if kt.Curve != "" || !soundRSASize(kt.Size) {
			return nil, fmt.Errorf("%w: an RSA key has 2048, 3072 or 4096 bits and no curve", ErrKeyType)
		}
		return rsa.GenerateKey(rand.Reader, kt.Size)
	case "EC":
		curve := namedCurve(kt.Curve)
		if curve == nil {
			return nil, fmt.Errorf("%w: an EC key is on the curve P-256, P-384 or P-521", ErrKeyType)
		}
		if bits := curve.Params().BitSize; kt.Size != 0 && kt.Size != bits {
			return nil, fmt.Errorf("%w: a key on %s has %d bits", ErrKeyType, kt.Curve, bits)
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	return nil, fmt.Errorf("%w: the kty is RSA or EC", ErrKeyType)
}

// TypeOf tells the kind of a key pair from its public key. The error is ErrKeyType
// when GenerateKey would not make such a key.
func TypeOf(pub crypto.PublicKey) (KeyType, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if size := pub.N.BitLen(); soundRSASize(size) {
			return KeyType{Kty: "RSA", Size: size}, nil
		}
		return KeyType{}, fmt.Errorf("%w: an RSA key has 2048, 3072 or 4096 bits", ErrKeyType)
	case *ecdsa.PublicKey:
		params := pub.Curve.Params()
		if namedCurve(params.Name) == pub.Curve {
			return KeyType{Kty: "EC", Size: params.BitSize, Curve: params.Name}, nil
		}
		return KeyType{}, fmt.Errorf("%w: an EC key is on the curve P-256, P-384 or P-521", ErrKeyType)
	}
	return KeyType{}, fmt.Errorf("%w: the key is neither RSA nor EC", ErrKeyType)
}

func typeOfKey(key crypto.Signer) (KeyType, error) {
	if key == nil {
		return KeyType{}, fmt.Errorf("%w: there is no key", ErrKeyType)
	}
	return TypeOf(key.Public())
}

func soundRSASize(bits int) bool { return bits == 2048 || bits == 3072 || bits == 4096 }

func namedCurve(name string) elliptic.Curve {
	switch name {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}

// MarshalKey returns the private key as PKCS#8 (RFC 5208), DER and unencrypted.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	if _, err := typeOfKey(key); err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// ParseKey reads what MarshalKey wrote, and any PKCS#8 document of a kind of key that
// GenerateKey makes. Nothing may follow the document. Errors never quote it.
func ParseKey(pkcs8 []byte) (crypto.Signer, error) {
	rest := cryptobyte.String(pkcs8)
	if !rest.SkipASN1(cbasn1.SEQUENCE) || !rest.Empty() {
		return nil, errors.New("pki: the private key is not one PKCS#8 document in DER")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		// The cause is left out: the library gives no promise on what it quotes.
		return nil, errors.New("pki: the private key is not a sound PKCS#8 document")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: the private key cannot sign", ErrKeyType)
	}
	if _, err := TypeOf(key.Public()); err != nil {
		return nil, err
	}
	return key, nil
}
