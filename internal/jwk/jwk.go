// Package jwk writes public keys as JSON Web Keys (RFC 7517, RFC 7518). The type Key
// has no private member, so none can get out by it.
package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// ErrKey means that a key is of no kind that is known here, or is not well-formed.
var ErrKey = errors.New("jwk: not a public key of a known kind")

// A Key is a public key. Octets are base64url without padding; the coordinates of a
// curve have its full length, and the exponent is as short as it can be.
type Key struct {
	ID  string   `json:"kid,omitempty"`
	Kty string   `json:"kty"`
	Ops []string `json:"key_ops,omitzero"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
}

// p256k is the curve that JWK calls secp256k1 (RFC 8812 §3.1) and the service P-256K,
// which is what is written here.
const p256k = "P-256K"

// FromPublic returns the key of an *rsa.PublicKey or an *ecdsa.PublicKey. One on
// secp256k1 has the curve that github.com/decred/dcrd/dcrec/secp256k1/v4 calls S256.
func FromPublic(public crypto.PublicKey) (Key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return Key{Kty: "RSA", N: encode(k.N.Bytes()), E: encode(big.NewInt(int64(k.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		name, point, err := pointOf(k)
		if err != nil {
			return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		half := (len(point) - 1) / 2
		return Key{Kty: "EC", Crv: name, X: encode(point[1 : 1+half]), Y: encode(point[1+half:])}, nil
	}
	return Key{}, fmt.Errorf("%w: %T", ErrKey, public)
}

// pointOf returns the name of the curve, and the point as 4, X, Y.
func pointOf(k *ecdsa.PublicKey) (name string, point []byte, err error) {
	if k.Curve != foreignCurve() {
		point, err = k.Bytes()
		return k.Params().Name, point, err
	}
	x, y := k.X, k.Y //lint:ignore SA1019 Bytes does not take a foreign curve
	if x == nil || y == nil || x.Sign() < 0 || y.Sign() < 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return "", nil, errors.New("the point is not on the curve")
	}
	point = append([]byte{4}, make([]byte, 64)...)
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	_, err = secp256k1.ParsePubKey(point)
	return p256k, point, err
}

func foreignCurve() elliptic.Curve {
	return secp256k1.S256() //lint:ignore SA1019 crypto/ecdsa holds a foreign curve in no other way
}

// Public is the inverse of FromPublic. It takes one spelling of each key: padding, line
// breaks, leading zeros, short coordinates, points off the curve and members of the
// other kind of key are refused. The error is ErrKey.
func (k Key) Public() (crypto.PublicKey, error) {
	switch k.Kty {
	case "RSA":
		return k.rsa()
	case "EC":
		return k.ec()
	}
	return nil, fmt.Errorf("%w: kty %.20q", ErrKey, k.Kty)
}

// The bounds of a modulus, in bits. The upper one keeps a foreign key from costing
// seconds at each verification.
const (
	minModulus = 2048
	maxModulus = 8192
)

func (k Key) rsa() (crypto.PublicKey, error) {
	if k.Crv != "" || k.X != "" || k.Y != "" {
		return nil, fmt.Errorf("%w: an RSA key has no crv, x and y", ErrKey)
	}
	n, err := number("n", k.N, maxModulus/8)
	if err != nil {
		return nil, err
	}
	e, err := number("e", k.E, 4)
	if err != nil {
		return nil, err
	}
	switch {
	case n.BitLen() < minModulus || n.BitLen() > maxModulus || n.Bit(0) == 0:
		return nil, fmt.Errorf("%w: n is an odd number of %d to %d bits", ErrKey, minModulus, maxModulus)
	case e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3:
		return nil, fmt.Errorf("%w: e is an odd number from 3 to 2^31-1", ErrKey)
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (k Key) ec() (crypto.PublicKey, error) {
	if k.N != "" || k.E != "" {
		return nil, fmt.Errorf("%w: an EC key has no n and e", ErrKey)
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if curve.Params().Name == k.Crv {
			return k.point(curve)
		}
	}
	if k.Crv == p256k {
		return k.point(foreignCurve())
	}
	return nil, fmt.Errorf("%w: crv %.20q", ErrKey, k.Crv)
}

func (k Key) point(curve elliptic.Curve) (crypto.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed
	for _, member := range []struct{ name, text string }{{"x", k.X}, {"y", k.Y}} {
		octets, err := decode(member.name, member.text, size)
		if err != nil {
			return nil, err
		}
		if len(octets) != size { // RFC 7518 §6.2.1.2: the full length, with its zeros
			return nil, fmt.Errorf("%w: %s has %d octets on this curve", ErrKey, member.name, size)
		}
		point = append(point, octets...)
	}
	if curve == foreignCurve() {
		public, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return public.ToECDSA(), nil
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return public, nil
}

// number reads a Base64urlUInt, which has no leading zeros (RFC 7518 §2), of at most
// so many octets.
func number(member, text string, most int) (*big.Int, error) {
	octets, err := decode(member, text, most)
	if err != nil {
		return nil, err
	}
	if len(octets) == 0 || octets[0] == 0 {
		return nil, fmt.Errorf("%w: %s is a number without leading zeros", ErrKey, member)
	}
	return new(big.Int).SetBytes(octets), nil
}

func encode(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// decode reads base64url in its one canonical form. Line breaks are refused here, since
// the library passes over them even when it is strict.
func decode(member, text string, most int) ([]byte, error) {
	if len(text) > base64.RawURLEncoding.EncodedLen(most) {
		return nil, fmt.Errorf("%w: %s is too long", ErrKey, member)
	}
	octets, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: %s is not base64url without padding", ErrKey, member)
	}
	return octets, nil
}
