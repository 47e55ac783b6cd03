package dataplane_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// An issued certificate with its key, made by the standard library.
type issued struct {
	key  any
	leaf *x509.Certificate
	root *x509.Certificate
}

// newChain makes an authority and a leaf below it.
func newChain(t *testing.T, key any, change ...func(*x509.Certificate)) issued {
	t.Helper()
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf.example", Organization: []string{"Org"}, Country: []string{"US"}}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(-time.Hour).AddDate(1, 0, 0)}
	for _, fn := range change {
		fn(leaf)
	}
	out := issued{key: key}
	out.root = sign(t, root, root, &authority.PublicKey, authority)
	out.leaf = sign(t, leaf, root, publicOf(key), authority)
	return out
}

func publicOf(key any) any {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return &key.PublicKey
	case *rsa.PrivateKey:
		return &key.PublicKey
	}
	return nil
}

func sign(t *testing.T, template, parent *x509.Certificate, public, signer any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (i issued) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func certificatePEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func (d *door) policyOf(name string) string {
	return d.want(d.do("GET", "/certificates/"+name+"/policy", ""), 200, "").text
}

func TestConformCreate(t *testing.T) {
	claims(t, "cert-5.1-1", "cert-5.1-2", "cert-5.3-1", "cert-5.3-2", "cert-5.3-3", "cert-5.3-4", "cert-5.3-5", "cert-2.3-5")
	d := newDoor(t)
	d.want(d.do("POST", "/certificates/web/create", `{}`), 400, "BadParameter")
	d.want(d.do("GET", "/certificates/web/pending", ""), 404, "PendingCertificateNotFound")
	begun := d.want(d.do("POST", "/certificates/web/create", unknownEC), 202, "")
	d.has(begun, `"status_details":"Pending certificate created. Please Perform Merge to complete the request."`)
	for _, path := range []string{"create", "import"} {
		a := d.want(d.do("POST", "/certificates/web/"+path, `{"value":"x",`+unknownEC[1:]), 409, "Conflict")
		d.says(a, "A new key vault certificate can not be created or imported while a pending key vault certificate's status is inProgress.")
	}
	if a := d.want(d.do("PATCH", "/certificates/web/pending", `{"cancellation_requested":true}`), 200, ""); a.body["cancellation_requested"] != true || a.body["status"] != "inProgress" {
		t.Error(a.text)
	}
	if a := d.want(d.do("GET", "/certificates/web/pending?api-version=7.4&request_id="+begun.body["request_id"].(string), ""), 200, ""); a.body["cancellation_requested"] != true || a.body["status"] != "inProgress" {
		t.Error(a.text)
	}
	other := d.want(d.do("GET", "/certificates/web/pending?api-version=7.4&request_id=00000000000040008000000000000000", ""), 404, "PendingCertificateNotFound")
	if other.message() != "Pending Certificate not found: web" {
		t.Error(other.message())
	}
	if a := d.want(d.do("DELETE", "/certificates/web/pending", ""), 200, ""); a.body["request_id"] != begun.body["request_id"] {
		t.Error(a.text)
	}
	d.want(d.do("GET", "/certificates/web/pending", ""), 404, "PendingCertificateNotFound")
	d.want(d.do("PATCH", "/certificates/web/pending", `{"cancellation_requested":true}`), 404, "PendingCertificateNotFound")
	if a := d.want(d.do("GET", "/certificates/web", ""), 200, ""); a.body["pending"] != nil {
		t.Error(a.text)
	}
	// The next create takes the stored policy; its version may be disabled.
	d.want(d.do("PATCH", "/certificates/web/policy", `{"issuer":{"name":"Self"}}`), 200, "")
	c := d.make("web", `{"attributes":{"enabled":false}}`)
	if c.at("attributes.enabled") != false || c.at("policy.issuer.name") != "Self" {
		t.Error(c.text)
	}
	ended := d.want(d.do("PATCH", "/certificates/web/pending", `{"cancellation_requested":true}`), 403, "Forbidden")
	d.says(ended, "Pending status must be in progress to allow update.")
}

func TestConformNameConflicts(t *testing.T) {
	claims(t, "cert-5.5-1", "cert-5.5-3")
	d := newDoor(t)
	d.make("web", selfEC)
	d.do("DELETE", "/certificates/web", "")
	a := d.want(d.do("POST", "/certificates/web/create", selfEC), 409, "Conflict/ObjectIsDeletedButRecoverable")
	d.says(a, "Certificate web is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the certificate can only be recovered or purged.")
	d.want(d.do("PUT", "/secrets/taken", `{"value":"1"}`), 200, "")
	d.want(d.do("POST", "/certificates/taken/create", selfEC), 409, "Conflict")
}

func TestConformFailedOperation(t *testing.T) {
	claims(t, "cert-5.3-6", "cert-11-6")
	d := newDoor(t)
	d.want(d.do("PUT", "/certificates/issuers/ca1", `{"provider":"DigiCert","credentials":{"account_id":"a","pwd":"b"}}`), 200, "")
	body := strings.Replace(selfEC, `"Self"`, `"ca1"`, 1)
	d.want(d.do("POST", "/certificates/web/create", body), 202, "")
	d.server.Settle()
	a := d.do("GET", "/certificates/web/pending", "")
	d.order(a.text, "id", "issuer", "csr", "cancellation_requested", "status", "status_details", "error", "request_id")
	if a.status != 200 || a.body["status"] != "failed" || a.at("error.code") != "Certificate issuer error" || a.at("error.message") == "" || !strings.HasPrefix(a.body["status_details"].(string), "Pending certificate created.") {
		t.Error(a.text)
	}
	if c := d.want(d.do("GET", "/certificates/web", ""), 200, ""); c.at("attributes.enabled") != false {
		t.Error(c.text)
	}
}

func TestConformDefaults(t *testing.T) {
	claims(t, "cert-6.1-1", "cert-6.1-2", "cert-6.2-1", "cert-6.2-2")
	d := newDoor(t)
	for issuer, action := range map[string]string{"self": "AutoRenew", "UNKNOWN": "EmailContacts"} {
		d.want(d.do("POST", "/certificates/"+issuer+"/create", `{"policy":{"issuer":{"name":"`+issuer+`"},"x509_props":{"subject":"CN=a"}}}`), 202, "")
		d.server.Settle()
		want := `"key_props":{"exportable":true,"kty":"RSA","key_size":2048,"reuse_key":false},"secret_props":{"contentType":"application/x-pkcs12"},"x509_props":{"subject":"CN=a","ekus":["1.3.6.1.5.5.7.3.1","1.3.6.1.5.5.7.3.2"],"key_usage":["digitalSignature","keyEncipherment"],"validity_months":12,"basic_constraints":{"ca":false}},"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"` + action + `"}}],"issuer":{"name":"` + issuer + `"},"attributes":{"enabled":true,`
		if got := d.policyOf(issuer); !strings.Contains(got, want) {
			t.Errorf("%s\n%s", got, want)
		}
	}
	d.want(d.do("POST", "/certificates/none/create", `{"policy":{"x509_props":{"subject":"CN=a"},"key_props":{"kty":"EC"}}}`), 202, "")
	if got := d.policyOf("none"); !strings.Contains(got, `"issuer":{"name":"Unknown"}`) || !strings.Contains(got, `"crv":"P-256"`) {
		t.Error(got)
	}
	a := d.want(d.do("POST", "/certificates/bad/create", strings.Replace(selfEC, "Self", "nobody", 1)), 400, "BadParameter")
	d.says(a, "Property policy.issuer.name has invalid value.")
}

func TestConformRejectedPolicies(t *testing.T) {
	claims(t, "cert-6.3-1", "cert-6.3-2", "cert-6.3-3", "cert-6.3-4", "cert-6.3-5", "cert-6.3-6", "cert-6.3-7", "cert-6.3-8", "cert-17-2")
	d := newDoor(t)
	d.server.NewVault("standard")
	d.server.Grant("standard", d.server.Owner(), "certificates/all")
	standard := *d
	standard.base = d.server.VaultURL("standard")
	for part, want := range map[string]string{
		`"x509_props":{"subject":"Self","key_usage":["x"]},"issuer":{"name":"y"}`:                          "Property policy.x509_props has invalid value. Invalid X.500 distinguished name\r\n",
		`"x509_props":{"subject":"CN=a","key_usage":["x"]}`:                                                "Property policy.x509_props.key_usage has invalid value",
		`"key_props":{"kty":"DSA"}`:                                                                        "Property policy.key_props.kty has invalid value",
		`"key_props":{"kty":"EC","crv":"P-192"}`:                                                           "Property policy.key_props.crv has invalid value",
		`"x509_props":{"subject":"CN=a","ekus":["1.2.x"]}`:                                                 "Property policy.x509_props.ekus has invalid value",
		`"key_props":{"key_size":1024}`:                                                                    "Property policy.key_props.key_size has invalid value",
		`"key_props":{"kty":"EC","crv":"P-256","key_size":384}`:                                            "Property policy.key_props.key_size has invalid value",
		`"key_props":{"kty":"RSA-HSM","exportable":true}`:                                                  "Property policy.key_props.exportable has invalid value",
		`"key_props":{"kty":"oct"}`:                                                                        "Property policy.key_props.kty has invalid value",
		`"lifetime_actions":[{"trigger":{"lifetime_percentage":0},"action":{"action_type":"AutoRenew"}}]`:  "Property policy.lifetime_actions[0].trigger.lifetime_percentage has invalid value",
		`"lifetime_actions":[{"trigger":{"days_before_expiry":325},"action":{"action_type":"AutoRenew"}}]`: "Property policy.lifetime_actions[0].trigger.days_before_expiry has invalid value",
		`"lifetime_actions":[{"trigger":{},"action":{"action_type":"AutoRenew"}}]`:                         "Property policy.lifetime_actions[0].trigger has invalid value",
		`"x509_props":{}`: "Property policy.x509_props has invalid value",
		`"x509_props":{"subject":"CN=` + strings.Repeat("a", 201) + `"}`: "Property policy.x509_props.subject has invalid value. char length is too long",
	} {
		if !strings.Contains(part, "x509_props") {
			part += `,"x509_props":{"subject":"CN=a"}`
		}
		if !strings.Contains(part, "issuer") {
			part += `,"issuer":{"name":"Self"}`
		}
		a := d.want(d.do("POST", "/certificates/bad/create", `{"policy":{`+part+`}}`), 400, "BadParameter")
		d.says(a, want)
	}
	d.want(d.do("GET", "/certificates/bad", ""), 404, "CertificateNotFound")
	hsm := `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC-HSM","exportable":false},"x509_props":{"subject":"CN=a"}}}`
	standard.want(standard.do("POST", "/certificates/hsm/create", hsm), 400, "BadParameter")
	c := d.make("hsm", hsm)
	if c.at("policy.key_props.kty") != "EC-HSM" || c.at("policy.key_props.exportable") != false {
		t.Error(c.text)
	}
	d.has(d.do("GET", "/keys/hsm", ""), `"kty":"EC-HSM"`)
}

// certificate reads the cer of an answer.
func (a answer) certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(a.body["cer"].(string))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformX509(t *testing.T) {
	claims(t, "cert-6.4-1", "cert-6.5-1", "cert-6.5-2", "cert-6.5-3", "cert-6.5-4", "cert-12.1-1", "cert-12.1-2", "cert-12.1-3", "cert-12.1-4", "cert-12.1-5", "cert-12.2-1")
	d := newDoor(t)
	body := `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC","crv":"P-384"},"x509_props":{"subject":"E=a@b.test, CN=*.web.test, OU=\"x, y\", O=Zürich, S=WA, DC=test, C=US","validity_months":3,` +
		`"key_usage":["keyCertSign","dataEncipherment","crlSign","digitalSignature"],"sans":{"dns_names":["web.test"],"uris":["spiffe://a/b"],"ipAddresses":["10.0.0.1","::1"],"emails":["a@b.test"],"upns":["u@b.test"]}}}}`
	d.want(d.do("POST", "/certificates/web/create?api-version=2025-07-01", body), 202, "")
	d.server.Settle()
	a := d.want(d.do("GET", "/certificates/web?api-version=2025-07-01", ""), 200, "")
	d.has(a, `"key_usage":["cRLSign","dataEncipherment","digitalSignature","keyCertSign"]`)
	c := a.certificate(t)
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.RawSubject, &name); err != nil || fmt.Sprint(name[0][0].Type) != "2.5.4.6" || name[len(name)-1][0].Value != "a@b.test" || name[3][0].Value != "Zürich" {
		t.Errorf("%v, %v", name, err)
	}
	hexDigits := fmt.Sprintf("%032x", c.SerialNumber)
	if len(hexDigits) != 32 || hexDigits[12] != '4' || !strings.ContainsRune("89ab", rune(hexDigits[16])) || hexDigits[0] > '7' {
		t.Errorf("serial %s", hexDigits)
	}
	now := d.server.Now()
	if !c.NotBefore.Equal(now.Add(-600*time.Second)) || !c.NotAfter.Equal(now.AddDate(0, 3, 0)) {
		t.Errorf("%v to %v, now %v", c.NotBefore, c.NotAfter, now)
	}
	var order []string
	for _, e := range c.Extensions {
		order = append(order, fmt.Sprint(e.Id, " ", e.Critical))
	}
	if got := strings.Join(order, ", "); got != "2.5.29.15 true, 2.5.29.19 false, 2.5.29.37 false, 2.5.29.17 false, 2.5.29.35 false, 2.5.29.14 false" {
		t.Error(got)
	}
	if c.SignatureAlgorithm != x509.ECDSAWithSHA384 || string(c.RawIssuer) != string(c.RawSubject) || c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
		t.Error("not self-signed as recorded")
	}
	point, _ := publicBits(c)
	sum := sha1.Sum(point)
	if string(c.SubjectKeyId) != string(sum[:]) || string(c.AuthorityKeyId) != string(sum[:]) {
		t.Error("the key identifiers are others")
	}
	if c.DNSNames[0] != "web.test" || c.URIs[0].String() != "spiffe://a/b" || len(c.IPAddresses) != 2 || c.EmailAddresses[0] != "a@b.test" {
		t.Errorf("%v %v %v %v", c.DNSNames, c.URIs, c.IPAddresses, c.EmailAddresses)
	}
	csr, err := base64.StdEncoding.DecodeString(d.do("GET", "/certificates/web/pending", "").body["csr"].(string))
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil || request.CheckSignature() != nil || string(request.RawSubjectPublicKeyInfo) != string(c.RawSubjectPublicKeyInfo) {
		t.Fatal(err)
	}
	order = nil
	for _, e := range request.Extensions {
		order = append(order, fmt.Sprint(e.Id, " ", e.Critical))
	}
	if got := strings.Join(order, ", "); got != "2.5.29.15 true, 2.5.29.37 false, 2.5.29.17 false, 2.5.29.19 false" {
		t.Error(got)
	}
	// Names without a subject: an empty one, and the extension is critical.
	only := d.make("only", `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC"},"x509_props":{"sans":{"dns_names":["a.test"]}}}}`).certificate(t)
	if string(only.RawSubject) != "0\x00" || !only.Extensions[3].Critical {
		t.Errorf("%x", only.RawSubject)
	}
	// P-256K: the curve is written out, which no library reads.
	d.want(d.do("POST", "/certificates/k/create", strings.Replace(selfEC, "P-256", "P-256K", 1)), 202, "")
	d.server.Settle()
	if k := d.want(d.do("GET", "/certificates/k", ""), 200, ""); k.at("policy.key_props.crv") != "P-256K" || k.body["cer"] == nil {
		t.Error(k.text)
	}
	d.has(d.do("GET", "/keys/k", ""), `"crv":"P-256K"`)
}

func publicBits(c *x509.Certificate) ([]byte, error) {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &spki)
	return spki.Key.Bytes, err
}

func TestConformPolicyRoutes(t *testing.T) {
	claims(t, "cert-6.6-1", "cert-6.6-2", "cert-6.6-3")
	d := newDoor(t)
	d.want(d.do("POST", "/certificates/web/create", unknownEC), 202, "")
	before := d.want(d.do("GET", "/certificates/web/policy", ""), 200, "")
	if before.body["id"] != "https://demo.vault.azure.net/certificates/web/policy" {
		t.Error(before.text)
	}
	after := d.want(d.do("PATCH", "/certificates/web/policy", `{"key_props":{"kty":"EC","crv":"P-256K","key_size":256,"exportable":true,"reuse_key":true}}`), 200, "")
	for _, member := range []string{"x509_props", "issuer", "lifetime_actions", "secret_props"} {
		if fmt.Sprint(after.body[member]) != fmt.Sprint(before.body[member]) {
			t.Errorf("%s: %v, %v", member, before.body[member], after.body[member])
		}
	}
	if after.at("attributes.created") != before.at("attributes.created") || after.at("attributes.updated") == before.at("attributes.updated") || after.at("key_props.crv") != "P-256K" {
		t.Error(after.text)
	}
	d.want(d.do("PATCH", "/certificates/web/policy", `{"x509_props":{"subject":"nothing"}}`), 400, "BadParameter")
	if again := d.do("GET", "/certificates/web/policy", ""); again.text != after.text {
		t.Error(again.text)
	}
	d.want(d.do("PUT", "/certificates/web/policy", `{}`), 405, "MethodNotAllowed")
}

func TestConformUpdate(t *testing.T) {
	claims(t, "cert-7.1-1", "cert-7.1-2", "cert-7.2-1", "cert-7.2-2", "cert-7.2-3", "cert-9.3-1", "cert-2.3-2")
	d := newDoor(t)
	old := d.make("web", `{"tags":{"a":"b"},`+selfEC[1:]).version()
	c := d.make("web", selfEC)
	a := d.want(d.do("PATCH", "/certificates/web/"+old, `{"attributes":{"enabled":false}}`), 200, "")
	d.has(a, `"tags":{"a":"b"}`, `"enabled":false`)
	d.want(d.do("GET", "/secrets/web/"+old, ""), 403, "Forbidden/SecretDisabled")
	d.has(d.do("GET", "/keys/web/"+old, ""), `"enabled":false`)
	d.want(d.do("GET", "/secrets/web", ""), 200, "")
	d.has(d.want(d.do("GET", "/certificates/web/"+old, ""), 200, ""), `"enabled":false`)
	current := d.want(d.do("GET", "/certificates/web", ""), 200, "")
	if current.at("attributes.updated") != c.at("attributes.updated") || current.at("attributes.enabled") != true {
		t.Error(current.text)
	}
	changed := d.want(d.do("PATCH", "/certificates/web", `{"attributes":{"exp":1893459661},"tags":{"x":"y"}}`), 200, "")
	if changed.at("attributes.exp") != c.at("attributes.exp") || changed.at("attributes.updated").(float64) <= c.at("attributes.updated").(float64) || changed.body["id"] != c.body["id"] {
		t.Error(changed.text)
	}
	d.server.Turn(400 * 24 * time.Hour)
	d.want(d.do("GET", "/certificates/web/"+c.version(), ""), 200, "") // expired
	missing := d.want(d.do("GET", "/certificates/none", ""), 404, "CertificateNotFound")
	d.says(missing, "A certificate with (name/id) none was not found in this key vault.")
	for _, test := range [][2]string{{"GET", "/certificates/none/policy"}, {"DELETE", "/certificates/none"}, {"POST", "/certificates/none/backup"}, {"POST", "/deletedcertificates/none/recover"}, {"GET", "/deletedcertificates/none"}} {
		if a := d.want(d.do(test[0], test[1], ""), 404, "CertificateNotFound"); a.message() != missing.message() {
			t.Errorf("%v: %s", test, a.message())
		}
	}
	if a := d.want(d.do("GET", "/deletedcertificates/web", ""), 404, "CertificateNotFound"); a.message() != "Deleted Certificate not found: web" {
		t.Error(a.message())
	}
}

func TestConformImport(t *testing.T) {
	claims(t, "cert-6.1-3", "cert-8.1-1", "cert-8.2-1", "cert-8.2-2", "cert-8.2-3", "cert-8.2-4", "cert-8.2-5", "cert-8.2-6", "cert-8.2-7", "cert-8.2-8", "cert-8.3-1", "cert-8.3-2", "cert-8.3-3", "cert-8.4-1", "cert-8.5-1", "cert-9.2-3", "cert-17-3")
	d := newDoor(t)
	chain := newChain(t, newECKey(t), func(c *x509.Certificate) {
		c.KeyUsage, c.ExtKeyUsage, c.DNSNames = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"leaf.example"}
	})
	imported := func(name, body string) answer {
		return d.want(d.do("POST", "/certificates/"+name+"/import?api-version=7.6", body), 200, "")
	}
	for name, encoder := range map[string]*pkcs12.Encoder{"legacyrc2": pkcs12.LegacyRC2, "legacydes": pkcs12.LegacyDES, "modern": pkcs12.Modern2023} {
		for _, password := range []string{"", "pass wörd"} {
			file, err := encoder.Encode(chain.key, chain.leaf, []*x509.Certificate{chain.root}, password)
			if err != nil {
				t.Fatal(err)
			}
			pwd := ""
			if password != "" {
				pwd = `,"pwd":` + quote(password)
			}
			a := imported(name, `{"value":"`+base64.StdEncoding.EncodeToString(file)+`"`+pwd+`}`)
			if a.body["pending"] != nil || a.header.Get("Location") != "" || a.at("policy.secret_props.contentType") != "application/x-pkcs12" {
				t.Error(a.text)
			}
			d.want(d.do("POST", "/certificates/"+name+"/import", `{"value":"`+base64.StdEncoding.EncodeToString(file)+`","pwd":"wrong"}`), 400, "BadParameter")
			// The exported file has an empty password, whatever the imported one had.
			value, err := base64.StdEncoding.DecodeString(d.do("GET", "/secrets/"+name, "").body["value"].(string))
			if err != nil {
				t.Fatal(err)
			}
			key, leaf, cas, err := pkcs12.DecodeChain(value, "")
			if err != nil || !key.(*ecdsa.PrivateKey).Equal(chain.key) || len(cas) != 1 || leaf == nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	pemPolicy := `"policy":{"secret_props":{"contentType":"application/x-pem-file"},"x509_props":{"subject":"CN=AzureSDK"}}`
	for i, text := range []string{chain.keyPEM(t) + certificatePEM(chain.leaf) + certificatePEM(chain.root), certificatePEM(chain.root) + certificatePEM(chain.leaf) + chain.keyPEM(t)} {
		a := imported(fmt.Sprintf("pem%d", i), `{"value":`+quote(text)+`,`+pemPolicy+`}`)
		if a.certificate(t).Subject.CommonName != "leaf.example" || a.at("policy.x509_props.subject") != "CN=leaf.example, O=Org, C=US" {
			t.Error(a.text)
		}
		d.has(a, `"key_props":{"exportable":true,"kty":"EC","key_size":256,"reuse_key":false,"crv":"P-256"}`, `"sans":{"dns_names":["leaf.example"]`, `"ekus":["1.3.6.1.5.5.7.3.1"],"key_usage":["digitalSignature"],"validity_months":12,"basic_constraints":{"ca":false}`,
			`"lifetime_actions":[{"trigger":{"lifetime_percentage":80},"action":{"action_type":"EmailContacts"}}],"issuer":{"name":"Unknown"}`)
		secret := d.do("GET", "/secrets/"+fmt.Sprintf("pem%d", i), "")
		value := secret.body["value"].(string)
		if want := chain.keyPEM(t) + certificatePEM(chain.leaf) + certificatePEM(chain.root); value != want || secret.body["contentType"] != "application/x-pem-file" {
			t.Errorf("%s\n%s", value, want)
		}
	}
	imported("twice", `{"value":"`+base64.StdEncoding.EncodeToString([]byte(chain.keyPEM(t)+certificatePEM(chain.leaf)))+`",`+pemPolicy+`}`)
	kept := imported("kept", `{"preserveCertOrder":true,"value":`+quote(certificatePEM(chain.root)+certificatePEM(chain.leaf)+chain.keyPEM(t))+`,`+pemPolicy+`}`)
	if value := d.do("GET", "/secrets/kept", "").body["value"].(string); value != chain.keyPEM(t)+certificatePEM(chain.root)+certificatePEM(chain.leaf) || kept.body["preserveCertOrder"] != true {
		t.Error(value)
	}
	bare := newChain(t, newECKey(t), func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(36500 * 24 * time.Hour) })
	a := imported("bare", `{"value":`+quote(bare.keyPEM(t)+certificatePEM(bare.leaf))+`,"policy":{"issuer":{"name":"Self"},"key_props":{"exportable":false,"kty":"EC","key_size":256},"secret_props":{"contentType":"application/x-pem-file"}}}`)
	d.has(a, `"ekus":[],"key_usage":[],"validity_months":1200`, `"action_type":"AutoRenew"`, `"exportable":false`)
	d.lacks(d.do("GET", "/secrets/bare", ""), "PRIVATE KEY")
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	expired := newChain(t, newECKey(t), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0)
	})
	ecDER, _ := x509.MarshalECPrivateKey(chain.key.(*ecdsa.PrivateKey))
	for name, test := range map[string]struct{ value, policy, message string }{
		"SEC1":         {string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})) + certificatePEM(chain.leaf), pemPolicy, "The specified PEM X.509 certificate content is in an unexpected format."},
		"PKCS#1":       {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})) + certificatePEM(chain.leaf), pemPolicy, "The specified PEM X.509 certificate content is in an unexpected format."},
		"CRLF":         {strings.ReplaceAll(chain.keyPEM(t)+certificatePEM(chain.leaf), "\n", "\r\n"), pemPolicy, "The specified PEM X.509 certificate content is in an unexpected format."},
		"no key":       {certificatePEM(chain.leaf), pemPolicy, "The specified PEM X.509 certificate content is in an unexpected format."},
		"mismatch":     {bare.keyPEM(t) + certificatePEM(chain.leaf), pemPolicy, "The public key of the end-entity certificate in the specified X.509 certificate content does not match"},
		"expired":      {expired.keyPEM(t) + certificatePEM(expired.leaf), pemPolicy, "The specified X.509 certificate content has expired (CertificateExpired)"},
		"no PFX":       {"AAAA", `"policy":{}`, "The specified PKCS#12 X.509 certificate content can not be read."},
		"another size": {chain.keyPEM(t) + certificatePEM(chain.leaf), `"policy":{"secret_props":{"contentType":"application/x-pem-file"},"key_props":{"exportable":false,"kty":"RSA","key_size":2048}}`, "Property policy has invalid value\r\n"},
		"password":     {chain.keyPEM(t) + certificatePEM(chain.leaf), pemPolicy + `,"pwd":"` + strings.Repeat("p", 201) + `"`, "Property pwd has invalid value. char length is too long"},
	} {
		a := d.want(d.do("POST", "/certificates/refused/import", `{"value":`+quote(test.value)+`,`+test.policy+`}`), 400, "BadParameter")
		if !strings.HasPrefix(a.message(), test.message) {
			t.Errorf("%s: %s", name, a.message())
		}
	}
	d.want(d.do("GET", "/certificates/refused", ""), 404, "CertificateNotFound")
	if log := d.server.AuditLog(); strings.Contains(log, "wrong") || strings.Contains(log, "wörd") || strings.Contains(log, "PRIVATE") {
		t.Error("a password or a key is in the audit log")
	}
}

func TestConformBacking(t *testing.T) {
	claims(t, "cert-9.1-1", "cert-9.1-2", "cert-9.2-1", "cert-9.2-2", "cert-9.2-4", "cert-9.3-2", "cert-2.3-3", "cert-2.3-4", "cert-9.3-3")
	d := newDoor(t)
	c := d.make("web", strings.Replace(selfEC, `"subject":"CN=web"`, `"subject":"CN=web","key_usage":["dataEncipherment","keyCertSign","keyEncipherment"]`, 1))
	key := d.want(d.do("GET", "/keys/web/"+c.version()+"?api-version=7.6-preview.1", ""), 200, "")
	d.order(key.text, "key", "kid", "kty", "key_ops", "crv", "x", "y", "attributes", "enabled", "hsmPlatform", "managed")
	d.has(key, `"key_ops":["sign","verify","wrapKey","unwrapKey","encrypt","decrypt"]`, `"hsmPlatform":"0"},"managed":true}`)
	d.lacks(key, "exportable")
	if key.at("attributes.exp") != c.at("attributes.exp") || key.at("attributes.created") != c.at("attributes.created") {
		t.Error(key.text)
	}
	secret := d.want(d.do("GET", "/secrets/web", ""), 200, "")
	if secret.body["kid"] != c.body["kid"] || secret.body["managed"] != true || secret.body["contentType"] != "application/x-pkcs12" || fmt.Sprint(secret.body["attributes"]) != fmt.Sprint(c.body["attributes"]) {
		t.Error(secret.text)
	}
	file, err := base64.StdEncoding.DecodeString(secret.body["value"].(string))
	if err != nil {
		t.Fatal(err)
	}
	private, leaf, err := pkcs12.Decode(file, "")
	if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(leaf.PublicKey) || string(leaf.Raw) != string(c.certificate(t).Raw) {
		t.Errorf("%v", err)
	}
	locked := d.make("locked", strings.Replace(selfEC, `"crv":"P-256"`, `"crv":"P-256","exportable":false`, 1))
	file, _ = base64.StdEncoding.DecodeString(d.do("GET", "/secrets/locked", "").body["value"].(string))
	if _, _, err := pkcs12.Decode(file, ""); err == nil || locked.at("policy.key_props.exportable") != false {
		t.Error("a key that cannot be exported is in the file")
	}
	a := d.want(d.do("PUT", "/secrets/web", `{"value":"1"}`), 403, "Forbidden/SecretManagedByKeyVault")
	if a.message() != `Operation "set" is not allowed as this object's lifetime is managed by Key Vault.` {
		t.Error(a.message())
	}
	d.want(d.do("DELETE", "/keys/web", ""), 403, "Forbidden/KeyManagedByKeyVault")
	d.has(d.do("GET", "/secrets", ""), `"managed":true`)
	d.has(d.do("GET", "/keys", ""), `"managed":true`)
	d.do("DELETE", "/certificates/web", "")
	d.want(d.do("GET", "/secrets/web", ""), 404, "SecretNotFound")
	d.want(d.do("GET", "/keys/web/"+c.version(), ""), 404, "KeyNotFound")
}

func TestConformMerge(t *testing.T) {
	claims(t, "cert-10-1", "cert-10-2", "cert-10-3", "cert-10-4", "cert-10-5", "cert-10-6", "cert-10-7")
	d := newDoor(t)
	nonsense := `{"x5c":["dGVzdA=="]}`
	d.want(d.do("POST", "/certificates/none/pending/merge", nonsense), 404, "PendingCertificateNotFound")
	for _, order := range []string{"leaf", "chain", "reversed"} {
		begun := d.want(d.do("POST", "/certificates/"+order+"/create", `{"tags":{"from":"create"},`+unknownEC[1:]), 202, "")
		csr, _ := base64.StdEncoding.DecodeString(begun.body["csr"].(string))
		request, err := x509.ParseCertificateRequest(csr)
		if err != nil {
			t.Fatal(err)
		}
		authority := newECKey(t)
		root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true}
		ca := sign(t, root, root, &authority.PublicKey, authority)
		leaf := sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "another"}, NotBefore: time.Now().AddDate(4, 0, 0), NotAfter: time.Now().AddDate(14, 0, 0)}, ca, request.PublicKey, authority)
		other := sign(t, &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}, ca, &newECKey(t).PublicKey, authority)
		encode := func(chain ...*x509.Certificate) string {
			var texts []string
			for _, c := range chain {
				texts = append(texts, base64.StdEncoding.EncodeToString(c.Raw))
			}
			return `{"x5c":["` + strings.Join(texts, `","`) + `"]}`
		}
		before := d.do("GET", "/certificates/"+order+"/pending", "").text
		a := d.want(d.do("POST", "/certificates/"+order+"/pending/merge", encode(other)), 400, "BadParameter")
		if a.message() != "The public key of the end-entity certificate in the specified X.509 certificate content does not match the public part of the specified private key. Please check if certificate is valid." {
			t.Error(a.message())
		}
		d.want(d.do("POST", "/certificates/"+order+"/pending/merge", nonsense), 400, "BadParameter")
		if after := d.do("GET", "/certificates/"+order+"/pending", "").text; after != before {
			t.Error("a refused merge changed the operation")
		}
		twice := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(leaf.Raw)))
		body := map[string]string{"leaf": `{"x5c":["` + twice + `"]}`, "chain": encode(leaf, ca), "reversed": encode(ca, leaf)}[order]
		merged := d.want(d.do("POST", "/certificates/"+order+"/pending/merge?api-version=7.4", body), 201, "")
		if merged.header.Get("Location") != "https://demo.vault.azure.net/certificates/"+order+"?api-version=7.4" || string(merged.certificate(t).Raw) != string(leaf.Raw) || merged.at("policy.x509_props.validity_months") != 12.0 || merged.body["pending"] == nil || merged.at("tags.from") != "create" {
			t.Error(merged.text)
		}
		if op := d.do("GET", "/certificates/"+order+"/pending", ""); op.body["status"] != "completed" || op.body["target"] == nil {
			t.Error(op.text)
		}
		if merged.at("attributes.nbf") != float64(leaf.NotBefore.Unix()) {
			t.Error(merged.text)
		}
	}
}
