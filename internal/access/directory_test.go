package access_test

import (
	"testing"

	"coffer/internal/access"
)

func TestDirectory(t *testing.T) {
	change := access.Permission{Directory: "applications/update"}
	owned := access.Directory{Owners: []string{"O", ""}}
	for name, test := range map[string]struct {
		directory access.Directory
		caller    access.Caller
		want      bool
	}{
		"owner":                  {owned, access.Caller{ObjectID: "o"}, true},
		"administrator":          {owned, access.Caller{ObjectID: "a", Admin: true}, true},
		"another":                {owned, access.Caller{ObjectID: "x"}, false},
		"by group":               {owned, access.Caller{ObjectID: "x", Groups: []string{"o"}}, false},
		"nobody":                 {owned, access.Caller{}, false},
		"nobody administers":     {owned, access.Caller{Admin: true}, false},
		"nobody is not anyone":   {access.Directory{Anyone: true}, access.Caller{}, false},
		"anyone":                 {access.Directory{Anyone: true}, access.Caller{ObjectID: "x"}, true},
		"no rules":               {access.Directory{}, access.Caller{ObjectID: "x"}, false},
		"no rules, but an admin": {access.Directory{}, access.Caller{ObjectID: "x", Admin: true}, true},
	} {
		d := access.Rules{Directory: test.directory}.Allow(test.caller, change, "")
		if d.Allowed != test.want || !test.want && d.Reason != access.AuthorizationRequestDenied {
			t.Errorf("%s: %+v", name, d)
		}
	}
	// Being anyone in the directory opens nothing else.
	open := access.Rules{Directory: access.Directory{Anyone: true}}
	if open.Allow(access.Caller{ObjectID: "x", Admin: true}, access.Permission{Collection: "keys", Verb: "get"}, "").Allowed ||
		open.Allow(access.Caller{ObjectID: "x", Admin: true}, access.Permission{Control: "Microsoft.KeyVault/vaults/read"}, "").Allowed {
		t.Error("a right of the directory opens a vault")
	}
}
