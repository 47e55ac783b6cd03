package vault

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
)

// A Code is the kind of an Error. The set is closed; each door has one table from it
// to its wire form.
type Code string

// The codes.
const (
	CodeBadParameter               Code = "BadParameter"
	CodeCertificateNotFound        Code = "CertificateNotFound"
	CodePendingCertificateNotFound Code = "PendingCertificateNotFound"
	CodeSecretNotFound             Code = "SecretNotFound"
	CodeKeyNotFound                Code = "KeyNotFound"
	CodeIssuerNotFound             Code = "CertificateIssuerNotFound"
	CodeContactsNotFound           Code = "ContactsNotFound"
	CodeMalformedBackup            Code = "Malformed backup blob"
	CodeVaultNotFound              Code = "VaultNotFound"
	CodeForbidden                  Code = "Forbidden"
	CodeConflict                   Code = "Conflict"
	CodeThrottled                  Code = "Throttled"
	CodeUnavailable                Code = "ServiceUnavailable"
	CodeBadRequest                 Code = "BadRequest"
	CodeVaultName                  Code = "VaultNameNotValid"
	CodeVaultExists                Code = "VaultAlreadyExists"
	CodeVaultConflict              Code = "ConflictError"
	CodeDeletedVaultNotFound       Code = "DeletedVaultNotFound"
	CodeSKU                        Code = "SkuNotSupported"
	CodeNetworkAcls                Code = "NetworkAclsValidationFailure"
	CodeInsufficientPermissions    Code = "InsufficientPermissions"
	CodeMethodNotAllowed           Code = "MethodNotAllowed"
	CodeResourceNotFound           Code = "ResourceNotFound"
	CodeParentNotFound             Code = "ParentResourceNotFound"
	CodeGroupNotFound              Code = "ResourceGroupNotFound"
	CodeGroupQuota                 Code = "ResourceGroupQuotaExceeded"
	CodeGroupBeingDeleted          Code = "ResourceGroupBeingDeleted"
	CodeInvalidGroupName           Code = "InvalidResourceGroupName"
	CodeInvalidLocation            Code = "InvalidResourceLocation"
	CodeInvalidGroupLocation       Code = "InvalidResourceGroupLocation"
	CodeLocationRequired           Code = "LocationRequired"
	CodeAuthorizationFailed        Code = "AuthorizationFailed"
	CodePrincipalGone              Code = "PrincipalGone"
)

// The inner codes, which narrow Forbidden and Conflict down.
const (
	InnerSecretDisabled  = "SecretDisabled"
	InnerSecretManaged   = "SecretManagedByKeyVault"
	InnerSecretTooLarge  = "SecretTooLarge"
	InnerKeyDisabled     = "KeyDisabled"
	InnerKeyExpired      = "KeyExpired"
	InnerKeyNotYetValid  = "KeyNotYetValid"
	InnerKeyForbidden    = "KeyOperationForbidden"
	InnerKeyType         = "KeyTypeNotSupported"
	InnerKeyManaged      = "KeyManagedByKeyVault"
	InnerDeleted         = "ObjectIsDeletedButRecoverable"
	InnerBeingDeleted    = "ObjectIsBeingDeleted"
	InnerForbiddenPolicy = string(access.ForbiddenByPolicy)
)

// An Error is every refusal of this package. Message is meant for the caller; Err, the
// cause, is for the log alone.
type Error struct {
	Code       Code
	Inner      string // such as InnerDeleted, or empty
	Message    string
	RetryAfter time.Duration // for Throttled and Unavailable
	Err        error
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AuditCode is what the audit log shows as the outcome.
func (e *Error) AuditCode() string {
	if e.Inner != "" {
		return e.Inner
	}
	return string(e.Code)
}

// badProperty is the service's answer to a bad member of a policy (recorded).
func badProperty(path, detail string) *Error {
	message := fmt.Sprintf("Property %s has invalid value", path)
	if detail != "" {
		message += ". " + detail
	}
	return &Error{Code: CodeBadParameter, Message: message + "\r\n"}
}

// notFound is the service's answer to a name or version that does not exist
// (recorded; the hint's wording is ours).
func notFound(kind string, ref Ref) *Error {
	names := map[string]struct {
		code Code
		noun string
	}{
		kindCertificate: {CodeCertificateNotFound, "certificate"},
		kindSecret:      {CodeSecretNotFound, "secret"},
		kindKey:         {CodeKeyNotFound, "key"},
	}
	id := ref.Name
	if ref.Version != "" {
		id += "/" + ref.Version
	}
	return &Error{Code: names[kind].code, Message: fmt.Sprintf(
		"A %s with (name/id) %s was not found in this key vault. If you recently deleted this %s you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
		names[kind].noun, id, names[kind].noun)}
}

func pendingNotFound(ref Ref) *Error {
	return &Error{Code: CodePendingCertificateNotFound, Message: "Pending Certificate not found: " + ref.Name}
}

// conflict returns a Conflict with an inner code, or none.
func conflict(inner, format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Inner: inner, Message: fmt.Sprintf(format, args...)}
}

func deletedConflict(ref Ref) *Error {
	return conflict(InnerDeleted, "Certificate %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the certificate can only be recovered or purged.", ref.Name)
}

func beingDeletedConflict(ref Ref) *Error {
	return conflict(InnerBeingDeleted, "Certificate %s is currently being deleted and cannot be re-created; retry later.", ref.Name)
}

// explain turns what the rooms below return into an *Error where there is one to
// give; everything else stays as it is and becomes a 500 at the door.
func explain(err error) error {
	var known *Error
	var denied *gate.Denied
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &denied):
		return forbidden(denied)
	case errors.Is(err, access.ErrPrincipalGone):
		return &Error{Code: CodePrincipalGone, Message: "The principal of the token was removed or disabled.", Err: err}
	case errors.Is(err, store.ErrChanged):
		return &Error{Code: CodeConflict, Message: "The object was changed by another request at the same time; read it and try again.", Err: err}
	case errors.Is(err, store.ErrUnavailable):
		return &Error{Code: CodeUnavailable, RetryAfter: time.Second, Err: err, Message: "The store cannot be reached at this moment; nothing was changed; try again."}
	case errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrClosed):
		return &Error{Code: CodeUnavailable, RetryAfter: time.Second, Err: err,
			Message: "The store did not confirm the change; read the object to see whether it happened, and try again."}
	}
	return err
}

// forbidden is the service's answer to what the gate has denied (recorded; the firewall's
// reported).
func forbidden(d *gate.Denied) *Error {
	r, p := d.Request, d.Request.Operation.Permission
	out := &Error{Code: CodeForbidden, Inner: string(d.Decision.Reason)}
	caller := fmt.Sprintf("appid=%s;oid=%s;iss=%s", r.Caller.AppID, r.Caller.ObjectID, r.Caller.Issuer)
	vault := fmt.Sprintf("%s;location=%s", r.Subject.Vault, r.Subject.Location)
	switch d.Decision.Reason {
	case access.AuthorizationFailed:
		return &Error{Code: CodeAuthorizationFailed, Message: fmt.Sprintf(
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			r.Caller.AppID, r.Caller.ObjectID, p.Control, clipScope(r.Subject.Rules.Scope+r.Subject.Below))}
	case access.ForbiddenByRBAC:
		out.Message = fmt.Sprintf("Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n"+
			"Caller: %s\r\nAction: '%s'\r\nResource: '%s'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null\r\nVault: %s\r\n",
			caller, p.Action, fold(r.Subject.Rules.Scope+r.Subject.Below), vault)
	case access.ForbiddenByFirewall:
		out.Message = fmt.Sprintf("Client address is not authorized and caller is not a trusted service.\r\nClient address: %s\r\nCaller: %s\r\nVault: %s\r\n", r.Caller.Origin.Address, caller, vault)
	case access.ForbiddenByConnection:
		out.Message = fmt.Sprintf("Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\nCaller: %s\r\nVault: %s\r\n", caller, vault)
	default:
		out.Message = forbiddenByPolicy(r)
	}
	return out
}

// maxScope is how much of a scope an error repeats, in bytes: more than any that there is has.
const maxScope = 600

func clipScope(scope string) string {
	if len(scope) > maxScope {
		return strings.ToValidUTF8(scope[:maxScope], "") + "…"
	}
	return scope
}

// Refusal is the answer to what the gate has denied, for the doors of other rooms.
func Refusal(d *gate.Denied) *Error { return forbidden(d) }

func forbiddenByPolicy(r gate.Request) string {
	return fmt.Sprintf("The user, group or application 'appid=%s;oid=%s;numgroups=%d;iss=%s' does not have %s %s permission on key vault '%s;location=%s'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
		r.Caller.AppID, r.Caller.ObjectID, len(r.Caller.Groups), r.Caller.Issuer,
		r.Operation.Permission.Collection, r.Operation.Permission.Verb, r.Subject.Vault, r.Subject.Location)
}
