package token

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// SignDocument returns a payload as a compact JWS (RFC 7515), signed with RS256. Its
// header shows the certificate of the key whole, in x5c, and by its thumbprints; the kid
// is the SHA-1 one. It is for what is no token; no token is ever signed with such a key.
func SignDocument(key *rsa.PrivateKey, certificate, payload []byte) (string, error) {
	old, hash := sha1.Sum(certificate), sha256.Sum256(certificate) // x5t is defined over SHA-1; nothing rests on it
	thumbprint := base64.RawURLEncoding.EncodeToString(old[:])
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", thumbprint).WithHeader("x5t", thumbprint).
		WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(hash[:])).
		WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(certificate)})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("token: signing: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("token: signing: %w", err)
	}
	return signed.CompactSerialize()
}
