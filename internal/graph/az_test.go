package graph_test

import (
	"net/url"
	"strings"
	"testing"
)

// signIn asks for a token with a secret and returns the status and the error.
func (c *client) signIn(appID, secret string) (int, string) {
	c.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {appID}, "client_secret": {secret}, "scope": {"https://graph.microsoft.com/.default"}}
	a, err := c.server.HTTPClient().PostForm("https://login.microsoftonline.com/"+c.server.TenantID()+"/oauth2/v2.0/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.Body.Close()
	text := make([]byte, 8192)
	n, _ := a.Body.Read(text)
	return a.StatusCode, string(text[:n])
}

// forRBAC does what az ad sp create-for-rbac does (measured), and returns what it prints.
func (c *client) forRBAC(name string) (appID, password string) {
	c.t.Helper()
	existing := c.want(200, "GET", filter("servicePrincipals", "displayName eq '"+name+"'"), nil).values()
	found := c.want(200, "GET", filter("applications", "startswith(displayName,'"+name+"')"), nil).values()
	for _, a := range found {
		_ = a["identifierUris"].([]any)
	}
	var app object
	if len(existing) > 0 {
		id := found[0]["id"].(string)
		if same := c.want(200, "GET", filter("applications", "appId eq '"+id+"'"), nil).values(); len(same) != 0 {
			c.t.Errorf("an object id is found as a client id: %v", same)
		}
		c.want(204, "PATCH", "/applications/"+id, object{"displayName": name, "keyCredentials": []any{}})
		app = c.want(200, "GET", "/applications/"+id, nil).body
		for _, p := range app["passwordCredentials"].([]any) {
			c.want(204, "POST", "/applications/"+id+"/removePassword", object{"keyId": p.(object)["keyId"]})
		}
	} else {
		app = c.want(201, "POST", "/applications", object{"displayName": name, "keyCredentials": []any{}}).body
	}
	if _, ok := app["passwordCredentials"].([]any); !ok {
		c.t.Errorf("passwordCredentials is no array: %v", app)
	}
	made := c.want(200, "POST", "/applications/"+app["id"].(string)+"/addPassword", object{"passwordCredential": object{
		"displayName": "rbac", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2099-01-01T00:00:00.5+00:00",
	}}).body
	if len(existing) == 0 {
		c.want(201, "POST", "/servicePrincipals", object{"appId": app["appId"], "accountEnabled": true})
	}
	return app["appId"].(string), made["secretText"].(string)
}

func TestCreateForRBAC(t *testing.T) {
	claims(t, "id-10-8", "arm-8-9")
	c := newClient(t)
	appID, first := c.forRBAC("http://my-application")
	if status, text := c.signIn(appID, first); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	again, second := c.forRBAC("http://my-application")
	if again != appID || first == second {
		t.Errorf("another application, or the same secret")
	}
	if status, text := c.signIn(appID, first); status != 401 || !strings.Contains(text, "7000215") {
		t.Errorf("a secret that was removed: %d %s", status, text)
	}
	if status, text := c.signIn(appID, second); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if principals := c.want(200, "GET", filter("servicePrincipals", "servicePrincipalNames/any(c:c eq '"+appID+"')"), nil).values(); len(principals) != 1 {
		t.Errorf("%v", principals)
	}
	if log := c.server.AuditLog(); strings.Contains(log, first) || strings.Contains(log, second) || strings.Count(log, `"ApplicationPasswordAdd"`) != 4 {
		t.Errorf("the audit log: %s", log)
	}
}

// The quickstart's look-ups: who am I, and whose name is that.
func TestLookUps(t *testing.T) {
	c := newClient(t)
	owner := c.server.Owner()
	me := c.refused(400, "BadRequest", "GET", "/me", nil)
	if !strings.Contains(me.err()["message"].(string), "delegated") {
		t.Errorf("%s", me.text)
	}
	for _, path := range []string{
		filter("servicePrincipals", "servicePrincipalNames/any(c:c eq '"+owner.AppID+"')"), filter("servicePrincipals", "appId eq '"+strings.ToUpper(owner.AppID)+"'"),
		filter("servicePrincipals", "displayName eq 'OWNER'"), filter("servicePrincipals", "startswith(displayName,'own') and accountEnabled eq true"),
	} {
		if found := c.want(200, "GET", path, nil).values(); len(found) != 1 || found[0]["id"] != owner.ObjectID {
			t.Errorf("%s: %v", path, found)
		}
	}
	for _, path := range []string{"/servicePrincipals/" + owner.ObjectID, "/servicePrincipals(appId='" + owner.AppID + "')"} {
		if found := c.want(200, "GET", path, nil).body; found["id"] != owner.ObjectID || found["@odata.context"] != base+"/$metadata#servicePrincipals/$entity" {
			t.Errorf("%s: %v", path, found)
		}
	}
	got := c.want(200, "POST", "/directoryObjects/getByIds", object{"ids": []string{owner.ObjectID, "3b8b4d9c-0000-4000-8000-000000000000"},
		"types": []string{"user", "group", "servicePrincipal", "directoryObjectPartnerReference"}}).values()
	if len(got) != 1 || got[0]["@odata.type"] != "#microsoft.graph.servicePrincipal" || got[0]["servicePrincipalNames"].([]any)[0] != owner.AppID || got[0]["displayName"] != "owner" {
		t.Errorf("%v", got)
	}
	if got := c.want(200, "POST", "/directoryObjects/getByIds", object{"ids": []string{owner.ObjectID}, "types": []string{"user"}}).values(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A principal that is gone, or disabled, is told so at its next request, whatever it asks.
func TestGone(t *testing.T) {
	c := newClient(t)
	app, principal := c.newApplication("gone")
	secret := c.want(200, "POST", "/servicePrincipals/"+principal["id"].(string)+"/addPassword", object{}).body["secretText"].(string)
	status, text := c.signIn(app["appId"].(string), secret)
	if status != 200 {
		t.Fatal(text)
	}
	_, raw, _ := strings.Cut(text, `"access_token":"`)
	raw, _, _ = strings.Cut(raw, `"`)
	other := &client{t: t, server: c.server, token: raw}
	other.want(200, "GET", "/organization", nil)
	gone := func() {
		t.Helper()
		a := other.refused(401, "InvalidAuthenticationToken", "GET", "/organization", nil)
		if !strings.Contains(a.header.Get("WWW-Authenticate"), `client_id="00000003-0000-0000-c000-000000000000"`) {
			t.Errorf("%v", a.header)
		}
		other.refused(401, "InvalidAuthenticationToken", "GET", "/nothing", nil)
		other.refused(401, "InvalidAuthenticationToken", "POST", "/applications", "{")
	}
	path := "/servicePrincipals/" + principal["id"].(string)
	c.want(204, "PATCH", path, object{"accountEnabled": false})
	gone()
	c.want(204, "PATCH", path, object{"accountEnabled": true})
	other.want(200, "GET", "/organization", nil)
	c.want(204, "DELETE", "/applications/"+app["id"].(string), nil)
	gone()
	c.refused(404, "Request_ResourceNotFound", "GET", path, nil)
	if status, text := c.signIn(app["appId"].(string), secret); status != 400 || !strings.Contains(text, "700016") {
		t.Errorf("%d %s", status, text)
	}
}

// An application signs in when it has a service principal, and that has credentials of its own.
func TestPrincipalOfApplication(t *testing.T) {
	c := newClient(t)
	app, principal := c.newApplication("both")
	appID, id := app["appId"].(string), principal["id"].(string)
	secrets := map[string]string{}
	for _, path := range []string{"/applications/" + app["id"].(string), "/servicePrincipals/" + id} {
		secrets[path] = c.want(200, "POST", path+"/addPassword", object{"passwordCredential": object{"displayName": "one"}}).body["secretText"].(string)
		shown := c.want(200, "GET", path, nil)
		one := shown.body["passwordCredentials"].([]any)[0].(object)
		if len(shown.body["passwordCredentials"].([]any)) != 1 || one["hint"] != secrets[path][:3] || one["secretText"] != nil || one["displayName"] != "one" || strings.Contains(shown.text, secrets[path]) {
			t.Errorf("%s", shown.text)
		}
		if status, text := c.signIn(appID, secrets[path]); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
	a := c.refused(409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/servicePrincipals", object{"appId": appID})
	if !strings.Contains(a.text, "already in use") {
		t.Errorf("%s", a.text)
	}
	c.want(204, "DELETE", "/servicePrincipals/"+id, nil)
	if status, text := c.signIn(appID, secrets["/applications/"+app["id"].(string)]); status != 400 || !strings.Contains(text, "7000229") {
		t.Errorf("%d %s", status, text)
	}
	made := c.want(201, "POST", "/servicePrincipals", object{"appId": appID}).body
	if made["id"] == id || len(made["passwordCredentials"].([]any)) != 0 {
		t.Errorf("%v", made)
	}
	if status, text := c.signIn(appID, secrets["/servicePrincipals/"+id]); status != 401 {
		t.Errorf("the secret of a principal that was removed: %d %s", status, text)
	}
	a = c.refused(400, "Request_BadRequest", "POST", "/servicePrincipals", object{"appId": app["id"]})
	if !strings.Contains(a.err()["message"].(string), " does not reference ") {
		t.Errorf("%s", a.text)
	}
}

// Tokens of other audiences open nothing, and none opens nothing.
func TestTokens(t *testing.T) {
	c := newClient(t)
	for _, scope := range []string{"https://vault.azure.net/.default", "https://management.azure.com/.default", "https://graph.windows.net/.default"} {
		raw, err := token(c.server.Owner(), scope)
		if err != nil {
			t.Fatal(err)
		}
		(&client{t: t, server: c.server, token: raw}).refused(401, "InvalidAuthenticationToken", "GET", "/organization", nil)
	}
	for _, scope := range []string{"https://graph.microsoft.com/.default", "00000003-0000-0000-c000-000000000000/.default"} {
		raw, err := token(c.server.Owner(), scope)
		if err != nil {
			t.Fatal(err)
		}
		(&client{t: t, server: c.server, token: raw}).want(200, "GET", "/organization", nil)
	}
	nobody := &client{t: t, server: c.server}
	a := nobody.refused(401, "InvalidAuthenticationToken", "GET", "/applications", nil)
	if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer realm="", authorization_uri="https://login.microsoftonline.com/`+c.server.TenantID()) {
		t.Errorf("%v", a.header)
	}
	legacy := nobody.want(403, "GET", "https://graph.windows.net/"+c.server.TenantID()+"/applications?api-version=1.6", nil)
	if !strings.Contains(legacy.err()["message"].(string), "https://graph.microsoft.com") || legacy.body["odata.error"] == nil {
		t.Errorf("%s", legacy.text)
	}
}
