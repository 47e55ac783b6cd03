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
var single = []string{"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource"}

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

// readTokenRequest reads a request for a token by client credentials.
func readTokenRequest(w http.ResponseWriter, r *http.Request, kind endpoint) (tenant.TokenRequest, error) {
	form, err := readForm(w, r)
	if err != nil {
		return tenant.TokenRequest{}, err
	}
	if err := checkGrant(form); err != nil {
		return tenant.TokenRequest{}, err
	}
	out := tenant.TokenRequest{ClientID: form.Get("client_id"), ClientSecret: form.Get("client_secret")}
	if err := basicAuthentication(r, &out); err != nil {
		return tenant.TokenRequest{}, err
	}
	if kind != endpointV1 {
		out.Scope = form.Get("scope")
	}
	if kind == endpointV1 || kind == endpointADFS && out.Scope == "" {
		out.Resource = form.Get("resource")
	}
	if kind == endpointV1 && out.Resource == "" {
		return out, &tenant.Error{Code: "invalid_resource", Number: tenant.NumberUnknownResource, Message: "The request has no 'resource' parameter, such as https://vault.azure.net."}
	}
	return out, nil
}

func checkGrant(form url.Values) error {
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return badRequest("The request body must contain the following parameter: 'grant_type'.")
	case grant != "client_credentials":
		return &tenant.Error{Code: "unsupported_grant_type", Number: numberUnknownGrant, Message: "The app requested an unsupported grant type '" + clip(grant) + "'. This version of Coffer has client_credentials."}
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		return &tenant.Error{Code: "invalid_client", Number: numberBadAssertion, Message: "This version of Coffer does not take client assertions (certificates, federated tokens). Use a client secret."}
	}
	return nil
}

// basicAuthentication takes the client from the Authorization header, if it is there.
// The two parts are form-encoded once more, and a client may authenticate in one way
// only (RFC 6749, 2.3.1).
func basicAuthentication(r *http.Request, out *tenant.TokenRequest) error {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return nil
	}
	id, err := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	switch {
	case err != nil || err2 != nil:
		return badRequest("The client id or secret in the Authorization header is not encoded as it must be.")
	case out.ClientSecret != "" || out.ClientID != "" && out.ClientID != id:
		return badRequest("The client authenticates in the Authorization header and in the body; it must use one of them.")
	}
	out.ClientID, out.ClientSecret = id, secret
	return nil
}
