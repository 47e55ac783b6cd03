package dataplane_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// version is the last segment of the id of an answer.
func (a answer) version() string {
	id, _ := a.body["id"].(string)
	return id[strings.LastIndex(id, "/")+1:]
}

func TestSecretLife(t *testing.T) {
	claims(t, "sec-8-1", "sec-8-2", "sec-8-3", "sec-9-1", "sec-10-1", "sec-10-2", "sec-10-3", "sec-5-1", "sec-2-1", "sec-4-1")
	d := newDoor(t)
	first := d.want(d.do("PUT", "/secrets/Db-Pass", `{"value":"one","contentType":"text/plain","attributes":{"nbf":1893456000,"exp":1900000000},"tags":{"team":"blue"}}`), 200, "")
	d.order(first.text, "value", "contentType", "id", "attributes", "tags")
	if first.body["value"] != "one" || !strings.HasPrefix(first.body["id"].(string), "https://demo.vault.azure.net/secrets/Db-Pass/") || first.body["managed"] != nil {
		t.Error(first.text)
	}
	second := d.want(d.do("PUT", "/secrets/db-pass", `{"value":"","attributes":null}`), 200, "")
	if second.body["tags"] != nil || second.body["contentType"] != nil || !strings.Contains(second.text, "/secrets/Db-Pass/") || !strings.Contains(second.text, `"value":""`) {
		t.Errorf("a new version inherited something: %s", second.text)
	}
	for path, want := range map[string]string{
		"": "", "/": "", "/" + first.version(): "one", "/" + strings.ToUpper(first.version()): "one", "/" + strings.ToUpper(second.version()): "",
	} {
		if a := d.want(d.do("GET", "/secrets/db-pass"+path, ""), 200, ""); a.body["value"] != want {
			t.Errorf("%q: %s", path, a.text)
		}
	}
	d.want(d.do("GET", "//secrets/db-pass", ""), 200, "")
	// PATCH merges attributes, replaces tags, and shows no value.
	patched := d.want(d.do("PATCH", "/secrets/db-pass/"+first.version(), `{"attributes":{"exp":1900000001},"tags":{}}`), 200, "")
	if patched.body["value"] != nil || !strings.Contains(patched.text, `"nbf":1893456000,"exp":1900000001`) || !strings.Contains(patched.text, `"tags":{}`) || !strings.Contains(patched.text, `"contentType":"text/plain"`) {
		t.Error(patched.text)
	}
	d.want(d.do("PATCH", "/secrets/db-pass/", `{"attributes":{"enabled":false}}`), 200, "")
	a := d.want(d.do("GET", "/secrets/db-pass", ""), 403, "Forbidden/SecretDisabled")
	if a.message() != "Operation get is not allowed on a disabled secret." {
		t.Error(a.message())
	}
	d.want(d.do("PATCH", "/secrets/db-pass", `{"attributes":{"enabled":true},"contentType":"x"}`), 200, "")
	versions := d.want(d.do("GET", "/secrets/db-pass/versions", ""), 200, "")
	if strings.Count(versions.text, `"id"`) != 2 || strings.Contains(versions.text, `"value":"`) || !strings.Contains(versions.text, first.version()) {
		t.Error(versions.text)
	}
	d.want(d.do("GET", "/secrets/db-pass/0123456789abcdef0123456789abcdef", ""), 404, "SecretNotFound")
	if a := d.want(d.do("GET", "/secrets/db-pass/latest", ""), 400, "BadParameter"); a.message() != "Method GET does not allow operation 'latest'" {
		t.Error(a.message())
	}
}

func TestSecretDeletedState(t *testing.T) {
	claims(t, "sec-7-1", "sec-7-2", "sec-7-3", "sec-7-4", "sec-7-5", "sec-9-2")
	d := newDoor(t)
	d.want(d.do("PUT", "/secrets/s", `{"value":"1"}`), 200, "")
	last := d.want(d.do("PUT", "/secrets/s", `{"value":"2","tags":{"a":"b"}}`), 200, "")
	d.want(d.do("GET", "/deletedsecrets/s", ""), 404, "SecretNotFound")
	d.want(d.do("POST", "/deletedsecrets/s/recover", ""), 404, "SecretNotFound")
	deleted := d.want(d.do("DELETE", "/secrets/s", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "attributes", "tags")
	if deleted.body["value"] != nil || deleted.body["scheduledPurgeDate"].(float64)-deleted.body["deletedDate"].(float64) != 90*86400 {
		t.Error(deleted.text)
	}
	if a := d.want(d.do("GET", "/deletedsecrets/s", ""), 200, ""); a.text != deleted.text {
		t.Errorf("%s\n%s", a.text, deleted.text)
	}
	for _, path := range []string{"/secrets/s", "/secrets/s/" + last.version()} {
		d.want(d.do("GET", path, ""), 404, "SecretNotFound")
	}
	d.want(d.do("DELETE", "/secrets/s", ""), 404, "SecretNotFound")
	if a := d.want(d.do("PUT", "/secrets/s", `{"value":"3"}`), 409, "Conflict/ObjectIsDeletedButRecoverable"); !strings.HasPrefix(a.message(), "Secret s is currently in a deleted but recoverable state") {
		t.Error(a.message())
	}
	if a := d.do("GET", "/secrets", ""); a.text != `{"value":[],"nextLink":null}` {
		t.Error(a.text)
	}
	if a := d.do("GET", "/deletedsecrets", ""); strings.Count(a.text, "recoveryId") != 1 || strings.Contains(a.text, last.version()) {
		t.Error(a.text)
	}
	if a := d.want(d.do("POST", "/deletedsecrets/s/recover", ""), 200, ""); a.version() != last.version() || a.body["value"] != nil {
		t.Error(a.text)
	}
	if a := d.want(d.do("GET", "/secrets/s", ""), 200, ""); a.body["value"] != "2" {
		t.Error(a.text)
	}
	d.want(d.do("DELETE", "/secrets/s", ""), 200, "")
	if a := d.want(d.do("DELETE", "/deletedsecrets/s", ""), 204, ""); a.text != "" {
		t.Error(a.text)
	}
	d.want(d.do("GET", "/deletedsecrets/s", ""), 404, "SecretNotFound")
	fresh := d.want(d.do("PUT", "/secrets/s", `{"value":"4"}`), 200, "")
	if a := d.do("GET", "/secrets/s/versions", ""); strings.Count(a.text, `"id"`) != 1 || !strings.Contains(a.text, fresh.version()) {
		t.Errorf("a purged version is there: %s", a.text)
	}
	// What is deleted is purged when its time has come.
	d.want(d.do("DELETE", "/secrets/s", ""), 200, "")
	d.server.Turn(91 * 24 * time.Hour)
	d.want(d.do("GET", "/deletedsecrets/s", ""), 404, "SecretNotFound")
	d.want(d.do("PUT", "/secrets/s", `{"value":"5"}`), 200, "")
}

func TestSecretBackup(t *testing.T) {
	claims(t, "sec-11-1", "sec-11-2", "sec-11-3")
	d := newDoor(t)
	first := d.want(d.do("PUT", "/secrets/s", `{"value":"1","tags":{"a":"b"}}`), 200, "")
	d.want(d.do("PUT", "/secrets/s", `{"value":"2"}`), 200, "")
	blob := d.want(d.do("POST", "/secrets/s/backup", ""), 200, "").body["value"].(string)
	d.want(d.do("POST", "/secrets/none/backup", ""), 404, "SecretNotFound")
	restore := `{"value":"` + blob + `"}`
	d.want(d.do("POST", "/secrets/restore", restore), 409, "Conflict")
	other := *d
	other.base = d.server.VaultURL("other")
	if a := other.want(other.do("POST", "/secrets/restore", restore), 200, ""); a.body["value"] != nil {
		t.Error(a.text)
	}
	if a := other.want(other.do("GET", "/secrets/s/"+first.version(), ""), 200, ""); a.body["value"] != "1" || !strings.Contains(a.text, `"tags":{"a":"b"}`) {
		t.Error(a.text)
	}
	for _, bad := range []string{"", "AAAA", blob[:len(blob)-4], "B" + blob[1:], blob + "AAAA", "not base64"} {
		if a := d.want(d.do("POST", "/secrets/restore", `{"value":"`+bad+`"}`), 400, "Malformed backup blob"); a.message() != "Backup blob is corrupt." {
			t.Error(a.message())
		}
	}
	d.want(d.do("POST", "/keys/restore", restore), 400, "Malformed backup blob") // of another kind
	d.want(d.do("POST", "/certificates/restore", restore), 400, "Malformed backup blob")
}

func TestBadSecrets(t *testing.T) {
	claims(t, "sec-12-1", "sec-12-2", "sec-12-3", "sec-4-2")
	d := newDoor(t)
	d.want(d.do("PUT", "/secrets/kept", `{"value":"1"}`), 200, "")
	before := d.do("GET", "/secrets", "").text
	for body, code := range map[string]string{
		`{}`: "BadParameter", `{"value":null}`: "BadParameter", `{"value":7}`: "BadParameter", `[]`: "BadParameter",
		`{"value":"` + strings.Repeat("x", 25601) + `"}`:                 "BadParameter/SecretTooLarge",
		`{"value":"1","contentType":"` + strings.Repeat("x", 256) + `"}`: "BadParameter",
		`{"value":"1","tags":{` + tagList(16) + `}}`:                     "BadParameter",
		`{"value":"1","tags":{"a":7}}`:                                   "BadParameter",
		`{"value":"1","attributes":{"exp":"soon"}}`:                      "BadParameter",
		`{"value":"1","tags":{"` + strings.Repeat("x", 513) + `":"v"}}`:  "BadParameter",
	} {
		d.want(d.do("PUT", "/secrets/new", body), 400, code)
	}
	d.want(d.do("PUT", "/secrets/a_b", `{"value":"1"}`), 400, "BadParameter")
	d.want(d.do("PUT", "/secrets/", `{"value":"1"}`), 405, "MethodNotAllowed")
	d.want(d.do("PUT", "/secrets/new", `{"value":"`+strings.Repeat("é", 25600)+`"}`), 200, "")
	d.want(d.do("DELETE", "/secrets/new", ""), 200, "")
	if after := d.do("GET", "/secrets", "").text; after != before {
		t.Errorf("%s\n%s", before, after)
	}
}

// What belongs to a certificate is changed through the certificate only.
func TestManagedSecretAndKey(t *testing.T) {
	claims(t, "sec-13-1", "sec-13-2", "key-13-1")
	d := newDoor(t)
	d.make("web", selfEC)
	for _, test := range []struct{ method, path, body, inner string }{
		{"PUT", "/secrets/web", `{"value":"1"}`, "SecretManagedByKeyVault"},
		{"PATCH", "/secrets/web", `{"tags":{}}`, "SecretManagedByKeyVault"},
		{"DELETE", "/secrets/web", "", "SecretManagedByKeyVault"},
		{"POST", "/secrets/web/backup", "", "SecretManagedByKeyVault"},
		{"POST", "/keys/web/create", `{"kty":"EC"}`, "KeyManagedByKeyVault"},
		{"PATCH", "/keys/web", `{"tags":{}}`, "KeyManagedByKeyVault"},
		{"DELETE", "/keys/web", "", "KeyManagedByKeyVault"},
		{"POST", "/keys/web/rotate", "", "KeyManagedByKeyVault"},
		{"POST", "/keys/web/backup", "", "KeyManagedByKeyVault"},
	} {
		d.want(d.do(test.method, test.path, test.body), 403, "Forbidden/"+test.inner)
	}
	if a := d.want(d.do("GET", "/secrets", ""), 200, ""); !strings.Contains(a.text, `"managed":true`) {
		t.Error(a.text)
	}
	// A certificate that was never issued claims its name, too.
	d.want(d.do("POST", "/certificates/later/create", `{"policy":{"issuer":{"name":"Unknown"},"x509_props":{"subject":"CN=a"},"key_props":{"kty":"EC"}}}`), 202, "")
	d.want(d.do("PUT", "/secrets/later", `{"value":"1"}`), 403, "Forbidden/SecretManagedByKeyVault")
	d.want(d.do("POST", "/keys/later/create", `{"kty":"EC"}`), 403, "Forbidden/KeyManagedByKeyVault")
	// And the other way round.
	d.want(d.do("PUT", "/secrets/mine", `{"value":"1"}`), 200, "")
	d.want(d.do("POST", "/certificates/mine/create", selfEC), 409, "Conflict")
	// In the deleted state they are the certificate's, too.
	d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	d.want(d.do("GET", "/deletedsecrets/web", ""), 200, "")
	d.want(d.do("GET", "/deletedkeys/web", ""), 200, "")
	d.want(d.do("POST", "/deletedsecrets/web/recover", ""), 403, "Forbidden/SecretManagedByKeyVault")
	d.want(d.do("DELETE", "/deletedkeys/web", ""), 403, "Forbidden/KeyManagedByKeyVault")
	d.want(d.do("PUT", "/secrets/web", `{"value":"1"}`), 409, "Conflict/ObjectIsDeletedButRecoverable")
	d.want(d.do("POST", "/deletedcertificates/web/recover", ""), 200, "")
	d.want(d.do("GET", "/secrets/web", ""), 200, "")
	if a := d.do("GET", "/deletedsecrets", ""); a.text != `{"value":[],"nextLink":null}` {
		t.Error(a.text)
	}
}

func TestOutContentType(t *testing.T) {
	claims(t, "sec-10-4")
	d := newDoor(t)
	d.make("web", selfEC)
	d.want(d.do("PUT", "/secrets/plain", `{"value":"1"}`), 200, "")
	pem := d.want(d.do("GET", "/secrets/web?api-version=2025-07-01&outContentType=application/x-pem-file", ""), 200, "")
	if value, _ := pem.body["value"].(string); !strings.HasPrefix(value, "-----BEGIN PRIVATE KEY-----\n") || pem.body["contentType"] != "application/x-pem-file" {
		t.Error(pem.text)
	}
	a := d.want(d.do("GET", "/secrets/plain?api-version=2025-07-01&outContentType=application/x-pem-file", ""), 400, "BadParameter")
	if a.message() != "The 'Unsupported' to 'PEM' transformation is not supported. Only PFX to PEM transformation is supported." {
		t.Error(a.message())
	}
	if a := d.want(d.do("GET", "/secrets/web?api-version=7.4&outContentType=application/x-pem-file", ""), 200, ""); a.body["contentType"] != "application/x-pkcs12" {
		t.Error("an older version has outContentType")
	}
}

func TestPreviousVersion(t *testing.T) {
	claims(t, "sec-9-3")
	d := newDoor(t)
	version := func() string {
		id, _ := d.make("web", selfEC).body["id"].(string)
		return id[strings.LastIndex(id, "/")+1:]
	}
	first, second := version(), version()
	previous := func(path string) any { return d.want(d.do("GET", path, ""), 200, "").body["previousVersion"] }
	for path, want := range map[string]any{
		"/secrets/web?api-version=2025-07-01":                        first,
		"/secrets/web/" + second + "?api-version=2025-06-01-preview": first,
		"/secrets/web/" + first + "?api-version=2025-07-01":          nil,
		"/secrets/web?api-version=7.6":                               nil,
	} {
		if got := previous(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	d.want(d.do("PUT", "/secrets/plain", `{"value":"1"}`), 200, "")
	d.want(d.do("PUT", "/secrets/plain", `{"value":"2"}`), 200, "")
	if got := previous("/secrets/plain?api-version=2025-07-01"); got != nil {
		t.Errorf("an ordinary secret has a previous version: %v", got)
	}
	deleted := d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	if got := previous("/deletedsecrets/web?api-version=2025-07-01"); got != first {
		t.Errorf("deleted: %v, %s", got, deleted.text)
	}
}

func TestEmptyLists(t *testing.T) {
	claims(t, "sec-1-1")
	d := newDoor(t)
	for _, path := range []string{"/secrets", "/deletedsecrets", "/keys", "/deletedkeys", "/secrets/none/versions"} {
		for version, want := range map[string]string{"2016-10-01": "null", "7.0": "[]", "7.6": "[]"} {
			if a := d.want(d.do("GET", path+"?api-version="+version, ""), 200, ""); a.text != `{"value":`+want+`,"nextLink":null}` {
				t.Errorf("%s %s: %s", path, version, a.text)
			}
		}
	}
}

func TestMethodInAHeader(t *testing.T) {
	d := newDoor(t)
	d.want(d.do("PUT", "/secrets/s", `{"value":"1"}`), 200, "")
	as := func(method string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-HTTP-METHOD", method) }
	}
	d.want(d.do("POST", "/secrets/s", `{"tags":{"a":"b"}}`, as("PATCH")), 200, "")
	d.want(d.do("POST", "/secrets/s", "", as("DELETE")), 200, "")
	d.want(d.do("GET", "/secrets/s", "", as("DELETE")), 404, "SecretNotFound")
	d.want(d.do("POST", "/deletedsecrets/s", "", as("TRACE")), 405, "MethodNotAllowed")
}
