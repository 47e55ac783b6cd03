package entra

import (
	"encoding/base64"

	"coffer/internal/jwk"
	"coffer/internal/token"
)

type jwks struct {
	Keys []signingKey `json:"keys"`
}

// A signingKey is a JWK with what validators of tokens look for.
type signingKey struct {
	jwk.Key
	Use        string   `json:"use"`
	Thumbprint string   `json:"x5t"`
	Chain      []string `json:"x5c"`
	Issuer     string   `json:"issuer"`
}

func newSigningKey(k token.PublicKey, issuer string) (signingKey, error) {
	key, err := jwk.FromPublic(k.Key)
	key.ID = k.ID
	return signingKey{Key: key, Use: "sig", Thumbprint: k.Thumbprint, Chain: []string{base64.StdEncoding.EncodeToString(k.Certificate)}, Issuer: issuer}, err
}
