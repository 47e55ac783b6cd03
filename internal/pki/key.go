package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKeyType means a kind of key that this version does not make or hold.
var ErrKeyType = errors.New("unsupported key type")

// A KeyType is a kind of key pair, in the words of a certificate policy.
type KeyType struct {
	Kty   string // "RSA" or "EC"
	Size  int    // bits: 2048, 3072 or 4096 for RSA; the curve's for EC, where zero means the same
	Curve string // "P-256", "P-256K", "P-384" or "P-521" for EC; empty for RSA
}

// GenerateKey makes a key pair. RSA keys have the public exponent 65537. It takes
// from a millisecond (EC) to seconds (RSA 4096) of one processor; the caller bounds
// how many run at one time. The error is ErrKeyType for any other kind of key.
func GenerateKey(kt KeyType) (crypto.Signer, error) {
	switch kt.Kty {
	case "RSA":
		if kt.Curve != "" || !soundRSASize(kt.Size) {
			return nil, errRSASize()
		}
		return rsa.GenerateKey(rand.Reader, kt.Size)
	case "EC":
		curve := namedCurve(kt.Curve)
		if curve == nil {
			return nil, errCurve()
		}
		if bits := curve.Params().BitSize; kt.Size != 0 && kt.Size != bits {
			return nil, fmt.Errorf("%w: a key on %s has %d bits", ErrKeyType, kt.Curve, bits)
		}
		if kt.Curve == curveP256K {
			return generateKoblitz()
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
		switch size := pub.N.BitLen(); {
		case !soundRSASize(size):
			return KeyType{}, errRSASize()
		case pub.E < 3 || pub.E%2 == 0 || pub.E > math.MaxInt32:
			return KeyType{}, errRSAExponent()
		default:
			return KeyType{Kty: "RSA", Size: size}, nil
		}
	case *ecdsa.PublicKey:
		for _, name := range []string{"P-256", curveP256K, "P-384", "P-521"} {
			if curve := namedCurve(name); curve == pub.Curve {
				return KeyType{Kty: "EC", Size: curve.Params().BitSize, Curve: name}, nil
			}
		}
		return KeyType{}, errCurve()
	}
	return KeyType{}, fmt.Errorf("%w: the key is neither RSA nor EC", ErrKeyType)
}

func errRSASize() error {
	return fmt.Errorf("%w: an RSA key has 2048, 3072 or 4096 bits and no curve", ErrKeyType)
}

func errRSAExponent() error {
	return fmt.Errorf("%w: the public exponent of an RSA key is an odd number from 3 to 2^31-1", ErrKeyType)
}

func errCurve() error {
	return fmt.Errorf("%w: an EC key is on the curve P-256, P-256K, P-384 or P-521", ErrKeyType)
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
	case curveP256K:
		return p256k()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}

// MarshalKey returns the private key as PKCS#8 (RFC 5208), DER and unencrypted. For
// P-256K it has the form of the service: the curve spelt out, and an attribute keyUsage.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	if _, err := typeOfKey(key); err != nil {
		return nil, err
	}
	if koblitz, ok := key.(*koblitzKey); ok {
		return marshalKoblitz(koblitz)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// maxPKCS8 bounds a private key, in octets. RSA 4096 has about 2,400.
const maxPKCS8 = 16 << 10

// ParseKey reads what MarshalKey wrote, and any PKCS#8 document of a kind of key that
// GenerateKey makes. Nothing may follow the document. P-256K may be named or spelt
// out; no other curve may be spelt out. The error is ErrKeyType for other kinds of
// key. Errors never quote the document.
func ParseKey(pkcs8 []byte) (crypto.Signer, error) {
	algorithm, document, ok := splitKey(pkcs8)
	if !ok {
		return nil, errors.New("pki: the private key is not one PKCS#8 document in DER")
	}
	koblitz, err := isKoblitzAlgorithm(algorithm)
	switch {
	case err != nil:
		return nil, err
	case koblitz:
		key, err := parseKoblitz(document)
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	if err := checkKeyAlgorithm(algorithm, document); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		// The cause is left out: the library gives no promise on what it quotes.
		return nil, errUnsound()
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

func errUnsound() error { return errors.New("pki: the private key is not a sound PKCS#8 document") }

// splitKey takes a PKCS#8 document apart: the content of its algorithm, and the key.
// What follows the key in it (RFC 5958: attributes, and the public key) is optional.
func splitKey(pkcs8 []byte) (algorithm cryptobyte.String, document []byte, ok bool) {
	input := cryptobyte.String(pkcs8)
	var info, octets cryptobyte.String
	var version int
	ok = len(pkcs8) <= maxPKCS8 && input.ReadASN1(&info, cbasn1.SEQUENCE) && input.Empty() &&
		info.ReadASN1Integer(&version) && (version == 0 || version == 1) &&
		info.ReadASN1(&algorithm, cbasn1.SEQUENCE) && info.ReadASN1(&octets, cbasn1.OCTET_STRING) &&
		info.SkipOptionalASN1(explicit0) && info.SkipOptionalASN1(cbasn1.Tag(1).ContextSpecific()) && info.Empty()
	return algorithm, octets, ok
}

// checkKeyAlgorithm does for private keys what checkAlgorithm does for public ones.
func checkKeyAlgorithm(algorithm cryptobyte.String, document []byte) error {
	var oid asn1.ObjectIdentifier
	switch {
	case !algorithm.ReadASN1ObjectIdentifier(&oid):
		return errUnsound()
	case oid.Equal(oidECPublicKey):
		return checkCurveName(algorithm)
	case !oid.Equal(oidRSA):
		return fmt.Errorf("%w: the key is neither RSA nor EC", ErrKeyType)
	}
	body, numbers := cryptobyte.String(document), cryptobyte.String(nil)
	var version int
	if !body.ReadASN1(&numbers, cbasn1.SEQUENCE) || !body.Empty() || !numbers.ReadASN1Integer(&version) {
		return errUnsound()
	}
	if version != 0 {
		return fmt.Errorf("%w: an RSA key has two primes", ErrKeyType)
	}
	return checkRSA(&numbers)
}
