package dataplane

import (
	"errors"
	"fmt"
	"net/http"

	"coffer/internal/httpd"
	"coffer/internal/token"
)

// An unauthorizedError is a 401.
type unauthorizedError struct {
	message string
}

func (e *unauthorizedError) Error() string { return e.message }

// challenge sets the header by which clients learn where to get a token. The form is
// the service's to the space: clients take it apart at spaces and commas.
func (d *Door) challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s", resource="%s"`, d.Authority, d.Resource))
}

// unauthorized turns what is wrong with a token into the service's words (recorded for
// the missing token; reported for audience, issuer and key).
func (d *Door) unauthorized(r *http.Request, err error) error {
	var bad *token.Error
	switch {
	case errors.Is(err, httpd.ErrNoToken):
		return &unauthorizedError{message: "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."}
	case errors.As(err, &bad):
		d.Rejected(r.Context(), httpd.Origin(r), string(bad.Reason))
		return &unauthorizedError{message: d.tokenMessage(bad)}
	}
	return err
}

func (d *Door) tokenMessage(bad *token.Error) string {
	switch bad.Reason {
	case token.WrongAudience:
		return fmt.Sprintf("AKV10022: Invalid audience. Expected %s, found: %s.", d.Resource, clip(bad.Found))
	case token.UnknownIssuer, token.WrongTenant:
		return fmt.Sprintf("AKV10032: Invalid issuer. Expected one of %s, found %s.", d.Issuer, clip(bad.Found))
	case token.UnknownKey:
		return "AKV10046: Unable to resolve the key used for signature validation."
	case token.Expired:
		return "AKV10047: The token has expired; get a new one."
	case token.NotYetValid:
		return "AKV10049: The token is not valid yet; check the clock of this machine and of the one that issued it."
	}
	return "AKV10045: The token cannot be validated."
}
