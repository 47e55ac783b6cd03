package access_test

import (
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
		{"all and purge", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all", "purge"}}, purge, true},
		{"no permission asked", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all", ""}}, access.Permission{Collection: "certificates"}, false},
		{"unknown collection", access.Policy{TenantID: "t", ObjectID: "o", Certificates: []string{"all"}}, access.Permission{Collection: "vaults", Verb: "get"}, false},
	} {
		d := access.Rules{Policies: []access.Policy{test.policy}}.Allow(caller, test.want)
		if d.Allowed != test.ok || d.Allowed == (d.Reason == access.ForbiddenByPolicy) {
			t.Errorf("%s: %+v", test.name, d)
		}
	}
	if (access.Rules{}).Allow(caller, get).Allowed {
		t.Error("no rules, and allowed")
	}
	anonymous := access.Rules{Policies: []access.Policy{{TenantID: "", ObjectID: "", Certificates: []string{"all"}}}}
	if anonymous.Allow(access.Caller{}, get).Allowed {
		t.Error("nobody was allowed")
	}
}
