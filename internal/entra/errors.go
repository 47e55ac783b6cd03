package entra

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// A failure is a refusal on its way out: what the tenant or the door says, and the
// status that HTTP gives it.
type failure struct {
	tenant.Error
	status int
}

// The numbers of the refusals that are the door's own, as the service's documentation
// gives them.
const (
	numberWrongMethod     = 900561
	numberNotServed       = 90019
	numberUnknownTenant   = 90002
	numberUnknownInstance = 50049
	numberUnknownGrant    = 70003
	numberServer          = 90033
)

func wrongMethod(method string) failure {
	return failure{tenant.Error{Code: "invalid_request", Number: numberWrongMethod, Message: "The endpoint does not accept " + clip(method) + " requests."}, http.StatusMethodNotAllowed}
}

func notServed(tenantID string) failure {
	return failure{tenant.Error{Code: "invalid_request", Number: numberNotServed, Message: "There is nothing at this path. This server has, at /" + tenantID +
		": /oauth2/v2.0/token and /oauth2/token, /v2.0/.well-known/openid-configuration and /.well-known/openid-configuration, /discovery/v2.0/keys and /discovery/keys, /oauth2/v2.0/devicecode and /oauth2/devicecode; and /common/discovery/instance. There is no page to sign in at: clients use a secret, an assertion, a password or a device code."}, http.StatusNotFound}
}

// unknownTenant has another code at the token endpoint than in metadata (recorded).
func unknownTenant(code, asked, ours string) failure {
	return failure{tenant.Error{Code: code, Number: numberUnknownTenant, Message: "Tenant '" + clip(asked) + "' not found. The tenant of this server is '" + ours + "'."}, http.StatusBadRequest}
}

func unknownInstance(ours string) failure {
	return failure{tenant.Error{Code: "invalid_instance", Number: numberUnknownInstance, Message: "Unknown or invalid instance. The authority of this server is https://" + ours + "."}, http.StatusBadRequest}
}

// statusOf is the status of a refusal of the tenant. RFC 6749, 5.2 says 401 for a
// client that did not authenticate; the service says it for a disabled one as well.
func statusOf(e *tenant.Error) int {
	switch {
	case e.Code == "invalid_client" || e.Number == tenant.NumberDisabled:
		return http.StatusUnauthorized
	case e.Number == tenant.NumberBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

type errorBody struct {
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
	ErrorCodes       []int  `json:"error_codes"`
	Timestamp        string `json:"timestamp"`
	TraceID          string `json:"trace_id"`
	CorrelationID    string `json:"correlation_id"`
	ErrorURI         string `json:"error_uri"`
}

func (d *Door) refuse(w http.ResponseWriter, r *http.Request, f failure) {
	httpd.WriteJSON(w, f.status, errorBody{
		Error: f.Code, ErrorDescription: f.Error.Error(), ErrorCodes: []int{f.Number}, Timestamp: d.Now().UTC().Format("2006-01-02 15:04:05Z"),
		TraceID: httpd.RequestID(r.Context()), CorrelationID: correlation(r),
		ErrorURI: "https://" + d.host(r) + "/error?code=" + strconv.Itoa(f.Number),
	})
}

// correlation is the client's id for its request if it sent a GUID, in a header or, as
// one client does, in the query; else ours.
func correlation(r *http.Request) string {
	for _, id := range []string{r.Header.Get("client-request-id"), r.URL.Query().Get("client-request-id")} {
		if len(id) == 36 && uuid.Validate(id) == nil {
			return id
		}
	}
	return httpd.RequestID(r.Context())
}

// fail answers what is no refusal. The client learns nothing but the request's id; the
// cause is logged here, once.
func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	id := httpd.RequestID(r.Context())
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		d.Log.Debug("the client went away", "request", id, "path", clip(r.URL.Path))
	} else {
		d.Log.Error("a request failed", "request", id, "path", clip(r.URL.Path), "error", err)
	}
	status := http.StatusInternalServerError
	if gate.Unlogged(err) { // it passes
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	d.refuse(w, r, failure{tenant.Error{Code: "server_error", Number: numberServer,
		Message: "The server failed; its log says why, at request " + id + "."}, status})
}

// clip bounds a text of a request that goes into an answer or a log.
func clip(text string) string {
	if len(text) > 100 {
		text = text[:100]
	}
	return strings.ToValidUTF8(text, "")
}
