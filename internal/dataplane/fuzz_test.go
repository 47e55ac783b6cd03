package dataplane_test

import (
	"strings"
	"testing"

	"coffer/internal/dataplane"
)

// FuzzPath checks that no path leads to an object whose name or version has a character
// that could lead elsewhere.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/certificates/a", "/certificates/a/", "/certificates/a%2fb", "/secrets/%2e%2e/x", "//keys/a", "/certificates/a/versions", "/keys/\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		ref, ok := dataplane.Match("GET", path)
		if ok && strings.Trim(ref.Name+ref.Version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			t.Errorf("%q leads to %+v", path, ref)
		}
	})
}
