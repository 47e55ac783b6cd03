package tenant

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/token"
)

// A person is a user who signs in by a client.
type person struct {
	record userRecord
	groups []string
	client string
	family bool      // the client is one of the family
	since  time.Time // when the user signed in, which ends the refresh tokens
	scope  string    // what is granted
	asked  remembered
	issuer string // of the id_token
}

// remembered is what a client asked for when the user signed in. It is used again when a
// later request does not say.
type remembered struct {
	Scope    string `json:"scope,omitempty"`
	Resource string `json:"resource,omitempty"`
}

// familyClients are the tools of the service that are no confidential clients and that no
// directory lists. A refresh token of one is good for all of them.
var familyClients = []string{
	"04b07795-8ddb-461a-bbee-02f9e1bf7b46", // the command-line tool, and the libraries' default
	"1950a258-227b-4e31-a9cf-717495945fc2", // PowerShell
	"872cd9fa-d31f-45e0-9eab-6e460a02d1f1", // Visual Studio
	"aebc6443-996d-45c2-90f0-388ff96faa56", // Visual Studio Code
}

// The lifetimes of a user's tokens: access tokens have one between the two.
const (
	userLifetimeMin = 60 * time.Minute
	userLifetimeMax = 90 * time.Minute
)

// admitUser checks the client, the user, and what is asked for.
func (s *Service) admitUser(ctx context.Context, r TokenRequest) (t sought, err error) {
	t.app.AppID, t.claims.AppIDACR, err = s.checkUserClient(ctx, r)
	if err != nil {
		return t, err
	}
	p, err := s.signIn(ctx, t.app.AppID, r)
	t.app.ObjectID = p.record.ObjectID
	if err != nil {
		return t, err
	}
	if p.groups, err = s.checkUser(ctx, p.record, t.app.AppID); err != nil {
		return t, err
	}
	if r.Scope != "" || r.Resource != "" {
		p.asked = remembered{r.Scope, r.Resource}
	}
	if t.resource, p.scope, err = s.userResource(p.asked); err != nil {
		return t, err
	}
	p.client, p.family, p.issuer = t.app.AppID, slices.Contains(familyClients, t.app.AppID), r.IdentityIssuer
	t.user = &p
	if r.Grant == GrantDevice {
		if err := s.spendDevice(ctx, r.DeviceCode); err != nil {
			return t, err
		}
	}
	t.lifetime, err = userLifetime()
	return t, err
}

// signIn finds out who the user is.
func (s *Service) signIn(ctx context.Context, client string, r TokenRequest) (p person, err error) {
	switch r.Grant {
	case GrantPassword:
		p.since = s.config.Now()
		p.record, err = s.checkPassword(ctx, r.Username, r.Password)
		return p, err
	case GrantRefresh:
		return s.checkRefresh(ctx, client, r.RefreshToken)
	default:
		return s.checkDevice(ctx, client, r.DeviceCode)
	}
}

// checkUserClient returns the client's id and how it authenticated. An application that has
// credentials has to show one; the others, and the tools of the service, have none.
func (s *Service) checkUserClient(ctx context.Context, r TokenRequest) (id, how string, err error) {
	id, _ = guid(r.ClientID)
	record, _, err := s.application(ctx, id)
	public := errors.Is(err, ErrNotFound) && slices.Contains(familyClients, id) ||
		err == nil && len(record.Secrets)+len(record.Keys)+len(record.Federated) == 0
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return "", "", err
	case public && (r.ClientSecret != "" || r.Assertion != ""):
		return id, "", refuse("invalid_client", NumberPublicClient, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	case public:
		return id, byNothing, s.checkRegistered(ctx, record)
	}
	app, how, err := s.checkClient(ctx, r)
	if err != nil {
		return app.AppID, how, err
	}
	return app.AppID, how, s.checkPrincipal(ctx, app)
}

// checkRegistered looks at the principal of an application; the tools have none.
func (s *Service) checkRegistered(ctx context.Context, record applicationRecord) error {
	if record.AppID == "" {
		return nil
	}
	return s.checkPrincipal(ctx, record.application())
}

// userNamed reads a user; the zero record is of one that does not exist.
func (s *Service) userNamed(ctx context.Context, name string) (r userRecord, err error) {
	if len(name) > maxUserName {
		name = "-" // nobody's
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: userKey(strings.ReplaceAll(name, "\x00", "-"))})
	if err != nil || !recs[0].Exists() {
		return r, err
	}
	return s.openUser(recs[0])
}

func (s *Service) openUser(rec store.Record) (r userRecord, err error) {
	return r, s.open(rec, place(kindUser, strings.TrimPrefix(string(rec.Key), string(userPrefix))), &r)
}

// checkUser looks at the user as a principal, and returns its groups.
func (s *Service) checkUser(ctx context.Context, r userRecord, client string) ([]string, error) {
	look := s.Look(access.Caller{TenantID: s.tenantID, ObjectID: r.ObjectID, AppID: client})
	recs, err := s.config.Store.Get(ctx, look.Asks()...)
	if err != nil {
		return nil, err
	}
	known, err := look.Caller(recs)
	if errors.Is(err, access.ErrPrincipalGone) || err == nil && !known.User {
		return nil, refuse("invalid_grant", NumberUserDisabled, "The user account is disabled.")
	}
	return known.Groups, err
}

// userResource returns the one resource that is asked for, and the words that are granted
// of it. What a user may do is decided elsewhere, so every permission of a resource is the
// same: user_impersonation. Clients look for the words that they asked for.
func (s *Service) userResource(asked remembered) (resource, granted string, err error) {
	words := []string{}
	resource = asked.Resource
	for word := range strings.FieldsSeq(asked.Scope) {
		if slices.Contains(ignoredScopes, word) {
			words = append(words, word)
			continue
		}
		at := strings.LastIndexByte(word, '/')
		if asked.Resource != "" || at <= 0 || resource != "" && word[:at] != resource {
			return "", "", refuse("invalid_scope", NumberMalformedScope, "The provided value for the input parameter 'scope' is not valid: '%s'. It has to name permissions of one resource, such as https://vault.azure.net/.default.", clip(asked.Scope))
		}
		resource = word[:at]
		words = append(words, word)
	}
	if resource == "" {
		return "", "", refuse("invalid_scope", NumberMalformedScope, "The provided request must include a 'scope' input parameter, such as https://vault.azure.net/.default.")
	}
	for _, word := range []string{resource + "/.default", resource + "/user_impersonation"} {
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return resource, strings.Join(words, " "), s.checkResource(resource)
}

func userLifetime() (time.Duration, error) {
	more, err := rand.Int(rand.Reader, big.NewInt(int64((userLifetimeMax-userLifetimeMin)/time.Second)))
	if err != nil {
		return 0, err
	}
	return userLifetimeMin + time.Duration(more.Int64())*time.Second, nil
}

// claim fills the claims of a user's token.
func (p person) claim(c *token.Claims) {
	c.IdentityType, c.Scopes, c.Groups = "user", "user_impersonation", p.groups
	c.Name, c.UPN, c.UniqueName = p.record.DisplayName, p.record.Name, p.record.Name
}

// userToken makes what a client gets beside the access token with the claims.
func (s *Service) userToken(key *token.SigningKey, p person, c token.Claims) (*UserToken, error) {
	identity := token.Identity{
		Audience: p.client, Issuer: p.issuer, IssuedAt: c.IssuedAt, NotBefore: c.NotBefore, Expires: c.Expires, Name: c.Name, ObjectID: c.ObjectID,
		Preferred: c.UPN, UPN: c.UPN, Subject: c.Subject, TenantID: c.TenantID, TokenID: c.TokenID, Version: "2.0",
	}
	if identity.Issuer == "" || identity.Issuer == s.issuer {
		identity.Issuer, identity.Version = s.issuer, "1.0"
	}
	raw, err := token.SignIdentity(key, identity)
	if err != nil {
		return nil, err
	}
	refresh, err := s.newRefresh(p)
	return &UserToken{Scope: p.scope, Refresh: refresh, Identity: raw, ObjectID: c.ObjectID, TenantID: c.TenantID, Family: p.family}, err
}

// EnsureUser sees to it that there is a user with this id and name. It is for those who
// provision. The user has no password: what is written at first opens with none.
func (s *Service) EnsureUser(ctx context.Context, u User, admin bool) error {
	id, ok := guid(u.ID)
	if !ok {
		return fmt.Errorf("tenant: the object id %q of a user is not a GUID", clip(u.ID))
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: userKey(u.Name)}, store.Ask{Key: principalKey(id)})
	if err != nil {
		return err
	}
	recs[0].Key, recs[1].Key = userKey(u.Name), principalKey(id)
	record := userRecord{ObjectID: id, Name: u.Name, DisplayName: u.DisplayName, Created: s.config.Now().Unix()}
	if recs[0].Exists() {
		if record, err = s.openUser(recs[0]); err != nil || record.ObjectID == id && recs[1].Exists() {
			return err
		}
	}
	if record.ObjectID != id {
		return fmt.Errorf("tenant: the user %s has the object id %s, not %s", clip(u.Name), record.ObjectID, id)
	}
	if record.Salt == nil {
		record.Salt = make([]byte, saltSize)
		if _, err := rand.Read(record.Salt); err != nil {
			return err
		}
	}
	return s.system(ctx, "UserCreate", id, func(g seal.Grant) error {
		user, err := s.seal(g, place(kindUser, u.Name), record)
		if err != nil {
			return err
		}
		principal, err := s.seal(g, place(kindPrincipal, id), principalRecord{ObjectID: id, Enabled: true, Admin: admin})
		if err != nil {
			return err
		}
		return s.commit(ctx, change{recs[0], user}, change{recs[1], principal})
	})
}
