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
// such a token says of ids, groups and roles counts for nothing: its issuer and its subject
// name a federated credential of an application, or an identity of a user, and whoever has it
// calls, by their own principal of this directory. So an issuer cannot claim to be somebody
// else, and who is removed or disabled here is out from the next request on, however long the
// token is valid.

// maxOutside bounds the hints below.
const maxOutside = 4096

// outsideHints remembers whom an issuer's subject was found to be. It is a hint: the record is
// read, and has to say so still.
type outsideHints struct {
	mu    sync.Mutex
	found map[outsideID]outsideHint
}

// An outsideID is what of a token counts.
type outsideID struct{ issuer, subject, user string }

// An outsideHint has one of the two.
type outsideHint struct {
	app  string // client id
	user string // userPrincipalName
}

func (h *outsideHints) get(id outsideID) (outsideHint, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint, ok := h.found[id]
	return hint, ok
}

func (h *outsideHints) put(id outsideID, hint outsideHint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.found == nil || len(h.found) >= maxOutside {
		h.found = map[outsideID]outsideHint{}
	}
	h.found[id] = hint
}

// isBearer reports whether tokens of an issuer are access tokens.
func (s *Service) isBearer(issuer string) bool {
	return issuer != "" && s.config.Bearers != nil && s.config.Bearers.Knows(issuer)
}

// outsideCaller returns the application or the user that an outside issuer's token is of. The
// audience has to be one of the door's, exactly, of this installation alone, and one that the
// credential of an application names.
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
	return s.outsidePrincipal(ctx, outsideID{issuer, found.Subject, found.User}, found.Audiences)
}

// outsidePrincipal finds the one application with a credential of the issuer, the subject and
// one of the audiences, or the one user with an identity of the issuer.
func (s *Service) outsidePrincipal(ctx context.Context, id outsideID, audiences []string) (access.Caller, error) {
	if hint, ok := s.outside.get(id); ok {
		if caller, ok, err := s.hinted(ctx, hint, id, audiences); ok || err != nil {
			return caller, err
		}
	}
	d, err := s.directory(ctx)
	if err != nil {
		return access.Caller{}, err
	}
	var found []access.Caller
	var hint outsideHint
	for _, a := range d.applications {
		if a.value.admits(id, audiences) {
			found, hint = append(found, s.outsideApplication(a.value, id)), outsideHint{app: a.value.AppID}
		}
	}
	for _, u := range d.users {
		if u.value.admits(id) {
			found, hint = append(found, s.outsideUser(u.value, id)), outsideHint{user: u.value.Name}
		}
	}
	if len(found) != 1 { // of two, neither is meant for sure
		return access.Caller{}, &token.Error{Reason: token.UnknownSubject}
	}
	s.outside.put(id, hint)
	return found[0], nil
}

// hinted follows a hint; ok is false if it leads to nobody any more.
func (s *Service) hinted(ctx context.Context, hint outsideHint, id outsideID, audiences []string) (caller access.Caller, ok bool, err error) {
	if hint.user != "" {
		record, err := s.userNamed(ctx, hint.user)
		return s.outsideUser(record, id), record.admits(id), err
	}
	record, _, err := s.application(ctx, hint.app)
	if errors.Is(err, ErrNotFound) {
		return caller, false, nil
	}
	return s.outsideApplication(record, id), record.admits(id, audiences), err
}

func (s *Service) outsideApplication(record applicationRecord, id outsideID) access.Caller {
	return access.Caller{TenantID: s.tenantID, ObjectID: record.ObjectID, AppID: record.AppID, Issuer: id.issuer}
}

// outsideUser is a user for whom no application acts that is known here.
func (s *Service) outsideUser(record userRecord, id outsideID) access.Caller {
	return access.Caller{TenantID: s.tenantID, ObjectID: record.ObjectID, Issuer: id.issuer}
}

// admits reports whether one of the user's identities is the one.
func (r userRecord) admits(id outsideID) bool {
	return id.user != "" && slices.Contains(r.Identities, identityRecord{id.issuer, id.user})
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
