// Package access decides who may do what. It is pure: no I/O, no clock, no state.
//
// A request arrives with a Caller, whom a door has authenticated; the object it is
// about lies in a vault, which has Rules; the operation needs one Permission. Allow
// compares the three. What no rule allows is denied.
//
//	rules := access.Rules{Policies: []access.Policy{{
//		TenantID: tid, ObjectID: oid, Certificates: []string{"get", "list"},
//	}}}
//	d := rules.Allow(caller, access.Permission{Collection: "certificates", Verb: "get"})
//	d.Allowed // true
//
// The words of permissions are those of the service's access policies
// (certificates: get, list, create, import, update, delete, recover, purge, backup,
// restore, managecontacts, getissuers, listissuers, setissuers, deleteissuers,
// manageissuers) and are compared without regard to case.
package access

import (
	"errors"
	"net/netip"
	"strings"
)

// ErrPrincipalGone means that a token is sound and that the principal it names was
// removed or disabled since. The doors answer it as they answer a bad token.
var ErrPrincipalGone = errors.New("access: the principal of the token does not exist or is disabled")

// A Caller is who sends a request, as the doors established it: the verified claims
// of the token, and where the request came from. Whether the principal still exists
// is not known from a token; the vault reads that together with the object.
type Caller struct {
	TenantID string // GUID, lower case
	ObjectID string // GUID of the service principal, claim oid
	AppID    string // GUID of the application, claim appid
	Issuer   string // claim iss
	// Groups holds the object ids of the groups of the principal. They are filled from
	// the principal's record, never from the token.
	Groups []string
	Origin Origin
}

// An Origin says where a request came from, for the audit log only. Nothing is
// decided by it.
type Origin struct {
	Address       netip.Addr // of the connection
	RequestID     string     // made by the door, a GUID
	CorrelationID string     // x-ms-client-request-id of the request, bounded by the door
	ClientInfo    string     // User-Agent, bounded by the door
	URI           string     // of the request, without the values of its query
}

// A Permission is one word of one collection, such as certificates/get.
type Permission struct {
	Collection string // "certificates", "keys" or "secrets"
	Verb       string // lower case
}

// String returns the permission as collection/verb.
func (p Permission) String() string { return p.Collection + "/" + p.Verb }

// A Policy is one entry of a vault's access policies: what one principal may do.
type Policy struct {
	TenantID string
	ObjectID string // of a service principal or a group
	// ApplicationID, when not empty, narrows the entry to requests which that
	// application makes on behalf of the object. No caller is of that kind so far, so
	// such an entry grants nothing.
	ApplicationID string
	Certificates  []string
	Keys          []string
	Secrets       []string
}

// Rules are all that a vault says about access.
type Rules struct {
	Policies []Policy
}

// A Decision is the answer of Allow.
type Decision struct {
	Allowed bool
	// Reason is the service's word for a refusal (innererror.code of a 403); empty
	// when allowed.
	Reason Reason
}

// A Reason is why a permission was refused.
type Reason string

// The reasons, spelled as the service's innererror.code.
const ForbiddenByPolicy Reason = "ForbiddenByPolicy" // the vault's access policies do not grant it

// Allow decides whether caller has permission p under the rules. Rules without a
// matching policy deny; so does the zero Permission.
func (r Rules) Allow(caller Caller, p Permission) Decision {
	for _, policy := range r.Policies {
		if policy.covers(caller) && policy.grants(p) {
			return Decision{Allowed: true}
		}
	}
	return Decision{Reason: ForbiddenByPolicy}
}

// covers reports whether the policy is about the caller or one of its groups.
func (p Policy) covers(caller Caller) bool {
	if p.ApplicationID != "" || p.ObjectID == "" || !strings.EqualFold(p.TenantID, caller.TenantID) {
		return false
	}
	if strings.EqualFold(p.ObjectID, caller.ObjectID) {
		return true
	}
	for _, group := range caller.Groups {
		if strings.EqualFold(p.ObjectID, group) {
			return true
		}
	}
	return false
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
