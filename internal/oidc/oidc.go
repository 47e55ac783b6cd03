// Package oidc verifies tokens of outside issuers, whose keys it fetches by OpenID
// Connect Discovery. It asks nobody but the issuers that it was made with: a token that
// names another one is refused unfetched, and what an issuer publishes cannot lead to
// another host.
//
//	verifier, err := oidc.New(oidc.Config{Issuers: issuers, Now: time.Now, Log: log})
//	claims, err := verifier.Verify(ctx, "https://attest.example.com", raw)
package oidc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An Issuer is one that the configuration names.
type Issuer struct {
	// URL is the issuer's identifier, claim iss: https, without query. A slash at the end
	// says nothing.
	URL string
	// JWKS is where the keys are. Empty: where the discovery document says, which has to
	// be on the issuer's own host.
	JWKS string
	// CAs are the authorities of the issuer's TLS certificate; nil: the system's.
	CAs *x509.CertPool
}

// A Config makes a Verifier.
type Config struct {
	Issuers []Issuer
	Now     func() time.Time
	Log     *slog.Logger
}

// The causes of a refusal. ErrUnavailable means that the keys could not be had, and that
// the same token may be good later.
var (
	ErrMalformed     = errors.New("it is no signed JWT of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512")
	ErrUnknownIssuer = errors.New("its issuer is not among those that the configuration names")
	ErrUnknownKey    = errors.New("its key is not among those that the issuer publishes")
	ErrSignature     = errors.New("its signature is not the issuer's")
	ErrTimes         = errors.New("it is not valid at this time")
	ErrUnavailable   = errors.New("the keys of its issuer cannot be had at this moment")
)

// algorithms are those with a public key (RFC 7518 §3.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

const (
	maxToken = 64 << 10        // bytes; attestations hold whole logs
	leeway   = 1 * time.Minute // by which clocks may differ
)

// Claims are those that every token has, and All of them, as JSON. Times are Unix
// seconds; zero: the token has none.
type Claims struct {
	Algorithm string // of the signature, as RS256: header alg
	Issuer    string
	Subject   string
	Audience  []string
	NotBefore int64
	IssuedAt  int64
	Expires   int64
	All       json.RawMessage
}

// A Verifier is safe for any number of goroutines.
type Verifier struct {
	config  Config
	sources map[string]*source // by canonical URL
}

// New checks the issuers; it fetches nothing.
func New(c Config) (*Verifier, error) {
	v := &Verifier{config: c, sources: map[string]*source{}}
	for _, issuer := range c.Issuers {
		s, err := newSource(issuer, c)
		if err != nil {
			return nil, err
		}
		name := Canonical(issuer.URL)
		if v.sources[name] != nil {
			return nil, fmt.Errorf("the issuer %s is named twice", issuer.URL)
		}
		v.sources[name] = s
	}
	return v, nil
}

// Canonical is an issuer's identifier without the slash that some write at its end, and
// with scheme and host in lower case.
func Canonical(issuer string) string {
	issuer = strings.TrimRight(issuer, "/")
	if u, err := url.Parse(issuer); err == nil {
		u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
		return u.String()
	}
	return issuer
}

// Verify returns the claims of a token that the named issuer signed and that is valid
// now. The audience is for the caller to check. The error wraps one of the causes above.
func (v *Verifier) Verify(ctx context.Context, issuer, raw string) (Claims, error) {
	signed, claims, err := parse(raw)
	if err != nil {
		return Claims{}, err
	}
	source := v.sources[Canonical(issuer)]
	if source == nil || Canonical(claims.Issuer) != Canonical(issuer) {
		return Claims{}, fmt.Errorf("%w: %.200q", ErrUnknownIssuer, claims.Issuer)
	}
	header := signed.Signatures[0].Protected
	keys, err := source.find(ctx, header.KeyID)
	if err != nil {
		return Claims{}, err
	}
	for _, key := range keys {
		if _, err := signed.Verify(key); err == nil {
			return claims, claims.check(v.config.Now())
		}
	}
	return Claims{}, ErrSignature
}

// Knows reports whether the configuration names the issuer.
func (v *Verifier) Knows(issuer string) bool { return v.sources[Canonical(issuer)] != nil }

// parse reads a token without verifying anything.
func parse(raw string) (*jose.JSONWebSignature, Claims, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, Claims{}, ErrMalformed
	}
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, Claims{}, ErrMalformed
	}
	payload := signed.UnsafePayloadWithoutVerification()
	members, ok := members(payload)
	out := Claims{All: payload, Algorithm: signed.Signatures[0].Protected.Algorithm}
	if !ok || !text(members["iss"], &out.Issuer) || !text(members["sub"], &out.Subject) {
		return nil, Claims{}, ErrMalformed
	}
	for name, to := range map[string]*int64{"nbf": &out.NotBefore, "iat": &out.IssuedAt, "exp": &out.Expires} {
		var from *float64
		if raw := members[name]; raw != nil && json.Unmarshal(raw, &from) != nil {
			return nil, Claims{}, ErrMalformed
		}
		if from == nil {
			continue
		}
		if math.IsNaN(*from) || *from < 1 || *from > 1<<40 {
			return nil, Claims{}, ErrMalformed
		}
		*to = int64(*from)
	}
	if out.Audience, err = audience(members["aud"]); err != nil {
		return nil, Claims{}, err
	}
	return signed, out, nil
}

// members reads a JSON object whose names are compared to the letter, and refuses one with
// a name twice (RFC 7519 §4 allows that): where an issuer's users can add claims, neither
// another spelling nor a repetition stands for what the issuer says itself.
func members(payload []byte) (map[string]json.RawMessage, bool) {
	d := json.NewDecoder(bytes.NewReader(payload))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	all := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		key, ok := name.(string)
		if _, twice := all[key]; !ok || twice || d.Decode(&value) != nil {
			return nil, false
		}
		all[key] = value
	}
	if _, err := d.Token(); err != nil { // the brace
		return nil, false
	}
	_, err := d.Token()
	return all, errors.Is(err, io.EOF)
}

// text reads a claim that is a text, or is not there.
func text(raw json.RawMessage, into *string) bool {
	return raw == nil || json.Unmarshal(raw, into) == nil
}

// Text is a claim that is a text; empty if it is none, or is not there.
func (c Claims) Text(name string) (value string) {
	all, ok := members(c.All)
	if !ok || !text(all[name], &value) {
		return ""
	}
	return value
}

// audience is one text or a list of them (RFC 7519 §4.1.3).
func audience(raw json.RawMessage) ([]string, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if json.Unmarshal(raw, &many) != nil {
		return nil, ErrMalformed
	}
	return many, nil
}

// check looks at the times. A token without an end is not accepted.
func (c Claims) check(now time.Time) error {
	switch {
	case c.Expires == 0:
		return fmt.Errorf("%w: it has no claim exp", ErrTimes)
	case !now.Before(time.Unix(c.Expires, 0).Add(leeway)):
		return fmt.Errorf("%w: it expired at %s", ErrTimes, time.Unix(c.Expires, 0).UTC().Format(time.RFC3339))
	case c.IssuedAt != 0 && now.Before(time.Unix(c.IssuedAt, 0).Add(-leeway)):
		return fmt.Errorf("%w: it was issued at %s, which is to come", ErrTimes, time.Unix(c.IssuedAt, 0).UTC().Format(time.RFC3339))
	case c.NotBefore != 0 && now.Before(time.Unix(c.NotBefore, 0).Add(-leeway)):
		return fmt.Errorf("%w: it is valid from %s on", ErrTimes, time.Unix(c.NotBefore, 0).UTC().Format(time.RFC3339))
	}
	return nil
}
