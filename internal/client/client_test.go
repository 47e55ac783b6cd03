package client_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"coffer/internal/client"
)

func settings(environ map[string]string, s client.Settings) client.Settings {
	s.Getenv = func(name string) string { return environ[name] }
	return s
}

// Where the servers are follows from where tokens come from.
func TestEndpoints(t *testing.T) {
	const authority, management = "AZURE_AUTHORITY_HOST", "COFFER_MANAGEMENT_URL"
	for _, test := range []struct {
		environ    map[string]string
		flag       string
		management string
		graph      string
		vault      string
	}{
		{nil, "", "https://management.azure.com", "https://graph.microsoft.com", "https://demo.vault.azure.net"},
		{map[string]string{authority: "https://login.microsoftonline.com/"}, "", "https://management.azure.com", "https://graph.microsoft.com", "https://demo.vault.azure.net"},
		{map[string]string{authority: "https://login.microsoftonline.us"}, "", "https://management.usgovcloudapi.net", "https://graph.microsoft.us", "https://demo.vault.usgovcloudapi.net"},
		{map[string]string{authority: "https://login.chinacloudapi.cn/"}, "", "https://management.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", "https://demo.vault.azure.cn"},
		{map[string]string{authority: "https://Login.Coffer.Example.com"}, "", "https://management.coffer.example.com", "https://graph.coffer.example.com", "https://demo.vault.coffer.example.com"},
		{map[string]string{authority: "https://login.example.com:8443/"}, "", "https://management.example.com:8443", "https://graph.example.com:8443", "https://demo.vault.example.com:8443"},
		{map[string]string{authority: "https://login.example.com:443"}, "", "https://management.example.com", "https://graph.example.com", "https://demo.vault.example.com"},
		{map[string]string{authority: "https://sts.example.com"}, "https://management.vaults.example.com:9/", "https://management.vaults.example.com:9", "https://graph.vaults.example.com:9", "https://demo.vault.vaults.example.com:9"},
		{map[string]string{authority: "https://login.example.com", management: "https://arm.example.com"}, "", "https://arm.example.com", "https://graph.example.com", "https://demo.vault.example.com"},
		{map[string]string{management: "https://management.example.com"}, "", "https://management.example.com", "https://graph.example.com", "https://demo.vault.example.com"},
	} {
		s, err := client.Open(settings(test.environ, client.Settings{Vault: "Demo", ManagementURL: test.flag}))
		if err != nil {
			t.Errorf("%v: %v", test.environ, err)
			continue
		}
		vault, err := s.VaultURL()
		if s.Management != test.management || s.Graph != test.graph || vault != test.vault || err != nil || s.ManagementAudience != s.Management {
			t.Errorf("%v: %+v %s %v", test.environ, s.Endpoints, vault, err)
		}
	}
}

// What steers a request, or a token, elsewhere than it seems is refused before anything
// is sent.
func TestBadAddresses(t *testing.T) {
	for _, address := range []string{"http://login.example.com", "login.example.com", "https://", "https://a:b@login.example.com", "https://login.example.com/x", "https://login.example.com?x", "https://login.example.com#x", "https://login.example.com:port", "\n"} {
		if _, err := client.Open(settings(map[string]string{"AZURE_AUTHORITY_HOST": address}, client.Settings{})); err == nil || client.Describe(err).Code != client.ExitUsage {
			t.Errorf("%q as authority: %v", address, err)
		}
		s, err := client.Open(settings(nil, client.Settings{VaultURL: address}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.VaultURL(); err == nil {
			t.Errorf("%q as vault: %s", address, got)
		}
	}
	for _, name := range []string{"a.b", "a/b", "a:1", "a@b", "a?b", "a#b", "ä", " ", strings.Repeat("a", 64)} {
		s, err := client.Open(settings(nil, client.Settings{Vault: name}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.VaultURL(); err == nil || client.Describe(err).Code != client.ExitUsage {
			t.Errorf("the vault %q is at %s, %v", name, got, err)
		}
	}
}

func TestParseID(t *testing.T) {
	for id, want := range map[string]client.ObjectID{
		"https://demo.vault.azure.net/secrets/one/0123":          {"https://demo.vault.azure.net", "secrets", "one", "0123"},
		"https://demo.vault.azure.net:8443/keys/one":             {"https://demo.vault.azure.net:8443", "keys", "one", ""},
		"https://demo.vault.azure.net/certificates/issuers/mine": {"https://demo.vault.azure.net", "certificates/issuers", "mine", ""},
		"https://demo.vault.azure.net/deletedcertificates/one":   {"https://demo.vault.azure.net", "deletedcertificates", "one", ""},
		"https://demo.vault.azure.net/secrets/":                  {},
		"https://demo.vault.azure.net/secrets/one/two/three":     {},
		"https://demo.vault.azure.net/others/one":                {},
		"/subscriptions/a/resourceGroups/b":                      {}, "http://a/secrets/b": {}, "": {},
	} {
		if got := client.ParseID(id); got != want {
			t.Errorf("%q: %+v", id, got)
		}
	}
}

// FuzzParseID checks that what parses, is put together the same.
func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"https://a/secrets/b/c", "https://a/keys/b", "https://a/certificates/issuers/b", "https:///secrets/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		of := client.ParseID(id)
		if of.Name == "" {
			return
		}
		again := of.VaultURL + "/" + of.Collection + "/" + of.Name
		if of.Version != "" || strings.HasSuffix(id, "/") {
			again += "/" + of.Version
		}
		if again != id {
			t.Errorf("%q became %q", id, again)
		}
	})
}

func TestPrint(t *testing.T) {
	value := []map[string]any{
		{"id": "https://demo.vault.azure.net/secrets/one/0123", "attributes": map[string]any{"enabled": true, "exp": 1800000000}, "tags": map[string]string{"b": "2", "a": "\x1b[31m"}},
		{"kid": "https://demo.vault.azure.net/keys/two", "list": []string{"x", "y"}},
	}
	columns := client.Columns("NAME", "name", "VERSION", "version", "ENABLED", "attributes.enabled", "ENDS", "attributes.exp", "TAGS", "tags", "LIST", "list")
	var table, json bytes.Buffer
	if err := errors.Join(client.Print(&table, "table", value, columns), client.Print(&json, "json", value, nil)); err != nil {
		t.Fatal(err)
	}
	want := "NAME  VERSION  ENABLED  ENDS                  TAGS            LIST\none   0123     true     2027-01-15T08:00:00Z  a=\\x1b[31m,b=2\ntwo                                                           x,y\n"
	if table.String() != want {
		t.Errorf("got\n%s\nwant\n%s", table.String(), want)
	}
	if !strings.Contains(json.String(), `"name": "one"`) || !strings.Contains(json.String(), `"exp": 1800000000`) || !strings.Contains(json.String(), `\u001b`) {
		t.Error(json.String())
	}
	table.Reset()
	if err := client.Print(&table, "table", value[0], columns); err != nil || table.String() != "NAME     one\nVERSION  0123\nENABLED  true\nENDS     2027-01-15T08:00:00Z\nTAGS     a=\\x1b[31m,b=2\n" {
		t.Errorf("%s %v", table.String(), err)
	}
}

func refusal(status int, body string) error {
	request, _ := http.NewRequest("GET", "https://demo.vault.azure.net/x", nil)
	response := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: request}
	return &azcore.ResponseError{StatusCode: status, RawResponse: response}
}

// A refusal is one line with the service's code and message; its own next line is ours.
func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		text string
		next string
	}{
		{refusal(404, `{"error":{"code":"SecretNotFound","message":"A secret was not found.\nReally."}}`), 3, "SecretNotFound (HTTP 404): A secret was not found.; Really.", ""},
		{refusal(403, `{"error":{"code":"Forbidden","message":"No.\u001b[31m","innererror":{"code":"ForbiddenByPolicy"}}}`), 1, `Forbidden / ForbiddenByPolicy (HTTP 403): No.\x1b[31m`, "coffer policy set"},
		{refusal(502, `<html>`), 1, "HTTP 502 from demo.vault.azure.net", ""},
		{refusal(503, ``), 1, "HTTP 503 from demo.vault.azure.net", ""},
		{&net.DNSError{Name: "demo.nowhere.test", Err: "no such host", IsNotFound: true}, 1, "there is no host demo.nowhere.test", "check --vault"},
		{errors.New("plain"), 1, "plain", ""},
		{client.Usagef("wrong %d", 1), 2, "wrong 1", ""},
		{client.NotFoundf("look", "none"), 3, "none", "look"},
	} {
		got := client.Describe(test.err)
		if got.Code != test.code || got.Text != test.text || (test.next == "") != (got.Next == "") || !strings.Contains(got.Next, test.next) {
			t.Errorf("%v: %+v", test.err, got)
		}
	}
}
