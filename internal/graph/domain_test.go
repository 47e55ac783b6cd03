package graph_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"coffer/coffertest"
	"coffer/internal/server"
)

// An installation on its own domain has its directory there.
func TestDomain(t *testing.T) {
	s := coffertest.New(t, func(o *server.Options) { o.Names = server.DomainNames("coffer.example", "8443") })
	const host = "https://graph.coffer.example"
	for _, resource := range []string{host + ":8443", host + ":8443/", host, "00000003-0000-0000-c000-000000000000"} {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.Owner().AppID}, "client_secret": {s.Owner().Secret}, "resource": {resource}}
		got, err := s.HTTPClient().PostForm("https://login.coffer.example:8443/adfs/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Token string `json:"access_token"`
		}
		err = json.NewDecoder(got.Body).Decode(&body)
		if got.Body.Close(); err != nil || body.Token == "" {
			t.Fatalf("%s: %d, %v", resource, got.StatusCode, err)
		}
		c := &client{t: t, server: s, token: body.Token}
		a := c.want(200, "GET", host+":8443/v1.0/servicePrincipals?$top=1", nil)
		if a.body["@odata.context"] != host+":8443/v1.0/$metadata#servicePrincipals" {
			t.Errorf("%s", a.text)
		}
		c.want(200, "GET", host+":8443/v1.0/organization", nil)
	}
	(&client{t: t, server: s}).want(421, "GET", "https://graph.microsoft.com/v1.0/me", nil)
}
