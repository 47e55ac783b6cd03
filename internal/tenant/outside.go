package tenant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"coffer/internal/access"
	"coffer/internal/token"
)

// Tokens of an outside issuer as access tokens. They are taken at the doors, without a visit
// at our token endpoint, from the issuers that Config.Bearers knows and from no others. What
// such a token says of ids counts for nothing: its issuer and its subject name a federated
// credential, and the application that has it is who calls, by its own principal of this
// directory. So an issuer cannot claim to be somebody else, and who is removed or disabled
// here is out from the next request on, however long the token is valid.

// maxOutside bounds the hints below.
const maxOutside = 4096

// outsideHints remembers which application an issuer's subject was found to be. It is a
// hint: the application's record is read, and has to say so still.
type outsideHints struct {
	mu   sync.Mutex
	apps map[outsideID]string // client ids
}

type outsideID struct{ issuer, subject string }

func (h *outsideHints) get(id outsideID) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	app, ok := h.apps[id]
	return app, ok
}

func (h *outsideHints) put(id outsideID, app string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.apps == nil || len(h.apps) >= maxOutside {
		h.apps = map[outsideID]string{}
	}
	h.apps[id] = app
}

// isBearer reports whether tokens of an issuer are access tokens.
func (s *Service) isBearer(issuer string) bool {
	return issuer != "" && s.config.Bearers != nil && s.config.Bearers.Knows(issuer)
}

// outsideCaller returns the application that an outside issuer's token is of. The audience
// has to be one of the door's, exactly, of this installation alone, and one that the
// credential names.
func (s *Service) outsideCaller(ctx context.Context, issuer, raw string, audiences []string) (access.Caller, error) {
	found, err := s.config.Bearers.Verify(ctx, issuer, raw)
	switch {
	case errors.Is(err, ErrAssertionTimes):
		return access.Caller{}, &token.Error{Reason: token.Expired}
	case errors.Is(err, ErrAssertionTenant):
		return access.Caller{}, &token.Error{Reason: token.WrongTenant}
	case errors.Is(err, ErrAssertionUnavailable):
		return access.Caller{}, &token.Error{Reason: token.UnknownKey}
	case err != nil:
		return access.Caller{}, &token.Error{Reason: token.BadSignature}
	}
	found.Audiences = slices.DeleteFunc(found.Audiences, func(a string) bool {
		return !slices.Contains(audiences, a) || !slices.Contains(s.config.OwnAudiences, a)
	})
	if len(found.Audiences) == 0 {
		return access.Caller{}, &token.Error{Reason: token.WrongAudience}
	}
	record, err := s.outsideApplication(ctx, outsideID{issuer, found.Subject}, found.Audiences)
	if err != nil {
		return access.Caller{}, err
	}
	return access.Caller{TenantID: s.tenantID, ObjectID: record.ObjectID, AppID: record.AppID, Issuer: issuer}, nil
}

// outsideApplication finds the one application with a credential of the issuer, the subject
// and one of the audiences.
func (s *Service) outsideApplication(ctx context.Context, id outsideID, audiences []string) (applicationRecord, error) {
	if app, ok := s.outside.get(id); ok {
		record, _, err := s.application(ctx, app)
		if err == nil && record.admits(id, audiences) {
			return record, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return record, err
		}
	}
	d, err := s.directory(ctx)
	if err != nil {
		return applicationRecord{}, err
	}
	var found []applicationRecord
	for _, a := range d.applications {
		if a.value.admits(id, audiences) {
			found = append(found, a.value)
		}
	}
	if len(found) != 1 { // of two, neither is meant for sure
		return applicationRecord{}, &token.Error{Reason: token.UnknownSubject}
	}
	s.outside.put(id, found[0].AppID)
	return found[0], nil
}

// admits reports whether one of the application's credentials is of the issuer and the
// subject, was made for access tokens by an administrator, and names one of the audiences.
func (r *applicationRecord) admits(id outsideID, audiences []string) bool {
	return slices.ContainsFunc(r.Federated, func(f federatedRecord) bool {
		return f.Bearer && f.Issuer == id.issuer && f.Subject == id.subject && slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(f.Audiences, a) })
	})
}

// mayTrust refuses a credential for an issuer of access tokens to everybody but
// administrators of the directory: with it, whoever has such a token acts as the application.
func (s *Service) mayTrust(ctx context.Context, caller access.Caller, issuer string) error {
	if !s.isBearer(strings.TrimSpace(issuer)) {
		return nil
	}
	known, _, err := s.known(ctx, caller)
	if err == nil && !known.Admin {
		err = &DirectoryError{Code: NotOwnedAnyMore, Message: "Insufficient privileges to complete the operation. A credential for an issuer of access tokens is an administrator's to make."}
	}
	return err
}
