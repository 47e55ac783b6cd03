package access_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"coffer/internal/access"
)

const vaultScope = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.KeyVault/vaults/V"

func data(action string) access.Permission {
	return access.Permission{Action: "Microsoft.KeyVault/vaults/" + action}
}

func control(action string) access.Permission { return access.Permission{Control: action} }

func TestRoles(t *testing.T) {
	roles := access.NewRoles([]access.Role{
		{ID: "READER", DataActions: []string{"Microsoft.KeyVault/vaults/*/read"}, Actions: []string{"*/read"}},
		{ID: "officer", DataActions: []string{"microsoft.keyvault/VAULTS/keys/*"}, NotDataActions: []string{"Microsoft.KeyVault/vaults/keys/purge/*"}},
		{ID: "owner", Actions: []string{"*"}, NotActions: []string{"Microsoft.Authorization/*/Delete"}},
		{ID: "delegate", Actions: []string{"Microsoft.Authorization/roleAssignments/*"}, Delegates: []string{"READER"}},
	}, []access.Assignment{
		{ID: "1", RoleID: "reader", PrincipalID: "O", Scope: "/subscriptions/S/"},
		{ID: "2", RoleID: "officer", PrincipalID: "g", Scope: vaultScope},
		{ID: "3", RoleID: "owner", PrincipalID: "root", Scope: "/"},
		{ID: "4", RoleID: "officer", PrincipalID: "one", Scope: vaultScope + "/keys/K"},
		{ID: "5", RoleID: "gone", PrincipalID: "nobody", Scope: "/"},
		{ID: "6", RoleID: "delegate", PrincipalID: "delegate", Scope: "/subscriptions/s"},
	})
	for _, test := range []struct {
		caller     string
		group      string
		permission access.Permission
		object     string
		want       string // the assignment
	}{
		{"o", "", data("keys/read"), "/keys/k", "1"}, {"o", "", data("keys/sign/action"), "/keys/k", ""}, {"o", "", data("secrets/getSecret/action"), "", ""},
		{"x", "G", data("keys/sign/action"), "/keys/k", "2"}, {"x", "G", data("keys/purge/action"), "/keys/k", ""}, {"x", "", data("keys/sign/action"), "/keys/k", ""},
		{"one", "", data("keys/sign/action"), "/keys/k", "4"}, {"one", "", data("keys/sign/action"), "/keys/kk", ""}, {"one", "", data("keys/read"), "", ""},
		{"root", "", control("Microsoft.KeyVault/vaults/write"), "", "3"}, {"root", "", data("keys/read"), "", ""},
		{"root", "", control("Microsoft.Authorization/roleAssignments/delete"), "", ""}, {"o", "", control("Microsoft.KeyVault/vaults/read"), "", "1"},
		{"nobody", "", control("a"), "", ""}, {"", "", control("a"), "", ""}, {"", "", data("keys/read"), "", ""},
		{"delegate", "", access.Permission{Control: "Microsoft.Authorization/roleAssignments/write", Target: "Reader"}, "", "6"},
		{"delegate", "", access.Permission{Control: "Microsoft.Authorization/roleAssignments/write", Target: "owner"}, "", ""},
		{"delegate", "", access.Permission{Control: "Microsoft.Authorization/roleAssignments/delete"}, "", ""},
		{"delegate", "", control("Microsoft.Authorization/roleAssignments/read"), "", "6"},
		{"x", "g", access.Permission{Action: "Microsoft.KeyVault/vaults/secrets/x", Also: "Microsoft.KeyVault/vaults/keys/read"}, "", "2"},
	} {
		caller := access.Caller{ObjectID: test.caller, Groups: []string{test.group}, Roles: roles}
		d := access.Rules{Scope: vaultScope, RBAC: true}.Allow(caller, test.permission, test.object)
		if d.Allowed != (test.want != "") || d.Assignment != test.want || d.Allowed == (d.Reason != "") {
			t.Errorf("%+v: %+v", test, d)
		}
	}
	// Neither roles in a vault with policies, nor policies in one with roles.
	rules := access.NewRules(access.Policy{TenantID: "t", ObjectID: "o", Keys: []string{"all"}})
	rules.Scope = vaultScope
	get := access.Permission{Collection: "keys", Verb: "get", Action: "Microsoft.KeyVault/vaults/keys/read"}
	if !rules.Allow(access.Caller{TenantID: "t", ObjectID: "o"}, get, "").Allowed || rules.Allow(access.Caller{TenantID: "t", ObjectID: "x", Groups: []string{"g"}, Roles: roles}, get, "").Allowed {
		t.Error("policies")
	}
	if rules.RBAC = true; rules.Allow(access.Caller{TenantID: "t", ObjectID: "o"}, get, "").Reason != access.ForbiddenByRBAC {
		t.Error("roles")
	}
}

// A policy for an application counts for it when it acts for the user, and for no other.
func TestOnBehalf(t *testing.T) {
	rules := access.NewRules(access.Policy{TenantID: "t", ObjectID: "u", ApplicationID: "A", Keys: []string{"get"}})
	get := access.Permission{Collection: "keys", Verb: "get"}
	for _, test := range []struct {
		user bool
		app  string
		want bool
	}{{true, "a", true}, {true, "b", false}, {false, "a", false}} {
		if got := rules.Allow(access.Caller{TenantID: "t", ObjectID: "u", AppID: test.app, User: test.user}, get, "").Allowed; got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestNetwork(t *testing.T) {
	rules := access.NewRules(access.Policy{TenantID: "t", ObjectID: "o", Keys: []string{"get"}})
	get := access.Permission{Collection: "keys", Verb: "get"}
	for address, reasons := range map[string][3]access.Reason{
		"10.1.0.7":        {"", "", access.ForbiddenByConnection},
		"::ffff:10.1.0.7": {"", "", access.ForbiddenByConnection},
		"10.2.0.7":        {"", access.ForbiddenByFirewall, access.ForbiddenByConnection},
		"2001:db8::1":     {"", access.ForbiddenByFirewall, access.ForbiddenByConnection},
	} {
		for i, network := range []*access.Network{nil, {Deny: true, Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}, {Disabled: true}} {
			rules.Network = network
			caller := access.Caller{TenantID: "t", ObjectID: "o", Origin: access.Origin{Address: netip.MustParseAddr(address)}}
			if d := rules.Allow(caller, get, ""); d.Reason != reasons[i] || d.Allowed != (reasons[i] == "") {
				t.Errorf("%s, %d: %+v", address, i, d)
			}
			if d := rules.Allow(caller, control("Microsoft.KeyVault/vaults/read"), ""); d.Reason != access.AuthorizationFailed {
				t.Errorf("the control plane has network rules: %+v", d)
			}
		}
	}
}

// crowd is a caller's policy among the most that a vault has, and its assignment among 2,000.
func crowd() (policies []access.Policy, assignments []access.Assignment) {
	for i := range 2000 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		policies = append(policies, access.Policy{TenantID: "t", ObjectID: id, Keys: []string{"get"}})
		assignments = append(assignments, access.Assignment{ID: id, RoleID: "r", PrincipalID: "o", Scope: vaultScope + "/keys/" + id})
	}
	return policies[:1024], assignments
}

// deciders are decisions among few and among many.
func deciders() map[string][2]func() access.Decision {
	policies, assignments := crowd()
	last, lastKey := policies[len(policies)-1:], "/keys/"+assignments[len(assignments)-1].ID
	get := access.Permission{Collection: "keys", Verb: "get", Action: "Microsoft.KeyVault/vaults/keys/read"}
	byPolicy := func(policies []access.Policy) func() access.Decision {
		rules, caller := access.NewRules(policies...), access.Caller{TenantID: "t", ObjectID: last[0].ObjectID}
		return func() access.Decision { return rules.Allow(caller, get, "") }
	}
	byRole := func(assignments []access.Assignment) func() access.Decision {
		roles := access.NewRoles([]access.Role{{ID: "r", DataActions: []string{"*"}}}, assignments)
		rules, caller := access.Rules{Scope: vaultScope, RBAC: true}, access.Caller{ObjectID: "o", Roles: roles}
		return func() access.Decision { return rules.Allow(caller, get, lastKey) }
	}
	return map[string][2]func() access.Decision{
		"policies": {byPolicy(last), byPolicy(policies)}, "assignments": {byRole(assignments[len(assignments)-1:]), byRole(assignments)},
	}
}

// What decides is found by index, however many entries there are: 1,024 access policies and
// 2,000 role assignments cost at most 16 times what a decision among few does, which itself
// takes a tenth of a microsecond. A walk through all of them would cost over 30 times as much.
func TestAllowCost(t *testing.T) {
	for name, decide := range deciders() {
		var took [2]time.Duration
		for i, one := range decide {
			took[i] = time.Hour
			for range 1000 { // the shortest: what is beyond it is the machine's
				start := time.Now()
				if !one().Allowed {
					t.Fatal(name)
				}
				took[i] = min(took[i], time.Since(start))
			}
		}
		t.Logf("%s: %v among few, %v among many", name, took[0], took[1])
		if took[1] > 16*max(took[0], 50*time.Nanosecond) { // a clock may be coarser than the decision
			t.Errorf("%s: %v among few, %v among many", name, took[0], took[1])
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	for name, decide := range deciders() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				decide[1]()
			}
		})
	}
}
