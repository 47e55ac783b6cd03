package entra

import (
	"errors"
	"net/http"
	"strconv"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// An endpoint is one of the forms of the token endpoint.
type endpoint int

const (
	endpointV2   endpoint = iota // scope; numbers are numbers
	endpointV1                   // resource; numbers are strings
	endpointADFS                 // either; numbers are numbers
)

func (d *Door) tokenV2(w http.ResponseWriter, r *http.Request, tenant string) {
	d.token(w, r, tenant, endpointV2)
}

// tokenV1 is the older endpoint. In the adfs form of an own domain it is the only one,
// and speaks as the newer does.
func (d *Door) tokenV1(w http.ResponseWriter, r *http.Request, tenant string) {
	kind := endpointV1
	if tenant == adfs {
		kind = endpointADFS
	}
	d.token(w, r, tenant, kind)
}

func (d *Door) token(w http.ResponseWriter, r *http.Request, name string, kind endpoint) {
	if !d.knows(name) {
		d.refuse(w, r, unknownTenant("invalid_request", name, d.Tenant.TenantID()))
		return
	}
	issued, err := d.issue(w, r, kind)
	var refused *tenant.Error
	switch {
	case err == nil && kind == endpointV1:
		httpd.WriteJSON(w, http.StatusOK, newSuccessV1(issued))
	case err == nil:
		httpd.WriteJSON(w, http.StatusOK, newSuccessV2(issued))
	case !errors.Is(err, gate.ErrAudit) && errors.As(err, &refused):
		d.refuseToken(w, r, refused)
	default:
		d.fail(w, r, err)
	}
}

func (d *Door) issue(w http.ResponseWriter, r *http.Request, kind endpoint) (tenant.Token, error) {
	request, err := readTokenRequest(w, r, kind)
	if err != nil {
		return tenant.Token{}, err
	}
	return d.Tenant.IssueToken(r.Context(), httpd.Origin(r), request)
}

// refuseToken answers a client in the way in which it authenticated (RFC 6749, 5.2).
func (d *Door) refuseToken(w http.ResponseWriter, r *http.Request, refused *tenant.Error) {
	status := statusOf(refused)
	if _, _, basic := r.BasicAuth(); basic && status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+d.Tenant.TenantID()+`"`)
	}
	d.refuse(w, r, failure{*refused, status})
}

type successV2 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
}

func newSuccessV2(t tenant.Token) successV2 {
	return successV2{TokenType: "Bearer", ExpiresIn: lifetime(t), ExtExpiresIn: lifetime(t), AccessToken: t.Raw}
}

// successV1 is also the form of the instance metadata service.
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

func newSuccessV1(t tenant.Token) successV1 {
	seconds := strconv.FormatInt(lifetime(t), 10)
	return successV1{
		TokenType: "Bearer", ExpiresIn: seconds, ExtExpiresIn: seconds, ExpiresOn: strconv.FormatInt(t.Expires.Unix(), 10),
		NotBefore: strconv.FormatInt(t.NotBefore.Unix(), 10), Resource: t.Resource, AccessToken: t.Raw,
	}
}

// lifetime is in seconds.
func lifetime(t tenant.Token) int64 { return int64(t.Expires.Sub(t.NotBefore).Seconds()) }
