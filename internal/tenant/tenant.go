// Package tenant knows who there is: applications, their service principals and
// secrets, and the key that signs their tokens. It issues tokens and says who a token
// is of. What a caller may do in a vault is not decided here.
//
// An application is what signs in, and has secrets; its service principal is what
// permissions are given to. They are two records, made and removed together:
//
//	t/tenant        the tenant's id
//	t/app/{appid}   an application with its secrets
//	t/sp/{oid}      a service principal
//	t/key/signing   the key that signs tokens
//
// All are sealed. Secrets are kept as salted SHA-256: they are made by machines, with
// 256 bits, so that nothing slower is needed. The signing key is made in the
// background on a fresh store; only who needs a token waits for it.
package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/token"
)

// A Config wires a Service.
type Config struct {
	Store   store.Store
	Keyring *seal.Keyring
	Gate    *gate.Gate
	Now     func() time.Time // the wall clock
	Log     *slog.Logger
	// Issuer returns the iss claim of our tokens for a tenant id.
	Issuer func(tenantID string) string
	// Resources are the audiences, without a slash at the end, that tokens are issued
	// for.
	Resources []string
}

// A Service answers for one tenant. It is safe for any number of goroutines.
type Service struct {
	config     Config
	tenantID   string
	principals *store.Cache[Principal]
	verifier   *token.Verifier

	signing sync.WaitGroup
	ready   chan struct{} // closed when key or err is set
	key     *token.SigningKey
	err     error
}

// Where the records are, and their kinds.
const (
	tenantKey  store.Key = "t/tenant"
	signingKey store.Key = "t/key/signing"

	kindTenant      = "tenant"
	kindApplication = "application"
	kindPrincipal   = "principal"
	kindSigningKey  = "signing-key"

	format = 1
)

func applicationKey(appID string) store.Key { return store.Key("t/app/" + strings.ToLower(appID)) }
func principalKey(oid string) store.Key     { return store.Key("t/sp/" + strings.ToLower(oid)) }

func place(kind, name string) seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: kind, Name: strings.ToLower(name), Object: kind, Format: format}
}

// tenantRecord is sealed; so is every struct named record here.
type tenantRecord struct {
	ID string `json:"id"`
}

// Open reads the tenant, or makes it. The signing key may still be in the making when
// it returns.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{config: c, principals: store.NewCache[Principal](4096), verifier: token.NewVerifier(4096), ready: make(chan struct{})}
	recs, err := c.Store.Get(ctx, store.Ask{Key: tenantKey}, store.Ask{Key: signingKey})
	if err != nil {
		return nil, err
	}
	if recs[0], err = s.ensure(ctx, "TenantCreate", tenantKey, place(kindTenant, ""), recs[0], func() (any, error) {
		return tenantRecord{ID: uuid.NewString()}, nil
	}); err != nil {
		return nil, fmt.Errorf("tenant: the tenant cannot be made: %w", err)
	}
	var record tenantRecord
	if err := s.open(recs[0], place(kindTenant, ""), &record); err != nil {
		return nil, err
	}
	s.tenantID = record.ID
	s.signing.Go(func() {
		s.key, s.err = s.loadSigningKey(ctx, recs[1])
		close(s.ready)
	})
	return s, nil
}

// Close waits for what goes on in the background.
func (s *Service) Close() { s.signing.Wait() }

// TenantID returns the tenant's id, a GUID.
func (s *Service) TenantID() string { return s.tenantID }

// Issuer returns the iss claim of our tokens.
func (s *Service) Issuer() string { return s.config.Issuer(s.tenantID) }

func (s *Service) loadSigningKey(ctx context.Context, rec store.Record) (*token.SigningKey, error) {
	at := place(kindSigningKey, "")
	rec, err := s.ensure(context.WithoutCancel(ctx), "SigningKeyCreate", signingKey, at, rec, func() (any, error) {
		key, err := token.NewSigningKey(s.config.Now())
		if err != nil {
			return nil, err
		}
		data, err := key.Marshal()
		return json.RawMessage(data), err
	})
	if err != nil {
		return nil, fmt.Errorf("tenant: there is no key to sign tokens with: %w", err)
	}
	plain, _, err := s.config.Keyring.Open(s.config.Gate.Inputs(), at, rec.Body)
	if err != nil {
		return nil, err
	}
	return token.ParseSigningKey(plain)
}

// ensure returns the record at key, made if there is none. Of two nodes that make it at
// once, both get the first one's.
func (s *Service) ensure(ctx context.Context, operation string, key store.Key, at seal.Place, rec store.Record, make func() (any, error)) (store.Record, error) {
	if rec.Exists() {
		return rec, nil
	}
	value, err := make()
	if err != nil {
		return rec, err
	}
	err = s.system(ctx, operation, "", func(g seal.Grant) error {
		box, err := s.seal(g, at, value)
		if err != nil {
			return err
		}
		return s.config.Store.Update(ctx, func(tx store.Tx) error {
			if rec, err = tx.Get(key); err != nil || rec.Exists() {
				return err
			}
			rec.Body = box
			return tx.Put(key, 0, box)
		})
	})
	return rec, err
}

// system runs a change that no caller asked for, behind the gate.
func (s *Service) system(ctx context.Context, operation, object string, fn func(seal.Grant) error) error {
	return s.config.Gate.System(ctx, "tenant", gate.Operation{Name: operation}, gate.Subject{Object: object}, fn)
}

func (s *Service) seal(g seal.Grant, at seal.Place, value any) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return s.config.Keyring.Seal(g, at, plain)
}

// open opens a record that decisions are made of.
func (s *Service) open(rec store.Record, at seal.Place, into any) error {
	plain, opened, err := s.config.Keyring.Open(s.config.Gate.Inputs(), at, rec.Body)
	if err != nil {
		return err
	}
	if opened.Format != format {
		return fmt.Errorf("tenant: a record has format %d; this version of Coffer reads %d", opened.Format, format)
	}
	return json.Unmarshal(plain, into)
}

// PublicKeys returns what verifies our tokens, for the JWKS document. It waits for a
// key that is in the making.
func (s *Service) PublicKeys(ctx context.Context) ([]token.PublicKey, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	return []token.PublicKey{key.Public()}, nil
}

func (s *Service) signingKey(ctx context.Context) (*token.SigningKey, error) {
	select {
	case <-s.ready:
		return s.key, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keysRevision tells the verifier about changes of the keys; there is one key so far.
const keysRevision = 1

// Authenticate returns who a token is of. It says nothing about whether the principal
// still exists: Look does. The error is a *token.Error for a token that is refused.
func (s *Service) Authenticate(ctx context.Context, raw string, audiences []string) (access.Caller, error) {
	keys, err := s.PublicKeys(ctx)
	if err != nil {
		return access.Caller{}, err
	}
	claims, err := s.verifier.Verify(raw, keysRevision, token.Expect{
		Issuers:   []token.Issuer{{Name: s.Issuer(), TenantID: s.tenantID, Keys: keys}},
		Audiences: audiences, Now: s.config.Now(),
	})
	if err != nil {
		return access.Caller{}, err
	}
	return access.Caller{TenantID: claims.TenantID, ObjectID: claims.ObjectID, AppID: claims.AppID, Issuer: claims.Issuer}, nil
}

// A Principal is a service principal.
type Principal struct {
	ObjectID string   `json:"oid"`
	AppID    string   `json:"appid"`
	Enabled  bool     `json:"enabled"`
	Groups   []string `json:"groups,omitempty"`
}

// A Look is one look-up of a caller's principal under way.
type Look struct {
	service *Service
	caller  access.Caller
	record  store.Look[Principal]
}

// Look begins the look-up of the caller's principal.
func (s *Service) Look(caller access.Caller) Look {
	return Look{service: s, caller: caller, record: s.principals.Look(principalKey(caller.ObjectID))}
}

// Ask names the record that the store is to answer.
func (l Look) Ask() store.Ask { return l.record.Ask() }

// Caller returns the caller with the groups of its principal. The error is
// access.ErrPrincipalGone when it was removed or disabled, or is another application's.
func (l Look) Caller(rec store.Record) (access.Caller, error) {
	p, ok, err := l.record.Value(rec, func(rec store.Record) (p Principal, err error) {
		return p, l.service.open(rec, place(kindPrincipal, l.caller.ObjectID), &p)
	})
	if err != nil {
		return access.Caller{}, err
	}
	if !ok || !p.Enabled || !strings.EqualFold(p.AppID, l.caller.AppID) {
		return access.Caller{}, access.ErrPrincipalGone
	}
	caller := l.caller
	caller.Groups = p.Groups
	return caller, nil
}

// errNotFound is what removed and unknown applications have in common.
var errNotFound = errors.New("tenant: there is no such application")
