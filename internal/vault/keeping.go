package vault

import (
	"fmt"
	"slices"
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The kinds of records in a vault, by how their places are made.
var (
	namedKinds     = []string{kindCertificate, kindKey, kindSecret, kindOperation, kindIssuer}
	versionedKinds = []string{kindCertificateVersion, kindKeyVersion, kindSecretVersion}
	vaultKinds     = []string{kindContacts, kindReleaseSigner} // one in a vault
	indexKinds     = []string{indexDeleted, indexDeletedKey, indexDeletedSecret}
)

// Place is where a sealed record of this room belongs, for those who reseal all of them. ok
// is false if key is of no such record. Records in a vault are bound to the vault's
// instance, which tx tells.
func (s *Service) Place(tx store.Tx, key store.Key) (place seal.Place, ok bool, err error) {
	if name, found := strings.CutPrefix(string(key), vaultPrefix); found {
		return vaultPlace(name, ""), true, nil
	}
	if name, found := strings.CutPrefix(string(key), groupPrefix); found {
		return groupPlace(name), true, nil
	}
	at, ok := parsePlace(key)
	if !ok {
		return place, false, nil
	}
	rec, err := tx.Get(vaultKey(at.ref.Vault))
	if err != nil {
		return place, false, err
	}
	if !rec.Exists() {
		return place, false, fmt.Errorf("vault: the record %s is of a vault that does not exist", key)
	}
	v := &vaultState{Instance: seal.ObjectOf(rec.Body)}
	return v.place(at.kind, at.ref, "", at.ref.Version), true, nil
}

// A spot is the key of a sealed record in a vault, taken apart.
type spot struct {
	kind string
	ref  Ref
}

func parsePlace(key store.Key) (at spot, ok bool) {
	parts := strings.Split(string(key), "/")
	if len(parts) < 4 || parts[0]+"/" != objectPrefix {
		return at, false
	}
	at = spot{kind: parts[2], ref: Ref{Vault: parts[1], Name: parts[3]}}
	switch {
	case len(parts) == 4 && parts[3] != "":
		return at, slices.Contains(namedKinds, at.kind)
	case len(parts) == 4:
		return at, slices.Contains(vaultKinds, at.kind)
	case len(parts) == 5:
		at.ref.Version = parts[4]
		return at, slices.Contains(versionedKinds, at.kind)
	}
	return at, false
}
