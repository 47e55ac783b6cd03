// Package entra is the door of the authority hosts: discovery documents, signing keys,
// and tokens, as the service's identity platform speaks HTTP. What an application is
// and when it gets a token is decided in tenant.
//
// The paths, with {tenant} the tenant's GUID, "common", "organizations" or "adfs":
//
//	/common/discovery/instance                         instance discovery
//	/{tenant}/v2.0/.well-known/openid-configuration    and without v2.0
//	/{tenant}/discovery/v2.0/keys                      and without v2.0
//	/{tenant}/oauth2/v2.0/token                        and without v2.0
//	/common/userrealm/{name}
//
// On an own domain the clients are told the tenant "adfs", because they ask the public
// cloud about every other authority they do not know.
package entra

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// A Config wires a Door.
type Config struct {
	Tenant *tenant.Service
	// Hosts are the names of this authority; the first is the one that the documents
	// name.
	Hosts []string
	Log   *slog.Logger
	Now   func() time.Time
}

// A Door answers for the authority hosts.
type Door struct{ Config }

// New returns the door.
func New(c Config) *Door { return &Door{Config: c} }

// adfs is the tenant name of an authority on an own domain.
const adfs = "adfs"

// aliases are the tenant names that stand for any tenant.
var aliases = []string{"common", "organizations"}

// A route is one line of the table. Patterns are compared without regard to case.
type route struct {
	method, pattern string
	handle          func(d *Door, w http.ResponseWriter, r *http.Request, tenant string)
}

func (d *Door) routes() []route {
	return []route{
		{"GET", "common/discovery/instance", (*Door).instance},
		{"GET", "common/userrealm/{name}", (*Door).userRealm},
		{"GET", "{tenant}/v2.0/.well-known/openid-configuration", (*Door).openIDv2},
		{"GET", "{tenant}/.well-known/openid-configuration", (*Door).openIDv1},
		{"GET", "{tenant}/discovery/v2.0/keys", (*Door).keys},
		{"GET", "{tenant}/discovery/keys", (*Door).keys},
		{"POST", "{tenant}/oauth2/v2.0/token", (*Door).tokenV2},
		{"POST", "{tenant}/oauth2/token", (*Door).tokenV1},
	}
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("x-ms-request-id", httpd.RequestID(r.Context()))
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	wrongMethod := false
	for _, route := range d.routes() {
		tenant, ok := fits(route.pattern, segments)
		if !ok {
			continue
		}
		if route.method != r.Method {
			wrongMethod = true
			continue
		}
		route.handle(d, w, r, tenant)
		return
	}
	if wrongMethod {
		d.writeError(w, r, http.StatusMethodNotAllowed, "invalid_request", 900561, "The endpoint does not accept "+clip(r.Method)+" requests.")
		return
	}
	d.writeError(w, r, http.StatusNotFound, "invalid_request", 90019, "This endpoint is not served here. There are discovery documents, keys and the token endpoints, at /"+d.Tenant.TenantID()+"/….")
}

// fits compares a path with a pattern and returns what is at {tenant}.
func fits(pattern string, segments []string) (tenant string, ok bool) {
	words := strings.Split(pattern, "/")
	if len(words) != len(segments) {
		return "", false
	}
	for i, word := range words {
		switch {
		case segments[i] == "":
			return "", false
		case word == "{tenant}":
			tenant = strings.ToLower(segments[i])
		case word != "{name}" && !strings.EqualFold(word, segments[i]):
			return "", false
		}
	}
	return tenant, true
}

// known reports whether a path's tenant is ours, by its id or a word for any.
func (d *Door) known(tenant string) bool {
	return tenant == d.Tenant.TenantID() || tenant == adfs || slices.Contains(aliases, tenant)
}

// host is the authority in the documents: the one that was asked, if it is ours.
func (d *Door) host(r *http.Request) string {
	if slices.Contains(d.Hosts, httpd.Host(r)) {
		return strings.ToLower(strings.TrimSuffix(r.Host, ":443"))
	}
	return d.Hosts[0]
}

// publicHosts are the authority of the public cloud; an instance document lists them
// as one.
var publicHosts = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

type instanceDocument struct {
	TenantDiscoveryEndpoint string             `json:"tenant_discovery_endpoint"`
	APIVersion              string             `json:"api-version"`
	Metadata                []instanceMetadata `json:"metadata"`
}

type instanceMetadata struct {
	PreferredNetwork string   `json:"preferred_network"`
	PreferredCache   string   `json:"preferred_cache"`
	Aliases          []string `json:"aliases"`
}

// instance tells a client whether an authority is to be trusted: the public names,
// which lead here, and our own.
func (d *Door) instance(w http.ResponseWriter, r *http.Request, _ string) {
	asked, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	host := ""
	if err == nil {
		host = httpd.FoldHost(asked.Host)
	}
	if !slices.Contains(publicHosts, host) && !slices.Contains(d.Hosts, host) {
		d.writeError(w, r, http.StatusBadRequest, "invalid_instance", 50049, "Unknown or invalid instance. This server is the authority "+d.Hosts[0]+".")
		return
	}
	out := instanceDocument{
		TenantDiscoveryEndpoint: "https://" + strings.ToLower(asked.Host) + "/" + d.Tenant.TenantID() + "/v2.0/.well-known/openid-configuration",
		APIVersion:              "1.1",
		Metadata:                []instanceMetadata{{publicHosts[0], publicHosts[1], publicHosts}},
	}
	if !slices.Contains(publicHosts, host) {
		out.Metadata = append(out.Metadata, instanceMetadata{host, host, []string{host}})
	}
	httpd.WriteJSON(w, http.StatusOK, out)
}

type openIDDocument struct {
	TokenEndpoint          string   `json:"token_endpoint"`
	TokenEndpointAuth      []string `json:"token_endpoint_auth_methods_supported"`
	JWKSURI                string   `json:"jwks_uri"`
	ResponseModes          []string `json:"response_modes_supported"`
	SubjectTypes           []string `json:"subject_types_supported"`
	IDTokenAlgorithms      []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes          []string `json:"response_types_supported"`
	Scopes                 []string `json:"scopes_supported"`
	Issuer                 string   `json:"issuer"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint"`
	DeviceEndpoint         string   `json:"device_authorization_endpoint"`
	Claims                 []string `json:"claims_supported"`
	TenantRegionScope      string   `json:"tenant_region_scope"`
	CloudInstanceName      string   `json:"cloud_instance_name"`
	CloudGraphHostName     string   `json:"cloud_graph_host_name"`
	MicrosoftGraphHostName string   `json:"msgraph_host"`
}

func (d *Door) openIDv2(w http.ResponseWriter, r *http.Request, tenant string) {
	issuer := "https://" + d.host(r) + "/" + d.issuerTenant(tenant) + "/v2.0"
	d.openID(w, r, tenant, "/v2.0", issuer)
}

func (d *Door) openIDv1(w http.ResponseWriter, r *http.Request, tenant string) {
	issuer := d.Tenant.Issuer()
	if slices.Contains(aliases, tenant) {
		issuer = strings.Replace(issuer, d.Tenant.TenantID(), "{tenantid}", 1)
	}
	d.openID(w, r, tenant, "", issuer)
}

// issuerTenant is the tenant in an issuer: literally {tenantid} for the aliases.
func (d *Door) issuerTenant(tenant string) string {
	if slices.Contains(aliases, tenant) {
		return "{tenantid}"
	}
	return d.Tenant.TenantID()
}

func (d *Door) openID(w http.ResponseWriter, r *http.Request, tenant, version, issuer string) {
	if !d.known(tenant) {
		d.writeError(w, r, http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '"+clip(tenant)+"' not found. The tenant of this server is "+d.Tenant.TenantID()+".")
		return
	}
	base := "https://" + d.host(r) + "/" + tenant
	httpd.WriteJSON(w, http.StatusOK, openIDDocument{
		TokenEndpoint: base + "/oauth2" + version + "/token", TokenEndpointAuth: []string{"client_secret_post", "client_secret_basic"},
		JWKSURI: base + "/discovery" + version + "/keys", ResponseModes: []string{"query", "fragment", "form_post"},
		SubjectTypes: []string{"pairwise"}, IDTokenAlgorithms: []string{"RS256"}, ResponseTypes: []string{"code", "id_token", "code id_token", "id_token token"},
		Scopes: []string{"openid", "profile", "email", "offline_access"}, Issuer: issuer,
		AuthorizationEndpoint: base + "/oauth2" + version + "/authorize", DeviceEndpoint: base + "/oauth2" + version + "/devicecode",
		Claims:            []string{"sub", "iss", "aud", "exp", "iat", "nbf", "tid", "oid", "ver"},
		TenantRegionScope: "NA", CloudInstanceName: "microsoftonline.com", CloudGraphHostName: "graph.windows.net", MicrosoftGraphHostName: "graph.microsoft.com",
	})
}

// keys is the JWKS document. A key that is in the making is waited for.
func (d *Door) keys(w http.ResponseWriter, r *http.Request, tenant string) {
	if !d.known(tenant) {
		d.writeError(w, r, http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '"+clip(tenant)+"' not found.")
		return
	}
	keys, err := d.Tenant.PublicKeys(r.Context())
	if err != nil {
		d.internalError(w, r, err)
		return
	}
	out := jwks{Keys: []signingKey{}}
	for _, k := range keys {
		key, err := newSigningKey(k, d.Tenant.Issuer())
		if err != nil {
			d.internalError(w, r, err)
			return
		}
		out.Keys = append(out.Keys, key)
	}
	httpd.WriteJSON(w, http.StatusOK, out)
}

// userRealm says of every user that the password is asked for here.
func (d *Door) userRealm(w http.ResponseWriter, _ *http.Request, _ string) {
	httpd.WriteJSON(w, http.StatusOK, map[string]string{
		"ver": "1.0", "account_type": "Managed", "domain_name": d.Hosts[0],
		"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline",
	})
}

func clip(text string) string {
	if len(text) > 100 {
		return strings.ToValidUTF8(text[:100], "")
	}
	return text
}
