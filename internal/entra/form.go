package entra

import (
	"errors"
	"mime"
	"net/http"
	"net/url"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// maxForm bounds the body of a token request, in bytes.
const maxForm = 64 << 10

// single are the parameters that mean something here, and so may stand only once
// (RFC 6749, 3.2).
var single = []string{"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource", "username", "password", "refresh_token", "device_code", "code"}

// readForm reads a body of parameters. What is not known is kept, and ignored: clients
// send a lot about themselves.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("The content type of the request must be application/x-www-form-urlencoded.")
	}
	body, err := httpd.ReadBody(w, r, maxForm)
	switch {
	case errors.Is(err, httpd.ErrBodyTooLarge):
		return nil, badRequest("The request body is too large; it may have 64 KiB.")
	case err != nil:
		return nil, badRequest("The request body ended early.")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil { // its text would repeat a piece of the body
		return nil, badRequest("The request body is not a form: a parameter is not encoded as it must be.")
	}
	for _, name := range single {
		if len(form[name]) > 1 {
			return nil, badRequest("The request body has the parameter '" + name + "' more than once.")
		}
	}
	return form, nil
}

func badRequest(message string) *tenant.Error {
	return &tenant.Error{Code: "invalid_request", Number: tenant.NumberMissingParameter, Message: message}
}

// grants are the values of grant_type.
var grants = map[string]tenant.Grant{
	"client_credentials": tenant.GrantClient,
	"password":           tenant.GrantPassword,
	"refresh_token":      tenant.GrantRefresh,
	"urn:ietf:params:oauth:grant-type:device_code": tenant.GrantDevice,
	"device_code": tenant.GrantDevice, // at the v1 endpoint
}

// jwtBearer is the one kind of client assertion.
const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// readTokenRequest reads a request for a token.
func readTokenRequest(w http.ResponseWriter, r *http.Request, kind endpoint) (tenant.TokenRequest, error) {
	form, err := readForm(w, r)
	if err != nil {
		return tenant.TokenRequest{}, err
	}
	if err := checkGrant(form); err != nil {
		return tenant.TokenRequest{}, err
	}
	out := readClient(form, kind)
	if err := basicAuthentication(r, form, &out); err != nil {
		return tenant.TokenRequest{}, err
	}
	out.Grant, out.Assertion = grants[form.Get("grant_type")], form.Get("client_assertion")
	out.Username, out.Password, out.RefreshToken = form.Get("username"), form.Get("password"), form.Get("refresh_token")
	if out.DeviceCode = form.Get("device_code"); out.DeviceCode == "" {
		out.DeviceCode = form.Get("code")
	}
	if kind == endpointV1 && out.Resource == "" && (out.Grant == tenant.GrantClient || out.Grant == tenant.GrantPassword) {
		return out, noResource()
	}
	return out, nil
}

// readClient reads who asks, and for what.
func readClient(form url.Values, kind endpoint) tenant.TokenRequest {
	out := tenant.TokenRequest{ClientID: form.Get("client_id"), ClientSecret: form.Get("client_secret")}
	if kind != endpointV1 {
		out.Scope = form.Get("scope")
	}
	if kind == endpointV1 || kind == endpointADFS && out.Scope == "" {
		out.Resource = form.Get("resource")
	}
	return out
}

func noResource() *tenant.Error {
	return &tenant.Error{Code: "invalid_resource", Number: tenant.NumberUnknownResource, Message: "The request has no 'resource' parameter, such as https://vault.azure.net."}
}

func checkGrant(form url.Values) error {
	grant := form.Get("grant_type")
	if grant == "" {
		return badRequest("The request body must contain the following parameter: 'grant_type'.")
	}
	if _, ok := grants[grant]; !ok {
		return &tenant.Error{Code: "unsupported_grant_type", Number: numberUnknownGrant, Message: "The app requested an unsupported grant type '" + clip(grant) +
			"'. This server has client_credentials, password, refresh_token and urn:ietf:params:oauth:grant-type:device_code."}
	}
	kind, assertion := form.Get("client_assertion_type"), form.Get("client_assertion")
	if (kind != "" || assertion != "") && (kind != jwtBearer || assertion == "") {
		return badRequest("A client assertion needs the parameters 'client_assertion' and 'client_assertion_type', which is " + jwtBearer + ".")
	}
	return nil
}

// basicAuthentication takes the client from the Authorization header, if it is there.
// The two parts are form-encoded once more, and a client may authenticate in one way
// only (RFC 6749, 2.3.1).
func basicAuthentication(r *http.Request, form url.Values, out *tenant.TokenRequest) error {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return nil
	}
	id, err := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	switch {
	case err != nil || err2 != nil:
		return badRequest("The client id or secret in the Authorization header is not encoded as it must be.")
	case out.ClientSecret != "" || form.Has("client_assertion") || out.ClientID != "" && out.ClientID != id:
		return badRequest("The client authenticates in the Authorization header and in the body; it must use one of them.")
	}
	out.ClientID, out.ClientSecret = id, secret
	return nil
}
