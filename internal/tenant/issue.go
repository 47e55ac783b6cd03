package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/token"
)

// An Error is a refused request for a token. Code is OAuth's word (RFC 6749, 5.2),
// Number the service's AADSTS number.
type Error struct {
	Code    string // such as "invalid_client"
	Number  int
	Message string
}

// Error returns the message with its number, as the service writes it.
func (e *Error) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.Number, e.Message) }

// AuditCode is what the audit log shows as the outcome.
func (e *Error) AuditCode() string { return e.Code }

// The numbers of the refusals that are made here, as the service's documentation gives
// them.
const (
	NumberBadAssertionForm = 50027
	NumberLocked           = 50053
	NumberUserDisabled     = 50057
	NumberBadPassword      = 50126
	NumberRevoked          = 50173
	NumberInvalidGrant     = 70000
	NumberMalformedScope   = 70011
	NumberPending          = 70016
	NumberDeclined         = 70018
	NumberCodeExpired      = 70020
	NumberBusy             = 90033
	NumberUnreadableGrant  = 9002313
	NumberScopeSuffix      = 1002012
	NumberUnknownResource  = 500011
	NumberUnknownClient    = 700016
	NumberAssertionClient  = 700021
	NumberAssertionAud     = 700023
	NumberAssertionTimes   = 700024
	NumberPublicClient     = 700025
	NumberAssertion        = 700027
	NumberRefreshExpired   = 700082
	NumberOutsideIssuer    = 700211
	NumberOutsideAudience  = 700212
	NumberOutsideSubject   = 700213
	NumberAssertionAlg     = 5002738
	NumberDisabled         = 7000112
	NumberBadSecret        = 7000215
	NumberNoCredential     = 7000218
	NumberExpiredSecret    = 7000222
	NumberNoPrincipal      = 7000229
	NumberMissingParameter = 900144
)

// refuse makes an Error.
func refuse(code string, number int, format string, args ...any) *Error {
	return &Error{Code: code, Number: number, Message: fmt.Sprintf(format, args...)}
}

// A Grant says what a token is asked for with (RFC 6749, 1.3).
type Grant int

// The grants. All but the first give tokens of users.
const (
	GrantClient   Grant = iota // the client's own secret or assertion
	GrantPassword              // a user's name and password
	GrantRefresh               // a refresh token
	GrantDevice                // a device code
)

// A TokenRequest asks for a token. Scope is used when Resource is empty.
type TokenRequest struct {
	Grant                  Grant
	ClientID, ClientSecret string
	Assertion              string   // instead of a secret
	Audiences              []string // what an assertion that the client signed itself can have
	Scope                  string   // v2: "RESOURCE/.default", perhaps with words of OpenID Connect
	Resource               string   // v1

	Username, Password, RefreshToken, DeviceCode string

	IdentityIssuer string // iss of an id_token; empty: Issuer
}

// A Token is an access token.
type Token struct {
	Raw       string
	Resource  string // its audience
	ClientID  string
	NotBefore time.Time
	Expires   time.Time
	User      *UserToken // nil: it is an application's
}

// A UserToken is what a client gets beside the access token of a user.
type UserToken struct {
	Scope    string // what was granted
	Refresh  string // refresh token
	Identity string // id_token
	ObjectID string
	TenantID string
	Family   bool // the refresh token is good for every client of the family
}

// The lifetimes of tokens, as the service's.
const (
	tokenLifetime           = 3599 * time.Second
	managedIdentityLifetime = 86399 * time.Second
)

// IssueToken returns a token for an application that shows its secret or an assertion, or
// for a user. The error is an *Error for a request that is refused. Either way there is a
// line in the audit log, or else no token; a device code that waits has no line.
func (s *Service) IssueToken(ctx context.Context, o access.Origin, r TokenRequest) (Token, error) {
	admit := s.admitUser
	if r.Grant == GrantClient {
		admit = s.admit
	}
	t, err := admit(ctx, r)
	if t.app.AppID == "" {
		t.app.AppID, _ = guid(r.ClientID) // what is no id may be a secret in the wrong place
	}
	if refused := (*Error)(nil); errors.As(err, &refused) && refused.Number == NumberPending {
		return Token{}, err
	}
	out, err := s.give(ctx, o, t, err)
	return out, explain(err)
}

// admit checks the client and what it asks for.
func (s *Service) admit(ctx context.Context, r TokenRequest) (t sought, err error) {
	t.lifetime = tokenLifetime
	if t.app, t.claims.AppIDACR, err = s.checkClient(ctx, r); err != nil {
		return t, err
	}
	if err := s.checkPrincipal(ctx, t.app); err != nil {
		return t, err
	}
	if t.resource = r.Resource; t.resource == "" {
		if t.resource, err = resourceOf(r.Scope); err != nil {
			return t, err
		}
	}
	return t, s.checkResource(t.resource)
}

// How a client authenticated: claim appidacr.
const (
	byNothing   = "0"
	bySecret    = "1"
	byAssertion = "2"
)

// checkClient returns the application that the client is, and how it showed that.
func (s *Service) checkClient(ctx context.Context, r TokenRequest) (Application, string, error) {
	record, _, err := s.application(ctx, r.ClientID)
	switch {
	case errors.Is(err, ErrNotFound):
		return Application{}, "", s.unknown(r.ClientID, r.ClientSecret)
	case err != nil:
		return Application{}, "", err
	case r.Assertion != "":
		return record.application(), byAssertion, s.checkAssertion(ctx, record, r)
	}
	app, err := s.checkSecret(record, r.ClientSecret)
	return app, bySecret, err
}

func (s *Service) checkSecret(record applicationRecord, secret string) (Application, error) {
	if secret == "" {
		return record.application(), refuse("invalid_client", NumberNoCredential, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	expired := false
	for _, kept := range record.Secrets {
		if !kept.is(secret) || !kept.begun(s.config.Now()) {
			continue
		}
		if kept.live(s.config.Now()) {
			return record.application(), nil
		}
		expired = true
	}
	if expired {
		return record.application(), refuse("invalid_client", NumberExpiredSecret, "The provided client secret keys for app '%s' are expired. Make a new secret for it.", record.AppID)
	}
	return record.application(), refuse("invalid_client", NumberBadSecret,
		"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", record.AppID)
}

// unknown refuses an application that does not exist, after the work that one with a
// wrong secret takes: a record is opened and a hash is compared.
func (s *Service) unknown(id, secret string) error {
	var record tenantRecord
	if err := s.open(s.decoy, place(kindTenant, ""), &record); err != nil {
		return err
	}
	absent := secretRecord{Salt: make([]byte, saltSize), Hash: make([]byte, 32)}
	absent.is(secret)
	if id == "" {
		return refuse("invalid_request", NumberMissingParameter, "The request body must contain the following parameter: 'client_id'.")
	}
	shown, ok := guid(id)
	if !ok {
		shown = "(not a GUID)"
	}
	return refuse("unauthorized_client", NumberUnknownClient,
		"Application with identifier '%s' was not found in the directory '%s'. Check the client id and the tenant.", shown, s.tenantID)
}

func (s *Service) checkPrincipal(ctx context.Context, app Application) error {
	look := s.Look(access.Caller{TenantID: s.tenantID, ObjectID: app.ObjectID, AppID: app.AppID})
	recs, err := s.config.Store.Get(ctx, look.Asks()...)
	if err != nil {
		return err
	}
	_, err = look.Caller(recs)
	switch {
	case !errors.Is(err, access.ErrPrincipalGone):
		return err
	case !recs[0].Exists():
		return refuse("unauthorized_client", NumberNoPrincipal, "The client application %s is missing service principal in the tenant %s.", app.AppID, s.tenantID)
	}
	return refuse("unauthorized_client", NumberDisabled, "Application '%s' is disabled.", app.AppID)
}

// checkResource knows a resource with and without one slash at its end.
func (s *Service) checkResource(resource string) error {
	if slices.Contains(s.config.Resources, strings.TrimSuffix(resource, "/")) {
		return nil
	}
	return refuse("invalid_resource", NumberUnknownResource, "The resource principal named %s was not found in the tenant named %s. This server issues tokens for: %s.",
		clip(resource), s.tenantID, strings.Join(s.config.Resources, ", "))
}

// ignoredScopes are the words of OpenID Connect, which name no resource and mean nothing
// for an application, but which some clients add.
var ignoredScopes = []string{"openid", "profile", "offline_access", "email"}

// resourceOf picks the one scope that ends in /.default and cuts exactly that off: the
// resource keeps a slash of its own.
func resourceOf(scope string) (string, error) {
	resource := ""
	for word := range strings.FieldsSeq(scope) {
		if slices.Contains(ignoredScopes, word) {
			continue
		}
		cut, ok := strings.CutSuffix(word, "/.default")
		if !ok || cut == "" || resource != "" {
			return "", refuse("invalid_scope", NumberScopeSuffix,
				"The provided value for scope %s is not valid. Client credential flows must have one scope value with /.default suffixed to the resource identifier (application ID URI).", clip(scope))
		}
		resource = cut
	}
	if resource == "" {
		return "", refuse("invalid_scope", NumberMalformedScope, "The provided request must include a 'scope' input parameter, such as https://vault.azure.net/.default.")
	}
	return resource, nil
}

// ManagedIdentityID is the ARM id of the one managed identity that there can be.
func (s *Service) ManagedIdentityID() string {
	return "/subscriptions/" + s.tenantID + "/resourcegroups/coffer/providers/Microsoft.ManagedIdentity/userAssignedIdentities/coffer"
}

// ManagedIdentityToken returns a token for an application without its secret; the
// caller has shown by its place that it may have one. Errors are those of IssueToken.
func (s *Service) ManagedIdentityToken(ctx context.Context, o access.Origin, app Application, resource string) (Token, error) {
	err := s.checkResource(resource)
	if err == nil {
		err = s.checkPrincipal(ctx, app)
	}
	claims := token.Claims{AppIDACR: "2", ManagedIdentity: s.ManagedIdentityID()}
	return s.give(ctx, o, sought{app: app, resource: resource, lifetime: managedIdentityLifetime, claims: claims}, err)
}

// sought is a token that is asked for, as far as it is known.
type sought struct {
	app      Application
	resource string
	lifetime time.Duration
	claims   token.Claims // those that not all tokens have alike
	user     *person      // nil: the application itself
}

// give signs the token, unless err refuses it, and gives it out when the sign-in is in
// the audit log.
func (s *Service) give(ctx context.Context, o access.Origin, t sought, err error) (Token, error) {
	var issued Token
	if err == nil {
		issued, err = s.sign(ctx, t)
	}
	line := gate.SignIn{TenantID: s.tenantID, AppID: t.app.AppID, ObjectID: t.app.ObjectID, Resource: clip(t.resource), Outcome: outcome(err)}
	if failed := s.config.Gate.SignIn(ctx, o, line); failed != nil {
		if err != nil {
			failed = fmt.Errorf("%w; the request had failed: %v", failed, err)
		}
		return Token{}, failed
	}
	if err != nil {
		return Token{}, err
	}
	return issued, nil
}

func outcome(err error) string {
	var refused *Error
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &refused):
		return refused.AuditCode()
	}
	return "InternalError"
}

// sign fills the claims that all tokens have.
func (s *Service) sign(ctx context.Context, t sought) (Token, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return Token{}, err
	}
	id := uuid.New()
	now := s.config.Now().Truncate(time.Second)
	expires := now.Add(t.lifetime)
	c := t.claims
	c.AppID, c.ObjectID, c.Subject = t.app.AppID, t.app.ObjectID, t.app.ObjectID
	c.Audience, c.Issuer, c.IdentityIssuer = t.resource, s.issuer, s.issuer
	c.IssuedAt, c.NotBefore, c.Expires = now.Unix(), now.Unix(), expires.Unix()
	c.IdentityType, c.TenantID, c.Version = "app", s.tenantID, "1.0"
	c.TokenID = base64.RawURLEncoding.EncodeToString(id[:])
	if t.user != nil {
		t.user.claim(&c)
	}
	raw, err := token.Sign(key, c)
	if err != nil {
		return Token{}, err
	}
	out := Token{Raw: raw, Resource: t.resource, ClientID: c.AppID, NotBefore: now, Expires: expires}
	if t.user != nil {
		out.User, err = s.userToken(key, *t.user, c)
	}
	return out, err
}
