package access_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"coffer/internal/access"
)

// A pattern of a role matches what the regular expression does that stands for it: without
// regard to case, * for any run of characters, and everything else for itself.
func FuzzRolePattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a/b"}, {"Microsoft.KeyVault/vaults/*/read", "microsoft.keyvault/vaults/keys/read"}, {"*/read", "/read"}, {"a*b*c", "abc"}, {"a*b*c", "aXbYbZc"}, {"a*a", "a"}, {"**", ""}, {"", ""}, {"a.b", "axb"}, {"*a*", "bab"}, {"ab*ba", "aba"},
		{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/roleAssignments/delete"}, {"*x", strings.Repeat("x", 100)}, {strings.Repeat("*a", 30), strings.Repeat("a", 60)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, action string) {
		ascii := func(text string) bool {
			return strings.IndexFunc(text, func(c rune) bool { return c > unicode.MaxASCII }) < 0
		}
		if !ascii(pattern) || !ascii(action) || action == "" || len(pattern) > 200 || len(action) > 200 {
			return // the fold of Go and that of regexp differ outside of ASCII, where no action is
		}
		want := regexp.MustCompile(`(?is)^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`).MatchString(action)
		for _, data := range []bool{false, true} {
			role, permission := access.Role{ID: "r", Actions: []string{pattern}}, access.Permission{Control: action}
			if data {
				role, permission = access.Role{ID: "r", DataActions: []string{pattern}}, access.Permission{Action: action}
			}
			allows := func(role access.Role) bool {
				roles := access.NewRoles([]access.Role{role}, []access.Assignment{{ID: "1", RoleID: "r", PrincipalID: "o", Scope: "/"}})
				return access.Rules{Scope: "/subscriptions/s", RBAC: true}.Allow(access.Caller{ObjectID: "o", Roles: roles}, permission, "").Allowed
			}
			if got := allows(role); got != want {
				t.Errorf("%q on %q: %v, want %v", pattern, action, got, want)
			}
			role.NotActions, role.NotDataActions = []string{pattern}, []string{pattern}
			if allows(role) {
				t.Errorf("%q takes nothing away of %q", pattern, action)
			}
		}
	})
}

// Scopes nest by whole segments: an assignment reaches its scope and what begins with it and
// a slash, and nothing else.
func FuzzScope(f *testing.F) {
	for _, seed := range [][2]string{{"/subscriptions/s", "/subscriptions/s/resourceGroups/rg"}, {"/subscriptions/s/", "/SUBSCRIPTIONS/S"}, {"/subscriptions/s", "/subscriptions/sx"}, {"/", "/x"}, {"", ""}, {"//", "/a//b"}, {"a", "a"}, {"/a/..", "/a"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, assigned, scope string) {
		roles := access.NewRoles([]access.Role{{ID: "r", Actions: []string{"*"}}}, []access.Assignment{{ID: "1", RoleID: "r", PrincipalID: "o", Scope: assigned}})
		got := access.Rules{Scope: scope}.Allow(access.Caller{ObjectID: "o", Roles: roles}, access.Permission{Control: "a"}, "").Allowed
		of, at := strings.TrimRight(strings.ToLower(assigned), "/"), strings.TrimRight(strings.ToLower(scope), "/")
		want := of == "" && (at == "" || strings.HasPrefix(at, "/")) || at == of || strings.HasPrefix(at, of+"/")
		if got != want {
			t.Errorf("assigned at %q, asked at %q: %v", assigned, scope, got)
		}
	})
}
