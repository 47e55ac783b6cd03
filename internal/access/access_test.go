package access_test

import (
	"strings"
	"testing"

	"coffer/internal/access"
)

func TestAllow(t *testing.T) {
	caller := access.Caller{TenantID: "t", ObjectID: "o", AppID: "a", Groups: []string{"g"}}
	get, purge := access.Permission{Collection: "certificates", Verb: "get"}, access.Permission{Collection: "certificates", Verb: "purge"}
	for _, test := range []struct {
		name   string
		policy access.Policy
		want   access.Permission
		ok     bool
	}{
		{"nothing", access.Policy{}, get, false},
		{"granted", access.Policy{TenantID: "T", ObjectID: "O", Certificates: []string{"List", "GET"}}, get, true},
		{"another word", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"list"}}, get, false},
		{"another collection", access.Policy{TenantID: "t", ObjectID: "o", Keys: []string{"get"}, Secrets: []string{"get"}}, get, false},
		{"another tenant", access.Policy{TenantID: "u", ObjectID: "o", Certificates: []string{"get"}}, get, false},
		{"another principal", access.Policy{TenantID: "t", ObjectID: "p", Certificates: []string{"get"}}, get, false},
		{"no principal", access.Policy{TenantID: "t", Certificates: []string{"get"}}, get, false},
		{"a group", access.Policy{TenantID: "t", ObjectID: "g", Certificates: []string{"get"}}, get, true},
		{"on behalf of", access.Policy{TenantID: "t", ObjectID: "o", ApplicationID: "a", Certificates: []string{"get"}}, get, false},
		{"all", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all"}}, get, true},
		{"all is not purge", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all"}}, purge, false},
		{"manageissuers", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"ManageIssuers"}}, access.Permission{Collection: "certificates", Verb: "setissuers"}, true},
		{"manageissuers is not all", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"manageissuers"}}, get, false},
		{"all and purge", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all", "purge"}}, purge, true},
		{"no permission asked", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all", ""}}, access.Permission{Collection: "certificates"}, false},
		{"unknown collection", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all"}}, access.Permission{Collection: "vaults", Verb: "get"}, false},
	} {
		d := access.NewRules(test.policy).Allow(caller, test.want, "")
		if d.Allowed != test.ok || d.Allowed == (d.Reason == access.ForbiddenByPolicy) {
			t.Errorf("%s: %+v", test.name, d)
		}
	}
	if (access.Rules{}).Allow(caller, get, "").Allowed {
		t.Error("no rules, and allowed")
	}
	anonymous := access.NewRules(access.Policy{Certificates: []string{"all"}})
	if anonymous.Allow(access.Caller{}, get, "").Allowed {
		t.Error("nobody was allowed")
	}
}

// words are all that the service's access policies know.
var words = map[string][]string{
	"certificates": {"get", "list", "create", "import", "update", "delete", "recover", "purge", "backup", "restore", "managecontacts",
		"getissuers", "listissuers", "setissuers", "deleteissuers", "manageissuers"},
	"keys": {"get", "list", "create", "import", "update", "delete", "recover", "purge", "backup", "restore", "encrypt", "decrypt",
		"wrapkey", "unwrapkey", "sign", "verify", "rotate", "getrotationpolicy", "setrotationpolicy", "release"},
	"secrets": {"get", "list", "set", "delete", "recover", "purge", "backup", "restore"},
}

func policy(collection string, granted ...string) access.Policy {
	p := access.Policy{TenantID: "t", ObjectID: "o"}
	switch collection {
	case "certificates":
		p.Certificates = granted
	case "keys":
		p.Keys = granted
	case "secrets":
		p.Secrets = granted
	}
	return p
}

// Every word grants itself and nothing else, in its own collection and in no other; but
// manageissuers stands for the four about issuers.
func TestEveryWordGrantsItselfAlone(t *testing.T) {
	caller := access.Caller{TenantID: "t", ObjectID: "o"}
	for granted, grants := range words {
		for _, word := range grants {
			rules := access.NewRules(policy(granted, strings.ToUpper(word)))
			for asked, asks := range words {
				for _, verb := range asks {
					want := granted == asked && (word == verb || word == "manageissuers" && strings.HasSuffix(verb, "issuers"))
					if got := rules.Allow(caller, access.Permission{Collection: asked, Verb: verb}, "").Allowed; got != want {
						t.Errorf("%s/%s granted, %s/%s asked: %v", granted, word, asked, verb, got)
					}
				}
			}
		}
	}
}

func TestAllGrantsEveryWordButPurge(t *testing.T) {
	caller := access.Caller{TenantID: "t", ObjectID: "o"}
	for collection, verbs := range words {
		rules := access.NewRules(policy(collection, "All"))
		for _, verb := range verbs {
			if got := rules.Allow(caller, access.Permission{Collection: collection, Verb: verb}, "").Allowed; got != (verb != "purge") {
				t.Errorf("%s/%s: %v", collection, verb, got)
			}
		}
	}
}

// Policies add up: what one of them grants, no other takes away, in whatever order.
func TestPoliciesAddUp(t *testing.T) {
	caller := access.Caller{TenantID: "t", ObjectID: "o", Groups: []string{"g", "h"}}
	group := policy("secrets", "set")
	group.ObjectID = "H"
	stranger := policy("certificates", "purge")
	stranger.ObjectID = "p"
	empty := policy("certificates")
	policies := []access.Policy{stranger, policy("certificates", "get"), empty, group, policy("certificates", "list")}
	for range policies {
		policies = append(policies[1:], policies[0])
		rules := access.NewRules(policies...)
		for want, ok := range map[access.Permission]bool{
			{Collection: "certificates", Verb: "get"}: true, {Collection: "certificates", Verb: "list"}: true, {Collection: "secrets", Verb: "set"}: true,
			{Collection: "certificates", Verb: "purge"}: false, {Collection: "secrets", Verb: "get"}: false,
		} {
			if got := rules.Allow(caller, want, "").Allowed; got != ok {
				t.Errorf("%s: %v", want, got)
			}
		}
	}
}

// FuzzAllow checks that strange ids and words open nothing: whoever is let through is
// named by the policy, and has the word there or all.
func FuzzAllow(f *testing.F) {
	fold := strings.ToLower // which is not what EqualFold compares by
	f.Add("t", "o", "get", "t", "o", "g", "get")
	f.Add("T", "O", "ALL", "t", "o", "", "purge")
	f.Add("", "", "all", "", "", "", "get")
	f.Add("t", "g", "", "t", "o", "g", "")
	f.Fuzz(func(t *testing.T, tenant, object, word, callerTenant, caller, group, verb string) {
		rules := access.NewRules(access.Policy{TenantID: tenant, ObjectID: object, Certificates: []string{word}})
		who := access.Caller{TenantID: callerTenant, ObjectID: caller, Groups: []string{group}}
		d := rules.Allow(who, access.Permission{Collection: "certificates", Verb: verb}, "")
		named := object != "" && strings.EqualFold(tenant, callerTenant) && (fold(object) == fold(caller) || fold(object) == fold(group))
		grants := verb != "" && (strings.EqualFold(word, verb) || strings.EqualFold(word, "all") && !strings.EqualFold(verb, "purge"))
		if d.Allowed != (named && grants) || d.Allowed == (d.Reason != "") {
			t.Errorf("%+v", d)
		}
	})
}

func TestPermissionString(t *testing.T) {
	if got := (access.Permission{Collection: "certificates", Verb: "get"}).String(); got != "certificates/get" {
		t.Error(got)
	}
}
