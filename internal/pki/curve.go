package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secp256k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// This file holds the curve that the service calls P-256K and everyone else secp256k1
// (SEC 2 §2.4.1). The standard library does not know it, so its keys are a type of
// ours, and their encodings are written here. Arithmetic and signatures are decred's.

// curveP256K is the name of the curve in a policy.
const curveP256K = "P-256K"

// fieldSize is the size of a coordinate and of a private scalar of P-256K, in octets.
const fieldSize = 32

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidPrimeField  = asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
)

// p256k is the curve as a value that crypto/ecdsa takes; it is always the same pointer.
func p256k() elliptic.Curve {
	return secp256k1.S256() //lint:ignore SA1019 crypto/ecdsa holds a foreign curve in no other way
}

// A koblitzKey is a private key on P-256K.
type koblitzKey struct {
	private *secp256k1.PrivateKey
	public  *ecdsa.PublicKey
}

func newKoblitzKey(private *secp256k1.PrivateKey) *koblitzKey {
	return &koblitzKey{private: private, public: private.PubKey().ToECDSA()}
}

func generateKoblitz() (crypto.Signer, error) {
	private, err := secp256k1.GeneratePrivateKeyFromRand(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: generate a key: %w", err)
	}
	return newKoblitzKey(private), nil
}

// Public returns an *ecdsa.PublicKey.
func (k *koblitzKey) Public() crypto.PublicKey { return k.public }

// Sign returns an ECDSA signature of a digest of 32 octets in ASN.1. The nonce is that
// of RFC 6979, so the source of randomness is not used.
func (k *koblitzKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	if len(digest) != fieldSize {
		return nil, fmt.Errorf("pki: a key on %s signs digests of %d octets, not of %d", curveP256K, fieldSize, len(digest))
	}
	return secp256k1ecdsa.Sign(k.private, digest).Serialize(), nil
}

// Equal tells whether other is the same private key.
func (k *koblitzKey) Equal(other crypto.PrivateKey) bool {
	o, ok := other.(*koblitzKey)
	return ok && k.private.Key.Equals(&o.private.Key)
}

// Format prints what the key is and never what it holds, whatever the verb.
func (k *koblitzKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "private key on "+curveP256K)
}

// koblitzPoint is the uncompressed form of a public key on P-256K (SEC 1 §2.3.3).
func koblitzPoint(pub *ecdsa.PublicKey) ([]byte, error) {
	x, y := pub.X, pub.Y //lint:ignore SA1019 PublicKey.Bytes does not take a foreign curve
	if x == nil || y == nil || x.Sign() < 0 || y.Sign() < 0 || x.BitLen() > 8*fieldSize || y.BitLen() > 8*fieldSize {
		return nil, errPoint()
	}
	point := make([]byte, 1+2*fieldSize)
	point[0] = 4
	x.FillBytes(point[1 : 1+fieldSize])
	y.FillBytes(point[1+fieldSize:])
	if _, err := secp256k1.ParsePubKey(point); err != nil {
		return nil, errPoint()
	}
	return point, nil
}

// parsePoint is the inverse of koblitzPoint; it takes no other form.
func parsePoint(point []byte) (*ecdsa.PublicKey, error) {
	if len(point) != 1+2*fieldSize || point[0] != 4 {
		return nil, errPoint()
	}
	public, err := secp256k1.ParsePubKey(point)
	if err != nil { // the cause quotes the point, which says nothing to anyone
		return nil, errPoint()
	}
	return public.ToECDSA(), nil
}

func errPoint() error {
	return errors.New("pki: the public key is not an uncompressed point on " + curveP256K)
}

// addKoblitzAlgorithm writes the AlgorithmIdentifier of a key on P-256K with the
// explicit parameters of the curve (RFC 3279 §2.3.5) in place of its name (recorded).
func addKoblitzAlgorithm(b *cryptobyte.Builder) {
	p := p256k().Params()
	field := func(n *big.Int) []byte { return n.FillBytes(make([]byte, fieldSize)) }
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidECPublicKey)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidPrimeField)
				b.AddASN1BigInt(p.P)
			})
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(field(new(big.Int)))
				b.AddASN1OctetString(field(p.B))
			})
			b.AddASN1OctetString(append(append([]byte{4}, field(p.Gx)...), field(p.Gy)...))
			b.AddASN1BigInt(p.N)
			b.AddASN1Int64(1)
		})
	})
}

// isKoblitzAlgorithm tells whether the content of an AlgorithmIdentifier names P-256K,
// or spells it out. A curve that is spelt out and is another one is ErrKeyType: a
// forger could choose its base point to fit somebody else's public key.
func isKoblitzAlgorithm(algorithm cryptobyte.String) (bool, error) {
	var oid asn1.ObjectIdentifier
	if !algorithm.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidECPublicKey) {
		return false, nil
	}
	if algorithm.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) {
		return algorithm.ReadASN1ObjectIdentifier(&oid) && algorithm.Empty() && oid.Equal(oidSecp256k1), nil
	}
	if !isKoblitzParameters(algorithm) {
		return false, fmt.Errorf("%w: the curve has no name and is not %s", ErrKeyType, curveP256K)
	}
	return true, nil
}

// isKoblitzParameters compares every number of ECParameters (SEC 1 §C.2). The base
// point may be compressed, the cofactor absent; a seed is refused, as the curve has none.
func isKoblitzParameters(in cryptobyte.String) bool {
	var parameters, field, curve, a, b, base cryptobyte.String
	var version int
	var oid asn1.ObjectIdentifier
	prime, order, cofactor := new(big.Int), new(big.Int), big.NewInt(1)
	if !in.ReadASN1(&parameters, cbasn1.SEQUENCE) || !in.Empty() || !parameters.ReadASN1Integer(&version) ||
		!parameters.ReadASN1(&field, cbasn1.SEQUENCE) || !field.ReadASN1ObjectIdentifier(&oid) ||
		!field.ReadASN1Integer(prime) || !field.Empty() ||
		!parameters.ReadASN1(&curve, cbasn1.SEQUENCE) || !curve.ReadASN1(&a, cbasn1.OCTET_STRING) ||
		!curve.ReadASN1(&b, cbasn1.OCTET_STRING) || !curve.Empty() ||
		!parameters.ReadASN1(&base, cbasn1.OCTET_STRING) || !parameters.ReadASN1Integer(order) ||
		!parameters.Empty() && !parameters.ReadASN1Integer(cofactor) || !parameters.Empty() {
		return false
	}
	p := p256k().Params()
	number := func(octets []byte) *big.Int { return new(big.Int).SetBytes(octets) }
	return version == 1 && oid.Equal(oidPrimeField) && prime.Cmp(p.P) == 0 && number(a).Sign() == 0 && number(b).Cmp(p.B) == 0 &&
		isBasePoint(base) && order.Cmp(p.N) == 0 && cofactor.Cmp(big.NewInt(1)) == 0
}

func isBasePoint(point []byte) bool {
	one := new(secp256k1.ModNScalar).SetInt(1)
	base := secp256k1.NewPrivateKey(one).PubKey()
	return bytes.Equal(point, base.SerializeUncompressed()) || bytes.Equal(point, base.SerializeCompressed())
}

// marshalKoblitz writes PKCS#8 with the explicit curve and one attribute, keyUsage
// digitalSignature, as the service does (recorded).
func marshalKoblitz(key *koblitzKey) ([]byte, error) {
	point, err := koblitzPoint(key.public)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		addKoblitzAlgorithm(b)
		b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // RFC 5915 §3
				b.AddASN1Int64(1)
				b.AddASN1OctetString(key.private.Serialize())
				b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
			})
		})
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
			addAttribute(b, oidKeyUsage, func(b *cryptobyte.Builder) { b.AddASN1BitString([]byte{0x80}) })
		})
	})
	return b.Bytes()
}

// parseKoblitz reads the ECPrivateKey (RFC 5915 §3) of a PKCS#8 document for P-256K.
func parseKoblitz(document []byte) (*koblitzKey, error) {
	in := cryptobyte.String(document)
	var body, scalar, curve, public cryptobyte.String
	var version int
	var hasCurve, hasPublic bool
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Integer(&version) || version != 1 ||
		!body.ReadASN1(&scalar, cbasn1.OCTET_STRING) ||
		!body.ReadOptionalASN1(&curve, &hasCurve, explicit0) ||
		!body.ReadOptionalASN1(&public, &hasPublic, cbasn1.Tag(1).ContextSpecific().Constructed()) || !body.Empty() {
		return nil, errUnsound()
	}
	if hasCurve && !isKoblitzCurve(curve) {
		return nil, errUnsound()
	}
	private, ok := koblitzScalar(scalar)
	if !ok {
		return nil, errUnsound()
	}
	key := newKoblitzKey(private)
	if hasPublic && !key.hasPoint(public) {
		return nil, errUnsound()
	}
	return key, nil
}

func isKoblitzCurve(curve cryptobyte.String) bool {
	var oid asn1.ObjectIdentifier
	if curve.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) {
		return curve.ReadASN1ObjectIdentifier(&oid) && curve.Empty() && oid.Equal(oidSecp256k1)
	}
	return isKoblitzParameters(curve)
}

// koblitzScalar reads a private scalar, which is from 1 to the order less one. Short
// ones are taken, as old writers left out leading zeros.
func koblitzScalar(octets []byte) (*secp256k1.PrivateKey, bool) {
	if len(octets) == 0 || len(octets) > fieldSize {
		return nil, false
	}
	scalar := new(secp256k1.ModNScalar)
	if overflow := scalar.SetByteSlice(octets); overflow || scalar.IsZero() {
		return nil, false
	}
	return secp256k1.NewPrivateKey(scalar), true
}

// hasPoint tells whether the content of publicKey is the key's own public point.
func (k *koblitzKey) hasPoint(in cryptobyte.String) bool {
	var bits []byte
	if !in.ReadASN1BitStringAsBytes(&bits) || !in.Empty() {
		return false
	}
	own := k.private.PubKey()
	return bytes.Equal(bits, own.SerializeUncompressed()) || bytes.Equal(bits, own.SerializeCompressed())
}
