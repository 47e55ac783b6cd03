package vault

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A VaultInput is what a request says of a vault. What is nil was not sent: a PUT puts the
// default there, a PATCH leaves it.
type VaultInput struct {
	Location           string // short lower-case form; empty: not sent
	Tags               map[string]string
	SKUFamily, SKU     string
	TenantID           string
	Policies           *[]access.Policy
	RBAC               *bool
	SoftDelete         *bool
	RetentionDays      *int
	PurgeProtection    *bool
	Deployment         *bool
	DiskEncryption     *bool
	TemplateDeployment *bool
	Network            *NetworkRules
	PublicAccess       *string // "Enabled" or "Disabled"
	Recover            bool    // createMode recover

	// RBACByDefault says that the request's api-version gives new vaults role assignments
	// when nothing is said.
	RBACByDefault bool
}

const (
	maxPolicies = 1024
	maxNetwork  = 1000 // rules of a kind
)

func badRequest(format string, args ...any) *Error {
	return &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// PutVault makes a vault, replaces the properties of one, or recovers a deleted one.
func (s *Service) PutVault(ctx context.Context, caller access.Caller, group, name string, in VaultInput) (Vault, error) {
	op := VaultPut
	if in.Recover {
		op = VaultRecover
	}
	return s.changeVault(ctx, caller, op, group, name, func(c change) (*vaultRecord, error) {
		switch {
		case in.Recover:
			return c.recover(in)
		case c.was == nil || c.adopts:
			return c.create(in)
		}
		return c.replace(in)
	})
}

// PatchVault changes what was sent of a vault that exists.
func (s *Service) PatchVault(ctx context.Context, caller access.Caller, group, name string, in VaultInput) (Vault, error) {
	return s.changeVault(ctx, caller, VaultPatch, group, name, func(c change) (*vaultRecord, error) {
		if c.was == nil || c.was.State != "" {
			return nil, resourceNotFound(name, group)
		}
		return c.patch(in)
	})
}

// A PolicyChange says what ChangePolicies does with the entries it is given.
type PolicyChange string

// The kinds of a PolicyChange.
const (
	PoliciesAdd     PolicyChange = "add"     // merges permissions
	PoliciesReplace PolicyChange = "replace" // swaps the entries of these principals
	PoliciesRemove  PolicyChange = "remove"  // takes permissions away; empty entries go
)

// ChangePolicies changes the access policies of some principals, and returns the vault, and
// whether it is another one now.
func (s *Service) ChangePolicies(ctx context.Context, caller access.Caller, group, name string, kind PolicyChange, entries []access.Policy) (out Vault, changed bool, err error) {
	out, err = s.changeVault(ctx, caller, VaultPolicyChange, group, name, func(c change) (*vaultRecord, error) {
		if c.was == nil || c.was.State != "" {
			return nil, &Error{Code: CodeParentNotFound, Message: fmt.Sprintf("Can not perform requested operation on nested resource. Parent resource '%s' not found.", name)}
		}
		r := c.was.vaultRecord
		policies := r.policies()
		for _, entry := range entries {
			policies = changePolicies(policies, kind, entry)
		}
		changed = !slices.EqualFunc(policies, r.policies(), samePolicy)
		return &r, c.setPolicies(&r, policies)
	})
	return out, changed, err
}

func changePolicies(policies []access.Policy, kind PolicyChange, entry access.Policy) []access.Policy {
	policies = slices.Clone(policies)
	at := slices.IndexFunc(policies, func(p access.Policy) bool { return samePrincipal(p, entry) })
	switch {
	case at < 0 && kind == PoliciesRemove:
		return policies
	case at < 0:
		return append(policies, entry)
	case kind == PoliciesReplace:
		policies[at] = entry
		return policies
	}
	p := &policies[at]
	for _, list := range []struct {
		of   *[]string
		with []string
	}{{&p.Certificates, entry.Certificates}, {&p.Keys, entry.Keys}, {&p.Secrets, entry.Secrets}, {&p.Storage, entry.Storage}} {
		rest := slices.DeleteFunc(slices.Clone(*list.of), func(word string) bool {
			return slices.ContainsFunc(list.with, func(w string) bool { return strings.EqualFold(w, word) })
		})
		if kind == PoliciesAdd {
			rest = append(rest, list.with...)
		}
		*list.of = rest
	}
	if len(p.Certificates)+len(p.Keys)+len(p.Secrets)+len(p.Storage) == 0 {
		return slices.Delete(policies, at, at+1)
	}
	return policies
}

// samePolicy reports whether two entries grant the same to the same principal.
func samePolicy(a, b access.Policy) bool {
	return samePrincipal(a, b) && sameWords(a.Certificates, b.Certificates) && sameWords(a.Keys, b.Keys) && sameWords(a.Secrets, b.Secrets) && sameWords(a.Storage, b.Storage)
}

func sameWords(a, b []string) bool {
	missing := func(all []string) func(string) bool {
		return func(word string) bool {
			return !slices.ContainsFunc(all, func(other string) bool { return strings.EqualFold(word, other) })
		}
	}
	return !slices.ContainsFunc(a, missing(b)) && !slices.ContainsFunc(b, missing(a))
}

func samePrincipal(a, b access.Policy) bool {
	return strings.EqualFold(a.ObjectID, b.ObjectID) && strings.EqualFold(a.TenantID, b.TenantID) && strings.EqualFold(a.ApplicationID, b.ApplicationID)
}

// A change is one change of a vault in one Update.
type change struct {
	s      *Service
	tx     store.Tx
	group  groupRecord
	name   string
	was    *vaultState // nil: there is none
	adopts bool        // was came into being by being used, is empty, and becomes another one
	rerun  bool        // of a commit that may have happened
	caller access.Caller
	now    time.Time
}

// changeVault decides, and runs fn, which returns the record to be, in one Update.
func (s *Service) changeVault(ctx context.Context, caller access.Caller, op gate.Operation, group, name string, fn func(change) (*vaultRecord, error)) (out Vault, err error) {
	if !validVaultName(name) {
		return out, &Error{Code: CodeVaultName, Message: fmt.Sprintf(
			"The vault name '%s' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens.", clip(name))}
	}
	instance, now, rerun := uuid.NewString(), s.Now(), false
	err = s.changeControl(ctx, caller, op, s.VaultID(group, name), func(tx store.Tx, g seal.Grant, known access.Caller) error {
		c := change{s: s, tx: tx, name: name, caller: known, now: now, rerun: rerun}
		rerun = true
		if err := c.read(g, group); err != nil {
			return err
		}
		record, err := fn(c)
		if err != nil {
			return err
		}
		record.ModifiedBy, record.ModifiedByType = actor(known)
		record.Modified = unix(now)
		out = record.vault()
		was, at := store.Revision(0), instance
		if c.was != nil {
			was = c.was.revision
			if !c.adopts {
				at = c.was.Instance
			}
		}
		box, err := s.sealVault(g, at, *record)
		if err != nil {
			return err
		}
		if err := tx.SetDue(vaultKey(name), time.Time{}); err != nil {
			return err
		}
		return tx.Put(vaultKey(name), was, box)
	})
	return out, err
}

// read finds the group and the vault. A rerun finds what the first run made of it, which
// is the same again.
func (c *change) read(g seal.Grant, group string) (err error) {
	if c.group, err = c.s.liveGroup(c.tx, g, group); err != nil {
		return err
	}
	rec, err := c.tx.Get(vaultKey(c.name))
	if err != nil || !rec.Exists() {
		return err
	}
	if c.was, err = c.s.openVault(c.name)(rec); err != nil {
		return err
	}
	same := fold(c.was.group()) == fold(group)
	switch {
	case c.was.FirstTouch && c.was.State == "" && !same:
		if c.adopts, err = c.empty(); err != nil || c.adopts {
			return err
		}
		return c.exists()
	case !same && c.was.State == "", c.was.State == statePurging:
		return c.exists()
	}
	return nil
}

func (c change) exists() *Error {
	return &Error{Code: CodeVaultExists, Message: fmt.Sprintf(
		"The vault name '%s' is already in use. Vault names are globally unique so it is possible that the name is already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was recently deleted but not purged after being placed in a recoverable state.", c.name)}
}

// empty reports whether there is no object in the vault.
func (c change) empty() (bool, error) {
	recs, err := c.tx.Scan(store.Key(objectPrefix+fold(c.name)+"/"), "", 1)
	return len(recs) == 0, err
}

func actor(caller access.Caller) (name, kind string) {
	if caller.User {
		return caller.ObjectID, "User"
	}
	return caller.AppID, "Application"
}

// create makes a vault of a PUT.
func (c change) create(in VaultInput) (*vaultRecord, error) {
	if in.Location == "" {
		return nil, &Error{Code: CodeLocationRequired, Message: "The location property is required for this definition."}
	}
	r := &vaultRecord{Name: c.name, Location: in.Location, TenantID: c.s.TenantID, RetentionDays: DefaultRetentionDays, Group: c.group.Name, Created: unix(c.now)}
	r.CreatedBy, r.CreatedByType = actor(c.caller)
	if in.RBAC == nil && in.RBACByDefault {
		in.RBAC = pointer(true)
	}
	if in.RetentionDays != nil {
		r.RetentionDays = *in.RetentionDays
	}
	return r, c.put(r, in)
}

func pointer[T any](v T) *T { return &v }

// replace is a PUT of a vault that exists, or lies deleted.
func (c change) replace(in VaultInput) (*vaultRecord, error) {
	if c.was.State != "" {
		return nil, &Error{Code: CodeVaultConflict, Message: fmt.Sprintf(
			"A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete. Vault: '%s'.", c.name)}
	}
	r := c.was.vaultRecord
	if in.Location != "" && in.Location != r.Location {
		return nil, &Error{Code: CodeInvalidLocation, Message: fmt.Sprintf(
			"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.", c.name, r.Location, r.group(), in.Location)}
	}
	r.Deployment, r.DiskEncryption, r.TemplateDeployment, r.Network, r.NoPublicAccess = false, nil, nil, nil, false
	r.FirstTouch = false
	return &r, c.put(&r, in)
}

// put sets what a PUT says in full.
func (c change) put(r *vaultRecord, in VaultInput) error {
	switch {
	case in.SKU == "" || in.TenantID == "":
		return badRequest("The request needs properties.sku and properties.tenantId.")
	case in.Policies == nil && !value(in.RBAC, value(r.RBAC, false)):
		return badRequest("The parameter accessPolicies is not specified.")
	}
	r.Tags = maps.Clone(in.Tags)
	if in.Policies == nil {
		in.Policies = &[]access.Policy{}
	}
	return c.apply(r, in)
}

// patch sets what was sent.
func (c change) patch(in VaultInput) (*vaultRecord, error) {
	r := c.was.vaultRecord
	if in.Tags != nil {
		r.Tags = maps.Clone(in.Tags)
	}
	r.FirstTouch = false
	return &r, c.apply(&r, in)
}

// recover makes a deleted vault what it was.
func (c change) recover(in VaultInput) (*vaultRecord, error) {
	if c.was == nil || c.was.State != stateDeleted && !(c.rerun && c.was.State == "") {
		return nil, deletedVaultNotFound(c.name)
	}
	if fold(c.was.group()) != fold(c.group.Name) {
		return nil, badRequest("The vault '%s' was deleted in the resource group '%s'; recover it there.", c.name, c.was.group())
	}
	if in.Location != "" && in.Location != c.was.Location {
		return nil, deletedVaultNotFound(c.name)
	}
	r := c.was.vaultRecord
	r.State, r.Deleted, r.PurgeAt = "", 0, 0
	return &r, nil
}

// apply checks and sets what was sent.
func (c change) apply(r *vaultRecord, in VaultInput) error {
	created := c.was == nil || c.adopts
	switch {
	case in.TenantID != "" && !strings.EqualFold(in.TenantID, c.s.TenantID):
		return badRequest("The tenant '%s' is not the tenant of this subscription, which is '%s'.", clip(in.TenantID), c.s.TenantID)
	case in.SKUFamily != "" && !strings.EqualFold(in.SKUFamily, "A"):
		return &Error{Code: CodeSKU, Message: "The SKU family has to be A."}
	case in.SKU != "" && !strings.EqualFold(in.SKU, "standard") && !strings.EqualFold(in.SKU, "premium"):
		return &Error{Code: CodeSKU, Message: fmt.Sprintf("The SKU '%s' is not supported; use standard or premium.", clip(in.SKU))}
	case !value(in.SoftDelete, true):
		return badRequest("The property \"enableSoftDelete\" can be set to false only for creating new vaults in older API versions. Enabling the 'soft delete' functionality is an irreversible action.")
	case in.PurgeProtection != nil && !*in.PurgeProtection:
		return badRequest("The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.")
	case in.RetentionDays != nil && (*in.RetentionDays < MinRetentionDays || *in.RetentionDays > MaxRetentionDays):
		return badRequest("The property \"softDeleteRetentionInDays\" has to be between %d and %d.", MinRetentionDays, MaxRetentionDays)
	case in.RetentionDays != nil && !created && *in.RetentionDays != r.RetentionDays:
		return badRequest("The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.")
	case in.PublicAccess != nil && !strings.EqualFold(*in.PublicAccess, "Enabled") && !strings.EqualFold(*in.PublicAccess, "Disabled"):
		return badRequest("The property \"publicNetworkAccess\" has to be Enabled or Disabled.")
	}
	if err := c.setModel(r, in.RBAC, created); err != nil {
		return err
	}
	if in.SKU != "" {
		r.Premium = strings.EqualFold(in.SKU, "premium")
	}
	r.PurgeProtection = r.PurgeProtection || value(in.PurgeProtection, false)
	r.Deployment = value(in.Deployment, r.Deployment)
	if in.DiskEncryption != nil {
		r.DiskEncryption = in.DiskEncryption
	}
	if in.TemplateDeployment != nil {
		r.TemplateDeployment = in.TemplateDeployment
	}
	if in.PublicAccess != nil {
		r.NoPublicAccess = strings.EqualFold(*in.PublicAccess, "Disabled")
	}
	if in.Network != nil {
		network, err := in.Network.record()
		if err != nil {
			return err
		}
		r.Network = network
	}
	if in.Policies != nil {
		return c.setPolicies(r, *in.Policies)
	}
	return nil
}

// setModel turns role assignments on or off. Of a vault that exists, that gives away
// access, and so needs the right to do so.
func (c change) setModel(r *vaultRecord, rbac *bool, created bool) error {
	if rbac == nil {
		return nil
	}
	if !created && *rbac != value(r.RBAC, false) {
		rules := access.Rules{Scope: c.s.VaultID(r.group(), r.Name)}
		if !rules.Allow(c.caller, assignmentsWrite, "").Allowed {
			return &Error{Code: CodeInsufficientPermissions, Message: "Caller is not allowed to change permission model. The caller needs the permission Microsoft.Authorization/roleAssignments/write on the vault."}
		}
	}
	r.RBAC = rbac
	return nil
}

func (c change) setPolicies(r *vaultRecord, policies []access.Policy) error {
	if len(policies) > maxPolicies {
		return badRequest("A vault can have %d access policies.", maxPolicies)
	}
	r.Policies = nil
	for _, p := range policies {
		if err := checkPolicy(p, c.s.TenantID); err != nil {
			return err
		}
		r.Policies = append(r.Policies, policyOfVault(p))
	}
	return nil
}

func checkPolicy(p access.Policy, tenantID string) error {
	if uuid.Validate(p.ObjectID) != nil {
		return badRequest("An access policy needs an objectId that is a GUID.")
	}
	if !strings.EqualFold(p.TenantID, tenantID) {
		return badRequest("The tenantId of an access policy has to be '%s'.", tenantID)
	}
	if p.ApplicationID != "" && uuid.Validate(p.ApplicationID) != nil {
		return badRequest("The applicationId of an access policy has to be a GUID.")
	}
	for collection, words := range map[string][]string{"certificates": p.Certificates, "keys": p.Keys, "secrets": p.Secrets} {
		for _, word := range words {
			if !access.IsWord(collection, word) {
				return badRequest("'%s' is no permission of %s.", clip(word), collection)
			}
		}
	}
	return nil
}

// record checks the rules and writes them as the service does: an address alone becomes a
// prefix, ids are in lower case. What is the default is not kept.
func (n NetworkRules) record() (*networkRecord, error) {
	out := &networkRecord{Bypass: "AzureServices", DefaultAction: "Allow"}
	switch {
	case strings.EqualFold(n.Bypass, "None"):
		out.Bypass = "None"
	case n.Bypass != "" && !strings.EqualFold(n.Bypass, "AzureServices"):
		return nil, badNetwork("bypass has to be AzureServices or None")
	}
	switch {
	case strings.EqualFold(n.DefaultAction, "Deny"):
		out.DefaultAction = "Deny"
	case n.DefaultAction != "" && !strings.EqualFold(n.DefaultAction, "Allow"):
		return nil, badNetwork("defaultAction has to be Allow or Deny")
	}
	if len(n.IPRules) > maxNetwork || len(n.Subnets) > maxNetwork {
		return nil, badNetwork(fmt.Sprintf("there can be %d rules of a kind", maxNetwork))
	}
	for _, rule := range n.IPRules {
		text := rule
		if address, err := netip.ParseAddr(rule); err == nil {
			text = netip.PrefixFrom(address, address.BitLen()).String()
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, badNetwork("'" + clip(rule) + "' is no address or prefix such as 10.1.0.0/24")
		}
		out.IPRules = append(out.IPRules, prefix.String())
	}
	for _, id := range n.Subnets {
		out.Subnets = append(out.Subnets, fold(id))
	}
	if out.DefaultAction == "Allow" && out.Bypass == "AzureServices" && len(out.IPRules)+len(out.Subnets) == 0 {
		return nil, nil
	}
	return out, nil
}

func badNetwork(detail string) *Error {
	return &Error{Code: CodeNetworkAcls, Message: "The network rules are not valid: " + detail + "."}
}
