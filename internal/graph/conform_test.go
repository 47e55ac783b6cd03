package graph_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// claims says which rows of docs/conformance.md the test proves, see test/conformance.
func claims(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("conformance", id)
	}
}

// has fails unless the object has these members and no others.
func has(t *testing.T, what string, o object, members string) {
	t.Helper()
	var names []string
	for name := range o {
		if !strings.HasPrefix(name, "@odata.") {
			names = append(names, name)
		}
	}
	for name := range strings.FieldsSeq(members) {
		if _, ok := o[name]; !ok {
			t.Errorf("%s has no %s: it has %q", what, name, names)
		}
	}
}

func TestConformCollections(t *testing.T) {
	claims(t, "graph-7-1", "graph-7-2", "graph-7-3", "graph-7-4", "graph-7-5")
	c := newClient(t)
	app, principal := c.newApplication("http://my-application")
	id, oid, appID := app["id"].(string), principal["id"].(string), app["appId"].(string)
	c.want(204, "PATCH", "/applications/"+id, object{"identifierUris": []string{"api://" + appID, "https://name.example"}})
	for path, found := range map[string]string{
		filter("servicePrincipals", "servicePrincipalNames/any(c:c eq '"+appID+"')"):             oid,
		filter("servicePrincipals", "servicePrincipalNames/any(x:x eq 'HTTPS://name.example')"):  oid,
		filter("servicePrincipals", "displayName eq 'http://my-application'"):                    oid,
		filter("servicePrincipals", "appId eq '"+strings.ToUpper(appID)+"'"):                     oid,
		filter("servicePrincipals", "startswith(displayName,'HTTP://my')"):                       oid,
		filter("servicePrincipals", "servicePrincipalType eq 'Application' and id eq '"+oid+"'"): oid,
		filter("applications", "startswith(displayName,'http://my-application')"):                id,
		filter("applications", "appId eq '"+appID+"'"):                                           id,
		filter("applications", "displayName eq 'http://my-application'"):                         id,
		filter("applications", "identifierUris/any(c:c eq 'https://name.example')"):              id,
		filter("applications", "id eq '"+id+"'"):                                                 id,
		filter("applications", "appId eq '"+id+"'"):                                              "", // an object id is no client id
		filter("servicePrincipals", "appId eq '"+oid+"'"):                                        "",
		filter("servicePrincipals", "displayName eq 'x'' or 1 eq 1 or ''x'"):                     "",
		filter("servicePrincipals", "displayName eq '"+strings.Repeat("a", 3000)+"'"):            "",
	} {
		got := c.want(200, "GET", path, nil)
		collection := strings.Split(strings.TrimPrefix(path, "/"), "?")[0]
		if got.body["@odata.context"] != base+"/$metadata#"+collection || got.body["@odata.nextLink"] != nil {
			t.Errorf("%s: %s", path, got.text)
		}
		if values := got.values(); found == "" && len(values) != 0 || found != "" && (len(values) != 1 || values[0]["id"] != found) {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	for _, path := range []string{"/servicePrincipals/" + oid, "/servicePrincipals(appId='" + appID + "')", "/serviceprincipals(appid='" + strings.ToUpper(appID) + "')", "/servicePrincipals('" + oid + "')"} {
		if got := c.want(200, "GET", path, nil).body; got["id"] != oid || !reflect.DeepEqual(got["servicePrincipalNames"], []any{appID, "api://" + appID, "https://name.example"}) {
			t.Errorf("%s: %v", path, got)
		}
	}
	// Filters and paths come escaped in every way.
	escaped := url.QueryEscape("displayName eq 'http://my-application'")
	for _, path := range []string{"/servicePrincipals?%24filter=" + escaped, "/servicePrincipals?$filter=" + strings.ReplaceAll(escaped, "+", "%20"), "/service%50rincipals?$filter=" + escaped} {
		if got := c.want(200, "GET", path, nil).values(); len(got) != 1 {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// Every condition that is not one of the forms is refused, and none shows too much.
func TestConformUnsupportedFilters(t *testing.T) {
	claims(t, "graph-7-6", "graph-7-27")
	c := newClient(t)
	for _, text := range []string{
		"displayName ne 'x'", "displayName eq 'x' or appId eq 'y'", "not (displayName eq 'x')", "displayName eq 'a'' or 'b' eq 'b", "displayName eq 'x' or true", "true", "1 eq 1", "displayName", "displayName eq x",
		"displayName eq 'x", "displayName eq \"x\"", "(displayName eq 'x')", "endswith(displayName,'x')", "contains(displayName,'x')", "displayName in ('x','y')", "owners/$count eq 0", "startswith(displayName,'x') eq false",
		"passwordCredentials/any(p:p/keyId eq 'x')", "displayName gt ''", "displayName eq null", "displayName eq 'x' and", "and displayName eq 'x'", "displayName eq 'x' displayName eq 'y'", "displayName eq 'x';drop", "displayName eq '\x00' or", "/displayName eq 'x'",
		strings.Repeat("displayName eq 'x' and ", 20) + "displayName eq 'x'", "displayName eq '" + strings.Repeat("a", 5000) + "'", "any(c:c eq 'x')", "servicePrincipalNames/all(c:c eq 'x')", "servicePrincipalNames/any(c:c ne 'x')", "servicePrincipalNames/any()", "nothing eq 'x'",
	} {
		for _, collection := range []string{"applications", "servicePrincipals", "users"} {
			c.refused(400, "Request_UnsupportedQuery", "GET", filter(collection, text), nil)
		}
	}
	for _, query := range []string{"$orderby=displayName", "$search=%22displayName:x%22", "$expand=owners", "$skip=1", "$apply=x"} {
		c.refused(400, "Request_UnsupportedQuery", "GET", "/applications?"+query, nil)
	}
}

func TestConformMe(t *testing.T) {
	claims(t, "graph-7-7", "graph-7-21", "graph-7-22")
	c := newClient(t)
	if a := c.do("GET", "/me", nil); a.status != 400 && a.status != 403 || a.err()["message"] == "" { // az goes on with any status, if there is a message
		t.Errorf("%d %s", a.status, a.text)
	}
	made := c.want(201, "POST", "/users", newUser("jane@coffer.local")).body
	form := url.Values{"grant_type": {"password"}, "client_id": {"04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, "username": {"jane@coffer.local"}, "password": {"a Password of 1 user"}, "scope": {"https://graph.microsoft.com//.default"}}
	raw := c.tokenBy(form)
	jane := &client{t: t, server: c.server, token: raw}
	me := jane.want(200, "GET", "/me", nil).body
	if me["id"] != made["id"] || me["userPrincipalName"] != "jane@coffer.local" || me["@odata.context"] != base+"/$metadata#users/$entity" {
		t.Errorf("%v", me)
	}
	has(t, "a user", me, "businessPhones displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname userPrincipalName id")
	for _, path := range []string{filter("users", "userPrincipalName eq 'JANE@coffer.local'"), filter("users", "startswith(userPrincipalName,'jane')"), filter("users", "displayName eq 'a user'"), filter("users", "id eq '"+made["id"].(string)+"'")} {
		if got := jane.want(200, "GET", path, nil).values(); len(got) != 1 || got[0]["id"] != made["id"] {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, path := range []string{"/users/" + made["id"].(string), "/users/jane@coffer.local", "/users/jane%40coffer.local"} {
		if got := jane.want(200, "GET", path, nil).body; got["id"] != made["id"] {
			t.Errorf("%s: %v", path, got)
		}
	}
	jane.refused(403, "Authorization_RequestDenied", "PATCH", "/users/jane@coffer.local", object{"displayName": "x"})
}

// tokenBy asks the token endpoint.
func (c *client) tokenBy(form url.Values) string {
	c.t.Helper()
	got, err := c.server.HTTPClient().PostForm("https://login.microsoftonline.com/"+c.server.TenantID()+"/oauth2/v2.0/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer got.Body.Close()
	return decodeToken(c.t, got.Body)
}

func TestConformObjects(t *testing.T) {
	claims(t, "graph-7-8", "graph-7-9", "graph-7-10", "graph-7-11", "graph-7-12", "graph-7-13", "graph-7-14", "graph-7-15", "graph-7-16", "graph-7-17", "graph-7-18", "graph-7-19", "graph-7-20")
	c := newClient(t)
	a := c.want(201, "POST", "/applications", object{"displayName": "app", "keyCredentials": []any{}})
	app := a.body
	id, appID := app["id"].(string), app["appId"].(string)
	has(t, "an application", app, "id appId displayName createdDateTime identifierUris signInAudience publisherDomain passwordCredentials keyCredentials web appRoles requiredResourceAccess")
	for _, list := range []string{"passwordCredentials", "keyCredentials", "identifierUris", "appRoles", "requiredResourceAccess"} {
		if got, ok := app[list].([]any); !ok || len(got) != 0 {
			t.Errorf("%s is %v", list, app[list])
		}
	}
	if app["signInAudience"] != "AzureADMyOrg" || app["publisherDomain"] != "coffer.local" || a.header.Get("Location") != base+"/applications/"+id || app["@odata.context"] != base+"/$metadata#applications/$entity" {
		t.Errorf("%s %v", a.text, a.header)
	}
	missing := c.refused(400, "Request_BadRequest", "POST", "/servicePrincipals", object{"appId": unknown})
	if !strings.Contains(missing.err()["message"].(string), " does not reference ") {
		t.Error(missing.text)
	}
	p := c.want(201, "POST", "/servicePrincipals", object{"appId": appID, "accountEnabled": true})
	oid := p.body["id"].(string)
	has(t, "a service principal", p.body, "id appId displayName appDisplayName appOwnerOrganizationId accountEnabled servicePrincipalType servicePrincipalNames alternativeNames passwordCredentials keyCredentials")
	if p.body["servicePrincipalType"] != "Application" || p.body["appOwnerOrganizationId"] != c.server.TenantID() || p.body["accountEnabled"] != true || !reflect.DeepEqual(p.body["servicePrincipalNames"], []any{appID}) || oid == id {
		t.Error(p.text)
	}
	c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/servicePrincipals", object{"appId": appID})
	// Passwords, of either.
	for _, path := range []string{"/applications/" + id, "/servicePrincipals/" + oid} {
		made := c.want(200, "POST", path+"/addPassword", object{"passwordCredential": object{"displayName": "rbac", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2099-01-02T03:04:05Z"}}).body
		has(t, "a password", made, "customKeyIdentifier displayName startDateTime endDateTime hint keyId secretText")
		secret, _ := made["secretText"].(string)
		if len(secret) < 32 || made["hint"] != secret[:3] || made["displayName"] != "rbac" || made["startDateTime"] != "2026-01-01T00:00:00Z" || made["endDateTime"] != "2099-01-02T03:04:05Z" {
			t.Errorf("%v", made)
		}
		later := c.want(200, "GET", path, nil)
		one := later.body["passwordCredentials"].([]any)[0].(object)
		if strings.Contains(later.text, secret) || one["secretText"] != nil || one["keyId"] != made["keyId"] || one["hint"] != secret[:3] {
			t.Error(later.text)
		}
		if status, text := c.signIn(appID, secret); status != 200 {
			t.Errorf("%d %s", status, text)
		}
		c.want(204, "POST", path+"/removePassword", object{"keyId": made["keyId"]})
		if status, text := c.signIn(appID, secret); status != 401 || !strings.Contains(text, "7000215") {
			t.Errorf("a removed password: %d %s", status, text)
		}
		c.refused(400, "Request_BadRequest", "POST", path+"/removePassword", object{"keyId": made["keyId"]})
	}
	// Changes answer 204 and nothing.
	c.want(204, "PATCH", "/applications/"+id, object{"displayName": "renamed", "identifierUris": []string{"api://" + appID}})
	c.want(204, "PATCH", "/servicePrincipals/"+oid, object{"accountEnabled": false})
	if got := c.want(200, "GET", "/servicePrincipals/"+oid, nil).body; got["displayName"] != "renamed" || got["accountEnabled"] != false || !reflect.DeepEqual(got["servicePrincipalNames"], []any{appID, "api://" + appID}) {
		t.Errorf("%v", got)
	}
	// By ids, what there is of the types that are asked for.
	user := c.want(201, "POST", "/users", newUser("u@coffer.local")).body
	for _, test := range []struct {
		types []string
		want  []string
	}{
		{[]string{"user", "group", "servicePrincipal", "directoryObjectPartnerReference"}, []string{"servicePrincipal", "user"}}, {[]string{"user"}, []string{"user"}}, {nil, []string{"application", "servicePrincipal", "user"}},
	} {
		got := c.want(200, "POST", "/directoryObjects/getByIds", object{"ids": []any{oid, user["id"], id, unknown}, "types": test.types}).values()
		var types []string
		for _, one := range got {
			types = append(types, strings.TrimPrefix(one["@odata.type"].(string), "#microsoft.graph."))
			if one["id"] == oid && (one["servicePrincipalNames"].([]any)[0] != appID || one["displayName"] != "renamed") || one["id"] == user["id"] && one["userPrincipalName"] != "u@coffer.local" {
				t.Errorf("%v", one)
			}
		}
		if slices.Sort(types); !slices.Equal(types, test.want) {
			t.Errorf("%v: %v", test.types, types)
		}
	}
	// Federated credentials.
	credentials := "/applications/" + id + "/federatedIdentityCredentials"
	f := c.want(201, "POST", credentials, object{"name": "pod", "issuer": "https://cluster.example/", "subject": "system:serviceaccount:default:app", "audiences": []string{"api://AzureADTokenExchange"}}).body
	has(t, "a federated credential", f, "id name issuer subject description audiences")
	if got := c.want(200, "GET", credentials, nil).values(); len(got) != 1 || got[0]["id"] != f["id"] {
		t.Errorf("%v", got)
	}
	for condition, want := range map[string]int{"subject eq 'system:serviceaccount:default:app'": 1, "subject eq 'x'": 0, "name eq 'pod' and issuer eq 'https://other.example/'": 0} {
		if got := c.want(200, "GET", credentials+"?$filter="+url.QueryEscape(condition), nil).values(); len(got) != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
	c.refused(400, "Request_UnsupportedQuery", "GET", "/applications/"+id+"/owners?$filter="+url.QueryEscape("id eq 'x'"), nil)
	c.want(204, "DELETE", "/servicePrincipals/"+oid, nil)
	c.want(204, "DELETE", "/applications/"+id, nil)
	for _, path := range []string{"/servicePrincipals/" + oid, "/applications/" + id, credentials, "/directoryObjects/" + oid} {
		c.refused(404, "Request_ResourceNotFound", "GET", path, nil)
	}
}

// The forms of every answer, and of an error.
func TestConformForms(t *testing.T) {
	claims(t, "graph-7-23", "graph-7-24", "graph-7-25", "graph-7-26", "graph-7-28", "graph-7-29")
	c := newClient(t)
	for i := range 5 {
		c.want(201, "POST", "/applications", object{"displayName": fmt.Sprint("page", i)})
	}
	seen, next := 0, "/applications?$top=2&$filter="+url.QueryEscape("startswith(displayName,'page')")
	for next != "" {
		a := c.want(200, "GET", next, nil)
		seen += len(a.values())
		if next, _ = a.body["@odata.nextLink"].(string); next != "" && !strings.HasPrefix(next, base+"/applications?") {
			t.Errorf("%s", next)
		}
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") || a.header.Get("request-id") == "" || a.header.Get("client-request-id") == "" || a.header.Get("OData-Version") != "4.0" {
			t.Errorf("%v", a.header)
		}
	}
	if seen != 5 {
		t.Errorf("%d", seen)
	}
	c.refused(404, "Request_ResourceNotFound", "GET", "/servicePrincipals/"+unknown, nil)
	c.refused(404, "Request_ResourceNotFound", "GET", "/applications/no-guid", nil)
	c.refused(404, "Request_ResourceNotFound", "GET", "/users/nobody@coffer.local", nil)
	c.refused(400, "Request_BadRequest", "POST", "/servicePrincipals", object{})
	for _, resource := range []string{"https://graph.microsoft.com", "https://graph.microsoft.com/", "00000003-0000-0000-c000-000000000000"} {
		raw, err := token(c.server.Owner(), resource+"/.default")
		if err != nil {
			t.Fatal(err)
		}
		(&client{t: t, server: c.server, token: raw}).want(200, "GET", "/organization", nil)
	}
	vaults, err := token(c.server.Owner(), "https://vault.azure.net/.default")
	if err != nil {
		t.Fatal(err)
	}
	none := "eyJhbGciOiJub25lIn0." + strings.Split(c.token, ".")[1] + "."
	for _, raw := range []string{vaults, "nonsense", "", none, c.token + "x"} {
		a := (&client{t: t, server: c.server, token: raw}).refused(401, "InvalidAuthenticationToken", "GET", "/organization", nil)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%v", a.header)
		}
	}
	legacy := c.want(403, "GET", "https://graph.windows.net/"+c.server.TenantID()+"/servicePrincipals?api-version=1.6", nil)
	if !strings.Contains(legacy.text, "https://graph.microsoft.com") {
		t.Error(legacy.text)
	}
}
