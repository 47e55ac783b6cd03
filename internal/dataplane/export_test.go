package dataplane

import (
	"net/http"
	"net/url"

	"coffer/internal/gate"
	"coffer/internal/vault"
)

// A RouteRow is what tests see of the route table.
type RouteRow struct {
	Method, Pattern string
	Operation       gate.Operation
}

// Routes returns the route table.
func Routes() []RouteRow {
	var out []RouteRow
	for _, r := range routes {
		out = append(out, RouteRow{r.method, r.pattern, r.operation})
	}
	return out
}

// Match finds the route of a path, and says whether its name and version are valid.
func Match(method, escapedPath string) (ref vault.Ref, ok bool) {
	u, err := url.Parse("https://demo.vault.azure.net" + escapedPath)
	if err != nil {
		return ref, false
	}
	_, ref, err = match(&http.Request{Method: method, URL: u})
	return ref, err == nil && validRef(ref) == nil
}
