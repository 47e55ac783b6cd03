package dataplane_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/dataplane"
)

// walk hands every value of an answer to fn, with the path to it.
func walk(path string, value any, fn func(string, any)) {
	fn(path, value)
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			walk(path+"."+name, member, fn)
		}
	case []any:
		for _, member := range value {
			walk(path+"[]", member, fn)
		}
	}
}

// members are the names of an object's members, in the order in which they stand.
func members(t *testing.T, text string) (names []string) {
	t.Helper()
	if text == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}

// mergeBody is what an authority of the test makes of an operation's CSR.
func mergeBody(t *testing.T, operation answer) string {
	t.Helper()
	csr, err := base64.StdEncoding.DecodeString(operation.body["csr"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return `{"x5c":["` + base64.StdEncoding.EncodeToString(certify(t, csr)) + `"]}`
}

// A tour is a walk over all routes.
type tour struct {
	*door
	version string
	walked  map[string]bool
}

// step sends one request and checks its status, its line in the audit log, and the
// members of its answer, all of them and in their order.
func (r *tour) step(method, pattern, query, body string, status int, operation, want string) answer {
	r.t.Helper()
	r.walked[method+" "+pattern] = true
	path := strings.NewReplacer("{name}", "web", "{issuer}", "ca", "{version}", r.version).Replace(pattern)
	before := len(r.server.AuditLog())
	a := r.want(r.do(method, "/"+path+"?api-version=7.6"+query, body), status, "")
	if got := strings.Join(members(r.t, a.text), " "); got != want {
		r.t.Errorf("%s %s: the members are %s", method, path, got)
	}
	if log := r.server.AuditLog()[before:]; !strings.Contains(log, `"operationName":"`+operation+`"`) {
		r.t.Errorf("%s %s: %s is not in the audit log: %s", method, path, operation, log)
	}
	return a
}

const (
	bundleForm    = "id kid sid x5t cer attributes policy pending"
	restoredForm  = "id kid sid x5t cer attributes policy"
	versionForm   = "id kid sid x5t cer attributes"
	operationForm = "id issuer csr cancellation_requested status status_details request_id"
	policyForm    = "id key_props secret_props x509_props lifetime_actions issuer attributes"
	issuerForm    = "id provider attributes"
	listForm      = "value nextLink"
)

// Every route of certificates, once: a route without a step fails.
func TestConformEveryRoute(t *testing.T) {
	claims(t, "cert-3-6", "cert-16-1", "cert-16-3", "cert-18-1")
	r := &tour{door: newDoor(t), walked: map[string]bool{}}
	r.step("PUT", "certificates/contacts", "", `{"contacts":[{"email":"a@test"}]}`, 200, "CertificateContactsSet", "id contacts")
	r.step("GET", "certificates/contacts", "", "", 200, "CertificateContactsGet", "id contacts")
	r.step("DELETE", "certificates/contacts", "", "", 200, "CertificateContactsDelete", "id contacts")
	r.step("PUT", "certificates/issuers/{issuer}", "", `{"provider":"Test"}`, 200, "CertificateIssuerSet", issuerForm)
	r.step("PATCH", "certificates/issuers/{issuer}", "", `{}`, 200, "CertificateIssuerUpdate", issuerForm)
	r.step("GET", "certificates/issuers/{issuer}", "", "", 200, "CertificateIssuerGet", issuerForm)
	r.step("GET", "certificates/issuers", "&maxresults=25", "", 200, "CertificateIssuersList", listForm)
	r.step("DELETE", "certificates/issuers/{issuer}", "", "", 200, "CertificateIssuerDelete", issuerForm)
	r.create()
	r.read()
	r.remove()
	for _, route := range dataplane.Routes() {
		if strings.Contains(route.Pattern, "certificates") && !r.walked[route.Method+" "+route.Pattern] {
			t.Errorf("%s %s has no step", route.Method, route.Pattern)
		}
	}
	// What the installation does by itself.
	r.alone("CertificateEnroll", func() { r.make("self", selfEC) })
	r.alone("CertificateRenew", func() { r.server.Turn(300 * 24 * time.Hour) })
	r.want(r.do("DELETE", "/certificates/self", ""), 200, "")
	r.alone("CertificatePurge", func() { r.server.Turn(90 * 24 * time.Hour) })
}

// alone fails unless fn leaves a line of the operation in the audit log.
func (r *tour) alone(operation string, fn func()) {
	r.t.Helper()
	before := len(r.server.AuditLog())
	fn()
	if log := r.server.AuditLog()[before:]; !strings.Contains(log, `"operationName":"`+operation+`"`) {
		r.t.Errorf("%s is not in the audit log: %s", operation, log)
	}
}

func (r *tour) create() {
	r.t.Helper()
	begun := r.step("POST", "certificates/{name}/create", "", unknownEC, 202, "CertificateCreate", operationForm)
	id := "&request_id=" + begun.body["request_id"].(string)
	r.step("GET", "certificates/{name}/pending", id, "", 200, "CertificatePendingGet", operationForm)
	r.step("PATCH", "certificates/{name}/pending", id, `{"cancellation_requested":true}`, 200, "CertificatePendingUpdate", operationForm)
	r.step("DELETE", "certificates/{name}/pending", id, "", 200, "CertificatePendingDelete", operationForm)
	begun = r.step("POST", "certificates/{name}/create", "", `{}`, 202, "CertificateCreate", operationForm)
	r.step("POST", "certificates/{name}/pending/merge", "", mergeBody(r.t, begun), 201, "CertificatePendingMerge", bundleForm)
	chain := newChain(r.t, newECKey(r.t))
	file := `{"value":` + quote(chain.keyPEM(r.t)+certificatePEM(chain.leaf)) + `}`
	r.step("POST", "certificates/{name}/import", "", file, 200, "CertificateImport", restoredForm)
	r.make("web", selfEC)
}

func (r *tour) read() {
	r.t.Helper()
	r.version = r.step("GET", "certificates/{name}", "", "", 200, "CertificateGet", bundleForm).version()
	r.step("GET", "certificates/{name}/{version}", "", "", 200, "CertificateGet", versionForm)
	r.step("GET", "certificates", "&includePending=true", "", 200, "CertificateList", listForm)
	r.step("GET", "certificates/{name}/versions", "&maxresults=2", "", 200, "CertificateListVersions", listForm)
	r.step("PATCH", "certificates/{name}", "", `{}`, 200, "CertificateUpdate", bundleForm)
	r.step("PATCH", "certificates/{name}/{version}", "", `{}`, 200, "CertificateUpdate", versionForm+" pending")
	r.step("GET", "certificates/{name}/policy", "", "", 200, "CertificatePolicyGet", policyForm)
	r.step("PATCH", "certificates/{name}/policy", "", `{}`, 200, "CertificatePolicyUpdate", policyForm)
}

func (r *tour) remove() {
	r.t.Helper()
	const deletedForm = "recoveryId deletedDate scheduledPurgeDate " + bundleForm
	blob := r.step("POST", "certificates/{name}/backup", "", "", 200, "CertificateBackup", "value")
	r.step("DELETE", "certificates/{name}", "", "", 200, "CertificateDelete", deletedForm)
	r.step("GET", "deletedcertificates", "", "", 200, "CertificateListDeleted", listForm)
	r.step("GET", "deletedcertificates/{name}", "", "", 200, "CertificateGetDeleted", deletedForm)
	r.step("POST", "deletedcertificates/{name}/recover", "", "", 200, "CertificateRecover", bundleForm)
	r.want(r.do("DELETE", "/certificates/web", ""), 200, "")
	r.step("DELETE", "deletedcertificates/{name}", "", "", 204, "CertificatePurge", "")
	r.step("POST", "certificates/restore", "", blob.text, 200, "CertificateRestore", restoredForm)
}

// What the headers of an answer may be, by its status; errorCodes are those that the
// service has with it.
var errorCodes = map[int][]string{
	400: {"BadParameter", "Malformed backup blob"}, 401: {"Unauthorized"}, 403: {"Forbidden"}, 405: {"MethodNotAllowed"}, 409: {"Conflict"}, 415: {"UnsupportedMediaType"},
	404: {"CertificateNotFound", "PendingCertificateNotFound", "CertificateIssuerNotFound", "ContactsNotFound"},
}

// everyAnswer is one answer of each kind.
func everyAnswer(d *door) []answer {
	nobody := d.as(d.server.NewPrincipal("nobody"))
	anonymous := func(r *http.Request) { r.Header.Del("Authorization") }
	plain := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	begun := d.do("POST", "/certificates/merged/create", unknownEC)
	out := []answer{
		begun, d.do("POST", "/certificates/merged/pending/merge?api-version=7.4", mergeBody(d.t, begun)), d.do("GET", "/certificates/merged", ""),
		d.do("GET", "/certificates/merged/pending", ""), d.do("GET", "/certificates/merged/policy", ""), d.do("GET", "/certificates", ""),
		d.do("DELETE", "/certificates/merged", ""), d.do("GET", "/deletedcertificates", ""),
		d.do("POST", "/certificates/merged/create", selfEC), d.do("DELETE", "/deletedcertificates/merged", ""),
		d.do("GET", "/certificates?api-version=0", ""), d.do("POST", "/certificates/restore", `{"value":"AAAA"}`), d.do("GET", "/certificates/a_b", ""),
		d.do("GET", "/certificates", "", anonymous), nobody.do("GET", "/certificates", ""), d.do("POST", "/certificates//create", selfEC),
		d.do("GET", "/certificates/none", ""), d.do("GET", "/certificates/none/pending", ""), d.do("GET", "/certificates/issuers/none", ""),
		d.do("GET", "/certificates/contacts", ""), d.do("PATCH", "/certificates/none", `{}`, plain),
	}
	return out
}

func TestConformEveryAnswer(t *testing.T) {
	claims(t, "cert-1.4-5", "cert-1.4-6", "cert-1.4-7", "cert-1.5-2", "cert-1.6-4", "cert-1.6-5", "cert-18-2")
	d := newDoor(t)
	seen, ids := map[int]bool{}, map[string]bool{}
	for _, a := range everyAnswer(d) {
		seen[a.status] = true
		a.checkHeaders(t, ids)
		a.checkText(t)
	}
	for _, status := range []int{200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 415} {
		if !seen[status] {
			t.Errorf("no answer was %d", status)
		}
	}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (a answer) checkHeaders(t *testing.T, ids map[string]bool) {
	t.Helper()
	if id := a.header.Get("x-ms-request-id"); !guid.MatchString(id) || ids[id] {
		t.Errorf("%d: x-ms-request-id is %q", a.status, id)
	}
	ids[a.header.Get("x-ms-request-id")] = true
	for name, want := range map[string]string{
		"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "Strict-Transport-Security": "max-age=31536000;includeSubDomains", "X-Content-Type-Options": "nosniff",
		"x-ms-keyvault-network-info": "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%d: %s is %q", a.status, name, got)
		}
	}
	for name, there := range map[string]bool{
		"x-ms-keyvault-region": true, "x-ms-keyvault-service-version": true, "Content-Type": a.status != 204, "Content-Length": a.status != 204,
		"Location": a.status == 201 || a.status == 202, "Retry-After": a.status == 202, "WWW-Authenticate": a.status == 401,
		"Server": false, "X-Powered-By": false, "X-AspNet-Version": false, "Transfer-Encoding": false, "Set-Cookie": false,
		"x-ms-keyvault-rbac-assignment-id": false, "x-ms-keyvault-rbac-cache": false, "x-ms-client-request-id": false,
	} {
		if got := a.header.Values(name); len(got) > 1 || (len(got) == 1) != there {
			t.Errorf("%d: %s is %q", a.status, name, got)
		}
	}
}

func (a answer) checkText(t *testing.T) {
	t.Helper()
	if a.status == 204 {
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(a.text)); err != nil || compact.String() != a.text {
		t.Errorf("%d: not compact: %q, %v", a.status, a.text, err)
	}
	walk("", a.body, func(path string, value any) {
		if value == nil && path != ".nextLink" {
			t.Errorf("%d: %s is null in %s", a.status, path, a.text)
		}
	})
	for _, member := range []string{"cer", "csr"} {
		if text, ok := a.body[member].(string); ok {
			if _, err := base64.StdEncoding.Strict().DecodeString(text); err != nil || len(text)%4 != 0 || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s is %q, %v", member, text, err)
			}
		}
	}
	if a.status < 400 {
		return
	}
	code, _, _ := strings.Cut(a.code(), "/")
	if got := members(t, a.text); !slices.Equal(got, []string{"error"}) || !slices.Contains(errorCodes[a.status], code) || a.message() == "" {
		t.Errorf("%d: %s", a.status, a.text)
	}
	walk("", a.body, func(path string, _ any) {
		if !slices.Contains([]string{"", ".error", ".error.code", ".error.message", ".error.innererror", ".error.innererror.code"}, path) {
			t.Errorf("%d: %s in %s", a.status, path, a.text)
		}
	})
	if inner := strings.Contains(a.code(), "/"); inner != (a.status == 403 || a.status == 409) {
		t.Errorf("%d: innererror in %s", a.status, a.text)
	}
}
