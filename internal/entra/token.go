package entra

import (
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// maxForm bounds the body of a token request, in bytes.
const maxForm = 64 << 10

func (d *Door) tokenV2(w http.ResponseWriter, r *http.Request, tenant string) {
	d.token(w, r, tenant, false)
}

// tokenV1 is the older endpoint. In the adfs form of an own domain it is the only one,
// and speaks as the newer does.
func (d *Door) tokenV1(w http.ResponseWriter, r *http.Request, tenant string) {
	d.token(w, r, tenant, tenant != adfs)
}

func (d *Door) token(w http.ResponseWriter, r *http.Request, name string, v1 bool) {
	if !d.known(name) {
		d.writeError(w, r, http.StatusBadRequest, "invalid_request", 90002, "Tenant '"+clip(name)+"' not found. The tenant of this server is "+d.Tenant.TenantID()+".")
		return
	}
	request, err := readTokenRequest(w, r, v1)
	if err == nil {
		var issued tenant.Token
		if issued, err = d.Tenant.IssueToken(r.Context(), httpd.Origin(r), request); err == nil {
			httpd.WriteJSON(w, http.StatusOK, d.success(issued, v1))
			return
		}
	}
	var refused *tenant.Error
	if errors.As(err, &refused) {
		d.writeError(w, r, statusOf(refused.Code), refused.Code, refused.Number, refused.Message)
		return
	}
	d.internalError(w, r, err)
}

// single are the parameters that may stand only once.
var single = []string{"grant_type", "client_id", "client_secret", "scope", "resource", "client_assertion"}

// readTokenRequest reads the form. What it does not know it ignores: clients send a
// lot about themselves.
func readTokenRequest(w http.ResponseWriter, r *http.Request, v1 bool) (tenant.TokenRequest, error) {
	var out tenant.TokenRequest
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return out, &tenant.Error{Code: "invalid_request", Number: 900144, Message: "The request body must be application/x-www-form-urlencoded."}
	}
	body, err := httpd.ReadBody(w, r, maxForm)
	if err != nil {
		return out, &tenant.Error{Code: "invalid_request", Number: 900144, Message: "The request body is incomplete or too large."}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return out, &tenant.Error{Code: "invalid_request", Number: 900144, Message: "The request body is not a form."}
	}
	for _, name := range single {
		if len(form[name]) > 1 {
			return out, &tenant.Error{Code: "invalid_request", Number: 900144, Message: "The request body has the parameter '" + name + "' more than once."}
		}
	}
	if err := checkGrant(form); err != nil {
		return out, err
	}
	out.ClientID, out.ClientSecret = form.Get("client_id"), form.Get("client_secret")
	if id, secret, ok := r.BasicAuth(); ok { // RFC 6749, 2.3.1: both are form-encoded once more
		out.ClientID, out.ClientSecret = unescape(id), unescape(secret)
	}
	if out.Scope = form.Get("scope"); v1 || out.Scope == "" {
		out.Resource = form.Get("resource")
	}
	if v1 && out.Resource == "" {
		return out, &tenant.Error{Code: "invalid_resource", Number: 500011, Message: "The request has no 'resource' parameter."}
	}
	return out, nil
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

func checkGrant(form url.Values) error {
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return &tenant.Error{Code: "invalid_request", Number: 900144, Message: "The request body must contain the following parameter: 'grant_type'."}
	case grant != "client_credentials":
		return &tenant.Error{Code: "unsupported_grant_type", Number: 70003, Message: "The app requested an unsupported grant type '" + clip(grant) + "'. This version of Coffer has client_credentials."}
	case form.Get("client_assertion") != "":
		return &tenant.Error{Code: "invalid_client", Number: 700027, Message: "This version of Coffer does not take client assertions; use a client secret."}
	}
	return nil
}

// statusOf is the HTTP status of an OAuth error (RFC 6749, 5.2).
func statusOf(code string) int {
	if code == "invalid_client" {
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

type successV2 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
}

// successV1 has its numbers as strings.
type successV1 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    string `json:"expires_in"`
	ExtExpiresIn string `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on"`
	NotBefore    string `json:"not_before"`
	Resource     string `json:"resource"`
	AccessToken  string `json:"access_token"`
	ClientID     string `json:"client_id,omitempty"` // managed identities
}

func (d *Door) success(t tenant.Token, v1 bool) any {
	if !v1 {
		lifetime := int64(t.Expires.Sub(t.NotBefore).Seconds())
		return successV2{TokenType: "Bearer", ExpiresIn: lifetime, ExtExpiresIn: lifetime, AccessToken: t.Raw}
	}
	return newSuccessV1(t)
}

func newSuccessV1(t tenant.Token) successV1 {
	lifetime := strconv.FormatInt(int64(t.Expires.Sub(t.NotBefore).Seconds()), 10)
	return successV1{
		TokenType: "Bearer", ExpiresIn: lifetime, ExtExpiresIn: lifetime, ExpiresOn: strconv.FormatInt(t.Expires.Unix(), 10),
		NotBefore: strconv.FormatInt(t.NotBefore.Unix(), 10), Resource: t.Resource, AccessToken: t.Raw,
	}
}

type errorBody struct {
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
	ErrorCodes       []int  `json:"error_codes"`
	Timestamp        string `json:"timestamp"`
	TraceID          string `json:"trace_id"`
	CorrelationID    string `json:"correlation_id"`
	ErrorURI         string `json:"error_uri,omitempty"`
}

func (d *Door) writeError(w http.ResponseWriter, r *http.Request, status int, code string, number int, message string) {
	correlation := r.Header.Get("client-request-id")
	if uuid.Validate(correlation) != nil {
		correlation = httpd.RequestID(r.Context())
	}
	e := &tenant.Error{Code: code, Number: number, Message: message}
	httpd.WriteJSON(w, status, errorBody{
		Error: code, ErrorDescription: e.Error(), ErrorCodes: []int{number}, Timestamp: d.Now().UTC().Format("2006-01-02 15:04:05Z"),
		TraceID: httpd.RequestID(r.Context()), CorrelationID: correlation,
		ErrorURI: "https://" + d.Hosts[0] + "/error?code=" + strconv.Itoa(number),
	})
}

// internalError tells the client nothing but the request id; the cause is logged here,
// once.
func (d *Door) internalError(w http.ResponseWriter, r *http.Request, err error) {
	d.Log.Error("a request failed", "request", httpd.RequestID(r.Context()), "path", r.URL.Path, "error", err)
	message := "The server failed; see its log for request " + httpd.RequestID(r.Context()) + "."
	if errors.Is(err, gate.ErrAudit) {
		message = "The server cannot write its audit log, so it issues no tokens; see its log for request " + httpd.RequestID(r.Context()) + "."
	}
	d.writeError(w, r, http.StatusInternalServerError, "server_error", 90033, message)
}

// A Metadata answers for the instance metadata service of a virtual machine, as far as
// it is about managed identities.
type Metadata struct {
	Tenant *tenant.Service
	// Identity is the application whose tokens are given out; nil: there is none.
	Identity *tenant.Application
	Log      *slog.Logger
	Now      func() time.Time
}

type metadataError struct {
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}

// ServeHTTP answers one request. Without an identity the answer is the one by which the
// clients' default chains go on to the next credential.
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case strings.TrimSuffix(r.URL.Path, "/") != "/metadata/identity/oauth2/token":
		httpd.WriteJSON(w, http.StatusNotFound, metadataError{"not_found", "Only /metadata/identity/oauth2/token is served."})
	case r.Method != http.MethodGet:
		httpd.WriteJSON(w, http.StatusMethodNotAllowed, metadataError{"invalid_request", "Use GET."})
	case !strings.EqualFold(r.Header.Get("Metadata"), "true"):
		httpd.WriteJSON(w, http.StatusBadRequest, metadataError{"invalid_request", "Required metadata header not specified"})
	case query.Get("resource") == "":
		httpd.WriteJSON(w, http.StatusBadRequest, metadataError{"invalid_request", "Required query variable 'resource' is missing"})
	case m.Identity == nil || !m.isIdentity(query):
		httpd.WriteJSON(w, http.StatusBadRequest, metadataError{"invalid_request", "Identity not found"})
	default:
		m.give(w, r, query.Get("resource"))
	}
}

// isIdentity reports whether the identity that is asked for, if one is, is ours.
func (m *Metadata) isIdentity(query url.Values) bool {
	for name, ours := range map[string]string{"client_id": m.Identity.AppID, "object_id": m.Identity.ObjectID} {
		if asked := query.Get(name); asked != "" && !strings.EqualFold(asked, ours) {
			return false
		}
	}
	return query.Get("msi_res_id") == "" && query.Get("mi_res_id") == ""
}

func (m *Metadata) give(w http.ResponseWriter, r *http.Request, resource string) {
	issued, err := m.Tenant.ManagedIdentityToken(r.Context(), httpd.Origin(r), *m.Identity, resource)
	var refused *tenant.Error
	switch {
	case errors.As(err, &refused):
		httpd.WriteJSON(w, http.StatusBadRequest, metadataError{refused.Code, refused.Error()})
	case err != nil:
		m.Log.Error("a request failed", "request", httpd.RequestID(r.Context()), "error", err)
		httpd.WriteJSON(w, http.StatusInternalServerError, metadataError{"server_error", "The server failed; see its log for request " + httpd.RequestID(r.Context()) + "."})
	default:
		out := newSuccessV1(issued)
		out.ClientID = issued.ClientID
		w.Header().Set("Cache-Control", "no-store")
		httpd.WriteJSON(w, http.StatusOK, out)
	}
}
