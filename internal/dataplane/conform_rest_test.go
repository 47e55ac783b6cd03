package dataplane_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestConformIssuers(t *testing.T) {
	claims(t, "cert-11-1", "cert-11-2", "cert-11-3", "cert-11-4", "cert-11-5")
	d := newDoor(t)
	body := `{"provider":"Test","credentials":{"account_id":"keyvaultuser","pwd":"canary"},"org_details":{"admin_details":[{"first_name":"John","last_name":"Doe","email":"admin@test","phone":"42"}]}}`
	first := d.want(d.do("PUT", "/certificates/issuers/issuer", body), 200, "")
	d.order(first.text, "id", "provider", "credentials", "org_details", "zip", "admin_details", "first_name", "last_name", "email", "phone", "attributes", "enabled", "created", "updated")
	d.has(first, `"id":"https://demo.vault.azure.net/certificates/issuers/issuer"`, `"credentials":{"account_id":"keyvaultuser"}`, `"org_details":{"zip":0,`)
	d.lacks(first, "canary", "pwd")
	patched := d.want(d.do("PATCH", "/certificates/issuers/issuer", `{"org_details":{"admin_details":[{"first_name":"Jane"}]}}`), 200, "")
	d.has(patched, `"credentials":{"account_id":"keyvaultuser"}`, `"first_name":"Jane"}]`)
	d.has(d.do("PATCH", "/certificates/issuers/issuer", `{"attributes":{"enabled":false}}`), `"enabled":false`, `"first_name":"Jane"`)
	again := d.want(d.do("PUT", "/certificates/issuers/issuer", `{"provider":"Test"}`), 200, "")
	if again.at("attributes.created") != first.at("attributes.created") || again.body["credentials"] != nil || again.body["org_details"] != nil || again.at("attributes.enabled") != true {
		t.Error(again.text)
	}
	d.want(d.do("PUT", "/certificates/issuers/issuer2", `{"provider":"DigiCert"}`), 200, "")
	if a := d.do("GET", "/certificates/issuers", ""); a.text != `{"value":[{"id":"https://demo.vault.azure.net/certificates/issuers/issuer","provider":"Test"},{"id":"https://demo.vault.azure.net/certificates/issuers/issuer2","provider":"DigiCert"}],"nextLink":null}` {
		t.Error(a.text)
	}
	d.want(d.do("PUT", "/certificates/issuers/bad", `{}`), 400, "BadParameter")
	d.want(d.do("DELETE", "/certificates/issuers/issuer", ""), 200, "")
	missing := d.want(d.do("GET", "/certificates/issuers/issuer", ""), 404, "CertificateIssuerNotFound")
	if missing.message() != "Issuer not found" {
		t.Error(missing.message())
	}
	d.want(d.do("PATCH", "/certificates/issuers/issuer", `{}`), 404, "CertificateIssuerNotFound")
	if strings.Contains(d.server.AuditLog(), "canary") {
		t.Error("the password is in the audit log")
	}
}

func TestConformContacts(t *testing.T) {
	claims(t, "cert-15-1", "cert-15-2", "cert-15-3")
	d := newDoor(t)
	missing := d.want(d.do("GET", "/certificates/contacts", ""), 404, "ContactsNotFound")
	if missing.message() != "Contacts not found" {
		t.Error(missing.message())
	}
	d.want(d.do("DELETE", "/certificates/contacts", ""), 404, "ContactsNotFound")
	set := d.want(d.do("PUT", "/certificates/contacts", `{"contacts":[{"email":"b@test","name":"B","phone":"1"},{"email":"a@test"}]}`), 200, "")
	if set.text != `{"id":"https://demo.vault.azure.net/certificates/contacts","contacts":[{"email":"b@test","name":"B","phone":"1"},{"email":"a@test"}]}` {
		t.Error(set.text)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if a := d.want(d.do(method, "/certificates/contacts", ""), 200, ""); a.text != set.text {
			t.Error(a.text)
		}
	}
	d.want(d.do("GET", "/certificates/contacts", ""), 404, "ContactsNotFound")
	d.lacks(d.do("GET", "/certificates", ""), "contacts")
}

func TestConformDeletedState(t *testing.T) {
	claims(t, "cert-13-1", "cert-13-2", "cert-13-3")
	d := newDoor(t)
	first := d.make("web", selfEC).version()
	c := d.make("web", selfEC)
	deleted := d.want(d.do("DELETE", "/certificates/web", ""), 200, "")
	if a := d.want(d.do("GET", "/deletedcertificates/web", ""), 200, ""); a.text != deleted.text {
		t.Error(a.text)
	}
	d.want(d.do("GET", "/certificates/web/"+first, ""), 404, "CertificateNotFound")
	recovered := d.want(d.do("POST", "/deletedcertificates/web/recover", ""), 200, "")
	d.has(recovered, `"policy"`, `"pending"`)
	if recovered.body["id"] != c.body["id"] || recovered.at("attributes.created") != c.at("attributes.created") {
		t.Error(recovered.text)
	}
	d.want(d.do("GET", "/certificates/web/"+first, ""), 200, "")
	d.do("DELETE", "/certificates/web", "")
	d.want(d.do("DELETE", "/deletedcertificates/web", ""), 204, "")
	d.want(d.do("GET", "/deletedcertificates/web", ""), 404, "CertificateNotFound")
	d.make("web", selfEC)
}

func TestConformBackup(t *testing.T) {
	claims(t, "cert-14-1", "cert-14-2", "cert-14-3", "cert-14-4", "cert-14-5")
	d := newDoor(t)
	first := d.make("web", `{"tags":{"a":"b"},`+selfEC[1:])
	c := d.make("web", selfEC)
	blob := d.want(d.do("POST", "/certificates/web/backup", ""), 200, "").body["value"].(string)
	if _, err := base64.RawURLEncoding.DecodeString(blob); err != nil {
		t.Error(err)
	}
	restore := `{"value":"` + blob + `"}`
	conflict := d.want(d.do("POST", "/certificates/restore", restore), 409, "Conflict")
	d.says(conflict, "There was a conflict restoring the certificate 'https://demo.vault.azure.net/certificates/web/"+c.version()+"'")
	d.do("DELETE", "/certificates/web", "")
	d.want(d.do("POST", "/certificates/restore", restore), 409, "Conflict")
	d.want(d.do("DELETE", "/deletedcertificates/web", ""), 204, "")
	restored := d.want(d.do("POST", "/certificates/restore", restore), 200, "")
	d.lacks(restored, `"pending"`)
	if restored.body["id"] != c.body["id"] || fmt.Sprint(restored.body["attributes"]) != fmt.Sprint(c.body["attributes"]) || restored.body["policy"] == nil {
		t.Error(restored.text)
	}
	if old := d.want(d.do("GET", "/certificates/web/"+first.version(), ""), 200, ""); old.at("tags.a") != "b" || old.body["x5t"] != first.body["x5t"] {
		t.Error(old.text)
	}
	d.want(d.do("GET", "/secrets/web/"+first.version(), ""), 200, "")
	for _, bad := range []string{"", "dGVzdA", blob[:len(blob)-8], blob[:100] + "A" + blob[101:], "A" + blob[1:]} {
		if bad == blob {
			continue
		}
		a := d.want(d.do("POST", "/certificates/restore", `{"value":"`+bad+`"}`), 400, "Malformed backup blob")
		if a.message() != "Backup blob is corrupt." {
			t.Error(a.message())
		}
	}
	foreign := newDoor(t)
	foreign.want(foreign.do("POST", "/certificates/restore", restore), 400, "Malformed backup blob")
}

func TestConformLimits(t *testing.T) {
	claims(t, "cert-17-1", "cert-17-4", "cert-16-1")
	d := newDoor(t)
	long := strings.Repeat("a", 127)
	d.make(long, selfEC)
	d.want(d.do("POST", "/certificates/web/create", `{"tags":{`+tagList(16)+`},`+selfEC[1:]), 400, "BadParameter")
	d.make("web", `{"tags":{`+tagList(15)+`},`+selfEC[1:])
	for _, name := range []string{"CertificateCreate", "CertificateEnroll", "CertificatePendingGet", "CertificateGet"} {
		if !strings.Contains(d.server.AuditLog(), `"operationName":"`+name+`"`) {
			t.Errorf("%s is not in the audit log", name)
		}
	}
}
