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

// A failure is a refusal of the door's own.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status, code, fmt.Sprintf(format, args...)}
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Inner   innerError `json:"innerError"`
}

type innerError struct {
	Date            string `json:"date"`
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

func (d *Door) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := d.explain(r, err)
	if f == nil { // the client has gone
		return
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="", authorization_uri="%s/oauth2/authorize", error="invalid_token"`, d.Authority))
	}
	httpd.WriteJSON(w, f.status, errorBody{errorDetail{Code: f.code, Message: f.message, Inner: innerError{
		Date: d.Now().UTC().Format("2006-01-02T15:04:05"), RequestID: httpd.RequestID(r.Context()), ClientRequestID: clientID(r),
	}}})
}

// explain is the one table from errors to HTTP.
func (d *Door) explain(r *http.Request, err error) *failure {
	var own *failure
	var denied *gate.Denied
	var input *tenant.InputError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, access.ErrPrincipalGone):
		d.Rejected(r.Context(), httpd.Origin(r), "PrincipalGone")
		return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "The principal of the token was removed or disabled.")
	case errors.As(err, &own):
		return own
	case errors.As(err, &denied):
		return fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation. It needs an owner of the application, or an administrator of the directory.")
	case errors.As(err, &input):
		return fail(http.StatusBadRequest, "Request_BadRequest", "%s", input.Message)
	case errors.Is(err, tenant.ErrNotFound):
		return fail(http.StatusNotFound, "Request_ResourceNotFound", "The resource does not exist or one of its queried reference-property objects are not present.")
	case errors.Is(err, tenant.ErrNoApplication):
		return fail(http.StatusBadRequest, "Request_BadRequest", "The appId of the service principal does not reference a valid application object.")
	case errors.Is(err, tenant.ErrExists):
		return fail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "Another object with the same value of a property that has to be unique exists already.")
	case errors.Is(err, tenant.ErrChanged):
		return fail(http.StatusConflict, "Directory_ConcurrencyViolation", "The object was changed by another request at the same time; try again.")
	case errors.As(err, &wrongType), errors.Is(err, httpd.ErrNotJSON), errors.Is(err, httpd.ErrBodyTruncated):
		return fail(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Send one JSON object with members of the documented types.")
	case errors.Is(err, httpd.ErrBodyTooLarge):
		return fail(http.StatusRequestEntityTooLarge, "Request_EntityTooLarge", "The request is too large: at most 1 MiB.")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return nil
	}
	id := httpd.RequestID(r.Context())
	d.Log.Error("a request failed", "request", id, "method", r.Method, "path", clip(r.URL.Path), "error", err)
	return fail(http.StatusInternalServerError, "InternalServerError", "The server failed while it handled the request; see its log for request %s.", id)
}

// unauthorized is the answer to a token that is missing or not accepted.
func (d *Door) unauthorized(r *http.Request, err error) error {
	var refused *token.Error
	switch {
	case errors.Is(err, httpd.ErrNoToken):
		return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
	case !errors.As(err, &refused):
		return err
	}
	d.Rejected(r.Context(), httpd.Origin(r), string(refused.Reason))
	messages := map[token.Reason]string{token.Expired: "Lifetime validation failed, the token is expired.", token.WrongAudience: "Access token validation failure. Invalid audience."}
	if message, ok := messages[refused.Reason]; ok {
		return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "%s", message)
	}
	return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure.")
}
