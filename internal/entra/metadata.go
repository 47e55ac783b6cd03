package entra

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coffer/internal/gate"
	"coffer/internal/httpd"
	"coffer/internal/tenant"
)

// A Form is the way in which a program asks for a token of its managed identity.
type Form int

// The forms.
const (
	InstanceMetadata Form = iota // of a virtual machine
	AppService
	CloudShell
)

// A Metadata gives out tokens of a managed identity. In its first form it answers for the
// instance metadata service of a virtual machine, as far as it is about that: it speaks
// plain HTTP at 169.254.169.254, where only the machine itself, or here the run's own
// proxy, gets at it. Of the other forms, NewAppService and NewCloudShell keep others away.
type Metadata struct {
	Tenant *tenant.Service
	// Identity is the application whose tokens are given out; nil: there is none.
	Identity *tenant.Application
	Form     Form
	Log      *slog.Logger
	Now      func() time.Time
}

const metadataPath = "/metadata/identity/oauth2/token"

// IdentityPath is the path of the App Service form.
const IdentityPath = "/msi/token"

func (f Form) path() string {
	if f == InstanceMetadata {
		return metadataPath
	}
	return IdentityPath
}

func (f Form) method() string {
	if f == CloudShell {
		return http.MethodPost
	}
	return http.MethodGet
}

type metadataError struct {
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}

// ServeHTTP answers one request. Without an identity the answer is the one by which the
// clients' default chains go on to the next credential: any other status makes one of
// them stop, or try for a minute (measured).
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	path, method := m.Form.path(), m.Form.method()
	switch {
	case !strings.EqualFold(strings.TrimSuffix(r.URL.Path, "/"), path):
		httpd.WriteJSON(w, http.StatusNotFound, metadataError{"not_found", "There is nothing at this path. This server has " + path + "."})
		return
	case r.Method != method:
		w.Header().Set("Allow", method)
		httpd.WriteJSON(w, http.StatusMethodNotAllowed, metadataError{"invalid_request", "Use " + method + "."})
		return
	}
	query := r.URL.Query()
	if m.Form == CloudShell {
		var err error
		if query, err = readForm(w, r); err != nil {
			refuseMetadata(w, err.Error())
			return
		}
	}
	switch {
	case m.Form != AppService && !strings.EqualFold(r.Header.Get("Metadata"), "true"):
		refuseMetadata(w, "Required metadata header not specified")
	case query.Get("resource") == "":
		refuseMetadata(w, "Required query variable 'resource' is missing")
	case m.Identity == nil || !m.isIdentity(query):
		refuseMetadata(w, "Identity not found")
	default:
		m.give(w, r, query.Get("resource"))
	}
}

func refuseMetadata(w http.ResponseWriter, why string) {
	httpd.WriteJSON(w, http.StatusBadRequest, metadataError{"invalid_request", why})
}

// isIdentity reports whether the identity that is asked for, in whichever way, is ours.
func (m *Metadata) isIdentity(query url.Values) bool {
	ours := map[string]string{
		"client_id": m.Identity.AppID, "object_id": m.Identity.ObjectID, "principal_id": m.Identity.ObjectID,
		"msi_res_id": m.Tenant.ManagedIdentityID(), "mi_res_id": m.Tenant.ManagedIdentityID(),
	}
	for name, id := range ours {
		if asked := query.Get(name); asked != "" && !strings.EqualFold(asked, id) {
			return false
		}
	}
	return true
}

func (m *Metadata) give(w http.ResponseWriter, r *http.Request, resource string) {
	issued, err := m.Tenant.ManagedIdentityToken(r.Context(), httpd.Origin(r), *m.Identity, resource)
	var refused *tenant.Error
	switch {
	case err == nil:
		out := newSuccessV1(issued)
		out.ClientID = issued.ClientID
		httpd.WriteJSON(w, http.StatusOK, out)
	case !errors.Is(err, gate.ErrAudit) && errors.As(err, &refused):
		httpd.WriteJSON(w, http.StatusBadRequest, metadataError{refused.Code, refused.Error()})
	default:
		m.fail(w, r, err)
	}
}

func (m *Metadata) fail(w http.ResponseWriter, r *http.Request, err error) {
	id := httpd.RequestID(r.Context())
	if !errors.Is(err, context.Canceled) {
		m.Log.Error("a request failed", "request", id, "path", m.Form.path(), "error", err)
	}
	status := http.StatusInternalServerError
	if gate.Unlogged(err) { // it passes
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	httpd.WriteJSON(w, status, metadataError{"server_error", "The server failed; its log says why, at request " + id + "."})
}
