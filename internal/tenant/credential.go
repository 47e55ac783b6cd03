package tenant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
)

// An Owned says by which of its two objects an application is named.
type Owned struct{ application, principal string }

// OfApplication names an application by its own object id; OfPrincipal by its principal's.
func OfApplication(id string) Owned { return Owned{application: id} }

// OfPrincipal names an application by the object id of its service principal.
func OfPrincipal(id string) Owned { return Owned{principal: id} }

func (o Owned) is(r applicationRecord) bool {
	if o.principal != "" {
		return byPrincipal(o.principal)(r)
	}
	return byID(o.application)(r)
}

// AddPassword gives an application one more secret, which is returned here and never
// again.
func (s *Service) AddPassword(ctx context.Context, caller access.Caller, of Owned, name string, start, end time.Time) (p Password, secret string, err error) {
	if start.IsZero() {
		start = s.config.Now()
	}
	if end.IsZero() {
		end = start.AddDate(2, 0, 0)
	}
	if !end.After(start) || len(name) > maxDisplayName {
		return p, "", badInput("The endDateTime of a password has to be after its startDateTime, and its name has up to %d characters.", maxDisplayName)
	}
	secret, kept, err := newSecret(end)
	if err != nil {
		return p, "", err
	}
	kept.DisplayName, kept.Start, kept.Hint = name, start.Unix(), secret[:3]
	out, err := s.changeDirectory(ctx, caller, "ApplicationSecretAdd", of.is, func(r *applicationRecord) error {
		if len(r.Secrets) >= maxSecrets {
			return badInput("The application has %d passwords, the most there may be; remove one first.", maxSecrets)
		}
		r.Secrets = append(r.Secrets, kept)
		return nil
	})
	if err != nil {
		return p, "", err
	}
	return out.Passwords[len(out.Passwords)-1], secret, nil
}

// RemovePassword removes a secret; it stops working at once.
func (s *Service) RemovePassword(ctx context.Context, caller access.Caller, of Owned, id string) error {
	_, err := s.changeDirectory(ctx, caller, "ApplicationSecretRemove", of.is, func(r *applicationRecord) error {
		before := len(r.Secrets)
		r.Secrets = slices.DeleteFunc(r.Secrets, func(k secretRecord) bool { return strings.EqualFold(k.ID, id) })
		if len(r.Secrets) == before {
			return badInput("No password credential found with keyId '%s'.", clip(id))
		}
		return nil
	})
	return err
}

// PutFederated adds a federated credential, or replaces the one of its id.
func (s *Service) PutFederated(ctx context.Context, caller access.Caller, id string, f Federated) (Federated, error) {
	switch {
	case f.Name == "" || len(f.Name) > 120 || f.Issuer == "" || f.Subject == "" || len(f.Subject) > 600 || len(f.Issuer) > 600:
		return f, badInput("A federated credential needs name, issuer and subject.")
	case len(f.Audiences) != 1 || len(f.Audiences[0]) > 600:
		return f, badInput("A federated credential needs one audience, such as api://AzureADTokenExchange.")
	}
	fresh := f.ID == ""
	if fresh {
		f.ID = uuid.NewString()
	}
	record := federatedRecord{ID: f.ID, Name: f.Name, Description: f.Description, Issuer: f.Issuer, Subject: f.Subject, Audiences: f.Audiences}
	_, err := s.changeDirectory(ctx, caller, "ApplicationFederatedCredentialPut", byID(id), func(r *applicationRecord) error {
		at := slices.IndexFunc(r.Federated, func(old federatedRecord) bool { return strings.EqualFold(old.ID, f.ID) })
		for i, old := range r.Federated {
			if i != at && (strings.EqualFold(old.Name, f.Name) || old.Issuer == f.Issuer && old.Subject == f.Subject) {
				return fmt.Errorf("%w: a federated credential of this name, or of this issuer and subject", ErrExists)
			}
		}
		switch {
		case at >= 0:
			r.Federated[at] = record
		case !fresh:
			return ErrNotFound
		case len(r.Federated) >= maxFederated:
			return badInput("An application can have %d federated credentials.", maxFederated)
		default:
			r.Federated = append(r.Federated, record)
		}
		return nil
	})
	return f, err
}

// RemoveFederated removes a federated credential; it stops working at once.
func (s *Service) RemoveFederated(ctx context.Context, caller access.Caller, id, credential string) error {
	_, err := s.changeDirectory(ctx, caller, "ApplicationFederatedCredentialRemove", byID(id), func(r *applicationRecord) error {
		before := len(r.Federated)
		r.Federated = slices.DeleteFunc(r.Federated, func(f federatedRecord) bool {
			return strings.EqualFold(f.ID, credential) || f.Name == credential
		})
		if len(r.Federated) == before {
			return ErrNotFound
		}
		return nil
	})
	return err
}
