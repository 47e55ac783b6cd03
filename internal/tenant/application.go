package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// An Application is what signs in.
type Application struct {
	AppID       string // GUID, claim appid
	ObjectID    string // GUID of its service principal, claim oid
	DisplayName string
}

type applicationRecord struct {
	AppID       string         `json:"appid"`
	ObjectID    string         `json:"oid"` // of its service principal; empty while it has none
	DisplayName string         `json:"name"`
	Secrets     []secretRecord `json:"secrets"`

	// What the directory shows of the application beyond that.
	ID             string            `json:"id,omitempty"` // object id of the application itself; empty: the one derived from AppID
	IdentifierURIs []string          `json:"uris,omitempty"`
	Owners         []string          `json:"owners,omitempty"` // object ids of principals that may change it
	Created        int64             `json:"created,omitempty"`
	Keys           []keyRecord       `json:"keys,omitempty"`
	Federated      []federatedRecord `json:"federated,omitempty"`
}

// keyRecord is a certificate by whose key an application can sign in.
type keyRecord struct {
	ID          string `json:"id"`
	DisplayName string `json:"name,omitempty"`
	Certificate []byte `json:"certificate"` // DER
	Start       int64  `json:"start"`       // Unix seconds
	Expires     int64  `json:"exp"`
	OfPrincipal bool   `json:"sp,omitempty"` // shown at the service principal, and removed with it
}

// federatedRecord lets an application sign in by a token of an outside issuer.
type federatedRecord struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Audiences   []string `json:"audiences"`
	// Bearer says that an administrator made it while its issuer was one of access tokens.
	Bearer bool `json:"bearer,omitempty"`
}

// userRecord is somebody who signs in with a password that Coffer holds. What permissions
// are given to is the principalRecord of the same object id, whose AppID is empty.
type userRecord struct {
	ObjectID    string `json:"oid"`
	Name        string `json:"upn"` // userPrincipalName
	DisplayName string `json:"name"`
	Salt        []byte `json:"salt"`
	Hash        []byte `json:"hash"` // Argon2id
	Failures    int    `json:"failures,omitempty"`
	LockedUntil int64  `json:"locked,omitempty"` // Unix seconds
	Created     int64  `json:"created"`

	Identities []identityRecord `json:"identities,omitempty"`
}

func (r applicationRecord) application() Application {
	return Application{AppID: r.AppID, ObjectID: r.ObjectID, DisplayName: r.DisplayName}
}

// CreateApplication makes an application with its service principal and one secret,
// which is returned here and never again.
func (s *Service) CreateApplication(ctx context.Context, displayName string) (Application, string, error) {
	secret, kept, err := newSecret(time.Time{})
	if err != nil {
		return Application{}, "", err
	}
	app := Application{AppID: uuid.NewString(), ObjectID: uuid.NewString(), DisplayName: displayName}
	if err := s.system(ctx, "ApplicationCreate", app.AppID, func(g seal.Grant) error {
		return s.putApplication(ctx, g, pair{}, app, kept)
	}); err != nil {
		return Application{}, "", err
	}
	return app, secret, nil
}

// EnsureApplication sees to it that the application exists with these ids and this one
// secret, which has to be as hard to guess as 256 random bits. When all is so already,
// nothing is written. A service principal that exists is left as it is, disabled or not, and
// what else the directory has of the application stays.
func (s *Service) EnsureApplication(ctx context.Context, app Application, secret string) error {
	for name, id := range map[string]string{"client": app.AppID, "object": app.ObjectID} {
		if _, ok := guid(id); !ok {
			return fmt.Errorf("tenant: the %s id %q of an application is not a GUID", name, clip(id))
		}
	}
	if secret == "" {
		return errors.New("tenant: an application needs a secret")
	}
	kept, err := keepSecret(secret, time.Time{})
	if err != nil {
		return err
	}
	app.AppID, app.ObjectID = strings.ToLower(app.AppID), strings.ToLower(app.ObjectID)
	return retry(ctx, func() error { return s.ensureApplication(ctx, app, secret, kept) })
}

func (s *Service) ensureApplication(ctx context.Context, app Application, secret string, kept secretRecord) error {
	found, err := s.pair(ctx, app)
	if err != nil {
		return err
	}
	if found.application.Exists() {
		var record applicationRecord
		if err := s.open(found.application, place(kindApplication, app.AppID), &record); err != nil {
			return err
		}
		if record.ObjectID != "" && record.ObjectID != app.ObjectID {
			return fmt.Errorf("tenant: the application %s has the service principal %s, not %s", app.AppID, record.ObjectID, app.ObjectID)
		}
		if found.principal.Exists() && len(record.Secrets) == 1 && record.Secrets[0].is(secret) && record.Secrets[0].Expires == 0 {
			return nil
		}
	}
	return s.system(ctx, "ApplicationCreate", app.AppID, func(g seal.Grant) error {
		return s.putApplication(ctx, g, found, app, kept)
	})
}

// A pair is what is in the store of an application and its service principal.
type pair struct{ application, principal store.Record }

func (s *Service) pair(ctx context.Context, app Application) (pair, error) {
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: applicationKey(app.AppID)}, store.Ask{Key: principalKey(app.ObjectID)})
	if err != nil {
		return pair{}, err
	}
	return pair{recs[0], recs[1]}, nil
}

// putApplication writes both records; was is what is there now. An existing principal
// stays, and so do the members that are not given here.
func (s *Service) putApplication(ctx context.Context, g seal.Grant, was pair, app Application, kept secretRecord) error {
	was.application.Key, was.principal.Key = applicationKey(app.AppID), principalKey(app.ObjectID)
	record := applicationRecord{Created: s.config.Now().Unix()}
	if was.application.Exists() {
		record = applicationRecord{}
		if err := s.open(was.application, place(kindApplication, app.AppID), &record); err != nil {
			return err
		}
	}
	record.AppID, record.ObjectID, record.DisplayName, record.Secrets = app.AppID, app.ObjectID, app.DisplayName, []secretRecord{kept}
	box, err := s.seal(g, place(kindApplication, app.AppID), record)
	if err != nil {
		return err
	}
	changes := []change{{was.application, box}}
	if !was.principal.Exists() {
		box, err := s.seal(g, place(kindPrincipal, app.ObjectID), principalRecord{ObjectID: app.ObjectID, AppID: app.AppID, Enabled: true})
		if err != nil {
			return err
		}
		changes = append(changes, change{was.principal, box})
	}
	return s.commit(ctx, changes...)
}

// GetApplication returns an application to those who provision. The error is
// ErrNotFound when there is none.
func (s *Service) GetApplication(ctx context.Context, appID string) (Application, error) {
	record, _, err := s.application(ctx, appID)
	return record.application(), err
}

// application reads an application; the error is ErrNotFound when there is none.
func (s *Service) application(ctx context.Context, appID string) (applicationRecord, store.Record, error) {
	var record applicationRecord
	id, ok := guid(appID)
	if !ok {
		return record, store.Record{}, fmt.Errorf("%w: a client id is a GUID", ErrNotFound)
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: applicationKey(id)})
	if err != nil {
		return record, store.Record{}, err
	}
	if !recs[0].Exists() {
		return record, recs[0], fmt.Errorf("%w: there is no application %s", ErrNotFound, id)
	}
	return record, recs[0], s.open(recs[0], place(kindApplication, id), &record)
}

// changeApplication reads, changes and writes an application, again if another change
// came in between. The function may be called more than once, with what is stored.
func (s *Service) changeApplication(ctx context.Context, operation, appID string, edit func(*applicationRecord) error) error {
	return s.system(ctx, operation, clip(appID), func(g seal.Grant) error {
		return retry(ctx, func() error {
			record, was, err := s.application(ctx, appID)
			if err != nil {
				return err
			}
			if err := edit(&record); err != nil {
				return err
			}
			box, err := s.seal(g, place(kindApplication, appID), record)
			if err != nil {
				return err
			}
			return s.commit(ctx, change{was, box})
		})
	})
}

// RemoveApplication removes an application, its service principal and its role assignments.
// Its tokens are refused from the next request on. The error is ErrNotFound when there is none.
func (s *Service) RemoveApplication(ctx context.Context, appID string) error {
	return s.system(ctx, "ApplicationDelete", clip(appID), func(g seal.Grant) error {
		return retry(ctx, func() error {
			record, _, err := s.application(ctx, appID)
			if err != nil {
				return err
			}
			recs, err := s.config.Store.Get(ctx, store.Ask{Key: applicationKey(record.AppID)}, store.Ask{Key: principalKey(record.ObjectID)}, store.Ask{Key: rolesKey}, store.Ask{Key: directoryKey})
			if err != nil {
				return err
			}
			changes, err := s.removal(g, recs[2], recs[0], recs[1], record.ObjectID)
			if err != nil {
				return err
			}
			mark, err := s.mark(g, recs[3])
			if err != nil {
				return err
			}
			return s.commit(ctx, append(changes, mark)...)
		})
	})
}
