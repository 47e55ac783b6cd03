package entra

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/httpd"
)

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
	if err != nil {
		asked = &url.URL{}
	}
	host := httpd.FoldHost(asked.Host)
	public, own := slices.Contains(publicHosts, host), slices.Contains(d.Hosts, host)
	if !public && !own || asked.Scheme != "https" {
		d.refuse(w, r, unknownInstance(d.Hosts[0]))
		return
	}
	at := strings.ToLower(asked.Host)
	out := instanceDocument{
		TenantDiscoveryEndpoint: "https://" + at + "/" + d.Tenant.TenantID() + "/v2.0/.well-known/openid-configuration",
		APIVersion:              "1.1",
		Metadata:                []instanceMetadata{{publicHosts[0], publicHosts[1], publicHosts}},
	}
	if !public {
		out.Metadata = append(out.Metadata, instanceMetadata{at, at, []string{at}})
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
	id := d.Tenant.TenantID()
	if slices.Contains(aliases, tenant) {
		id = anyTenant
	}
	d.openID(w, r, tenant, "/v2.0", d.issuerV2(r, id))
}

func (d *Door) openIDv1(w http.ResponseWriter, r *http.Request, tenant string) {
	issuer := d.Tenant.Issuer()
	if slices.Contains(aliases, tenant) {
		issuer = strings.Replace(issuer, d.Tenant.TenantID(), anyTenant, 1)
	}
	d.openID(w, r, tenant, "", issuer)
}

// anyTenant stands, literally, in the issuer of an alias (recorded).
const anyTenant = "{tenantid}"

// openID writes the document. Clients take the tenant from the first segment of the
// token endpoint, so it is the one that they asked for. The authorization endpoint is
// named because clients insist on it; there is nothing at it.
func (d *Door) openID(w http.ResponseWriter, r *http.Request, tenant, version, issuer string) {
	if !d.knows(tenant) {
		d.refuse(w, r, unknownTenant("invalid_tenant", tenant, d.Tenant.TenantID()))
		return
	}
	base := "https://" + d.host(r) + "/" + tenant
	httpd.WriteJSON(w, http.StatusOK, openIDDocument{
		TokenEndpoint: base + "/oauth2" + version + "/token", TokenEndpointAuth: []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		JWKSURI: base + "/discovery" + version + "/keys", ResponseModes: []string{"query", "fragment", "form_post"},
		SubjectTypes: []string{"pairwise"}, IDTokenAlgorithms: []string{"RS256"}, ResponseTypes: []string{"code", "id_token", "code id_token", "id_token token"},
		Scopes: []string{"openid", "profile", "email", "offline_access"}, Issuer: issuer,
		AuthorizationEndpoint: base + "/oauth2" + version + "/authorize", DeviceEndpoint: base + "/oauth2" + version + "/devicecode",
		Claims:            []string{"sub", "iss", "aud", "exp", "iat", "nbf", "tid", "oid", "ver"},
		TenantRegionScope: "NA", CloudInstanceName: "microsoftonline.com", CloudGraphHostName: "graph.windows.net", MicrosoftGraphHostName: "graph.microsoft.com",
	})
}

// host is the authority in the documents: the one that was asked, with its port, if it
// is ours.
func (d *Door) host(r *http.Request) string {
	if slices.Contains(d.Hosts, httpd.Host(r)) {
		return strings.TrimSuffix(strings.ToLower(r.Host), ":443")
	}
	return d.Hosts[0]
}

// A userRealmDocument says where a user's password is checked.
type userRealmDocument struct {
	Version       string `json:"ver"`
	AccountType   string `json:"account_type"`
	DomainName    string `json:"domain_name"`
	CloudInstance string `json:"cloud_instance_name"`
	CloudAudience string `json:"cloud_audience_urn"`
}

// userRealm says of every user that the password is checked here.
func (d *Door) userRealm(w http.ResponseWriter, r *http.Request, _ string) {
	_, domain, ok := strings.Cut(r.URL.Path, "@")
	if !ok {
		domain = d.Hosts[0]
	}
	httpd.WriteJSON(w, http.StatusOK, userRealmDocument{
		Version: "1.0", AccountType: "Managed", DomainName: clip(strings.Trim(domain, "/")),
		CloudInstance: "microsoftonline.com", CloudAudience: "urn:federation:MicrosoftOnline",
	})
}
