package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// signIn signs a user in by a client, and answers what the token endpoint does.
func (p *plane) signIn(name, client, resource string, over ...string) (status int, text string) {
	form := url.Values{"grant_type": {"password"}, "client_id": {client}, "username": {name}, "password": {"canary-of-a-user"}, "scope": {resource + "/.default offline_access"}}
	for i := 0; i < len(over); i += 2 {
		form.Set(over[i], over[i+1])
	}
	status, _, text = p.ask("POST", "https://login.microsoftonline.com/organizations/oauth2/v2.0/token", "", form.Encode())
	return status, text
}

// A user's tokens end, at every door and for the next request, when the user is disabled or
// gone, and so do the refresh tokens; an entry of an access policy for an application counts
// when that application acts for the user.
func TestConformUsers(t *testing.T) {
	claims(t, "id-4-9", "id-4-10", "arm-6-14")
	const (
		azureCLI   = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
		powerShell = "1950a258-227b-4e31-a9cf-717495945fc2"
		jane       = "jane@coffer.local"
	)
	w := newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	p := newPlane(t, w, "")
	status, user := p.graph("POST", "/users", `{"accountEnabled":true,"displayName":"Jane","userPrincipalName":"`+jane+`","passwordProfile":{"password":"canary-of-a-user"}}`)
	if status != 201 {
		t.Fatalf("%d %s", status, user)
	}
	id := field(user, "id")
	if err := p.Tenant.EnsureAssignment(context.Background(), id, roleOwner, "/"); err != nil {
		t.Fatal(err)
	}
	sub := "/subscriptions/" + p.Tenant.TenantID()
	vault := sub + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/users"
	for path, body := range map[string]string{
		sub + "/resourceGroups/rg": `{"location":"eastus"}`,
	} {
		if status, text := p.arm("PUT", path, body); status != 201 {
			t.Fatalf("%d %s", status, text)
		}
	}
	entry := fmt.Sprintf(`{"location":"eastus","properties":{"tenantId":%q,"sku":{"family":"A","name":"standard"},"accessPolicies":[{"tenantId":%q,"objectId":%q,"applicationId":%q,"permissions":{"secrets":["list"]}}]}}`, p.Tenant.TenantID(), p.Tenant.TenantID(), id, azureCLI)
	if status, text := p.arm("PUT", vault, entry); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	doors := map[string]string{
		"https://vault.azure.net":      "https://users.vault.azure.net/secrets?api-version=7.4",
		"https://management.azure.com": "https://management.azure.com" + vault + "?api-version=2022-07-01",
		"https://graph.microsoft.com":  "https://graph.microsoft.com/v1.0/me",
	}
	tokens, refresh := map[string]string{}, ""
	for resource := range doors {
		status, text := p.signIn(jane, azureCLI, resource)
		if status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		tokens[resource], refresh = field(text, "access_token"), field(text, "refresh_token")
	}
	each := func(want int) {
		t.Helper()
		for resource, address := range doors {
			if status, header, text := p.ask("GET", address, tokens[resource], ""); status != want || want == 401 && header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d %s", address, status, text)
			}
		}
	}
	each(200)
	_, text := p.signIn(jane, powerShell, "https://vault.azure.net")
	if status, _, text := p.ask("GET", doors["https://vault.azure.net"], field(text, "access_token"), ""); status != 403 || !strings.Contains(text, "ForbiddenByPolicy") {
		t.Errorf("another application acts for the user: %d %s", status, text)
	}
	again := func() int {
		status, _ := p.signIn(jane, azureCLI, "https://vault.azure.net", "grant_type", "refresh_token", "refresh_token", refresh)
		return status
	}
	if again() != 200 {
		t.Error("the refresh token is not good")
	}
	for _, enabled := range []bool{false, true} {
		body, _ := json.Marshal(map[string]bool{"accountEnabled": enabled})
		if status, text := p.graph("PATCH", "/users/"+id, string(body)); status != 204 {
			t.Fatalf("%d %s", status, text)
		}
		each(map[bool]int{true: 200, false: 401}[enabled])
		if got := again(); (got == 200) != enabled {
			t.Errorf("enabled %v: %d", enabled, got)
		}
	}
	if status, text := p.graph("DELETE", "/users/"+id, ""); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	each(401)
	if got := again(); got != 400 {
		t.Errorf("%d", got)
	}
	// A namesake is somebody else.
	if status, text := p.graph("POST", "/users", `{"accountEnabled":true,"displayName":"Jane","userPrincipalName":"`+jane+`","passwordProfile":{"password":"canary-of-a-user"}}`); status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	each(401)
	if got := again(); got != 400 {
		t.Errorf("%d", got)
	}
	_, text = p.signIn(jane, azureCLI, "https://vault.azure.net")
	if status, _, text := p.ask("GET", doors["https://vault.azure.net"], field(text, "access_token"), ""); status != 403 {
		t.Errorf("%d %s", status, text)
	}
}
