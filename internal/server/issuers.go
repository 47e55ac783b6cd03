package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

func (a assertions) Verify(ctx context.Context, issuer, raw string) (tenant.Outside, error) {
	claims, err := a.verifier.Verify(ctx, issuer, raw)
	switch {
	case errors.Is(err, oidc.ErrTimes):
		err = fmt.Errorf("%w: %w", tenant.ErrAssertionTimes, err)
	case errors.Is(err, oidc.ErrUnavailable):
		err = fmt.Errorf("%w: %w", tenant.ErrAssertionUnavailable, err)
	}
	return tenant.Outside{Subject: claims.Subject, Audiences: claims.Audience}, err
}
