package vault

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

// A Vault is what can be known of a vault.
type Vault struct {
	Name            string
	Location        string
	TenantID        string
	RetentionDays   int // how long a deleted object can be recovered; 7 to 90
	PurgeProtection bool
	Premium         bool // takes keys of the kinds with the suffix -HSM
	Policies        []access.Policy
	FirstTouch      bool   // it came into being by being used, and can be adopted while it is empty
	Group           string // resource group; empty: "coffer"
	RBAC            *bool  // role assignments decide, not policies; nil: it was never said, which means no

	// What only the control plane shows.
	Tags                               map[string]string
	Deployment                         bool
	DiskEncryption, TemplateDeployment *bool
	Network                            *NetworkRules // nil: the default
	NoPublicAccess                     bool
	CreatedBy, ModifiedBy              string // appid, or the name of a user
	CreatedByType, ModifiedByType      string // "Application" or "User"
	Created, Modified                  time.Time
	Deleted, PurgeAt                   time.Time // zero while live
}

// NetworkRules say from where the data plane of a vault is reached. Rules for virtual
// networks are kept, and let nobody in.
type NetworkRules struct {
	Bypass        string   // "AzureServices" or "None"; without effect
	DefaultAction string   // "Allow" or "Deny"
	IPRules       []string // prefixes, such as 10.1.0.0/24
	Subnets       []string // ids
}

// defaultGroup is the resource group of vaults that the control plane did not make.
const defaultGroup = "coffer"

// vaultState is a vault's record, parsed. It is shared between requests and never
// changed.
type vaultState struct {
	vaultRecord
	Instance string // tells this vault from every other one of the same name
	rules    access.Rules
	revision store.Revision
	subject  gate.Subject // of the vault itself
}

// The bounds and the default of a vault's retention, in days, as in the service.
const (
	MinRetentionDays     = 7
	MaxRetentionDays     = 90
	DefaultRetentionDays = 90
)

// CreateVault makes a vault. It is for those who provision: there is no caller whose
// permission is asked. The error is a Conflict when the name is taken.
func (s *Service) CreateVault(ctx context.Context, v Vault) error {
	if err := checkVault(&v, s.Location); err != nil {
		return err
	}
	record := v.record(s.Now())
	instance := uuid.NewString()
	err := s.Gate.System(ctx, "provision", vaultCreate, s.vaultSubject(record, instance), func(g seal.Grant) error {
		return s.putVault(ctx, g, instance, record, 0)
	})
	if errors.Is(err, store.ErrChanged) {
		return conflict("", "The vault name '%s' is already in use.", v.Name)
	}
	return explain(err)
}

// checkVault refuses what no vault can be, and fills what was left out.
func checkVault(v *Vault, location string) error {
	if err := CheckName(v.Name); err != nil {
		return err
	}
	if v.RetentionDays == 0 {
		v.RetentionDays = DefaultRetentionDays
	}
	if v.RetentionDays < MinRetentionDays || v.RetentionDays > MaxRetentionDays {
		return &Error{Code: CodeBadParameter, Message: fmt.Sprintf("A vault keeps deleted objects for %d to %d days, not %d.", MinRetentionDays, MaxRetentionDays, v.RetentionDays)}
	}
	if v.Location == "" {
		v.Location = location
	}
	return nil
}

// CheckName refuses what no vault can be called.
func CheckName(name string) error {
	if validVaultName(name) {
		return nil
	}
	return &Error{Code: CodeBadParameter, Message: fmt.Sprintf(
		"The vault name '%s' is not valid: use 3 to 24 letters, digits and hyphens, beginning with a letter, with no two hyphens in a row and none at the end.", name)}
}

func (s *Service) putVault(ctx context.Context, g seal.Grant, instance string, record vaultRecord, was store.Revision) error {
	box, err := s.sealVault(g, instance, record)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		if was == 0 { // a rerun of a commit that did happen finds its own work
			if rec, err := tx.Get(vaultKey(record.Name)); err != nil || slices.Equal(rec.Body, box) && rec.Exists() {
				return err
			}
		}
		return tx.Put(vaultKey(record.Name), was, box)
	})
}

func (s *Service) sealVault(g seal.Grant, instance string, record vaultRecord) ([]byte, error) {
	body, err := encode(record)
	if err != nil {
		return nil, err
	}
	return s.Keyring.Seal(g, vaultPlace(record.Name, instance), body)
}

func vaultPlace(name, instance string) seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: kindVault, Name: fold(name), Object: instance, Format: recordFormat}
}

// openVault parses a vault's record. The grant of decision inputs opens it.
func (s *Service) openVault(name string) func(store.Record) (*vaultState, error) {
	return func(rec store.Record) (*vaultState, error) {
		plain, at, err := s.Keyring.Open(s.Gate.Inputs(), vaultPlace(name, ""), rec.Body)
		if err != nil {
			return nil, err
		}
		v := &vaultState{Instance: at.Object, revision: rec.Revision}
		if err := decode(plain, at.Format, &v.vaultRecord); err != nil {
			return nil, err
		}
		v.subject = s.vaultSubject(v.vaultRecord, v.Instance)
		v.rules = v.subject.Rules
		return v, nil
	}
}

// GetVault returns a vault to those who provision. The error is VaultNotFound when
// there is none.
func (s *Service) GetVault(ctx context.Context, name string) (Vault, error) {
	look := s.vaults.Look(vaultKey(name))
	recs, err := s.Store.Get(ctx, look.Ask())
	if err != nil {
		return Vault{}, explain(err)
	}
	v, ok, err := look.Value(recs[0], s.openVault(name))
	if err != nil {
		return Vault{}, err
	}
	if !ok {
		return Vault{}, vaultNotFound(name)
	}
	return v.vault(), nil
}

// SetPolicy replaces what the vault grants to the policy's principal; a policy without
// any permission removes the entry. It is in force for the next request.
func (s *Service) SetPolicy(ctx context.Context, name string, policy access.Policy) error {
	look := s.vaults.Look(vaultKey(name))
	recs, err := s.Store.Get(ctx, look.Ask())
	if err != nil {
		return explain(err)
	}
	v, ok, err := look.Value(recs[0], s.openVault(name))
	if err != nil {
		return err
	}
	if !ok {
		return vaultNotFound(name)
	}
	record := v.vaultRecord
	record.Policies = slices.DeleteFunc(slices.Clone(record.Policies), func(p policyOfVault) bool {
		return strings.EqualFold(p.ObjectID, policy.ObjectID) && strings.EqualFold(p.TenantID, policy.TenantID) && strings.EqualFold(p.ApplicationID, policy.ApplicationID)
	})
	if len(policy.Certificates)+len(policy.Keys)+len(policy.Secrets) > 0 {
		record.Policies = append(record.Policies, policyOfVault(policy))
	}
	return explain(s.Gate.System(ctx, "provision", vaultPolicies, v.subject, func(g seal.Grant) error {
		return s.putVault(ctx, g, v.Instance, record, v.revision)
	}))
}

func vaultNotFound(name string) *Error {
	return &Error{Code: CodeVaultNotFound, Message: fmt.Sprintf("There is no vault named '%s' here. Check the vault's URL, or create the vault first.", name)}
}

// vaultSubject describes a vault to the gate.
func (s *Service) vaultSubject(r vaultRecord, instance string) gate.Subject {
	id := s.VaultID(r.group(), r.Name)
	rules := access.NewRules(r.policies()...)
	rules.Scope, rules.RBAC, rules.Network = id, r.RBAC != nil && *r.RBAC, r.network()
	return gate.Subject{
		Vault: r.Name, VaultInstance: instance, Location: r.Location, ResourceID: strings.ToUpper(id), Object: "https://" + fold(r.Name) + "." + s.Suffix, Rules: rules,
	}
}

// touch makes the vault of a first request, if this caller's first request may.
func (s *Service) touch(ctx context.Context, caller access.Caller, name string) (bool, error) {
	if s.FirstTouch == nil || !validVaultName(name) {
		return false, nil
	}
	owns := false
	var policies []access.Policy
	for _, owner := range s.FirstTouch() {
		owns = owns || caller.ObjectID == owner.ObjectID && caller.TenantID == owner.TenantID
		policies = append(policies, AllPermissions(owner.TenantID, owner.ObjectID))
	}
	if !owns || caller.ObjectID == "" {
		return false, nil
	}
	err := s.CreateVault(ctx, Vault{Name: name, TenantID: caller.TenantID, Premium: true, FirstTouch: true, Policies: policies})
	var taken *Error
	if errors.As(err, &taken) && taken.Code == CodeConflict { // another request was first
		err = nil
	}
	return err == nil, err
}

// AllPermissions is the access policy that grants a principal everything, purge
// included.
func AllPermissions(tenantID, objectID string) access.Policy {
	return access.Policy{
		TenantID: tenantID, ObjectID: objectID,
		Certificates: []string{"all", "purge"}, Keys: []string{"all", "purge"}, Secrets: []string{"all", "purge"},
	}
}
