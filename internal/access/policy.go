package access

import (
	"slices"
	"strings"
)

// A Policy is one entry of a vault's access policies: what one principal may do.
type Policy struct {
	TenantID string
	ObjectID string // of a service principal or a group
	// ApplicationID, when not empty, narrows the entry to requests which that
	// application makes on behalf of a user.
	ApplicationID string
	Certificates  []string
	Keys          []string
	Secrets       []string
	Storage       []string // kept as it came; there are no storage accounts
}

// grants reports whether one of the policies is about the caller and names the permission.
func grants(policies []Policy, caller Caller, p Permission) bool {
	for _, policy := range policies {
		if strings.EqualFold(policy.TenantID, caller.TenantID) && policy.appliesTo(caller) && policy.grants(p) {
			return true
		}
	}
	return false
}

// appliesTo reports whether an entry for an application is about this caller: a user, or
// another object, for whom that application acts. An application's own principal is not
// acted for.
func (p Policy) appliesTo(caller Caller) bool {
	return p.ApplicationID == "" || caller.User && strings.EqualFold(p.ApplicationID, caller.AppID)
}

// grants reports whether the policy names the permission. The word all stands for
// every permission of its collection but purge, and manageissuers for the four about
// issuers, as in the service.
func (p Policy) grants(want Permission) bool {
	if want.Verb == "" {
		return false
	}
	for _, word := range p.words(want.Collection) {
		if strings.EqualFold(word, want.Verb) {
			return true
		}
		if strings.EqualFold(word, "all") && !strings.EqualFold(want.Verb, "purge") {
			return true
		}
		if strings.EqualFold(word, "manageissuers") && strings.HasSuffix(strings.ToLower(want.Verb), "issuers") {
			return true
		}
	}
	return false
}

// vocabulary are all words of the service's access policies, but all.
var vocabulary = map[string][]string{
	"certificates": {"get", "list", "create", "import", "update", "delete", "recover", "purge", "backup", "restore", "managecontacts",
		"getissuers", "listissuers", "setissuers", "deleteissuers", "manageissuers"},
	"keys": {"get", "list", "create", "import", "update", "delete", "recover", "purge", "backup", "restore", "encrypt", "decrypt",
		"wrapkey", "unwrapkey", "sign", "verify", "rotate", "getrotationpolicy", "setrotationpolicy", "release"},
	"secrets": {"get", "list", "set", "delete", "recover", "purge", "backup", "restore"},
}

// IsWord reports whether a text, in any case, is a permission of a collection, or all.
func IsWord(collection, text string) bool {
	text = fold(text)
	return text == "all" || slices.Contains(vocabulary[collection], text)
}

func (p Policy) words(collection string) []string {
	switch collection {
	case "certificates":
		return p.Certificates
	case "keys":
		return p.Keys
	case "secrets":
		return p.Secrets
	}
	return nil
}
