package dataplane

import (
	"fmt"
	"net/url"
	"slices"

	"coffer/internal/vault"
)

// A version is a place in the list of known api-versions.
type version int

// knownVersions in the order in which they came out.
var knownVersions = []string{
	"2015-06-01", "2016-10-01", "7.0-preview", "7.0", "7.1", "7.2", "7.3-preview", "7.3", "7.4-preview.1", "7.4",
	"7.5-preview.1", "7.5", "7.6-preview.1", "7.6-preview.2", "7.6", "2025-06-01-preview", "2025-07-01",
	"2026-01-01-preview", "2026-03-01-preview", "2026-04-01", "2026-05-01-preview", "2026-07-01-preview",
}

// latestVersion is what an error recommends.
const latestVersion = "2026-04-01"

// before reports whether the version came out before the named one; none came out
// before the empty one.
func (v version) before(name string) bool { return int(v) < slices.Index(knownVersions, name) }

// String is the version as clients write it.
func (v version) String() string { return knownVersions[v] }

func parseVersion(query url.Values) (version, error) {
	name := query.Get("api-version")
	if name == "" {
		return 0, &vault.Error{Code: vault.CodeBadParameter, Message: "The query parameter api-version is missing; use api-version=" + latestVersion + "."}
	}
	at := slices.Index(knownVersions, name)
	if at < 0 {
		return 0, &vault.Error{Code: vault.CodeBadParameter, Message: fmt.Sprintf(
			"The specified version (%s) is not recognized. Consider using the latest supported version (%s).", clip(name), latestVersion)}
	}
	return version(at), nil
}
