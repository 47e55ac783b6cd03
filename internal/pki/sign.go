package pki

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha256" // the hashes that signatures below name
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A signature algorithm with the hash that it signs.
type algorithm struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
	null bool // the parameters are NULL (RSA, RFC 4055) or absent (ECDSA, RFC 5758)
}

// algorithmFor is the algorithm that the service signs with: SHA-256 for RSA,
// P-256 and P-256K, SHA-384 for P-384 (recorded), and SHA-512 for P-521 by analogy.
func algorithmFor(key crypto.Signer) (algorithm, error) {
	kt, err := typeOfKey(key)
	if err != nil {
		return algorithm{}, err
	}
	switch {
	case kt.Kty == "RSA":
		return algorithm{oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, hash: crypto.SHA256, null: true}, nil
	case kt.Curve == "P-256", kt.Curve == curveP256K:
		return algorithm{oid: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, hash: crypto.SHA256}, nil
	case kt.Curve == "P-384":
		return algorithm{oid: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, hash: crypto.SHA384}, nil
	default: // P-521: TypeOf knows no other
		return algorithm{oid: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, hash: crypto.SHA512}, nil
	}
}

// addTo writes the AlgorithmIdentifier.
func (a algorithm) addTo(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.oid)
		if a.null {
			b.AddASN1NULL()
		}
	})
}

// signed wraps the part to be signed in the form that certificates and requests share
// (RFC 5280 §4.1, RFC 2986 §4.2): the part, the algorithm, the signature.
func signed(part []byte, key crypto.Signer, a algorithm) ([]byte, error) {
	digest := a.hash.New()
	digest.Write(part)
	signature, err := key.Sign(rand.Reader, digest.Sum(nil), a.hash)
	if err != nil {
		return nil, fmt.Errorf("pki: sign: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(part)
		a.addTo(b)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}
