package tenant

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A User signs in with a password.
type User struct {
	ID          string // object id
	Name        string // userPrincipalName: NAME@DOMAIN
	DisplayName string
	Enabled     bool
	Created     time.Time
}

func userKey(name string) store.Key { return store.Key("t/user/" + strings.ToLower(name)) }

// The cost of a password (RFC 9106 with the parameters of a small server), and its bounds.
const (
	argonTime   = 2
	argonMemory = 19 << 10 // KiB
	argonLanes  = 1
	hashSize    = 32
	minPassword = 8
	maxPassword = 256
	maxUserName = 113 // of a userPrincipalName, as in the service
)

// hashing bounds how many passwords are hashed at a time, and so the memory.
var hashing = make(chan struct{}, 4)

func hashPassword(salt []byte, password string) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, hashSize)
}

// is compares in constant time.
func (r userRecord) is(password string) bool {
	return len(password) <= maxPassword && subtle.ConstantTimeCompare(r.Hash, hashPassword(r.Salt, password)) == 1
}

func (r *userRecord) setPassword(password string) (err error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return badInput("A password has %d to %d characters.", minPassword, maxPassword)
	}
	if r.Salt, err = newSalt(); err != nil {
		return err
	}
	r.Hash = hashPassword(r.Salt, password)
	r.Failures, r.LockedUntil = 0, 0
	return nil
}

func (r userRecord) user(p principalRecord) User {
	return User{ID: r.ObjectID, Name: r.Name, DisplayName: r.DisplayName, Enabled: p.Enabled, Created: time.Unix(r.Created, 0)}
}

// ListUsers returns the users that match.
func (s *Service) ListUsers(ctx context.Context, caller access.Caller, match func(User) bool) (out []User, err error) {
	err = s.readDirectory(ctx, caller, "UserList", "", func(access.Caller) error {
		return s.scan(ctx, "t/user/", func(rec store.Record) error {
			r, err := s.openUser(rec)
			if err != nil {
				return err
			}
			if one := r.user(principalRecord{Enabled: true}); match(one) {
				out = append(out, one)
			}
			return nil
		})
	})
	return out, err
}

func (s *Service) openUser(rec store.Record) (r userRecord, err error) {
	return r, s.open(rec, place(kindUser, string(rec.Key[len("t/user/"):])), &r)
}

// FindUser returns a user by object id or name. The error is ErrNotFound.
func (s *Service) FindUser(ctx context.Context, caller access.Caller, id string) (User, error) {
	found, err := s.ListUsers(ctx, caller, func(u User) bool { return strings.EqualFold(u.ID, id) || strings.EqualFold(u.Name, id) })
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return User{}, err
	}
	return found[0], nil
}

// CreateUser makes a user. Only administrators of the directory may.
func (s *Service) CreateUser(ctx context.Context, caller access.Caller, u User, password string) (User, error) {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return User{}, err
	}
	record := userRecord{ObjectID: uuid.NewString(), Name: u.Name, DisplayName: u.DisplayName, Created: s.config.Now().Unix()}
	err = s.config.Gate.Write(ctx, directoryRequest(known, "UserCreate", clip(u.Name), known.Admin), func(g seal.Grant) error {
		return s.putUser(ctx, g, &record, password, false)
	})
	return record.user(principalRecord{Enabled: true}), err
}

// putUser makes a user with its principal.
func (s *Service) putUser(ctx context.Context, g seal.Grant, record *userRecord, password string, admin bool) error {
	local, domain, ok := strings.Cut(record.Name, "@")
	if !ok || local == "" || domain == "" || len(record.Name) > maxUserName || strings.ContainsAny(record.Name, "/ \x00") {
		return badInput("A userPrincipalName has the form NAME@DOMAIN, and up to %d characters.", maxUserName)
	}
	if record.DisplayName == "" || len(record.DisplayName) > maxDisplayName {
		return badInput("A user needs a displayName of up to %d characters.", maxDisplayName)
	}
	if err := record.setPassword(password); err != nil {
		return err
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: userKey(record.Name)})
	if err != nil {
		return err
	}
	if recs[0].Exists() {
		return fmt.Errorf("%w: another object with the userPrincipalName %s", ErrExists, clip(record.Name))
	}
	user, err := s.seal(g, place(kindUser, record.Name), record)
	if err != nil {
		return err
	}
	principal, err := s.seal(g, place(kindPrincipal, record.ObjectID), principalRecord{ObjectID: record.ObjectID, Enabled: true, Admin: admin})
	if err != nil {
		return err
	}
	return s.commit(ctx, change{store.Record{Key: userKey(record.Name)}, user}, change{store.Record{Key: principalKey(record.ObjectID)}, principal})
}

// A UserChange is what a request changes of a user. What is nil stays.
type UserChange struct {
	DisplayName, Password *string
	Enabled               *bool
}

// ChangeUser changes a user, by object id or name. Only administrators may.
func (s *Service) ChangeUser(ctx context.Context, caller access.Caller, id string, in UserChange) error {
	return s.onUser(ctx, caller, "UserUpdate", id, func(g seal.Grant, r userRecord, rec store.Record) error {
		if in.DisplayName != nil {
			r.DisplayName = *in.DisplayName
		}
		if in.Password != nil {
			if err := r.setPassword(*in.Password); err != nil {
				return err
			}
		}
		box, err := s.seal(g, place(kindUser, r.Name), r)
		if err != nil {
			return err
		}
		if err := s.commit(ctx, change{rec, box}); err != nil || in.Enabled == nil {
			return err
		}
		return retry(func() error { return s.setEnabled(ctx, g, r.ObjectID, *in.Enabled) })
	})
}

// DeleteUser removes a user, by object id or name, with what was assigned to it.
func (s *Service) DeleteUser(ctx context.Context, caller access.Caller, id string) error {
	return s.onUser(ctx, caller, "UserDelete", id, func(g seal.Grant, r userRecord, rec store.Record) error {
		recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(r.ObjectID)})
		if err != nil {
			return err
		}
		changes := []change{{was: rec}}
		if recs[0].Exists() {
			changes = append(changes, change{was: recs[0]})
		}
		if err := s.commit(ctx, changes...); err != nil {
			return err
		}
		return s.forgetPrincipal(ctx, g, r.ObjectID)
	})
}

func (s *Service) onUser(ctx context.Context, caller access.Caller, name, id string, fn func(seal.Grant, userRecord, store.Record) error) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	return s.config.Gate.Write(ctx, directoryRequest(known, name, clip(id), known.Admin), func(g seal.Grant) error {
		var found []store.Record
		if err := s.scan(ctx, "t/user/", func(rec store.Record) error {
			r, err := s.openUser(rec)
			if err == nil && (strings.EqualFold(r.ObjectID, id) || strings.EqualFold(r.Name, id)) {
				found = slices.Concat(found, []store.Record{rec})
			}
			return err
		}); err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrNotFound
		}
		r, err := s.openUser(found[0])
		if err != nil {
			return err
		}
		return fn(g, r, found[0])
	})
}

// Me returns the caller: a user, or, with ok false, an application.
func (s *Service) Me(ctx context.Context, caller access.Caller) (u User, ok bool, err error) {
	known, _, err := s.known(ctx, caller)
	if err != nil || !known.User {
		return u, false, err
	}
	u, err = s.FindUser(ctx, caller, known.ObjectID)
	return u, true, err
}
