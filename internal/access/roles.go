package access

import (
	"strings"
)

// A Role is what a role definition allows. Actions are those of the control plane, data
// actions those of the vaults; both may have the wildcard *, which stands for any run of
// characters, slashes included. What a Not list matches is taken away again.
type Role struct {
	ID             string // GUID
	Actions        []string
	NotActions     []string
	DataActions    []string
	NotDataActions []string
	// Delegates, when not nil, are the only roles, GUIDs, which this one lets its holder
	// assign and unassign.
	Delegates []string
}

// An Assignment gives a role to a principal at a scope and everything below it. A scope is
// an ARM id such as /subscriptions/SUB/resourceGroups/RG; "/" is the root.
type Assignment struct {
	ID          string // GUID
	RoleID      string // GUID
	PrincipalID string // object id of a service principal, a user or a group
	Scope       string
}

// Roles are all role definitions and assignments of a tenant, indexed. They are shared
// and never changed.
type Roles struct {
	byPrincipal map[string]map[string][]assigned // by object id and scope, folded
}

type assigned struct {
	id   string
	role *rolePatterns
}

// rolePatterns is a role with everything folded.
type rolePatterns struct {
	actions, notActions, data, notData []string
	delegates                          []string
}

// NewRoles indexes definitions and assignments. An assignment of a role that is not among
// the definitions grants nothing.
func NewRoles(definitions []Role, assignments []Assignment) *Roles {
	patterns := make(map[string]*rolePatterns, len(definitions))
	for _, d := range definitions {
		patterns[fold(d.ID)] = &rolePatterns{
			actions: foldAll(d.Actions), notActions: foldAll(d.NotActions),
			data: foldAll(d.DataActions), notData: foldAll(d.NotDataActions), delegates: foldAll(d.Delegates),
		}
	}
	r := &Roles{byPrincipal: map[string]map[string][]assigned{}}
	for _, a := range assignments {
		role := patterns[fold(a.RoleID)]
		if role == nil {
			continue
		}
		principal, scope := fold(a.PrincipalID), foldScope(a.Scope)
		if r.byPrincipal[principal] == nil {
			r.byPrincipal[principal] = map[string][]assigned{}
		}
		r.byPrincipal[principal][scope] = append(r.byPrincipal[principal][scope], assigned{id: a.ID, role: role})
	}
	return r
}

func fold(text string) string { return strings.ToLower(text) }

func foldAll(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = fold(text)
	}
	return out
}

// foldScope is a scope without the slash at its end; the root is empty.
func foldScope(scope string) string { return strings.TrimRight(fold(scope), "/") }

// find returns the id of an assignment to the caller, or to one of its groups, at the
// scope or above, whose role allows the request. Scopes nest by whole segments.
func (r *Roles) find(caller Caller, scope string, allows func(*rolePatterns) bool) (id string, ok bool) {
	if r == nil {
		return "", false
	}
	scope = foldScope(scope)
	if id, ok = r.of(caller.ObjectID, scope, allows); ok {
		return id, true
	}
	for _, group := range caller.Groups {
		if id, ok = r.of(group, scope, allows); ok {
			return id, true
		}
	}
	return "", false
}

func (r *Roles) of(principal, scope string, allows func(*rolePatterns) bool) (string, bool) {
	scopes := r.byPrincipal[fold(principal)]
	if principal == "" || scopes == nil {
		return "", false
	}
	for {
		for _, a := range scopes[scope] {
			if allows(a.role) {
				return a.id, true
			}
		}
		at := strings.LastIndexByte(scope, '/')
		if at < 0 {
			return "", false
		}
		scope = scope[:at]
	}
}

// Assigned reports whether the caller, or one of its groups, has a role anywhere.
func (r *Roles) Assigned(caller Caller) bool {
	if r == nil {
		return false
	}
	if len(r.byPrincipal[fold(caller.ObjectID)]) > 0 {
		return true
	}
	for _, group := range caller.Groups {
		if len(r.byPrincipal[fold(group)]) > 0 {
			return true
		}
	}
	return false
}

// allowsAction reports whether the role allows an action of the control plane, folded.
// The target is the role that is to be assigned, if that is what the action does.
func (r *rolePatterns) allowsAction(action, target string) bool {
	if !matchAny(r.actions, action) || matchAny(r.notActions, action) {
		return false
	}
	if r.delegates == nil || !strings.HasPrefix(action, assignRole) || strings.HasSuffix(action, "/read") {
		return true
	}
	for _, allowed := range r.delegates {
		if allowed == target {
			return true
		}
	}
	return false
}

// assignRole begins the actions that assign and unassign roles.
const assignRole = "microsoft.authorization/roleassignments/"

func (r *rolePatterns) allowsData(action string) bool {
	return matchAny(r.data, action) && !matchAny(r.notData, action)
}

func matchAny(patterns []string, text string) bool {
	for _, pattern := range patterns {
		if match(pattern, text) {
			return true
		}
	}
	return false
}

// match compares with a pattern in which * stands for any run of characters. It takes
// time in proportion to the product of the lengths at most.
func match(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for {
		var part string
		part, rest, wild = strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
}
