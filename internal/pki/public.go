package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}

// MarshalPublicKey returns the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of an
// *rsa.PublicKey or an *ecdsa.PublicKey, in DER. The curve P-256K is spelt out in it
// (recorded); the others have their names. The error is ErrKeyType when GenerateKey
// would not make such a key.
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	kt, err := TypeOf(pub)
	if err != nil {
		return nil, err
	}
	if kt.Curve == curveP256K {
		return marshalKoblitzPublic(pub.(*ecdsa.PublicKey)) // TypeOf has looked
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("pki: encode the public key: %w", err)
	}
	return spki, nil
}

func marshalKoblitzPublic(pub *ecdsa.PublicKey) ([]byte, error) {
	point, err := koblitzPoint(pub)
	if err != nil {
		return nil, err
	}
	return sequence(func(b *cryptobyte.Builder) {
		addKoblitzAlgorithm(b)
		b.AddASN1BitString(point)
	}), nil
}

// ParsePublicKey reads exactly one SubjectPublicKeyInfo in DER and returns an
// *rsa.PublicKey or an *ecdsa.PublicKey. P-256K may be named or spelt out; no other
// curve may be spelt out. The error is ErrKeyType for a kind of key that GenerateKey
// does not make, and for an RSA exponent that is even or not from 3 to 2^31-1.
func ParsePublicKey(spki []byte) (crypto.PublicKey, error) {
	algorithm, bits, ok := splitPublicKey(spki)
	if !ok {
		return nil, errPublicKey()
	}
	koblitz, err := isKoblitzAlgorithm(algorithm)
	switch {
	case err != nil:
		return nil, err
	case koblitz:
		return parsePoint(bits)
	}
	if err := checkAlgorithm(algorithm, bits); err != nil {
		return nil, err
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, errPublicKey()
	}
	if _, err := TypeOf(pub); err != nil {
		return nil, err
	}
	return pub, nil
}

func errPublicKey() error {
	return errors.New("pki: the public key is not one sound SubjectPublicKeyInfo in DER")
}

// splitPublicKey takes a SubjectPublicKeyInfo apart: the content of its algorithm, and
// the bits of the key.
func splitPublicKey(spki []byte) (algorithm cryptobyte.String, bits []byte, ok bool) {
	input := cryptobyte.String(spki)
	var info cryptobyte.String
	ok = input.ReadASN1(&info, cbasn1.SEQUENCE) && input.Empty() && info.ReadASN1(&algorithm, cbasn1.SEQUENCE) &&
		info.ReadASN1BitStringAsBytes(&bits) && info.Empty()
	return algorithm, bits, ok
}

// checkAlgorithm refuses algorithms other than RSA and EC, and the numbers of RSA keys
// that are unfit, before any library computes with them. bits is RSAPublicKey.
func checkAlgorithm(algorithm cryptobyte.String, bits []byte) error {
	var oid asn1.ObjectIdentifier
	switch {
	case !algorithm.ReadASN1ObjectIdentifier(&oid):
		return errPublicKey()
	case oid.Equal(oidECPublicKey):
		return checkCurveName(algorithm)
	case !oid.Equal(oidRSA):
		return fmt.Errorf("%w: the key is neither RSA nor EC", ErrKeyType)
	}
	body, numbers := cryptobyte.String(bits), cryptobyte.String(nil)
	if !body.ReadASN1(&numbers, cbasn1.SEQUENCE) || !body.Empty() {
		return errPublicKey()
	}
	return checkRSA(&numbers)
}

// checkCurveName refuses curves that GenerateKey does not know, of which crypto/x509
// would say nothing that tells them from garbage.
func checkCurveName(parameters cryptobyte.String) error {
	var oid asn1.ObjectIdentifier
	if !parameters.ReadASN1ObjectIdentifier(&oid) {
		return errPublicKey()
	}
	switch oid.String() {
	case "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35":
		return nil
	}
	return errCurve()
}

// checkRSA reads a modulus and an exponent and judges them.
func checkRSA(numbers *cryptobyte.String) error {
	n, e := new(big.Int), new(big.Int)
	if !numbers.ReadASN1Integer(n) || !numbers.ReadASN1Integer(e) {
		return errPublicKey()
	}
	switch {
	case n.Sign() < 0 || !soundRSASize(n.BitLen()):
		return errRSASize()
	case e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 || e.Cmp(big.NewInt(math.MaxInt32)) > 0:
		return errRSAExponent()
	}
	return nil
}
