package tenant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"coffer/internal/token"
)

// Outside is what a token of an outside issuer says, verified.
type Outside struct {
	Subject   string
	User      string // how the issuer identifies its users; of an access token alone
	Audiences []string
	TenantID  string // claim tid; empty: it has none
	// Unix seconds; zero: the token does not say.
	IssuedAt, Expires int64
}

// Assertions verifies tokens of the outside issuers that the configuration names.
type Assertions interface {
	// Knows reports whether the configuration names an issuer.
	Knows(issuer string) bool
	// Verify returns what a token says that the issuer, which Knows, signed. The error wraps
	// ErrAssertionTimes, ErrAssertionTenant, ErrAssertionUnavailable, or none of them, for all other causes.
	Verify(ctx context.Context, issuer, raw string) (Outside, error)
}

// What Assertions.Verify can say.
var (
	ErrAssertionTimes       = errors.New("tenant: the token is not valid at this time")
	ErrAssertionTenant      = errors.New("tenant: the token is of another tenant of its issuer")
	ErrAssertionUnavailable = errors.New("tenant: the keys of the token's issuer cannot be had")
)

// checkAssertion checks what a client shows instead of a secret: a token that it signed
// itself, or one of an outside issuer.
func (s *Service) checkAssertion(ctx context.Context, record applicationRecord, r TokenRequest) error {
	switch issuer := token.AssertionIssuer(r.Assertion); {
	case r.ClientSecret != "":
		return refuse("invalid_request", NumberMissingParameter, "The client authenticates by a secret and by an assertion; it must use one of them.")
	case issuer == "":
		return refuse("invalid_client", NumberBadAssertionForm, "JWT token is invalid or malformed: 'client_assertion' is no token that names its issuer.")
	case strings.EqualFold(issuer, record.AppID):
		return s.checkOwnAssertion(record, r)
	default:
		return s.checkOutsideAssertion(ctx, record, issuer, r.Assertion)
	}
}

// checkOwnAssertion looks for the signature among the keys that are in force.
func (s *Service) checkOwnAssertion(record applicationRecord, r TokenRequest) error {
	now := s.config.Now()
	expect := token.ExpectAssertion{ClientID: record.AppID, Audiences: append(slices.Clone(r.Audiences), s.issuer), Now: now}
	for _, key := range record.Keys {
		if now.Unix() >= key.Start && now.Unix() < key.Expires {
			expect.Certificates = append(expect.Certificates, key.Certificate)
		}
	}
	err := token.VerifyAssertion(r.Assertion, expect)
	var refused *token.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Reason {
	case token.Malformed:
		return refuse("invalid_client", NumberBadAssertionForm, "JWT token is invalid or malformed. A client assertion is signed, and has the claims aud, exp, iss and sub.")
	case token.Algorithm:
		return refuse("invalid_client", NumberAssertionAlg, "Invalid JWT token. Its signature algorithm is not supported. Supported signing algorithms are: 'RS256, PS256'.")
	case token.WrongAudience:
		return refuse("invalid_client", NumberAssertionAud, "Client assertion audience claim does not match this authority. It has to be the address of the token endpoint that is asked, with the tenant '%s'.", s.tenantID)
	case token.WrongClient:
		return refuse("invalid_client", NumberAssertionClient, "Client assertion application identifier doesn't match 'client_id' parameter. The claims iss and sub have to be '%s'.", record.AppID)
	case token.Expired, token.NotYetValid, token.OverLifetime:
		return refuse("invalid_client", NumberAssertionTimes, "Client assertion is not within its valid time range. It has a lifetime of up to 24 hours. Current time: %s.", now.UTC().Format("2006-01-02T15:04:05Z"))
	case token.UnknownKey:
		return refuse("invalid_client", NumberAssertion, "Client assertion failed signature validation. [Reason - The key was not found.] The header has to name, by x5t or x5t#S256, a certificate of application '%s' that is in force.", record.AppID)
	}
	return refuse("invalid_client", NumberAssertion, "Client assertion failed signature validation. [Reason - The signature is not of the certificate that the header names.]")
}

// checkOutsideAssertion asks no issuer that is not both in the configuration and in a
// credential of the application. What it says of subject and audience, it says only to
// who has a token of the issuer.
func (s *Service) checkOutsideAssertion(ctx context.Context, record applicationRecord, issuer, raw string) error {
	var of []federatedRecord
	for _, f := range record.Federated {
		if f.Issuer == issuer {
			of = append(of, f)
		}
	}
	switch {
	case len(of) == 0:
		return refuse("invalid_client", NumberOutsideIssuer, "No matching federated identity record found for presented assertion issuer '%s'.", clip(issuer))
	case s.config.Assertions == nil || !s.config.Assertions.Knows(issuer):
		return refuse("invalid_client", NumberOutsideIssuer, "The assertion issuer '%s' is not among those that the configuration of this server names.", clip(issuer))
	}
	found, err := s.config.Assertions.Verify(ctx, issuer, raw)
	switch {
	case errors.Is(err, ErrAssertionUnavailable):
		return refuse("temporarily_unavailable", NumberBusy, "The keys of the assertion issuer '%s' cannot be had at this moment.", clip(issuer))
	case errors.Is(err, ErrAssertionTimes):
		return refuse("invalid_client", NumberAssertionTimes, "Client assertion is not within its valid time range. Current time: %s.", s.config.Now().UTC().Format("2006-01-02T15:04:05Z"))
	case err != nil:
		return refuse("invalid_client", NumberAssertion, "Client assertion failed signature validation: it is not signed by a key of the issuer '%s'.", clip(issuer))
	}
	if s.tooLong(found) {
		return refuse("invalid_client", NumberAssertionTimes, "Client assertion is not within its valid time range. It has a lifetime of up to 24 hours.")
	}
	of = slices.DeleteFunc(of, func(f federatedRecord) bool { return f.Subject != found.Subject })
	if len(of) == 0 {
		return refuse("invalid_client", NumberOutsideSubject, "No matching federated identity record found for presented assertion subject '%s'.", clip(found.Subject))
	}
	if !slices.ContainsFunc(of, func(f federatedRecord) bool { return f.takes(found.Audiences) }) {
		return refuse("invalid_client", NumberOutsideAudience, "No matching federated identity record found for presented assertion audience '%s'.", clip(strings.Join(found.Audiences, " ")))
	}
	return nil
}

// maxAssertion is how long an assertion is valid at most, as those are that clients sign.
const maxAssertion = 24 * time.Hour

// tooLong reports whether a token lives longer: since its issue, or from now on if it does
// not say when that was.
func (s *Service) tooLong(o Outside) bool {
	since := o.IssuedAt
	if since == 0 {
		since = s.config.Now().Unix()
	}
	return o.Expires-since > int64(maxAssertion.Seconds())
}

// exchangeAudience is the audience of a credential that names none.
const exchangeAudience = "api://AzureADTokenExchange"

func (f federatedRecord) takes(audiences []string) bool {
	want := f.Audiences
	if len(want) == 0 {
		want = []string{exchangeAudience}
	}
	return slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(want, a) })
}
