package vault

import (
	"coffer/internal/access"
	"coffer/internal/gate"
)

// The operations, as the service's audit log names them, each with the one permission
// that it needs. Doors name them in their route tables; the methods of Service use
// the same values, so a route cannot need another permission than its method.
var (
	CertificateCreate       = certificateOperation("CertificateCreate", "create")
	CertificateGet          = certificateOperation("CertificateGet", "get")
	CertificateList         = certificateOperation("CertificateList", "list")
	CertificateListVersions = certificateOperation("CertificateListVersions", "list")
	CertificateDelete       = certificateOperation("CertificateDelete", "delete")
	CertificateGetDeleted   = certificateOperation("CertificateGetDeleted", "get")
	CertificateListDeleted  = certificateOperation("CertificateListDeleted", "list")
	CertificateRecover      = certificateOperation("CertificateRecover", "recover")
	CertificatePurge        = certificateOperation("CertificatePurge", "purge")
	CertificatePendingGet   = certificateOperation("CertificatePendingGet", "get")
	SecretSet               = operation("SecretSet", "secrets", "set")
	SecretGet               = operation("SecretGet", "secrets", "get")
	SecretPropertiesUpdate  = acting(operation("SecretUpdate", "secrets", "set"), "secrets/update/action")
	SecretDelete            = operation("SecretDelete", "secrets", "delete")
	SecretList              = operation("SecretList", "secrets", "list")
	SecretListVersions      = operation("SecretListVersions", "secrets", "list")
	SecretListDeleted       = operation("SecretListDeleted", "secrets", "list")
	SecretGetDeleted        = acting(operation("SecretGetDeleted", "secrets", "get"), "secrets/readMetadata/action")
	SecretRecover           = operation("SecretRecover", "secrets", "recover")
	SecretPurge             = operation("SecretPurge", "secrets", "purge")
	SecretBackup            = operation("SecretBackup", "secrets", "backup")
	SecretRestore           = operation("SecretRestore", "secrets", "restore")

	KeyCreate            = operation("KeyCreate", "keys", "create")
	KeyImport            = operation("KeyImport", "keys", "import")
	KeyGet               = operation("KeyGet", "keys", "get")
	KeyPropertiesUpdate  = operation("KeyUpdate", "keys", "update")
	KeyDelete            = operation("KeyDelete", "keys", "delete")
	KeyList              = operation("KeyList", "keys", "list")
	KeyListVersions      = operation("KeyListVersions", "keys", "list")
	KeyListDeleted       = operation("KeyListDeleted", "keys", "list")
	KeyGetDeleted        = operation("KeyGetDeleted", "keys", "get")
	KeyRecover           = operation("KeyRecover", "keys", "recover")
	KeyPurge             = operation("KeyPurge", "keys", "purge")
	KeyBackup            = operation("KeyBackup", "keys", "backup")
	KeyRestore           = operation("KeyRestore", "keys", "restore")
	KeyEncrypt           = orReading(operation("KeyEncrypt", "keys", "encrypt"))
	KeyDecrypt           = operation("KeyDecrypt", "keys", "decrypt")
	KeyWrap              = orReading(operation("KeyWrap", "keys", "wrapKey"))
	KeyUnwrap            = operation("KeyUnwrap", "keys", "unwrapKey")
	KeySign              = operation("KeySign", "keys", "sign")
	KeyVerify            = orReading(operation("KeyVerify", "keys", "verify"))
	KeyRelease           = operation("KeyRelease", "keys", "release")
	KeyRotate            = operation("KeyRotate", "keys", "rotate")
	KeyRotationPolicyGet = operation("KeyRotationPolicyGet", "keys", "getrotationpolicy")
	KeyRotationPolicySet = operation("KeyRotationPolicySet", "keys", "setrotationpolicy")

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
	keyRotation       = gate.Operation{Name: "KeyRotate"}
	certificateRenew  = gate.Operation{Name: "CertificateRenew"}
	certificateExpire = gate.Operation{Name: "CertificatePurge"}
	vaultCreate       = gate.Operation{Name: "VaultPut"}
	groupDelete       = gate.Operation{Name: "ResourceGroupDelete"}
	vaultPurge        = gate.Operation{Name: "VaultPurge"}
	vaultPolicies     = gate.Operation{Name: "VaultAccessPolicyChanged"}
)

func certificateOperation(name, verb string) gate.Operation {
	return operation(name, "certificates", verb)
}

func operation(name, collection, verb string) gate.Operation {
	p := access.Permission{Collection: collection, Verb: verb}
	p.Action = access.DataAction(p)
	return gate.Operation{Name: name, Permission: p}
}

// acting is the operation with another data action than its permission's (documented).
func acting(o gate.Operation, action string) gate.Operation {
	o.Permission.Action = "Microsoft.KeyVault/vaults/" + action
	return o
}

// orReading is the operation for which reading the key is enough where roles decide: what
// it does, everybody can do who has the public key (documented).
func orReading(o gate.Operation) gate.Operation {
	o.Permission.Also = KeyGet.Permission.Action
	return o
}
