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
)

const (
	secretSize = 32 // bytes of a secret that is made here
	saltSize   = 16 // bytes
	maxSecrets = 100
	secretSkew = 5 * time.Minute
)

// secretRecord is what is kept of a secret.
type secretRecord struct {
	ID      string `json:"id"`
	Salt    []byte `json:"salt"`
	Hash    []byte `json:"hash"`          // SHA-256 of salt and secret
	Expires int64  `json:"exp,omitempty"` // Unix seconds; zero: never

	DisplayName string `json:"name,omitempty"`
	Start       int64  `json:"start,omitempty"` // Unix seconds
	Hint        string `json:"hint,omitempty"`  // the first three characters
	OfPrincipal bool   `json:"sp,omitempty"`    // shown at the service principal, and removed with it
}

// newSecret makes a secret and what is kept of it.
func newSecret(expires time.Time) (string, secretRecord, error) {
	return randomSecret(secretSize, expires)
}

func randomSecret(size int, expires time.Time) (string, secretRecord, error) {
	random := make([]byte, size)
	if _, err := rand.Read(random); err != nil {
		return "", secretRecord{}, err
	}
	// A letter first: command-line tools take what begins with a hyphen for an option.
	secret := "c" + base64.RawURLEncoding.EncodeToString(random)
	kept, err := keepSecret(secret, expires)
	return secret, kept, err
}

func keepSecret(secret string, expires time.Time) (secretRecord, error) {
	r := secretRecord{ID: uuid.NewString(), Salt: make([]byte, saltSize)}
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

// begun reports whether the secret may be used already. Clocks that differ a little do not
// make a new secret useless.
func (r secretRecord) begun(now time.Time) bool { return r.Start <= now.Add(secretSkew).Unix() }

// live reports whether the secret may still be used at a time.
func (r secretRecord) live(now time.Time) bool { return r.Expires == 0 || now.Unix() < r.Expires }

// AddSecret gives an application one more secret, which is returned here and never
// again. The zero time means that it does not expire. The error is ErrNotFound when
// there is no such application.
func (s *Service) AddSecret(ctx context.Context, appID string, expires time.Time) (id, secret string, err error) {
	secret, kept, err := newSecret(expires)
	if err != nil {
		return "", "", err
	}
	err = s.changeApplication(ctx, "ApplicationSecretAdd", appID, func(a *applicationRecord) error {
		if len(a.Secrets) >= maxSecrets {
			return fmt.Errorf("tenant: the application %s has %d secrets, the most there may be; remove one first", a.AppID, maxSecrets)
		}
		a.Secrets = append(a.Secrets, kept)
		return nil
	})
	if err != nil {
		return "", "", err
	}
	return kept.ID, secret, nil
}

// RemoveSecret removes a secret; it stops working at once. The error is ErrNotFound
// when there is no such application or secret.
func (s *Service) RemoveSecret(ctx context.Context, appID, id string) error {
	return s.changeApplication(ctx, "ApplicationSecretRemove", appID, func(a *applicationRecord) error {
		before := len(a.Secrets)
		a.Secrets = slices.DeleteFunc(a.Secrets, func(r secretRecord) bool { return r.ID == id })
		if len(a.Secrets) == before {
			return fmt.Errorf("%w: the application %s has no secret %s", ErrNotFound, a.AppID, clip(id))
		}
		return nil
	})
}
