package certificates_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"coffer/certificates"
)

const (
	vaultURL  = "https://v1.vault.example"
	tenant    = "11111111-2222-4333-8444-555555555555"
	challenge = `Bearer authorization="https://login.example/` + tenant + `", resource="https://vault.example"`
	requestID = "5c1f0a9be0c24a0c8f1d0c4a5e9b7a11"
	versionID = vaultURL + "/certificates/web/0a0b0c0d0e0f40008000010203040506"

	create   = "POST /certificates/web/create"
	pending  = "GET /certificates/web/pending"
	get      = "GET /certificates/web/"
	remove   = "DELETE /certificates/web"
	removed  = "GET /deletedcertificates/web"
	undelete = "POST /deletedcertificates/web/recover"

	bundleJSON  = `{"id":"` + versionID + `","x5t":"AAECAwQFBgcICQoLDA0ODxAREhM","cer":"MAA=","attributes":{"enabled":true,"created":1700000000},"tags":{"a":"b"}}`
	deletedJSON = `{"recoveryId":"` + vaultURL + `/deletedcertificates/web","deletedDate":1700000000,"scheduledPurgeDate":1707776000,"id":"` + versionID + `","cer":"MAA=","attributes":{"enabled":true}}`
)

// answer is one scripted answer of a vault.
type answer struct {
	status int
	body   string
	header http.Header
}

// vault is a scripted vault: the parts of the documented protocol that the clients meet on their way (challenge, token,
// api-version), and for every route the answers in the order in which they are given. A request that is not in the script
// fails the test, and so does an answer that nobody fetched.
type vault struct {
	t      testing.TB
	mu     sync.Mutex
	script map[string][]answer
	seen   []string // the authorized requests
	bodies []string
}

func newVault(t testing.TB, script map[string][]answer) *vault {
	v := &vault{t: t, script: script}
	t.Cleanup(func() {
		for route, left := range v.script {
			if len(left) > 0 {
				t.Errorf("%d answers of %s were not fetched", len(left), route)
			}
		}
	})
	return v
}

// ServeHTTP answers as the script says.
func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", challenge)
		write(w, failed(http.StatusUnauthorized, "Unauthorized", ""))
		return
	}
	write(w, v.next(r))
}

func (v *vault) next(r *http.Request) answer {
	v.mu.Lock()
	defer v.mu.Unlock()
	route := r.Method + " " + r.URL.EscapedPath()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") != "Bearer of-"+tenant || r.URL.Query().Get("api-version") == "" {
		v.t.Errorf("%s: error %v, Authorization %q, query %q", route, err, r.Header.Get("Authorization"), r.URL.RawQuery)
	}
	v.seen, v.bodies = append(v.seen, route), append(v.bodies, string(body))
	left := v.script[route]
	if len(left) == 0 {
		v.t.Errorf("unexpected request %s after %q", route, v.seen)
		return failed(http.StatusTeapot, "Unexpected", route)
	}
	v.script[route] = left[1:]
	return left[0]
}

func write(w http.ResponseWriter, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// Do makes a vault a transport, so that nothing leaves the test's bubble of time.
func (v *vault) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// client is a new client, which has to meet the challenge first.
func (v *vault) client() *certificates.Client {
	v.t.Helper()
	return newClient(v.t, v)
}

func newClient(t testing.TB, transport policy.Transporter) *certificates.Client {
	t.Helper()
	client, err := certificates.NewClient(vaultURL, credential{}, &azcertificates.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// requests checks which requests were made, in order.
func (v *vault) requests(want ...string) {
	v.t.Helper()
	if !slices.Equal(v.seen, want) {
		v.t.Errorf("requests %q, want %q", v.seen, want)
	}
}

// credential gives a token of the tenant that the challenge names.
type credential struct{}

func (credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(options.Scopes) != 1 || options.Scopes[0] != "https://vault.example/.default" {
		return azcore.AccessToken{}, fmt.Errorf("asked for scopes %q", options.Scopes)
	}
	return azcore.AccessToken{Token: "of-" + options.TenantID, ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

func ok(body string) answer { return answer{status: http.StatusOK, body: body} }

func failed(status int, code, message string) answer {
	body, err := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
	if err != nil {
		panic(err)
	}
	return answer{status: status, body: string(body)}
}

func notYet() answer {
	return failed(http.StatusNotFound, "CertificateNotFound", "Deleted Certificate not found: web")
}

func forbidden() answer { return failed(http.StatusForbidden, "Forbidden", "no get permission") }

// operation is an operation in the form of the service; more is put between its status and its request_id.
func operation(issuer, status, more string) string {
	return `{"id":"` + vaultURL + `/certificates/web/pending","issuer":{"name":"` + issuer + `"},"csr":"MIIC","cancellation_requested":false,"status":"` +
		status + `",` + more + `"request_id":"` + requestID + `"}`
}

// waiting is the header of an operation in progress.
func waiting() http.Header { return http.Header{"Retry-After": {"10"}} }

func accepted() answer {
	return answer{status: http.StatusAccepted, body: operation("Self", "inProgress", ""), header: waiting()}
}

func inProgress() answer {
	return answer{status: http.StatusOK, body: operation("Self", "inProgress", ""), header: waiting()}
}

func completed() answer {
	return ok(operation("Self", "completed", `"target":"`+vaultURL+`/certificates/web",`))
}
