package tenant

import (
	"context"
	"slices"
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// Forget removes the assignments at a scope that is gone for good, and below it if whole is
// set, unless still says in the Update that there may be a namesake.
func (s *Service) Forget(ctx context.Context, scope string, whole bool, still func(store.Tx) (bool, error)) error {
	gone := func(a assignmentRecord) bool { return within(a.Scope, scope) && (whole || within(scope, a.Scope)) }
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: rolesKey})
	if err != nil || !recs[0].Exists() {
		return err
	}
	if table, err := s.openRoles(recs[0]); err != nil || !slices.ContainsFunc(table.Assignments, gone) {
		return err
	}
	return s.system(ctx, "RoleAssignmentDelete", scope, func(g seal.Grant) error {
		return s.editRolesWhile(ctx, g, still, func(r *rolesRecord) error {
			r.Assignments = slices.DeleteFunc(r.Assignments, gone)
			return nil
		})
	})
}

// forget removes the assignments of a principal that was removed.
func (r *rolesRecord) forget(principal string) {
	r.Assignments = slices.DeleteFunc(r.Assignments, func(a assignmentRecord) bool { return strings.EqualFold(a.PrincipalID, principal) })
}
