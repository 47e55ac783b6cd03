package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/vault"
	"coffer/internal/wire"
)

// statuses is the one table from codes to HTTP. What is not in it is a 500.
var statuses = map[vault.Code]int{
	vault.CodeBadParameter:               http.StatusBadRequest,
	vault.CodeCertificateNotFound:        http.StatusNotFound,
	vault.CodePendingCertificateNotFound: http.StatusNotFound,
	vault.CodeSecretNotFound:             http.StatusNotFound,
	vault.CodeKeyNotFound:                http.StatusNotFound,
	vault.CodeIssuerNotFound:             http.StatusNotFound,
	vault.CodeContactsNotFound:           http.StatusNotFound,
	vault.CodeMalformedBackup:            http.StatusBadRequest,
	vault.CodeVaultNotFound:              http.StatusNotFound,
	vault.CodeForbidden:                  http.StatusForbidden,
	vault.CodeConflict:                   http.StatusConflict,
	vault.CodeThrottled:                  http.StatusTooManyRequests,
	vault.CodeUnavailable:                http.StatusServiceUnavailable,
	vault.CodePrincipalGone:              http.StatusUnauthorized,
}

// writeError answers with the wire form of an error.
func (d *Door) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, body := d.wireError(w, r, err)
	if status == 0 { // the client has gone
		return
	}
	httpd.WriteJSON(w, status, wire.Error{Error: body})
}

func (d *Door) wireError(w http.ResponseWriter, r *http.Request, err error) (int, wire.ErrorDetail) {
	var rule *vault.Error
	var refused *unauthorizedError
	var method *methodError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &refused):
		d.challenge(w)
		return http.StatusUnauthorized, wire.ErrorDetail{Code: "Unauthorized", Message: refused.message}
	case errors.As(err, &method):
		return http.StatusMethodNotAllowed, wire.ErrorDetail{Code: "MethodNotAllowed", Message: method.Error()}
	case errors.As(err, &wrongType):
		return http.StatusBadRequest, wire.ErrorDetail{Code: "BadParameter", Message: "Property " + clip(wrongType.Field) + " has invalid value\r\n"}
	case errors.Is(err, httpd.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge, wire.ErrorDetail{Code: "RequestBodyTooLarge", Message: "The request body is too large: at most 1 MiB, for a restore 12 MiB."}
	case errors.Is(err, httpd.ErrBodyTruncated):
		return http.StatusBadRequest, wire.ErrorDetail{Code: "BadParameter", Message: "The request body ended early."}
	case errors.Is(err, httpd.ErrNotJSON):
		return http.StatusBadRequest, wire.ErrorDetail{Code: "BadParameter", Message: "The request body is not a JSON object."}
	case errors.Is(err, httpd.ErrUnsupportedType):
		return http.StatusUnsupportedMediaType, wire.ErrorDetail{Code: "UnsupportedMediaType", Message: "The request body has to be application/json."}
	case errors.As(err, &rule) && statuses[rule.Code] != 0:
		return d.ruleError(w, r, rule)
	case errors.Is(err, context.DeadlineExceeded) && r.Context().Err() != nil:
		w.Header().Set("Retry-After", "1")
		return http.StatusServiceUnavailable, wire.ErrorDetail{Code: "ServiceUnavailable", Message: "The request took too long and was given up; try again."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return 0, wire.ErrorDetail{}
	}
	if gate.Unlogged(err) {
		w.Header().Set("Retry-After", "1")
	}
	return d.internalError(r, err)
}

func (d *Door) ruleError(w http.ResponseWriter, r *http.Request, rule *vault.Error) (int, wire.ErrorDetail) {
	body := wire.ErrorDetail{Code: string(rule.Code), Message: rule.Message}
	switch {
	case rule.Code == vault.CodePrincipalGone:
		d.challenge(w)
		d.Rejected(r.Context(), httpd.Origin(r), "PrincipalGone")
		body.Code, body.Message = "Unauthorized", "AKV10048: "+rule.Message
	case rule.Inner != "":
		body.InnerError = &wire.InnerError{Code: rule.Inner}
	}
	if rule.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(rule.RetryAfter.Seconds()))))
	}
	if statuses[rule.Code] >= 500 && rule.Err != nil {
		d.Log.Warn("a request was not served", "request", httpd.RequestID(r.Context()), "error", rule.Err)
	}
	return statuses[rule.Code], body
}

// internalError tells the client nothing but the request id; the cause is logged here,
// once.
func (d *Door) internalError(r *http.Request, err error) (int, wire.ErrorDetail) {
	id := httpd.RequestID(r.Context())
	d.Log.Error("a request failed", "request", id, "method", r.Method, "path", r.URL.Path, "error", err)
	message := "The server failed while it handled the request; see its log for request " + id + "."
	if gate.Unlogged(err) {
		return http.StatusServiceUnavailable, wire.ErrorDetail{Code: "ServiceUnavailable", Message: "The server cannot write its audit log, so it does not answer; try again. Its log says more, at request " + id + "."}
	}
	return http.StatusInternalServerError, wire.ErrorDetail{Code: "InternalServerError", Message: message}
}
