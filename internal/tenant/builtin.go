package tenant

import "time"

// The built-in roles that are named elsewhere.
const (
	RoleOwner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
)

// builtInRoles are the service's, with its ids (documented).
func builtInRoles() []RoleDefinition {
	base := []string{
		"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Resources/deployments/*",
		"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Support/*",
	}
	with := func(actions ...string) []string { return append(actions, base...) }
	read := with("Microsoft.KeyVault/checkNameAvailability/read", "Microsoft.KeyVault/deletedVaults/read", "Microsoft.KeyVault/locations/*/read", "Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/operations/read")
	data := func(actions ...string) (out []string) {
		for _, action := range actions {
			out = append(out, "Microsoft.KeyVault/vaults/"+action)
		}
		return out
	}
	roles := []RoleDefinition{
		{ID: RoleOwner, Name: "Owner", Description: "Grants full access to manage all resources, including the ability to assign roles.", Actions: []string{"*"}},
		{ID: "b24988ac-6180-42a0-ab88-20f7382dd24c", Name: "Contributor", Description: "Grants full access to manage all resources, but does not allow assigning roles.", Actions: []string{"*"}, NotActions: []string{
			"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action", "Microsoft.Blueprint/blueprintAssignments/write",
			"Microsoft.Blueprint/blueprintAssignments/delete", "Microsoft.Compute/galleries/share/action", "Microsoft.Purview/consents/write", "Microsoft.Purview/consents/delete",
		}},
		{ID: "acdd72a7-3385-48ef-bd42-f606fba81ae7", Name: "Reader", Description: "View all resources, but does not allow making any changes.", Actions: []string{"*/read"}},
		{ID: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", Name: "User Access Administrator", Description: "Lets you manage user access to resources.", Actions: []string{"*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"}},
		{ID: "f25e0fa2-a7c8-4377-a976-54943a77a395", Name: "Key Vault Contributor", Description: "Lets you manage key vaults, but not access to them.", Actions: with("Microsoft.KeyVault/*"),
			NotActions: []string{"Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/hsmPools/*", "Microsoft.KeyVault/managedHsms/*"}},
		{ID: "00482a5a-887f-4fb3-b363-3b7fe8e74483", Name: "Key Vault Administrator", Description: "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and secrets.", Actions: read, DataActions: data("*")},
		{ID: "21090545-7ca7-4776-b22c-e363652d74d2", Name: "Key Vault Reader", Description: "Read metadata of key vaults and its certificates, keys, and secrets.", Actions: read, DataActions: data("*/read", "secrets/readMetadata/action")},
		{ID: "a68e7c17-0ab2-4c09-9a58-125dae29748c", Name: "Key Vault Purge Operator", Description: "Allows permanent deletion of soft-deleted vaults.", Actions: []string{
			"Microsoft.KeyVault/deletedVaults/read", "Microsoft.KeyVault/locations/deletedVaults/read", "Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/locations/operationResults/read",
		}},
		{ID: "a4417e6f-fecd-4de8-b567-7b0420556985", Name: "Key Vault Certificates Officer", Description: "Perform any action on the certificates of a key vault, except manage permissions.", Actions: read, DataActions: data("certificatecas/*", "certificates/*", "certificatecontacts/write")},
		{ID: "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba", Name: "Key Vault Certificate User", Description: "Read certificate contents.", DataActions: data("certificates/read", "secrets/getSecret/action", "secrets/readMetadata/action", "keys/read")},
		{ID: "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", Name: "Key Vault Crypto Officer", Description: "Perform any action on the keys of a key vault, except manage permissions.", Actions: read, DataActions: data("keys/*", "keyrotationpolicies/*")},
		{ID: "12338af0-0e69-4776-bea7-57ae8d297424", Name: "Key Vault Crypto User", Description: "Perform cryptographic operations using keys.", DataActions: data("keys/read", "keys/update/action", "keys/backup/action",
			"keys/encrypt/action", "keys/decrypt/action", "keys/wrap/action", "keys/unwrap/action", "keys/sign/action", "keys/verify/action")},
		{ID: "e147488a-f6f5-4113-8e2d-b22465e65bf6", Name: "Key Vault Crypto Service Encryption User", Description: "Read metadata of keys and perform wrap/unwrap operations.",
			Actions:     []string{"Microsoft.EventGrid/eventSubscriptions/write", "Microsoft.EventGrid/eventSubscriptions/read", "Microsoft.EventGrid/eventSubscriptions/delete"},
			DataActions: data("keys/read", "keys/wrap/action", "keys/unwrap/action")},
		{ID: "08bbd89e-9f13-488c-ac41-acfcb10c90ab", Name: "Key Vault Crypto Service Release User", Description: "Release keys.", DataActions: data("keys/release/action")},
		{ID: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", Name: "Key Vault Secrets Officer", Description: "Perform any action on the secrets of a key vault, except manage permissions.", Actions: read, DataActions: data("secrets/*")},
		{ID: "4633458b-17de-408a-b874-0445c86b69e6", Name: "Key Vault Secrets User", Description: "Read secret contents.", DataActions: data("secrets/getSecret/action", "secrets/readMetadata/action")},
		{ID: "8b54135c-b56d-4d72-a534-26097cfdc8d8", Name: "Key Vault Data Access Administrator", Description: "Manage access to Azure Key Vault by adding or removing role assignments for the Key Vault roles.",
			Actions: with("Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "Microsoft.KeyVault/vaults/*/read"),
			delegates: []string{
				"00482a5a-887f-4fb3-b363-3b7fe8e74483", "21090545-7ca7-4776-b22c-e363652d74d2", "a4417e6f-fecd-4de8-b567-7b0420556985", "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
				"b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "12338af0-0e69-4776-bea7-57ae8d297424", "e147488a-f6f5-4113-8e2d-b22465e65bf6", "4633458b-17de-408a-b874-0445c86b69e6",
			}},
	}
	since := time.Date(2020, 5, 19, 17, 52, 47, 0, time.UTC)
	for i := range roles {
		roles[i].BuiltIn, roles[i].AssignableScopes, roles[i].Created, roles[i].Updated = true, []string{"/"}, since, since
	}
	return roles
}
