package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"coffer/internal/oidc"
	"coffer/internal/tenant"
)

// An IssuerConfig names an outside issuer of tokens, whose keys are fetched.
type IssuerConfig struct {
	// URL is the issuer's identifier, https.
	URL string `yaml:"url"`
	// JWKSURL is where its keys are, if its discovery document does not say.
	JWKSURL string `yaml:"jwks_url"`
	// CAFile has the authorities of its TLS certificate, PEM; empty: the system's.
	CAFile string `yaml:"ca_file"`
}

// newVerifier reads the authorities' files. Nothing is fetched before a token comes.
func newVerifier(issuers []IssuerConfig, log *slog.Logger) (*oidc.Verifier, error) {
	config := oidc.Config{Now: time.Now, Log: log}
	for _, issuer := range issuers {
		out := oidc.Issuer{URL: issuer.URL, JWKS: issuer.JWKSURL}
		if issuer.CAFile != "" {
			text, err := os.ReadFile(issuer.CAFile)
			if err != nil {
				return nil, err
			}
			out.CAs = x509.NewCertPool()
			if !out.CAs.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("%s has no certificate in PEM", issuer.CAFile)
			}
		}
		config.Issuers = append(config.Issuers, out)
	}
	return oidc.New(config)
}

// attestations lets the vaults verify attestations without knowing how.
type attestations struct{ verifier *oidc.Verifier }

func (a attestations) Claims(ctx context.Context, authority, token string) (json.RawMessage, error) {
	claims, err := a.verifier.Verify(ctx, authority, token)
	return claims.All, err
}

// assertions lets the tenant verify tokens of outside issuers without knowing how.
type assertions struct{ verifier *oidc.Verifier }

func (a assertions) Knows(issuer string) bool { return a.verifier.Knows(issuer) }

// A BearerConfig names an outside issuer of access tokens, such as a tenant of Entra.
type BearerConfig struct {
	IssuerConfig `yaml:",inline"`
	// Tenant is the tenant of the issuer, claim tid, that its tokens have to name; empty: the
	// issuer has only one.
	Tenant string `yaml:"tenant"`
	// UserClaim is the claim by which the issuer identifies its users: sub, which is the
	// default, or oid, which a tenant of Entra gives one and the same user for every audience,
	// and which no user of it can choose.
	UserClaim string `yaml:"user_claim"`
	// Authority is where clients are told to sign in, the address with the tenant such as
	// https://login.microsoftonline.com/TENANT; empty: here, as ever. One issuer can have it.
	Authority string `yaml:"authority"`
}

// The claims that can identify users.
const (
	userClaimSubject = "sub"
	userClaimOID     = "oid"
)

// bearers are assertions that are bound to a tenant.
type bearers struct {
	assertions
	tenants map[string]string // by canonical issuer
	users   map[string]string // by canonical issuer: the claim that identifies users
}

func newBearers(all []BearerConfig, log *slog.Logger) (bearers, error) {
	b := bearers{tenants: map[string]string{}, users: map[string]string{}}
	var issuers []IssuerConfig
	for _, one := range all {
		b.tenants[oidc.Canonical(one.URL)], b.users[oidc.Canonical(one.URL)] = one.Tenant, one.UserClaim
		issuers = append(issuers, one.IssuerConfig)
	}
	verifier, err := newVerifier(issuers, log)
	b.assertions = assertions{verifier}
	return b, err
}

// refuse keeps our own issuer out: its tokens would be taken for an outside one's, and
// refused, all of them.
func (b bearers) refuse(own string) error {
	if b.Knows(own) {
		return fmt.Errorf("the bearer issuer %s is this installation's own: take it out of the configuration", own)
	}
	return nil
}

// accessAlgorithm is the one of access tokens, ours and outside ones, which OpenID Connect
// Core §3.1.3.7 makes the default; assertions may have any with a public key.
const accessAlgorithm = "RS256"

func (b bearers) Verify(ctx context.Context, issuer, raw string) (tenant.Outside, error) {
	claims, err := b.verifier.Verify(ctx, issuer, raw)
	if err == nil && claims.Algorithm != accessAlgorithm {
		return tenant.Outside{}, fmt.Errorf("an access token of %s is signed by %s, and not by %s", issuer, claims.Algorithm, accessAlgorithm)
	}
	found, err := outside(claims, err)
	if want := b.tenants[oidc.Canonical(issuer)]; err == nil && want != "" && !strings.EqualFold(found.TenantID, want) {
		err = tenant.ErrAssertionTenant
	}
	if found.User = found.Subject; b.users[oidc.Canonical(issuer)] == userClaimOID {
		found.User = claims.Text(userClaimOID)
	}
	return found, err
}

func (a assertions) Verify(ctx context.Context, issuer, raw string) (tenant.Outside, error) {
	return outside(a.verifier.Verify(ctx, issuer, raw))
}

// outside says what the tenant has to know.
func outside(claims oidc.Claims, err error) (tenant.Outside, error) {
	switch {
	case errors.Is(err, oidc.ErrTimes):
		err = fmt.Errorf("%w: %w", tenant.ErrAssertionTimes, err)
	case errors.Is(err, oidc.ErrUnavailable):
		err = fmt.Errorf("%w: %w", tenant.ErrAssertionUnavailable, err)
	}
	return tenant.Outside{
		Subject: claims.Subject, Audiences: claims.Audience, TenantID: claims.Text("tid"), IssuedAt: claims.IssuedAt, Expires: claims.Expires,
	}, err
}
