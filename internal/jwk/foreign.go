package jwk

import (
	stdecdsa "crypto/ecdsa"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// verifyForeign verifies on secp256k1, which the standard library does not have.
func verifyForeign(key *stdecdsa.PublicKey, digest, r, s []byte) bool {
	_, point, err := pointOf(key)
	if err != nil {
		return false
	}
	public, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return false
	}
	var sr, ss secp256k1.ModNScalar
	if sr.SetByteSlice(r) || ss.SetByteSlice(s) || sr.IsZero() || ss.IsZero() {
		return false // not below the order, or zero
	}
	return ecdsa.NewSignature(&sr, &ss).Verify(digest, public)
}
