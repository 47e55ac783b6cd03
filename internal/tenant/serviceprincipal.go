package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// ListPrincipals returns the service principals that match.
func (s *Service) ListPrincipals(ctx context.Context, caller access.Caller, match func(Principal) bool) (out []Principal, err error) {
	err = s.readDirectory(ctx, caller, "PrincipalList", "", func(access.Caller) error {
		apps := map[string]Registration{}
		if err := s.eachApplication(ctx, func(r applicationRecord, _ store.Record) error {
			apps[strings.ToLower(r.AppID)] = r.registration()
			return nil
		}); err != nil {
			return err
		}
		return s.scan(ctx, "t/sp/", func(rec store.Record) error {
			var p principalRecord
			if err := s.open(rec, place(kindPrincipal, string(rec.Key[len("t/sp/"):])), &p); err != nil {
				return err
			}
			app, ok := apps[strings.ToLower(p.AppID)]
			if one := (Principal{ID: p.ObjectID, Enabled: p.Enabled, App: app}); ok && match(one) {
				out = append(out, one)
			}
			return nil
		})
	})
	return out, err
}

// Principal returns a service principal by its object id. The error is ErrNotFound.
func (s *Service) Principal(ctx context.Context, caller access.Caller, id string) (Principal, error) {
	found, err := s.ListPrincipals(ctx, caller, func(p Principal) bool { return strings.EqualFold(p.ID, id) })
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Principal{}, err
	}
	return found[0], nil
}

// CreatePrincipal makes the service principal of an application. Errors: ErrNoApplication,
// ErrExists.
func (s *Service) CreatePrincipal(ctx context.Context, caller access.Caller, appID string) (Principal, error) {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return Principal{}, err
	}
	record, was, err := s.findApplication(ctx, func(r applicationRecord) bool { return strings.EqualFold(r.AppID, appID) })
	if errors.Is(err, ErrNotFound) {
		return Principal{}, ErrNoApplication
	}
	if err != nil {
		return Principal{}, err
	}
	oid := uuid.NewString()
	err = s.config.Gate.Write(ctx, directoryRequest(known, "PrincipalCreate", record.AppID, record.ownedBy(known)), func(g seal.Grant) error {
		if record.ObjectID != "" {
			return fmt.Errorf("%w: the service principal of %s", ErrExists, record.AppID)
		}
		record.ObjectID = oid
		application, err := s.seal(g, place(kindApplication, record.AppID), record)
		if err != nil {
			return err
		}
		principal, err := s.seal(g, place(kindPrincipal, oid), principalRecord{ObjectID: oid, AppID: record.AppID, Enabled: true})
		if err != nil {
			return err
		}
		return s.commit(ctx, change{was, application}, change{store.Record{Key: principalKey(oid)}, principal})
	})
	return Principal{ID: oid, Enabled: true, App: record.registration()}, err
}

// EnablePrincipal enables or disables a service principal, from the next request on.
func (s *Service) EnablePrincipal(ctx context.Context, caller access.Caller, id string, enabled bool) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	record, _, err := s.findApplication(ctx, byPrincipal(id))
	if err != nil {
		return err
	}
	name := map[bool]string{true: "PrincipalEnable", false: "PrincipalDisable"}[enabled]
	return s.config.Gate.Write(ctx, directoryRequest(known, name, record.AppID, record.ownedBy(known)), func(g seal.Grant) error {
		return retry(func() error { return s.setEnabled(ctx, g, id, enabled) })
	})
}

// DeletePrincipal removes a service principal; its application stays.
func (s *Service) DeletePrincipal(ctx context.Context, caller access.Caller, id string) error {
	return s.removeParts(ctx, caller, "PrincipalDelete", byPrincipal(id), false)
}
