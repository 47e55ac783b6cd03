// Package token signs and verifies access tokens, and verifies the assertions by which
// clients sign in, given keys. It is pure: it keeps no
// key, asks nobody, and has no clock.
//
// Tokens are JSON Web Tokens signed with RS256 (RFC 7519, RFC 7515), with the claims
// of the service's version 1 tokens. Verification is strict: the issuer claim selects
// exactly one issuer, the key id is looked up among that issuer's keys only, and the
// header's jku, jwk, x5u and x5c say nothing. Every refusal has a Reason.
//
//	raw, err := token.Sign(key, claims)
//	claims, err := token.Verify(raw, token.Expect{Issuers: issuers, Audiences: audiences, Now: now})
package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Claims are those of an access token. Times are Unix seconds.
type Claims struct {
	Audience        string   `json:"aud"`
	Issuer          string   `json:"iss"`
	IssuedAt        int64    `json:"iat"`
	NotBefore       int64    `json:"nbf"`
	Expires         int64    `json:"exp"`
	AppID           string   `json:"appid,omitempty"`
	AppIDACR        string   `json:"appidacr,omitempty"` // "0": without, "1": by secret, "2": by certificate
	IdentityIssuer  string   `json:"idp,omitempty"`
	IdentityType    string   `json:"idtyp,omitempty"` // "app" or "user"
	ObjectID        string   `json:"oid"`
	Subject         string   `json:"sub"`
	TenantID        string   `json:"tid"`
	TokenID         string   `json:"uti,omitempty"`
	Version         string   `json:"ver"`
	ManagedIdentity string   `json:"xms_mirid,omitempty"` // ARM id of a managed identity
	Groups          []string `json:"groups,omitempty"`

	// Of users.
	Name       string `json:"name,omitempty"`
	UPN        string `json:"upn,omitempty"`
	UniqueName string `json:"unique_name,omitempty"`
	Scopes     string `json:"scp,omitempty"`
}

// Identity are the claims of an id_token, which tells a client who signed in. Its audience
// is the client, so that no door takes it for an access token.
type Identity struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	Name      string `json:"name,omitempty"`
	ObjectID  string `json:"oid"`
	Preferred string `json:"preferred_username"`
	UPN       string `json:"upn"`
	Subject   string `json:"sub"`
	TenantID  string `json:"tid"`
	TokenID   string `json:"uti"`
	Version   string `json:"ver"`
}

// A Reason is why a token is refused.
type Reason string

// The reasons.
const (
	Malformed     Reason = "Malformed"
	Algorithm     Reason = "Algorithm"
	UnknownIssuer Reason = "UnknownIssuer"
	UnknownKey    Reason = "UnknownKey"
	BadSignature  Reason = "BadSignature"
	WrongAudience Reason = "WrongAudience"
	WrongTenant   Reason = "WrongTenant"
	Expired       Reason = "Expired"
	NotYetValid   Reason = "NotYetValid"

	UnknownSubject Reason = "UnknownSubject" // of a sound token of an outside issuer
)

// An Error is a refusal. Found is what the token said, for the message; it was not
// necessarily verified.
type Error struct {
	Reason Reason
	Found  string
}

// Error returns the reason.
func (e *Error) Error() string { return "token: " + string(e.Reason) }

// An Issuer is one whose tokens are accepted.
type Issuer struct {
	Name     string // the exact iss claim
	TenantID string // the only tid that it may name
	Keys     []PublicKey
}

// Expect is what a token has to fulfil.
type Expect struct {
	Issuers   []Issuer
	Audiences []string // the exact aud claims, one of which the token has to have
	Now       time.Time
}

const (
	maxToken = 16 << 10        // bytes
	leeway   = 1 * time.Minute // by which the clocks of nodes may differ
)

// Sign returns the claims as a token.
func Sign(k *SigningKey, c Claims) (string, error) { return sign(k, c) }

// SignIdentity returns the claims as an id_token.
func SignIdentity(k *SigningKey, i Identity) (string, error) { return sign(k, i) }

func sign(k *SigningKey, c any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t", k.Thumbprint).WithHeader("kid", k.ID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, options)
	if err != nil {
		return "", fmt.Errorf("token: signing: %w", err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("token: signing: %w", err)
	}
	return signed.CompactSerialize()
}

// Verify returns the claims of a token that fulfils e. The error is an *Error.
func Verify(raw string, e Expect) (Claims, error) {
	claims, err := verifySignature(raw, e.Issuers)
	if err != nil {
		return Claims{}, err
	}
	return claims, e.check(claims)
}

// verifySignature does what depends on nothing but the token and the keys.
func verifySignature(raw string, issuers []Issuer) (Claims, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return Claims{}, &Error{Reason: Malformed}
	}
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &algorithm) {
		return Claims{}, &Error{Reason: Algorithm}
	}
	if err != nil || len(signed.Signatures) != 1 {
		return Claims{}, &Error{Reason: Malformed}
	}
	var claims Claims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return Claims{}, &Error{Reason: Malformed}
	}
	at := slices.IndexFunc(issuers, func(i Issuer) bool { return i.Name == claims.Issuer })
	if at < 0 {
		return claims, &Error{Reason: UnknownIssuer, Found: claims.Issuer}
	}
	key := issuers[at].key(signed.Signatures[0].Protected.KeyID)
	if key == nil {
		return claims, &Error{Reason: UnknownKey}
	}
	if _, err := signed.Verify(key.Key); err != nil {
		return claims, &Error{Reason: BadSignature}
	}
	if !strings.EqualFold(claims.TenantID, issuers[at].TenantID) {
		return claims, &Error{Reason: WrongTenant, Found: claims.TenantID}
	}
	return claims, nil
}

func (i Issuer) key(id string) *PublicKey {
	for n := range i.Keys {
		if id != "" && i.Keys[n].ID == id {
			return &i.Keys[n]
		}
	}
	return nil
}

// check does what depends on the door and the time.
func (e Expect) check(c Claims) error {
	switch {
	case !slices.Contains(e.Audiences, c.Audience):
		return &Error{Reason: WrongAudience, Found: c.Audience}
	case c.ObjectID == "" || c.Expires == 0:
		return &Error{Reason: Malformed}
	case !e.Now.Before(time.Unix(c.Expires, 0).Add(leeway)):
		return &Error{Reason: Expired}
	case e.Now.Add(leeway).Before(time.Unix(max(c.NotBefore, c.IssuedAt), 0)):
		return &Error{Reason: NotYetValid}
	}
	return nil
}
