package graph_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A group is made, found, changed and removed.
func TestConformGroups(t *testing.T) {
	claims(t, "graph-7-40", "graph-7-41", "graph-7-47")
	c := newClient(t)
	a := c.want(201, "POST", "/groups", object{"displayName": "Key readers", "mailNickname": "readers", "description": "who reads", "mailEnabled": false, "securityEnabled": true, "groupTypes": []string{}})
	id := a.body["id"].(string)
	has(t, "a group", a.body, "id displayName description mailNickname mailEnabled securityEnabled groupTypes createdDateTime")
	if a.body["securityEnabled"] != true || a.body["mailEnabled"] != false || a.body["description"] != "who reads" || a.header.Get("Location") != base+"/groups/"+id || a.body["@odata.context"] != base+"/$metadata#groups/$entity" {
		t.Errorf("%s %v", a.text, a.header)
	}
	if owners := c.want(200, "GET", "/groups/"+id+"/owners", nil).values(); len(owners) != 1 || owners[0]["id"] != c.id {
		t.Errorf("its maker does not own it: %v", owners)
	}
	c.want(201, "POST", "/groups", newGroup("other"))
	for text, found := range map[string]int{
		"displayName eq 'key READERS'": 1, "startswith(displayName,'key')": 1, "displayName eq 'Key readers' and mailNickname eq 'readers'": 1, "mailNickname eq 'nick'": 1, "id eq '" + id + "'": 1,
		"securityEnabled eq true": 2, "mailEnabled eq true": 0, "displayName eq 'x'' or 1 eq 1 or ''x'": 0,
	} {
		if got := c.want(200, "GET", filter("groups", text), nil); len(got.values()) != found || got.body["@odata.context"] != base+"/$metadata#groups" {
			t.Errorf("%s: %s", text, got.text)
		}
	}
	for _, text := range []string{"groupTypes/any(c:c eq 'Unified')", "description eq 'x'", "securityEnabled eq 'true'", "displayName ne 'x'"} {
		c.refused(400, "Request_UnsupportedQuery", "GET", filter("groups", text), nil)
	}
	if pages := c.want(200, "GET", "/groups?$top=1&$count=true", nil); pages.body["@odata.count"] != 2.0 || len(c.want(200, "GET", pages.body["@odata.nextLink"].(string), nil).values()) != 1 {
		t.Error(pages.text)
	}
	c.want(204, "PATCH", "/groups/"+id, object{"displayName": "renamed", "description": ""})
	for _, path := range []string{"/groups/" + id, "/groups('" + id + "')", "/directoryObjects/" + id} {
		if got := c.want(200, "GET", path, nil).body; got["displayName"] != "renamed" || got["description"] != nil || got["mailNickname"] != "readers" {
			t.Errorf("%v", got)
		}
	}
	if got := c.want(200, "POST", "/directoryObjects/getByIds", object{"ids": []string{id, unknown, id, strings.ToUpper(id)}, "types": []string{"group"}}).values(); len(got) != 1 || got[0]["@odata.type"] != "#microsoft.graph.group" || got[0]["displayName"] != "renamed" {
		t.Errorf("%v", got)
	}
	for name, member := range map[string][2]any{
		"no name": {"displayName", nil}, "empty name": {"displayName", ""}, "long name": {"displayName", strings.Repeat("x", 257)}, "no nickname": {"mailNickname", nil}, "nickname": {"mailNickname", "a b"}, "empty nickname": {"mailNickname", ""},
		"mail": {"mailEnabled", true}, "no security": {"securityEnabled", false}, "Microsoft 365": {"groupTypes", []string{"Unified"}}, "rule": {"membershipRule", "user.department -eq 'x'"}, "members": {"members@odata.bind", []string{base + "/users/" + c.id}},
		"owner": {"owners@odata.bind", []string{"x"}}, "description": {"description", strings.Repeat("x", 1025)},
	} {
		body := newGroup("bad")
		body[member[0].(string)] = member[1]
		if a := c.do("POST", "/groups", body); a.status != 400 || a.err()["code"] != "Request_BadRequest" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	body := newGroup("bad")
	body["owners@odata.bind"] = []string{base + "/users/" + unknown}
	c.refused(404, "Request_ResourceNotFound", "POST", "/groups", body)
	c.want(204, "DELETE", "/groups/"+id, nil)
	for _, path := range []string{"/groups/" + id, "/groups/" + id + "/members", "/groups/" + id + "/owners", "/groups/" + id + "/memberOf", "/directoryObjects/" + id} {
		c.refused(404, "Request_ResourceNotFound", "GET", path, nil)
	}
	c.refused(404, "Request_ResourceNotFound", "DELETE", "/groups/"+id, nil)
	c.refused(404, "Request_ResourceNotFound", "PATCH", "/groups/"+id, object{})
	if left := c.want(200, "GET", "/groups", nil).values(); len(left) != 1 {
		t.Errorf("%v", left)
	}
}

// Who is in a group is said by the group and by the member, and by nothing else.
func TestConformGroupMembers(t *testing.T) {
	claims(t, "graph-7-42", "graph-7-43", "graph-7-44", "graph-7-45", "graph-7-48")
	admin := newClient(t)
	ownerPrincipal := admin.server.NewPrincipal("owner3")
	owner := admin.as(ownerPrincipal)
	_, principal := admin.newApplication("member")
	user := admin.want(201, "POST", "/users", newUser("jane@coffer.local")).body
	oid, jane := principal["id"].(string), user["id"].(string)
	body := newGroup("team")
	body["owners@odata.bind"] = []string{base + "/users/" + admin.id, base + "/directoryObjects/" + owner.id}
	team := admin.want(201, "POST", "/groups", body).body["id"].(string)
	other := admin.want(201, "POST", "/groups", newGroup("other")).body["id"].(string)
	at := "/groups/" + team
	for _, id := range []string{oid, jane} {
		owner.want(204, "POST", at+"/members/$ref", reference(id))
		twice := owner.refused(400, "Request_BadRequest", "POST", at+"/members/$ref", reference(strings.ToUpper(id)))
		if !strings.Contains(twice.text, "One or more added object references already exist for the following modified properties: 'members'.") {
			t.Error(twice.text)
		}
	}
	owner.refused(400, "Request_BadRequest", "POST", at+"/members/$ref", reference(other)) // no group in a group
	owner.refused(404, "Request_ResourceNotFound", "POST", at+"/members/$ref", reference(unknown))
	owner.refused(400, "Request_BadRequest", "POST", at+"/members/$ref", object{"@odata.id": "x"})
	owner.refused(403, "Authorization_RequestDenied", "POST", "/groups/"+other+"/members/$ref", reference(owner.id))
	for _, path := range []string{at + "/members", at + "/transitiveMembers"} {
		var types []string
		for _, one := range owner.want(200, "GET", path, nil).values() {
			types = append(types, fmt.Sprint(one["@odata.type"], one["id"]))
		}
		want := []string{"#microsoft.graph.servicePrincipal" + oid, "#microsoft.graph.user" + jane}
		if slices.Sort(types); !slices.Equal(types, want) {
			t.Errorf("%s: %v", path, types)
		}
		owner.refused(400, "Request_UnsupportedQuery", "GET", path+"?$filter=startswith(displayName,'x')", nil)
		if pages := owner.want(200, "GET", path+"?$top=1", nil); len(pages.values()) != 1 || len(owner.want(200, "GET", pages.body["@odata.nextLink"].(string), nil).values()) != 1 {
			t.Error(pages.text)
		}
	}
	// The same from the other side.
	ask := func(of string, want ...string) {
		t.Helper()
		for _, path := range []string{of + "/memberOf", of + "/transitiveMemberOf"} {
			got := []string{}
			for _, one := range owner.want(200, "GET", path, nil).values() {
				if got = append(got, one["id"].(string)); one["@odata.type"] != "#microsoft.graph.group" || one["displayName"] == "" {
					t.Errorf("%v", one)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, not %v", path, got, want)
			}
		}
		for verb, body := range map[string]object{"getMemberGroups": {"securityEnabledOnly": false}, "checkMemberGroups": {"groupIds": []string{strings.ToUpper(team), other, unknown}}} {
			got := owner.want(200, "POST", of+"/"+verb, body).body
			if fmt.Sprint(got["value"]) != fmt.Sprint(want) || got["@odata.context"] != base+"/$metadata#Collection(Edm.String)" {
				t.Errorf("%s of %s: %v, not %v", verb, of, got, want)
			}
		}
	}
	ask("/servicePrincipals/"+oid, team)
	ask("/servicePrincipals(appId='"+principal["appId"].(string)+"')", team)
	ask("/users/"+jane, team)
	ask("/users/jane@coffer.local", team)
	ask("/directoryObjects/"+oid, team)
	ask("/groups/" + team)
	ask("/servicePrincipals/" + owner.id)
	me := &client{t: t, server: admin.server, token: admin.tokenBy(url.Values{"grant_type": {"password"}, "client_id": {"04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, "username": {"jane@coffer.local"}, "password": {"a Password of 1 user"}, "scope": {"https://graph.microsoft.com//.default"}})}
	if got := me.want(200, "GET", "/me/memberOf", nil).values(); len(got) != 1 || got[0]["id"] != team {
		t.Errorf("%v", got)
	}
	if got := me.want(200, "POST", "/me/getMemberGroups", object{"securityEnabledOnly": true}).body["value"]; fmt.Sprint(got) != fmt.Sprint([]string{team}) {
		t.Errorf("%v", got)
	}
	if got := owner.want(200, "GET", "/users/"+jane+"/memberOf?$filter=startswith(displayName,'x')", nil).values(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for _, path := range []string{"/users/" + oid, "/servicePrincipals/" + jane, "/groups/" + oid, "/directoryObjects/" + unknown} {
		owner.refused(404, "Request_ResourceNotFound", "GET", path+"/memberOf", nil)
		owner.refused(404, "Request_ResourceNotFound", "POST", path+"/getMemberGroups", object{"securityEnabledOnly": true})
	}
	owner.refused(400, "BadRequest", "GET", "/me/memberOf", nil)
	owner.refused(400, "Request_BadRequest", "POST", "/users/"+jane+"/getMemberGroups", object{})
	owner.refused(400, "Request_BadRequest", "POST", "/users/"+jane+"/checkMemberGroups", object{})
	owner.refused(400, "Request_BadRequest", "POST", "/users/"+jane+"/checkMemberGroups", object{"groupIds": make([]string, 21)})
	// It ends when it is taken away, and with either of the two.
	owner.want(204, "DELETE", at+"/members/"+jane+"/$ref", nil)
	owner.refused(404, "Request_ResourceNotFound", "DELETE", at+"/members/"+jane+"/$ref", nil)
	ask("/users/" + jane)
	admin.want(204, "DELETE", "/servicePrincipals/"+oid, nil)
	if left := owner.want(200, "GET", at+"/members", nil).values(); len(left) != 0 {
		t.Errorf("%v", left)
	}
	owner.want(204, "POST", at+"/members/$ref", reference(jane))
	// Owners name and remove owners.
	owner.want(204, "POST", at+"/owners/$ref", reference(jane))
	owner.refused(400, "Request_BadRequest", "POST", at+"/owners/$ref", reference(jane))
	owner.refused(404, "Request_ResourceNotFound", "POST", at+"/owners/$ref", reference(unknown))
	owner.want(204, "DELETE", at+"/owners/"+jane+"/$ref", nil)
	owner.refused(404, "Request_ResourceNotFound", "DELETE", at+"/owners/"+jane+"/$ref", nil)
	owner.want(204, "DELETE", at, nil)
	ask("/users/" + jane)
}

// A principal is in 200 groups, and no more.
func TestGroupsOfOnePrincipal(t *testing.T) {
	c := newClient(t)
	last := ""
	for i := range 201 {
		last = c.want(201, "POST", "/groups", newGroup(fmt.Sprint("group ", i))).body["id"].(string)
		if i < 200 {
			c.want(204, "POST", "/groups/"+last+"/members/$ref", reference(c.id))
		}
	}
	full := c.refused(400, "Request_BadRequest", "POST", "/groups/"+last+"/members/$ref", reference(c.id))
	if !strings.Contains(full.text, "at most 200 groups") {
		t.Error(full.text)
	}
	if got := c.want(200, "POST", "/directoryObjects/"+c.id+"/getMemberGroups", object{"securityEnabledOnly": false}).body["value"].([]any); len(got) != 200 {
		t.Errorf("%d", len(got))
	}
}
