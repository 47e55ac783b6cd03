// Package dataplane is the door of the vaults: certificates, secrets and keys, as the
// service's data plane speaks HTTP. It turns a request into one call of vault.Service
// and the answer into JSON. It has no rules of its own.
//
// The order in which a request is looked at is the service's: token, route, version
// and syntax, and then everything that needs the vault. So whoever has no token gets
// the challenge, whatever else is wrong; every client library relies on it.
//
// To find something: routes.go has the table of all routes; certificates.go, pending.go,
// issuers.go, secrets.go, keys.go and keyops.go what they call; convert.go the way
// between wire and vault types; errors.go the one table from error codes to HTTP;
// challenge.go the 401.
package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/vault"
)

// A Config wires a Door.
type Config struct {
	Vaults *vault.Service
	Auth   httpd.Authenticator
	// Rejected is told of every token that is not accepted.
	Rejected  func(ctx context.Context, o access.Origin, reason string)
	Suffix    string   // of the hosts: "vault.azure.net"
	Audiences []string // that tokens may have
	Authority string   // of the challenge: "https://login.microsoftonline.com/TENANT"
	Issuer    string   // of the tokens that are accepted, claim iss
	Resource  string   // of the challenge: "https://vault.azure.net"
	Region    string   // shown in a header
	Log       *slog.Logger
	// Limit says how long a caller has to wait before an operation on a vault; 0: not at all.
	// nil: nobody waits.
	Limit func(caller access.Caller, vault, operation string) time.Duration
}

// A Door answers for all vaults, by the first label of the host.
type Door struct {
	Config
	always map[string][]string // headers of every answer; the slices are shared and never changed
}

// New returns the door.
func New(c Config) *Door {
	return &Door{Config: c, always: map[string][]string{
		"Cache-Control": {"no-cache"}, "Pragma": {"no-cache"}, "Expires": {"-1"},
		"Strict-Transport-Security": {"max-age=31536000;includeSubDomains"}, "X-Content-Type-Options": {"nosniff"},
		"X-Ms-Keyvault-Region": {c.Region}, "X-Ms-Keyvault-Service-Version": {serviceVersion},
	}}
}

// The bounds of a request's body, in bytes. An import with a chain fits in easily; a
// backup of 500 versions needs more.
const (
	maxBody    = 1 << 20
	maxRestore = 12 << 20
)

// serviceVersion is what the service reports of itself; clients log it.
const serviceVersion = "1.9.3347.1"

// A request is what a handler needs to know.
type request struct {
	ctx     context.Context
	caller  access.Caller
	ref     vault.Ref
	version version
	query   url.Values
	base    string // "https://demo.vault.azure.net": ids are on the host that the client used
	link    string // the same with an explicit port, as the service writes nextLink
	path    string
	body    []byte
}

// An answer is what a handler wants to say. Body nil means no body.
type answer struct {
	status int
	body   any
	header map[string]string
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.setHeaders(w, r)
	out, err := d.answer(w, r)
	if err != nil {
		d.writeError(w, r, err)
		return
	}
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	if out.body == nil {
		w.WriteHeader(out.status)
		return
	}
	httpd.WriteJSON(w, out.status, out.body)
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request) (answer, error) {
	caller, err := httpd.Authenticate(r, d.Auth, d.Audiences)
	if err != nil {
		return answer{}, d.unauthorized(r, err)
	}
	out, err := d.handle(w, r, caller)
	if err == nil {
		return out, nil
	}
	// Whoever is no principal any more gets the challenge, whatever else is wrong.
	var gone *vault.Error
	if err := d.Vaults.CheckCaller(r.Context(), caller); errors.As(err, &gone) && gone.Code == vault.CodePrincipalGone {
		return answer{}, gone
	}
	return answer{}, err
}

func (d *Door) handle(w http.ResponseWriter, r *http.Request, caller access.Caller) (answer, error) {
	route, ref, err := match(r)
	if err != nil {
		return answer{}, err
	}
	ref.Vault, _, _ = strings.Cut(httpd.Host(r), ".")
	req := request{ctx: r.Context(), caller: caller, ref: ref, query: r.URL.Query(), path: r.URL.Path}
	if req.version, err = parseVersion(req.query); err != nil {
		return answer{}, err
	}
	if req.version.before(route.since) {
		return answer{}, &methodError{method: r.Method}
	}
	if err := validRef(ref); err != nil {
		return answer{}, err
	}
	if err := d.limit(caller, ref, route); err != nil {
		return answer{}, err
	}
	req.base, req.link = bases(r)
	if req.body, err = readBody(w, r, route); err != nil {
		return answer{}, err
	}
	return route.handle(d, req)
}

// limit refuses a request beyond the limits, with the service's code and text (reported).
func (d *Door) limit(caller access.Caller, ref vault.Ref, route *route) error {
	if d.Limit == nil {
		return nil
	}
	wait := d.Limit(caller, strings.ToLower(ref.Vault), route.operation.Name)
	if wait <= 0 {
		return nil
	}
	return &vault.Error{
		Code: vault.CodeThrottled, RetryAfter: wait,
		Message: "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
	}
}

// bases returns the address of the vault as the client used it, without and with an
// explicit port.
func bases(r *http.Request) (base, link string) {
	host := strings.ToLower(r.Host)
	base = "https://" + strings.TrimSuffix(host, ":443")
	if _, port, ok := strings.Cut(host, ":"); ok && port != "" {
		return base, "https://" + host
	}
	return base, base + ":443"
}

func readBody(w http.ResponseWriter, r *http.Request, route *route) ([]byte, error) {
	if !route.takesBody {
		return nil, nil
	}
	limit := int64(maxBody)
	if strings.HasSuffix(route.pattern, "/restore") {
		limit = maxRestore
	}
	body, err := httpd.ReadBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return body, httpd.CheckJSONType(r)
}

// setHeaders sets what every answer of the service has (recorded).
func (d *Door) setHeaders(w http.ResponseWriter, r *http.Request) {
	h, origin := w.Header(), httpd.Origin(r)
	maps.Copy(h, d.always)
	values := []string{origin.RequestID, networkInfo(origin), origin.CorrelationID}
	h["X-Ms-Request-Id"], h["X-Ms-Keyvault-Network-Info"] = values[:1:1], values[1:2:2]
	if origin.CorrelationID != "" {
		h["X-Ms-Client-Request-Id"] = values[2:]
	}
}

func networkInfo(o access.Origin) string {
	if o.Address.Is6() {
		return "conn_type=Ipv6;addr=" + o.Address.String() + ";act_addr_fam=InterNetworkV6;"
	}
	return "conn_type=Ipv4;addr=" + o.Address.String() + ";act_addr_fam=InterNetwork;"
}
