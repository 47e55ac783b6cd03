package dataplane_test

import (
	"strings"
	"testing"
	"time"

	"coffer/coffertest"
)

func TestConformOperations(t *testing.T) {
	claims(t, "cert-4.5-4", "cert-4.5-5", "cert-5.3-11", "cert-5.3-12", "cert-5.3-13", "cert-5.3-14")
	d := newDoor(t)
	c := d.make("web", selfEC)
	named := strings.Replace(unknownEC, `{"name":"Unknown"}`, `{"name":"Unknown","cty":"OV-SSL","cert_transparency":true}`, 1)
	begun := d.want(d.do("POST", "/certificates/web/create", named), 202, "")
	d.has(begun, `"issuer":{"name":"Unknown"}`)
	// The current version goes on answering.
	current := d.want(d.do("GET", "/certificates/web", ""), 200, "")
	if current.body["id"] != c.body["id"] || current.body["cer"] != c.body["cer"] || current.at("attributes.enabled") != true {
		t.Error(current.text)
	}
	for _, path := range []string{"/keys/web", "/secrets/web", "/certificates/web/" + c.version()} {
		d.has(d.want(d.do("GET", path, ""), 200, ""), "/web/"+c.version()+`"`)
	}
	// A request_id that is not the operation's is no operation, and changes nothing.
	wrong := "/certificates/web/pending?api-version=7.4&request_id=" + strings.Repeat("0", 32)
	d.want(d.do("PATCH", wrong, `{"cancellation_requested":true}`), 404, "PendingCertificateNotFound")
	d.want(d.do("DELETE", wrong, ""), 404, "PendingCertificateNotFound")
	op := d.want(d.do("GET", "/certificates/web/pending?api-version=7.4&request_id="+begun.body["request_id"].(string), ""), 200, "")
	if op.text != begun.text {
		t.Errorf("%s\n%s", begun.text, op.text)
	}
	merged := d.want(d.do("POST", "/certificates/web/pending/merge", mergeBody(t, begun)), 201, "")
	if merged.version() == c.version() {
		t.Error(merged.text)
	}
	done := d.want(d.do("GET", "/certificates/web/pending", ""), 200, "")
	if done.body["csr"] != begun.body["csr"] || done.body["request_id"] != begun.body["request_id"] || done.body["status"] != "completed" {
		t.Error(done.text)
	}
	// An operation that has ended can be deleted; what it made stays.
	if a := d.want(d.do("DELETE", "/certificates/web/pending", ""), 200, ""); a.text != done.text {
		t.Error(a.text)
	}
	if a := d.want(d.do("GET", "/certificates/web", ""), 200, ""); a.body["pending"] != nil || a.body["id"] != merged.body["id"] {
		t.Error(a.text)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		body := ""
		if method == "PATCH" {
			body = `{"cancellation_requested":true}`
		}
		for _, name := range []string{"web", "none"} {
			a := d.want(d.do(method, "/certificates/"+name+"/pending", body), 404, "PendingCertificateNotFound")
			if a.message() != "Pending Certificate not found: "+name {
				t.Error(a.text)
			}
		}
	}
}

func TestConformNeverIssued(t *testing.T) {
	claims(t, "cert-4.6-2", "cert-5.3-15", "cert-5.3-16")
	d := newDoor(t)
	begun := d.want(d.do("POST", "/certificates/web/create", unknownEC), 202, "")
	before := d.want(d.do("GET", "/certificates/web", ""), 200, "")
	deleted := d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "attributes", "policy", "pending")
	d.want(d.do("GET", "/certificates/web/pending", ""), 404, "PendingCertificateNotFound")
	// The operation comes back with it, and the version keeps its id to the end.
	d.want(d.do("POST", "/deletedcertificates/web/recover", ""), 200, "")
	if a := d.want(d.do("GET", "/certificates/web/pending", ""), 200, ""); a.text != begun.text {
		t.Error(a.text)
	}
	if merged := d.want(d.do("POST", "/certificates/web/pending/merge", mergeBody(t, begun)), 201, ""); merged.body["id"] != before.body["id"] {
		t.Errorf("%s\n%s", before.text, merged.text)
	}
	// Without its operation it can be deleted as well.
	d.want(d.do("POST", "/certificates/bare/create", unknownEC), 202, "")
	d.want(d.do("DELETE", "/certificates/bare/pending", ""), 200, "")
	bare := d.want(d.do("DELETE", "/certificates/bare", ""), 200, "")
	d.order(bare.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "id", "attributes", "policy")
	d.lacks(bare, `"kid"`, `"sid"`, `"x5t"`, `"cer"`, `"pending"`)
	d.want(d.do("DELETE", "/deletedcertificates/bare", ""), 204, "")
	d.make("bare", selfEC)
}

func TestConformNextVersion(t *testing.T) {
	claims(t, "cert-4.3-3", "cert-4.3-4", "cert-5.1-3", "cert-5.1-4", "cert-5.1-5", "cert-4.2-5", "cert-7.2-4", "cert-7.1-3")
	d := newDoor(t)
	full := d.make("web", `{"tags":{"a":"b"},"attributes":{"exp":1,"nbf":2},"policy":{"issuer":{"name":"Self","cty":"OV-SSL","cert_transparency":false},"key_props":{"kty":"EC","crv":"P-384","reuse_key":true},
		"secret_props":{"contentType":"application/x-pem-file"},"lifetime_actions":[{"trigger":{"days_before_expiry":30},"action":{"action_type":"EmailContacts"}}],"attributes":{"exp":1,"nbf":2},
		"x509_props":{"subject":"CN=web","ekus":[],"validity_months":6,"sans":{"emails":[],"dns_names":["web.test"]}}}}`)
	d.has(full, `"issuer":{"name":"Self","cty":"OV-SSL","cert_transparency":false}`, `"sans":{"emails":[],"dns_names":["web.test"]}`, `"ekus":[]`, `"trigger":{"days_before_expiry":30}`, `"crv":"P-384"`)
	d.lacks(full, `"upns"`, `"uris"`, `"ipAddresses"`, `"platformManaged"`, `"lifetime_percentage"`)
	// The next policy replaces the stored one as a whole, and the tags are not taken over.
	next := d.make("web", `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"RSA"},"x509_props":{"subject":"CN=DefaultPolicy","sans":{}}}}`)
	d.has(next, `"key_props":{"exportable":true,"kty":"RSA","key_size":2048,"reuse_key":false}`, `"contentType":"application/x-pkcs12"`, `"issuer":{"name":"Self"}`, `"sans":{}`,
		`"validity_months":12`, `"trigger":{"lifetime_percentage":80}`)
	d.lacks(next, `"tags"`, `"cty"`, `"cert_transparency"`, `"crv"`, `"days_before_expiry"`)
	if next.at("attributes.nbf") == 2.0 || next.at("attributes.exp") == 1.0 {
		t.Error(next.text)
	}
	// A PATCH cannot move the validity, and moves updated; its policy is the stored one from then on.
	patched := d.want(d.do("PATCH", "/certificates/web", `{"attributes":{"exp":1893459661,"nbf":3},"policy":{"x509_props":{"subject":"CN=other","validity_months":3}}}`), 200, "")
	for _, member := range []string{"attributes.exp", "attributes.nbf", "attributes.created"} {
		if patched.at(member) != next.at(member) {
			t.Errorf("%s: %v, %v", member, next.at(member), patched.at(member))
		}
	}
	if patched.at("attributes.updated").(float64) <= next.at("attributes.updated").(float64) || patched.at("policy.x509_props.validity_months") != 3.0 {
		t.Error(patched.text)
	}
	d.has(d.do("GET", "/certificates/web/policy", ""), `"subject":"CN=other"`, `"validity_months":3`)
	missing := d.want(d.do("GET", "/certificates/web/"+strings.Repeat("0", 32), ""), 404, "CertificateNotFound")
	d.says(missing, "A certificate with (name/id) web/"+strings.Repeat("0", 32)+" was not found in this key vault.")
	d.want(d.do("PATCH", "/certificates/web/"+strings.Repeat("0", 32), `{}`), 404, "CertificateNotFound")
}

// what is all that a client can read of a certificate, by its versions.
func (d *door) what(name string, versions ...string) string {
	d.t.Helper()
	var out strings.Builder
	for _, collection := range []string{"certificates", "keys", "secrets"} {
		for _, version := range append(versions, "", "versions") {
			out.WriteString(d.want(d.do("GET", "/"+collection+"/"+name+"/"+version, ""), 200, "").text + "\n")
		}
	}
	for _, route := range []string{"policy", "pending"} {
		out.WriteString(d.want(d.do("GET", "/certificates/"+name+"/"+route, ""), 200, "").text + "\n")
	}
	return out.String()
}

func TestConformDeletedIsGone(t *testing.T) {
	claims(t, "cert-13-6", "cert-13-7", "cert-13-8", "cert-5.5-5", "cert-5.5-6")
	d := newDoor(t)
	old := d.make("web", `{"tags":{"a":"b"},`+selfEC[1:]).version()
	d.want(d.do("PATCH", "/certificates/web/"+old, `{"attributes":{"enabled":false},"tags":{"c":"d"}}`), 200, "")
	d.make("web", selfEC)
	d.want(d.do("PATCH", "/certificates/web/"+old, `{"attributes":{"enabled":true}}`), 200, "")
	before := d.what("web", old)
	blob := d.want(d.do("POST", "/certificates/web/backup", ""), 200, "").text
	for _, test := range [][2]string{{"GET", ""}, {"POST", "/recover"}, {"DELETE", ""}} { // while it is live
		d.want(d.do(test[0], "/deletedcertificates/web"+test[1], ""), 404, "CertificateNotFound")
	}
	d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	chain := newChain(t, newECKey(t))
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/certificates/web", "", 404, "CertificateNotFound"}, {"GET", "/certificates/web/" + old, "", 404, "CertificateNotFound"},
		{"PATCH", "/certificates/web", `{}`, 404, "CertificateNotFound"}, {"PATCH", "/certificates/web/" + old, `{}`, 404, "CertificateNotFound"},
		{"DELETE", "/certificates/web", "", 404, "CertificateNotFound"}, {"POST", "/certificates/web/backup", "", 404, "CertificateNotFound"},
		{"GET", "/certificates/web/policy", "", 404, "CertificateNotFound"}, {"PATCH", "/certificates/web/policy", `{}`, 404, "CertificateNotFound"},
		{"GET", "/certificates/web/pending", "", 404, "PendingCertificateNotFound"}, {"PATCH", "/certificates/web/pending", `{"cancellation_requested":true}`, 404, "PendingCertificateNotFound"},
		{"DELETE", "/certificates/web/pending", "", 404, "PendingCertificateNotFound"}, {"POST", "/certificates/web/pending/merge", `{"x5c":["dGVzdA=="]}`, 404, "PendingCertificateNotFound"},
		{"GET", "/keys/web", "", 404, "KeyNotFound"}, {"GET", "/secrets/web/" + old, "", 404, "SecretNotFound"},
		{"POST", "/certificates/web/create", selfEC, 409, "Conflict/ObjectIsDeletedButRecoverable"}, {"POST", "/certificates/WEB/create", `{}`, 409, "Conflict/ObjectIsDeletedButRecoverable"},
		{"POST", "/certificates/web/import", `{"value":` + quote(chain.keyPEM(t)+certificatePEM(chain.leaf)) + `}`, 409, "Conflict/ObjectIsDeletedButRecoverable"},
		{"POST", "/certificates/restore", blob, 409, "Conflict"},
	} {
		d.want(d.do(test.method, test.path, test.body), test.status, test.code)
	}
	if a := d.do("GET", "/certificates?api-version=7.4&includePending=true", ""); a.text != `{"value":[],"nextLink":null}` {
		t.Error(a.text)
	}
	d.want(d.do("POST", "/deletedcertificates/web/recover", ""), 200, "")
	if after := d.what("web", old); after != before {
		t.Errorf("recovered otherwise:\n%s\n%s", before, after)
	}
	d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	d.want(d.do("DELETE", "/deletedcertificates/web", ""), 204, "")
	for _, path := range []string{"/deletedcertificates/web", "/deletedkeys/web", "/deletedsecrets/web", "/keys/web", "/secrets/web", "/certificates/web/" + old} {
		if a := d.do("GET", path, ""); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	d.want(d.do("DELETE", "/deletedcertificates/web", ""), 404, "CertificateNotFound")
	d.want(d.do("POST", "/certificates/restore", blob), 200, "") // the name is free at once
	// Keys and secrets of their own hold their names in the deleted state, too.
	d.want(d.do("PUT", "/secrets/secret", `{"value":"1"}`), 200, "")
	d.want(d.do("POST", "/keys/key/create", `{"kty":"EC"}`), 200, "")
	for range 2 {
		d.want(d.do("POST", "/certificates/secret/create", selfEC), 409, "Conflict")
		d.want(d.do("POST", "/certificates/KEY/create", selfEC), 409, "Conflict")
		d.do("DELETE", "/secrets/secret", "")
		d.do("DELETE", "/keys/key", "")
	}
}

// What is deleted is there until its second, and gone from it on; what was recovered
// before is not touched.
func TestConformScheduledPurge(t *testing.T) {
	claims(t, "cert-13-9", "cert-13-10", "cert-13-11")
	d := newDoor(t)
	for name, days := range map[string]int{"short": 7, "middle": 89, "long": 90} {
		for _, protected := range []bool{false, true} {
			options := []coffertest.VaultOption{coffertest.WithRetention(days)}
			vault := name
			if protected {
				vault, options = name+"-kept", append(options, coffertest.WithPurgeProtection())
			}
			d.server.NewVault(vault, options...)
			d.server.Grant(vault, d.server.Owner(), "certificates/all", "certificates/purge", "keys/get", "keys/list", "secrets/get", "secrets/list")
			v := *d
			v.base = d.server.VaultURL(vault)
			v.scheduledPurge(days, protected)
		}
	}
}

func (d *door) scheduledPurge(days int, protected bool) {
	d.t.Helper()
	for _, name := range []string{"goes", "stays"} {
		d.make(name, selfEC)
		d.want(d.do("DELETE", "/certificates/"+name, ""), 200, "")
	}
	if protected { // nobody can purge, and everybody who may can recover
		for _, name := range []string{"goes", "none"} {
			d.lacks(d.want(d.do("DELETE", "/deletedcertificates/"+name, ""), 403, "Forbidden"), "innererror")
		}
	}
	d.want(d.do("POST", "/deletedcertificates/stays/recover", ""), 200, "")
	d.server.Turn(time.Duration(days)*24*time.Hour - time.Second)
	d.want(d.do("GET", "/deletedcertificates/goes", ""), 200, "")
	d.want(d.do("POST", "/certificates/goes/create", selfEC), 409, "Conflict/ObjectIsDeletedButRecoverable")
	d.server.Turn(time.Second)
	d.want(d.do("GET", "/deletedcertificates/goes", ""), 404, "CertificateNotFound")
	for _, path := range []string{"/deletedkeys", "/deletedsecrets", "/deletedcertificates"} {
		if a := d.want(d.do("GET", path, ""), 200, ""); a.text != `{"value":[],"nextLink":null}` {
			d.t.Error(a.text)
		}
	}
	d.make("goes", selfEC)
	d.want(d.do("GET", "/certificates/stays", ""), 200, "")
	d.want(d.do("GET", "/secrets/stays", ""), 200, "")
}
