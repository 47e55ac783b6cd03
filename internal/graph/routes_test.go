package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"coffer/internal/graph"
)

// rights are who may use each route, as the design has it: a principal of the tenant reads
// everything and makes applications, an owner changes what is its own, users are the
// administrators', and so is the making of groups.
var rights = map[string]string{
	"GET me": "anyone", "GET organization": "anyone", "GET groups": "anyone", "GET groups/{id}": "anyone",
	"GET applications": "anyone", "POST applications": "anyone", "GET applications/{id}": "anyone", "PATCH applications/{id}": "owner", "DELETE applications/{id}": "owner",
	"POST applications/{id}/addPassword": "owner", "POST applications/{id}/removePassword": "owner", "GET applications/{id}/owners": "anyone", "POST applications/{id}/owners/$ref": "owner", "DELETE applications/{id}/owners/{sub}/$ref": "owner",
	"GET applications/{id}/federatedIdentityCredentials": "anyone", "POST applications/{id}/federatedIdentityCredentials": "owner", "GET applications/{id}/federatedIdentityCredentials/{sub}": "anyone",
	"PATCH applications/{id}/federatedIdentityCredentials/{sub}": "owner", "DELETE applications/{id}/federatedIdentityCredentials/{sub}": "owner",
	"GET servicePrincipals": "anyone", "POST servicePrincipals": "owner", "GET servicePrincipals/{id}": "anyone", "PATCH servicePrincipals/{id}": "owner", "DELETE servicePrincipals/{id}": "owner",
	"POST servicePrincipals/{id}/addPassword": "owner", "POST servicePrincipals/{id}/removePassword": "owner", "GET servicePrincipals/{id}/owners": "anyone",
	"GET users": "anyone", "POST users": "administrator", "GET users/{id}": "anyone", "PATCH users/{id}": "administrator", "DELETE users/{id}": "administrator",
	"POST deviceCodes/approve": "administrator", "POST deviceCodes/decline": "administrator",
	"POST directoryObjects/getByIds": "anyone", "GET directoryObjects/{id}": "anyone",
	"POST groups": "administrator", "PATCH groups/{id}": "owner", "DELETE groups/{id}": "owner", "GET groups/{id}/members": "anyone", "GET groups/{id}/transitiveMembers": "anyone", "GET groups/{id}/owners": "anyone",
	"POST groups/{id}/members/$ref": "owner", "DELETE groups/{id}/members/{sub}/$ref": "owner", "POST groups/{id}/owners/$ref": "owner", "DELETE groups/{id}/owners/{sub}/$ref": "owner",
	"GET me/memberOf": "anyone", "GET me/transitiveMemberOf": "anyone", "POST me/getMemberGroups": "anyone", "POST me/checkMemberGroups": "anyone",
	"GET users/{id}/memberOf": "anyone", "GET users/{id}/transitiveMemberOf": "anyone", "POST users/{id}/getMemberGroups": "anyone", "POST users/{id}/checkMemberGroups": "anyone",
	"GET groups/{id}/memberOf": "anyone", "GET groups/{id}/transitiveMemberOf": "anyone", "POST groups/{id}/getMemberGroups": "anyone", "POST groups/{id}/checkMemberGroups": "anyone",
	"GET servicePrincipals/{id}/memberOf": "anyone", "GET servicePrincipals/{id}/transitiveMemberOf": "anyone", "POST servicePrincipals/{id}/getMemberGroups": "anyone", "POST servicePrincipals/{id}/checkMemberGroups": "anyone",
	"GET directoryObjects/{id}/memberOf": "anyone", "GET directoryObjects/{id}/transitiveMemberOf": "anyone", "POST directoryObjects/{id}/getMemberGroups": "anyone", "POST directoryObjects/{id}/checkMemberGroups": "anyone",
}

// things are what a route can be about, made anew for each.
type things struct {
	app, principal, user, group object
	key                         string // of a password
}

// newThings makes them; a user costs a hash that is meant to be slow, so one can be given.
func (c *client) newThings(admin *client, name string, user object) (out things) {
	c.t.Helper()
	out.app, out.principal = c.newApplication(name)
	out.key = c.want(200, "POST", "/applications/"+out.app["id"].(string)+"/addPassword", object{}).body["keyId"].(string)
	c.want(201, "POST", "/applications/"+out.app["id"].(string)+"/federatedIdentityCredentials", federated("one", "one"))
	if out.user = user; user == nil {
		out.user = admin.want(201, "POST", "/users", newUser(name+"@coffer.local")).body
	}
	out.group = admin.want(201, "POST", "/groups", newGroup(name)).body
	members := "/groups/" + out.group["id"].(string) + "/members/$ref"
	if c.id != admin.id {
		admin.want(204, "POST", "/groups/"+out.group["id"].(string)+"/owners/$ref", reference(c.id))
	}
	c.want(204, "POST", members, reference(out.principal["id"].(string)))
	return out
}

func (o things) path(pattern string) string {
	collection, _, _ := strings.Cut(pattern, "/")
	id := map[string]any{"applications": o.app["id"], "servicePrincipals": o.principal["id"], "users": o.user["id"], "directoryObjects": o.app["id"], "groups": o.group["id"]}[collection]
	text, _ := id.(string)
	sub := "one"
	if collection == "groups" {
		sub = o.principal["id"].(string)
	}
	return "/" + strings.NewReplacer("{id}", text, "{sub}", sub).Replace(pattern)
}

// Every route of the table × nobody, a plain principal, an owner and an administrator.
func TestConformRoutesTimesRights(t *testing.T) {
	claims(t, "graph-7-30", "graph-7-31", "graph-7-32", "graph-7-33", "graph-7-46")
	admin := newClient(t)
	owner, plain := admin.as(admin.server.NewPrincipal("owner2")), admin.as(admin.server.NewPrincipal("plain"))
	nobody := &client{t: t, server: admin.server}
	shared := admin.want(201, "POST", "/users", newUser("shared@coffer.local")).body
	read := owner.newThings(admin, "read", shared)
	rows := graph.Rows()
	if len(rows) != len(rights) {
		t.Errorf("%d routes, %d rights", len(rows), len(rights))
	}
	for i, row := range rows {
		route := row.Method + " " + row.Pattern
		right, ok := rights[route]
		if !ok {
			t.Errorf("%s has no right in this test", route)
			continue
		}
		name := "thing" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		for who, one := range map[string]*client{"nobody": nobody, "plain": plain, "owner": owner, "administrator": admin} {
			o, before := read, ""
			if row.Method != "GET" { // what can change is made anew
				user := shared
				if strings.HasPrefix(row.Pattern, "users") {
					user = nil
				}
				o = owner.newThings(admin, name+who, user)
				before = admin.seen(o)
			}
			a := one.do(row.Method, o.path(row.Pattern), o.body(route))
			denied := a.status == http.StatusForbidden && a.err()["code"] == "Authorization_RequestDenied" && a.err()["message"] == "Insufficient privileges to complete the operation."
			may := who == "administrator" || who != "nobody" && right == "anyone" || who == "owner" && right == "owner"
			switch {
			case who == "nobody" && (a.status != http.StatusUnauthorized || a.err()["code"] != "InvalidAuthenticationToken"),
				who != "nobody" && denied == may, a.status >= 500, a.status == http.StatusUnauthorized && who != "nobody":
				t.Errorf("%s: %s: %d %s", who, route, a.status, a.text)
			}
			if may || before == "" {
				continue
			}
			if after := admin.seen(o); after != before {
				t.Errorf("%s: %s changed something:\n%s\n%s", who, route, before, after)
			}
		}
	}
}

// body is a good one of a route that takes one.
func (o things) body(route string) any {
	if strings.HasSuffix(route, "MemberGroups") {
		return memberGroups(route)
	}
	if body, ok := bodies(o.app, o.key)[route]; ok {
		if route == "POST users" {
			return newUser("new-" + o.user["userPrincipalName"].(string))
		}
		return body
	}
	return nil
}

// seen is all that there is about some things.
func (c *client) seen(o things) string {
	c.t.Helper()
	text := ""
	group := "/groups/" + o.group["id"].(string)
	for _, path := range []string{group, group + "/members", group + "/owners", "/applications/" + o.app["id"].(string), "/servicePrincipals/" + o.principal["id"].(string), "/users/" + o.user["id"].(string), "/applications/" + o.app["id"].(string) + "/owners", "/applications/" + o.app["id"].(string) + "/federatedIdentityCredentials"} {
		text += c.do("GET", path, nil).text
	}
	return text + c.do("GET", "/users?$top=999", nil).text + c.do("GET", "/groups?$top=999", nil).text
}

// Whoever is no principal any more, or disabled, gets 401 on every route.
func TestConformGone(t *testing.T) {
	claims(t, "graph-7-34")
	admin := newClient(t)
	removed, disabled := admin.server.NewPrincipal("removed"), admin.server.NewPrincipal("disabled")
	gone := []*client{admin.as(removed), admin.as(disabled)}
	o := admin.newThings(admin, "thing", nil)
	for _, one := range gone {
		one.want(200, "GET", "/organization", nil)
	}
	admin.server.Remove(removed)
	admin.want(204, "PATCH", "/servicePrincipals/"+disabled.ObjectID, object{"accountEnabled": false})
	for _, row := range graph.Rows() {
		for _, one := range gone {
			a := one.refused(401, "InvalidAuthenticationToken", row.Method, o.path(row.Pattern), o.body(row.Method+" "+row.Pattern))
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer realm="", authorization_uri="https://login.microsoftonline.com/`+admin.server.TenantID()) {
				t.Errorf("%s: %v", row.Pattern, a.header)
			}
		}
	}
}
