package vault

import (
	"context"
	"fmt"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
)

// This file and its neighbours group.go, putvault.go, getvault.go and deletedvault.go are
// the vaults and resource groups as resources of the control plane. Permissions are actions
// at the ARM id of what a request is about, whether that exists or not.

// The operations of the control plane, each with its action (documented).
var (
	GroupGet            = controlOperation("ResourceGroupGet", "Microsoft.Resources/subscriptions/resourceGroups/read")
	GroupPut            = controlOperation("ResourceGroupPut", "Microsoft.Resources/subscriptions/resourceGroups/write")
	GroupPatch          = controlOperation("ResourceGroupPatch", "Microsoft.Resources/subscriptions/resourceGroups/write")
	GroupDelete         = controlOperation("ResourceGroupDelete", "Microsoft.Resources/subscriptions/resourceGroups/delete")
	VaultGet            = controlOperation("VaultGet", "Microsoft.KeyVault/vaults/read")
	VaultPut            = controlOperation("VaultPut", "Microsoft.KeyVault/vaults/write")
	VaultPatch          = controlOperation("VaultPatch", "Microsoft.KeyVault/vaults/write")
	VaultDelete         = controlOperation("VaultDelete", "Microsoft.KeyVault/vaults/delete")
	VaultRecover        = controlOperation("VaultRecover", "Microsoft.KeyVault/vaults/write")
	VaultPolicyChange   = controlOperation("VaultAccessPolicyChanged", "Microsoft.KeyVault/vaults/accessPolicies/write")
	VaultListDeleted    = controlOperation("VaultListDeleted", "Microsoft.KeyVault/deletedVaults/read")
	VaultGetDeleted     = controlOperation("VaultGetDeleted", "Microsoft.KeyVault/locations/deletedVaults/read")
	VaultPurge          = controlOperation("VaultPurge", "Microsoft.KeyVault/locations/deletedVaults/purge/action")
	VaultCheckName      = controlOperation("VaultCheckNameAvailability", "Microsoft.KeyVault/checkNameAvailability/read")
	VaultOperationGet   = controlOperation("VaultOperationResultGet", "Microsoft.KeyVault/locations/operationResults/read")
	SubscriptionGet     = controlOperation("SubscriptionGet", "Microsoft.Resources/subscriptions/read")
	ProviderGet         = controlOperation("ProviderGet", "Microsoft.Resources/subscriptions/providers/read")
	ProviderRegister    = controlOperation("ProviderRegister", "Microsoft.KeyVault/register/action")
	assignmentsWrite    = access.Permission{Control: "Microsoft.Authorization/roleAssignments/write"}
	errGroupBeingDelete = "The resource group '%s' is in deprovisioning state and cannot perform this operation."
)

func controlOperation(name, action string) gate.Operation {
	return gate.Operation{Name: name, Permission: access.Permission{Control: action}}
}

// controller reads the caller's principal with its roles.
func (s *Service) controller(ctx context.Context, caller access.Caller) (access.Caller, error) {
	principal := s.Principals.Look(caller)
	recs, err := s.Store.Get(ctx, principal.Asks()...)
	if err != nil {
		return access.Caller{}, explain(err)
	}
	known, err := principal.Caller(recs)
	return known, explain(err)
}

// controlRequest describes an operation on a resource to the gate.
func controlRequest(caller access.Caller, op gate.Operation, scope string) gate.Request {
	return gate.Request{Caller: caller, Operation: op, Subject: gate.Subject{
		ResourceID: upper(scope), Object: scope, Rules: access.Rules{Scope: scope},
	}}
}

// Authorize asks whether the caller may do an operation at a scope, and writes it down. It
// is for requests that are answered by nothing but constants.
func (s *Service) Authorize(ctx context.Context, caller access.Caller, op gate.Operation, scope string) error {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return err
	}
	return explain(s.Gate.Read(ctx, controlRequest(known, op, scope), func(seal.Grant) error { return nil }))
}

// visible is a list of what the caller may read, each by itself: nobody is refused, and
// whoever may read nothing gets an empty list, as in the service.
func (s *Service) visible(ctx context.Context, caller access.Caller, op gate.Operation, scope string, fn func(g seal.Grant, may func(scope string) bool) error) error {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return err
	}
	r := controlRequest(known, op, scope)
	r.Subject.Rules.Everybody = true
	may := func(scope string) bool {
		return access.Rules{Scope: scope}.Allow(known, op.Permission, "").Allowed
	}
	return explain(s.Gate.Read(ctx, r, func(g seal.Grant) error { return fn(g, may) }))
}

// Sees reports whether the caller sees the subscription: it has a role somewhere in it.
func (s *Service) Sees(ctx context.Context, caller access.Caller) (sees bool, err error) {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return false, err
	}
	r := controlRequest(known, SubscriptionGet, "/subscriptions/"+s.SubscriptionID())
	r.Subject.Rules.Everybody = true
	err = s.Gate.Read(ctx, r, func(seal.Grant) error {
		sees = known.Roles.Assigned(known)
		return nil
	})
	return sees, explain(err)
}

func resourceNotFound(id, group string) *Error {
	return &Error{Code: CodeResourceNotFound, Message: fmt.Sprintf(
		"The Resource 'Microsoft.KeyVault/vaults/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", clip(id), clip(group))}
}

func groupNotFound(group string) *Error {
	return &Error{Code: CodeGroupNotFound, Message: fmt.Sprintf("Resource group '%s' could not be found.", clip(group))}
}
