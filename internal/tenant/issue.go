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
	"coffer/internal/store"
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

// refuse makes an Error.
func refuse(code string, number int, format string, args ...any) *Error {
	return &Error{Code: code, Number: number, Message: fmt.Sprintf(format, args...)}
}

// A TokenRequest asks for a token by client credentials. One of Scope and Resource is
// set.
type TokenRequest struct {
	ClientID, ClientSecret string
	Scope                  string // v2: "RESOURCE/.default", perhaps with words of OpenID Connect
	Resource               string // v1
}

// A Token is an access token.
type Token struct {
	Raw       string
	Resource  string // its audience
	ClientID  string
	NotBefore time.Time
	Expires   time.Time
}

// The lifetimes of tokens, as the service's.
const (
	tokenLifetime           = 3599 * time.Second
	managedIdentityLifetime = 86399 * time.Second
)

// IssueToken returns a token for an application that shows its secret. The error is an
// *Error for a request that is refused.
func (s *Service) IssueToken(ctx context.Context, o access.Origin, r TokenRequest) (Token, error) {
	record, resource, err := s.admit(ctx, r)
	signIn := gate.SignIn{TenantID: s.tenantID, AppID: record.AppID, ObjectID: record.ObjectID, Resource: resource, Outcome: "OK"}
	var refused *Error
	if errors.As(err, &refused) {
		signIn.Outcome = refused.Code
		signIn.AppID = clip(r.ClientID)
	}
	if err != nil && refused == nil {
		return Token{}, err
	}
	if failed := s.config.Gate.SignIn(ctx, o, signIn); failed != nil {
		return Token{}, failed
	}
	if err != nil {
		return Token{}, err
	}
	return s.sign(ctx, token.Claims{AppID: record.AppID, ObjectID: record.ObjectID, AppIDACR: "1"}, resource, tokenLifetime)
}

func clip(text string) string {
	if len(text) > 64 {
		return strings.ToValidUTF8(text[:64], "")
	}
	return text
}

// admit checks the client and what it asks for.
func (s *Service) admit(ctx context.Context, r TokenRequest) (applicationRecord, string, error) {
	record, err := s.checkSecret(ctx, r.ClientID, r.ClientSecret)
	if err != nil {
		return applicationRecord{}, "", err
	}
	if err := s.checkPrincipal(ctx, record); err != nil {
		return record, "", err
	}
	resource := r.Resource
	if resource == "" {
		if resource, err = resourceOf(r.Scope); err != nil {
			return record, "", err
		}
	}
	if !slices.Contains(s.config.Resources, strings.TrimSuffix(resource, "/")) {
		return record, clip(resource), refuse("invalid_resource", 500011, "The resource principal named %s was not found in the tenant named %s. Ask for one that this server has: %s.",
			clip(resource), s.tenantID, strings.Join(s.config.Resources, ", "))
	}
	return record, resource, nil
}

// absent is compared with when there is no application, so that the time tells nothing.
var absent = secretRecord{Salt: make([]byte, 16), Hash: make([]byte, 32)}

func (s *Service) checkSecret(ctx context.Context, clientID, secret string) (applicationRecord, error) {
	record, _, err := s.application(ctx, clip(clientID))
	if errors.Is(err, errNotFound) {
		absent.is(secret)
		return record, refuse("unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'. Check the client id and the tenant.", clip(clientID), s.tenantID)
	}
	if err != nil {
		return record, err
	}
	if secret == "" {
		return record, refuse("invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	expired := false
	for _, kept := range record.Secrets {
		if !kept.is(secret) {
			continue
		}
		if kept.Expires == 0 || s.config.Now().Unix() < kept.Expires {
			return record, nil
		}
		expired = true
	}
	if expired {
		return record, refuse("invalid_client", 7000222, "The provided client secret keys for app '%s' are expired. Make a new secret.", record.AppID)
	}
	return record, refuse("invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", record.AppID)
}

func (s *Service) checkPrincipal(ctx context.Context, record applicationRecord) error {
	look := s.Look(access.Caller{TenantID: s.tenantID, ObjectID: record.ObjectID, AppID: record.AppID})
	recs, err := s.config.Store.Get(ctx, look.Ask())
	if err != nil {
		return err
	}
	if _, err := look.Caller(recs[0]); errors.Is(err, access.ErrPrincipalGone) {
		return refuse("unauthorized_client", 7000112, "Application '%s' is disabled.", record.AppID)
	} else if err != nil {
		return err
	}
	return nil
}

// resourceOf picks the one scope that ends in /.default and cuts exactly that off: the
// resource keeps a slash of its own. The words of OpenID Connect are ignored.
func resourceOf(scope string) (string, error) {
	resource := ""
	for word := range strings.FieldsSeq(scope) {
		if slices.Contains([]string{"openid", "profile", "offline_access", "email"}, word) {
			continue
		}
		cut, ok := strings.CutSuffix(word, "/.default")
		if !ok || cut == "" || resource != "" {
			return "", refuse("invalid_scope", 1002012, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", clip(scope))
		}
		resource = cut
	}
	if resource == "" {
		return "", refuse("invalid_scope", 70011, "The provided request must include a 'scope' input parameter, such as https://vault.azure.net/.default.")
	}
	return resource, nil
}

// ManagedIdentityToken returns a token for an application without its secret; the
// caller has shown by its place that it may have one.
func (s *Service) ManagedIdentityToken(ctx context.Context, o access.Origin, app Application, resource string) (Token, error) {
	record := applicationRecord{AppID: app.AppID, ObjectID: app.ObjectID}
	if !slices.Contains(s.config.Resources, strings.TrimSuffix(resource, "/")) {
		return Token{}, refuse("invalid_resource", 500011, "The resource principal named %s was not found in the tenant named %s.", clip(resource), s.tenantID)
	}
	if err := s.checkPrincipal(ctx, record); err != nil {
		return Token{}, err
	}
	if err := s.config.Gate.SignIn(ctx, o, gate.SignIn{TenantID: s.tenantID, AppID: app.AppID, ObjectID: app.ObjectID, Resource: resource, Outcome: "OK"}); err != nil {
		return Token{}, err
	}
	claims := token.Claims{AppID: app.AppID, ObjectID: app.ObjectID, AppIDACR: "2",
		ManagedIdentity: "/subscriptions/" + s.tenantID + "/resourcegroups/coffer/providers/Microsoft.ManagedIdentity/userAssignedIdentities/coffer"}
	return s.sign(ctx, claims, resource, managedIdentityLifetime)
}

// sign fills the claims that all tokens have.
func (s *Service) sign(ctx context.Context, c token.Claims, resource string, lifetime time.Duration) (Token, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return Token{}, err
	}
	id := uuid.New()
	now := s.config.Now().Truncate(time.Second)
	expires := now.Add(lifetime)
	c.Audience, c.Issuer, c.IdentityIssuer = resource, s.Issuer(), s.Issuer()
	c.IssuedAt, c.NotBefore, c.Expires = now.Unix(), now.Unix(), expires.Unix()
	c.IdentityType, c.Subject, c.TenantID, c.Version = "app", c.ObjectID, s.tenantID, "1.0"
	c.TokenID = base64.RawURLEncoding.EncodeToString(id[:])
	raw, err := token.Sign(key, c)
	if err != nil {
		return Token{}, err
	}
	return Token{Raw: raw, Resource: resource, ClientID: c.AppID, NotBefore: now, Expires: expires}, nil
}

// Ready reports, without waiting, whether the store can be read and there is a key to
// sign with.
func (s *Service) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
	default:
		return errors.New("tenant: the signing key is being made")
	}
	_, err := s.config.Store.Get(ctx, store.Ask{Key: tenantKey})
	return errors.Join(s.err, err)
}
