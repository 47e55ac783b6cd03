package token

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The reasons that only assertions have.
const (
	WrongClient  Reason = "WrongClient"  // iss or sub is not the client
	OverLifetime Reason = "OverLifetime" // it is valid for longer than it may be
)

// ExpectAssertion is what the assertion of a client has to fulfil (RFC 7523, 3).
type ExpectAssertion struct {
	ClientID     string   // claims iss and sub
	Audiences    []string // one of which the token has to have; compared without regard to case
	Certificates [][]byte // DER; one of them has signed
	Now          time.Time
}

const (
	maxAssertion     = 24 * time.Hour // of the lifetime
	minAssertionBits = 2048
)

// assertionClaims are all that is read. Times are numbers, perhaps with a fraction.
type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	Expires   float64         `json:"exp"`
	NotBefore float64         `json:"nbf"`
	IssuedAt  float64         `json:"iat"`
}

// AssertionIssuer returns what an assertion says of its issuer, believed by nobody yet;
// empty, when it says nothing.
func AssertionIssuer(raw string) string {
	parts := strings.Split(raw, ".")
	if len(raw) > 4*maxToken || len(parts) != 3 {
		return ""
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]json.RawMessage // names to the letter, as whoever verifies the token reads them
	var issuer string
	if err != nil || json.Unmarshal(body, &claims) != nil || json.Unmarshal(claims["iss"], &issuer) != nil {
		return ""
	}
	return issuer
}

// VerifyAssertion checks a token that a client signed itself, by RS256 or PS256 and with
// the key of one of its certificates, which the header names by a thumbprint (x5t,
// x5t#S256). The error is an *Error.
func VerifyAssertion(raw string, e ExpectAssertion) error {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return &Error{Reason: Malformed}
	}
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.PS256})
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &algorithm) {
		return &Error{Reason: Algorithm}
	}
	if err != nil || len(signed.Signatures) != 1 {
		return &Error{Reason: Malformed}
	}
	certificate, err := e.certificate(signed.Signatures[0].Protected)
	if err != nil {
		return err
	}
	payload, err := signed.Verify(certificate.PublicKey)
	if err != nil {
		return &Error{Reason: BadSignature}
	}
	var claims assertionClaims
	if json.Unmarshal(payload, &claims) != nil {
		return &Error{Reason: Malformed}
	}
	if e.Now.Before(certificate.NotBefore) || e.Now.After(certificate.NotAfter) {
		return &Error{Reason: UnknownKey, Found: "expired"}
	}
	return e.check(claims)
}

// certificate finds the one whose thumbprints the header has. Clients write them in each
// of the forms of base64.
func (e ExpectAssertion) certificate(header jose.Header) (*x509.Certificate, error) {
	old, hasOld := thumbprint(header, "x5t")
	hash, hasHash := thumbprint(header, "x5t#S256")
	if !hasOld && !hasHash {
		return nil, &Error{Reason: UnknownKey}
	}
	for _, der := range e.Certificates {
		sum, sum256 := sha1.Sum(der), sha256.Sum256(der) // x5t is defined over SHA-1: it only selects
		if hasOld && subtle.ConstantTimeCompare(old, sum[:]) != 1 || hasHash && subtle.ConstantTimeCompare(hash, sum256[:]) != 1 {
			continue
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			continue
		}
		if key, ok := certificate.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() >= minAssertionBits {
			return certificate, nil
		}
	}
	return nil, &Error{Reason: UnknownKey}
}

func thumbprint(header jose.Header, name jose.HeaderKey) ([]byte, bool) {
	text, ok := header.ExtraHeaders[name].(string)
	if !ok {
		return nil, false
	}
	out, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text))
	return out, err == nil
}

func (e ExpectAssertion) check(c assertionClaims) error {
	expires, begins := moment(c.Expires), moment(c.NotBefore)
	if c.NotBefore == 0 {
		begins = moment(c.IssuedAt)
	}
	if c.NotBefore == 0 && c.IssuedAt == 0 {
		begins = e.Now
	}
	switch {
	case c.Expires == 0:
		return &Error{Reason: Malformed}
	case !e.ours(c.Audience):
		return &Error{Reason: WrongAudience}
	case e.ClientID == "" || !strings.EqualFold(c.Issuer, e.ClientID) || !strings.EqualFold(c.Subject, e.ClientID):
		return &Error{Reason: WrongClient}
	case !e.Now.Before(expires.Add(leeway)):
		return &Error{Reason: Expired}
	case e.Now.Add(leeway).Before(begins):
		return &Error{Reason: NotYetValid}
	case expires.After(begins.Add(maxAssertion+leeway)) || expires.After(e.Now.Add(maxAssertion+leeway)):
		return &Error{Reason: OverLifetime}
	}
	return nil
}

// moment is a NumericDate (RFC 7519, 2); what no clock shows is far in the past or future.
func moment(seconds float64) time.Time {
	return time.Unix(int64(min(max(seconds, -1), 1<<40)), 0)
}

// ours reports whether the audience, one text or a list, has one that is expected.
func (e ExpectAssertion) ours(raw json.RawMessage) bool {
	var one string
	var many []string
	if json.Unmarshal(raw, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(raw, &many) != nil {
		return false
	}
	return slices.ContainsFunc(many, func(found string) bool {
		return slices.ContainsFunc(e.Audiences, func(want string) bool { return strings.EqualFold(found, want) })
	})
}
