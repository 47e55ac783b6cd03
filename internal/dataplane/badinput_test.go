package dataplane_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"coffer/internal/dataplane"
)

// A request without a token gets the challenge, whatever else is wrong with it.
func TestChallengeComesFirst(t *testing.T) {
	d := newDoor(t)
	header := `Bearer authorization="https://login.microsoftonline.com/` + d.server.TenantID() + `", resource="https://vault.azure.net"`
	for _, path := range []string{"/certificates/web/create", "/nothing?x=1", "/certificates//create", "/certificates/bad..name/create?api-version=0"} {
		a := d.want(d.do("POST", path, "", func(r *http.Request) { r.Header.Del("Authorization") }), 401, "Unauthorized")
		if a.header.Get("WWW-Authenticate") != header || !strings.HasPrefix(a.message(), "AKV10000: ") {
			t.Errorf("%s: %s", a.header.Get("WWW-Authenticate"), a.text)
		}
	}
}

func TestBadTokens(t *testing.T) {
	d := newDoor(t)
	d.make("web", selfEC)
	parts := strings.Split(d.token, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	wrongAudience := *d
	for name, authorization := range map[string]string{
		"junk": "Bearer x", "none": "Bearer " + none + "." + parts[1] + ".", "cut": "Bearer " + d.token[:len(d.token)-3],
		"changed": "Bearer " + parts[0] + "." + parts[1] + "A." + parts[2], "basic": "Basic " + d.token, "empty": "Bearer ", "huge": "Bearer " + strings.Repeat("a", 30000),
	} {
		a := wrongAudience.want(d.do("GET", "/certificates/web", "", func(r *http.Request) { r.Header.Set("Authorization", authorization) }), 401, "Unauthorized")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer authorization="`) {
			t.Errorf("%s: no challenge", name)
		}
	}
	p := d.server.NewPrincipal("short-lived")
	d.server.Grant("demo", p, "certificates/get")
	gone := d.as(p)
	d.want(gone.do("GET", "/certificates/web", ""), 200, "")
	d.server.Remove(p)
	d.want(gone.do("GET", "/certificates/web", ""), 401, "Unauthorized")
	// Whatever else is wrong: the route, the version, the name, the body.
	for _, path := range []string{"/nowhere", "/certificates/web?api-version=0", "/certificates/a%20b", "/rng"} {
		d.want(gone.do("GET", path, ""), 401, "Unauthorized")
	}
	d.want(gone.do("POST", "/certificates/web/create", `{"policy":7}`), 401, "Unauthorized")
	d.want(gone.do("POST", "/certificates/web/create", ``), 401, "Unauthorized")
	if !strings.Contains(d.server.AuditLog(), "PrincipalGone") {
		t.Error("the token of a removed application left no line in the audit log")
	}
}

// everything is what a bad request must not change.
func (d *door) everything() string {
	d.t.Helper()
	return d.do("GET", "/certificates?api-version=7.4&includePending=true", "").text + d.do("GET", "/deletedcertificates", "").text
}

func TestBadRequestsChangeNothing(t *testing.T) {
	d := newDoor(t)
	d.make("web", selfEC)
	before := d.everything()
	long := strings.Repeat("a", 128)
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/certificates//create", selfEC, 405, "MethodNotAllowed"}, {"GET", "/", "", 405, "MethodNotAllowed"},
		{"PUT", "/certificates/web", selfEC, 405, "MethodNotAllowed"}, {"GET", "/certificates/web/policy/x", "", 405, "MethodNotAllowed"},
		{"GET", "/nothing", "", 405, "MethodNotAllowed"}, {"TRACE", "/certificates", "", 405, "MethodNotAllowed"},
		{"GET", "/certificates?x=1", "", 400, "BadParameter"}, {"GET", "/certificates?api-version=1.0", "", 400, "BadParameter"},
		{"POST", "/certificates/" + long + "/create", selfEC, 400, "BadParameter"}, {"POST", "/certificates/a_b/create", selfEC, 400, "BadParameter"},
		{"POST", "/certificates/a%2Fb/create", selfEC, 400, "BadParameter"}, {"POST", "/certificates/%2e%2e/create", selfEC, 400, "BadParameter"},
		{"POST", "/certificates/a%00/create", selfEC, 400, "BadParameter"}, {"POST", "/certificates/%C3%A9/create", selfEC, 400, "BadParameter"},
		{"GET", "/certificates/web/..%2fother", "", 400, "BadParameter"}, {"GET", "/secrets/a.b", "", 400, "BadParameter"},
		{"POST", "/certificates/new/create", `{`, 400, "BadParameter"}, {"POST", "/certificates/new/create", `[]`, 400, "BadParameter"},
		{"POST", "/certificates/new/create", `{} {}`, 400, "BadParameter"}, {"POST", "/certificates/new/create", `"x"`, 400, "BadParameter"},
		{"POST", "/certificates/new/create", `{}`, 400, "BadParameter"}, {"POST", "/certificates/new/create", `{"policy":null}`, 400, "BadParameter"},
		{"POST", "/certificates/new/create", strings.Repeat(" ", 2<<20), 413, "RequestBodyTooLarge"},
		{"GET", "/certificates?api-version=7.4&maxresults=0", "", 400, "BadParameter"}, {"GET", "/certificates?api-version=7.4&maxresults=26", "", 400, "BadParameter"},
		{"GET", "/certificates?api-version=7.4&maxresults=x", "", 400, "BadParameter"}, {"GET", "/certificates?api-version=7.4&includePending=x", "", 400, "BadParameter"},
	} {
		d.want(d.do(test.method, test.path, test.body), test.status, test.code)
	}
	d.want(d.do("POST", "/certificates/new/create", selfEC, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 415, "UnsupportedMediaType")
	d.want(d.do("POST", "/certificates/new/create", selfEC, func(r *http.Request) { r.Header.Del("Content-Type") }), 415, "UnsupportedMediaType")
	if after := d.everything(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

func TestBadPolicies(t *testing.T) {
	d := newDoor(t)
	self := `"issuer":{"name":"Self"}`
	subject := `"x509_props":{"subject":"CN=a"}`
	for part, path := range map[string]string{
		`"x509_props":{"subject":"Self","key_usage":["bad"]},"issuer":{"name":"none"}`: "policy.x509_props",
		self: "policy.x509_props", self + `,"x509_props":{"subject":"CN=` + strings.Repeat("a", 200) + `"}`: "policy.x509_props.subject",
		self + `,"x509_props":{"subject":"CN=a","key_usage":["sing"]}`:                                                                              "policy.x509_props.key_usage",
		self + `,"x509_props":{"subject":"CN=a","ekus":["1.2.x"]}`:                                                                                  "policy.x509_props.ekus",
		self + `,"x509_props":{"subject":"CN=a","validity_months":0}`:                                                                               "policy.x509_props.validity_months",
		self + `,"x509_props":{"subject":"CN=a","validity_months":99999}`:                                                                           "policy.x509_props.validity_months",
		self + `,"x509_props":{"sans":{"dns_names":["a b"]}}`:                                                                                       "policy.x509_props.sans",
		self + `,"x509_props":{"sans":{"ipAddresses":["1.2.3"]}}`:                                                                                   "policy.x509_props.sans",
		self + `,"x509_props":{"sans":{"emails":["nobody"]}}`:                                                                                       "policy.x509_props.sans",
		self + `,"x509_props":{"sans":{"uris":["no uri"]}}`:                                                                                         "policy.x509_props.sans",
		self + `,"key_props":{"kty":"DSA"},` + subject:                                                                                              "policy.key_props.kty",
		self + `,"key_props":{"kty":"oct"},` + subject:                                                                                              "policy.key_props.kty",
		self + `,"key_props":{"kty":"RSA-HSM","exportable":true},` + subject:                                                                        "policy.key_props.exportable",
		self + `,"key_props":{"key_size":1024},` + subject:                                                                                          "policy.key_props.key_size",
		self + `,"key_props":{"kty":"EC","crv":"P-224"},` + subject:                                                                                 "policy.key_props.crv",
		self + `,"key_props":{"kty":"EC","crv":"P-256","key_size":384},` + subject:                                                                  "policy.key_props.key_size",
		self + `,"secret_props":{"contentType":"text/plain"},` + subject:                                                                            "policy.secret_props.contentType",
		`"issuer":{"name":""},` + subject:                                                                                                           "policy.issuer.name",
		`"issuer":{"name":"nobody"},` + subject:                                                                                                     "policy.issuer.name",
		self + `,"lifetime_actions":[{"trigger":{"lifetime_percentage":100},"action":{"action_type":"AutoRenew"}}],` + subject:                      "policy.lifetime_actions[0].trigger.lifetime_percentage",
		self + `,"lifetime_actions":[{"trigger":{"days_before_expiry":400},"action":{"action_type":"AutoRenew"}}],` + subject:                       "policy.lifetime_actions[0].trigger.days_before_expiry",
		self + `,"lifetime_actions":[{"trigger":{"days_before_expiry":4,"lifetime_percentage":4},"action":{"action_type":"AutoRenew"}}],` + subject: "policy.lifetime_actions[0].trigger",
		self + `,"lifetime_actions":[{"trigger":{},"action":{"action_type":"AutoRenew"}}],` + subject:                                               "policy.lifetime_actions[0].trigger",
		self + `,"lifetime_actions":[{"trigger":{"days_before_expiry":4},"action":{"action_type":"Sleep"}}],` + subject:                             "policy.lifetime_actions[0].action.action_type",
		self + `,"key_props":{"key_size":"big"},` + subject:                                                                                         "policy.key_props.key_size",
		self + `,"x509_props":{"subject":7}`:                                                                                                        "policy.x509_props.subject",
		self + `,"x509_props":[]`:                                                                                                                   "policy.x509_props",
	} {
		a := d.want(d.do("POST", "/certificates/new/create?api-version=2025-07-01", `{"policy":{`+part+`}}`), 400, "BadParameter")
		if !strings.HasPrefix(a.message(), "Property "+path+" has invalid value") || !strings.HasSuffix(a.message(), "\r\n") {
			t.Errorf("%s\nanswers %q", part, a.message())
		}
	}
	d.want(d.do("POST", "/certificates/new/create", `{"tags":{`+tagList(16)+`},`+selfEC[1:]), 400, "BadParameter")
	if d.do("GET", "/certificates?api-version=7.4&includePending=true", "").text != `{"value":[],"nextLink":null}` {
		t.Error("a refused certificate is there")
	}
}

// A certificate that its URLs would not lead to is not made.
func TestReservedNames(t *testing.T) {
	d := newDoor(t)
	for _, name := range []string{"contacts", "Issuers", "restore"} {
		d.want(d.do("POST", "/certificates/"+name+"/create", selfEC), 400, "BadParameter")
		d.want(d.do("POST", "/certificates/"+name+"/import", `{"value":"x"}`), 400, "BadParameter")
	}
}

func tagList(n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, `"t`+string(rune('a'+i))+`":"v"`)
	}
	return strings.Join(tags, ",")
}

// Many creates of one name at once: each is accepted or a conflict, and the certificate
// is whole afterwards.
func TestConcurrentCreates(t *testing.T) {
	t.Attr("conformance", "cert-5.5-4")
	d := newDoor(t)
	d.make("other", selfEC)
	var group sync.WaitGroup
	var mu sync.Mutex
	var statuses []int
	for range 8 {
		group.Go(func() {
			a := d.do("POST", "/certificates/web/create", selfEC)
			mu.Lock()
			defer mu.Unlock()
			statuses = append(statuses, a.status)
			if a.status == 409 && a.code() != "Conflict" || a.status != 409 && a.status != 202 {
				t.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	group.Wait()
	if !slices.Contains(statuses, 202) {
		t.Errorf("%v", statuses)
	}
	d.do("GET", "/certificates/web/pending", "")
	d.want(d.do("GET", "/secrets/web", ""), 200, "")
}

// Every route needs its one permission: with all others it is refused, and with it
// alone it is not. The walk is over the route table itself.
func TestRoutesTimesPermissions(t *testing.T) {
	t.Attr("conformance", "cert-2.4-1")
	d := newDoor(t)
	d.make("web", selfEC)
	p := d.server.NewPrincipal("walker")
	caller := d.as(p)
	all := map[string]bool{}
	for _, route := range dataplane.Routes() {
		if route.Operation.Name == "" || route.Operation.Permission.Verb == "" {
			t.Errorf("%s %s has no operation", route.Method, route.Pattern)
		}
		all[route.Operation.Permission.String()] = true
	}
	if len(all) < 12 {
		t.Fatalf("only %d permissions are in the table", len(all))
	}
	for _, route := range dataplane.Routes() {
		path := "/" + strings.NewReplacer("{name}", "web", "{issuer}", "web", "{version}", "0123456789abcdef0123456789abcdef").Replace(route.Pattern)
		need := route.Operation.Permission.String()
		var others []string
		for permission := range all {
			if permission != need {
				others = append(others, permission)
			}
		}
		d.server.Grant("demo", p, others...)
		refused := caller.do(route.Method, path, body(route.Method))
		d.want(refused, 403, "Forbidden/ForbiddenByPolicy")
		if want := "does not have " + strings.Replace(need, "/", " ", 1) + " permission on key vault 'demo;location="; !strings.Contains(refused.message(), want) || !strings.Contains(refused.message(), "oid="+p.ObjectID) {
			t.Errorf("%s %s: %s", route.Method, path, refused.message())
		}
		d.server.Grant("demo", p, need)
		if a := caller.do(route.Method, path, body(route.Method)); a.code() == "Forbidden/ForbiddenByPolicy" || a.status == 401 || a.status == 500 {
			t.Errorf("%s %s with its permission: %d %s", route.Method, path, a.status, a.text)
		}
		d.server.Grant("demo", p)
	}
}

func body(method string) string {
	if method == "GET" || method == "DELETE" {
		return ""
	}
	return selfEC
}
