package tenant

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
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
	ObjectID    string         `json:"oid"`
	DisplayName string         `json:"name"`
	Secrets     []secretRecord `json:"secrets"`
}

// secretRecord is what is kept of a secret.
type secretRecord struct {
	ID      string `json:"id"`
	Salt    []byte `json:"salt"`
	Hash    []byte `json:"hash"`          // SHA-256 of salt and secret
	Expires int64  `json:"exp,omitempty"` // Unix seconds; zero: never
}

// secretSize is how many random bytes a secret has that is made here.
const secretSize = 32

func newSecretRecord(secret string, expires time.Time) (secretRecord, error) {
	r := secretRecord{ID: uuid.NewString(), Salt: make([]byte, 16)}
	if _, err := rand.Read(r.Salt); err != nil {
		return r, err
	}
	r.Hash = hashSecret(r.Salt, secret)
	if !expires.IsZero() {
		r.Expires = expires.Unix()
	}
	return r, nil
}

func hashSecret(salt []byte, secret string) []byte {
	hash := sha256.New()
	hash.Write(salt)
	hash.Write([]byte(secret))
	return hash.Sum(nil)
}

// is compares in constant time.
func (r secretRecord) is(secret string) bool {
	return subtle.ConstantTimeCompare(r.Hash, hashSecret(r.Salt, secret)) == 1
}

// CreateApplication makes an application with its service principal and one secret,
// which is returned here and never again.
func (s *Service) CreateApplication(ctx context.Context, displayName string) (Application, string, error) {
	random := make([]byte, secretSize)
	if _, err := rand.Read(random); err != nil {
		return Application{}, "", err
	}
	secret := base64.RawURLEncoding.EncodeToString(random)
	app := Application{AppID: uuid.NewString(), ObjectID: uuid.NewString(), DisplayName: displayName}
	return app, secret, s.EnsureApplication(ctx, app, secret)
}

// EnsureApplication makes the application with the ids given, or gives an existing one
// this one secret.
func (s *Service) EnsureApplication(ctx context.Context, app Application, secret string) error {
	kept, err := newSecretRecord(secret, time.Time{})
	if err != nil {
		return err
	}
	record := applicationRecord{AppID: app.AppID, ObjectID: app.ObjectID, DisplayName: app.DisplayName, Secrets: []secretRecord{kept}}
	principal := Principal{ObjectID: app.ObjectID, AppID: app.AppID, Enabled: true}
	return s.system(ctx, "ApplicationCreate", app.AppID, func(g seal.Grant) error {
		return s.putAll(ctx, g,
			sealed{applicationKey(app.AppID), place(kindApplication, app.AppID), record},
			sealed{principalKey(app.ObjectID), place(kindPrincipal, app.ObjectID), principal})
	})
}

// sealed is a record to be put, whatever is there.
type sealed struct {
	key   store.Key
	at    seal.Place
	value any
}

func (s *Service) putAll(ctx context.Context, g seal.Grant, all ...sealed) error {
	boxes := make([][]byte, len(all))
	for i, one := range all {
		var err error
		if boxes[i], err = s.seal(g, one.at, one.value); err != nil {
			return err
		}
	}
	return s.config.Store.Update(ctx, func(tx store.Tx) error {
		for i, one := range all {
			rec, err := tx.Get(one.key)
			if err != nil {
				return err
			}
			if err := tx.Put(one.key, rec.Revision, boxes[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddSecret gives an application one more secret, which is returned here and never
// again. The zero time means that it does not expire.
func (s *Service) AddSecret(ctx context.Context, appID string, expires time.Time) (id, secret string, err error) {
	random := make([]byte, secretSize)
	if _, err := rand.Read(random); err != nil {
		return "", "", err
	}
	secret = base64.RawURLEncoding.EncodeToString(random)
	kept, err := newSecretRecord(secret, expires)
	if err != nil {
		return "", "", err
	}
	err = s.changeApplication(ctx, "ApplicationSecretAdd", appID, func(a *applicationRecord) { a.Secrets = append(a.Secrets, kept) })
	return kept.ID, secret, err
}

// RemoveSecret removes a secret; it stops working at once.
func (s *Service) RemoveSecret(ctx context.Context, appID, id string) error {
	return s.changeApplication(ctx, "ApplicationSecretRemove", appID, func(a *applicationRecord) {
		a.Secrets = slices.DeleteFunc(a.Secrets, func(r secretRecord) bool { return r.ID == id })
	})
}

func (s *Service) changeApplication(ctx context.Context, operation, appID string, change func(*applicationRecord)) error {
	return s.system(ctx, operation, appID, func(g seal.Grant) error {
		record, rec, err := s.application(ctx, appID)
		if err != nil {
			return err
		}
		change(&record)
		box, err := s.seal(g, place(kindApplication, appID), record)
		if err != nil {
			return err
		}
		return s.config.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(rec.Key, rec.Revision, box) })
	})
}

// application reads an application; the error is errNotFound when there is none.
func (s *Service) application(ctx context.Context, appID string) (applicationRecord, store.Record, error) {
	var record applicationRecord
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: applicationKey(appID)})
	if err != nil {
		return record, store.Record{}, err
	}
	if !recs[0].Exists() {
		return record, recs[0], errNotFound
	}
	return record, recs[0], s.open(recs[0], place(kindApplication, appID), &record)
}

// RemoveApplication removes an application and its service principal. Their tokens are
// refused from the next request on.
func (s *Service) RemoveApplication(ctx context.Context, appID string) error {
	return s.system(ctx, "ApplicationDelete", appID, func(seal.Grant) error {
		record, _, err := s.application(ctx, appID)
		if err != nil {
			return err
		}
		return s.config.Store.Update(ctx, func(tx store.Tx) error {
			for _, key := range []store.Key{applicationKey(appID), principalKey(record.ObjectID)} {
				rec, err := tx.Get(key)
				if err != nil {
					return err
				}
				if !rec.Exists() {
					continue
				}
				if err := tx.Delete(key, rec.Revision); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// SetEnabled enables or disables a service principal, from the next request on.
func (s *Service) SetEnabled(ctx context.Context, app Application, enabled bool) error {
	operation := "PrincipalDisable"
	if enabled {
		operation = "PrincipalEnable"
	}
	return s.system(ctx, operation, app.ObjectID, func(g seal.Grant) error {
		recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(app.ObjectID)})
		if err != nil {
			return err
		}
		if !recs[0].Exists() {
			return fmt.Errorf("%w: %s", errNotFound, app.ObjectID)
		}
		var p Principal
		at := place(kindPrincipal, app.ObjectID)
		if err := s.open(recs[0], at, &p); err != nil {
			return err
		}
		p.Enabled = enabled
		box, err := s.seal(g, at, p)
		if err != nil {
			return err
		}
		return s.config.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(recs[0].Key, recs[0].Revision, box) })
	})
}
