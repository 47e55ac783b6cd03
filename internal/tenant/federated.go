package tenant

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"coffer/internal/access"
)

// A FederatedCredential lets an application sign in by a token of an outside issuer.
type FederatedCredential struct {
	ID, Name, Description string
	Issuer, Subject       string
	Audiences             []string
}

// A FederatedEdit changes what is not nil.
type FederatedEdit struct {
	Description, Issuer, Subject *string
	Audiences                    *[]string
}

// The bounds of federated credentials (documented).
const (
	maxFederated       = 20
	maxFederatedName   = 120
	maxFederatedText   = 600
	maxFederatedValues = 10
)

func (r federatedRecord) show() FederatedCredential {
	return FederatedCredential{ID: r.ID, Name: r.Name, Description: r.Description, Issuer: r.Issuer, Subject: r.Subject, Audiences: slices.Clone(r.Audiences)}
}

// federated finds one by its id or its name.
func (r *applicationRecord) federated(id string) int {
	return slices.IndexFunc(r.Federated, func(f federatedRecord) bool { return strings.EqualFold(f.ID, id) || f.Name == id })
}

// ListFederatedCredentials returns those of an application. The error is ObjectNotFound.
func (s *Service) ListFederatedCredentials(ctx context.Context, caller access.Caller, ref Ref) (out []FederatedCredential, err error) {
	err = s.readDirectory(ctx, caller, "ApplicationFederatedList", "applications", ref.String(), func(d *directory) error {
		found, _, err := d.application(ref)
		for _, f := range found.value.Federated {
			out = append(out, f.show())
		}
		return err
	})
	return out, err
}

// FindFederatedCredential returns one by its id or its name. The error is ObjectNotFound.
func (s *Service) FindFederatedCredential(ctx context.Context, caller access.Caller, ref Ref, id string) (out FederatedCredential, err error) {
	err = s.readDirectory(ctx, caller, "ApplicationFederatedGet", "applications", ref.String(), func(d *directory) error {
		found, _, err := d.application(ref)
		if err != nil {
			return err
		}
		at := found.value.federated(id)
		if at < 0 {
			return noObject(id)
		}
		out = found.value.Federated[at].show()
		return nil
	})
	return out, err
}

// AddFederatedCredential adds one. Errors: ObjectNotFound, BadObject, ObjectConflict.
func (s *Service) AddFederatedCredential(ctx context.Context, caller access.Caller, ref Ref, f FederatedCredential) (out FederatedCredential, err error) {
	record := federatedRecord{
		ID: uuid.NewString(), Name: f.Name, Description: f.Description, Issuer: f.Issuer, Subject: f.Subject, Audiences: slices.Clone(f.Audiences),
	}
	err = s.change(ctx, caller, edit{"ApplicationFederatedAdd", "applications/update", ref, func(d *draft) error {
		a := d.application
		if len(a.Federated) >= maxFederated {
			return badObject("The application has %d federated identity credentials, the most there may be.", maxFederated)
		}
		if slices.ContainsFunc(a.Federated, func(other federatedRecord) bool { return other.Name == record.Name }) {
			return objectConflict("FederatedIdentityCredential with name %s already exists.", clip(record.Name))
		}
		if err := s.mayTrust(ctx, caller, record.Issuer); err != nil {
			return err
		}
		record.Bearer = s.isBearer(record.Issuer)
		if err := d.isOnly(record); err != nil {
			return err
		}
		a.Federated = append(a.Federated, record)
		out = record.show()
		return a.checkFederated(record)
	}})
	if err != nil {
		return FederatedCredential{}, err
	}
	return out, nil
}

// UpdateFederatedCredential changes one. Errors: ObjectNotFound, BadObject, ObjectConflict.
func (s *Service) UpdateFederatedCredential(ctx context.Context, caller access.Caller, ref Ref, id string, e FederatedEdit) error {
	return s.change(ctx, caller, edit{"ApplicationFederatedUpdate", "applications/update", ref, func(d *draft) error {
		at := d.application.federated(id)
		if at < 0 {
			return noObject(id)
		}
		record := &d.application.Federated[at]
		before := record.Issuer
		for to, from := range map[*string]*string{&record.Description: e.Description, &record.Issuer: e.Issuer, &record.Subject: e.Subject} {
			if from != nil {
				*to = *from
			}
		}
		if e.Audiences != nil {
			record.Audiences = slices.Clone(*e.Audiences)
		}
		for _, issuer := range []string{before, record.Issuer} {
			if err := s.mayTrust(ctx, caller, issuer); err != nil {
				return err
			}
		}
		record.Bearer = s.isBearer(record.Issuer)
		if err := d.isOnly(*record); err != nil {
			return err
		}
		return d.application.checkFederated(*record)
	}})
}

// isOnly refuses a credential for access tokens of a subject that another application, or a
// user, has already: of two, neither would be meant for sure.
func (d *draft) isOnly(f federatedRecord) error {
	for _, a := range d.directory.applications {
		if f.Bearer && a.value.AppID != d.application.AppID && slices.ContainsFunc(a.value.Federated, func(other federatedRecord) bool {
			return other.Bearer && other.Issuer == f.Issuer && other.Subject == f.Subject
		}) {
			return objectConflict("Another application has a credential for access tokens of the issuer and subject: %s.", a.value.AppID)
		}
	}
	for _, u := range d.directory.users {
		if f.Bearer && slices.Contains(u.value.Identities, identityRecord{f.Issuer, f.Subject}) {
			return objectConflict("Access tokens of the issuer and subject are those of a user: %s.", u.value.ObjectID)
		}
	}
	return nil
}

// RemoveFederatedCredential removes one. The error is ObjectNotFound.
func (s *Service) RemoveFederatedCredential(ctx context.Context, caller access.Caller, ref Ref, id string) error {
	return s.change(ctx, caller, edit{"ApplicationFederatedRemove", "applications/update", ref, func(d *draft) error {
		at := d.application.federated(id)
		if at < 0 {
			return noObject(id)
		}
		d.application.Federated = slices.Delete(d.application.Federated, at, at+1)
		return nil
	}})
}

// checkFederated checks one of the application's.
func (r *applicationRecord) checkFederated(f federatedRecord) error {
	issuer, err := url.Parse(f.Issuer)
	switch {
	case !plainName(f.Name):
		return badObject("The name of a federated identity credential has to have 1 to %d characters: letters, digits, - and _.", maxFederatedName)
	case err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil || len(f.Issuer) > maxFederatedText:
		return badObject("The issuer of a federated identity credential has to be an https URL of at most %d characters.", maxFederatedText)
	case f.Subject == "" || len(f.Subject) > maxFederatedText || len(f.Description) > maxFederatedText:
		return badObject("The subject of a federated identity credential has to have 1 to %d characters, its description at most as many.", maxFederatedText)
	case len(f.Audiences) == 0 || len(f.Audiences) > maxFederatedValues:
		return badObject("A federated identity credential has to have 1 to %d audiences.", maxFederatedValues)
	}
	for _, audience := range f.Audiences {
		if audience == "" || len(audience) > maxFederatedText {
			return badObject("An audience of a federated identity credential has to have 1 to %d characters.", maxFederatedText)
		}
	}
	for _, other := range r.Federated {
		if other.ID != f.ID && other.Issuer == f.Issuer && other.Subject == f.Subject {
			return objectConflict("FederatedIdentityCredential with issuer and subject of %s already exists.", clip(other.Name))
		}
	}
	return nil
}

func plainName(name string) bool {
	return name != "" && len(name) <= maxFederatedName && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}
