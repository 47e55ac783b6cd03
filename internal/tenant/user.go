package tenant

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A User is somebody who signs in with a password, as the directory shows them.
type User struct {
	ID          string
	Name        string // userPrincipalName
	DisplayName string
	Enabled     bool
	Created     time.Time
	Identities  []Identity
}

// A UserEdit changes what is not nil.
type UserEdit struct {
	Name, DisplayName, Password *string
	Enabled                     *bool
	Identities                  *[]Identity // all that there are to be
}

// The bounds of users.
const (
	maxUsers    = 10000
	maxUserName = 113 // characters of a userPrincipalName (documented)
)

func (d *directory) showUser(u kept[userRecord]) (User, bool) {
	principal, _ := d.principal(u.value.ObjectID)
	return u.value.show(principal.value.Enabled), true
}

func (r userRecord) show(enabled bool) User {
	u := User{ID: r.ObjectID, Name: r.Name, DisplayName: r.DisplayName, Enabled: enabled, Created: moment(r.Created)}
	for _, i := range r.Identities {
		u.Identities = append(u.Identities, Identity(i))
	}
	return u
}

// ListUsers returns the users that match.
func (s *Service) ListUsers(ctx context.Context, caller access.Caller, q Query[User]) (out Page[User], err error) {
	err = s.readDirectory(ctx, caller, "UserList", "users", "", func(d *directory) error {
		out = page(d.users, d.showUser, q)
		return nil
	})
	return out, err
}

// FindUser returns a user by object id or userPrincipalName. The error is ObjectNotFound.
func (s *Service) FindUser(ctx context.Context, caller access.Caller, ref string) (out User, err error) {
	err = s.readDirectory(ctx, caller, "UserGet", "users", ref, func(d *directory) error {
		found, _, err := d.user(ref)
		if err == nil {
			out, _ = d.showUser(found)
		}
		return err
	})
	return out, err
}

// Me returns the user who calls. The error is DelegatedOnly when an application calls for
// itself.
func (s *Service) Me(ctx context.Context, caller access.Caller) (out User, err error) {
	err = s.readDirectory(ctx, caller, "MeGet", "users", caller.ObjectID, func(d *directory) error {
		found, _, err := d.user(caller.ObjectID)
		if err != nil {
			return delegatedOnly()
		}
		out, _ = d.showUser(found)
		return nil
	})
	return out, err
}

func delegatedOnly() error {
	return &DirectoryError{Code: DelegatedOnly, Message: "/me request is only valid with delegated authentication flow."}
}

// CreateUser makes a user. Name and display name are needed, and a password, unless there are
// identities: without one nobody signs in here. Errors: BadObject, ObjectConflict.
func (s *Service) CreateUser(ctx context.Context, caller access.Caller, e UserEdit) (out User, err error) {
	for _, needed := range []struct {
		property string
		value    *string
	}{{"displayName", e.DisplayName}, {"userPrincipalName", e.Name}, {"passwordProfile", e.Password}} {
		if needed.value == nil && !(needed.property == "passwordProfile" && e.Identities != nil && len(*e.Identities) > 0) {
			return out, badObject("A value is required for property '%s' of resource 'User'.", needed.property)
		}
	}
	record := userRecord{ObjectID: uuid.NewString(), Created: s.config.Now().Unix()}
	principal := principalRecord{ObjectID: record.ObjectID, Enabled: e.Enabled == nil || *e.Enabled}
	err = s.changeUsers(ctx, caller, userOperation{"UserCreate", "users/create", *e.Name}, e, func(g seal.Grant, d *directory, hashed userRecord) ([]change, error) {
		made := record
		made.password(hashed)
		if len(d.users) >= maxUsers {
			return nil, &DirectoryError{Code: QuotaExceeded, Message: "The directory object quota limit for the tenant has been exceeded."}
		}
		if err := d.editUser(&made, e); err != nil {
			return nil, err
		}
		if err := s.editIdentities(d, &made, e.Identities); err != nil {
			return nil, err
		}
		out = made.show(principal.Enabled)
		return s.putUser(g, store.Record{Key: userKey(made.Name)}, made, store.Record{Key: principalKey(made.ObjectID)}, principal)
	})
	if err != nil {
		return User{}, err
	}
	return out, nil
}

// UpdateUser changes a user. Errors: ObjectNotFound, BadObject, ObjectConflict.
func (s *Service) UpdateUser(ctx context.Context, caller access.Caller, ref string, e UserEdit) error {
	return s.changeUsers(ctx, caller, userOperation{"UserUpdate", "users/update", ref}, e, func(g seal.Grant, d *directory, hashed userRecord) ([]change, error) {
		found, principal, err := d.user(ref)
		if err != nil {
			return nil, err
		}
		made, as := found.value, principal.value // no slice of them is written to
		if e.Password != nil {
			made.password(hashed)
		}
		if err := d.editUser(&made, e); err != nil {
			return nil, err
		}
		if err := s.editIdentities(d, &made, e.Identities); err != nil {
			return nil, err
		}
		if e.Enabled != nil {
			as.Enabled = *e.Enabled
		}
		if to := userKey(made.Name); to != found.Key {
			out, err := s.putUser(g, store.Record{Key: to}, made, principal.Record, as)
			return append(out, change{was: found.Record}), err
		}
		return s.putUser(g, found.Record, made, principal.Record, as)
	})
}

// DeleteUser removes a user and their role assignments; an owner who is gone has no rights. Their tokens are
// refused from the next request on. The error is ObjectNotFound.
func (s *Service) DeleteUser(ctx context.Context, caller access.Caller, ref string) error {
	return s.changeUsers(ctx, caller, userOperation{"UserDelete", "users/delete", ref}, UserEdit{}, func(g seal.Grant, d *directory, _ userRecord) ([]change, error) {
		found, principal, err := d.user(ref)
		if err != nil {
			return nil, err
		}
		out, err := s.removal(g, d.roles, store.Record{}, principal.Record, found.value.ObjectID)
		return append(out, change{was: found.Record}), err
	})
}

type userOperation struct{ name, right, object string }

// changeUsers runs a change for those who administer the directory. The password is hashed
// once, outside of everything that others wait for, and only for those.
func (s *Service) changeUsers(ctx context.Context, caller access.Caller, o userOperation, e UserEdit, do func(seal.Grant, *directory, userRecord) ([]change, error)) error {
	var hashed userRecord
	return s.changeDirectory(ctx, caller, operation{
		name: o.name, right: o.right, object: o.object, who: administrators,
		before: func() error {
			if e.Password == nil {
				return nil
			}
			return hashed.keepPassword(*e.Password)
		},
		do: func(g seal.Grant, d *directory) ([]change, error) { return do(g, d, hashed) },
	})
}

// password takes over a hashed password, and ends a lock-out.
func (r *userRecord) password(hashed userRecord) {
	r.Salt, r.Hash, r.Failures, r.LockedUntil = hashed.Salt, hashed.Hash, 0, 0
}

// editUser changes everything but the password.
func (d *directory) editUser(r *userRecord, e UserEdit) error {
	if e.DisplayName != nil {
		if err := checkName("displayName", *e.DisplayName); err != nil {
			return err
		}
		r.DisplayName = *e.DisplayName
	}
	if e.Name == nil {
		return nil
	}
	if !validUserName(*e.Name) {
		return badObject("Invalid value specified for property 'userPrincipalName' of resource 'User': it has the form name@domain.")
	}
	if slices.ContainsFunc(d.users, func(other kept[userRecord]) bool {
		return other.value.ObjectID != r.ObjectID && strings.EqualFold(other.value.Name, *e.Name)
	}) {
		return objectConflict("Another object with the same value for property userPrincipalName already exists.")
	}
	r.Name = *e.Name
	return nil
}

// validUserName allows what the service does (documented).
func validUserName(name string) bool {
	local, domain, ok := strings.Cut(name, "@")
	plain := func(text, more string) bool {
		return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(more, c)
		})
	}
	return ok && len(name) <= maxUserName && plain(local, "'.-_!#^~") && plain(domain, ".-")
}

func (s *Service) putUser(g seal.Grant, at store.Record, user userRecord, principalAt store.Record, principal principalRecord) ([]change, error) {
	box, err := s.seal(g, place(kindUser, user.Name), user)
	if err != nil {
		return nil, err
	}
	principalBox, err := s.seal(g, place(kindPrincipal, principal.ObjectID), principal)
	if err != nil {
		return nil, err
	}
	return []change{{at, box}, {principalAt, principalBox}}, nil
}
