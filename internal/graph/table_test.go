package graph_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"coffer/internal/graph"
)

const unknown = "3b8b4d9c-0000-4000-8000-000000000000"

// certificate is one in base64 DER; the key is RSA, or else elliptic.
func certificate(t *testing.T, bits int) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(1700000000, 0), NotAfter: time.Unix(1900000000, 0)}
	var der []byte
	if bits == 0 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
	} else {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
	}
	return base64.StdEncoding.EncodeToString(der)
}

func newUser(name string) object {
	return object{"accountEnabled": true, "displayName": "A User", "mailNickname": "u", "userPrincipalName": name, "passwordProfile": object{"password": "a Password of 1 user", "forceChangePasswordNextSignIn": false}}
}

func newGroup(name string) object {
	return object{"displayName": name, "mailNickname": "nick", "mailEnabled": false, "securityEnabled": true}
}

// reference is the body that names an object.
func reference(id string) object { return object{"@odata.id": base + "/directoryObjects/" + id} }

// memberGroups is the body of a question for memberships.
func memberGroups(route string) object {
	if strings.HasSuffix(route, "checkMemberGroups") {
		return object{"groupIds": []string{unknown}}
	}
	return object{"securityEnabledOnly": true}
}

func federated(name, subject string) object {
	return object{"name": name, "issuer": "https://token.actions.githubusercontent.com", "subject": subject, "audiences": []string{"api://AzureADTokenExchange"}}
}

// bodies are a good body of every route that takes one, for things that newClient's owner has.
func bodies(app object, key string) map[string]object {
	return map[string]object{
		"POST applications":                                          {"displayName": "x"},
		"PATCH applications/{id}":                                    {"displayName": "taken over"},
		"POST applications/{id}/addPassword":                         {},
		"POST applications/{id}/removePassword":                      {"keyId": key},
		"POST applications/{id}/owners/$ref":                         {"@odata.id": base + "/directoryObjects/" + unknown},
		"POST applications/{id}/federatedIdentityCredentials":        federated("two", "two"),
		"PATCH applications/{id}/federatedIdentityCredentials/{sub}": {"subject": "three"},
		"POST servicePrincipals":                                     {"appId": app["appId"]},
		"PATCH servicePrincipals/{id}":                               {"accountEnabled": false},
		"POST servicePrincipals/{id}/addPassword":                    {},
		"POST servicePrincipals/{id}/removePassword":                 {"keyId": key},
		"POST users":                     newUser("b@coffer.local"),
		"PATCH users/{id}":               {"displayName": "taken over"},
		"POST directoryObjects/getByIds": {"ids": []string{unknown}},
		"POST groups":                    newGroup("team"),
		"PATCH groups/{id}":              {"displayName": "taken over"},
		"POST groups/{id}/members/$ref":  reference(unknown),
		"POST groups/{id}/owners/$ref":   reference(unknown),
		"POST deviceCodes/approve":       {"userCode": "BBBBBBBBBH", "userPrincipalName": "nobody@coffer.local"},
		"POST deviceCodes/decline":       {"userCode": "BBBBBBBBBH"},
	}
}

// Who does not own an application changes nothing of it, and who does not administer the
// directory no user; walked from the route table.
func TestRights(t *testing.T) {
	c := newClient(t)
	app, principal := c.newApplication("theirs")
	id := app["id"].(string)
	secret := c.want(200, "POST", "/applications/"+id+"/addPassword", object{}).body
	c.want(201, "POST", "/applications/"+id+"/federatedIdentityCredentials", federated("one", "one"))
	user := c.want(201, "POST", "/users", newUser("a@coffer.local")).body
	byID := map[string]string{"applications": id, "servicePrincipals": principal["id"].(string), "users": user["id"].(string), "directoryObjects": id, "groups": c.want(201, "POST", "/groups", newGroup("theirs")).body["id"].(string)}
	other := c.as(c.server.NewPrincipal("other"))
	all := bodies(app, secret["keyId"].(string))
	for _, row := range graph.Rows() {
		route := row.Method + " " + row.Pattern
		collection, _, _ := strings.Cut(row.Pattern, "/")
		path := "/" + strings.NewReplacer("{id}", byID[collection], "{sub}", "one").Replace(row.Pattern)
		var body any
		if given, ok := all[route]; ok {
			body = given
		} else if strings.HasSuffix(route, "MemberGroups") {
			body = memberGroups(route)
		} else if row.Method == "POST" || row.Method == "PATCH" {
			t.Errorf("%s has no body in this test", route)
			continue
		}
		before := strings.Count(c.server.AuditLog(), "\n")
		got := other.do(row.Method, path, body)
		if lines := strings.Count(c.server.AuditLog(), "\n") - before; lines == 0 {
			t.Errorf("%s is not in the audit log", route)
		}
		denied := got.status == http.StatusForbidden && got.err()["code"] == "Authorization_RequestDenied" && strings.Contains(got.text, "Insufficient privileges")
		if refused := row.ByOwner || row.ByAdmin; denied != refused {
			t.Errorf("%s: %d %s", route, got.status, got.text)
		}
		if row.Method != "GET" && !row.ByOwner && !row.ByAdmin && route != "POST applications" && route != "POST directoryObjects/getByIds" && !strings.HasSuffix(route, "MemberGroups") {
			t.Errorf("%s is open to everyone", route)
		}
	}
	after := c.want(200, "GET", "/applications/"+id, nil)
	if after.body["displayName"] != "theirs" || len(after.body["passwordCredentials"].([]any)) != 1 {
		t.Errorf("%s", after.text)
	}
	for _, refusal := range []string{`"ApplicationDelete"`, `"UserCreate"`, `"ApplicationPasswordAdd"`} {
		found := false
		for line := range strings.Lines(c.server.AuditLog()) {
			found = found || strings.Contains(line, refusal) && strings.Contains(line, "Authorization_RequestDenied")
		}
		if !found {
			t.Errorf("the refusal of %s is not in the audit log", refusal)
		}
	}
	// Whoever becomes an owner may, until they are none any more.
	me := other.want(200, "GET", filter("servicePrincipals", "displayName eq 'other'"), nil).values()[0]["id"].(string)
	c.want(204, "POST", "/applications/"+id+"/owners/$ref", object{"@odata.id": base + "/servicePrincipals/" + me})
	if owners := other.want(200, "GET", "/applications/"+id+"/owners", nil).values(); len(owners) != 2 || owners[1]["id"] != me || owners[1]["@odata.type"] != "#microsoft.graph.servicePrincipal" {
		t.Errorf("%v", owners)
	}
	other.want(204, "PATCH", "/applications/"+id, object{"displayName": "ours"})
	other.want(204, "DELETE", "/applications/"+id+"/owners/"+me+"/$ref", nil)
	other.refused(403, "Authorization_RequestDenied", "PATCH", "/applications/"+id, object{"displayName": "theirs"})
	// Its maker owns an application, and nobody else does but who administers.
	made, _ := other.newApplication("own")
	c.want(204, "DELETE", "/applications/"+made["id"].(string), nil)
}

// Every object has every member.
func TestMembers(t *testing.T) {
	c := newClient(t)
	app, principal := c.newApplication("whole")
	user := c.want(201, "POST", "/users", newUser("u@coffer.local")).body
	password := c.want(200, "POST", "/applications/"+app["id"].(string)+"/addPassword", object{}).body
	for name, test := range map[string]struct {
		object  object
		arrays  string
		members string
	}{
		"application": {app, "identifierUris passwordCredentials keyCredentials appRoles requiredResourceAccess", "id appId displayName createdDateTime signInAudience publisherDomain web"},
		"principal": {principal, "servicePrincipalNames alternativeNames passwordCredentials keyCredentials",
			"id appId displayName appDisplayName appOwnerOrganizationId accountEnabled servicePrincipalType"},
		"user":     {user, "businessPhones", "displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname userPrincipalName id"},
		"password": {password, "", "customKeyIdentifier displayName startDateTime endDateTime hint keyId secretText"},
	} {
		for _, member := range strings.Fields(test.arrays) {
			if _, ok := test.object[member].([]any); !ok {
				t.Errorf("%s.%s is no array: %v", name, member, test.object[member])
			}
		}
		for _, member := range strings.Fields(test.members) {
			if _, ok := test.object[member]; !ok {
				t.Errorf("%s has no %s", name, member)
			}
		}
	}
	if app["id"] == app["appId"] || principal["appOwnerOrganizationId"] != c.server.TenantID() || principal["servicePrincipalType"] != "Application" || app["signInAudience"] != "AzureADMyOrg" {
		t.Errorf("%v %v", app, principal)
	}
	if strings.Contains(fmt.Sprint(user), "Password of") {
		t.Errorf("%v", user)
	}
}

func TestUpdate(t *testing.T) {
	c := newClient(t)
	app, _ := c.newApplication("first")
	path := "/applications/" + app["id"].(string)
	c.want(204, "PATCH", path, object{"displayName": "second", "identifierUris": []string{"http://my-application", "api://" + app["appId"].(string)}, "unknown": 1})
	for _, at := range []string{path, "/applications(appId='" + app["appId"].(string) + "')", strings.Replace(path, "/applications", "https://graph.microsoft.com/beta/Applications", 1)} {
		if got := c.want(200, "GET", at, nil).body; got["displayName"] != "second" || len(got["identifierUris"].([]any)) != 2 {
			t.Errorf("%v", got)
		}
	}
	if found := c.want(200, "GET", filter("servicePrincipals", "servicePrincipalNames/any(c:c eq 'http://my-application')"), nil).values(); len(found) != 1 || found[0]["appId"] != app["appId"] {
		t.Errorf("%v", found)
	}
	if found := c.want(200, "GET", filter("applications", "identifierUris/any(x:x eq 'HTTP://my-application')"), nil).values(); len(found) != 1 {
		t.Errorf("%v", found)
	}
	c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/applications", object{"displayName": "third", "identifierUris": []string{"http://MY-application"}})

	key := certificate(t, 2048)
	c.want(204, "PATCH", path, object{"keyCredentials": []object{{"type": "AsymmetricX509Cert", "usage": "Verify", "key": key, "displayName": "CN=one"}}})
	one := c.want(200, "GET", path, nil).body["keyCredentials"].([]any)[0].(object)
	if one["displayName"] != "CN=one" || one["endDateTime"] != "2030-03-17T17:46:40Z" || one["key"] != nil || one["type"] != "AsymmetricX509Cert" || one["customKeyIdentifier"] == "" {
		t.Errorf("%v", one)
	}
	c.want(204, "PATCH", path, object{"keyCredentials": []object{one, {"key": certificate(t, 2048)}}})
	if keys := c.want(200, "GET", path, nil).body["keyCredentials"].([]any); len(keys) != 2 || keys[0].(object)["keyId"] != one["keyId"] {
		t.Errorf("%v", keys)
	}
	for name, bad := range map[string]object{
		"no certificate": {"key": "AAAA"}, "no base64": {"key": "%"}, "unknown id": {"keyId": unknown}, "no id": {"keyId": "x"}, "nothing": {},
		"elliptic": {"key": certificate(t, 0)}, "weak": {"key": certificate(t, 1024)}, "symmetric": {"key": key, "type": "Symmetric"}, "usage": {"key": key, "usage": "Sign"},
	} {
		if a := c.do("PATCH", path, object{"keyCredentials": []object{bad}}); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	// Passwords can be taken away by leaving them out, and not be added.
	kept := c.want(200, "POST", path+"/addPassword", object{}).body
	c.want(200, "POST", path+"/addPassword", object{})
	c.want(204, "PATCH", path, object{"passwordCredentials": []object{{"keyId": kept["keyId"]}}})
	if left := c.want(200, "GET", path, nil).body["passwordCredentials"].([]any); len(left) != 1 || left[0].(object)["keyId"] != kept["keyId"] {
		t.Errorf("%v", left)
	}
	c.refused(400, "Request_BadRequest", "PATCH", path, object{"passwordCredentials": []object{{"displayName": "new"}}})
	c.want(204, "PATCH", path, object{"keyCredentials": []object{}})
	if keys := c.want(200, "GET", path, nil).body["keyCredentials"].([]any); len(keys) != 0 {
		t.Errorf("%v", keys)
	}
}

func TestFederated(t *testing.T) {
	c := newClient(t)
	app, _ := c.newApplication("workload")
	path := "/applications/" + app["id"].(string) + "/federatedIdentityCredentials"
	made := c.want(201, "POST", path, federated("one", "repo:a/b:ref:refs/heads/main")).body
	for _, id := range []string{"one", made["id"].(string)} {
		if got := c.want(200, "GET", path+"/"+id, nil).body; got["subject"] != "repo:a/b:ref:refs/heads/main" || got["description"] != nil || got["audiences"].([]any)[0] != "api://AzureADTokenExchange" {
			t.Errorf("%v", got)
		}
	}
	c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", path, federated("one", "other"))
	c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", path, federated("other", "repo:a/b:ref:refs/heads/main"))
	c.want(204, "PATCH", path+"/one", object{"subject": "changed", "description": "text"})
	if all := c.want(200, "GET", path, nil).values(); len(all) != 1 || all[0]["subject"] != "changed" || all[0]["description"] != "text" {
		t.Errorf("%v", all)
	}
	for name, member := range map[string][2]any{
		"no name": {"name", ""}, "name": {"name", "a b"}, "issuer": {"issuer", "http://a"}, "no issuer": {"issuer", "x"}, "subject": {"subject", ""}, "audiences": {"audiences", []string{}},
		"audience": {"audiences", []string{""}}, "long": {"subject", strings.Repeat("a", 601)},
	} {
		body := federated("two", "two")
		body[member[0].(string)] = member[1]
		if a := c.do("POST", path, body); a.status != 400 || a.err()["code"] != "Request_BadRequest" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	for i := range 19 {
		c.want(201, "POST", path, federated(fmt.Sprint("n", i), fmt.Sprint("s", i)))
	}
	c.refused(400, "Request_BadRequest", "POST", path, federated("more", "more"))
	c.want(204, "DELETE", path+"/one", nil)
	c.refused(404, "Request_ResourceNotFound", "DELETE", path+"/one", nil)
	c.refused(404, "Request_ResourceNotFound", "GET", path+"/one", nil)
	c.refused(404, "Request_ResourceNotFound", "PATCH", path+"/one", object{})
}

func TestUsers(t *testing.T) {
	c := newClient(t)
	made := c.want(201, "POST", "/users", newUser("Ann.O'Hara@coffer.local")).body
	id := made["id"].(string)
	for _, path := range []string{"/users/" + id, "/users/ann.o'hara@coffer.local", "/users('Ann.O''Hara@coffer.local')", "/directoryObjects/" + id} {
		if got := c.want(200, "GET", path, nil).body; got["id"] != id || got["userPrincipalName"] != "Ann.O'Hara@coffer.local" {
			t.Errorf("%s: %v", path, got)
		}
	}
	if found := c.want(200, "GET", filter("users", "userPrincipalName eq 'ann.o''hara@coffer.local'"), nil).values(); len(found) != 1 || found[0]["id"] != id {
		t.Errorf("%v", found)
	}
	if got := c.want(200, "POST", "/directoryObjects/getByIds", object{"ids": []string{id}}).values(); len(got) != 1 || got[0]["@odata.type"] != "#microsoft.graph.user" {
		t.Errorf("%v", got)
	}
	if got := c.want(200, "GET", filter("servicePrincipals", "id eq '"+id+"'"), nil).values(); len(got) != 0 {
		t.Errorf("a user is a service principal: %v", got)
	}
	c.refused(404, "Request_ResourceNotFound", "GET", "/servicePrincipals/"+id, nil)
	c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/users", newUser("ann.o'hara@coffer.local"))
	c.want(204, "PATCH", "/users/"+id, object{"userPrincipalName": "ann@coffer.local", "accountEnabled": false, "passwordProfile": object{"password": "another password"}})
	c.refused(404, "Request_ResourceNotFound", "GET", "/users/ann.o'hara@coffer.local", nil)
	if got := c.want(200, "GET", "/users/ann@coffer.local", nil).body; got["id"] != id || got["accountEnabled"] != false || got["displayName"] != "A User" {
		t.Errorf("%v", got)
	}
	for name, change := range map[string][2]any{
		"short password": {"passwordProfile", object{"password": "1234567"}}, "no password": {"passwordProfile", object{}}, "no profile": {"passwordProfile", nil}, "kind of identity": {"identities", []object{{"signInType": "emailAddress", "issuer": "a", "issuerAssignedId": "b"}}}, "issuer of identity": {"identities", []object{{"signInType": "federated", "issuer": "https://a", "issuerAssignedId": "b"}}},
		"name": {"userPrincipalName", "nobody"}, "path": {"userPrincipalName", "a/b@c"}, "no name": {"userPrincipalName", nil}, "display name": {"displayName", ""}, "zero": {"userPrincipalName", "a\x00@b"},
	} {
		body := newUser("bad@coffer.local")
		body[change[0].(string)] = change[1]
		if a := c.do("POST", "/users", body); a.status != 400 || a.err()["code"] != "Request_BadRequest" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	c.want(204, "DELETE", "/users/"+id, nil)
	c.refused(404, "Request_ResourceNotFound", "DELETE", "/users/"+id, nil)
	c.refused(404, "Request_ResourceNotFound", "GET", "/directoryObjects/"+id, nil)
}

func TestPages(t *testing.T) {
	c := newClient(t)
	want := map[any]bool{}
	for i := range 7 {
		app := c.want(201, "POST", "/applications", object{"displayName": fmt.Sprint("page & ", i)}).body
		want[app["id"]] = true
	}
	next, pages := filter("applications", "startswith(displayName,'page & ')")+"&$top=3&$count=true&$select=id", 0
	for ; next != ""; pages++ {
		a := c.want(200, "GET", next, nil)
		if a.body["@odata.count"] != 7.0 || len(a.values()) > 3 || a.body["@odata.context"] != base+"/$metadata#applications" {
			t.Errorf("%s", a.text)
		}
		for _, app := range a.values() {
			if !want[app["id"]] {
				t.Errorf("%v is there twice, or does not match", app["id"])
			}
			delete(want, app["id"])
		}
		next, _ = a.body["@odata.nextLink"].(string)
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d pages, %d are missing", pages, len(want))
	}
	for _, path := range []string{"/groups", "/users", filter("users", "userPrincipalName eq 'x'"), filter("applications", "appId eq 'x'"), "/applications?$filter=&$top=999" + "&$count=false"} {
		if a := c.want(200, "GET", path, nil); a.body["value"] == nil || a.body["@odata.nextLink"] != nil || a.body["@odata.count"] != nil {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	if a := c.want(200, "GET", "/organization", nil).values(); len(a) != 1 || a[0]["id"] != c.server.TenantID() || a[0]["displayName"] == "" {
		t.Errorf("%v", a)
	}
}

func TestBadRequests(t *testing.T) {
	c := newClient(t)
	app, _ := c.newApplication("app")
	path := "/applications/" + app["id"].(string)
	for _, test := range []struct {
		status       int
		code         string
		method, path string
		body         any
	}{
		{400, "Request_UnsupportedQuery", "GET", filter("applications", "displayName ne 'x'"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("applications", "displayName eq 'x' or appId eq 'y'"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("applications", "servicePrincipalNames/any(c:c eq 'x')"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("applications", "identifierUris eq 'x'"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("applications", "startswith(appId,'x')"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("servicePrincipals", "accountEnabled eq 'true'"), nil},
		{400, "Request_UnsupportedQuery", "GET", filter("users", "displayName eq true"), nil},
		{400, "Request_UnsupportedQuery", "GET", "/applications?$orderby=displayName", nil},
		{400, "Request_UnsupportedQuery", "GET", "/users?$search=x", nil},
		{400, "Request_UnsupportedQuery", "GET", "/groups?filter=displayName%20eq%20'x'", nil}, // conditions that were not looked at
		{400, "Request_UnsupportedQuery", "GET", "/groups?$Filter=displayName%20eq%20'x'", nil},
		{400, "Request_UnsupportedQuery", "GET", "/groups?$filter=&$filter=displayName%20eq%20'x'", nil},
		{400, "Request_UnsupportedQuery", "GET", "/servicePrincipals?search=x", nil},
		{400, "Request_BadRequest", "GET", "/applications?$top=0", nil},
		{400, "Request_BadRequest", "GET", "/applications?$top=1000", nil},
		{400, "Request_BadRequest", "GET", "/applications?$skiptoken=%25", nil},
		{400, "Request_BadRequest", "GET", "/applications?$filter=%zz", nil},
		{400, "BadRequest", "GET", "/nothing", nil},
		{400, "BadRequest", "GET", "/", nil},
		{400, "BadRequest", "GET", "https://graph.microsoft.com/v2.0/applications", nil},
		{400, "BadRequest", "GET", "/applications(appId=x)", nil},
		{405, "Request_BadRequest", "PUT", "/applications", object{}},
		{404, "Request_ResourceNotFound", "GET", "/applications/" + app["appId"].(string), nil},
		{404, "Request_ResourceNotFound", "GET", "/applications/" + unknown + "/owners", nil},
		{404, "Request_ResourceNotFound", "PATCH", "/applications/" + unknown, object{"displayName": "x"}},
		{404, "Request_ResourceNotFound", "DELETE", "/servicePrincipals/" + unknown, nil},
		{404, "Request_ResourceNotFound", "GET", "/groups/" + unknown, nil},
		{404, "Request_ResourceNotFound", "POST", path + "/owners/$ref", object{"@odata.id": base + "/directoryObjects/" + unknown}},
		{404, "Request_ResourceNotFound", "DELETE", path + "/owners/" + unknown + "/$ref", nil},
		{400, "Request_BadRequest", "POST", path + "/owners/$ref", object{"@odata.id": "x"}},
		{400, "Request_BadRequest", "POST", path + "/owners/$ref", object{"@odata.id": base + "/directoryObjects/" + c.server.Owner().ObjectID}},
		{400, "BadRequest", "POST", "/applications", "{"},
		{400, "BadRequest", "POST", "/applications", "[]"},
		{400, "Request_BadRequest", "POST", "/applications", object{}},
		{400, "Request_BadRequest", "POST", "/applications", object{"displayName": 1}},
		{400, "Request_BadRequest", "POST", "/applications", object{"displayName": " "}},
		{400, "Request_BadRequest", "POST", "/applications", object{"displayName": strings.Repeat("x", 257)}},
		{400, "Request_BadRequest", "POST", "/applications", object{"displayName": "x", "identifierUris": []string{"no uri"}}},
		{409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/applications", object{"displayName": "x", "identifierUris": []string{"api://a", "api://A"}}},
		{400, "Request_BadRequest", "POST", "/applications", object{"displayName": "x", "passwordCredentials": []object{{}}}},
		{400, "Request_BadRequest", "POST", "/servicePrincipals", object{}},
		{400, "Request_BadRequest", "POST", "/servicePrincipals", object{"appId": ""}},
		{400, "Request_BadRequest", "POST", path + "/addPassword", object{"passwordCredential": object{"endDateTime": "2020-01-01T00:00:00Z"}}},
		{400, "Request_BadRequest", "POST", path + "/addPassword", object{"passwordCredential": object{"startDateTime": "2099-01-01T00:00:00Z", "endDateTime": "2098-01-01T00:00:00Z"}}},
		{400, "Request_BadRequest", "POST", path + "/addPassword", object{"passwordCredential": object{"endDateTime": "tomorrow"}}},
		{400, "Request_BadRequest", "POST", path + "/removePassword", object{"keyId": unknown}},
		{400, "Request_BadRequest", "POST", path + "/removePassword", object{}},
		{400, "Request_BadRequest", "POST", "/directoryObjects/getByIds", object{}},
		{413, "Request_BadRequest", "POST", "/applications", `{"displayName":"` + strings.Repeat("x", 1<<20) + `"}`},
	} {
		c.refused(test.status, test.code, test.method, test.path, test.body)
	}
	for kind, status := range map[string]int{"": 201, "application/json;odata.metadata=minimal": 201, "text/plain": 415} {
		r, err := http.NewRequest("POST", base+"/applications", strings.NewReader(`{"displayName":"kind"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer " + c.token}}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		got, err := c.server.HTTPClient().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Body.Close(); got.StatusCode != status {
			t.Errorf("%q: %d", kind, got.StatusCode)
		}
	}
	// A secret that begins later is none yet.
	later := c.want(200, "POST", path+"/addPassword", object{"passwordCredential": object{"startDateTime": "2098-01-01T00:00:00Z"}}).body
	if later["endDateTime"] != "2100-01-01T00:00:00Z" {
		t.Errorf("%v", later)
	}
	if status, text := c.signIn(app["appId"].(string), later["secretText"].(string)); status != 401 || !strings.Contains(text, "7000215") {
		t.Errorf("%d %s", status, text)
	}
}
