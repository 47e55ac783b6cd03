package vault

import (
	"maps"
	"net/netip"
	"time"

	"coffer/internal/access"
)

// This file turns a vault's record into what the control plane shows, and back.

// SubscriptionID is the id of the one subscription: that of the tenant.
func (s *Service) SubscriptionID() string { return s.TenantID }

// GroupID is the ARM id of a resource group.
func (s *Service) GroupID(group string) string {
	return "/subscriptions/" + s.SubscriptionID() + "/resourceGroups/" + group
}

// VaultID is the ARM id of a vault.
func (s *Service) VaultID(group, name string) string {
	return s.GroupID(group) + "/providers/Microsoft.KeyVault/vaults/" + name
}

func (r vaultRecord) group() string {
	if r.Group == "" {
		return defaultGroup
	}
	return r.Group
}

// network is what the network rules mean; nil: everybody is let in.
func (r vaultRecord) network() *access.Network {
	if r.Network == nil && !r.NoPublicAccess {
		return nil
	}
	out := &access.Network{Disabled: r.NoPublicAccess}
	if n := r.Network; n != nil {
		out.Deny = n.DefaultAction == "Deny"
		for _, rule := range n.IPRules {
			if prefix, err := netip.ParsePrefix(rule); err == nil { // it was checked when it came
				out.Allowed = append(out.Allowed, prefix)
			}
		}
	}
	return out
}

func (r vaultRecord) vault() Vault {
	out := Vault{
		Name: r.Name, Location: r.Location, TenantID: r.TenantID, RetentionDays: r.RetentionDays, PurgeProtection: r.PurgeProtection, Premium: r.Premium,
		Policies: r.policies(), FirstTouch: r.FirstTouch, Group: r.group(), RBAC: r.RBAC, Tags: maps.Clone(r.Tags), Deployment: r.Deployment,
		DiskEncryption: r.DiskEncryption, TemplateDeployment: r.TemplateDeployment, NoPublicAccess: r.NoPublicAccess,
		CreatedBy: r.CreatedBy, CreatedByType: r.CreatedByType, ModifiedBy: r.ModifiedBy, ModifiedByType: r.ModifiedByType,
		Created: moment(r.Created), Modified: moment(max(r.Modified, r.Created)), Deleted: moment(r.Deleted), PurgeAt: moment(r.PurgeAt),
	}
	if r.Network != nil {
		rules := NetworkRules(*r.Network)
		out.Network = &rules
	}
	return out
}

// record is a vault that is made now.
func (v Vault) record(now time.Time) vaultRecord {
	out := vaultRecord{
		Name: v.Name, Location: v.Location, TenantID: v.TenantID, RetentionDays: v.RetentionDays, PurgeProtection: v.PurgeProtection, Premium: v.Premium,
		Created: unix(now), FirstTouch: v.FirstTouch, Group: v.Group, RBAC: v.RBAC, Tags: v.Tags, Deployment: v.Deployment,
		DiskEncryption: v.DiskEncryption, TemplateDeployment: v.TemplateDeployment, NoPublicAccess: v.NoPublicAccess,
		CreatedBy: v.CreatedBy, CreatedByType: v.CreatedByType, ModifiedBy: v.ModifiedBy, ModifiedByType: v.ModifiedByType,
	}
	if v.Network != nil {
		rules := networkRecord(*v.Network)
		out.Network = &rules
	}
	for _, p := range v.Policies {
		out.Policies = append(out.Policies, policyOfVault(p))
	}
	return out
}
