// Package access decides who may do what. It is pure: no I/O, no clock, no state.
//
// A request arrives with a Caller, whom a door has authenticated; what it is about has
// Rules; the operation needs one Permission. Allow compares the three. What no rule allows
// is denied.
//
//	rules := access.NewRules(access.Policy{TenantID: tid, ObjectID: oid, Certificates: []string{"get", "list"}})
//	d := rules.Allow(caller, access.Permission{Collection: "certificates", Verb: "get"}, "")
//	d.Allowed // true
//
// A vault has one of two models: access policies (policy.go), or role assignments at a
// scope (roles.go). Requests to the control plane are always decided by role assignments,
// those to the directory by ownership (directory.go).
//
// The words of permissions are those of the service's access policies
// (certificates: get, list, create, import, update, delete, recover, purge, backup,
// restore, managecontacts, getissuers, listissuers, setissuers, deleteissuers,
// manageissuers) and are compared without regard to case.
package access

import (
	"errors"
	"net/netip"
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
	// Roles are the role assignments of the tenant, read together with the principal; nil:
	// there are none.
	Roles *Roles
	// User says that the principal is a user, for whom the application AppID acts.
	User bool
	// Admin says that the principal administers the directory.
	Admin  bool
	Origin Origin
}

// An Origin says where a request came from. Of it, only the address decides anything: a
// vault's network rules.
type Origin struct {
	Address       netip.Addr // of the connection
	RequestID     string     // made by the door, a GUID
	CorrelationID string     // x-ms-client-request-id of the request, bounded by the door
	ClientInfo    string     // User-Agent, bounded by the door
	URI           string     // of the request, without the values of its query
}

// A Permission is what an operation needs: one word of one collection, such as
// certificates/get, and the data action that stands for it where roles decide; or an action
// of the control plane alone.
type Permission struct {
	Collection string // "certificates", "keys" or "secrets"
	Verb       string
	// Action is the full data action, such as Microsoft.KeyVault/vaults/keys/read. Also, if
	// there is one, is another that is enough.
	Action, Also string

	// Control is an action of the control plane, such as Microsoft.KeyVault/vaults/write;
	// then everything above is empty.
	Control string
	// Target is the role, GUID, that an assignment is about.
	Target string

	// Directory is a right on an object of the directory, such as applications/update;
	// then everything above is empty.
	Directory string
}

// String returns the permission as collection/verb, or the action of the control plane or
// the right of the directory.
func (p Permission) String() string {
	if p.Control != "" {
		return p.Control
	}
	if p.Directory != "" {
		return p.Directory
	}
	return p.Collection + "/" + p.Verb
}

// Rules are all that a vault, or a resource of the control plane, says about access. The
// zero Rules deny everything.
type Rules struct {
	// Scope is the ARM id of the resource: role assignments count there and above.
	Scope string
	// RBAC says that role assignments decide, and access policies mean nothing.
	RBAC bool
	// Everybody says that whoever is a principal may; for lists that show to each what it
	// may see.
	Everybody bool
	// Network, if not nil, says from where a vault is reached.
	Network *Network
	// Directory says who has the rights on an object of the directory.
	Directory Directory

	policies map[string][]Policy // by object id, folded
}

// NewRules are the rules of a vault with access policies.
func NewRules(policies ...Policy) Rules {
	r := Rules{policies: make(map[string][]Policy, len(policies))}
	for _, p := range policies {
		if p.ObjectID != "" {
			r.policies[fold(p.ObjectID)] = append(r.policies[fold(p.ObjectID)], p)
		}
	}
	return r
}

// A Decision is the answer of Allow.
type Decision struct {
	Allowed bool
	// Reason is the service's word for a refusal (innererror.code of a 403, or the code of
	// the control plane); empty when allowed.
	Reason Reason
	// Assignment is the id of the role assignment that allowed it, if one did.
	Assignment string
}

// A Reason is why a permission was refused.
type Reason string

// The reasons, spelled as the service's codes.
const (
	ForbiddenByPolicy     Reason = "ForbiddenByPolicy"     // the vault's access policies do not grant it
	ForbiddenByRBAC       Reason = "ForbiddenByRbac"       // no role assignment does
	ForbiddenByFirewall   Reason = "ForbiddenByFirewall"   // the vault's network rules leave the address out
	ForbiddenByConnection Reason = "ForbiddenByConnection" // the vault has no public access
	AuthorizationFailed   Reason = "AuthorizationFailed"   // no role assignment allows the action of the control plane

	AuthorizationRequestDenied Reason = "Authorization_RequestDenied" // the caller neither owns the object of the directory nor administers it
)

// Allow decides whether caller has permission p under the rules. The object is the rest of
// the scope below that of the rules, such as /secrets/NAME; empty: the resource itself.
func (r Rules) Allow(caller Caller, p Permission, object string) Decision {
	if p.Directory != "" {
		return decision("", r.Directory.allows(caller), AuthorizationRequestDenied)
	}
	if p.Control != "" {
		if r.Everybody && caller.ObjectID != "" {
			return Decision{Allowed: true}
		}
		action, target := fold(p.Control), fold(p.Target)
		id, ok := caller.Roles.find(caller, r.Scope+object, func(role *rolePatterns) bool { return role.allowsAction(action, target) })
		return decision(id, ok, AuthorizationFailed)
	}
	if reason := r.Network.refuses(caller.Origin.Address); reason != "" {
		return Decision{Reason: reason}
	}
	if r.RBAC {
		if p.Action == "" {
			return Decision{Reason: ForbiddenByRBAC}
		}
		action, also := fold(p.Action), fold(p.Also)
		id, ok := caller.Roles.find(caller, r.Scope+object, func(role *rolePatterns) bool {
			return role.allowsData(action) || also != "" && role.allowsData(also)
		})
		return decision(id, ok, ForbiddenByRBAC)
	}
	return decision("", r.granted(caller, p), ForbiddenByPolicy)
}

func decision(assignment string, ok bool, otherwise Reason) Decision {
	if ok {
		return Decision{Allowed: true, Assignment: assignment}
	}
	return Decision{Reason: otherwise}
}

// granted asks the policies of the caller and of its groups.
func (r Rules) granted(caller Caller, p Permission) bool {
	if grants(r.policies[fold(caller.ObjectID)], caller, p) {
		return true
	}
	for _, group := range caller.Groups {
		if grants(r.policies[fold(group)], caller, p) {
			return true
		}
	}
	return false
}
