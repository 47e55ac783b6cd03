package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
)

const base = "https://graph.microsoft.com/v1.0"

// client is a principal at the door.
type client struct {
	t      *testing.T
	server *coffertest.Server
	token  string
	id     string // object id
}

// object is JSON.
type object = map[string]any

func newClient(t *testing.T) *client {
	t.Helper()
	s := coffertest.New(t)
	return (&client{t: t, server: s}).as(s.Owner())
}

// token asks the token endpoint.
func token(p coffertest.Principal, scope string) (string, error) {
	got, err := p.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	return got.Token, err
}

// as is the same door for another principal.
func (c *client) as(p coffertest.Principal) *client {
	c.t.Helper()
	raw, err := token(p, "https://graph.microsoft.com//.default")
	if err != nil {
		c.t.Fatal(err)
	}
	return &client{t: c.t, server: c.server, token: raw, id: p.ObjectID}
}

type answer struct {
	status int
	header http.Header
	text   string
	body   object
}

func (a answer) err() object {
	e, _ := a.body["error"].(object)
	return e
}

// values are the objects of a collection.
func (a answer) values() (out []object) {
	all, _ := a.body["value"].([]any)
	for _, one := range all {
		out = append(out, one.(object))
	}
	return out
}

// do sends a request. The path is below /v1.0, or a whole address.
func (c *client) do(method, path string, body any) answer {
	c.t.Helper()
	if !strings.HasPrefix(path, "https:") {
		path = base + path
	}
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := c.server.HTTPClient().Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a.body); err != nil {
			c.t.Fatalf("%s %s: %d, no JSON: %q", method, path, a.status, text)
		}
	}
	return a
}

// want sends a request and checks the status.
func (c *client) want(status int, method, path string, body any) answer {
	c.t.Helper()
	a := c.do(method, path, body)
	if a.status != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, status, a.text)
	}
	if status == http.StatusNoContent && a.text != "" {
		c.t.Errorf("%s %s: 204 with a body: %q", method, path, a.text)
	}
	return a
}

// refused checks a refusal's form, and its code.
func (c *client) refused(status int, code, method, path string, body any) answer {
	c.t.Helper()
	a := c.want(status, method, path, body)
	inner, _ := a.err()["innerError"].(object)
	message, _ := a.err()["message"].(string)
	if a.err()["code"] != code || message == "" || inner["date"] == "" || inner["request-id"] != a.header.Get("request-id") || inner["client-request-id"] == nil {
		c.t.Errorf("%s %s: %s", method, path, a.text)
	}
	return a
}

func filter(collection, text string) string {
	return "/" + collection + "?$filter=" + url.QueryEscape(text)
}

// newApplication makes one with a service principal.
func (c *client) newApplication(name string) (app, principal object) {
	c.t.Helper()
	app = c.want(http.StatusCreated, "POST", "/applications", object{"displayName": name, "keyCredentials": []any{}}).body
	principal = c.want(http.StatusCreated, "POST", "/servicePrincipals", object{"appId": app["appId"], "accountEnabled": true}).body
	return app, principal
}

// decodeToken reads what the token endpoint answers.
func decodeToken(t *testing.T, from io.Reader) string {
	t.Helper()
	var body struct {
		Token       string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(from).Decode(&body); err != nil || body.Token == "" {
		t.Fatalf("no token: %v %s", err, body.Description)
	}
	return body.Token
}
