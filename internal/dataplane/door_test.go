package dataplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
)

// A door is a vault, spoken to in plain HTTP.
type door struct {
	t      *testing.T
	server *coffertest.Server
	base   string
	token  string
}

func newDoor(t *testing.T) *door {
	t.Helper()
	s := coffertest.New(t)
	return (&door{t: t, server: s, base: s.VaultURL("demo")}).as(s.Owner())
}

// as is the same door for another principal.
func (d *door) as(p coffertest.Principal) *door {
	d.t.Helper()
	token, err := p.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		d.t.Fatal(err)
	}
	other := *d
	other.token = token.Token
	return &other
}

// An answer is a response, read.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// code is error.code and error.innererror.code, with a slash between.
func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	if inner, ok := e["innererror"].(map[string]any); ok {
		code += "/" + inner["code"].(string)
	}
	return code
}

func (a answer) message() string {
	e, _ := a.body["error"].(map[string]any)
	text, _ := e["message"].(string)
	return text
}

// do sends a request; a path without a query gets an api-version.
func (d *door) do(method, path, body string, change ...func(*http.Request)) answer {
	d.t.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=7.6"
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, d.base+path, reader)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, fn := range change {
		fn(r)
	}
	response, err := d.server.HTTPClient().Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	out := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			d.t.Fatalf("%s %s answers %q", method, path, text)
		}
	}
	return out
}

func (d *door) want(a answer, status int, code string) answer {
	d.t.Helper()
	if a.status != status || a.code() != code {
		d.t.Errorf("want %d %s, got %d %s", status, code, a.status, a.text)
	}
	return a
}

const selfEC = `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC","crv":"P-256"},"x509_props":{"subject":"CN=web"}}}`

// make creates a certificate and waits until it is issued.
func (d *door) make(name, body string) answer {
	d.t.Helper()
	d.want(d.do("POST", "/certificates/"+name+"/create", body), 202, "")
	for range 20 {
		if op := d.do("GET", "/certificates/"+name+"/pending", ""); op.body["status"] == "completed" {
			return d.want(d.do("GET", "/certificates/"+name, ""), 200, "")
		}
	}
	d.t.Fatalf("%s was not issued", name)
	return answer{}
}

// order fails unless the words stand in the text in this order.
func (d *door) order(text string, words ...string) {
	d.t.Helper()
	at := 0
	for _, word := range words {
		next := strings.Index(text[at:], `"`+word+`":`)
		if next < 0 {
			d.t.Errorf("%q is missing, or not in its place, in %s", word, text)
			return
		}
		at += next
	}
}

func TestCreateAndRead(t *testing.T) {
	d := newDoor(t)
	created := d.want(d.do("POST", "/certificates/Web-1/create?api-version=7.4", `{"policy":{"issuer":{"name":"self"},"x509_props":{"subject":"CN=web.test","sans":{"dns_names":["web.test","b.test"]},"key_usage":["keyENCIPHERMENT","digitalSignature","cRLSign"]}},"tags":{"a":"b"}}`), 202, "")
	d.order(created.text, "id", "issuer", "csr", "cancellation_requested", "status", "status_details", "request_id")
	id := created.body["request_id"].(string)
	if want := d.base + "/certificates/Web-1/pending?api-version=7.4&request_id=" + id; created.header.Get("Location") != want || created.header.Get("Retry-After") != "10" {
		t.Errorf("Location %s, Retry-After %s", created.header.Get("Location"), created.header.Get("Retry-After"))
	}
	op := d.want(d.do("GET", "/certificates/web-1/pending", ""), 200, "")
	d.order(op.text, "id", "issuer", "csr", "cancellation_requested", "status", "target", "request_id")
	if op.body["status"] != "completed" || op.body["target"] != d.base+"/certificates/Web-1" || op.header.Get("Retry-After") != "" {
		t.Errorf("the first poll: %s", op.text)
	}
	d.want(d.do("GET", "/certificates/web-1/pending?api-version=7.4&request_id=other", ""), 404, "PendingCertificateNotFound")
	for _, path := range []string{"/certificates/WEB-1", "/certificates/web-1/"} {
		got := d.want(d.do("GET", path+"?api%2Dversion=2025-07-01", ""), 200, "")
		d.order(got.text, "id", "kid", "sid", "x5t", "cer", "attributes", "enabled", "nbf", "exp", "created", "updated", "recoveryLevel", "recoverableDays",
			"tags", "policy", "key_props", "exportable", "kty", "key_size", "reuse_key", "secret_props", "x509_props", "subject", "sans", "dns_names", "ekus", "key_usage", "validity_months", "basic_constraints",
			"lifetime_actions", "trigger", "lifetime_percentage", "action", "issuer", "attributes", "pending")
		if !strings.Contains(got.text, `"key_usage":["cRLSign","digitalSignature","keyEncipherment"]`) || !strings.Contains(got.text, `"issuer":{"name":"self"}`) {
			t.Errorf("%s", got.text)
		}
		versioned := d.want(d.do("GET", strings.TrimPrefix(got.body["id"].(string), d.base), ""), 200, "")
		if versioned.body["policy"] != nil || versioned.body["pending"] != nil || versioned.body["cer"] != got.body["cer"] {
			t.Errorf("by version: %s", versioned.text)
		}
	}
	old := d.do("GET", "/certificates/web-1?api-version=7.0", "")
	if strings.Contains(old.text, "recoverableDays") {
		t.Error("7.0 has no recoverableDays")
	}
}

func TestHeaders(t *testing.T) {
	d := newDoor(t)
	for _, a := range []answer{
		d.do("GET", "/certificates", "", func(r *http.Request) { r.Header.Set("x-ms-client-request-id", "my-id") }),
		d.do("GET", "/certificates/none", "", func(r *http.Request) { r.Header.Set("x-ms-client-request-id", "my-id") }),
	} {
		for name, want := range map[string]string{
			"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "Content-Type": "application/json; charset=utf-8",
			"Strict-Transport-Security": "max-age=31536000;includeSubDomains", "X-Content-Type-Options": "nosniff", "X-Ms-Client-Request-Id": "my-id",
		} {
			if a.header.Get(name) != want {
				t.Errorf("%s: %q", name, a.header.Get(name))
			}
		}
		for _, name := range []string{"x-ms-request-id", "x-ms-keyvault-region", "x-ms-keyvault-service-version", "x-ms-keyvault-network-info"} {
			if a.header.Get(name) == "" {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

func TestListsFollowNextLink(t *testing.T) {
	d := newDoor(t)
	for _, name := range []string{"c", "a", "b", "d"} {
		d.make(name, selfEC)
	}
	d.want(d.do("DELETE", "/certificates/b", ""), 200, "")
	var ids []string
	pages := 0
	for path := "/certificates?api-version=7.4&maxresults=2"; path != ""; pages++ {
		page := d.want(d.do("GET", path, ""), 200, "")
		d.order(page.text, "value", "nextLink")
		for _, item := range page.body["value"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
			if item.(map[string]any)["subject"] != "" {
				t.Errorf("%v", item)
			}
		}
		next, _ := page.body["nextLink"].(string)
		if path = strings.TrimPrefix(next, d.base+":443"); next != "" && (path == next || !strings.Contains(next, "&$skiptoken=") || !strings.HasSuffix(next, "&maxresults=2")) {
			t.Fatalf("nextLink %s", next)
		}
	}
	if want := d.base + "/certificates/"; strings.Join(ids, " ") != want+"a "+want+"c "+want+"d" || pages != 2 {
		t.Errorf("%d pages: %v", pages, ids)
	}
	deleted := d.want(d.do("GET", "/deletedcertificates", ""), 200, "")
	if !strings.Contains(deleted.text, `"recoveryId":"`+d.base+`/deletedcertificates/b"`) || !strings.Contains(deleted.text, `"nextLink":null`) {
		t.Errorf("%s", deleted.text)
	}
	if none := d.want(d.do("GET", "/certificates/none/versions", ""), 200, ""); none.text != `{"value":[],"nextLink":null}` {
		t.Errorf("versions of nothing: %s", none.text)
	}
	link := d.do("GET", "/certificates?api-version=7.4&maxresults=1", "").body["nextLink"].(string)
	token := link[strings.Index(link, "$skiptoken=")+len("$skiptoken="):]
	token = token[:strings.Index(token, "&")]
	for _, path := range []string{"/deletedcertificates?api-version=7.4&$skiptoken=" + token, "/certificates?api-version=7.4&$skiptoken=AAAA", "/certificates?api-version=7.4&$skiptoken=" + token[:len(token)-2] + "AA", "/certificates/a/versions?api-version=7.4&$skiptoken=" + token} {
		d.want(d.do("GET", path, ""), 400, "BadParameter")
	}
}

func TestVersions(t *testing.T) {
	d := newDoor(t)
	for range 4 {
		d.make("web", selfEC)
	}
	d.make("web", `{}`) // by the stored policy
	var ids []string
	for path := "/certificates/web/versions?api-version=7.4&maxresults=2"; path != ""; {
		page := d.want(d.do("GET", path, ""), 200, "")
		for _, item := range page.body["value"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		next, _ := page.body["nextLink"].(string)
		path = strings.TrimPrefix(next, d.base+":443")
	}
	if len(ids) != 5 {
		t.Fatalf("%v", ids)
	}
	for i, id := range ids {
		if i > 0 && ids[i-1] >= id {
			t.Errorf("not in order: %v", ids)
		}
		got := d.want(d.do("GET", strings.TrimPrefix(id, d.base), ""), 200, "")
		for _, member := range []string{"kid", "sid"} {
			d.want(d.do("GET", strings.TrimPrefix(got.body[member].(string), d.base), ""), 200, "")
		}
	}
	d.want(d.do("GET", "/certificates/web/0123456789abcdef0123456789abcdef", ""), 404, "CertificateNotFound")
}

func TestKeyAndSecret(t *testing.T) {
	d := newDoor(t)
	c := d.make("web", `{"policy":{"issuer":{"name":"Self"},"secret_props":{"contentType":"application/x-pem-file"},"x509_props":{"subject":"CN=web"}}}`)
	secret := d.want(d.do("GET", "/secrets/web", ""), 200, "")
	if secret.body["id"] != c.body["sid"] || secret.body["kid"] != c.body["kid"] || secret.body["managed"] != true || secret.body["contentType"] != "application/x-pem-file" || !strings.HasPrefix(secret.body["value"].(string), "-----BEGIN PRIVATE KEY-----\n") {
		t.Errorf("%s", secret.text)
	}
	key := d.want(d.do("GET", "/keys/web/", ""), 200, "")
	d.order(key.text, "key", "kid", "kty", "key_ops", "n", "e", "attributes", "managed")
	if !strings.Contains(key.text, `"e":"AQAB"`) || !strings.Contains(key.text, `["sign","verify","wrapKey","unwrapKey"]`) || !strings.HasSuffix(key.text, `"managed":true}`) {
		t.Errorf("%s", key.text)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`} {
		if strings.Contains(key.text, private) {
			t.Errorf("a private member: %s", key.text)
		}
	}
	d.want(d.do("POST", "/certificates/off/create", `{"attributes":{"enabled":false},`+selfEC[1:]), 202, "")
	d.do("GET", "/certificates/off/pending", "")
	d.want(d.do("GET", "/secrets/off", ""), 403, "Forbidden/SecretDisabled")
	d.want(d.do("GET", "/secrets/none", ""), 404, "SecretNotFound")
	d.want(d.do("GET", "/keys/none", ""), 404, "KeyNotFound")
	if log := d.server.AuditLog(); strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, d.token) || !strings.Contains(log, `"SecretGet"`) {
		t.Error("the audit log has a secret, or lacks a line")
	}
}

func TestDeletedForms(t *testing.T) {
	d := newDoor(t)
	d.make("web", selfEC)
	deleted := d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "kid", "sid", "x5t", "cer", "attributes", "policy", "pending")
	if deleted.body["scheduledPurgeDate"].(float64)-deleted.body["deletedDate"].(float64) != 90*86400 {
		t.Errorf("%s", deleted.text)
	}
	for _, path := range []string{"/certificates/web", "/secrets/web", "/keys/web"} {
		if a := d.do("GET", path, ""); a.status != 404 {
			t.Errorf("%s of a deleted certificate: %d", path, a.status)
		}
	}
	d.want(d.do("GET", "/certificates/web/pending", ""), 404, "PendingCertificateNotFound")
	d.want(d.do("DELETE", "/certificates/web", ""), 404, "CertificateNotFound")
	d.want(d.do("POST", "/certificates/web/create", selfEC), 409, "Conflict/ObjectIsDeletedButRecoverable")
	d.want(d.do("POST", "/deletedcertificates/web/recover", ""), 200, "")
	if a := d.want(d.do("GET", "/deletedcertificates/web", ""), 404, "CertificateNotFound"); !strings.HasPrefix(a.message(), "Deleted Certificate not found: web") {
		t.Errorf("%s", a.text)
	}
	if a := d.want(d.do("GET", "/deletedcertificates/none", ""), 404, "CertificateNotFound"); !strings.HasPrefix(a.message(), "A certificate with (name/id) none was not found") {
		t.Errorf("%s", a.text)
	}
	d.want(d.do("GET", "/secrets/web", ""), 200, "")
	d.want(d.do("DELETE", "/deletedcertificates/web", ""), 404, "CertificateNotFound")
	d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	if a := d.want(d.do("DELETE", "/deletedcertificates/web", ""), 204, ""); a.text != "" || a.header.Get("Content-Type") != "" {
		t.Errorf("purge answers %q", a.text)
	}
	if bytes.Contains([]byte(d.do("GET", "/deletedcertificates", "").text), []byte("web")) {
		t.Error("purged and listed")
	}
}
