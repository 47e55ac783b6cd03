package main

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var (
	roleColumns       = client.Columns("ROLE", "properties.roleName", "KIND", "properties.type", "ID", "name")
	assignmentColumns = client.Columns("ROLE", "roleName", "PRINCIPAL", "properties.principalId", "KIND", "properties.principalType", "SCOPE", "properties.scope", "ID", "name")
)

func roleCommand() *cobra.Command {
	r := &remote{}
	cmd := noun("role", "Roles: who may do what where",
		`Give roles, take them away, and see who has which. A role holds where it is given and
everywhere below: a subscription (without --vault and --group), a group, a vault, or one
secret, key or certificate. In a vault, roles have an effect if it was made with --roles.`,
		`  coffer role definitions
  coffer role assign --role "Key Vault Certificates Officer" --app my-program --vault demo
  coffer role assign --role "Key Vault Secrets User" --app my-program --vault demo --secret password
  coffer role list --vault demo`,
		r.roleAssign(), r.roleUnassign(), r.roleList(), r.roleDefinitions())
	r.managementFlags(cmd)
	return cmd
}

// A scopeFlag says where a role is given.
type scopeFlag struct{ scope, group, vault, secret, key, certificate string }

func (f *scopeFlag) add(cmd *cobra.Command, r *remote) {
	cmd.Flags().StringVar(&f.vault, "vault", "", "in the vault of this `name`")
	cmd.Flags().StringVar(&f.secret, "secret", "", "for the secret of this `name` in the vault")
	cmd.Flags().StringVar(&f.key, "key", "", "for the key of this `name` in the vault")
	cmd.Flags().StringVar(&f.certificate, "certificate", "", "for the certificate of this `name` in the vault")
	cmd.Flags().StringVar(&f.group, "group", "", "in the resource group of this `name`")
	cmd.Flags().StringVar(&f.scope, "scope", "", "in this scope, an `id` such as /subscriptions/ID, taken as it is")
	_ = cmd.RegisterFlagCompletionFunc("vault", r.completeVaults) // the flag is there
}

// check refuses a scope that is named twice, or an object without its vault.
func (f *scopeFlag) check() error {
	objects, places := 0, 0
	for _, name := range []string{f.secret, f.key, f.certificate} {
		objects += min(len(name), 1)
	}
	for _, name := range []string{f.vault, f.group, f.scope} {
		places += min(len(name), 1)
	}
	switch {
	case places > 1:
		return client.Usagef("--vault, --group and --scope exclude each other")
	case objects > 1 || objects == 1 && f.vault == "":
		return client.Usagef("one of --secret, --key and --certificate can go with --vault")
	}
	return nil
}

// find is the id of the scope.
func (f *scopeFlag) find(ctx context.Context, p vaultPlace) (string, error) {
	switch {
	case f.scope != "":
		return f.scope, nil
	case f.group != "":
		return "/subscriptions/" + p.subscription.ID + "/resourceGroups/" + f.group, nil
	case f.vault == "":
		return "/subscriptions/" + p.subscription.ID, nil
	}
	v, _, err := p.find(ctx, f.vault)
	if err != nil {
		return "", err
	}
	for collection, name := range map[string]string{"/secrets/": f.secret, "/keys/": f.key, "/certificates/": f.certificate} {
		if name != "" {
			return *v.ID + collection + name, nil
		}
	}
	return *v.ID, nil
}

// definitions are the roles that can be given at a scope.
func (p vaultPlace) definitions(ctx context.Context, scope string) ([]*armauthorization.RoleDefinition, error) {
	roles, err := p.session.RoleDefinitions()
	if err != nil {
		return nil, err
	}
	return client.Collect(ctx, roles.NewListPager(scope, nil), func(page armauthorization.RoleDefinitionsClientListResponse) []*armauthorization.RoleDefinition {
		return page.Value
	})
}

// role finds one by its name or its id.
func (p vaultPlace) role(ctx context.Context, scope, name string) (*armauthorization.RoleDefinition, error) {
	all, err := p.definitions(ctx, scope)
	if err != nil {
		return nil, err
	}
	for _, role := range all {
		if role.Properties != nil && role.Properties.RoleName != nil && strings.EqualFold(*role.Properties.RoleName, name) || strings.EqualFold(*role.Name, name) {
			return role, nil
		}
	}
	return nil, client.NotFoundf("coffer role definitions shows what there is", "there is no role %q", name)
}

func (r *remote) roleDefinitions() *cobra.Command {
	return &cobra.Command{
		Use: "definitions", Short: "List the roles that there are", Args: noArgs, Example: "  coffer role definitions\n  coffer role definitions --output json      # with what each may do",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				all, err := p.definitions(ctx, "/subscriptions/"+p.subscription.ID)
				if err != nil {
					return err
				}
				return r.print(cmd, all, roleColumns)
			})
		},
	}
}

func (r *remote) roleAssign() *cobra.Command {
	var who principalFlag
	var where scopeFlag
	var role string
	cmd := &cobra.Command{
		Use: "assign", Short: "Give a role", Args: noArgs,
		Example: "  coffer role assign --role \"Key Vault Secrets User\" --app my-program --vault demo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role == "" {
				return client.Usagef("say which role: --role NAME; coffer role definitions shows them")
			}
			if err := firstError(who.check(), where.check()); err != nil {
				return err
			}
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				made, err := p.assign(ctx, role, who, where)
				if err != nil {
					return err
				}
				return r.print(cmd, made, assignmentColumns)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "the role's `name` or id")
	_ = cmd.RegisterFlagCompletionFunc("role", r.completeRoles) // the flag is there
	who.add(cmd, r)
	where.add(cmd, r)
	return cmd
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// assign gives a role. What it returns has the role's name beside the assignment.
func (p vaultPlace) assign(ctx context.Context, name string, who principalFlag, where scopeFlag) (assignment, error) {
	scope, err := where.find(ctx, p)
	if err != nil {
		return assignment{}, err
	}
	role, err := p.role(ctx, scope, name)
	if err != nil {
		return assignment{}, err
	}
	id, kind, err := who.find(ctx, p.session)
	if err != nil {
		return assignment{}, err
	}
	properties := &armauthorization.RoleAssignmentProperties{PrincipalID: &id, RoleDefinitionID: role.ID}
	if kind != "" {
		properties.PrincipalType = to.Ptr(armauthorization.PrincipalType(kind))
	}
	assignments, err := p.session.RoleAssignments(p.subscription.ID)
	if err != nil {
		return assignment{}, err
	}
	made, err := assignments.Create(ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: properties}, nil)
	return assignment{made.RoleAssignment, *role.Properties.RoleName}, err
}

// An assignment is one of the control plane's, with the name of its role.
type assignment struct {
	of   armauthorization.RoleAssignment
	role string
}

// MarshalJSON is the control plane's form, with the member roleName.
func (a assignment) MarshalJSON() ([]byte, error) {
	return client.WithMember(a.of, "roleName", a.role)
}

// assignments are those at a scope, inherited ones and those below it included.
func (p vaultPlace) assignments(ctx context.Context, scope, principal string) ([]assignment, error) {
	roles, err := p.definitions(ctx, scope)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, role := range roles {
		names[strings.ToLower(*role.Name)] = *role.Properties.RoleName
	}
	of, err := p.session.RoleAssignments(p.subscription.ID)
	if err != nil {
		return nil, err
	}
	var options armauthorization.RoleAssignmentsClientListForScopeOptions
	if principal != "" {
		options.Filter = to.Ptr("principalId eq '" + principal + "'")
	}
	found, err := client.Collect(ctx, of.NewListForScopePager(scope, &options), func(page armauthorization.RoleAssignmentsClientListForScopeResponse) []*armauthorization.RoleAssignment {
		return page.Value
	})
	out := []assignment{}
	for _, a := range found {
		role := *a.Properties.RoleDefinitionID
		out = append(out, assignment{*a, names[strings.ToLower(role[strings.LastIndex(role, "/")+1:])]})
	}
	return out, err
}

func (r *remote) roleList() *cobra.Command {
	var who principalFlag
	var where scopeFlag
	cmd := &cobra.Command{
		Use: "list", Short: "List who has which role", Args: noArgs, Long: "List who has which role at a place: there, above it (which holds there, too) and below.",
		Example: "  coffer role list --vault demo\n  coffer role list --app my-program",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := where.check(); err != nil {
				return err
			}
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				found, err := p.assignmentsOf(ctx, who, where)
				if err != nil {
					return err
				}
				return r.print(cmd, found, assignmentColumns)
			})
		},
	}
	who.add(cmd, r)
	where.add(cmd, r)
	return cmd
}

// assignmentsOf are those at a place, of one principal if one is named.
func (p vaultPlace) assignmentsOf(ctx context.Context, who principalFlag, where scopeFlag) ([]assignment, error) {
	scope, err := where.find(ctx, p)
	if err != nil {
		return nil, err
	}
	principal := ""
	if who.named() > 0 {
		if principal, _, err = who.find(ctx, p.session); err != nil {
			return nil, err
		}
	}
	return p.assignments(ctx, scope, principal)
}

func (r *remote) roleUnassign() *cobra.Command {
	var who principalFlag
	var where scopeFlag
	var role, id string
	cmd := &cobra.Command{
		Use: "unassign", Short: "Take a role away", Args: noArgs, Long: "Take a role away that was given at exactly this place; or the assignment of an id, as coffer role list shows it.",
		Example: "  coffer role unassign --role \"Key Vault Secrets User\" --app my-program --vault demo\n  coffer role unassign --id 7f7a…",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (id == "") == (role == "") {
				return client.Usagef("say which one: --id ID, or --role NAME with --app, --user, --members-of or --object-id")
			}
			if role != "" {
				if err := who.check(); err != nil {
					return err
				}
			}
			if err := where.check(); err != nil {
				return err
			}
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error { return unassign(ctx, cmd, p, role, id, who, where) })
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "the role's `name`")
	cmd.Flags().StringVar(&id, "id", "", "the assignment's `id`")
	_ = cmd.RegisterFlagCompletionFunc("role", r.completeRoles) // the flag is there
	who.add(cmd, r)
	where.add(cmd, r)
	return cmd
}

func unassign(ctx context.Context, cmd *cobra.Command, p vaultPlace, role, id string, who principalFlag, where scopeFlag) error {
	found, err := p.assignmentsOf(ctx, who, where)
	if err != nil {
		return err
	}
	scope, err := where.find(ctx, p)
	if err != nil {
		return err
	}
	of, err := p.session.RoleAssignments(p.subscription.ID)
	if err != nil {
		return err
	}
	for _, a := range found {
		if id != "" && strings.EqualFold(*a.of.Name, id) || role != "" && strings.EqualFold(a.role, role) && strings.EqualFold(*a.of.Properties.Scope, scope) {
			if _, err := of.DeleteByID(ctx, strings.TrimPrefix(*a.of.ID, "/"), nil); err != nil {
				return err
			}
			say(cmd, "coffer: took away %s of %s in %s", a.role, *a.of.Properties.PrincipalID, *a.of.Properties.Scope)
			return nil
		}
	}
	return client.NotFoundf("coffer role list shows what there is", "there is no such role assignment")
}

func (r *remote) completeRoles(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, begun, func(ctx context.Context, s *client.Session) (names []string, err error) {
		p, err := openVaults(ctx, s)
		if err != nil {
			return nil, err
		}
		roles, err := p.definitions(ctx, "/subscriptions/"+p.subscription.ID)
		for _, role := range roles {
			names = append(names, *role.Properties.RoleName)
		}
		return names, err
	})
}
