// Package tenant knows who there is: applications, their service principals and
// secrets, and the key that signs their tokens. It issues tokens and says who a token
// is of. What a caller may do in a vault is not decided here.
//
// An application is what signs in, and has secrets; its service principal is what
// permissions are given to. They are two records; an application can be without a service
// principal, and then does not sign in:
//
//	t/tenant        the tenant's id
//	t/app/{appid}   an application with its secrets
//	t/sp/{oid}      a service principal
//	t/key/signing   the key that signs tokens
//	t/user/{upn}    a user with a password
//	t/group/{oid}   a group; its members are in their principals'
//	t/device/{code} what was decided of a device code, by the code that a user types
//	t/roles         custom role definitions and all role assignments
//	t/directory     nothing but its revision: every change of the directory writes it
//
// All are sealed. They are read with the grant of decision inputs, and changed behind
// the gate, which writes every change to the audit log.
//
// # A token, from its issue to its use
//
// IssueToken checks an application's secret, signs, and has the sign-in written to the
// audit log before the token is given out. assertion.go has what an application can show
// instead of a secret; signin.go how users sign in, with guess.go's counting of bad
// guesses, refresh.go and device.go. Later a door calls Authenticate, which looks
// at the token alone. Whether its principal still exists and is enabled is not in the
// token: the vault asks that with Look, in the same snapshot as the object it is about.
// So a removal is in force for the next request.
//
// # Secrets
//
// A secret is made here, with 256 random bits, or derived by the caller from something
// as good. That is why a salted SHA-256 of it is enough to keep: there is nothing to
// guess. It is compared in constant time, and no error, log line or audit line has it.
//
// A password of a user is chosen by somebody, so Argon2id of it is kept.
//
// # The directory
//
// directory.go has what all of it shares: who may read and change, and in which order.
// Every principal of the tenant may read. An application, its credentials and its service
// principal are changed by its owners, and by those who administer the directory; users
// only by the latter. They alone make groups, too, and owners change them.
//
// # The signing key
//
// It is made once and kept, because clients cache tokens for longer than a server may
// run. On a fresh store it is made in the background; only who needs it waits, and
// Close does not.
package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/token"
)

// The errors of this package, beside *Error.
var (
	// ErrNotFound means that there is no such application, principal or secret.
	ErrNotFound = errors.New("tenant: not found")
	// ErrClosed means that the service was closed before the call could end.
	ErrClosed = errors.New("tenant: closed")
	// ErrUnavailable means that the store did not confirm a change, or does not answer: it may
	// have happened or not, and can be asked for again.
	ErrUnavailable = errors.New("tenant: the store did not confirm")
	// ErrTenant means that the store belongs to another tenant than Config names.
	ErrTenant = errors.New("tenant: the store is of another tenant")
)

// A Config wires a Service.
type Config struct {
	Store   store.Store
	Keyring *seal.Keyring
	Gate    *gate.Gate
	Now     func() time.Time // the wall clock
	Log     *slog.Logger
	// TenantID, a GUID, is the id of a tenant that is made; empty means a random one.
	// A tenant that exists has to have it.
	TenantID string
	// Issuer returns the iss claim of our tokens for a tenant id.
	Issuer func(tenantID string) string
	// Resources are the audiences, without a slash at the end, that tokens are issued
	// for.
	Resources []string
	// Assertions verifies tokens of outside issuers, by which applications sign in; nil: there
	// are none.
	Assertions Assertions
	// Bearers verifies access tokens of outside issuers, see outside.go; nil: only our own
	// are taken.
	Bearers Assertions
	// OwnAudiences are those of this installation alone. A token of a bearer issuer has one of
	// them: one that is meant for a service elsewhere is not taken here.
	OwnAudiences []string
	// DeviceUser is the name of the user for whom every device code is approved at once; empty:
	// an administrator approves each.
	DeviceUser string
}

// A Service answers for one tenant. It is safe for any number of goroutines.
type Service struct {
	config     Config
	tenantID   string
	issuer     string
	decoy      store.Record // opened where there is no application; see unknown
	principals *store.Cache[principalRecord]
	roles      *store.Cache[*roleTable]
	// The rest of the directory; see directory.go.
	applications *store.Cache[applicationRecord]
	users        *store.Cache[userRecord]
	groups       *store.Cache[groupRecord]
	changing     sync.Mutex // held while the directory is changed here; see changeDirectory
	verifier     *token.Verifier
	outside      outsideHints
	guesses      *guesses
	signer       signer
}

// Where the records are, and their kinds.
const (
	tenantKey  store.Key = "t/tenant"
	signingKey store.Key = "t/key/signing"
	rolesKey   store.Key = "t/roles"
	// directoryKey is the record that every change of the directory writes anew.
	directoryKey store.Key = "t/directory"

	kindTenant      = "tenant"
	kindApplication = "application"
	kindPrincipal   = "principal"
	kindSigningKey  = "signing-key"
	kindRoles       = "roles"
	kindUser        = "user"
	kindDevice      = "device"
	kindDirectory   = "directory"

	format = 1 // of every record here
)

func applicationKey(appID string) store.Key { return store.Key("t/app/" + strings.ToLower(appID)) }
func principalKey(oid string) store.Key     { return store.Key("t/sp/" + strings.ToLower(oid)) }

func place(kind, name string) seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: kind, Name: strings.ToLower(name), Object: kind, Format: format}
}

// tenantRecord is sealed, as is every struct of this package whose name ends in
// record. They are changed only by adding members, or under a new format.
type tenantRecord struct {
	ID string `json:"id"`
}

// Open reads the tenant, or makes it. The signing key may still be in the making when
// it returns.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{
		config: c, principals: store.NewCache[principalRecord](4096), roles: store.NewCache[*roleTable](1), verifier: token.NewVerifier(4096),
		applications: store.NewCache[applicationRecord](4096), users: store.NewCache[userRecord](4096), groups: store.NewCache[groupRecord](4096), guesses: newGuesses(maxGuessed),
		signer: signer{closing: make(chan struct{})},
	}
	rec, err := s.openTenant(ctx)
	if err != nil {
		return nil, err
	}
	s.decoy, s.issuer = rec, c.Issuer(s.tenantID)
	s.attempt()
	return s, nil
}

// openTenant sets the tenant's id, from its record or a new one.
func (s *Service) openTenant(ctx context.Context) (store.Record, error) {
	id := uuid.NewString()
	if want := s.config.TenantID; want != "" {
		var ok bool
		if id, ok = guid(want); !ok {
			return store.Record{}, fmt.Errorf("tenant: the tenant id %q is not a GUID", clip(want))
		}
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: tenantKey})
	if err != nil {
		return store.Record{}, err
	}
	rec := recs[0]
	if !rec.Exists() {
		if rec, err = s.putFirst(ctx, "TenantCreate", tenantKey, place(kindTenant, ""), tenantRecord{ID: id}); err != nil {
			return rec, fmt.Errorf("tenant: the tenant cannot be made: %w", err)
		}
	}
	var record tenantRecord
	if err := s.open(rec, place(kindTenant, ""), &record); err != nil {
		return rec, err
	}
	if s.config.TenantID != "" && record.ID != id {
		return rec, fmt.Errorf("%w: it has %s, not %s; use that id, or another store", ErrTenant, record.ID, id)
	}
	s.tenantID = record.ID
	return rec, nil
}

// TenantID returns the tenant's id, a GUID.
func (s *Service) TenantID() string { return s.tenantID }

// Issuer returns the iss claim of our tokens.
func (s *Service) Issuer() string { return s.issuer }

// Ready reports, without waiting, whether the store can be read and there is a key to
// sign with.
func (s *Service) Ready(ctx context.Context) error {
	select {
	case <-s.attempt().ended:
	default:
		return errors.New("tenant: the signing key is being made")
	}
	if _, err := s.signingKey(ctx); err != nil {
		return err
	}
	_, err := s.config.Store.Get(ctx, store.Ask{Key: tenantKey})
	return err
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

// putFirst makes the record at key, unless there is one, and returns the one that is
// there then. Of two nodes that make it at once, both get the first one's.
func (s *Service) putFirst(ctx context.Context, operation string, key store.Key, at seal.Place, value any) (store.Record, error) {
	var rec store.Record
	err := s.system(ctx, operation, "", func(g seal.Grant) error {
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

// A change is one record to be written, or removed if there is no box.
type change struct {
	was store.Record
	box []byte
}

// commit makes all changes or none. The error is store.ErrChanged when one of the
// records is no longer as it was.
func (s *Service) commit(ctx context.Context, changes ...change) error {
	return s.config.Store.Update(ctx, func(tx store.Tx) error {
		for _, c := range changes {
			if err := c.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply finds its own work when a commit that did happen is run again.
func (c change) apply(tx store.Tx) error {
	rec, err := tx.Get(c.was.Key)
	switch {
	case err != nil:
		return err
	case c.box == nil && !rec.Exists(), c.box != nil && bytes.Equal(rec.Body, c.box):
		return nil
	case c.box == nil:
		return tx.Delete(c.was.Key, c.was.Revision)
	}
	return tx.Put(c.was.Key, c.was.Revision, c.box)
}

// maxTries is how often a change is made again on top of another's at the same time, and
// firstRest the rest that grows with every further try, so that many nodes with changes of
// the same thing all come to an end.
const (
	maxTries  = 20
	firstRest = 2 * time.Millisecond
)

// retry runs a change again that came between another one's reading and writing.
func retry(ctx context.Context, change func() error) error {
	for try := 1; ; try++ {
		err := change()
		if !errors.Is(err, store.ErrChanged) || try == maxTries {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(try) * firstRest)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// explain marks what comes of a store that is away, or of too many changes at once, with
// ErrUnavailable.
func explain(err error) error {
	if errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrChanged) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// guid returns a GUID in lower case. Only the plain form of 36 characters is one.
func guid(text string) (string, bool) {
	if len(text) != 36 || uuid.Validate(text) != nil {
		return "", false
	}
	return strings.ToLower(text), true
}

// clip bounds a text of a request that goes into an error.
func clip(text string) string {
	if len(text) > 128 {
		text = text[:128]
	}
	return strings.ToValidUTF8(text, "")
}
