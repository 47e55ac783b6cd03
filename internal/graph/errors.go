package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
	"coffer/internal/token"
)

// A failure is a refusal of the door itself.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.message }

func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, string(tenant.BadObject), fmt.Sprintf(format, args...)}
}

func unsupportedQuery(format string, args ...any) error {
	return &failure{http.StatusBadRequest, "Request_UnsupportedQuery", fmt.Sprintf(format, args...)}
}

// statuses is the one table from codes to HTTP. What is not in it is a 500.
var statuses = map[tenant.DirectoryCode]int{
	tenant.ObjectNotFound:  http.StatusNotFound,
	tenant.BadObject:       http.StatusBadRequest,
	tenant.ObjectConflict:  http.StatusConflict,
	tenant.QuotaExceeded:   http.StatusForbidden,
	tenant.NotOwnedAnyMore: http.StatusForbidden,
	tenant.DelegatedOnly:   http.StatusBadRequest,
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	InnerError innerError `json:"innerError"`
}

type innerError struct {
	Date            string `json:"date"`
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

// writeError answers with the wire form of an error.
func (d *Door) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := d.failure(r, err)
	if f == nil { // the client has gone
		return
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="", authorization_uri="%s/oauth2/authorize", client_id="%s"`, d.Authority, AppID))
	}
	httpd.WriteJSON(w, f.status, errorBody{errorDetail{f.code, f.message, innerError{
		Date: d.Now().UTC().Format("2006-01-02T15:04:05"), RequestID: httpd.RequestID(r.Context()), ClientRequestID: correlation(r),
	}}})
}

func (d *Door) failure(r *http.Request, err error) *failure {
	var own *failure
	var refused *tenant.DirectoryError
	var denied *gate.Denied
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &denied):
		return &failure{http.StatusForbidden, string(access.AuthorizationRequestDenied), "Insufficient privileges to complete the operation."}
	case errors.As(err, &refused) && statuses[refused.Code] != 0:
		return &failure{statuses[refused.Code], string(refused.Code), refused.Message}
	case errors.Is(err, tenant.ErrUnavailable):
		return &failure{http.StatusServiceUnavailable, "serviceNotAvailable", "The store did not confirm the change; read the object to see whether it happened, and try again."}
	case errors.Is(err, access.ErrPrincipalGone):
		d.Rejected(r.Context(), httpd.Origin(r), "PrincipalGone")
		return &failure{http.StatusUnauthorized, "InvalidAuthenticationToken", "The principal of the token does not exist or is disabled."}
	case errors.As(err, &wrongType):
		return &failure{http.StatusBadRequest, "Request_BadRequest", "Invalid value specified for property '" + clip(wrongType.Field) + "'."}
	case errors.Is(err, httpd.ErrBodyTooLarge):
		return &failure{http.StatusRequestEntityTooLarge, "Request_BadRequest", "The request body is too large: at most 1 MiB."}
	case errors.Is(err, httpd.ErrBodyTruncated), errors.Is(err, httpd.ErrNotJSON):
		return &failure{http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."}
	case errors.Is(err, httpd.ErrUnsupportedType):
		return &failure{http.StatusUnsupportedMediaType, "Request_BadRequest", "The request body has to be application/json."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return nil
	}
	return d.internal(r, err)
}

// unauthorized turns what is wrong with a token into the service's words.
func (d *Door) unauthorized(r *http.Request, err error) error {
	var bad *token.Error
	message := ""
	switch {
	case errors.Is(err, httpd.ErrNoToken):
		message = "Access token is empty."
	case errors.As(err, &bad):
		d.Rejected(r.Context(), httpd.Origin(r), string(bad.Reason))
		message = tokenMessage(bad)
	default:
		return err
	}
	return &failure{http.StatusUnauthorized, "InvalidAuthenticationToken", message}
}

func tokenMessage(bad *token.Error) string {
	switch bad.Reason {
	case token.WrongAudience:
		return "Access token validation failure. Invalid audience."
	case token.Expired:
		return "Lifetime validation failed, the token is expired."
	case token.UnknownIssuer, token.WrongTenant:
		return "Access token validation failure. Invalid issuer."
	}
	return "Access token validation failure."
}

// internal tells the client nothing but the request id; the cause is logged here, once.
func (d *Door) internal(r *http.Request, err error) *failure {
	id := httpd.RequestID(r.Context())
	d.Log.Error("a request failed", "request", id, "method", r.Method, "path", clip(r.URL.Path), "error", err)
	message := "The server failed while it handled the request; see its log for request " + id + "."
	if gate.Unlogged(err) {
		return &failure{http.StatusServiceUnavailable, "serviceNotAvailable", "The server cannot write its audit log, so it does not answer; try again. Its log says more, at request " + id + "."}
	}
	return &failure{http.StatusInternalServerError, "InternalServerError", message}
}
