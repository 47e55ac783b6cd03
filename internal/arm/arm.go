// Package arm is the door of the control plane: the part of Azure Resource Manager that
// set-up tools use for vaults. It turns a request into one call of vault.Service or
// tenant.Service and the answer into JSON. It has no rules of its own.
//
// To find something: routes.go has the table of all routes; subscriptions.go, groups.go,
// vaults.go, deleted.go and roles.go what they call; wire.go the JSON types; errors.go the
// one table from error codes to HTTP; metadata.go the document that describes the cloud.
//
// Paths are compared without regard to case, and ids are echoed as they were created. There
// is one subscription; its id is that of the tenant.
package arm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
	"coffer/internal/vault"
)

// A Config wires a Door.
type Config struct {
	Vaults *vault.Service
	Tenant *tenant.Service
	Auth   httpd.Authenticator
	// Rejected is told of every token that is not accepted.
	Rejected  func(ctx context.Context, o access.Origin, reason string)
	Audiences []string // that tokens may have
	Authority string   // of the challenge: "https://login.microsoftonline.com/TENANT"
	VaultURI  func(name string) string
	Region    string // that vaults get under `coffer run`, beside those of the public cloud
	Cloud     Cloud
	Log       *slog.Logger
}

// A Door answers for the hosts of the control plane.
type Door struct{ Config }

// New returns the door.
func New(c Config) *Door { return &Door{Config: c} }

const maxBody = 4 << 20 // bytes; 1,024 access policies fit in

// A request is what a handler needs to know.
type request struct {
	ctx     context.Context
	caller  access.Caller
	params  map[string]string // by the word in braces of the pattern
	scope   string            // before /providers/Microsoft.Authorization
	version string
	query   url.Values
	body    []byte
	base    string // "https://management.azure.com"
}

// An answer is what a handler wants to say. Body nil means no body.
type answer struct {
	status int
	body   any
	header map[string]string
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w, r)
	out, err := d.answer(w, r)
	if err != nil {
		d.writeError(w, r, err)
		return
	}
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	if out.body == nil || r.Method == http.MethodHead {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(out.status)
		return
	}
	httpd.WriteJSON(w, out.status, out.body)
}

// setHeaders sets what every answer of the service has (recorded).
func setHeaders(w http.ResponseWriter, r *http.Request) {
	h, origin := w.Header(), httpd.Origin(r)
	for name, value := range map[string]string{
		"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		"X-Content-Type-Options": "nosniff", "x-ms-request-id": origin.RequestID, "x-ms-correlation-request-id": origin.RequestID,
		"x-ms-routing-request-id": "LOCAL:" + origin.RequestID,
	} {
		h.Set(name, value)
	}
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request) (answer, error) {
	if strings.EqualFold(strings.Trim(r.URL.Path, "/"), "metadata/endpoints") && r.Method == http.MethodGet {
		return d.metadata(r.URL.Query().Get("api-version"))
	}
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

// keyVaultVersion is a header on every answer of the provider of vaults (recorded).
const keyVaultVersion = "x-ms-keyvault-service-version"

// versionForm is that of every api-version of the control plane.
var versionForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-[a-zA-Z]+)?$`)

func invalidVersion(version string) error {
	return fail(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '%s' is invalid. It has the form of a date, such as 2022-07-01.", clip(version))
}

func (d *Door) handle(w http.ResponseWriter, r *http.Request, caller access.Caller) (answer, error) {
	req := request{ctx: r.Context(), caller: caller, query: r.URL.Query(), base: "https://" + strings.TrimSuffix(strings.ToLower(r.Host), ":443")}
	req.version = req.query.Get("api-version")
	switch {
	case req.version == "":
		return answer{}, fail(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case !versionForm.MatchString(req.version):
		return answer{}, invalidVersion(req.version)
	}
	route, params, scope, err := match(r)
	if err != nil {
		return answer{}, err
	}
	req.params, req.scope = params, scope
	if strings.Contains(route.pattern, "microsoft.keyvault") {
		w.Header().Set(keyVaultVersion, "1.5.1361.0")
	}
	if sub, given := subscriptionOf(params, scope); given && !strings.EqualFold(sub, d.Vaults.SubscriptionID()) {
		return answer{}, fail(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", clip(sub))
	}
	if route.takesBody {
		if req.body, err = httpd.ReadBody(w, r, maxBody); err != nil {
			return answer{}, err
		}
	}
	return route.handle(d, req)
}

// subscriptionOf finds the subscription that a path names.
func subscriptionOf(params map[string]string, scope string) (string, bool) {
	if sub, ok := params["{sub}"]; ok {
		return sub, true
	}
	parts := strings.Split(strings.Trim(scope, "/"), "/")
	if len(parts) >= 2 && strings.EqualFold(parts[0], "subscriptions") {
		return parts[1], true
	}
	return "", false
}

// clip bounds what an error repeats of a request.
func clip(text string) string {
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
