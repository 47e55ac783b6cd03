package graph_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"coffer/internal/graph"
	"coffer/test/mutation"
)

// Every route with a body × every member × every mutation: the answer is one of the
// protocol's, and what is refused has changed nothing.
func TestConformBodyMutations(t *testing.T) {
	claims(t, "graph-7-35", "graph-7-36")
	c := newClient(t)
	good := map[string]object{
		"POST applications":       {"displayName": "x", "identifierUris": []string{}, "keyCredentials": []object{{"key": certificate(t, 2048), "type": "AsymmetricX509Cert", "usage": "Verify", "displayName": "CN=a"}}, "passwordCredentials": []object{}},
		"PATCH applications/{id}": {"displayName": "y", "identifierUris": []string{}, "keyCredentials": []object{{"key": certificate(t, 2048)}}}, "POST applications/{id}/addPassword": {"passwordCredential": object{"displayName": "p", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2099-01-01T00:00:00Z"}},
		"POST applications/{id}/federatedIdentityCredentials": federated("two", "two"), "PATCH applications/{id}/federatedIdentityCredentials/{sub}": {"subject": "three", "issuer": "https://a", "audiences": []string{"b"}, "description": "c"},
		"PATCH servicePrincipals/{id}": {"accountEnabled": true, "keyCredentials": []object{{"key": certificate(t, 2048)}}}, "POST directoryObjects/getByIds": {"ids": []string{unknown}, "types": []string{"user"}},
		"POST groups":       {"displayName": "g", "description": "d", "mailNickname": "n", "mailEnabled": false, "securityEnabled": true, "groupTypes": []string{}, "owners@odata.bind": []string{base + "/directoryObjects/" + c.id}},
		"PATCH groups/{id}": {"displayName": "h", "description": "e", "mailNickname": "m", "mailEnabled": false, "securityEnabled": true},
		"PATCH users/{id}":  {"displayName": "z", "accountEnabled": true, "userPrincipalName": "same@coffer.local", "identities": []object{{"signInType": "userPrincipalName", "issuer": "coffer.local", "issuerAssignedId": "same@coffer.local"}}},
	}
	into, sent, hashed := graph.Bodies(), 0, 0
	for i, row := range graph.Rows() {
		if !row.TakesBody {
			continue
		}
		route := row.Method + " " + row.Pattern
		if into[route] == nil {
			t.Errorf("%s has no body in this test", route)
			continue
		}
		o := c.newThings(c, "mutated"+string(rune('a'+i%26))+string(rune('a'+i/26)), nil)
		if strings.HasSuffix(route, "addPassword") && strings.HasPrefix(row.Pattern, "service") {
			good[route] = good["POST applications/{id}/addPassword"]
		}
		body, ok := good[route]
		if !ok {
			body = o.body(route).(object)
		}
		text, _ := json.Marshal(body)
		before := c.seen(o)
		for mutated := range mutation.Bodies(into[route], string(text)) {
			if strings.Contains(mutated, "a Password of 1 user") {
				if hashed++; hashed%15 != 0 {
					continue // a password is hashed, which is meant to be slow
				}
			}
			a := c.do(row.Method, o.path(row.Pattern), mutated)
			sent++
			if a.status < 300 {
				before = ""
				continue
			}
			inner, _ := a.err()["innerError"].(object)
			if a.status < 400 || a.status >= 500 || a.err()["code"] == nil || a.err()["message"] == "" || inner["request-id"] != a.header.Get("request-id") || len(a.text) > 2000 {
				t.Errorf("%s with %.200s: %d %.500s", route, mutated, a.status, a.text)
			}
			if before == "" {
				before = c.seen(o)
			}
			if sent%7 == 0 {
				if after := c.seen(o); after != before {
					t.Fatalf("%s: a refused body, this or one of the last, changed something: %.300s\n%s\n%s", route, mutated, before, after)
				}
			}
		}
	}
	if sent < 1000 {
		t.Errorf("only %d bodies", sent)
	}
	t.Logf("%d bodies", sent)
}

// Paths that are written to mean something else reach nothing else.
func TestConformPathGames(t *testing.T) {
	claims(t, "graph-7-37")
	c := newClient(t)
	o := c.newThings(c, "mine", nil)
	id, oid, user := o.app["id"].(string), o.principal["id"].(string), o.user["id"].(string)
	group := o.group["id"].(string)
	plain := c.as(c.server.NewPrincipal("plain"))
	before := c.seen(o)
	for _, path := range []string{
		"/applications/../servicePrincipals/" + oid, "/applications/%2e%2e/users/" + user, "/applications/" + id + "%2f..%2f" + id, "/applications/" + id + "/../" + id, "/./applications/" + id, "//applications/" + id, "/applications//" + id, "/applications/" + id + "//addPassword",
		"/applications/" + id + "%00", "/applications/" + id + "%20", "/applications/" + id + ".", "/applications/" + id + "%2faddPassword", "/applications(appId='" + o.app["appId"].(string) + "')", "/applications(appId='" + o.app["appId"].(string) + "')/addPassword", "/applications(appId='x'%20or%20appId='" + o.app["appId"].(string) + "')",
		"/applications('" + id + "')", "/APPLICATIONS/" + strings.ToUpper(id), "/applications/" + id + ";x", "/users/" + user + "/../" + user, "/users/mine%40coffer.local%00", "/users/" + strings.Repeat("u", 9000), "/users/%ff", "/me/../users/" + user, "/servicePrincipals/" + oid + "/addPassword/", "/servicePrincipals/" + strings.Repeat("%2f", 300), "/" + strings.Repeat("x", 9000),
		"/groups/" + group + "/members/" + oid + "/$ref", "/groups/" + group + "//members/$ref", "/groups/x/../" + group, "/groups('" + group + "')", "/Groups/" + strings.ToUpper(group) + "/owners/" + c.id + "/$REF",
		"/applications/" + id + "/owners/" + oid + "/$ref", "/applications/" + id + "/owners/..%2f" + oid + "/$ref",
	} {
		if _, err := url.Parse(base + path); err != nil {
			continue
		}
		for _, method := range []string{"PATCH", "DELETE", "POST"} {
			var body any
			if method != "DELETE" {
				body = object{"displayName": "taken over", "accountEnabled": false, "keyId": o.key, "passwordCredential": object{}}
			}
			if a := plain.do(method, path, body); a.status < 400 || a.status >= 500 || len(a.text) > 1500 || a.err()["message"] == "" {
				t.Errorf("%s %.150s: %d %.300s", method, path, a.status, a.text)
			}
		}
		if a := plain.do("GET", path, nil); a.status >= 500 || len(a.text) > 5000 {
			t.Errorf("GET %.150s: %d %.300s", path, a.status, a.text)
		}
	}
	if after := c.seen(o); after != before {
		t.Errorf("%s\n%s", before, after)
	}
}
