package tenant

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// An ApplicationObject is an application as the directory shows it.
type ApplicationObject struct {
	ID             string // object id of the application itself
	AppID          string
	DisplayName    string
	IdentifierURIs []string
	Created        time.Time // zero: not known
	Passwords      []PasswordCredential
	Keys           []KeyCredential
}

// A PrincipalObject is a service principal as the directory shows it.
type PrincipalObject struct {
	ID, AppID   string
	DisplayName string // of its application
	Enabled     bool
	Names       []string // the client id, and the identifier URIs
	Passwords   []PasswordCredential
	Keys        []KeyCredential
}

// An ApplicationEdit changes what is not nil.
type ApplicationEdit struct {
	DisplayName    *string
	IdentifierURIs *[]string
	Keys           *[]KeyInput // all that there are to be
	Passwords      *[]string   // ids of those that are to stay
}

// A PrincipalEdit changes what is not nil.
type PrincipalEdit struct {
	Enabled *bool
	Keys    *[]KeyInput
}

// The bounds of the directory.
const (
	maxApplications = 10000
	maxOwned        = 250 // by one principal that is no administrator (the service's)
	maxName         = 256 // characters of a display name
	maxURIs         = 50
	maxURI          = 255
)

func (d *directory) showApplication(a kept[applicationRecord]) (ApplicationObject, bool) {
	r := a.value
	return ApplicationObject{
		ID: r.id(), AppID: r.AppID, DisplayName: r.DisplayName, IdentifierURIs: slices.Clone(r.IdentifierURIs), Created: moment(r.Created),
		Passwords: showPasswords(r.Secrets, false), Keys: showKeys(r.Keys, false),
	}, true
}

// showPrincipal shows nothing for a user's principal.
func (d *directory) showPrincipal(p kept[principalRecord]) (PrincipalObject, bool) {
	if p.value.AppID == "" {
		return PrincipalObject{}, false
	}
	at, ok := d.byAppID[strings.ToLower(p.value.AppID)]
	if !ok {
		return PrincipalObject{}, false
	}
	return showPrincipal(d.applications[at].value, p.value), true
}

func showPrincipal(a applicationRecord, p principalRecord) PrincipalObject {
	return PrincipalObject{
		ID: p.ObjectID, AppID: a.AppID, DisplayName: a.DisplayName, Enabled: p.Enabled, Names: append([]string{a.AppID}, a.IdentifierURIs...),
		Passwords: showPasswords(a.Secrets, true), Keys: showKeys(a.Keys, true),
	}
}

// moment is a time that is kept as Unix seconds; zero stays zero.
func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// ListApplications returns the applications that match.
func (s *Service) ListApplications(ctx context.Context, caller access.Caller, q Query[ApplicationObject]) (out Page[ApplicationObject], err error) {
	err = s.readDirectory(ctx, caller, "ApplicationList", "applications", "", func(d *directory) error {
		out = page(d.applications, d.showApplication, q)
		return nil
	})
	return out, err
}

// ListPrincipals returns the service principals that match.
func (s *Service) ListPrincipals(ctx context.Context, caller access.Caller, q Query[PrincipalObject]) (out Page[PrincipalObject], err error) {
	err = s.readDirectory(ctx, caller, "ServicePrincipalList", "servicePrincipals", "", func(d *directory) error {
		out = page(d.principals, d.showPrincipal, q)
		return nil
	})
	return out, err
}

// FindApplication returns an application. The error is ObjectNotFound.
func (s *Service) FindApplication(ctx context.Context, caller access.Caller, ref Ref) (out ApplicationObject, err error) {
	err = s.readDirectory(ctx, caller, "ApplicationGet", "applications", ref.String(), func(d *directory) error {
		found, _, err := d.application(ref)
		if err == nil {
			out, _ = d.showApplication(found)
		}
		return err
	})
	return out, err
}

// FindPrincipal returns a service principal. The error is ObjectNotFound.
func (s *Service) FindPrincipal(ctx context.Context, caller access.Caller, ref Ref) (out PrincipalObject, err error) {
	ref.Principal = true
	err = s.readDirectory(ctx, caller, "ServicePrincipalGet", "servicePrincipals", ref.String(), func(d *directory) error {
		_, found, err := d.application(ref)
		if err == nil {
			out, _ = d.showPrincipal(found)
		}
		return err
	})
	return out, err
}

// RegisterApplication makes an application without a service principal and without any
// secret. Its maker owns it.
func (s *Service) RegisterApplication(ctx context.Context, caller access.Caller, edit ApplicationEdit) (out ApplicationObject, err error) {
	record := applicationRecord{
		AppID: uuid.NewString(), ID: uuid.NewString(), Owners: []string{strings.ToLower(caller.ObjectID)}, Created: s.config.Now().Unix(),
	}
	if edit.DisplayName == nil {
		return out, badObject("A value is required for property 'displayName' of resource 'Application'.")
	}
	err = s.changeDirectory(ctx, caller, operation{
		name: "ApplicationCreate", right: "applications/create", object: record.AppID, who: anyone,
		do: func(g seal.Grant, d *directory) ([]change, error) {
			made := record
			if err := s.checkRoom(d, caller); err != nil {
				return nil, err
			}
			if err := s.editApplication(d, &made, edit); err != nil {
				return nil, err
			}
			box, err := s.seal(g, place(kindApplication, made.AppID), made)
			out, _ = d.showApplication(kept[applicationRecord]{value: made})
			return []change{{store.Record{Key: applicationKey(made.AppID)}, box}}, err
		},
	})
	if err != nil {
		return ApplicationObject{}, err
	}
	return out, nil
}

// checkRoom bounds how many applications there are, and how many one principal makes.
func (s *Service) checkRoom(d *directory, caller access.Caller) error {
	owned := 0
	for _, a := range d.applications {
		if owns(a.value, caller.ObjectID) {
			owned++
		}
	}
	principal, _ := d.principal(caller.ObjectID)
	if len(d.applications) >= maxApplications || owned >= maxOwned && !principal.value.Admin {
		return &DirectoryError{Code: QuotaExceeded, Message: "The directory object quota limit for the Principal has been exceeded. Delete applications that are not used."}
	}
	return nil
}

func owns(a applicationRecord, oid string) bool {
	return slices.ContainsFunc(a.Owners, func(owner string) bool { return strings.EqualFold(owner, oid) })
}

// editApplication changes a record that nobody else has.
func (s *Service) editApplication(d *directory, a *applicationRecord, edit ApplicationEdit) error {
	if edit.DisplayName != nil {
		if err := checkName("displayName", *edit.DisplayName); err != nil {
			return err
		}
		a.DisplayName = *edit.DisplayName
	}
	if edit.IdentifierURIs != nil {
		if err := d.checkURIs(*edit.IdentifierURIs, a.AppID); err != nil {
			return err
		}
		a.IdentifierURIs = slices.Clone(*edit.IdentifierURIs)
	}
	if edit.Passwords != nil {
		if err := a.keepPasswords(*edit.Passwords); err != nil {
			return err
		}
	}
	if edit.Keys != nil {
		return a.setKeys(*edit.Keys, false)
	}
	return nil
}

func checkName(property, name string) error {
	if strings.TrimSpace(name) == "" || len([]rune(name)) > maxName || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return badObject("Invalid value specified for property '%s' of resource: it has to have 1 to %d characters, and no control characters.", property, maxName)
	}
	return nil
}

// checkURIs lets no two applications have the same one: permissions are given to who is
// found by it.
func (d *directory) checkURIs(uris []string, appID string) error {
	if len(uris) > maxURIs {
		return badObject("Invalid value specified for property 'identifierUris' of resource 'Application': there are at most %d.", maxURIs)
	}
	for i, text := range uris {
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme == "" || uri.Host == "" && uri.Opaque == "" || len(text) > maxURI {
			return badObject("Invalid value specified for property 'identifierUris' of resource 'Application'.")
		}
		same := func(other string) bool { return strings.EqualFold(other, text) }
		taken := slices.ContainsFunc(uris[:i], same) || slices.ContainsFunc(d.applications, func(a kept[applicationRecord]) bool {
			return !strings.EqualFold(a.value.AppID, appID) && slices.ContainsFunc(a.value.IdentifierURIs, same)
		})
		if taken {
			return objectConflict("Another object with the same value for property identifierUris already exists.")
		}
	}
	return nil
}

// A draft is an application that is being changed, with its service principal.
type draft struct {
	directory   *directory
	application *applicationRecord // nil: it is to be removed, and the principal with it
	principal   *principalRecord   // nil: there is none, or it is to be removed
}

// An edit is a change of one application or service principal.
type edit struct {
	name, right string
	ref         Ref
	do          func(*draft) error
}

// change changes an application or a service principal for those who own the application.
func (s *Service) change(ctx context.Context, caller access.Caller, e edit) error {
	return s.changeDirectory(ctx, caller, operation{
		name: e.name, right: e.right, object: e.ref.String(),
		who: func(d *directory) access.Directory {
			found, _, err := d.application(e.ref)
			return access.Directory{Owners: found.value.Owners, Anyone: err != nil} // that it does not exist, everyone may know
		},
		do: func(g seal.Grant, d *directory) ([]change, error) {
			app, principal, err := d.application(e.ref)
			if err != nil {
				return nil, err
			}
			made := draft{directory: d, application: &applicationRecord{}}
			if err := s.open(app.Record, place(kindApplication, app.value.AppID), made.application); err != nil {
				return nil, err
			}
			if principal.Exists() {
				made.principal = &principalRecord{}
				if err := s.open(principal.Record, place(kindPrincipal, principal.value.ObjectID), made.principal); err != nil {
					return nil, err
				}
			}
			if err := e.do(&made); err != nil {
				return nil, err
			}
			return s.changes(g, made, app, principal)
		},
	})
}

// changes are what makes a draft of what was there.
func (s *Service) changes(g seal.Grant, made draft, app kept[applicationRecord], principal kept[principalRecord]) ([]change, error) {
	if made.application == nil {
		return s.removal(g, made.directory.roles, app.Record, principal.Record, app.value.ObjectID)
	}
	box, err := s.seal(g, place(kindApplication, app.value.AppID), made.application)
	if err != nil {
		return nil, err
	}
	out := []change{{app.Record, box}}
	switch {
	case made.principal != nil && (!principal.Exists() || made.principal.Enabled != principal.value.Enabled):
		box, err := s.seal(g, place(kindPrincipal, made.principal.ObjectID), made.principal)
		principal.Key = principalKey(made.principal.ObjectID)
		return append(out, change{principal.Record, box}), err
	case made.principal == nil && principal.Exists():
		removed, err := s.removal(g, made.directory.roles, store.Record{}, principal.Record, app.value.ObjectID)
		return append(out, removed...), err
	}
	return out, nil
}

// removal removes the records that exist, and the principal's role assignments.
func (s *Service) removal(g seal.Grant, roles, app, principal store.Record, oid string) ([]change, error) {
	var out []change
	for _, rec := range []store.Record{app, principal} {
		if rec.Exists() {
			out = append(out, change{was: rec})
		}
	}
	if !principal.Exists() {
		return out, nil
	}
	forgotten, err := s.forgetting(g, roles, oid)
	return append(out, forgotten...), err
}

// UpdateApplication changes an application. Errors: ObjectNotFound, BadObject,
// ObjectConflict.
func (s *Service) UpdateApplication(ctx context.Context, caller access.Caller, ref Ref, e ApplicationEdit) error {
	return s.change(ctx, caller, edit{"ApplicationUpdate", "applications/update", ref, func(d *draft) error {
		return s.editApplication(d.directory, d.application, e)
	}})
}

// DeleteApplication removes an application with its service principal, whose tokens are
// refused from the next request on, and its role assignments. The error is ObjectNotFound.
func (s *Service) DeleteApplication(ctx context.Context, caller access.Caller, ref Ref) error {
	return s.change(ctx, caller, edit{"ApplicationDelete", "applications/delete", ref, func(d *draft) error {
		d.application, d.principal = nil, nil
		return nil
	}})
}

// CreatePrincipal makes the service principal of an application. Errors: BadObject if there
// is no such application, ObjectConflict if it has one.
func (s *Service) CreatePrincipal(ctx context.Context, caller access.Caller, appID string, enabled bool) (out PrincipalObject, err error) {
	id := uuid.NewString()
	missing := true
	err = s.change(ctx, caller, edit{"ServicePrincipalCreate", "servicePrincipals/create", Ref{AppID: appID}, func(d *draft) error {
		missing = false
		if d.principal != nil {
			return objectConflict("The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", d.application.AppID)
		}
		d.application.ObjectID = id
		d.principal = &principalRecord{ObjectID: id, AppID: d.application.AppID, Enabled: enabled}
		out = showPrincipal(*d.application, *d.principal)
		return nil
	}})
	if refused := (*DirectoryError)(nil); missing && errors.As(err, &refused) && refused.Code == ObjectNotFound {
		// The service's text; a client asks again while it says "does not reference".
		return PrincipalObject{}, badObject("The appId '%s' of the service principal does not reference a valid application object.", clip(appID))
	}
	if err != nil {
		return PrincipalObject{}, err
	}
	return out, nil
}

// UpdatePrincipal changes a service principal. Errors: ObjectNotFound, BadObject.
func (s *Service) UpdatePrincipal(ctx context.Context, caller access.Caller, ref Ref, e PrincipalEdit) error {
	ref.Principal = true
	return s.change(ctx, caller, edit{"ServicePrincipalUpdate", "servicePrincipals/update", ref, func(d *draft) error {
		if e.Enabled != nil {
			d.principal.Enabled = *e.Enabled
		}
		if e.Keys != nil {
			return d.application.setKeys(*e.Keys, true)
		}
		return nil
	}})
}

// DeletePrincipal removes a service principal, with its own credentials and its role
// assignments. The application stays. The error is ObjectNotFound.
func (s *Service) DeletePrincipal(ctx context.Context, caller access.Caller, ref Ref) error {
	ref.Principal = true
	return s.change(ctx, caller, edit{"ServicePrincipalDelete", "servicePrincipals/delete", ref, func(d *draft) error {
		d.application.ObjectID, d.principal = "", nil
		d.application.Secrets = slices.DeleteFunc(d.application.Secrets, func(r secretRecord) bool { return r.OfPrincipal })
		d.application.Keys = slices.DeleteFunc(d.application.Keys, func(r keyRecord) bool { return r.OfPrincipal })
		return nil
	}})
}
