package dataplane

import (
	"slices"
	"strings"
)

// BodyRoutes returns the routes that decode a body, as "METHOD pattern". The writes of
// keys and secrets do not yet: they refuse what belongs to a certificate.
func BodyRoutes() []string {
	var out []string
	for _, r := range routes {
		if r.takesBody && !strings.HasPrefix(r.pattern, "keys/") && !strings.HasPrefix(r.pattern, "secrets/") {
			out = append(out, r.method+" "+r.pattern)
		}
	}
	slices.Sort(out)
	return out
}
