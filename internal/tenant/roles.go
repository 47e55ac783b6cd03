package tenant

import (
	"context"
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

// A RoleDefinition is a role that can be assigned. Those that are built in never change.
type RoleDefinition struct {
	ID               string // GUID
	Name             string
	Description      string
	BuiltIn          bool
	Actions          []string
	NotActions       []string
	DataActions      []string
	NotDataActions   []string
	AssignableScopes []string // "/" for those that are built in
	Created, Updated time.Time
	CreatedBy        string // object id; empty for those that are built in
	UpdatedBy        string

	delegates []string // access.Role.Delegates
}

// A RoleAssignment gives a role to a principal at a scope and everything below it.
type RoleAssignment struct {
	ID               string // GUID
	Scope            string // ARM id, as it was sent
	RoleID           string // GUID
	PrincipalID      string
	PrincipalType    string // "ServicePrincipal", "User" or "Group"
	Description      *string
	Created, Updated time.Time
	CreatedBy        string // object id
	UpdatedBy        string
}

// The refusals of roles.
var (
	ErrRoleNotFound        = errors.New("tenant: there is no such role definition")
	ErrAssignmentNotFound  = errors.New("tenant: there is no such role assignment")
	ErrAssignmentExists    = errors.New("tenant: the role assignment already exists")
	ErrAssignmentFixed     = errors.New("tenant: a role assignment cannot get another principal, role or scope")
	ErrPrincipalUnknown    = errors.New("tenant: there is no such principal in the directory")
	ErrPrincipalType       = errors.New("tenant: the principal is of another type")
	ErrRoleBuiltIn         = errors.New("tenant: a built-in role cannot be changed")
	ErrRoleInUse           = errors.New("tenant: the role definition has assignments")
	ErrRoleNameTaken       = errors.New("tenant: another role definition has the name")
	ErrTooManyAssignments  = fmt.Errorf("tenant: there are %d role assignments, the most there may be", maxAssignments)
	ErrTooManyRolesDefined = fmt.Errorf("tenant: there are %d custom roles, the most there may be", maxRoles)
	ErrRolesTooLarge       = errors.New("tenant: the role definitions and assignments do not fit into their record")
)

// The bounds of what is in the one record (the service's, of a subscription and a tenant).
const (
	maxAssignments = 4000
	maxRoles       = 500
)

type rolesRecord struct {
	Definitions []definitionRecord `json:"definitions,omitempty"` // custom ones
	Assignments []assignmentRecord `json:"assignments,omitempty"`
}

type definitionRecord struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Description    string   `json:"description,omitempty"`
	Actions        []string `json:"actions,omitempty"`
	NotActions     []string `json:"notActions,omitempty"`
	DataActions    []string `json:"dataActions,omitempty"`
	NotDataActions []string `json:"notDataActions,omitempty"`
	Scopes         []string `json:"scopes"`
	Created        int64    `json:"created"` // Unix milliseconds
	Updated        int64    `json:"updated"`
	CreatedBy      string   `json:"createdBy,omitempty"`
	UpdatedBy      string   `json:"updatedBy,omitempty"`
}

type assignmentRecord struct {
	ID            string  `json:"id"`
	Scope         string  `json:"scope"`
	RoleID        string  `json:"role"`
	PrincipalID   string  `json:"principal"`
	PrincipalType string  `json:"type"`
	Description   *string `json:"description,omitempty"`
	Created       int64   `json:"created"` // Unix milliseconds
	Updated       int64   `json:"updated"`
	CreatedBy     string  `json:"createdBy,omitempty"`
	UpdatedBy     string  `json:"updatedBy,omitempty"`
}

// A roleTable is the record, parsed and indexed. It is shared and never changed.
type roleTable struct {
	rolesRecord
	index *access.Roles
}

// access is what decides; nil, when nothing was ever assigned.
func (t *roleTable) access() *access.Roles {
	if t == nil {
		return nil
	}
	return t.index
}

func (s *Service) openRoles(rec store.Record) (*roleTable, error) {
	t := &roleTable{}
	if err := s.open(rec, place(kindRoles, ""), &t.rolesRecord); err != nil {
		return nil, err
	}
	var roles []access.Role
	for _, d := range t.definitions() {
		roles = append(roles, access.Role{ID: d.ID, Actions: d.Actions, NotActions: d.NotActions, DataActions: d.DataActions, NotDataActions: d.NotDataActions, Delegates: d.delegates})
	}
	var assignments []access.Assignment
	for _, a := range t.Assignments {
		assignments = append(assignments, access.Assignment{ID: a.ID, RoleID: a.RoleID, PrincipalID: a.PrincipalID, Scope: a.Scope})
	}
	t.index = access.NewRoles(roles, assignments)
	return t, nil
}

// definitions are the built-in ones and those of the tenant.
func (r rolesRecord) definitions() []RoleDefinition {
	out := builtInRoles()
	for _, d := range r.Definitions {
		out = append(out, RoleDefinition{
			ID: d.ID, Name: d.Name, Description: d.Description, Actions: d.Actions, NotActions: d.NotActions, DataActions: d.DataActions, NotDataActions: d.NotDataActions,
			AssignableScopes: d.Scopes, Created: time.UnixMilli(d.Created), Updated: time.UnixMilli(d.Updated), CreatedBy: d.CreatedBy, UpdatedBy: d.UpdatedBy,
		})
	}
	return out
}

func (r rolesRecord) definition(id string) (RoleDefinition, bool) {
	for _, d := range r.definitions() {
		if strings.EqualFold(d.ID, id) {
			return d, true
		}
	}
	return RoleDefinition{}, false
}

func (a assignmentRecord) assignment() RoleAssignment {
	return RoleAssignment{
		ID: a.ID, Scope: a.Scope, RoleID: a.RoleID, PrincipalID: a.PrincipalID, PrincipalType: a.PrincipalType, Description: a.Description,
		Created: time.UnixMilli(a.Created), Updated: time.UnixMilli(a.Updated), CreatedBy: a.CreatedBy, UpdatedBy: a.UpdatedBy,
	}
}

// The operations on roles, as the audit log names them.
func roleOperation(name, action, target string) gate.Operation {
	return gate.Operation{Name: name, Permission: access.Permission{Control: "Microsoft.Authorization/" + action, Target: target}}
}

// known reads the caller's principal and the roles, in one snapshot.
func (s *Service) known(ctx context.Context, caller access.Caller) (access.Caller, *roleTable, error) {
	look := s.Look(caller)
	recs, err := s.config.Store.Get(ctx, look.Asks()...)
	if err != nil {
		return caller, nil, explain(err)
	}
	known, err := look.Caller(recs)
	if err != nil {
		return caller, nil, err
	}
	table, ok, err := look.roles.Value(recs[1], s.openRoles)
	if err != nil || !ok {
		table = &roleTable{}
	}
	return known, table, err
}

// readRoles decides about a read at a scope and hands over the table.
func (s *Service) readRoles(ctx context.Context, caller access.Caller, op gate.Operation, scope string, fn func(*roleTable) error) error {
	known, table, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	return s.config.Gate.Read(ctx, roleRequest(known, op, scope), func(seal.Grant) error { return fn(table) })
}

func roleRequest(caller access.Caller, op gate.Operation, scope string) gate.Request {
	return gate.Request{Caller: caller, Operation: op, Subject: gate.Subject{Object: scope, ResourceID: strings.ToUpper(scope), Rules: access.Rules{Scope: scope}}}
}

// ListRoleDefinitions returns the roles that can be assigned at a scope.
func (s *Service) ListRoleDefinitions(ctx context.Context, caller access.Caller, scope string) (out []RoleDefinition, err error) {
	err = s.readRoles(ctx, caller, roleOperation("RoleDefinitionList", "roleDefinitions/read", ""), scope, func(t *roleTable) error {
		for _, d := range t.definitions() {
			if d.assignableAt(scope) {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// assignableAt reports whether the scope is one of the role's, or below, or above one of a
// custom role, where it is shown.
func (d RoleDefinition) assignableAt(scope string) bool {
	return slices.ContainsFunc(d.AssignableScopes, func(of string) bool { return within(scope, of) || within(of, scope) })
}

// within reports whether a scope is another or below it.
func within(scope, of string) bool {
	scope, of = strings.TrimRight(strings.ToLower(scope), "/"), strings.TrimRight(strings.ToLower(of), "/")
	return of == "" || scope == of || strings.HasPrefix(scope, of+"/")
}

// GetRoleDefinition returns a role. The error is ErrRoleNotFound.
func (s *Service) GetRoleDefinition(ctx context.Context, caller access.Caller, scope, id string) (out RoleDefinition, err error) {
	err = s.readRoles(ctx, caller, roleOperation("RoleDefinitionGet", "roleDefinitions/read", ""), scope, func(t *roleTable) error {
		d, ok := t.definition(id)
		if !ok {
			return ErrRoleNotFound
		}
		out = d
		return nil
	})
	return out, err
}

// ListRoleAssignments returns the assignments that match, at the scope, above and below. If
// assignedTo is not empty, only those of that principal and of the groups that it is in.
func (s *Service) ListRoleAssignments(ctx context.Context, caller access.Caller, scope, assignedTo string, match func(RoleAssignment) bool) (out []RoleAssignment, err error) {
	holders, err := s.holders(ctx, assignedTo)
	if err != nil {
		return nil, err
	}
	err = s.readRoles(ctx, caller, roleOperation("RoleAssignmentList", "roleAssignments/read", ""), scope, func(t *roleTable) error {
		for _, a := range t.Assignments {
			if (within(scope, a.Scope) || within(a.Scope, scope)) && (assignedTo == "" || holders[strings.ToLower(a.PrincipalID)]) && match(a.assignment()) {
				out = append(out, a.assignment())
			}
		}
		return nil
	})
	return out, err
}

// holders are a principal and its groups, folded.
func (s *Service) holders(ctx context.Context, oid string) (map[string]bool, error) {
	out := map[string]bool{strings.ToLower(oid): true}
	if oid == "" {
		return out, nil
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(oid)})
	if err != nil || !recs[0].Exists() {
		return out, explain(err)
	}
	var p principalRecord
	if err := s.open(recs[0], place(kindPrincipal, oid), &p); err != nil {
		return nil, err
	}
	for _, group := range p.Groups {
		out[strings.ToLower(group)] = true
	}
	return out, nil
}

// GetRoleAssignment returns the assignment of an id at a scope. The error is
// ErrAssignmentNotFound.
func (s *Service) GetRoleAssignment(ctx context.Context, caller access.Caller, scope, id string) (out RoleAssignment, err error) {
	err = s.readRoles(ctx, caller, roleOperation("RoleAssignmentGet", "roleAssignments/read", ""), scope, func(t *roleTable) error {
		at := t.assignmentAt(scope, id)
		if at < 0 {
			return ErrAssignmentNotFound
		}
		out = t.Assignments[at].assignment()
		return nil
	})
	return out, err
}

// assignmentAt finds an assignment by its id and its very scope.
func (r rolesRecord) assignmentAt(scope, id string) int {
	return slices.IndexFunc(r.Assignments, func(a assignmentRecord) bool {
		return strings.EqualFold(a.ID, id) && within(a.Scope, scope) && within(scope, a.Scope)
	})
}

// PutRoleAssignment assigns. Made says whether it is new. An assignment of the same id
// with the same content is left as it is. Errors: ErrRoleNotFound, ErrPrincipalUnknown,
// ErrPrincipalType, ErrAssignmentExists, ErrAssignmentFixed, ErrTooManyAssignments.
func (s *Service) PutRoleAssignment(ctx context.Context, caller access.Caller, a RoleAssignment) (out RoleAssignment, made bool, err error) {
	id, ok := guid(a.ID)
	if !ok {
		return out, false, fmt.Errorf("%w: the name of a role assignment is a GUID", ErrAssignmentNotFound)
	}
	a.ID = id
	now := s.config.Now()
	op := roleOperation("RoleAssignmentCreate", "roleAssignments/write", a.RoleID)
	err = s.changeRoles(ctx, caller, op, a.Scope, nil, func(r *rolesRecord) error {
		made = false
		record, err := s.newAssignment(ctx, r, a, caller.ObjectID, now)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(r.Assignments, func(old assignmentRecord) bool { return strings.EqualFold(old.ID, id) }); at >= 0 {
			old := &r.Assignments[at]
			if !old.same(record) {
				return ErrAssignmentFixed
			}
			old.Description = a.Description
			out = old.assignment()
			return nil
		}
		if slices.ContainsFunc(r.Assignments, record.same) {
			return ErrAssignmentExists
		}
		if len(r.Assignments) >= maxAssignments {
			return ErrTooManyAssignments
		}
		r.Assignments = append(r.Assignments, record)
		out, made = record.assignment(), true
		return nil
	})
	return out, made, err
}

func (a assignmentRecord) same(b assignmentRecord) bool {
	return strings.EqualFold(a.RoleID, b.RoleID) && strings.EqualFold(a.PrincipalID, b.PrincipalID) && within(a.Scope, b.Scope) && within(b.Scope, a.Scope)
}

// newAssignment checks role and principal.
func (s *Service) newAssignment(ctx context.Context, r *rolesRecord, a RoleAssignment, by string, now time.Time) (assignmentRecord, error) {
	role, ok := r.definition(a.RoleID)
	if !ok || !slices.ContainsFunc(role.AssignableScopes, func(of string) bool { return within(a.Scope, of) }) {
		return assignmentRecord{}, ErrRoleNotFound
	}
	kind, err := s.principalType(ctx, a.PrincipalID)
	if err != nil {
		return assignmentRecord{}, err
	}
	if a.PrincipalType != "" && !strings.EqualFold(a.PrincipalType, kind) {
		return assignmentRecord{}, fmt.Errorf("%w: %s, not %s", ErrPrincipalType, kind, clip(a.PrincipalType))
	}
	return assignmentRecord{
		ID: a.ID, Scope: a.Scope, RoleID: role.ID, PrincipalID: strings.ToLower(a.PrincipalID), PrincipalType: kind, Description: a.Description,
		Created: now.UnixMilli(), Updated: now.UnixMilli(), CreatedBy: by, UpdatedBy: by,
	}, nil
}

// principalType says what a principal is. The error is ErrPrincipalUnknown.
func (s *Service) principalType(ctx context.Context, oid string) (string, error) {
	if _, ok := guid(oid); !ok { // it would be no key of the store
		return "", fmt.Errorf("%w: %s", ErrPrincipalUnknown, clip(oid))
	}
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(oid)}, store.Ask{Key: groupKey(oid)})
	if err != nil {
		return "", err
	}
	if recs[1].Exists() {
		return "Group", nil
	}
	if !recs[0].Exists() {
		return "", fmt.Errorf("%w: %s", ErrPrincipalUnknown, clip(oid))
	}
	var p principalRecord
	if err := s.open(recs[0], place(kindPrincipal, oid), &p); err != nil {
		return "", err
	}
	if p.AppID == "" {
		return "User", nil
	}
	return "ServicePrincipal", nil
}

// DeleteRoleAssignment removes an assignment and returns what it was. The error is
// ErrAssignmentNotFound.
func (s *Service) DeleteRoleAssignment(ctx context.Context, caller access.Caller, scope, id string) (out RoleAssignment, err error) {
	_, table, err := s.known(ctx, caller)
	if err != nil {
		return out, err
	}
	role := ""
	if at := table.assignmentAt(scope, id); at >= 0 {
		role = table.Assignments[at].RoleID
	}
	err = s.changeRoles(ctx, caller, roleOperation("RoleAssignmentDelete", "roleAssignments/delete", role), scope, nil, func(r *rolesRecord) error {
		at := r.assignmentAt(scope, id)
		if at < 0 || r.Assignments[at].RoleID != role {
			return ErrAssignmentNotFound
		}
		out = r.Assignments[at].assignment()
		r.Assignments = slices.Delete(r.Assignments, at, at+1)
		return nil
	})
	return out, err
}

// PutRoleDefinition makes or replaces a custom role.
func (s *Service) PutRoleDefinition(ctx context.Context, caller access.Caller, scope string, d RoleDefinition) (out RoleDefinition, err error) {
	id, ok := guid(d.ID)
	if !ok {
		return out, fmt.Errorf("%w: the name of a role definition is a GUID", ErrRoleNotFound)
	}
	now := s.config.Now().UnixMilli()
	op := roleOperation("RoleDefinitionWrite", "roleDefinitions/write", "")
	err = s.changeRoles(ctx, caller, op, scope, whereRole(id, d.AssignableScopes), func(r *rolesRecord) error {
		record := definitionRecord{
			ID: id, Name: d.Name, Description: d.Description, Actions: d.Actions, NotActions: d.NotActions, DataActions: d.DataActions, NotDataActions: d.NotDataActions,
			Scopes: d.AssignableScopes, Created: now, Updated: now, CreatedBy: caller.ObjectID, UpdatedBy: caller.ObjectID,
		}
		for _, other := range r.definitions() {
			switch {
			case other.ID == id && other.BuiltIn:
				return ErrRoleBuiltIn
			case other.ID != id && strings.EqualFold(other.Name, d.Name):
				return ErrRoleNameTaken
			}
		}
		at := slices.IndexFunc(r.Definitions, func(old definitionRecord) bool { return old.ID == id })
		if at >= 0 {
			record.Created, record.CreatedBy = r.Definitions[at].Created, r.Definitions[at].CreatedBy
			r.Definitions[at] = record
		} else if len(r.Definitions) >= maxRoles {
			return ErrTooManyRolesDefined
		} else {
			r.Definitions = append(r.Definitions, record)
		}
		out, _ = r.definition(id)
		return nil
	})
	return out, err
}

// DeleteRoleDefinition removes a custom role that is assigned to nobody.
func (s *Service) DeleteRoleDefinition(ctx context.Context, caller access.Caller, scope, id string) (out RoleDefinition, err error) {
	op := roleOperation("RoleDefinitionDelete", "roleDefinitions/delete", "")
	err = s.changeRoles(ctx, caller, op, scope, whereRole(id, nil), func(r *rolesRecord) error {
		found, ok := r.definition(id)
		switch {
		case !ok:
			return ErrRoleNotFound
		case found.BuiltIn:
			return ErrRoleBuiltIn
		case slices.ContainsFunc(r.Assignments, func(a assignmentRecord) bool { return a.RoleID == found.ID }):
			return ErrRoleInUse
		}
		out = found
		r.Definitions = slices.DeleteFunc(r.Definitions, func(d definitionRecord) bool { return d.ID == found.ID })
		return nil
	})
	return out, err
}

// EnsureAssignment sees to it that a principal has a role at a scope. It is for those who
// provision: there is no caller whose permission is asked.
func (s *Service) EnsureAssignment(ctx context.Context, principal, role, scope string) error {
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: rolesKey})
	if err != nil {
		return err
	}
	kind, err := s.principalType(ctx, principal)
	if err != nil {
		return err
	}
	want := assignmentRecord{
		ID: uuid.NewString(), Scope: scope, RoleID: role, PrincipalID: strings.ToLower(principal), PrincipalType: kind,
		Created: s.config.Now().UnixMilli(), Updated: s.config.Now().UnixMilli(),
	}
	if recs[0].Exists() {
		table, err := s.openRoles(recs[0])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(table.Assignments, want.same) {
			return nil
		}
	}
	return s.system(ctx, "RoleAssignmentCreate", scope, func(g seal.Grant) error {
		return s.editRoles(ctx, g, func(r *rolesRecord) error {
			if !slices.ContainsFunc(r.Assignments, want.same) {
				r.Assignments = append(r.Assignments, want)
			}
			return nil
		})
	})
}

// MayAssign reports whether the caller may assign a role at a scope, before it is looked at
// whether there is anything at that scope. A refusal is in the audit log.
func (s *Service) MayAssign(ctx context.Context, caller access.Caller, scope, role string) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	op := roleOperation("RoleAssignmentCreate", "roleAssignments/write", role)
	if (access.Rules{Scope: scope}).Allow(known, op.Permission, "").Allowed {
		return nil
	}
	return s.config.Gate.Read(ctx, roleRequest(known, op, scope), func(seal.Grant) error { return nil })
}
