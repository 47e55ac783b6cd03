package tenant

import (
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// Place is where a sealed record of this room belongs; ok is false if key is of no such
// record.
func (s *Service) Place(key store.Key) (at seal.Place, ok bool) {
	kind, name := kindOf(key)
	return place(kind, name), kind != ""
}

// kindOf takes the key of a record apart; kind is empty if it is none of this room.
func kindOf(key store.Key) (kind, name string) {
	switch key {
	case tenantKey:
		return kindTenant, ""
	case signingKey:
		return kindSigningKey, ""
	case rolesKey:
		return kindRoles, ""
	case directoryKey:
		return kindDirectory, ""
	}
	for _, c := range []struct {
		prefix store.Key
		kind   string
	}{{applicationPrefix, kindApplication}, {principalPrefix, kindPrincipal}, {userPrefix, kindUser}, {groupPrefix, kindGroup}, {devicePrefix, kindDevice}} {
		if name, ok := strings.CutPrefix(string(key), string(c.prefix)); ok && name != "" {
			return c.kind, name
		}
	}
	return "", ""
}
