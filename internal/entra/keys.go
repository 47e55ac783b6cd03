package entra

import (
	"encoding/base64"
	"net/http"

	"coffer/internal/httpd"
	"coffer/internal/jwk"
	"coffer/internal/token"
)

// A keySet is the JWKS document (RFC 7517, 5).
type keySet struct {
	Keys []signingKey `json:"keys"`
}

// A signingKey is a JWK with what validators of tokens look for.
type signingKey struct {
	jwk.Key
	Use        string   `json:"use"`
	Thumbprint string   `json:"x5t"`
	Chain      []string `json:"x5c"` // DER in base64, with padding (RFC 7517, 4.7)
	Issuer     string   `json:"issuer"`
}

// keys waits for a key that is in the making.
func (d *Door) keys(w http.ResponseWriter, r *http.Request, tenant string) {
	if !d.knows(tenant) {
		d.refuse(w, r, unknownTenant("invalid_tenant", tenant, d.Tenant.TenantID()))
		return
	}
	public, err := d.Tenant.PublicKeys(r.Context())
	if err != nil {
		d.fail(w, r, err)
		return
	}
	out := keySet{Keys: []signingKey{}}
	for _, k := range public {
		key, err := newSigningKey(k, d.Tenant.Issuer())
		if err != nil {
			d.fail(w, r, err)
			return
		}
		out.Keys = append(out.Keys, key)
	}
	httpd.WriteJSON(w, http.StatusOK, out)
}

func newSigningKey(k token.PublicKey, issuer string) (signingKey, error) {
	key, err := jwk.FromPublic(k.Key)
	key.ID = k.ID
	return signingKey{
		Key: key, Use: "sig", Thumbprint: k.Thumbprint, Issuer: issuer,
		Chain: []string{base64.StdEncoding.EncodeToString(k.Certificate)},
	}, err
}
