package vault

import (
	"coffer/internal/access"
	"coffer/internal/gate"
)

// The operations, as the service's audit log names them, each with the one permission
// that it needs. Doors name them in their route tables; the methods of Service use
// the same values, so a route cannot need another permission than its method.
var (
	CertificateCreate           = certificateOperation("CertificateCreate", "create")
	CertificateGet              = certificateOperation("CertificateGet", "get")
	CertificateList             = certificateOperation("CertificateList", "list")
	CertificateListVersions     = certificateOperation("CertificateListVersions", "list")
	CertificateDelete           = certificateOperation("CertificateDelete", "delete")
	CertificateGetDeleted       = certificateOperation("CertificateGetDeleted", "get")
	CertificateListDeleted      = certificateOperation("CertificateListDeleted", "list")
	CertificateRecover          = certificateOperation("CertificateRecover", "recover")
	CertificatePurge            = certificateOperation("CertificatePurge", "purge")
	CertificatePendingGet       = certificateOperation("CertificatePendingGet", "get")
	SecretSet                   = operation("SecretSet", "secrets", "set")
	SecretUpdate                = operation("SecretUpdate", "secrets", "set")
	SecretDelete                = operation("SecretDelete", "secrets", "delete")
	KeyCreate                   = operation("KeyCreate", "keys", "create")
	KeyImport                   = operation("KeyImport", "keys", "import")
	KeyUpdate                   = operation("KeyUpdate", "keys", "update")
	KeyDelete                   = operation("KeyDelete", "keys", "delete")
	SecretGet                   = operation("SecretGet", "secrets", "get")
	KeyGet                      = operation("KeyGet", "keys", "get")
	CertificateImport           = certificateOperation("CertificateImport", "import")
	CertificatePropertiesUpdate = certificateOperation("CertificateUpdate", "update")
	CertificatePolicyGet        = certificateOperation("CertificatePolicyGet", "get")
	CertificatePolicyUpdate     = certificateOperation("CertificatePolicyUpdate", "update")
	CertificatePendingUpdate    = certificateOperation("CertificatePendingUpdate", "update")
	CertificatePendingDelete    = certificateOperation("CertificatePendingDelete", "update")
	CertificatePendingMerge     = certificateOperation("CertificatePendingMerge", "create")
	CertificateBackup           = certificateOperation("CertificateBackup", "backup")
	CertificateRestore          = certificateOperation("CertificateRestore", "restore")
	CertificateContactsGet      = certificateOperation("CertificateContactsGet", "managecontacts")
	CertificateContactsSet      = certificateOperation("CertificateContactsSet", "managecontacts")
	CertificateContactsDel      = certificateOperation("CertificateContactsDelete", "managecontacts")
	CertificateIssuersList      = certificateOperation("CertificateIssuersList", "listissuers")
	CertificateIssuerGet        = certificateOperation("CertificateIssuerGet", "getissuers")
	CertificateIssuerSet        = certificateOperation("CertificateIssuerSet", "setissuers")
	CertificateIssuerUpdate     = certificateOperation("CertificateIssuerUpdate", "setissuers")
	CertificateIssuerDelete     = certificateOperation("CertificateIssuerDelete", "deleteissuers")
)

// The operations of the installation itself; no permission allows a caller to do them.
var (
	certificateEnroll = gate.Operation{Name: "CertificateEnroll"}
	certificateRenew  = gate.Operation{Name: "CertificateRenew"}
	certificateExpire = gate.Operation{Name: "CertificatePurge"}
	vaultCreate       = gate.Operation{Name: "VaultPut"}
	vaultPolicies     = gate.Operation{Name: "VaultAccessPolicyChanged"}
)

func certificateOperation(name, verb string) gate.Operation {
	return operation(name, "certificates", verb)
}

func operation(name, collection, verb string) gate.Operation {
	return gate.Operation{Name: name, Permission: access.Permission{Collection: collection, Verb: verb}}
}
