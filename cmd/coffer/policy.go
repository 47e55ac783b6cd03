package main

import (
	"context"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var policyColumns = client.Columns("OBJECT ID", "objectId", "APPLICATION", "applicationId", "CERTIFICATES", "permissions.certificates", "SECRETS", "permissions.secrets", "KEYS", "permissions.keys")

func policyCommand() *cobra.Command {
	r := &remote{}
	cmd := noun("policy", "Access policies: who may do what in a vault",
		`Say who may do what in a vault that has access policies. One that was made with --roles has
role assignments instead: coffer role.`,
		`  coffer policy set --vault demo --app my-program --certificates get,list,create --secrets get
  coffer policy show --vault demo
  coffer policy delete --vault demo --app my-program`,
		r.policySet(), r.policyShow(), r.policyDelete())
	r.managementFlags(cmd)
	cmd.PersistentFlags().StringVar(&r.settings.Vault, "vault", "", "the vault's `name` (default: the variable KEY_VAULT_NAME)")
	_ = cmd.RegisterFlagCompletionFunc("vault", r.completeVaults) // the flag is there
	return cmd
}

// onVault calls fn with the vault that --vault names, and its group.
func (r *remote) onVault(cmd *cobra.Command, fn func(context.Context, vaultPlace, *armkeyvault.Vault, string) error) error {
	return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
		name, err := p.session.VaultName()
		if err != nil {
			return err
		}
		v, group, err := p.find(ctx, name)
		if err != nil {
			return err
		}
		return fn(ctx, p, v, group)
	})
}

func entriesOf(v *armkeyvault.Vault) []*armkeyvault.AccessPolicyEntry {
	if v.Properties == nil || v.Properties.AccessPolicies == nil {
		return []*armkeyvault.AccessPolicyEntry{}
	}
	return v.Properties.AccessPolicies
}

func (r *remote) policyShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show a vault's access policies", Args: noArgs, Example: "  coffer policy show --vault demo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onVault(cmd, func(_ context.Context, _ vaultPlace, v *armkeyvault.Vault, _ string) error {
				if usesRoles(v) {
					say(cmd, "coffer: %s has roles: coffer role list --vault %s shows who may use it; what stands here has no effect", *v.Name, *v.Name)
				}
				return r.print(cmd, entriesOf(v), policyColumns)
			})
		},
	}
}

func usesRoles(v *armkeyvault.Vault) bool {
	return v.Properties != nil && v.Properties.EnableRbacAuthorization != nil && *v.Properties.EnableRbacAuthorization
}

// A permissionsFlag are the words of the three kinds. A kind that is not named stays as
// it is; an empty one is taken away.
type permissionsFlag struct{ certificates, secrets, keys []string }

func (p *permissionsFlag) add(cmd *cobra.Command) {
	for name, kind := range map[string]struct {
		list  *[]string
		words []string
	}{
		"certificates": {&p.certificates, words(armkeyvault.PossibleCertificatePermissionsValues())},
		"secrets":      {&p.secrets, words(armkeyvault.PossibleSecretPermissionsValues())},
		"keys":         {&p.keys, words(armkeyvault.PossibleKeyPermissionsValues())},
	} {
		cmd.Flags().StringSliceVar(kind.list, name, nil, "what it may do with "+name+", `words` of "+strings.Join(kind.words, ", "))
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(kind.words, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	}
}

func words[W ~string](values []W) []string {
	var out []string
	for _, value := range values {
		out = append(out, strings.ToLower(string(value)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// apply sets the kinds that were named.
func (p *permissionsFlag) apply(cmd *cobra.Command, to *armkeyvault.Permissions) error {
	var err error
	if cmd.Flags().Changed("certificates") {
		to.Certificates, err = chosen(p.certificates, armkeyvault.PossibleCertificatePermissionsValues())
	}
	if cmd.Flags().Changed("secrets") && err == nil {
		to.Secrets, err = chosen(p.secrets, armkeyvault.PossibleSecretPermissionsValues())
	}
	if cmd.Flags().Changed("keys") && err == nil {
		to.Keys, err = chosen(p.keys, armkeyvault.PossibleKeyPermissionsValues())
	}
	return err
}

// chosen refuses a word that is none: a slip of the pen grants nothing, and says nothing.
func chosen[W ~string](given []string, values []W) ([]*W, error) {
	out := []*W{}
	for _, word := range given {
		word = strings.ToLower(strings.TrimSpace(word))
		at := slices.IndexFunc(values, func(v W) bool { return strings.EqualFold(string(v), word) })
		switch {
		case word == "":
		case at < 0:
			return nil, client.Usagef("there is no permission %q; there are %s", word, strings.Join(words(values), ", "))
		default:
			value := W(word)
			out = append(out, &value)
		}
	}
	return out, nil
}

func (r *remote) policySet() *cobra.Command {
	var who principalFlag
	var permissions permissionsFlag
	cmd := &cobra.Command{
		Use: "set", Short: "Say what somebody may do in a vault", Args: noArgs,
		Long: `Say what an application or a user may do in a vault. Permissions of the kinds that are named
replace those that were there; those of the other kinds stay. "all" is every permission
but purge.`,
		Example: "  coffer policy set --vault demo --app my-program --certificates get,list,create --secrets get\n  coffer policy set --vault demo --user ann@example.com --keys all,purge\n  coffer policy set --vault demo --app my-program --keys ''      # none",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.ContainsFunc([]string{"certificates", "secrets", "keys"}, cmd.Flags().Changed) {
				return client.Usagef("say what: --certificates, --secrets or --keys")
			}
			if err := who.check(); err != nil {
				return err
			}
			if err := permissions.apply(cmd, &armkeyvault.Permissions{}); err != nil {
				return err
			}
			return r.onVault(cmd, func(ctx context.Context, p vaultPlace, v *armkeyvault.Vault, group string) error {
				return r.setPolicy(ctx, cmd, p, v, group, who, permissions)
			})
		},
	}
	who.add(cmd, r)
	permissions.add(cmd)
	return cmd
}

func (r *remote) setPolicy(ctx context.Context, cmd *cobra.Command, p vaultPlace, v *armkeyvault.Vault, group string, who principalFlag, permissions permissionsFlag) error {
	if usesRoles(v) {
		return &client.Failure{Code: client.ExitFailure, Text: "the vault " + *v.Name + " has roles, and an access policy has no effect in it", Next: "coffer role assign --role ROLE --app APP --vault " + *v.Name}
	}
	id, _, err := who.find(ctx, p.session)
	if err != nil {
		return err
	}
	entry := entryOf(v, id)
	if entry == nil {
		entry = &armkeyvault.AccessPolicyEntry{TenantID: &p.subscription.TenantID, ObjectID: &id, Permissions: &armkeyvault.Permissions{}}
	}
	if err := permissions.apply(cmd, entry.Permissions); err != nil {
		return err
	}
	changed, err := p.changePolicy(ctx, group, *v.Name, armkeyvault.AccessPolicyUpdateKindReplace, entry)
	if err != nil {
		return err
	}
	return r.print(cmd, changed, policyColumns)
}

// entryOf finds the entry of a principal. One for an application on behalf of it is
// another.
func entryOf(v *armkeyvault.Vault, id string) *armkeyvault.AccessPolicyEntry {
	for _, entry := range entriesOf(v) {
		if entry.ObjectID != nil && strings.EqualFold(*entry.ObjectID, id) && entry.ApplicationID == nil && entry.Permissions != nil {
			return entry
		}
	}
	return nil
}

// changePolicy changes one entry, so that two people who change a vault's policies at
// once do not undo each other's work, and returns all entries that are there then.
func (p vaultPlace) changePolicy(ctx context.Context, group, name string, kind armkeyvault.AccessPolicyUpdateKind, entry *armkeyvault.AccessPolicyEntry) ([]*armkeyvault.AccessPolicyEntry, error) {
	_, err := p.UpdateAccessPolicy(ctx, group, name, kind, armkeyvault.VaultAccessPolicyParameters{
		Properties: &armkeyvault.VaultAccessPolicyProperties{AccessPolicies: []*armkeyvault.AccessPolicyEntry{entry}},
	}, nil)
	if err != nil {
		return nil, err
	}
	got, err := p.Get(ctx, group, name, nil)
	return entriesOf(&got.Vault), err
}

func (r *remote) policyDelete() *cobra.Command {
	var who principalFlag
	cmd := &cobra.Command{
		Use: "delete", Short: "Take away all that somebody may do in a vault", Args: noArgs, Example: "  coffer policy delete --vault demo --app my-program",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := who.check(); err != nil {
				return err
			}
			return r.onVault(cmd, func(ctx context.Context, p vaultPlace, v *armkeyvault.Vault, group string) error {
				id, _, err := who.find(ctx, p.session)
				if err != nil {
					return err
				}
				entry := entryOf(v, id)
				if entry == nil {
					return client.NotFoundf("coffer policy show shows who has permissions", "%s has no permission in the vault %s", id, *v.Name)
				}
				changed, err := p.changePolicy(ctx, group, *v.Name, armkeyvault.AccessPolicyUpdateKindRemove, entry)
				if err != nil {
					return err
				}
				return r.print(cmd, changed, policyColumns)
			})
		},
	}
	who.add(cmd, r)
	return cmd
}
