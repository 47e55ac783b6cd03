package entra

import (
	"encoding/base64"
	"encoding/json"
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
	case errors.Is(err, tenant.ErrUnavailable):
		d.refuseToken(w, r, &tenant.Error{Code: "temporarily_unavailable", Number: tenant.NumberBusy, Message: "The store does not answer at this moment. Try again."})
	default:
		d.fail(w, r, err)
	}
}

func (d *Door) issue(w http.ResponseWriter, r *http.Request, kind endpoint) (tenant.Token, error) {
	request, err := readTokenRequest(w, r, kind)
	if err != nil {
		return tenant.Token{}, err
	}
	request.Audiences = d.audiences(r)
	if kind == endpointV2 {
		request.IdentityIssuer = d.issuerV2(r, d.Tenant.TenantID())
	}
	return d.Tenant.IssueToken(r.Context(), httpd.Origin(r), request)
}

// issuerV2 is what the v2.0 document says is the issuer.
func (d *Door) issuerV2(r *http.Request, tenant string) string {
	return "https://" + d.host(r) + "/" + tenant + "/v2.0"
}

// audiences are what an assertion that a client signed can be for: each token endpoint of
// this tenant, and its issuers, under each of our names.
func (d *Door) audiences(r *http.Request) (out []string) {
	tenants := []string{d.Tenant.TenantID()}
	if d.ownDomain {
		tenants = append(tenants, adfs)
	}
	for _, host := range append([]string{d.host(r)}, d.Hosts...) {
		for _, tenant := range tenants {
			for _, end := range []string{"/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/", ""} {
				out = append(out, "https://"+host+"/"+tenant+end)
			}
		}
	}
	return out
}

// refuseToken answers a client in the way in which it authenticated (RFC 6749, 5.2).
func (d *Door) refuseToken(w http.ResponseWriter, r *http.Request, refused *tenant.Error) {
	status := statusOf(refused)
	if _, _, basic := r.BasicAuth(); basic && status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+d.Tenant.TenantID()+`"`)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	d.refuse(w, r, failure{*refused, status})
}

type successV2 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	userSuccess
}

// userSuccess is what an answer has of a user; empty for an application.
type userSuccess struct {
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
	Family       string `json:"foci,omitempty"`
}

// clientInfo names the user to the caches of the clients.
type clientInfo struct {
	ObjectID string `json:"uid"`
	TenantID string `json:"utid"`
}

func newUserSuccess(u *tenant.UserToken) (out userSuccess) {
	if u == nil {
		return out
	}
	info, _ := json.Marshal(clientInfo{u.ObjectID, u.TenantID}) // two texts
	out = userSuccess{Scope: u.Scope, RefreshToken: u.Refresh, IDToken: u.Identity, ClientInfo: base64.RawURLEncoding.EncodeToString(info)}
	if u.Family {
		out.Family = "1"
	}
	return out
}

func newSuccessV2(t tenant.Token) successV2 {
	return successV2{TokenType: "Bearer", ExpiresIn: lifetime(t), ExtExpiresIn: lifetime(t), AccessToken: t.Raw, userSuccess: newUserSuccess(t.User)}
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
	userSuccess
}

func newSuccessV1(t tenant.Token) successV1 {
	seconds := strconv.FormatInt(lifetime(t), 10)
	return successV1{
		TokenType: "Bearer", ExpiresIn: seconds, ExtExpiresIn: seconds, ExpiresOn: strconv.FormatInt(t.Expires.Unix(), 10),
		NotBefore: strconv.FormatInt(t.NotBefore.Unix(), 10), Resource: t.Resource, AccessToken: t.Raw,
		userSuccess: newUserSuccess(t.User),
	}
}

// lifetime is in seconds.
func lifetime(t tenant.Token) int64 { return int64(t.Expires.Sub(t.NotBefore).Seconds()) }
