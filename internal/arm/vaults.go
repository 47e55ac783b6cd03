package arm

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/vault"
)

const vaultType = "Microsoft.KeyVault/vaults"

func (d *Door) vault(v vault.Vault) vaultResource {
	sku := "standard"
	if v.Premium {
		sku = "premium"
	}
	public := "Enabled"
	if v.NoPublicAccess {
		public = "Disabled"
	}
	out := vaultResource{
		ID: d.Vaults.VaultID(v.Group, v.Name), Name: v.Name, Type: vaultType, Location: v.Location, Tags: tags(v.Tags),
		Properties: vaultProperties{
			SKU: vaultSKU{Family: "A", Name: sku}, TenantID: v.TenantID, AccessPolicies: policies(v.Policies), Deployment: v.Deployment, DiskEncryption: v.DiskEncryption,
			TemplateDeployment: v.TemplateDeployment, SoftDelete: true, RetentionDays: v.RetentionDays, RBAC: v.RBAC, PurgeProtection: v.PurgeProtection,
			VaultURI: d.VaultURI(strings.ToLower(v.Name)), ProvisioningState: "Succeeded", PublicAccess: public,
		},
	}
	if v.CreatedBy != "" {
		out.SystemData = &systemData{
			CreatedBy: v.CreatedBy, CreatedByType: v.CreatedByType, CreatedAt: stamp(v.Created), LastModifiedBy: v.ModifiedBy, LastModifiedByType: v.ModifiedByType, LastModifiedAt: stamp(v.Modified),
		}
	}
	if n := v.Network; n != nil {
		acls := networkAcls{Bypass: n.Bypass, DefaultAction: n.DefaultAction, IPRules: []ipRule{}, Subnets: []subnetRule{}}
		for _, rule := range n.IPRules {
			acls.IPRules = append(acls.IPRules, ipRule{rule})
		}
		for _, id := range n.Subnets {
			acls.Subnets = append(acls.Subnets, subnetRule{id})
		}
		out.Properties.NetworkAcls = &acls
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func policies(in []access.Policy) []accessPolicy {
	out := []accessPolicy{}
	for _, p := range in {
		out = append(out, accessPolicy{
			TenantID: p.TenantID, ObjectID: p.ObjectID, ApplicationID: p.ApplicationID,
			Permissions: permissions{Keys: listed(p.Keys), Secrets: listed(p.Secrets), Certificates: listed(p.Certificates), Storage: p.Storage},
		})
	}
	return out
}

func listed(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

func policiesIn(in []accessPolicy) []access.Policy {
	out := []access.Policy{}
	for _, p := range in {
		out = append(out, access.Policy{
			TenantID: p.TenantID, ObjectID: p.ObjectID, ApplicationID: p.ApplicationID,
			Keys: p.Permissions.Keys, Secrets: p.Permissions.Secrets, Certificates: p.Permissions.Certificates, Storage: p.Permissions.Storage,
		})
	}
	return out
}

// rbacSince is the first api-version whose new vaults have role assignments when nothing
// is said (documented).
const rbacSince = "2026-02-01"

func (d *Door) vaultInput(r request) (vault.VaultInput, error) {
	var body vaultInput
	var in vault.VaultInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return in, err
	}
	if err := checkTags(body.Tags); err != nil {
		return in, err
	}
	in.Tags, in.RBACByDefault = body.Tags, r.version >= rbacSince
	var err error
	if in.Location, err = d.location(body.Location); err != nil || body.Properties == nil {
		return in, err
	}
	p := body.Properties
	in.TenantID, in.RBAC, in.SoftDelete, in.RetentionDays, in.PurgeProtection = p.TenantID, p.RBAC, p.SoftDelete, p.RetentionDays, p.PurgeProtection
	in.Deployment, in.DiskEncryption, in.TemplateDeployment, in.PublicAccess = p.Deployment, p.DiskEncryption, p.TemplateDeployment, p.PublicAccess
	if p.SKU != nil {
		in.SKUFamily, in.SKU = p.SKU.Family, p.SKU.Name
	}
	if p.AccessPolicies != nil {
		list := policiesIn(*p.AccessPolicies)
		in.Policies = &list
	}
	if n := p.NetworkAcls; n != nil {
		in.Network = &vault.NetworkRules{Bypass: n.Bypass, DefaultAction: n.DefaultAction}
		for _, rule := range n.IPRules {
			in.Network.IPRules = append(in.Network.IPRules, rule.Value)
		}
		for _, rule := range n.Subnets {
			in.Network.Subnets = append(in.Network.Subnets, rule.ID)
		}
	}
	switch {
	case strings.EqualFold(p.CreateMode, "recover"):
		in.Recover = true
	case p.CreateMode != "" && !strings.EqualFold(p.CreateMode, "default"):
		return in, fail(http.StatusBadRequest, "BadRequest", "The createMode '%s' is not valid; use default or recover.", clip(p.CreateMode))
	}
	return in, nil
}

func (d *Door) vaultAnswer(v vault.Vault, err error) (answer, error) {
	return answer{status: http.StatusOK, body: d.vault(v)}, err
}

func (d *Door) putVault(r request) (answer, error) {
	in, err := d.vaultInput(r)
	if err != nil {
		return answer{}, err
	}
	return d.vaultAnswer(d.Vaults.PutVault(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"], in))
}

func (d *Door) patchVault(r request) (answer, error) {
	in, err := d.vaultInput(r)
	if err != nil {
		return answer{}, err
	}
	return d.vaultAnswer(d.Vaults.PatchVault(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"], in))
}

func (d *Door) getVault(r request) (answer, error) {
	return d.vaultAnswer(d.Vaults.FindVault(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"]))
}

func (d *Door) deleteVault(r request) (answer, error) {
	found, err := d.Vaults.DeleteVault(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"])
	if !found {
		return answer{status: http.StatusNoContent}, err
	}
	return answer{status: http.StatusOK}, err
}

// listVaults cuts a page if the request says how long it is; the token of the next one is
// the place in the list.
func (d *Door) listVaults(r request) (answer, error) {
	vaults, err := d.Vaults.ListVaults(r.ctx, r.caller, r.params["{group}"])
	if err != nil {
		return answer{}, err
	}
	out := listOf[vaultResource](nil)
	skip, err := number(r.query.Get("$skiptoken"), 0)
	if err != nil || skip > len(vaults) {
		return answer{}, fail(http.StatusBadRequest, "InvalidSkipToken", "The $skiptoken is not one that this server gave.")
	}
	top, err := number(r.query.Get("$top"), len(vaults))
	if err != nil || top == 0 && len(vaults) > 0 {
		return answer{}, fail(http.StatusBadRequest, "BadRequest", "The $top has to be a whole number from 1 on.")
	}
	for i, v := range vaults[skip:] {
		if i == top {
			out.NextLink = r.base + "/subscriptions/" + d.Vaults.SubscriptionID() + "/providers/Microsoft.KeyVault/vaults?api-version=" + r.version + "&$top=" + strconv.Itoa(top) + "&$skiptoken=" + strconv.Itoa(skip+top)
			if group := r.params["{group}"]; group != "" {
				out.NextLink = strings.Replace(out.NextLink, "/providers/", "/resourceGroups/"+group+"/providers/", 1)
			}
			break
		}
		out.Value = append(out.Value, d.vault(v))
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// number reads a parameter of the query that is a whole number; empty is the default.
func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

func (d *Door) changePolicies(r request) (answer, error) {
	var body policiesInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	kind := vault.PolicyChange(strings.ToLower(r.params["{kind}"]))
	if kind != vault.PoliciesAdd && kind != vault.PoliciesReplace && kind != vault.PoliciesRemove {
		return answer{}, fail(http.StatusBadRequest, "BadRequest", "The operation on access policies has to be add, replace or remove.")
	}
	v, changed, err := d.Vaults.ChangePolicies(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"], kind, policiesIn(body.Properties.AccessPolicies))
	status := http.StatusOK
	if changed && kind == vault.PoliciesAdd {
		status = http.StatusCreated
	}
	return answer{status: status, body: policiesResource{
		ID: d.Vaults.VaultID(v.Group, v.Name) + "/accessPolicies/", Type: vaultType + "/accessPolicies", Location: v.Location, Properties: policiesProperties{policies(v.Policies)},
	}}, err
}

// listNothing is the list of what a vault here never has: private links.
func (d *Door) listNothing(r request) (answer, error) {
	_, err := d.Vaults.FindVault(r.ctx, r.caller, r.params["{group}"], r.params["{vault}"])
	return ok(listOf[struct{}](nil)), err
}

func (d *Door) checkName(r request) (answer, error) {
	var body nameInput
	if err := httpd.DecodeJSON(r.body, &body); err != nil {
		return answer{}, err
	}
	if !strings.EqualFold(body.Type, vaultType) {
		return answer{}, fail(http.StatusBadRequest, "BadRequest", "The type has to be %s.", vaultType)
	}
	reason, err := d.Vaults.CheckVaultName(r.ctx, r.caller, body.Name)
	out := nameAvailability{Available: reason == nil}
	if reason != nil {
		out.Reason, out.Message = "AccountNameInvalid", reason.Message
		if reason.Code == vault.CodeVaultExists {
			out.Reason = "AlreadyExists"
		}
	}
	return ok(out), err
}
