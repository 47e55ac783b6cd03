// Package entra is the door of the authority hosts: discovery documents, signing keys,
// and tokens, as the service's identity platform speaks HTTP. What an application is
// and when it gets a token is decided in tenant.
//
// The paths, with {tenant} the tenant's GUID, its domain, "common", "organizations" or "adfs":
//
//	/common/discovery/instance                         instance discovery
//	/{tenant}/v2.0/.well-known/openid-configuration    and without v2.0
//	/{tenant}/discovery/v2.0/keys                      and without v2.0
//	/{tenant}/oauth2/v2.0/token                        and without v2.0
//	/{tenant}/oauth2/v2.0/devicecode                   and without v2.0
//	/common/userrealm/{name}
//
// Paths are compared without regard to case, as the service does.
//
// # Two kinds of authority
//
// Under the names of the public cloud, clients name the tenant by its GUID, and their
// libraries know the hosts. On an own domain they are told the tenant "adfs", because
// they ask the public cloud about every other authority that they do not know. The adfs
// forms of the paths have no v2.0, and speak as the v2.0 ones do. Which kind this is
// follows from Config.Hosts.
//
// # Answers
//
// Applications get tokens by a secret or an assertion, users by a password, a refresh token
// or a device code; there is no page to sign in at. Every refusal is one JSON object with OAuth's word, the
// service's number (AADSTS…) and a text that the clients show as it is. Nothing that a
// request held as a secret is in it.
//
// Metadata is a second, small door: the instance metadata service of a virtual machine,
// as far as it gives out tokens of a managed identity.
package entra

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// A Config wires a Door.
type Config struct {
	Tenant *tenant.Service
	// Hosts are the names of this authority, in lower case and without port; the first
	// is the one that documents name when a request has none of them.
	Hosts []string
	// Domain is another name of the tenant, in lower case; empty: there is none.
	Domain string
	Log    *slog.Logger
	Now    func() time.Time // for the timestamps of errors
}

// A Door answers for the authority hosts.
type Door struct {
	Config
	ownDomain bool // not under names of the public cloud
	routes    []route
}

// A route is one line of the table: a method, the words of a path, and who answers.
type route struct {
	method string
	words  []string
	handle func(w http.ResponseWriter, r *http.Request, tenant string)
}

// adfs is the tenant name of an authority on an own domain.
const adfs = "adfs"

// aliases are the tenant names that stand for any tenant.
var aliases = []string{"common", "organizations"}

// publicHosts are the authority of the public cloud; an instance document lists them
// as one.
var publicHosts = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

// New returns the door.
func New(c Config) *Door {
	d := &Door{Config: c, ownDomain: !slices.Contains(publicHosts, c.Hosts[0])}
	d.route(http.MethodGet, "common/discovery/instance", d.instance)
	d.route(http.MethodGet, "common/userrealm/{name}", d.userRealm)
	d.route(http.MethodGet, "{tenant}/v2.0/.well-known/openid-configuration", d.openIDv2)
	d.route(http.MethodGet, "{tenant}/.well-known/openid-configuration", d.openIDv1)
	d.route(http.MethodGet, "{tenant}/discovery/v2.0/keys", d.keys)
	d.route(http.MethodGet, "{tenant}/discovery/keys", d.keys)
	d.route(http.MethodPost, "{tenant}/oauth2/v2.0/token", d.tokenV2)
	d.route(http.MethodPost, "{tenant}/oauth2/token", d.tokenV1)
	d.route(http.MethodPost, "{tenant}/oauth2/v2.0/devicecode", d.deviceV2)
	d.route(http.MethodPost, "{tenant}/oauth2/devicecode", d.deviceV1)
	d.route(http.MethodGet, "device", d.devicePage)
	return d
}

func (d *Door) route(method, pattern string, handle func(http.ResponseWriter, *http.Request, string)) {
	d.routes = append(d.routes, route{method, strings.Split(pattern, "/"), handle})
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
	for _, route := range d.routes {
		tenant, ok := route.fits(segments)
		if d.Domain != "" && tenant == d.Domain { // documents name the id, by which clients go on
			tenant = d.Tenant.TenantID()
		}
		switch {
		case !ok:
			continue
		case route.method != r.Method:
			h.Set("Allow", route.method)
			d.refuse(w, r, wrongMethod(r.Method))
		default:
			route.handle(w, r, tenant)
		}
		return
	}
	d.refuse(w, r, notServed(d.Tenant.TenantID()))
}

// fits compares a path and returns what is at {tenant}, in lower case. No two routes
// fit the same path.
func (r route) fits(segments []string) (tenant string, ok bool) {
	if len(r.words) != len(segments) {
		return "", false
	}
	for i, word := range r.words {
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

// knows reports whether a path's tenant is ours: by its id, by a word for any, or by
// the one for an own domain.
func (d *Door) knows(tenant string) bool {
	return tenant == d.Tenant.TenantID() || slices.Contains(aliases, tenant) || d.ownDomain && tenant == adfs
}
