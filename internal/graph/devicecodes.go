package graph

import (
	"errors"
	"net/http"

	"coffer/internal/tenant"
)

// deviceBody names a device code by what its client shows, and the user who signs in.
type deviceBody struct {
	UserCode          string `json:"userCode"`
	UserPrincipalName string `json:"userPrincipalName"`
}

// approveDeviceCode and declineDeviceCode are Coffer's own: the service has a page of the
// browser for it, on which the user types the code.
func (d *Door) approveDeviceCode(r request) (answer, error) {
	var body deviceBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	return noContent(deviceFailure(d.Tenant.ApproveDeviceCode(r.ctx, r.caller, body.UserCode, body.UserPrincipalName), body))
}

func (d *Door) declineDeviceCode(r request) (answer, error) {
	var body deviceBody
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	return noContent(deviceFailure(d.Tenant.DeclineDeviceCode(r.ctx, r.caller, body.UserCode), body))
}

func deviceFailure(err error, body deviceBody) error {
	switch {
	case errors.Is(err, tenant.ErrNoDeviceCode):
		return &failure{http.StatusNotFound, "Request_ResourceNotFound",
			"'" + clip(body.UserCode) + "' is no code that a client shows: it has ten letters, and one of these is mistyped."}
	case errors.Is(err, tenant.ErrNotFound) && body.UserPrincipalName == "":
		return badRequest("Say whom the client is to sign in, as userPrincipalName: the caller is no user.")
	case errors.Is(err, tenant.ErrNotFound):
		return &failure{http.StatusNotFound, "Request_ResourceNotFound", "There is no user '" + clip(body.UserPrincipalName) + "'."}
	case errors.Is(err, tenant.ErrDecided):
		return badRequest("This code was approved or declined before. Begin the sign-in anew for another code.")
	}
	return err
}
