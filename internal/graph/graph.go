// Package graph is the door of the directory: the part of Microsoft Graph v1.0 by which
// clients of key vaults find and make applications, service principals, users and groups. It
// turns a request into one call of tenant.Service and the answer into JSON. Who may do what
// is decided below it: every principal of the tenant may read, owners change what they own.
//
// A request is looked at in this order: token, path, method, query, body, and then everything
// that needs the directory. /v1.0 and /beta are the same.
//
// To find something: routes.go has the table of all routes; applications.go,
// principals.go, credentials.go, users.go, groups.go, memberships.go and objects.go what they
// call; filter.go reads $filter; list.go answers collections; wire.go has the JSON; errors.go
// the one table from error codes to HTTP. Legacy answers for the predecessor, which is not
// served.
package graph

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// AppID is the client id of Microsoft Graph, which clients may name as the resource of a
// token.
const AppID = "00000003-0000-0000-c000-000000000000"

// A Config wires a Door.
type Config struct {
	Tenant *tenant.Service
	// Rejected is told of every token that is not accepted.
	Rejected  func(ctx context.Context, o access.Origin, reason string)
	Audiences []string // that tokens may have
	Authority string   // of the challenge: "https://login.microsoftonline.com/TENANT"
	Domain    string   // of the tenant, shown as its verified one
	Log       *slog.Logger
	Now       func() time.Time // for the dates of errors
}

// A Door answers for the directory.
type Door struct{ Config }

// New returns the door.
func New(c Config) *Door { return &Door{c} }

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// A request is what a handler needs to know.
type request struct {
	ctx     context.Context
	caller  access.Caller
	names   map[string]string // what stands at the placeholders of the pattern
	byAppID bool              // {id} is a client id: applications(appId='…')
	query   url.Values
	root    string // "https://graph.microsoft.com/v1.0": links are on the host that the client used
	path    string // below it
	body    []byte
}

// An answer is what a handler wants to say. Body nil means no body.
type answer struct {
	status   int
	body     any
	location string
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.setHeaders(w, r)
	out, err := d.answer(w, r)
	if err != nil {
		d.writeError(w, r, err)
		return
	}
	if out.location != "" {
		w.Header().Set("Location", out.location)
	}
	if out.body == nil {
		w.WriteHeader(out.status)
		return
	}
	httpd.WriteJSON(w, out.status, out.body)
}

func (d *Door) setHeaders(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("OData-Version", "4.0")
	h.Set("request-id", httpd.RequestID(r.Context()))
	h.Set("client-request-id", correlation(r))
}

// correlation is the client's id for its request, or else ours.
func correlation(r *http.Request) string {
	if id := httpd.Origin(r).CorrelationID; id != "" {
		return id
	}
	return httpd.RequestID(r.Context())
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request) (answer, error) {
	caller, err := httpd.Authenticate(r, d.Tenant, d.Audiences)
	if err != nil {
		return answer{}, d.unauthorized(r, err)
	}
	out, err := d.handle(w, r, caller)
	if err == nil {
		return out, nil
	}
	// Whoever is no principal any more is told so, whatever else is wrong.
	if gone := d.Tenant.CheckCaller(r.Context(), caller); gone != nil {
		return answer{}, gone
	}
	return answer{}, err
}

func (d *Door) handle(w http.ResponseWriter, r *http.Request, caller access.Caller) (answer, error) {
	version, segments, byAppID, err := split(r.URL)
	if err != nil {
		return answer{}, err
	}
	route, names, err := match(r.Method, segments)
	if err != nil {
		return answer{}, err
	}
	req := request{
		ctx: r.Context(), caller: caller, names: names, byAppID: byAppID,
		root: "https://" + strings.TrimSuffix(strings.ToLower(r.Host), ":443") + "/" + version, path: strings.TrimPrefix(strings.TrimLeft(r.URL.EscapedPath(), "/"), version),
	}
	if req.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return answer{}, badRequest("The query of the request cannot be read.")
	}
	if route.takesBody {
		if req.body, err = httpd.ReadBody(w, r, maxBody); err != nil {
			return answer{}, err
		}
		if r.Header.Get("Content-Type") != "" { // some clients send none
			if err := httpd.CheckJSONType(r); err != nil {
				return answer{}, err
			}
		}
	}
	return route.handle(d, req)
}

// ref names the application, or the service principal, that the path does.
func (r request) ref(principal bool) tenant.Ref {
	if r.byAppID {
		return tenant.Ref{Principal: principal, AppID: r.names["id"]}
	}
	return tenant.Ref{Principal: principal, ID: r.names["id"]}
}

// decode reads the body.
func (r request) decode(into any) error { return httpd.DecodeJSON(r.body, into) }

// context is the @odata.context of an answer.
func (r request) context(of string) string { return r.root + "/$metadata#" + of }

// noContent is the answer of a change that shows nothing.
func noContent(err error) (answer, error) { return answer{status: http.StatusNoContent}, err }

// Legacy answers for Azure AD Graph, which the service has retired: clients that still use it
// are told where to go. It looks at no token.
func Legacy(w http.ResponseWriter, _ *http.Request) {
	const code, message = "Authentication_Unauthorized", "Azure AD Graph is retired and not served here. Use Microsoft Graph, https://graph.microsoft.com/v1.0; with az, that is version 2.37 or later."
	type text struct {
		Lang  string `json:"lang"`
		Value string `json:"value"`
	}
	httpd.WriteJSON(w, http.StatusForbidden, map[string]any{
		"odata.error": map[string]any{"code": code, "message": text{"en", message}},
		"error":       map[string]string{"code": code, "message": message},
	})
}
