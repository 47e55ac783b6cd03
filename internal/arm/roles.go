package arm

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

const authorizationProvider = "/providers/Microsoft.Authorization/"

// scopePath is the scope of a request to the authorization provider; "/" is the root.
func (r request) scopePath() string {
	if r.scope == "" {
		return "/"
	}
	return r.scope
}

func (d *Door) roleID(scope, id string) string {
	if strings.HasPrefix(strings.ToLower(scope), "/subscriptions/") {
		return "/subscriptions/" + d.Vaults.SubscriptionID() + authorizationProvider + "roleDefinitions/" + id
	}
	return authorizationProvider + "roleDefinitions/" + id
}

func (d *Door) roleDefinition(r request, t tenant.RoleDefinition) roleDefinition {
	kind := "CustomRole"
	if t.BuiltIn {
		kind = "BuiltInRole"
	}
	return roleDefinition{
		Properties: roleDefinitionProperties{
			RoleName: t.Name, Type: kind, Description: t.Description, AssignableScopes: listed(t.AssignableScopes),
			Permissions: []rolePermission{{listed(t.Actions), listed(t.NotActions), listed(t.DataActions), listed(t.NotDataActions)}},
			CreatedOn:   longStamp(t.Created), UpdatedOn: longStamp(t.Updated), CreatedBy: optional(t.CreatedBy), UpdatedBy: optional(t.UpdatedBy),
		},
		ID: d.roleID(r.scope, t.ID), Type: "Microsoft.Authorization/roleDefinitions", Name: t.ID,
	}
}

func longStamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// roleFilter knows what tools ask for: a name, a type, and words that change nothing here.
var roleFilter = regexp.MustCompile(`(?i)^(?:(atScope\(\)|atScopeAndBelow\(\))|roleName\s+eq\s+'((?:[^']|'')+)'|type\s+eq\s+'([^']+)')$`)

func badFilter(names string) error {
	return fail(http.StatusBadRequest, "InvalidFilter", "The $filter is not supported; use %s.", names)
}

func (d *Door) listRoleDefinitions(r request) (answer, error) {
	name, kind := "", ""
	for _, part := range filterParts(r.query.Get("$filter")) {
		found := roleFilter.FindStringSubmatch(part)
		if found == nil {
			return answer{}, badFilter("roleName eq 'NAME', type eq 'BuiltInRole' or atScopeAndBelow()")
		}
		if found[2] != "" {
			name = strings.ReplaceAll(found[2], "''", "'")
		}
		if found[3] != "" {
			kind = found[3]
		}
	}
	roles, err := d.Tenant.ListRoleDefinitions(r.ctx, r.caller, r.scopePath())
	var out []roleDefinition
	for _, t := range roles {
		one := d.roleDefinition(r, t)
		if (name == "" || strings.EqualFold(name, t.Name)) && (kind == "" || strings.EqualFold(kind, one.Properties.Type)) {
			out = append(out, one)
		}
	}
	return ok(listOf(out)), err
}

// filterParts are what stands between the words "and" of a filter.
func filterParts(filter string) (out []string) {
	for _, part := range regexp.MustCompile(`(?i)\s+and\s+`).Split(strings.TrimSpace(filter), -1) {
		if part != "" {
			out = append(out, strings.TrimSpace(part))
		}
	}
	return out
}

func (d *Door) getRoleDefinition(r request) (answer, error) {
	t, err := d.Tenant.GetRoleDefinition(r.ctx, r.caller, r.scopePath(), r.params["{role}"])
	return ok(d.roleDefinition(r, t)), err
}

func (d *Door) putRoleDefinition(r request) (answer, error) {
	var body roleDefinitionInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	p := body.Properties
	in := tenant.RoleDefinition{ID: r.params["{role}"], Name: p.RoleName, Description: p.Description, AssignableScopes: p.AssignableScopes}
	for _, permission := range p.Permissions {
		in.Actions, in.NotActions = append(in.Actions, permission.Actions...), append(in.NotActions, permission.NotActions...)
		in.DataActions, in.NotDataActions = append(in.DataActions, permission.DataActions...), append(in.NotDataActions, permission.NotDataActions...)
	}
	if err := d.checkRole(in); err != nil {
		return answer{}, err
	}
	t, err := d.Tenant.PutRoleDefinition(r.ctx, r.caller, r.scopePath(), in)
	return answer{status: http.StatusCreated, body: d.roleDefinition(r, t)}, err // of a change, too: the Go and Python clients take no other status
}

// maxActions bounds the permissions of a custom role.
const maxActions = 2048

func (d *Door) checkRole(in tenant.RoleDefinition) error {
	switch {
	case in.Name == "" || len(in.Name) > 512:
		return fail(http.StatusBadRequest, "InvalidRoleDefinition", "A role definition needs a roleName of up to 512 characters.")
	case len(in.AssignableScopes) == 0:
		return fail(http.StatusBadRequest, "MissingAssignableScopes", "A role definition needs assignableScopes, such as /subscriptions/%s.", d.Vaults.SubscriptionID())
	case len(in.Actions)+len(in.DataActions) == 0 || len(in.Actions)+len(in.NotActions)+len(in.DataActions)+len(in.NotDataActions) > maxActions:
		return fail(http.StatusBadRequest, "InvalidRoleDefinition", "A role definition needs permissions, up to %d actions in all.", maxActions)
	}
	for _, scope := range in.AssignableScopes {
		if sub, given := subscriptionOf(nil, scope); !given || !strings.EqualFold(sub, d.Vaults.SubscriptionID()) {
			return fail(http.StatusBadRequest, "InvalidAssignableScope", "The assignable scope '%s' is not in the subscription %s.", clip(scope), d.Vaults.SubscriptionID())
		}
	}
	return nil
}

func (d *Door) deleteRoleDefinition(r request) (answer, error) {
	t, err := d.Tenant.DeleteRoleDefinition(r.ctx, r.caller, r.scopePath(), r.params["{role}"])
	if errors.Is(err, tenant.ErrRoleNotFound) {
		return answer{status: http.StatusNoContent}, nil
	}
	return ok(d.roleDefinition(r, t)), err
}

func (d *Door) roleAssignment(t tenant.RoleAssignment, made bool) roleAssignment {
	base := strings.TrimRight(t.Scope, "/")
	out := roleAssignment{
		Properties: roleAssignmentProperties{
			RoleDefinitionID: d.roleID(t.Scope, t.RoleID), PrincipalID: t.PrincipalID, PrincipalType: t.PrincipalType, Scope: t.Scope,
			CreatedOn: longStamp(t.Created), UpdatedOn: longStamp(t.Updated), CreatedBy: optional(t.CreatedBy), UpdatedBy: optional(t.UpdatedBy), Description: t.Description,
		},
		ID: base + authorizationProvider + "roleAssignments/" + t.ID, Type: "Microsoft.Authorization/roleAssignments", Name: t.ID,
	}
	if made { // recorded
		out.Properties.CreatedBy = nil
	}
	return out
}

// assignmentFilter knows what tools ask for. A condition without a value is none that could be
// left out: everything would be shown.
var assignmentFilter = regexp.MustCompile(`(?i)^(?:(atScope\(\))|principalId\s+eq\s+'?([0-9a-f-]{36})'?|assignedTo\('([0-9a-f-]{36})'\))$`)

func (d *Door) listRoleAssignments(r request) (answer, error) {
	above, principal, assignedTo := false, "", ""
	for _, part := range filterParts(r.query.Get("$filter")) {
		found := assignmentFilter.FindStringSubmatch(part)
		if found == nil {
			return answer{}, badFilter("atScope(), principalId eq 'OBJECTID' or assignedTo('OBJECTID')")
		}
		above = above || found[1] != ""
		principal, assignedTo = principal+found[2], assignedTo+found[3]
	}
	scope := strings.TrimRight(strings.ToLower(r.scopePath()), "/")
	assignments, err := d.Tenant.ListRoleAssignments(r.ctx, r.caller, r.scopePath(), assignedTo, func(t tenant.RoleAssignment) bool {
		below := len(strings.TrimRight(t.Scope, "/")) > len(scope)
		return !(above && below) && (principal == "" || strings.EqualFold(principal, t.PrincipalID))
	})
	var out []roleAssignment
	for _, t := range assignments {
		out = append(out, d.roleAssignment(t, false))
	}
	return ok(listOf(out)), err
}

func (d *Door) getRoleAssignment(r request) (answer, error) {
	t, err := d.Tenant.GetRoleAssignment(r.ctx, r.caller, r.scopePath(), r.params["{assignment}"])
	return ok(d.roleAssignment(t, false)), err
}

// principalTypes are those to which roles are assigned.
var principalTypes = []string{"User", "Group", "ServicePrincipal"}

func (d *Door) putRoleAssignment(r request) (answer, error) {
	var body roleAssignmentInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	p := body.Properties
	role := p.RoleDefinitionID[strings.LastIndex(p.RoleDefinitionID, "/")+1:]
	switch {
	case p.PrincipalID == "" || role == "":
		return answer{}, fail(http.StatusBadRequest, "BadRequestFormat", "A role assignment needs properties.roleDefinitionId and properties.principalId.")
	case p.PrincipalType != "" && !slices.ContainsFunc(principalTypes, func(t string) bool { return strings.EqualFold(t, p.PrincipalType) }):
		return answer{}, fail(http.StatusBadRequest, "PrincipalTypeNotSupported", "The principalType '%s' is not supported; use one of %s.", clip(p.PrincipalType), strings.Join(principalTypes, ", "))
	case p.Condition != nil && *p.Condition != "":
		return answer{}, fail(http.StatusBadRequest, "ConditionNotSupported", "Conditions of role assignments are not evaluated by this server, so it does not take them. Assign a narrower role or scope.")
	case p.Description != nil && len(*p.Description) > 1024:
		return answer{}, fail(http.StatusBadRequest, "BadRequestFormat", "A description has up to 1024 characters.")
	}
	if err := d.Tenant.MayAssign(r.ctx, r.caller, r.scopePath(), role); err != nil {
		return answer{}, err
	}
	if err := d.Vaults.CheckScope(r.ctx, r.scopePath()); err != nil {
		return answer{}, err
	}
	t, made, err := d.Tenant.PutRoleAssignment(r.ctx, r.caller, tenant.RoleAssignment{
		ID: r.params["{assignment}"], Scope: r.scopePath(), RoleID: role, PrincipalID: p.PrincipalID, PrincipalType: p.PrincipalType, Description: p.Description,
	})
	switch {
	case errors.Is(err, tenant.ErrRoleNotFound):
		return answer{}, fail(http.StatusBadRequest, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist, or cannot be assigned at this scope.", clip(role))
	case made:
		return answer{status: http.StatusCreated, body: d.roleAssignment(t, true)}, err
	}
	return ok(d.roleAssignment(t, false)), err
}

func (d *Door) deleteRoleAssignment(r request) (answer, error) {
	t, err := d.Tenant.DeleteRoleAssignment(r.ctx, r.caller, r.scopePath(), r.params["{assignment}"])
	if errors.Is(err, tenant.ErrAssignmentNotFound) {
		return answer{status: http.StatusNoContent}, nil
	}
	return ok(d.roleAssignment(t, false)), err
}
