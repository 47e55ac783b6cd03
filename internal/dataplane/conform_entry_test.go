package dataplane_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"coffer/internal/dataplane"
)

// certify makes a certificate of a CSR, under an authority of its own.
func certify(t *testing.T, csr []byte) []byte {
	t.Helper()
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	authority, now := newECKey(t), time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now, NotAfter: now.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	return sign(t, leaf, root, request.PublicKey, authority).Raw
}

// forger makes tokens with the claims of a real one and a key that nobody has.
type forger struct {
	t              *testing.T
	key            *rsa.PrivateKey
	header, claims map[string]any
}

func newForger(t *testing.T, token string) *forger {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, key: key}
	for i, to := range []*map[string]any{&f.header, &f.claims} {
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// forge signs a token in which some members of header and claims are changed.
func (f *forger) forge(change map[string]any) string {
	f.t.Helper()
	var parts []string
	for _, part := range []map[string]any{f.header, f.claims} {
		out := map[string]any{}
		for name, value := range part {
			out[name] = value
			if changed, ok := change[name]; ok {
				out[name] = changed
			}
		}
		text, err := json.Marshal(out)
		if err != nil {
			f.t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	text := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.key, crypto.SHA256, sum[:])
	if err != nil {
		f.t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestConformForgedTokens(t *testing.T) {
	claims(t, "cert-2.2-5", "cert-2.2-6", "cert-2.2-7", "id-6-6", "id-6-7")
	d := newDoor(t)
	f := newForger(t, d.token)
	ours := "https://sts.windows.net/" + d.server.TenantID() + "/"
	if f.claims["iss"] != ours {
		t.Errorf("the issuer is %v", f.claims["iss"])
	}
	const other = "https://sts.windows.net/00000000-0000-4000-8000-000000000000/"
	parts := strings.Split(d.token, ".")
	for name, test := range map[string]struct{ authorization, want string }{
		"issuer":    {"Bearer " + f.forge(map[string]any{"iss": other}), "AKV10032: Invalid issuer. Expected one of " + ours + ", found " + other + "."},
		"key":       {"Bearer " + f.forge(map[string]any{"kid": "another", "x5t": "another"}), "AKV10046: Unable to resolve the key used for signature validation."},
		"signature": {"Bearer " + f.forge(nil), "AKV100"},
		"algorithm": {"Bearer " + f.forge(map[string]any{"alg": "HS256"}), "AKV100"},
		"claims":    {"Bearer " + parts[0] + "." + strings.Split(f.forge(map[string]any{"oid": "another"}), ".")[1] + "." + parts[2], "AKV100"},
		"junk":      {"Bearer junk", "AKV100"},
		"scheme":    {"Basic " + d.token, "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."},
		"bare":      {d.token, "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."},
		"empty":     {"Bearer ", "AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."},
	} {
		t.Run(name, func(t *testing.T) {
			a := d.want(d.do("GET", "/certificates/none", "", func(r *http.Request) { r.Header.Set("Authorization", test.authorization) }), 401, "Unauthorized")
			d.says(a, test.want)
			if a.header.Get("WWW-Authenticate") != `Bearer authorization="https://login.microsoftonline.com/`+d.server.TenantID()+`", resource="https://vault.azure.net"` {
				t.Errorf("the challenge is %s", a.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestConformRemovedPrincipal(t *testing.T) {
	claims(t, "cert-2.2-8", "cert-2.4-3")
	d := newDoor(t)
	d.make("web", selfEC)
	p := d.server.NewPrincipal("leaver")
	caller := d.as(p)
	caller.want(caller.do("GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByPolicy")
	d.server.Grant("demo", p, "certificates/get") // in force for the token that is there
	caller.want(caller.do("GET", "/certificates/web", ""), 200, "")
	caller.want(caller.do("GET", "/certificates", ""), 403, "Forbidden/ForbiddenByPolicy")
	d.server.Grant("demo", p)
	caller.want(caller.do("GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByPolicy")
	d.server.Remove(p)
	for _, path := range []string{"/certificates/web", "/certificates/web?api-version=0", "/nowhere", "/certificates/a_b"} {
		a := caller.want(caller.do("GET", path, ""), 401, "Unauthorized")
		d.says(a, "AKV10048: ")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer authorization="`) {
			t.Errorf("%s: no challenge", path)
		}
	}
}

// With a token, what is wrong with the request itself comes before the permission, and
// the permission before everything that depends on what is in the vault.
func TestConformOrderOfChecks(t *testing.T) {
	claims(t, "cert-2.1-2")
	d := newDoor(t)
	d.make("web", selfEC)
	nobody := d.as(d.server.NewPrincipal("nobody"))
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/certificates//create", selfEC, 405, "MethodNotAllowed"},
		{"PUT", "/certificates/web?api-version=0", selfEC, 405, "MethodNotAllowed"},
		{"GET", "/certificates/a_b?api-version=0", "", 400, "BadParameter"},
		{"GET", "/certificates/a_b", "", 400, "BadParameter"},
		{"POST", "/certificates/web/create", `[]`, 400, "BadParameter"},
		{"GET", "/certificates?api-version=7.4&maxresults=0", "", 400, "BadParameter"},
		{"POST", "/certificates/web/create", `{"policy":{"x509_props":{"subject":"nothing"}}}`, 403, "Forbidden/ForbiddenByPolicy"},
		{"POST", "/certificates/web/create", `{}`, 403, "Forbidden/ForbiddenByPolicy"},
		{"GET", "/certificates/web", "", 403, "Forbidden/ForbiddenByPolicy"},
		{"GET", "/certificates/none", "", 403, "Forbidden/ForbiddenByPolicy"},
		{"GET", "/certificates/none/pending", "", 403, "Forbidden/ForbiddenByPolicy"},
		{"GET", "/certificates?api-version=7.4&$skiptoken=AAAA", "", 403, "Forbidden/ForbiddenByPolicy"},
		{"POST", "/certificates/restore", `{"value":"AAAA"}`, 403, "Forbidden/ForbiddenByPolicy"},
	} {
		nobody.want(nobody.do(test.method, test.path, test.body), test.status, test.code)
	}
}

func TestConformRequestForms(t *testing.T) {
	claims(t, "cert-1.3-7", "cert-1.3-8", "cert-1.3-9", "cert-1.6-6", "cert-3-7", "cert-3-8")
	d := newDoor(t)
	c := d.make("Web", `{"tags":{"a":"b"},`+selfEC[1:])
	for _, accept := range []string{"*/*", "application/json", "text/html", ""} {
		a := d.want(d.do("GET", "/certificates/Web", "", func(r *http.Request) { r.Header.Set("Accept", accept) }), 200, "")
		if a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.text != c.text {
			t.Errorf("%q: %v %s", accept, a.header, a.text)
		}
	}
	for _, header := range []string{"X-HTTP-METHOD", "X-HTTP-REQUEST"} {
		means := func(method string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(header, method) }
		}
		d.want(d.do("POST", "/certificates/Web/policy", `{}`, means("PATCH")), 200, "")
		d.want(d.do("POST", "/certificates/contacts", `{"contacts":[{"email":"a@test"}]}`, means("PUT")), 200, "")
		d.want(d.do("POST", "/certificates/contacts", `{}`, means("DELETE")), 200, "")
		d.want(d.do("GET", "/certificates/Web", "", means("DELETE")), 200, "") // only a POST can be another
	}
	// A null member is as one that is absent.
	for _, body := range []string{`{"tags":null,"attributes":null,"policy":null}`, `{"attributes":{"enabled":null}}`} {
		a := d.want(d.do("PATCH", "/certificates/Web", body), 200, "")
		if a.at("tags.a") != "b" || a.at("attributes.enabled") != true || a.at("policy.issuer.name") != "Self" {
			t.Errorf("%s: %s", body, a.text)
		}
	}
	// Routes without a body look at none.
	blob := d.want(d.do("POST", "/certificates/Web/backup", `nonsense`), 200, "")
	d.want(d.do("DELETE", "/certificates/Web/"+c.version(), ""), 405, "MethodNotAllowed") // a version has no end of its own
	d.want(d.do("DELETE", "/certificates/Web", `nonsense`), 200, "")
	d.want(d.do("POST", "/deletedcertificates/Web/recover", `nonsense`), 200, "")
	d.want(d.do("DELETE", "/certificates/Web", ""), 200, "")
	d.want(d.do("DELETE", "/deletedcertificates/Web", `nonsense`), 204, "")
	d.want(d.do("POST", "/certificates/restore", blob.text), 200, "")
	for _, route := range dataplane.Routes() {
		path := strings.NewReplacer("{name}", "a_b", "{issuer}", "a_b", "{version}", c.version()).Replace(route.Pattern)
		if strings.Contains(path, "certificates") && path != route.Pattern {
			d.says(d.want(d.do(route.Method, "/"+path, `{}`), 400, "BadParameter"), "The request URI contains an invalid name: a_b")
		}
	}
}

// However a request writes a name, the answer has it as it was created.
func TestConformNameAsCreated(t *testing.T) {
	claims(t, "cert-1.1-5")
	d := newDoor(t)
	c := d.make("Web", selfEC)
	chain := newChain(t, newECKey(t))
	file := `{"value":` + quote(chain.keyPEM(t)+certificatePEM(chain.leaf)) + `}`
	for _, test := range []struct{ method, path, body, member, want string }{
		{"GET", "/certificates/WEB/" + c.version(), "", "id", "/certificates/Web/" + c.version()},
		{"GET", "/certificates/WEB/policy", "", "id", "/certificates/Web/policy"},
		{"PATCH", "/certificates/WEB/policy", `{}`, "id", "/certificates/Web/policy"},
		{"PATCH", "/certificates/WEB", `{}`, "id", "/certificates/Web/" + c.version()},
		{"GET", "/certificates/WEB/pending", "", "id", "/certificates/Web/pending"},
		{"DELETE", "/certificates/WEB/pending", "", "id", "/certificates/Web/pending"},
		{"GET", "/keys/WEB/" + c.version(), "", "key.kid", "/keys/Web/" + c.version()},
		{"GET", "/secrets/WEB/" + c.version(), "", "id", "/secrets/Web/" + c.version()},
		{"DELETE", "/certificates/WEB", "", "recoveryId", "/deletedcertificates/Web"},
		{"GET", "/deletedcertificates/WEB", "", "policy.id", "/certificates/Web/policy"},
		{"POST", "/deletedcertificates/WEB/recover", "", "kid", "/keys/Web/" + c.version()},
		{"POST", "/certificates/WEB/import", file, "policy.id", "/certificates/Web/policy"},
		{"POST", "/certificates/WEB/create", unknownEC, "id", "/certificates/Web/pending"},
		{"PATCH", "/certificates/WEB/pending", `{"cancellation_requested":true}`, "id", "/certificates/Web/pending"},
	} {
		a := d.do(test.method, test.path, test.body)
		if got := a.at(test.member); got != d.base+test.want || a.status >= 300 {
			t.Errorf("%s %s: %s is %v", test.method, test.path, test.member, got)
		}
		if location := a.header.Get("Location"); location != "" && !strings.HasPrefix(location, d.base+test.want) {
			t.Errorf("%s %s: Location is %s", test.method, test.path, location)
		}
	}
	for _, list := range []string{"/certificates", "/certificates/WEB/versions"} {
		d.has(d.do("GET", list, ""), d.base+"/certificates/Web")
	}
}

// Ids are compared without regard to case, the version in them too.
func TestConformIDsInAnyCase(t *testing.T) {
	claims(t, "cert-1.1-6")
	d := newDoor(t)
	old := d.make("web", selfEC)
	current := d.make("web", selfEC)
	for _, c := range []answer{old, current} {
		for _, member := range []string{"id", "kid", "sid"} {
			path := strings.TrimPrefix(c.body[member].(string), d.base)
			lower, upper := d.do("GET", path, ""), d.do("GET", strings.ToUpper(path), "")
			if lower.status != 200 || upper.text != lower.text {
				t.Errorf("%s: %s\n%s", member, lower.text, upper.text)
			}
		}
	}
	d.want(d.do("PATCH", "/CERTIFICATES/WEB/"+strings.ToUpper(old.version()), `{"tags":{"a":"b"}}`), 200, "")
}

// Everything about one certificate works in every version that has certificates.
func TestConformEveryVersion(t *testing.T) {
	claims(t, "cert-1.2-8", "cert-1.2-9", "cert-1.2-10", "cert-1.2-11")
	d := newDoor(t)
	d.want(d.do("POST", "/certificates/waits/create", unknownEC), 202, "")
	late := d.want(d.do("POST", "/certificates/late/create?api-version=2025-07-01", `{"preserveCertOrder":true,"policy":{"key_props":{"kty":"EC"},"x509_props":{"sans":{"uris":["a://b"]}}}}`), 202, "")
	d.want(late, 202, "")
	for _, version := range []string{
		"2015-06-01", "2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5-preview.1", "7.5", "7.6-preview.1", "7.6-preview.2", "7.6",
		"2025-06-01-preview", "2025-07-01", "2026-01-01-preview", "2026-03-01-preview", "2026-04-01", "2026-05-01-preview", "2026-07-01-preview",
	} {
		t.Run(version, func(t *testing.T) {
			v := *d
			v.t = t
			v.life(version, version != "2015-06-01")
		})
	}
}

// life is what a client does with a certificate, in one api-version.
func (d *door) life(version string, since2016 bool) {
	d.t.Helper()
	query := "?api-version=" + version
	name := "/certificates/v" + strings.NewReplacer(".", "-").Replace(version)
	begun := d.want(d.do("POST", name+"/create"+query, unknownEC), 202, "")
	d.want(d.do("GET", name+"/pending"+query, ""), 200, "")
	d.want(d.do("PATCH", name+"/pending"+query, `{"cancellation_requested":false}`), 200, "")
	if got := begun.header.Get("Location"); !strings.Contains(got, query+"&request_id=") {
		d.t.Errorf("Location is %s", got)
	}
	merged := d.want(d.do("POST", name+"/pending/merge"+query, mergeBody(d.t, begun)), 201, "")
	for _, path := range []string{name, name + "/" + merged.version(), name + "/policy", name + "/versions"} {
		d.want(d.do("GET", path+query, ""), 200, "")
	}
	d.want(d.do("PATCH", name+query, `{"tags":{"a":"b"}}`), 200, "")
	d.want(d.do("PATCH", name+"/policy"+query, `{}`), 200, "")
	d.want(d.do("DELETE", name+"/pending"+query, ""), 200, "")
	list := d.want(d.do("GET", "/certificates"+query+"&includePending=true", ""), 200, "")
	if pending := !strings.HasPrefix(version, "201"); pending != strings.Contains(list.text, `/certificates/waits"`) || !strings.Contains(list.text, name+`"`) {
		d.t.Error(list.text)
	}
	// What came later is ignored in a request; once it is there, every version shows it.
	d.has(d.do("GET", "/certificates/late"+query, ""), `"preserveCertOrder":true`, `"uris":["a://b"]`)
	d.want(d.do("DELETE", name+query, ""), 200, "")
	deleted := strings.Replace(name, "/certificates", "/deletedcertificates", 1)
	for _, test := range [][3]string{
		{"GET", "/deletedcertificates"}, {"GET", deleted}, {"POST", deleted + "/recover"}, {"DELETE", name}, {"DELETE", deleted},
		{"GET", "/certificates/issuers"}, {"PUT", "/certificates/issuers/ca", `{"provider":"Test"}`}, {"GET", "/certificates/issuers/ca"},
		{"PATCH", "/certificates/issuers/ca", `{}`}, {"DELETE", "/certificates/issuers/ca"},
		{"PUT", "/certificates/contacts", `{"contacts":[{"email":"a@test"}]}`}, {"GET", "/certificates/contacts"}, {"DELETE", "/certificates/contacts"},
	} {
		a := d.do(test[0], test[1]+query, test[2])
		if test[1] == name {
			continue // the way to the purge
		}
		if built := a.status < 400; built != since2016 || !built && a.code() != "MethodNotAllowed" {
			d.t.Errorf("%v: %d %s", test, a.status, a.text)
		}
	}
}
