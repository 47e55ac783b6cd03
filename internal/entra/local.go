package entra

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"coffer/internal/httpd"
)

// NewAppService admits, to the address of a Metadata in that form, who shows the secret in
// the header that App Service calls X-IDENTITY-HEADER.
func NewAppService(secret string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !equal(r.Header.Get("X-IDENTITY-HEADER"), secret) {
			denied(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// CloudShellPath is the path of the Cloud Shell form. Programs show nothing but the path, so
// the secret is in it.
func CloudShellPath(secret string) string { return "/msi/" + secret + "/token" }

// NewCloudShell admits, to the address of a Metadata in that form, who knows the path. What
// comes after it, logs included, does not see the secret.
func NewCloudShell(secret string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !equal(strings.TrimSuffix(r.URL.Path, "/"), CloudShellPath(secret)) {
			denied(w)
			return
		}
		inner := r.Clone(r.Context())
		inner.URL.Path, inner.URL.RawPath, inner.RequestURI = IdentityPath, "", IdentityPath
		next.ServeHTTP(w, inner)
	})
}

// equal compares in constant time.
func equal(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func denied(w http.ResponseWriter) {
	httpd.WriteJSON(w, http.StatusUnauthorized, metadataError{"unauthorized", "This address belongs to the program of a coffer run, which knows the secret."})
}
