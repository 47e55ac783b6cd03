// Package graph is the door of the directory: the part of Microsoft Graph v1.0 by which
// set-up tools make applications, their principals and their credentials. It turns a
// request into calls of tenant.Service and the answer into JSON. It has no rules of its own.
//
// To find something: routes.go has the table of all routes; applications.go, principals.go
// and users.go what they call; filter.go reads $filter; wire.go has the JSON types; errors.go
// the one table from errors to HTTP.
package graph

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// A Config wires a Door.
type Config struct {
	Tenant *tenant.Service
	Auth   httpd.Authenticator
	// Rejected is told of every token that is not accepted.
	Rejected  func(ctx context.Context, o access.Origin, reason string)
	Audiences []string // that tokens may have
	Authority string   // of the challenge
	Legacy    []string // hosts of the directory's older interface, which is not here
	Now       func() time.Time
	Log       *slog.Logger
}

// A Door answers for the hosts of the directory.
type Door struct{ Config }

// New returns the door.
func New(c Config) *Door { return &Door{Config: c} }

const maxBody = 1 << 20 // bytes

// A request is what a handler needs to know.
type request struct {
	ctx    context.Context
	caller access.Caller
	id     string // what stands for {id}
	part   string // what stands for {part}
	query  url.Values
	body   []byte
	base   string // "https://graph.microsoft.com/v1.0"
}

// An answer is what a handler wants to say. Body nil means no body.
type answer struct {
	status int
	body   any
}

func ok(body any) answer { return answer{http.StatusOK, body} }

var nothing = answer{status: http.StatusNoContent}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := httpd.Origin(r)
	for name, value := range map[string]string{
		"Cache-Control": "no-cache", "Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "request-id": origin.RequestID,
		"client-request-id": clientID(r), "OData-Version": "4.0",
	} {
		w.Header().Set(name, value)
	}
	out, err := d.answer(w, r)
	switch {
	case err != nil:
		d.writeError(w, r, err)
	case out.body == nil:
		w.WriteHeader(out.status)
	default:
		httpd.WriteJSON(w, out.status, out.body)
	}
}

// clientID is the client's id for its request, or ours.
func clientID(r *http.Request) string {
	origin := httpd.Origin(r)
	if origin.CorrelationID != "" {
		return origin.CorrelationID
	}
	return origin.RequestID
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request) (answer, error) {
	for _, legacy := range d.Legacy {
		if httpd.Host(r) == legacy {
			return answer{}, fail(http.StatusNotFound, "Request_ResourceNotFound", "The older directory interface graph.windows.net is not served here; use Microsoft Graph, https://graph.microsoft.com/v1.0.")
		}
	}
	caller, err := httpd.Authenticate(r, d.Auth, d.Audiences)
	if err != nil {
		return answer{}, d.unauthorized(r, err)
	}
	route, id, part, err := match(r)
	if err != nil {
		return answer{}, errors.Join(d.Tenant.CheckCaller(r.Context(), caller), err)
	}
	req := request{ctx: r.Context(), caller: caller, id: id, part: part, query: r.URL.Query(), base: "https://" + strings.TrimSuffix(strings.ToLower(r.Host), ":443") + "/v1.0"}
	if route.takesBody {
		if req.body, err = httpd.ReadBody(w, r, maxBody); err != nil {
			return answer{}, errors.Join(d.Tenant.CheckCaller(r.Context(), caller), err)
		}
	}
	out, err := route.handle(d, req)
	if err != nil { // whoever is no principal any more gets the challenge, whatever else is wrong
		err = errors.Join(d.Tenant.CheckCaller(r.Context(), caller), err)
	}
	return out, err
}
