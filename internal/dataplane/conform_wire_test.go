package dataplane_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
)

// claims says which rows of docs/conformance.md the test proves, see test/conformance.
func claims(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("conformance", id)
	}
}

const unknownEC = `{"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC","crv":"P-256"},"x509_props":{"subject":"CN=web"}}}`

// has fails unless a text is in the answer.
func (d *door) has(a answer, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.text, text) {
			d.t.Errorf("%q is not in %s", text, a.text)
		}
	}
}

// lacks fails if a text is in the answer.
func (d *door) lacks(a answer, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.text, text) {
			d.t.Errorf("%q is in %s", text, a.text)
		}
	}
}

// says fails unless the message begins with a text.
func (d *door) says(a answer, text string) {
	d.t.Helper()
	if !strings.HasPrefix(a.message(), text) {
		d.t.Errorf("want %q, got %q", text, a.message())
	}
}

// at is the member at a path such as "policy.issuer.name".
func (a answer) at(path string) any {
	var value any = a.body
	for _, word := range strings.Split(path, ".") {
		members, _ := value.(map[string]any)
		value = members[word]
	}
	return value
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)

func TestConformIdentifiers(t *testing.T) {
	claims(t, "cert-1.1-1", "cert-1.1-2", "cert-1.1-3", "cert-1.1-4", "cert-1.6-1", "cert-1.6-2")
	d := newDoor(t)
	c := d.make("MyCert", selfEC)
	version := c.version()
	if !uuid4.MatchString(version) || !uuid4.MatchString(d.do("GET", "/certificates/mycert/pending", "").body["request_id"].(string)) {
		t.Errorf("version %s", version)
	}
	for _, member := range []string{"id", "kid", "sid"} {
		collection := map[string]string{"id": "certificates", "kid": "keys", "sid": "secrets"}[member]
		if c.body[member] != "https://demo.vault.azure.net/"+collection+"/MyCert/"+version {
			t.Errorf("%s is %v", member, c.body[member])
		}
	}
	if a := d.want(d.do("GET", "/certificates/MYCERT", ""), 200, ""); a.body["id"] != c.body["id"] {
		t.Error(a.text)
	}
	if a := d.do("GET", "/certificates/mycert?api-version=7.4", "", func(r *http.Request) { r.Host = "DEMO.vault.azure.net:443" }); a.body["id"] != c.body["id"] {
		t.Error(a.text)
	}
	der, err := base64.StdEncoding.DecodeString(c.body["cer"].(string))
	sum := sha1.Sum(der)
	if err != nil || c.body["x5t"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("x5t is %v, %v", c.body["x5t"], err)
	}
	if created := c.at("attributes.created").(float64); created != float64(d.server.Now().Unix()) {
		t.Errorf("created is %v", created)
	}
}

func TestConformVersions(t *testing.T) {
	claims(t, "cert-1.2-1", "cert-1.2-2", "cert-1.2-3", "cert-1.2-4", "cert-1.2-5", "cert-1.2-6", "cert-1.2-7")
	d := newDoor(t)
	d.make("web", selfEC)
	for _, version := range []string{
		"2015-06-01", "2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5-preview.1", "7.5", "7.6-preview.1", "7.6-preview.2", "7.6",
		"2025-06-01-preview", "2025-07-01", "2026-01-01-preview", "2026-03-01-preview", "2026-04-01", "2026-05-01-preview", "2026-07-01-preview",
	} {
		a := d.want(d.do("GET", "/certificates/web?api-version="+version, ""), 200, "")
		if days := a.at("attributes.recoverableDays"); (days == nil) != (version == "7.0" || version == "2015-06-01" || version == "2016-10-01") {
			t.Errorf("%s: recoverableDays is %v", version, days)
		}
	}
	a := d.want(d.do("GET", "/certificates/web?api-version=9.9", ""), 400, "BadParameter")
	d.says(a, "The specified version (9.9) is not recognized. Consider using the latest supported version (")
	if a := d.want(d.do("GET", "/certificates/web?x=y", ""), 400, "BadParameter"); !strings.Contains(a.message(), "api-version") {
		t.Error(a.message())
	}
	d.want(d.do("POST", "/certificates/web/backup?api-version=2016-10-01", ""), 405, "MethodNotAllowed")
	d.want(d.do("POST", "/certificates/web/backup?api-version=7.0", ""), 200, "")
	const order = `{"preserveCertOrder":true,"policy":{"issuer":{"name":"Unknown"},"key_props":{"kty":"EC"},"x509_props":{"subject":"CN=a","sans":{"uris":["spiffe://a/b"],"ipAddresses":["10.0.0.1"]}}}}`
	d.lacks(d.want(d.do("POST", "/certificates/old/create?api-version=7.5", order), 202, ""), "preserveCertOrder")
	d.lacks(d.do("GET", "/certificates/old/policy?api-version=2025-07-01", ""), "uris", "ipAddresses")
	d.has(d.want(d.do("POST", "/certificates/new/create?api-version=2025-07-01", order), 202, ""), `"preserveCertOrder":true`)
	d.has(d.do("GET", "/certificates/new/policy?api-version=2025-07-01", ""), `"uris":["spiffe://a/b"],"ipAddresses":["10.0.0.1"]`)
}

func TestConformRequests(t *testing.T) {
	claims(t, "cert-1.3-1", "cert-1.3-2", "cert-1.3-3", "cert-1.3-4", "cert-1.3-5", "cert-1.3-6", "cert-3-4")
	d := newDoor(t)
	body := strings.Replace(selfEC, `"x509_props":{`, `"shape":"round","x509_props":{"color":"red","key_usage":["DIGITALSIGNATURE","crlSign"],`, 1)
	c := d.make("web", body)
	if c.at("policy.x509_props.key_usage") == nil || !strings.Contains(c.text, `"key_usage":["cRLSign","digitalSignature"]`) {
		t.Error(c.text)
	}
	d.want(d.do("GET", "/certificates/web/?api-version=7.4", ""), 200, "")
	d.want(d.do("PATCH", "/certificates/web/?api-version=7.4", `{}`), 200, "")
	d.want(d.do("POST", "/certificates/web", `{"tags":{"a":"b"}}`, func(r *http.Request) { r.Header.Set("X-HTTP-METHOD", "PATCH") }), 200, "")
	if a := d.do("GET", "/certificates/web", "", func(r *http.Request) { r.Header.Set("x-ms-client-request-id", "mine") }); a.header.Get("x-ms-client-request-id") != "mine" {
		t.Error("the client's request id was not returned")
	}
	d.want(d.do("PATCH", "/certificates/web", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }), 200, "")
	d.want(d.do("PATCH", "/certificates/web", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 415, "UnsupportedMediaType")
}

func TestConformHeaders(t *testing.T) {
	claims(t, "cert-1.4-1", "cert-1.4-2", "cert-1.4-3", "cert-1.4-4", "cert-1.5-1", "cert-5.2-1")
	d := newDoor(t)
	created := d.want(d.do("POST", "/certificates/web/create?api-version=7.5", unknownEC), 202, "")
	id := created.body["request_id"].(string)
	if got := created.header.Get("Location"); got != "https://demo.vault.azure.net/certificates/web/pending?api-version=7.5&request_id="+id {
		t.Errorf("Location is %s", got)
	}
	pending := d.do("GET", "/certificates/web/pending", "")
	if created.header.Get("Retry-After") != "10" || pending.header.Get("Retry-After") != "10" {
		t.Error("Retry-After is missing")
	}
	patched := d.do("PATCH", "/certificates/web/pending", `{"cancellation_requested":true}`)
	ended := d.do("DELETE", "/certificates/web/pending", "")
	d.make("self", selfEC)
	done := d.do("GET", "/certificates/self/pending", "")
	d.do("DELETE", "/certificates/self", "")
	purged := d.want(d.do("DELETE", "/deletedcertificates/self", ""), 204, "")
	missing := d.want(d.do("GET", "/certificates/none", ""), 404, "CertificateNotFound")
	for _, a := range []answer{patched, ended, done} {
		if a.header.Get("Retry-After") != "" {
			t.Error("Retry-After where none belongs")
		}
	}
	for _, a := range []answer{created, pending, done, purged, missing} {
		for name, want := range map[string]string{
			"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "Strict-Transport-Security": "max-age=31536000;includeSubDomains",
			"X-Content-Type-Options": "nosniff", "x-ms-keyvault-region": "", "x-ms-keyvault-service-version": "", "x-ms-request-id": "",
			"x-ms-keyvault-network-info": "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
		} {
			if got := a.header.Get(name); got == "" || want != "" && got != want {
				t.Errorf("%d: %s is %q", a.status, name, got)
			}
		}
		if a.status != 204 && (a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.header.Get("Content-Length") == "") {
			t.Errorf("%d: %v", a.status, a.header)
		}
	}
	if purged.header.Get("Content-Type") != "" || purged.header.Get("Content-Length") != "" || purged.text != "" {
		t.Errorf("%v", purged.header)
	}
	if !strings.HasPrefix(missing.text, `{"error":{"code":"CertificateNotFound","message":"`) || strings.Contains(missing.text, "innererror") {
		t.Error(missing.text)
	}
}

func TestConformChallenge(t *testing.T) {
	claims(t, "cert-2.1-1", "cert-2.2-1", "cert-2.2-2", "id-6-2")
	d := newDoor(t)
	anonymous := func(r *http.Request) { r.Header.Del("Authorization") }
	for _, test := range []struct{ method, path string }{
		{"GET", "/certificates/web"}, {"POST", "/certificates//create"}, {"PUT", "/certificates/issuers/"}, {"GET", "/certificates/web?api-version=0"}, {"DELETE", "/nowhere"}, {"POST", "/certificates/web/create"},
	} {
		a := d.want(d.do(test.method, test.path, "", anonymous), 401, "Unauthorized")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer authorization="https://login.microsoftonline.com/`+d.server.TenantID()+`", resource="https://vault.azure.net"` {
			t.Errorf("%s", got)
		}
		if a.text != `{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."}}` {
			t.Error(a.text)
		}
	}
	a := d.want(d.do("POST", "/certificates//create", `{}`), 405, "MethodNotAllowed") // and with a token
	if a.message() != "HTTP POST not allowed" {
		t.Error(a.message())
	}
}

func TestConformPermissions(t *testing.T) {
	claims(t, "cert-2.3-1", "cert-2.4-2")
	d := newDoor(t)
	d.make("web", selfEC)
	p := d.server.NewPrincipal("other")
	caller := d.as(p)
	d.server.Grant("demo", p, "certificates/manageissuers")
	a := d.want(caller.do("GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByPolicy")
	want := "The user, group or application 'appid=" + p.AppID + ";oid=" + p.ObjectID + ";numgroups=0;iss=https://sts.windows.net/" + d.server.TenantID() + "/' does not have certificates get permission on key vault 'demo;location=local'."
	d.says(a, want)
	for _, test := range []struct{ method, path, body string }{
		{"PUT", "/certificates/issuers/ca", `{"provider":"Test"}`}, {"PATCH", "/certificates/issuers/ca", `{}`}, {"GET", "/certificates/issuers", ""},
		{"GET", "/certificates/issuers/ca", ""}, {"DELETE", "/certificates/issuers/ca", ""},
	} {
		d.want(caller.do(test.method, test.path, test.body), 200, "")
	}
	d.want(caller.do("GET", "/certificates/contacts", ""), 403, "Forbidden/ForbiddenByPolicy")
}

func TestConformRoutes(t *testing.T) {
	claims(t, "cert-3-1", "cert-3-2", "cert-3-3", "cert-3-5")
	d := newDoor(t)
	for _, test := range []struct{ method, path string }{
		{"PUT", "/certificates/issuers/"}, {"POST", "/certificates//create"}, {"PUT", "/certificates/web"}, {"DELETE", "/certificates/web/policy"}, {"POST", "/nowhere"}, {"PATCH", "/certificates"},
	} {
		a := d.want(d.do(test.method, test.path, `{}`), 405, "MethodNotAllowed")
		d.says(a, "HTTP "+test.method+" not allowed")
	}
	d.want(d.do("GET", "/certificates/contacts", ""), 404, "ContactsNotFound")
	d.want(d.do("GET", "/certificates/issuers", ""), 200, "")
	d.want(d.do("GET", "/certificates/web/pending", ""), 404, "PendingCertificateNotFound")
	d.want(d.do("GET", "/certificates/web/policy", ""), 404, "CertificateNotFound")
	for _, name := range []string{"a_b", "a.b", "..", "a%2Fb", strings.Repeat("a", 128)} {
		a := d.want(d.do("POST", "/certificates/"+name+"/create", selfEC), 400, "BadParameter")
		d.says(a, "The request URI contains an invalid name: ")
	}
}

func TestConformBundle(t *testing.T) {
	claims(t, "cert-4.1-1", "cert-4.1-2", "cert-4.1-3", "cert-4.1-4", "cert-4.1-5", "cert-4.2-1", "cert-4.2-3", "cert-4.3-1", "cert-4.3-2", "cert-4.5-1", "cert-4.5-2", "cert-4.5-3", "cert-4.6-1")
	d := newDoor(t)
	body := `{"preserveCertOrder":false,"tags":{"a":"b"},"attributes":{"exp":1},` + strings.Replace(selfEC[1:], `"subject":"CN=web"`, `"subject":"cn=Web","sans":{}`, 1)
	begun := d.want(d.do("POST", "/certificates/web/create", body), 202, "")
	d.order(begun.text, "id", "issuer", "csr", "cancellation_requested", "status", "status_details", "preserveCertOrder", "request_id")
	d.has(begun, `"issuer":{"name":"Self"}`, `"status":"inProgress","status_details":"Pending certificate created. Certificate request is in progress.`)
	done := d.do("GET", "/certificates/web/pending", "")
	d.order(done.text, "id", "issuer", "csr", "cancellation_requested", "status", "preserveCertOrder", "target", "request_id")
	if done.body["csr"] != begun.body["csr"] || done.body["target"] != "https://demo.vault.azure.net/certificates/web" || done.body["status_details"] != nil || done.body["error"] != nil {
		t.Error(done.text)
	}
	c := d.want(d.do("GET", "/certificates/web", ""), 200, "")
	d.order(c.text, "id", "kid", "sid", "x5t", "cer", "attributes", "tags", "policy", "pending", "preserveCertOrder")
	d.order(c.text, "enabled", "nbf", "exp", "created", "updated", "recoveryLevel", "recoverableDays")
	policy := c.text[strings.Index(c.text, `"policy"`):]
	d.order(policy, "id", "key_props", "exportable", "kty", "key_size", "reuse_key", "crv", "secret_props", "x509_props", "subject", "sans", "ekus", "key_usage", "validity_months", "basic_constraints", "lifetime_actions", "issuer", "attributes")
	d.has(c, `"subject":"cn=Web","sans":{}`, `"basic_constraints":{"ca":false}`, `"preserveCertOrder":false`, `"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"AutoRenew"}}]`)
	if c.at("attributes.exp") == 1.0 || c.at("policy.attributes.exp") != nil {
		t.Error(c.text)
	}
	version := d.do("GET", "/certificates/web/"+c.version(), "")
	d.lacks(version, `"policy"`, `"pending"`)
	d.lacks(d.do("PATCH", "/certificates/web/"+c.version(), `{"tags":{}}`), `"policy"`)
	emptied := d.do("PATCH", "/certificates/web", `{"tags":{}}`)
	d.has(emptied, `"tags":{}`, `"policy"`, `"pending"`)
	d.lacks(d.make("plain", selfEC), `"tags"`, `"preserveCertOrder"`, `"sans"`)
	deleted := d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "kid", "sid", "x5t", "cer", "attributes", "tags", "policy", "pending", "preserveCertOrder")
	if deleted.at("attributes.updated") != emptied.at("attributes.updated") || deleted.body["recoveryId"] != "https://demo.vault.azure.net/deletedcertificates/web" {
		t.Error(deleted.text)
	}
}

func TestConformUnfinished(t *testing.T) {
	claims(t, "cert-2.3-6", "cert-4.1-6", "cert-5.3-8")
	d := newDoor(t)
	d.want(d.do("POST", "/certificates/web/create", unknownEC), 202, "")
	a := d.want(d.do("GET", "/certificates/web", ""), 200, "")
	d.order(a.text, "id", "attributes", "policy", "pending")
	d.lacks(a, `"kid"`, `"sid"`, `"cer"`, `"x5t"`)
	now := d.server.Now()
	if a.at("attributes.enabled") != false || a.at("attributes.nbf") != float64(now.Unix()-600) || a.at("attributes.exp") != float64(now.AddDate(1, 0, 0).Unix()) {
		t.Error(a.text)
	}
	d.want(d.do("GET", "/secrets/web", ""), 403, "Forbidden/SecretDisabled")
}

func TestConformLists(t *testing.T) {
	claims(t, "cert-1.6-3", "cert-4.2-2", "cert-4.4-1", "cert-4.4-2", "cert-7.3-1", "cert-7.3-2", "cert-7.3-3", "cert-7.3-4", "cert-7.3-5", "cert-7.3-6", "cert-7.3-7")
	d := newDoor(t)
	for _, name := range []string{"bb", "aa", "cc"} {
		d.make(name, selfEC)
	}
	d.want(d.do("POST", "/certificates/ab/create", unknownEC), 202, "")
	all := d.want(d.do("GET", "/certificates", ""), 200, "")
	d.lacks(all, "recoveryLevel", "recoverableDays", "/ab\"")
	d.has(all, `,"subject":""}`, `"nextLink":null}`)
	if rows := all.body["value"].([]any); len(rows) != 3 || !strings.HasSuffix(rows[0].(map[string]any)["id"].(string), "/certificates/aa") || rows[2].(map[string]any)["x5t"] == nil {
		t.Error(all.text)
	}
	pending := d.do("GET", "/certificates?api-version=7.4&includePending=true", "")
	d.has(pending, `/certificates/ab","attributes":{"enabled":false`)
	d.lacks(d.do("GET", "/certificates?api-version=2016-10-01&includePending=true", ""), "/ab\"")
	first := d.want(d.do("GET", "/certificates?api-version=7.4&maxresults=2&includePending=true", ""), 200, "")
	next := first.body["nextLink"].(string)
	if !regexp.MustCompile(`^https://demo\.vault\.azure\.net:443/certificates\?api-version=7\.4&\$skiptoken=[A-Za-z0-9_-]+&maxresults=2$`).MatchString(next) {
		t.Error(next)
	}
	d.make("ba", selfEC) // the list goes on where it was
	second := d.want(d.do("GET", strings.TrimPrefix(next, "https://demo.vault.azure.net:443"), ""), 200, "")
	d.has(second, "/certificates/ba\"", "/certificates/bb\"")
	d.lacks(second, "/certificates/aa\"", "/certificates/ab\"")
	for _, size := range []string{"0", "26", "-1", "x"} {
		d.want(d.do("GET", "/certificates?api-version=7.4&maxresults="+size, ""), 400, "BadParameter")
	}
	other := *d
	other.base = d.server.VaultURL("other")
	query := next[strings.Index(next, "?"):]
	other.want(other.do("GET", "/certificates"+query, ""), 400, "BadParameter") // of another vault
	d.want(d.do("GET", "/deletedcertificates"+query, ""), 400, "BadParameter")  // of another list
	d.want(d.do("GET", "/certificates?api-version=7.4&$skiptoken=AAAA", ""), 400, "BadParameter")
	if a := d.want(d.do("GET", "/certificates/none/versions", ""), 200, ""); a.text != `{"value":[],"nextLink":null}` {
		t.Error(a.text)
	}
	d.do("DELETE", "/certificates/aa", "")
	deleted := d.want(d.do("GET", "/deletedcertificates", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "x5t", "attributes", "recoveryLevel")
	d.lacks(deleted, "subject")
}

func TestConformVersionsList(t *testing.T) {
	claims(t, "cert-7.3-8")
	d := newDoor(t)
	var ids []string
	for range 4 {
		ids = append(ids, d.make("web", selfEC).version())
	}
	a := d.do("GET", "/certificates/web/versions", "")
	last := ""
	for _, row := range a.body["value"].([]any) {
		id := row.(map[string]any)["id"].(string)
		if id <= last {
			t.Errorf("%s after %s", id, last)
		}
		last = id
	}
	for _, id := range ids {
		d.has(a, "/certificates/web/"+id+`"`)
	}
}

func TestConformRecoveryLevels(t *testing.T) {
	claims(t, "cert-4.2-4", "cert-13-4", "cert-13-5", "cert-17-5")
	d := newDoor(t)
	for _, test := range []struct {
		name, level string
		days        float64
		options     []coffertest.VaultOption
	}{
		{"vault90", "Recoverable+Purgeable", 90, nil},
		{"vault7", "CustomizedRecoverable+Purgeable", 7, []coffertest.VaultOption{coffertest.WithRetention(7)}},
		{"protected90", "Recoverable", 90, []coffertest.VaultOption{coffertest.WithPurgeProtection()}},
		{"protected89", "CustomizedRecoverable", 89, []coffertest.VaultOption{coffertest.WithRetention(89), coffertest.WithPurgeProtection()}},
	} {
		d.server.NewVault(test.name, test.options...)
		d.server.Grant(test.name, d.server.Owner(), "certificates/all", "certificates/purge")
		v := *d
		v.base = d.server.VaultURL(test.name)
		c := v.make("web", selfEC)
		if c.at("attributes.recoveryLevel") != test.level || c.at("attributes.recoverableDays") != test.days {
			t.Errorf("%s: %s", test.name, c.text)
		}
		deleted := v.want(v.do("DELETE", "/certificates/web", ""), 200, "")
		if deleted.body["scheduledPurgeDate"].(float64)-deleted.body["deletedDate"].(float64) != test.days*86400 {
			t.Errorf("%s: %s", test.name, deleted.text)
		}
		if strings.HasPrefix(test.name, "p") {
			v.want(v.do("DELETE", "/deletedcertificates/web", ""), 403, "Forbidden")
			v.want(v.do("GET", "/deletedcertificates/web", ""), 200, "")
		}
	}
	d.server.Turn(8 * 24 * time.Hour)
	v := *d
	v.base = d.server.VaultURL("vault7")
	v.want(v.do("GET", "/deletedcertificates/web", ""), 404, "CertificateNotFound")
	v.base = d.server.VaultURL("vault90")
	v.want(v.do("GET", "/deletedcertificates/web", ""), 200, "")
}

func TestConformTokens(t *testing.T) {
	claims(t, "cert-2.2-3", "cert-2.2-4")
	d := newDoor(t)
	for scope, want := range map[string]string{
		"https://management.azure.com/.default": "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com",
		"https://vault.azure.net/.default":      "",
	} {
		token, err := d.server.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			t.Fatal(err)
		}
		other := *d
		other.token = token.Token
		if want != "" {
			d.says(other.want(other.do("GET", "/certificates", ""), 401, "Unauthorized"), want)
		}
	}
	foreign := newDoor(t) // of another installation: another key, and another tenant
	foreign.token = d.token
	if a := foreign.want(foreign.do("GET", "/certificates", ""), 401, "Unauthorized"); !strings.HasPrefix(a.message(), "AKV100") {
		t.Error(a.message())
	}
}
