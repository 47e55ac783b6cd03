package graph_test

import (
	"encoding/json"
	"net/url"
	"testing"
)

const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// login sends a form to the authority.
func (c *client) login(path string, form url.Values) (status int, body object) {
	c.t.Helper()
	response, err := c.server.HTTPClient().PostForm("https://login.microsoftonline.com/"+c.server.TenantID()+"/oauth2/v2.0/"+path, form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, body
}

// startDevice begins a sign-in and returns what the client keeps and what it shows.
func (c *client) startDevice() (code, shown string) {
	c.t.Helper()
	status, body := c.login("devicecode", url.Values{"client_id": {azureCLI}, "scope": {"https://vault.azure.net/.default"}})
	if status != 200 {
		c.t.Fatalf("%d %v", status, body)
	}
	return body["device_code"].(string), body["user_code"].(string)
}

func (c *client) pollDevice(code string) (status int, body object) {
	c.t.Helper()
	return c.login("token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {azureCLI}, "device_code": {code}})
}

// An administrator approves or declines the code that a client shows, once; nobody else
// does, and what cannot be is refused and changes nothing.
func TestDeviceCodes(t *testing.T) {
	admin := newClient(t)
	plain := admin.as(admin.server.NewPrincipal("plain"))
	admin.want(201, "POST", "/users", newUser("jane@coffer.local"))
	code, shown := admin.startDevice()
	approve := object{"userCode": shown, "userPrincipalName": "jane@coffer.local"}
	plain.refused(403, "Authorization_RequestDenied", "POST", "/deviceCodes/approve", approve)
	admin.refused(400, "Request_BadRequest", "POST", "/deviceCodes/approve", object{"userCode": shown})
	admin.refused(404, "Request_ResourceNotFound", "POST", "/deviceCodes/approve", object{"userCode": shown, "userPrincipalName": "joe@coffer.local"})
	for _, typed := range []string{"", "AAAAA-AAAAA", shown + "B", "BBBBBBBBBB"} {
		admin.refused(404, "Request_ResourceNotFound", "POST", "/deviceCodes/approve", object{"userCode": typed, "userPrincipalName": "jane@coffer.local"})
	}
	if status, body := admin.pollDevice(code); status != 400 || body["error"] != "authorization_pending" {
		t.Fatalf("%d %v", status, body)
	}
	admin.want(204, "POST", "/deviceCodes/approve", approve)
	admin.refused(400, "Request_BadRequest", "POST", "/deviceCodes/decline", object{"userCode": shown})
	if status, body := admin.pollDevice(code); status != 200 || body["access_token"] == nil {
		t.Fatalf("%d %v", status, body)
	}
	code, shown = admin.startDevice()
	admin.want(204, "POST", "/deviceCodes/decline", object{"userCode": shown})
	if status, body := admin.pollDevice(code); status != 400 || body["error"] != "authorization_declined" {
		t.Fatalf("%d %v", status, body)
	}
}
