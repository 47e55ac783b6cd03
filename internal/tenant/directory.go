package tenant

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// The directory: applications, their principals and credentials, as their owners see and
// change them. Every principal of the tenant may read; whoever makes an application owns
// it; only owners and administrators of the directory change it.

// The refusals of the directory.
var (
	// ErrNoApplication means that a principal was to be made for an application that does
	// not exist.
	ErrNoApplication = errors.New("tenant: there is no such application")
	// ErrExists means that there is one already.
	ErrExists = errors.New("tenant: it exists already")
	// ErrChanged means that another change came in between, again and again.
	ErrChanged = store.ErrChanged
)

// An InputError is a member of a request that cannot be.
type InputError struct{ Message string }

// Error returns the message.
func (e *InputError) Error() string { return "tenant: " + e.Message }

func badInput(format string, args ...any) error {
	return &InputError{Message: fmt.Sprintf(format, args...)}
}

// A Registration is an application as the directory shows it.
type Registration struct {
	ID             string // object id
	AppID          string
	PrincipalID    string // object id of its service principal; empty: it has none
	DisplayName    string
	IdentifierURIs []string
	Owners         []string
	Created        time.Time
	Passwords      []Password
	Keys           []KeyCredential
	Federated      []Federated
}

// A Password is a secret of an application, as far as it can be shown.
type Password struct {
	ID, DisplayName, Hint string
	Start, End            time.Time // zero: none
}

// A KeyCredential is a certificate by whose key an application can sign in.
type KeyCredential struct {
	ID, DisplayName string
	Certificate     []byte // DER
	Start, End      time.Time
}

// A Federated credential lets an application sign in by a token of an outside issuer.
type Federated struct {
	ID, Name, Description, Issuer, Subject string
	Audiences                              []string
}

// A Principal is a service principal as the directory shows it.
type Principal struct {
	ID      string
	Enabled bool
	App     Registration
}

// The bounds of an application (the service's where it has one).
const (
	maxFederated   = 20
	maxKeys        = 100
	maxOwners      = 100
	maxURIs        = 50
	maxDisplayName = 256
	maxScan        = 500
)

// objectID is the id of the application itself.
func (r applicationRecord) objectID() string {
	if r.ID != "" {
		return r.ID
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("coffer application "+strings.ToLower(r.AppID))).String()
}

func (r applicationRecord) registration() Registration {
	out := Registration{
		ID: r.objectID(), AppID: r.AppID, PrincipalID: r.ObjectID, DisplayName: r.DisplayName, IdentifierURIs: slices.Clone(r.IdentifierURIs),
		Owners: slices.Clone(r.Owners), Created: time.Unix(r.Created, 0),
	}
	for _, s := range r.Secrets {
		out.Passwords = append(out.Passwords, Password{ID: s.ID, DisplayName: s.DisplayName, Hint: s.Hint, Start: when(s.Start), End: when(s.Expires)})
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, KeyCredential{ID: k.ID, DisplayName: k.DisplayName, Certificate: k.Certificate, Start: when(k.Start), End: when(k.Expires)})
	}
	for _, f := range r.Federated {
		out.Federated = append(out.Federated, Federated{ID: f.ID, Name: f.Name, Description: f.Description, Issuer: f.Issuer, Subject: f.Subject, Audiences: f.Audiences})
	}
	return out
}

func when(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// directoryOperation is what the audit log shows; the directory decides by itself.
func directoryOperation(name string) gate.Operation {
	return gate.Operation{Name: name, Permission: access.Permission{Collection: "directory", Verb: name}}
}

func directoryRequest(caller access.Caller, name, object string, allowed bool) gate.Request {
	return gate.Request{Caller: caller, Operation: directoryOperation(name), Subject: gate.Subject{Object: object, Rules: access.Rules{Everybody: allowed}}}
}

// readDirectory lets every principal of the tenant read.
func (s *Service) readDirectory(ctx context.Context, caller access.Caller, name, object string, fn func(access.Caller) error) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	return s.config.Gate.Read(ctx, directoryRequest(known, name, object, true), func(seal.Grant) error { return fn(known) })
}

// eachApplication calls fn with every application.
func (s *Service) eachApplication(ctx context.Context, fn func(applicationRecord, store.Record) error) error {
	return s.scan(ctx, "t/app/", func(rec store.Record) error {
		var record applicationRecord
		if err := s.open(rec, place(kindApplication, string(rec.Key[len("t/app/"):])), &record); err != nil {
			return err
		}
		return fn(record, rec)
	})
}

// scan reads all records with a prefix from one snapshot.
func (s *Service) scan(ctx context.Context, prefix store.Key, fn func(store.Record) error) error {
	return s.config.Store.View(ctx, func(tx store.Tx) error {
		last := store.Key("")
		for {
			recs, err := tx.Scan(prefix, last, maxScan)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				if err := fn(rec); err != nil {
					return err
				}
			}
			if len(recs) < maxScan {
				return nil
			}
			last = recs[len(recs)-1].Key
		}
	})
}

// ListRegistrations returns the applications that match.
func (s *Service) ListRegistrations(ctx context.Context, caller access.Caller, match func(Registration) bool) (out []Registration, err error) {
	err = s.readDirectory(ctx, caller, "ApplicationList", "", func(access.Caller) error {
		return s.eachApplication(ctx, func(r applicationRecord, _ store.Record) error {
			if one := r.registration(); match(one) {
				out = append(out, one)
			}
			return nil
		})
	})
	return out, err
}

// findApplication finds an application by a property. The error is ErrNotFound.
func (s *Service) findApplication(ctx context.Context, is func(applicationRecord) bool) (found applicationRecord, was store.Record, err error) {
	err = s.eachApplication(ctx, func(r applicationRecord, rec store.Record) error {
		if was.Revision == 0 && is(r) {
			found, was = r, rec
		}
		return nil
	})
	if err == nil && was.Revision == 0 {
		err = ErrNotFound
	}
	return found, was, err
}

// byID finds an application by its own object id; by says what else an id may be.
func byID(id string) func(applicationRecord) bool {
	return func(r applicationRecord) bool { return strings.EqualFold(r.objectID(), id) }
}

func byPrincipal(id string) func(applicationRecord) bool {
	return func(r applicationRecord) bool { return id != "" && strings.EqualFold(r.ObjectID, id) }
}

// Registration returns an application by its object id. The error is ErrNotFound.
func (s *Service) Registration(ctx context.Context, caller access.Caller, id string) (out Registration, err error) {
	err = s.readDirectory(ctx, caller, "ApplicationGet", clip(id), func(access.Caller) error {
		r, _, err := s.findApplication(ctx, byID(id))
		out = r.registration()
		return err
	})
	return out, err
}

// A NewRegistration is what a request says of an application to be made.
type NewRegistration struct {
	DisplayName    string
	IdentifierURIs []string
	Keys           []KeyCredential
}

// Register makes an application, without a service principal; the caller owns it.
func (s *Service) Register(ctx context.Context, caller access.Caller, in NewRegistration) (out Registration, err error) {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return out, err
	}
	record := applicationRecord{AppID: uuid.NewString(), ID: uuid.NewString(), Created: s.config.Now().Unix(), Owners: []string{strings.ToLower(known.ObjectID)}}
	err = s.config.Gate.Write(ctx, directoryRequest(known, "ApplicationCreate", record.AppID, true), func(g seal.Grant) error {
		if err := record.set(RegistrationChange{DisplayName: &in.DisplayName, IdentifierURIs: &in.IdentifierURIs, Keys: &in.Keys}); err != nil {
			return err
		}
		box, err := s.seal(g, place(kindApplication, record.AppID), record)
		if err != nil {
			return err
		}
		return s.commit(ctx, change{store.Record{Key: applicationKey(record.AppID)}, box})
	})
	return record.registration(), err
}

// A RegistrationChange is what a request changes. What is nil stays.
type RegistrationChange struct {
	DisplayName    *string
	IdentifierURIs *[]string
	Keys           *[]KeyCredential // those with an id of one that there is stay as they are
}

func (r *applicationRecord) set(in RegistrationChange) error {
	if in.DisplayName != nil {
		if *in.DisplayName == "" || len(*in.DisplayName) > maxDisplayName {
			return badInput("A value of 1 to %d characters is required for property 'displayName' of resource 'Application'.", maxDisplayName)
		}
		r.DisplayName = *in.DisplayName
	}
	if in.IdentifierURIs != nil {
		if len(*in.IdentifierURIs) > maxURIs {
			return badInput("An application can have %d identifierUris.", maxURIs)
		}
		r.IdentifierURIs = slices.Clone(*in.IdentifierURIs)
	}
	if in.Keys != nil {
		return r.setKeys(*in.Keys)
	}
	return nil
}

func (r *applicationRecord) setKeys(keys []KeyCredential) error {
	if len(keys) > maxKeys {
		return badInput("An application can have %d keyCredentials.", maxKeys)
	}
	var out []keyRecord
	for _, key := range keys {
		if at := slices.IndexFunc(r.Keys, func(k keyRecord) bool { return k.ID == key.ID }); at >= 0 && len(key.Certificate) == 0 {
			out = append(out, r.Keys[at])
			continue
		}
		certificate, err := x509.ParseCertificate(key.Certificate)
		if err != nil {
			return badInput("The 'key' of a key credential has to be an X.509 certificate, DER in base64.")
		}
		record := keyRecord{ID: key.ID, DisplayName: key.DisplayName, Certificate: key.Certificate, Start: certificate.NotBefore.Unix(), Expires: certificate.NotAfter.Unix()}
		if _, ok := guid(record.ID); !ok {
			record.ID = uuid.NewString()
		}
		if !key.End.IsZero() && key.End.Unix() < record.Expires {
			record.Expires = key.End.Unix()
		}
		out = append(out, record)
	}
	r.Keys = out
	return nil
}

// changeDirectory finds an application, decides whether the caller may change it, and puts
// what edit makes of it; again if another change came in between.
func (s *Service) changeDirectory(ctx context.Context, caller access.Caller, name string, is func(applicationRecord) bool, edit func(*applicationRecord) error) (out Registration, err error) {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return out, err
	}
	err = retry(func() error {
		record, was, err := s.findApplication(ctx, is)
		if err != nil {
			return err
		}
		return s.config.Gate.Write(ctx, directoryRequest(known, name, record.AppID, record.ownedBy(known)), func(g seal.Grant) error {
			if err := edit(&record); err != nil {
				return err
			}
			out = record.registration()
			box, err := s.seal(g, place(kindApplication, record.AppID), record)
			if err != nil {
				return err
			}
			return s.commit(ctx, change{was, box})
		})
	})
	return out, err
}

// ownedBy reports whether the caller may change the application: an administrator, or an
// owner. An application does not own itself.
func (r applicationRecord) ownedBy(caller access.Caller) bool {
	return caller.Admin || slices.ContainsFunc(r.Owners, func(id string) bool { return strings.EqualFold(id, caller.ObjectID) })
}

// ChangeRegistration changes an application.
func (s *Service) ChangeRegistration(ctx context.Context, caller access.Caller, id string, in RegistrationChange) error {
	_, err := s.changeDirectory(ctx, caller, "ApplicationUpdate", byID(id), func(r *applicationRecord) error { return r.set(in) })
	return err
}

// SetOwner makes a principal an owner of an application, or no more.
func (s *Service) SetOwner(ctx context.Context, caller access.Caller, id, principal string, owns bool) error {
	if _, err := s.principalType(ctx, principal); owns && err != nil {
		return badInput("The owner '%s' does not exist in the directory.", clip(principal))
	}
	_, err := s.changeDirectory(ctx, caller, "ApplicationOwnerChange", byID(id), func(r *applicationRecord) error {
		before := len(r.Owners)
		r.Owners = slices.DeleteFunc(r.Owners, func(o string) bool { return strings.EqualFold(o, principal) })
		switch {
		case owns && len(r.Owners) >= maxOwners:
			return badInput("An application can have %d owners.", maxOwners)
		case owns:
			r.Owners = append(r.Owners, strings.ToLower(principal))
		case len(r.Owners) == before:
			return ErrNotFound
		}
		return nil
	})
	return err
}

// Unregister removes an application with its principal and what was assigned to it. Its
// tokens are refused from the next request on.
func (s *Service) Unregister(ctx context.Context, caller access.Caller, id string) error {
	return s.removeParts(ctx, caller, "ApplicationDelete", byID(id), true)
}

// removeParts removes a principal, and its application if whole is set.
func (s *Service) removeParts(ctx context.Context, caller access.Caller, name string, is func(applicationRecord) bool, whole bool) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	record, was, err := s.findApplication(ctx, is)
	if err != nil {
		return err
	}
	return s.config.Gate.Write(ctx, directoryRequest(known, name, record.AppID, record.ownedBy(known)), func(g seal.Grant) error {
		oid := record.ObjectID
		changes := []change{{was: was}}
		if !whole {
			record.ObjectID = ""
			box, err := s.seal(g, place(kindApplication, record.AppID), record)
			if err != nil {
				return err
			}
			changes[0].box = box
		}
		if oid != "" {
			recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(oid)})
			if err != nil {
				return err
			}
			if recs[0].Exists() {
				changes = append(changes, change{was: recs[0]})
			}
		}
		if err := s.commit(ctx, changes...); err != nil || oid == "" {
			return err
		}
		return s.forgetPrincipal(ctx, g, oid)
	})
}

// forgetPrincipal removes what was assigned to a principal that is gone.
func (s *Service) forgetPrincipal(ctx context.Context, g seal.Grant, oid string) error {
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: rolesKey})
	if err != nil || !recs[0].Exists() {
		return err
	}
	return s.editRoles(ctx, g, func(r *rolesRecord) error {
		r.forget(oid)
		return nil
	})
}

// newSalt is a random salt.
func newSalt() ([]byte, error) {
	salt := make([]byte, saltSize)
	_, err := rand.Read(salt)
	return salt, err
}

// CheckCaller reports whether the caller's principal is there and enabled, for requests
// that come to no other method. The error is access.ErrPrincipalGone.
func (s *Service) CheckCaller(ctx context.Context, caller access.Caller) error {
	_, _, err := s.known(ctx, caller)
	return err
}
