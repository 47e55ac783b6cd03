package certificates

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// OperationFailedError says that the issuer refused to issue the certificate. No version was added to the certificate.
//
// It unwraps to an [azcore.ResponseError] which has the answer of the last poll, a 200, and Code as its ErrorCode.
type OperationFailedError struct {
	// Name is the name of the certificate.
	Name string
	// RequestID identifies the operation.
	RequestID string
	// Code is the service's word for the kind of failure, such as "Request rejected" or "Certificate issuer error".
	// It may hold spaces.
	Code string
	// Message is the issuer's own explanation.
	Message string

	response error
}

func (e *OperationFailedError) Error() string {
	return fmt.Sprintf("certificate %q was not issued: %s: %s (operation %s); correct what the issuer objects to, then create it again",
		e.Name, e.Code, e.Message, e.RequestID)
}

// Unwrap gives the answer in which the service reported the failure.
func (e *OperationFailedError) Unwrap() error { return e.response }

// OperationCancelledError says that the operation was cancelled on request before a certificate was issued. No version was
// added to the certificate.
//
// It unwraps to an [azcore.ResponseError] which has the answer of the last poll, a 200.
type OperationCancelledError struct {
	// Name is the name of the certificate.
	Name string
	// RequestID identifies the operation.
	RequestID string

	response error
}

func (e *OperationCancelledError) Error() string {
	return fmt.Sprintf("certificate %q was not issued: operation %s was cancelled; create it again for a new operation", e.Name, e.RequestID)
}

// Unwrap gives the answer in which the service reported the cancellation.
func (e *OperationCancelledError) Unwrap() error { return e.response }

// OperationReplacedError says that the name has a newer operation than the poller's own, begun by another create or import.
// The service keeps the last operation of a name only, so it cannot be known how the poller's own ended: it may have issued
// a version, which the list of versions then shows.
type OperationReplacedError struct {
	// Name is the name of the certificate.
	Name string
	// RequestID identifies the operation that the poller had begun.
	RequestID string
	// NewRequestID identifies the operation that took its place.
	NewRequestID string
}

func (e *OperationReplacedError) Error() string {
	return fmt.Sprintf("certificate %q: operation %s was replaced by operation %s; list the versions of the certificate to see what was issued",
		e.Name, e.RequestID, e.NewRequestID)
}

// OperationDeletedError says that there is no operation of this name any more: it was deleted, or the certificate was. If
// the certificate is still there, its list of versions shows whether one was issued before.
//
// It unwraps to the service's 404, an [azcore.ResponseError].
type OperationDeletedError struct {
	// Name is the name of the certificate.
	Name string
	// RequestID identifies the operation that the poller had begun.
	RequestID string

	response error
}

func (e *OperationDeletedError) Error() string {
	return fmt.Sprintf("certificate %q: operation %s was deleted; list the versions of the certificate to see what was issued, or create it again",
		e.Name, e.RequestID)
}

// Unwrap gives the service's 404.
func (e *OperationDeletedError) Unwrap() error { return e.response }

// failure reads the reason out of a failed operation. An operation that carries none is explained by its status details.
func failure(name string, op azcertificates.CertificateOperation, raw *http.Response) *OperationFailedError {
	failed := &OperationFailedError{Name: name, RequestID: value(op.RequestID), Code: "no code", Message: value(op.StatusDetails)}
	if op.Error != nil {
		failed.Code, failed.Message = op.Error.Code, explanation(op.Error)
	}
	failed.response = runtime.NewResponseErrorWithErrorCode(raw, failed.Code)
	return failed
}

// explanation is the message inside of an ErrorInfo, which the SDK hands out as a piece of JSON only.
func explanation(info *azcertificates.ErrorInfo) string {
	var parsed struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(info.Error()), &parsed) != nil || parsed.Message == "" {
		return info.Error()
	}
	return parsed.Message
}
