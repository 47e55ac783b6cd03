package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
	"coffer/internal/token"
	"coffer/internal/vault"
)

// A failure is a refusal of the door's own.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// statuses is the one table from the codes of the rules to HTTP.
var statuses = map[vault.Code]int{
	vault.CodeBadRequest: 400, vault.CodeVaultName: 400, vault.CodeVaultExists: 409, vault.CodeVaultConflict: 409, vault.CodeDeletedVaultNotFound: 404,
	vault.CodeSKU: 400, vault.CodeNetworkAcls: 400, vault.CodeInsufficientPermissions: 400, vault.CodeMethodNotAllowed: 405, vault.CodeResourceNotFound: 404,
	vault.CodeParentNotFound: 404, vault.CodeGroupNotFound: 404, vault.CodeGroupBeingDeleted: 409, vault.CodeGroupQuota: 409, vault.CodeInvalidGroupName: 400, vault.CodeInvalidLocation: 409,
	vault.CodeInvalidGroupLocation: 409, vault.CodeLocationRequired: 400, vault.CodeAuthorizationFailed: 403,
	vault.CodeUnavailable: 503, vault.CodeThrottled: 429, vault.CodePrincipalGone: 401,
}

// byProvider are the codes of the provider of vaults. All others are of what stands in front
// of the providers.
var byProvider = map[string]bool{
	string(vault.CodeBadRequest): true, string(vault.CodeVaultName): true, string(vault.CodeVaultExists): true, string(vault.CodeVaultConflict): true,
	string(vault.CodeDeletedVaultNotFound): true, string(vault.CodeSKU): true, string(vault.CodeNetworkAcls): true, string(vault.CodeInsufficientPermissions): true,
	string(vault.CodeMethodNotAllowed): true, "RegionNotSupported": true,
}

// roleErrors are the refusals of roles. The texts are those by which clients know them.
var roleErrors = []struct {
	err    error
	status int
	code   string
	text   string
}{
	{tenant.ErrAssignmentExists, 409, "RoleAssignmentExists", "The role assignment already exists."},
	{tenant.ErrAssignmentNotFound, 404, "RoleAssignmentNotFound", "The role assignment does not exist at this scope."},
	{tenant.ErrAssignmentFixed, 403, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."},
	{tenant.ErrPrincipalUnknown, 400, "PrincipalNotFound", "The principal does not exist in the directory of this tenant. Check that you have the correct principal ID."},
	{tenant.ErrPrincipalType, 400, "UnmatchedPrincipalType", "The principal has another type than the request says."},
	{tenant.ErrRoleBuiltIn, 403, "RoleDefinitionUpdateNotPermitted", "A built-in role definition cannot be changed."},
	{tenant.ErrRoleInUse, 400, "RoleDefinitionHasAssignments", "There are existing role assignments referencing the role definition; remove them first."},
	{tenant.ErrRoleNameTaken, 409, "RoleDefinitionWithSameNameExists", "Another role definition has this name."},
	{tenant.ErrTooManyAssignments, 400, "RoleAssignmentLimitExceeded", "The number of role assignments is at its limit; remove some first."},
	{tenant.ErrTooManyRolesDefined, 400, "RoleDefinitionLimitExceeded", "The number of custom roles is at its limit; remove some first."},
	{tenant.ErrRolesTooLarge, 400, "RoleDefinitionLimitExceeded", "The role definitions and assignments take more room than there is; remove some, or make their descriptions shorter, first."},
	{tenant.ErrRoleNotFound, 404, "RoleDefinitionDoesNotExist", "The role definition does not exist, or cannot be assigned at this scope."},
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (d *Door) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := d.wireError(w, r, err)
	if status == 0 { // the client has gone
		return
	}
	if !byProvider[detail.Code] { // recorded: what is refused in front of the provider says so
		w.Header().Del(keyVaultVersion)
		w.Header().Set("x-ms-failure-cause", "gateway")
	}
	httpd.WriteJSON(w, status, errorBody{detail})
}

func (d *Door) wireError(w http.ResponseWriter, r *http.Request, err error) (int, errorDetail) {
	var own *failure
	var rule *vault.Error
	var denied *gate.Denied
	var wrongType *json.UnmarshalTypeError
	for _, known := range roleErrors {
		if errors.Is(err, known.err) {
			return known.status, errorDetail{known.code, known.text}
		}
	}
	switch {
	case errors.As(err, &own):
		if own.status == http.StatusUnauthorized {
			d.challenge(w, own.message)
		}
		return own.status, errorDetail{own.code, own.message}
	case errors.As(err, &denied):
		rule = vault.Refusal(denied)
		return statuses[rule.Code], errorDetail{string(rule.Code), rule.Message}
	case errors.As(err, &rule) && rule.Code == vault.CodePrincipalGone:
		d.Rejected(r.Context(), httpd.Origin(r), "PrincipalGone")
		d.challenge(w, rule.Message)
		return http.StatusUnauthorized, errorDetail{"InvalidAuthenticationToken", rule.Message}
	case errors.As(err, &rule) && rule.Code == vault.CodeConflict: // writes at once to one vault
		return http.StatusConflict, errorDetail{string(vault.CodeVaultConflict), rule.Message}
	case errors.As(err, &rule) && statuses[rule.Code] != 0:
		if rule.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(rule.RetryAfter.Seconds()))))
		}
		return statuses[rule.Code], errorDetail{string(rule.Code), rule.Message}
	case errors.Is(err, tenant.ErrUnavailable):
		w.Header().Set("Retry-After", "1")
		return http.StatusServiceUnavailable, errorDetail{string(vault.CodeUnavailable), "The store did not confirm the change; read the resource to see whether it happened, and try again."}
	case errors.As(err, &wrongType):
		return http.StatusBadRequest, errorDetail{"InvalidRequestContent", "The request content was invalid: the member '" + clip(wrongType.Field) + "' has another type."}
	case errors.Is(err, httpd.ErrNotJSON), errors.Is(err, httpd.ErrBodyTruncated):
		return http.StatusBadRequest, errorDetail{"InvalidRequestContent", "The request content was invalid and could not be deserialized: it is no JSON object."}
	case errors.Is(err, httpd.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge, errorDetail{"RequestContentTooLarge", "The request content is too large: at most 4 MiB."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return 0, errorDetail{}
	}
	id := httpd.RequestID(r.Context())
	d.Log.Error("a request failed", "request", id, "method", r.Method, "path", clip(r.URL.Path), "error", err)
	if gate.Unlogged(err) {
		w.Header().Set("Retry-After", "1")
		return http.StatusServiceUnavailable, errorDetail{string(vault.CodeUnavailable), "The server cannot write its audit log, so it does not answer; try again. Its log says more, at request " + id + "."}
	}
	return http.StatusInternalServerError, errorDetail{"InternalServerError", "The server failed while it handled the request; see its log for request " + id + "."}
}

// unauthorized is the answer to a token that is missing or not accepted.
func (d *Door) unauthorized(r *http.Request, err error) error {
	var refused *token.Error
	switch {
	case errors.Is(err, httpd.ErrNoToken):
		return fail(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	case !errors.As(err, &refused):
		return err
	}
	d.Rejected(r.Context(), httpd.Origin(r), string(refused.Reason))
	switch refused.Reason {
	case token.Expired:
		return fail(http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token has expired. Get a new one and repeat the request.")
	case token.WrongAudience:
		return fail(http.StatusUnauthorized, "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource '%s'. It should exactly match one of the allowed audiences '%s'.", clip(refused.Found), d.Audiences[0])
	case token.WrongTenant, token.UnknownIssuer:
		return fail(http.StatusUnauthorized, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer. It must match the tenant '%s' associated with this subscription.", d.Tenant.TenantID())
	}
	return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
}

// challenge names the tenant; tools learn it from an anonymous request.
func (d *Door) challenge(w http.ResponseWriter, description string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri="%s", error="invalid_token", error_description="%s"`, d.Authority, challengeText(description)))
}

// challengeText keeps a text fit for a quoted parameter of a header.
func challengeText(text string) string {
	out := []rune{}
	for _, c := range text {
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			out = append(out, c)
		}
	}
	return string(out)
}
