package tenant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// principalRecord is a service principal, or what a user is as a principal.
type principalRecord struct {
	ObjectID string   `json:"oid"`
	AppID    string   `json:"appid"` // empty: a user, for whom any application may act
	Enabled  bool     `json:"enabled"`
	Groups   []string `json:"groups,omitempty"` // object ids
	Admin    bool     `json:"admin,omitempty"`  // administers the directory
}

// A Look is one look-up of a caller's principal under way. Whoever decides about the
// caller gives Asks to the store together with what else it reads.
type Look struct {
	service *Service
	caller  access.Caller
	record  store.Look[principalRecord]
	roles   store.Look[*roleTable]
}

// Look begins the look-up of the caller's principal, and of the tenant's roles.
func (s *Service) Look(caller access.Caller) Look {
	return Look{service: s, caller: caller, record: s.principals.Look(principalKey(caller.ObjectID)), roles: s.roles.Look(rolesKey)}
}

// Asks names the records that the store is to answer.
func (l Look) Asks() []store.Ask { return []store.Ask{l.record.Ask(), l.roles.Ask()} }

// Caller returns the caller with the groups of its principal and the tenant's roles; recs
// are the store's answers to Asks. The error is access.ErrPrincipalGone when the principal
// was removed or disabled, or is another application's, or of another tenant.
func (l Look) Caller(recs []store.Record) (access.Caller, error) {
	p, ok, err := l.record.Value(recs[0], func(rec store.Record) (p principalRecord, err error) {
		return p, l.service.open(rec, place(kindPrincipal, l.caller.ObjectID), &p)
	})
	if err != nil {
		return access.Caller{}, err
	}
	ours := p.AppID == "" || strings.EqualFold(p.AppID, l.caller.AppID)
	if !ok || !p.Enabled || !ours || !strings.EqualFold(l.caller.TenantID, l.service.tenantID) {
		return access.Caller{}, access.ErrPrincipalGone
	}
	roles, _, err := l.roles.Value(recs[1], l.service.openRoles)
	if err != nil {
		return access.Caller{}, err
	}
	caller := l.caller
	caller.Groups, caller.Admin, caller.User, caller.Roles = slices.Clone(p.Groups), p.Admin, p.AppID == "", roles.access()
	return caller, nil
}

// SetEnabled enables or disables an application's service principal, from the next
// request on. The error is ErrNotFound when there is none.
func (s *Service) SetEnabled(ctx context.Context, app Application, enabled bool) error {
	operation := "PrincipalDisable"
	if enabled {
		operation = "PrincipalEnable"
	}
	return s.system(ctx, operation, app.ObjectID, func(g seal.Grant) error {
		return retry(ctx, func() error { return s.setEnabled(ctx, g, app.ObjectID, enabled) })
	})
}

// setEnabled is a change of the directory, too: what a principal that is disabled is about to
// change is not changed.
func (s *Service) setEnabled(ctx context.Context, g seal.Grant, oid string, enabled bool) error {
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(oid)}, store.Ask{Key: directoryKey})
	if err != nil {
		return err
	}
	if !recs[0].Exists() {
		return fmt.Errorf("%w: there is no service principal %s", ErrNotFound, clip(oid))
	}
	at := place(kindPrincipal, oid)
	var p principalRecord
	if err := s.open(recs[0], at, &p); err != nil {
		return err
	}
	p.Enabled = enabled
	box, err := s.seal(g, at, p)
	if err != nil {
		return err
	}
	mark, err := s.mark(g, recs[1])
	if err != nil {
		return err
	}
	return s.commit(ctx, change{recs[0], box}, mark)
}
