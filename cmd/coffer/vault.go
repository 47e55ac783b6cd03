package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/spf13/cobra"

	"coffer/internal/client"
)

var (
	vaultColumns = client.Columns("NAME", "name", "URL", "properties.vaultUri", "LOCATION", "location", "ROLES", "properties.enableRbacAuthorization")
	vaultDetails = client.Columns("NAME", "name", "URL", "properties.vaultUri", "ID", "id", "LOCATION", "location", "TAGS", "tags", "SKU", "properties.sku.name",
		"ROLES", "properties.enableRbacAuthorization", "RETENTION DAYS", "properties.softDeleteRetentionInDays", "PURGE PROTECTION", "properties.enablePurgeProtection",
		"PUBLIC ACCESS", "properties.publicNetworkAccess", "OTHER ADDRESSES", "properties.networkAcls.defaultAction", "ADDRESSES", "properties.networkAcls.ipRules")
	deletedVaultColumns = client.Columns("NAME", "name", "LOCATION", "properties.location", "DELETED", "properties.deletionDate", "PURGE DATE", "properties.scheduledPurgeDate", "PROTECTED", "properties.purgeProtectionEnabled")
)

func vaultCommand() *cobra.Command {
	r := &remote{}
	cmd := noun("vault", "Make, change and remove vaults",
		`Make, change and remove vaults. A vault has certificates, secrets and keys, and says who may
use them: by access policies (coffer policy) or, with --roles, by roles (coffer role).

A deleted vault can be recovered for as many days as its --retention-days say. Until then, or
until it is purged, its name belongs to it.`,
		`  coffer vault create demo
  coffer vault create prod --roles --purge-protection --retention-days 90
  coffer vault list --output json`,
		r.vaultCreate(), r.vaultUpdate(), r.vaultList(), r.vaultShow(), r.vaultDelete(), r.vaultListDeleted(), r.vaultRecover(), r.vaultPurge())
	r.managementFlags(cmd)
	return cmd
}

// onVaults calls fn with a client of the subscription's vaults.
func (r *remote) onVaults(cmd *cobra.Command, fn func(context.Context, vaultPlace) error) error {
	return r.do(cmd, func(ctx context.Context, s *client.Session) error {
		place, err := openVaults(ctx, s)
		if err != nil {
			return err
		}
		return fn(ctx, place)
	})
}

// A vaultPlace is a subscription with a client of its vaults.
type vaultPlace struct {
	*armkeyvault.VaultsClient
	session      *client.Session
	subscription client.Subscription
}

func openVaults(ctx context.Context, s *client.Session) (vaultPlace, error) {
	subscription, err := s.Subscription(ctx)
	if err != nil {
		return vaultPlace{}, err
	}
	vaults, err := s.Vaults(subscription.ID)
	return vaultPlace{vaults, s, subscription}, err
}

// find finds a vault, and the group that it is in.
func (p vaultPlace) find(ctx context.Context, name string) (*armkeyvault.Vault, string, error) {
	v, err := client.FindVault(ctx, p.VaultsClient, name)
	if err != nil {
		return nil, "", err
	}
	return v, client.GroupOf(*v.ID), nil
}

// ownPermissions are what the maker of a vault gets, as az gives them: everything but
// purging, for which somebody has to be named on purpose.
func ownPermissions() *armkeyvault.Permissions {
	var p armkeyvault.Permissions
	for _, word := range armkeyvault.PossibleCertificatePermissionsValues() {
		if word != armkeyvault.CertificatePermissionsAll && word != armkeyvault.CertificatePermissionsPurge {
			p.Certificates = append(p.Certificates, to.Ptr(word))
		}
	}
	for _, word := range armkeyvault.PossibleKeyPermissionsValues() {
		if word != armkeyvault.KeyPermissionsAll && word != armkeyvault.KeyPermissionsPurge {
			p.Keys = append(p.Keys, to.Ptr(word))
		}
	}
	for _, word := range armkeyvault.PossibleSecretPermissionsValues() {
		if word != armkeyvault.SecretPermissionsAll && word != armkeyvault.SecretPermissionsPurge {
			p.Secrets = append(p.Secrets, to.Ptr(word))
		}
	}
	return &p
}

// A newVault is what vault create is asked for.
type newVault struct {
	name, group, location string
	roles, standard, mine bool
	change                vaultChange
}

func (r *remote) vaultCreate() *cobra.Command {
	var v newVault
	var nobody bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a vault", Args: oneArg("the vault's NAME"),
		Long: `Make a vault. Its group is made with it if it does not exist.

Without --roles the vault has access policies, and its maker gets every permission but
purge; coffer policy set gives permissions to others. With --roles nobody may do anything
in it before coffer role assign.`,
		Example: "  coffer vault create demo\n  coffer vault create prod --roles --group production --location eastus",
		RunE: func(cmd *cobra.Command, args []string) error {
			v.name, v.mine = args[0], !nobody && !v.roles
			if err := client.CheckVaultName(v.name); err != nil {
				return err
			}
			properties, err := v.change.properties(cmd)
			if err != nil {
				return err
			}
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				made, err := p.create(ctx, v, properties)
				if err != nil {
					return err
				}
				return r.print(cmd, made, vaultDetails)
			})
		},
	}
	cmd.Flags().StringVar(&v.group, "group", client.DefaultGroup, "the resource group, a `name`")
	cmd.Flags().StringVar(&v.location, "location", "", "the location, a `name` (default: the group's)")
	cmd.Flags().BoolVar(&v.roles, "roles", false, "let roles say who may do what, instead of access policies")
	cmd.Flags().BoolVar(&v.standard, "standard", false, "make a standard vault, which has no -HSM kinds of keys, instead of a premium one")
	cmd.Flags().BoolVar(&nobody, "no-self-permissions", false, "give its maker no permission in it")
	v.change.flags(cmd)
	return cmd
}

func (p vaultPlace) create(ctx context.Context, v newVault, change *armkeyvault.VaultPatchProperties) (*armkeyvault.Vault, error) {
	if err := p.mustBeNew(ctx, v.name); err != nil {
		return nil, err
	}
	location, err := p.session.EnsureGroup(ctx, p.subscription.ID, v.group, v.location)
	if err != nil {
		return nil, err
	}
	if v.location != "" {
		location = v.location
	}
	properties := &armkeyvault.VaultProperties{
		TenantID: &p.subscription.TenantID, SKU: sku(armkeyvault.SKUNamePremium), AccessPolicies: []*armkeyvault.AccessPolicyEntry{}, EnableRbacAuthorization: &v.roles,
		EnablePurgeProtection: change.EnablePurgeProtection, SoftDeleteRetentionInDays: change.SoftDeleteRetentionInDays, PublicNetworkAccess: change.PublicNetworkAccess, NetworkACLs: change.NetworkACLs,
	}
	if v.standard {
		properties.SKU = sku(armkeyvault.SKUNameStandard)
	}
	if v.mine {
		id, err := p.session.Caller(ctx)
		if err != nil {
			return nil, err
		}
		properties.AccessPolicies = append(properties.AccessPolicies, &armkeyvault.AccessPolicyEntry{TenantID: properties.TenantID, ObjectID: &id, Permissions: ownPermissions()})
	}
	return p.put(ctx, v.group, v.name, armkeyvault.VaultCreateOrUpdateParameters{Location: &location, Properties: properties, Tags: v.change.tags.pointers()})
}

func sku(name armkeyvault.SKUName) *armkeyvault.SKU {
	return &armkeyvault.SKU{Family: to.Ptr(armkeyvault.SKUFamilyA), Name: &name}
}

// put makes, replaces or recovers a vault and waits for it.
func (p vaultPlace) put(ctx context.Context, group, name string, parameters armkeyvault.VaultCreateOrUpdateParameters) (*armkeyvault.Vault, error) {
	poller, err := p.BeginCreateOrUpdate(ctx, group, name, parameters, nil)
	if err != nil {
		return nil, err
	}
	made, err := poller.PollUntilDone(ctx, often)
	return &made.Vault, err
}

// often is how an operation is followed where the service does not say how often.
var often = &runtime.PollUntilDoneOptions{Frequency: time.Second}

// mustBeNew keeps a create from changing a vault that exists: the control plane has one
// request for both.
func (p vaultPlace) mustBeNew(ctx context.Context, name string) error {
	_, _, err := p.find(ctx, name)
	if err == nil {
		return &client.Failure{Code: client.ExitFailure, Text: "the vault " + name + " exists already", Next: "coffer vault update changes it, coffer policy set and coffer role assign say who may use it"}
	}
	if client.Describe(err).Code != client.ExitNotFound {
		return err
	}
	return nil
}

// A vaultChange are the properties that can be set at any time.
type vaultChange struct {
	retention      int32
	protection     bool
	public         bool
	allow          []string
	everywhereElse string
	tags           tagFlag
}

func (c *vaultChange) flags(cmd *cobra.Command) {
	cmd.Flags().Int32Var(&c.retention, "retention-days", 90, "how many `days` a deleted vault or object can be recovered, 7 to 90; it cannot be changed later")
	cmd.Flags().BoolVar(&c.protection, "purge-protection", false, "let nobody purge before those days are over; it cannot be turned off again")
	cmd.Flags().BoolVar(&c.public, "public-access", true, "answer requests at all that do not come by a private connection")
	cmd.Flags().StringArrayVar(&c.allow, "allow-ip", nil, "answer only this `address` or network (10.1.0.0/16); can be repeated")
	cmd.Flags().StringVar(&c.everywhereElse, "other-ips", "", "what is done with other addresses: allow or deny (default deny, if --allow-ip is there)")
	c.tags.add(cmd)
}

// properties are those that the flags set; others are nil.
func (c *vaultChange) properties(cmd *cobra.Command) (*armkeyvault.VaultPatchProperties, error) {
	out := &armkeyvault.VaultPatchProperties{}
	if c.everywhereElse != "" && !slices.Contains([]string{"allow", "deny"}, c.everywhereElse) {
		return nil, client.Usagef("--other-ips is allow or deny, not %q", c.everywhereElse)
	}
	if cmd.Flags().Changed("retention-days") {
		out.SoftDeleteRetentionInDays = &c.retention
	}
	if cmd.Flags().Changed("purge-protection") {
		out.EnablePurgeProtection = &c.protection
	}
	if cmd.Flags().Changed("public-access") {
		access := "Disabled"
		if c.public {
			access = "Enabled"
		}
		out.PublicNetworkAccess = &access
	}
	if len(c.allow) > 0 || c.everywhereElse != "" {
		rules := &armkeyvault.NetworkRuleSet{DefaultAction: to.Ptr(armkeyvault.NetworkRuleActionDeny), Bypass: to.Ptr(armkeyvault.NetworkRuleBypassOptionsNone), IPRules: []*armkeyvault.IPRule{}}
		if c.everywhereElse == "allow" {
			rules.DefaultAction = to.Ptr(armkeyvault.NetworkRuleActionAllow)
		}
		for _, address := range c.allow {
			rules.IPRules = append(rules.IPRules, &armkeyvault.IPRule{Value: &address})
		}
		out.NetworkACLs = rules
	}
	return out, nil
}

func (r *remote) vaultUpdate() *cobra.Command {
	var roles bool
	var change vaultChange
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a vault's properties", Args: oneArg("the vault's NAME"),
		Long:    "Change the properties that are named; the others stay. The addresses given by --allow-ip replace those that were there.",
		Example: "  coffer vault update demo --purge-protection\n  coffer vault update demo --allow-ip 10.1.0.0/16\n  coffer vault update demo --other-ips allow   # no rule any more",
		RunE: func(cmd *cobra.Command, args []string) error {
			properties, err := change.properties(cmd)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("roles") {
				properties.EnableRbacAuthorization = &roles
			}
			if cmd.Flags().NFlag() == 0 {
				return client.Usagef("say what to change: %s --help shows the flags", cmd.CommandPath())
			}
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				_, group, err := p.find(ctx, args[0])
				if err != nil {
					return err
				}
				changed, err := p.Update(ctx, group, args[0], armkeyvault.VaultPatchParameters{Properties: properties, Tags: change.tags.pointers()}, nil)
				if err != nil {
					return err
				}
				return r.print(cmd, changed.Vault, vaultDetails)
			})
		},
	}
	cmd.Flags().BoolVar(&roles, "roles", false, "let roles say who may do what (--roles=false: access policies)")
	change.flags(cmd)
	return r.completing(cmd, r.completeVaults)
}

func (r *remote) vaultList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the vaults that you see", Args: noArgs, Example: "  coffer vault list\n  coffer vault list --output json | jq -r '.[].properties.vaultUri'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				found, err := p.list(ctx)
				if err != nil {
					return err
				}
				return r.print(cmd, found, vaultColumns)
			})
		},
	}
}

func (p vaultPlace) list(ctx context.Context) ([]*armkeyvault.Vault, error) {
	return client.Collect(ctx, p.NewListBySubscriptionPager(nil), func(page armkeyvault.VaultsClientListBySubscriptionResponse) []*armkeyvault.Vault { return page.Value })
}

func (r *remote) vaultShow() *cobra.Command {
	return r.completing(&cobra.Command{
		Use: "show NAME", Short: "Show a vault's properties", Args: oneArg("the vault's NAME"), Example: "  coffer vault show demo --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				found, _, err := p.find(ctx, args[0])
				if err != nil {
					return err
				}
				return r.print(cmd, found, vaultDetails)
			})
		},
	}, r.completeVaults)
}

func (r *remote) vaultDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a vault; it can be recovered", Args: oneArg("the vault's NAME"), Example: "  coffer vault delete demo",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				_, group, err := p.find(ctx, args[0])
				if err != nil {
					return err
				}
				if err := r.confirm(cmd, "Delete the vault %s with everything in it?", args[0]); err != nil {
					return err
				}
				if _, err := p.Delete(ctx, group, args[0], nil); err != nil {
					return err
				}
				say(cmd, "coffer: deleted the vault %s; coffer vault recover %s brings it back", args[0], args[0])
				return nil
			})
		},
	}
	r.yesFlag(cmd)
	return r.completing(cmd, r.completeVaults)
}

func (p vaultPlace) listDeleted(ctx context.Context) ([]*armkeyvault.DeletedVault, error) {
	return client.Collect(ctx, p.NewListDeletedPager(nil), func(page armkeyvault.VaultsClientListDeletedResponse) []*armkeyvault.DeletedVault { return page.Value })
}

func (p vaultPlace) findDeleted(ctx context.Context, name string) (*armkeyvault.DeletedVault, error) {
	found, err := p.listDeleted(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range found {
		if v.Name != nil && strings.EqualFold(*v.Name, name) && v.Properties != nil && v.Properties.Location != nil && v.Properties.VaultID != nil {
			return v, nil
		}
	}
	return nil, client.NotFoundf("coffer vault list-deleted shows what there is", "there is no deleted vault %q", name)
}

func (r *remote) vaultListDeleted() *cobra.Command {
	return &cobra.Command{
		Use: "list-deleted", Short: "List the deleted vaults", Args: noArgs, Example: "  coffer vault list-deleted",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				found, err := p.listDeleted(ctx)
				if err != nil {
					return err
				}
				return r.print(cmd, found, deletedVaultColumns)
			})
		},
	}
}

func (r *remote) vaultRecover() *cobra.Command {
	return r.completing(&cobra.Command{
		Use: "recover NAME", Short: "Bring a deleted vault back", Args: oneArg("the vault's NAME"), Example: "  coffer vault recover demo",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				deleted, err := p.findDeleted(ctx, args[0])
				if err != nil {
					return err
				}
				group := client.GroupOf(*deleted.Properties.VaultID)
				if _, err := p.session.EnsureGroup(ctx, p.subscription.ID, group, *deleted.Properties.Location); err != nil {
					return err
				}
				properties := &armkeyvault.VaultProperties{CreateMode: to.Ptr(armkeyvault.CreateModeRecover), TenantID: &p.subscription.TenantID, SKU: sku(armkeyvault.SKUNamePremium)}
				recovered, err := p.put(ctx, group, args[0], armkeyvault.VaultCreateOrUpdateParameters{Location: deleted.Properties.Location, Properties: properties})
				if err != nil {
					return err
				}
				return r.print(cmd, recovered, vaultDetails)
			})
		},
	}, r.completeDeletedVaults)
}

func (r *remote) vaultPurge() *cobra.Command {
	cmd := &cobra.Command{
		Use: "purge NAME", Short: "Remove a deleted vault for ever", Args: oneArg("the vault's NAME"), Example: "  coffer vault purge demo --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.onVaults(cmd, func(ctx context.Context, p vaultPlace) error {
				deleted, err := p.findDeleted(ctx, args[0])
				if err != nil {
					return err
				}
				if err := r.confirm(cmd, "Remove the deleted vault %s with everything in it, for ever?", args[0]); err != nil {
					return err
				}
				poller, err := p.BeginPurgeDeleted(ctx, args[0], *deleted.Properties.Location, nil)
				if err != nil {
					return err
				}
				if _, err := poller.PollUntilDone(ctx, often); err != nil {
					return err
				}
				say(cmd, "coffer: purged the vault %s", args[0])
				return nil
			})
		},
	}
	r.yesFlag(cmd)
	return r.completing(cmd, r.completeDeletedVaults)
}
