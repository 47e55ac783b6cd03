package entra_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffer/internal/tenant"
)

func TestSuccessBodies(t *testing.T) {
	claims(t, "id-4-6", "id-4.1-1", "id-4.1-2", "id-4.1-7", "id-4.1-8", "id-4.1-9", "id-4.2-1", "id-4.2-2", "id-4.2-4", "id-9-2", "id-10-2", "id-10-6")
	w := newWorld(t)
	own := newWorld(t, "login.my.example")
	unix := "1772600767" // of the world's clock
	v2 := map[string]any{"token_type": "Bearer", "expires_in": 3599.0, "ext_expires_in": 3599.0}
	v1 := func(resource string) map[string]any {
		return map[string]any{"token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599", "expires_on": "1772604366", "not_before": unix, "resource": resource}
	}
	for _, test := range []struct {
		name  string
		world *world
		path  string
		form  url.Values
		want  map[string]any
	}{
		{"v2", w, w.v2(), w.form(), v2},
		{"v2, upper case", w, strings.ToUpper(w.v2()), w.form(), v2},
		{"v2, common", w, "/common/oauth2/v2.0/token", w.form(), v2},
		{"v2, double slash", w, w.v2(), w.form("scope", management+"//.default"), v2},
		{"v2, as Go sends it", w, w.v2(), w.form("scope", vaults+"/.default openid offline_access profile", "client_info", "1"), v2},
		{"v2, as Node sends it", w, w.v2() + "?client-request-id=0a1b2c3d-0000-4000-8000-000000000001", w.form(
			"x-client-SKU", "msal.js.node", "x-client-VER", "5.6.0", "x-client-OS", "linux", "x-ms-lib-capability", "retry-after, h429", "claims", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`), v2},
		{"v1", w, w.v1(), w.form("scope", "-", "resource", vaults), v1(vaults)},
		{"v1, slash", w, w.v1(), w.form("resource", vaults+"/"), v1(vaults + "/")},
		{"adfs", own, "/adfs/oauth2/token", own.form(), v2},
		{"adfs by resource", own, "/adfs/oauth2/token", own.form("scope", "-", "resource", vaults), v2},
	} {
		a := test.world.post(t, test.path, test.form)
		raw, _ := a.json["access_token"].(string)
		delete(a.json, "access_token")
		if a.StatusCode != http.StatusOK || strings.Count(raw, ".") != 2 || !reflect.DeepEqual(a.json, test.want) {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
		}
		if !strings.Contains(a.Header.Get("Cache-Control"), "no-store") || a.Header.Get("Pragma") != "no-cache" || uuid.Validate(a.Header.Get("x-ms-request-id")) != nil {
			t.Errorf("%s: headers %v", test.name, a.Header)
		}
		if _, err := test.world.tenant.Authenticate(context.Background(), raw, []string{vaults, vaults + "/", management + "/"}); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	claims(t, "id-4.3-1", "id-4.3-2", "id-4.3-3", "id-4.3-6", "id-4.3-9", "id-4.3-10", "id-4.3-11", "id-4.3-14", "id-4.3-15")
	w, ctx := newWorld(t), context.Background()
	disabled, disabledSecret, err := w.tenant.CreateApplication(ctx, "disabled")
	if err != nil {
		t.Fatal(err)
	}
	_, expired, err := w.tenant.AddSecret(ctx, w.app.AppID, w.now.Add(-time.Second))
	removedID, removed, err2 := w.tenant.AddSecret(ctx, w.app.AppID, time.Time{})
	if err := errors.Join(err, err2, w.tenant.SetEnabled(ctx, disabled, false), w.tenant.RemoveSecret(ctx, w.app.AppID, removedID)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		path   string
		form   url.Values
		status int
		code   string
		number float64
	}{
		{"wrong secret", w.v2(), w.form("client_secret", "canary-wrong"), 401, "invalid_client", 7000215},
		{"removed secret", w.v2(), w.form("client_secret", removed), 401, "invalid_client", 7000215},
		{"expired secret", w.v2(), w.form("client_secret", expired), 401, "invalid_client", 7000222},
		{"no secret", w.v2(), w.form("client_secret", "-"), 401, "invalid_client", 7000218},
		{"empty secret", w.v2(), w.form("client_secret", ""), 401, "invalid_client", 7000218},
		{"assertion", w.v2(), w.form("client_secret", "-", "client_assertion", "canary-assertion", "client_assertion_type", jwtBearer), 401, "invalid_client", 50027},
		{"assertion and secret", w.v2(), w.form("client_assertion", "canary-assertion", "client_assertion_type", jwtBearer), 400, "invalid_request", 900144},
		{"assertion without type", w.v2(), w.form("client_secret", "-", "client_assertion", "canary-assertion"), 400, "invalid_request", 900144},
		{"assertion type alone", w.v2(), w.form("client_assertion_type", jwtBearer), 400, "invalid_request", 900144},
		{"unknown application", w.v2(), w.form("client_id", "0a1b2c3d-0000-4000-8000-000000000001"), 400, "unauthorized_client", 700016},
		{"secret as the id", w.v2(), w.form("client_id", w.secret), 400, "unauthorized_client", 700016},
		{"no id", w.v2(), w.form("client_id", "-"), 400, "invalid_request", 900144},
		{"disabled", w.v2(), w.form("client_id", disabled.AppID, "client_secret", disabledSecret), 401, "unauthorized_client", 7000112},
		{"no scope", w.v2(), w.form("scope", "-"), 400, "invalid_scope", 70011},
		{"resource in v2", w.v2(), w.form("scope", "-", "resource", vaults), 400, "invalid_scope", 70011},
		{"scope without default", w.v2(), w.form("scope", vaults), 400, "invalid_scope", 1002012},
		{"unknown resource", w.v2(), w.form("scope", "https://evil.example/.default"), 400, "invalid_resource", 500011},
		{"unknown resource, v1", w.v1(), w.form("resource", "https://evil.example"), 400, "invalid_resource", 500011},
		{"no resource, v1", w.v1(), w.form(), 400, "invalid_resource", 500011},
		{"no grant", w.v2(), w.form("grant_type", "-"), 400, "invalid_request", 900144},
		{"refresh", w.v2(), w.form("grant_type", "refresh_token", "refresh_token", "canary-refresh"), 400, "invalid_grant", 9002313},
		{"password", w.v2(), w.form("grant_type", "password", "username", "jane", "password", "canary-password"), 400, "invalid_grant", 50126},
		{"device code", w.v2(), w.form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", "canary-code", "code", "canary-code"), 400, "invalid_grant", 70000},
		{"authorization code", w.v2(), w.form("grant_type", "authorization_code", "code", "canary-code"), 400, "unsupported_grant_type", 70003},
		{"grant in upper case", w.v2(), w.form("grant_type", "CLIENT_CREDENTIALS"), 400, "unsupported_grant_type", 70003},
		{"unknown tenant", "/0a1b2c3d-0000-4000-8000-000000000001/oauth2/v2.0/token", w.form(), 400, "invalid_request", 90002},
	} {
		a := w.post(t, test.path, test.form)
		if a.StatusCode != test.status || a.json["error"] != test.code || !reflect.DeepEqual(a.json["error_codes"], []any{test.number}) {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
		}
		checkErrorBody(t, test.name, a)
		w.checkNoSecret(t, test.name, a)
	}
	if a := w.post(t, w.v2(), w.form()); a.StatusCode != http.StatusOK {
		t.Errorf("after all that: %d %s", a.StatusCode, a.text)
	}
}

// checkErrorBody checks the members that every error has.
func checkErrorBody(t *testing.T, name string, a answer) {
	t.Helper()
	codes, _ := a.json["error_codes"].([]any)
	description, _ := a.json["error_description"].(string)
	if len(codes) != 1 || !strings.HasPrefix(description, "AADSTS") || !strings.Contains(description, ": ") {
		t.Errorf("%s: %s", name, a.text)
	}
	if a.json["timestamp"] != "2026-03-04 05:06:07Z" || a.json["trace_id"] != a.Header.Get("x-ms-request-id") || uuid.Validate(a.json["correlation_id"].(string)) != nil {
		t.Errorf("%s: %s", name, a.text)
	}
	if uri, _ := a.json["error_uri"].(string); !strings.HasPrefix(uri, "https://login.microsoftonline.com/error?code=") {
		t.Errorf("%s: error_uri %q", name, uri)
	}
	if !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("%s: Cache-Control %q", name, a.Header.Get("Cache-Control"))
	}
	if len(a.json) != 7 {
		t.Errorf("%s: %d members: %s", name, len(a.json), a.text)
	}
}

// checkNoSecret looks for what a client sent as a secret, in all that is shown.
func (w *world) checkNoSecret(t *testing.T, name string, a answer) {
	t.Helper()
	for what, text := range map[string]string{"the answer": a.text, "the log": w.log.String(), "the audit log": w.sink.String()} {
		if strings.Contains(text, w.secret) || strings.Contains(text, "canary") {
			t.Errorf("%s: %s shows a secret: %s", name, what, text)
		}
	}
}

func TestCorrelationID(t *testing.T) {
	w := newWorld(t)
	const id = "0a1b2c3d-0000-4000-8000-00000000000f"
	for _, test := range []struct {
		name, header, query string
		echoed              bool
	}{
		{"header", id, "", true},
		{"query", "", id, true},
		{"header first", id, "0a1b2c3d-0000-4000-8000-000000000001", true},
		{"no GUID", "canary", "canary", false},
		{"braces", "{" + id + "}", "", false},
		{"none", "", "", false},
	} {
		r := newPost(w.v2()+"?client-request-id="+url.QueryEscape(test.query), w.form("client_secret", "x").Encode())
		r.Header.Set("client-request-id", test.header)
		a := w.send(t, w.door, r)
		got := a.json["correlation_id"]
		if (got == id) != test.echoed || !test.echoed && got != a.json["trace_id"] {
			t.Errorf("%s: %s", test.name, a.text)
		}
	}
}

func TestBasicAuthentication(t *testing.T) {
	claims(t, "id-4.1-3")
	w := newWorld(t)
	odd := tenant.Application{AppID: "0a1b2c3d-0000-4000-8000-000000000001", ObjectID: "0a1b2c3d-0000-4000-8000-000000000002"}
	if err := w.tenant.EnsureApplication(context.Background(), odd, "a+b/c%d ö:e"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name       string
		id, secret string
		form       url.Values
		status     int
	}{
		{"only the header", w.app.AppID, w.secret, w.form("client_id", "-", "client_secret", "-"), 200},
		{"the id twice, alike", w.app.AppID, w.secret, w.form("client_secret", "-"), 200},
		{"form-encoded once more", odd.AppID, url.QueryEscape("a+b/c%d ö:e"), w.form("client_id", "-", "client_secret", "-"), 200},
		{"not encoded", odd.AppID, "a+b/c%d ö:e", w.form("client_id", "-", "client_secret", "-"), 400},
		{"the secret twice", w.app.AppID, w.secret, w.form(), 400},
		{"two ids", odd.AppID, w.secret, w.form("client_secret", "-"), 400},
		{"wrong", w.app.AppID, "canary", w.form("client_id", "-", "client_secret", "-"), 401},
	} {
		r := newPost(w.v2(), test.form.Encode())
		r.SetBasicAuth(test.id, test.secret)
		a := w.send(t, w.door, r)
		if a.StatusCode != test.status {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
		}
		if challenged := strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic "); challenged != (test.status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", test.name, a.Header.Get("WWW-Authenticate"))
		}
		if test.status != 200 {
			w.checkNoSecret(t, test.name, a)
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	claims(t, "id-4-6")
	w := newWorld(t)
	good := w.form().Encode()
	for _, test := range []struct {
		name, kind, body string
		status           int
	}{
		{"charset", "application/x-www-form-urlencoded; charset=utf-8", good, 200},
		{"type in upper case", "Application/X-WWW-Form-Urlencoded", good, 200},
		{"as large as it may be", "application/x-www-form-urlencoded", good + "&x=" + strings.Repeat("x", 64<<10-len(good)-3), 200},
		{"an unknown parameter twice", "application/x-www-form-urlencoded", good + "&x=1&x=2", 200},
		{"JSON", "application/json", `{"grant_type":"client_credentials"}`, 400},
		{"no type", "", good, 400},
		{"bad type", "application/x-www-form-urlencoded; =", good, 400},
		{"too large", "application/x-www-form-urlencoded", good + "&x=" + strings.Repeat("x", 64<<10), 400},
		{"empty", "application/x-www-form-urlencoded", "", 400},
		{"bad escape", "application/x-www-form-urlencoded", good + "&x=%zz", 400},
		{"semicolon", "application/x-www-form-urlencoded", good + ";x=1", 400},
		{"grant twice", "application/x-www-form-urlencoded", good + "&grant_type=client_credentials", 400},
		{"id twice", "application/x-www-form-urlencoded", good + "&client_id=x", 400},
		{"secret twice", "application/x-www-form-urlencoded", good + "&client_secret=canary", 400},
		{"scope twice", "application/x-www-form-urlencoded", good + "&scope=x", 400},
		{"resource twice", "application/x-www-form-urlencoded", good + "&resource=x&resource=y", 400},
	} {
		r := newPost(w.v2(), test.body)
		r.Header.Set("Content-Type", test.kind)
		a := w.send(t, w.door, r)
		if a.StatusCode != test.status || test.status == 400 && a.json["error"] != "invalid_request" {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.text)
		}
		if test.status != 200 {
			w.checkNoSecret(t, test.name, a)
		}
	}
	r := newPost(w.v2(), "")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(good), brokenPipe{})), -1
	if a := w.send(t, w.door, r); a.StatusCode != 400 || !strings.Contains(a.text, "ended early") {
		t.Errorf("truncated: %d %s", a.StatusCode, a.text)
	}
}

type brokenPipe struct{}

func (brokenPipe) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestParametersInTheURLAreIgnored(t *testing.T) {
	claims(t, "id-4-7")
	w := newWorld(t)
	if a := w.post(t, w.v2()+"?"+w.form().Encode(), url.Values{"grant_type": {"client_credentials"}}); a.StatusCode == http.StatusOK {
		t.Errorf("a secret in the URL gave a token")
	}
}

func TestNoAuditNoToken(t *testing.T) {
	w := newWorld(t)
	w.sink.fill(true)
	for _, form := range []url.Values{w.form(), w.form("client_secret", "canary")} {
		a := w.post(t, w.v2(), form)
		if a.StatusCode != http.StatusServiceUnavailable || a.json["error"] != "server_error" || a.json["access_token"] != nil || strings.Contains(a.text, "space") {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		checkErrorBody(t, "no audit", a)
		w.checkNoSecret(t, "no audit", a)
		if !strings.Contains(w.log.String(), a.json["trace_id"].(string)) {
			t.Errorf("the log does not know the request: %s", w.log)
		}
	}
	w.sink.fill(false)
	if a := w.post(t, w.v2(), w.form()); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestRemovedApplicationGetsNoToken(t *testing.T) {
	w := newWorld(t)
	if a := w.post(t, w.v2(), w.form()); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if err := w.tenant.RemoveApplication(context.Background(), w.app.AppID); err != nil {
		t.Fatal(err)
	}
	if a := w.post(t, w.v2(), w.form()); a.StatusCode != http.StatusBadRequest || a.json["error"] != "unauthorized_client" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func FuzzTokenForm(f *testing.F) {
	w := newWorld(f)
	good := w.form().Encode()
	for _, seed := range []string{good, good + "&client_secret=x", "grant_type=client_credentials", "%zz", "a;b", "", "scope=" + url.QueryEscape(vaults+"//.default"), "grant_type=refresh_token&refresh_token=x", "client_assertion=x&" + good} {
		f.Add(seed, false, "application/x-www-form-urlencoded")
		f.Add(seed, true, "application/x-www-form-urlencoded; charset=utf-8")
	}
	f.Fuzz(func(t *testing.T, body string, v1 bool, kind string) {
		path := w.v2()
		if v1 {
			path = w.v1()
		}
		r := newPost(path, body)
		r.Header.Set("Content-Type", kind)
		a := w.send(t, w.door, r)
		form, err := url.ParseQuery(body)
		switch a.StatusCode {
		case http.StatusOK:
			if err != nil || len(form["client_secret"]) != 1 || form.Get("client_secret") != w.secret || !strings.EqualFold(form.Get("client_id"), w.app.AppID) {
				t.Errorf("%q gave a token", body)
			}
		case http.StatusBadRequest, http.StatusUnauthorized:
			if a.json["access_token"] != nil || strings.Contains(a.text, w.secret) {
				t.Errorf("%q: %s", body, a.text)
			}
		default:
			t.Errorf("%q: %d %s", body, a.StatusCode, a.text)
		}
	})
}
