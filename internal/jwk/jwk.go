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
)

// ErrKey means that a key is of no kind that is known here, or is not well-formed.
var ErrKey = errors.New("jwk: not a public key of a known kind")

// A Key is a public key. Octets are base64url without padding; the coordinates of a
// curve have its full length, and the exponent is as short as it can be.
type Key struct {
	ID  string   `json:"kid,omitempty"`
	Kty string   `json:"kty"`
	Ops []string `json:"key_ops,omitempty"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
}

// FromPublic returns the key of an *rsa.PublicKey or an *ecdsa.PublicKey.
func FromPublic(public crypto.PublicKey) (Key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return Key{Kty: "RSA", N: encode(k.N.Bytes()), E: encode(big.NewInt(int64(k.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, X, Y
		if err != nil {
			return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		half := (len(point) - 1) / 2
		return Key{Kty: "EC", Crv: k.Params().Name, X: encode(point[1 : 1+half]), Y: encode(point[1+half:])}, nil
	}
	return Key{}, fmt.Errorf("%w: %T", ErrKey, public)
}

// Public is the inverse of FromPublic.
func (k Key) Public() (crypto.PublicKey, error) {
	switch k.Kty {
	case "RSA":
		return k.rsa()
	case "EC":
		return k.ec()
	}
	return nil, fmt.Errorf("%w: kty %.20q", ErrKey, k.Kty)
}

func (k Key) rsa() (crypto.PublicKey, error) {
	n, err := decode(k.N)
	e, err2 := decode(k.E)
	if err != nil || err2 != nil || len(n) == 0 || len(e) == 0 || len(e) > 4 || n[0] == 0 || e[0] == 0 {
		return nil, fmt.Errorf("%w: n or e", ErrKey)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
}

func (k Key) ec() (crypto.PublicKey, error) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if curve.Params().Name != k.Crv {
			continue
		}
		x, err := decode(k.X)
		y, err2 := decode(k.Y)
		if size := (curve.Params().BitSize + 7) / 8; err != nil || err2 != nil || len(x) != size || len(y) != size {
			return nil, fmt.Errorf("%w: x or y", ErrKey)
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return public, nil
	}
	return nil, fmt.Errorf("%w: crv %.20q", ErrKey, k.Crv)
}

func encode(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

func decode(text string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(text) }
