package graph_test

import (
	"strings"
	"testing"

	"coffer/internal/graph"
)

var filters = map[string]string{ // what it is read as; empty: it is refused
	"displayName eq 'a'":                                 "displayName eq 'a'",
	" displayName  EQ  'it''s' ":                         "displayName eq 'it''s'",
	"displayName eq ''":                                  "displayName eq ''",
	"startswith(displayName,'x y')":                      "startswith(displayName,'x y')",
	"startsWith( displayName , 'x' )":                    "startswith(displayName,'x')",
	"servicePrincipalNames/any(c:c eq 'http://a/b')":     "servicePrincipalNames/any(x:x eq 'http://a/b')",
	"servicePrincipalNames/any(name: name eq 'a')":       "servicePrincipalNames/any(x:x eq 'a')",
	"accountEnabled eq true":                             "accountEnabled eq true",
	"appId eq 'x' and displayName eq 'a and b'":          "appId eq 'x' and displayName eq 'a and b'",
	"displayName eq 'ü '' or 1 eq 1'":                    "displayName eq 'ü '' or 1 eq 1'",
	"":                                                   "",
	"displayName":                                        "",
	"displayName eq":                                     "",
	"displayName eq a":                                   "",
	"displayName eq 'a":                                  "",
	"displayName eq 'a' or appId eq 'b'":                 "",
	"not displayName eq 'a'":                             "",
	"displayName ne 'a'":                                 "",
	"displayName eq 'a' and":                             "",
	"displayName eq 'a' and ":                            "",
	"displayName eq 'a' appId eq 'b'":                    "",
	"displayName eq 'a' \x00":                            "",
	"displayName eq 'a' ;":                               "",
	"(displayName eq 'a')":                               "",
	"and eq 'a' and":                                     "",
	"servicePrincipalNames/any(c:d eq 'a')":              "",
	"servicePrincipalNames/all(c:c eq 'a')":              "",
	"servicePrincipalNames/any(c:c eq 'a'":               "",
	"startswith(displayName,true)":                       "",
	"startswith(displayName 'a')":                        "",
	"endswith(displayName,'a')":                          "",
	strings.Repeat("a eq 'b' and ", 16) + "a eq 'b'":     "",
	"displayName eq '" + strings.Repeat("a", 5000) + "'": "",
}

func TestFilter(t *testing.T) {
	for text, want := range filters {
		got, err := graph.ReadFilter(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// What is read, is written and read again as the same.
func FuzzFilter(f *testing.F) {
	for text := range filters {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := graph.ReadFilter(text)
		if err != nil {
			return
		}
		if len(once) > 4096 { // the longest may grow: x/any(c:c …
			return
		}
		if again, err := graph.ReadFilter(once); err != nil || again != once {
			t.Errorf("%q is read as %q, and that as %q, %v", text, once, again, err)
		}
	})
}
