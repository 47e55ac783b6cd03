package vault

import (
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The kinds of records. They are part of the associated data, so a record of one kind
// never opens as another.
const (
	kindVault              = "vault"
	kindGroup              = "group"
	kindCertificate        = "certificate"
	kindKey                = "key"
	kindSecret             = "secret"
	kindCertificateVersion = "certificate-version"
	kindKeyVersion         = "key-version"
	kindSecretVersion      = "secret-version"
	kindOperation          = "operation"
	kindContacts           = "contacts"
	kindIssuer             = "issuer"
	kindReleaseSigner      = "release-signer"
	kindRenewal            = "renewal"  // no record: a due row only
	kindRotation           = "rotation" // likewise
)

// Where the records are. Names and versions, which are the 32 hex digits of the wire, are
// folded to lower case, so that they are compared without regard to case.
//
//	vault/{vault}                         a vault; due row: when it is purged
//	group/{group}                         a resource group
//	o/{vault}/certificate/{name}          head of a certificate; likewise key, secret
//	o/{vault}/certificate-version/{name}/{version}   an older version; likewise …
//	o/{vault}/operation/{name}            the operation of a certificate
//	o/{vault}/deleted/{name}              index: a certificate that may be deleted
//	o/{vault}/deleted-secret/{name}       likewise, secrets; and deleted-key
//	o/{vault}/renewal/{name}              due row: the certificate may have to be renewed
//	o/{vault}/rotation/{name}             due row: the key may have to be rotated
//	o/{vault}/contacts/                   the contacts of the vault
//	o/{vault}/issuer/{name}               an issuer object
//	o/{vault}/release-signer/             what signs keys that are released
const (
	vaultPrefix  = "vault/"
	groupPrefix  = "group/"
	objectPrefix = "o/"
	indexDeleted = "deleted"

	indexDeletedSecret = "deleted-secret"
	indexDeletedKey    = "deleted-key"
)

// A Ref names an object, or one version of it. The vault and the name are as the
// caller wrote them.
type Ref struct {
	Vault   string
	Name    string
	Version string // empty: the current one
}

func fold(name string) string { return strings.ToLower(name) }

func vaultKey(name string) store.Key { return store.Key(vaultPrefix + fold(name)) }
func groupKey(name string) store.Key { return store.Key(groupPrefix + fold(name)) }

func (r Ref) key(kind string) store.Key {
	return store.Key(objectPrefix + fold(r.Vault) + "/" + kind + "/" + fold(r.Name))
}

func (r Ref) versionKey(kind, version string) store.Key {
	return r.key(kind) + "/" + store.Key(fold(version))
}

// versionPrefix begins the keys of all older versions of the object.
func (r Ref) versionPrefix(kind string) store.Key { return r.key(kind) + "/" }

// listPrefix begins the keys of all records of one kind in a vault.
func listPrefix(vault, kind string) store.Key {
	return store.Key(objectPrefix + fold(vault) + "/" + kind + "/")
}

// parseKey is the inverse of Ref.key, for those who follow a due row.
func parseKey(key store.Key) (kind string, ref Ref, ok bool) {
	parts := strings.Split(string(key), "/")
	if len(parts) != 4 || parts[0]+"/" != objectPrefix {
		return "", Ref{}, false
	}
	return parts[2], Ref{Vault: parts[1], Name: parts[3]}, true
}

// place is where a record of the vault belongs. The object id may be empty to open a
// head; whoever opens a version gives the id that the head has.
func (v *vaultState) place(kind string, ref Ref, object, version string) seal.Place {
	return seal.Place{
		Purpose: seal.PurposeRecord, Vault: v.Instance, Kind: kind,
		Name: fold(ref.Name), Object: object, Version: fold(version), Format: recordFormat,
	}
}

// ValidName reports whether a name of an object has 1 to 127 of the service's
// characters.
func ValidName(name string) bool { return validWord(name, 1, 127) }

// validVaultName reports whether a vault can have the name: 3 to 24 characters, begins
// with a letter, ends with a letter or digit, no two hyphens in a row.
func validVaultName(name string) bool {
	first, last := name[:min(1, len(name))], name[max(0, len(name)-1):]
	return validWord(name, 3, 24) && strings.Trim(first, "0123456789-") != "" && last != "-" && !strings.Contains(name, "--")
}

func validWord(word string, least, most int) bool {
	if len(word) < least || len(word) > most {
		return false
	}
	return strings.Trim(word, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}
