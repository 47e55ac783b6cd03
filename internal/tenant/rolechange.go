package tenant

import (
	"context"
	"slices"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// changeRoles decides, and changes the record, again if another change came in between. It
// decides again in front of the commit, by what the change is made on top of: a right that was
// lost in the meantime changes nothing any more. The right is needed at the scope, and at
// those that also names, if it is not nil.
func (s *Service) changeRoles(ctx context.Context, caller access.Caller, op gate.Operation, scope string, also func(rolesRecord) []string, edit func(*rolesRecord) error) error {
	request, _, err := s.decideRoles(ctx, caller, op, scope, also)
	if err != nil {
		return err
	}
	return explain(s.config.Gate.Write(ctx, request, func(g seal.Grant) error {
		return s.editRoles(ctx, g, func(r *rolesRecord) error {
			request, now, err := s.decideRoles(ctx, caller, op, scope, also)
			switch {
			case err != nil:
				return err
			case !now.Allowed:
				return &gate.Denied{Request: request, Decision: now}
			}
			return edit(r)
		})
	}))
}

// decideRoles returns the request at one of the scopes, and what is decided about it: where it
// is refused, if there is such a scope.
func (s *Service) decideRoles(ctx context.Context, caller access.Caller, op gate.Operation, scope string, also func(rolesRecord) []string) (r gate.Request, d access.Decision, err error) {
	known, table, err := s.known(ctx, caller)
	if err != nil {
		return r, d, err
	}
	scopes := []string{scope}
	if also != nil {
		scopes = append(scopes, also(table.rolesRecord)...)
	}
	for _, at := range scopes {
		r = roleRequest(known, op, at)
		if d = r.Subject.Rules.Allow(known, op.Permission, ""); !d.Allowed {
			break
		}
	}
	return r, d, nil
}

func (s *Service) editRoles(ctx context.Context, g seal.Grant, edit func(*rolesRecord) error) error {
	return s.editRolesWhile(ctx, g, func(store.Tx) (bool, error) { return true, nil }, edit)
}

// editRolesWhile changes nothing if still returns false, in the Update.
func (s *Service) editRolesWhile(ctx context.Context, g seal.Grant, still func(store.Tx) (bool, error), edit func(*rolesRecord) error) error {
	return retry(ctx, func() error {
		recs, err := s.config.Store.Get(ctx, store.Ask{Key: rolesKey}, store.Ask{Key: directoryKey})
		if err != nil {
			return err
		}
		recs[0].Key = rolesKey
		var record rolesRecord
		if recs[0].Exists() {
			if err := s.open(recs[0], place(kindRoles, ""), &record); err != nil {
				return err
			}
		}
		if err := edit(&record); err != nil {
			return err
		}
		box, err := s.seal(g, place(kindRoles, ""), record)
		if err != nil {
			return err
		}
		if len(box) > store.MaxBody {
			return ErrRolesTooLarge
		}
		// That whom a role is given to exists was looked at in between.
		return s.config.Store.Update(ctx, func(tx store.Tx) error {
			directory, err := tx.Get(directoryKey)
			if err != nil {
				return err
			}
			if directory.Revision != recs[1].Revision {
				return store.ErrChanged
			}
			if ok, err := still(tx); err != nil || !ok {
				return err
			}
			return change{recs[0], box}.apply(tx)
		})
	})
}

// whereRole names the scopes where a role can be assigned or shall be, and those where it is,
// perhaps from a time when it could be: who changes a role changes what it allows everywhere.
func whereRole(id string, scopes []string) func(rolesRecord) []string {
	return func(r rolesRecord) []string {
		d, ok := r.definition(id)
		if !ok || d.BuiltIn {
			return scopes
		}
		all := slices.Concat(scopes, d.AssignableScopes)
		for _, a := range r.Assignments {
			if a.RoleID == d.ID {
				all = append(all, a.Scope)
			}
		}
		return all
	}
}
