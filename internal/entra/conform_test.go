package entra_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/entra"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

// claims says which rows of docs/conformance.md the test proves, see test/conformance.
func claims(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("conformance", id)
	}
}

// open are the routes of the door. None looks at a token: who signs in has none yet, and the
// others answer what everybody may know.
var open = []string{
	"GET common/discovery/instance", "GET common/userrealm/{name}",
	"GET {tenant}/v2.0/.well-known/openid-configuration", "GET {tenant}/.well-known/openid-configuration", "GET {tenant}/discovery/v2.0/keys", "GET {tenant}/discovery/keys",
	"POST {tenant}/oauth2/v2.0/token", "POST {tenant}/oauth2/token", "POST {tenant}/oauth2/v2.0/devicecode", "POST {tenant}/oauth2/devicecode", "GET device",
}

// Every route of the table is listed above, and answers whoever asks, whatever stands in the
// Authorization header; none gives a token without a credential.
func TestConformRoutes(t *testing.T) {
	claims(t, "id-4-1", "id-4-2")
	w := newWorld(t)
	rows := entra.Rows(w.door)
	if !slices.Equal(rows, open) {
		t.Fatalf("the routes are\n%q\nand this test has\n%q", rows, open)
	}
	for _, row := range rows {
		method, pattern, _ := strings.Cut(row, " ")
		path := "/" + strings.NewReplacer("{tenant}", w.tenant.TenantID(), "{name}", "jane@contoso.example").Replace(pattern)
		if strings.HasSuffix(path, "instance") {
			path += "?authorization_endpoint=https://login.microsoftonline.com/common"
		}
		var first answer
		for i, header := range []string{"", "Bearer nonsense", "Bearer a.b.c", "Negotiate x"} {
			r := newPost(path, url.Values{"client_id": {azureCLI}, "scope": {vaults + "/.default"}, "resource": {vaults}, "grant_type": {"client_credentials"}}.Encode())
			r.Method = method
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			a := w.send(t, w.door, r)
			if i == 0 {
				first = a
			}
			device := strings.HasSuffix(path, "devicecode")
			token := strings.HasSuffix(path, "token")
			if a.StatusCode != first.StatusCode || !device && !token && a.text != first.text || a.json["access_token"] != nil || (a.StatusCode == http.StatusOK) == token {
				t.Errorf("%s with %q: %d %s", row, header, a.StatusCode, a.text)
			}
		}
	}
}

// Who is removed or disabled gets no token by any grant at any endpoint.
func TestConformGone(t *testing.T) {
	claims(t, "id-4-3", "id-4.3-7", "id-4.3-8")
	w, ctx := newWorld(t), context.Background()
	for name, test := range map[string]struct {
		end    func(app tenant.Application) error
		status int
		code   string
		number int
	}{
		"disabled": {func(app tenant.Application) error { return w.tenant.SetEnabled(ctx, app, false) }, 401, "unauthorized_client", 7000112},
		"no principal": {func(app tenant.Application) error {
			w.edit("principal", app.ObjectID, func(m map[string]any) { clear(m) })
			return nil
		}, 400, "unauthorized_client", 7000229},
		"removed": {func(app tenant.Application) error { return w.tenant.RemoveApplication(ctx, app.AppID) }, 400, "unauthorized_client", 700016},
	} {
		app, secret, err := w.tenant.CreateApplication(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := test.end(app); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{w.v2(), w.v1(), "/common/oauth2/v2.0/token"} {
			w.refused(t, name, w.post(t, path, w.form("client_id", app.AppID, "client_secret", secret, "resource", vaults)), test.status, test.code, test.number)
		}
		metadata := entra.Metadata{Tenant: w.tenant, Identity: &app, Log: slog.New(slog.DiscardHandler)}
		r := httptest.NewRequest(http.MethodGet, metadataURL+"?resource="+vaults, nil)
		r.Header.Set("Metadata", "true")
		if name == "removed" {
			test.number = tenant.NumberNoPrincipal // an identity is a principal, not an application that shows something
		}
		if a := w.send(t, &metadata, r); a.StatusCode != 400 || !strings.Contains(a.text, fmt.Sprint("AADSTS", test.number)) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
}

// The header and the claims of every kind of token, whichever endpoint gave it.
func TestConformClaims(t *testing.T) {
	claims(t, "id-5-1", "id-5-2", "id-5-3", "id-5-4", "id-5-5", "id-5-6", "id-5-7", "id-5-8")
	w := newWorld(t)
	w.addUser(false)
	key := certificates()[0]
	w.edit("application", w.app.AppID, func(m map[string]any) {
		m["keys"] = []map[string]any{{"id": "1", "certificate": key.der, "start": 0, "exp": w.now.Unix() + 3600}}
	})
	keys := w.get(t, "/common/discovery/keys").json["keys"].([]any)[0].(map[string]any)
	metadata := httptest.NewRequest(http.MethodGet, metadataURL+"?resource="+vaults, nil)
	metadata.Header.Set("Metadata", "true")
	now := float64(w.now.Unix())
	application := map[string]any{
		"iss": w.tenant.Issuer(), "idp": w.tenant.Issuer(), "iat": now, "nbf": now, "exp": now + 3599, "appid": w.app.AppID, "idtyp": "app", "oid": w.app.ObjectID, "sub": w.app.ObjectID, "tid": w.tenant.TenantID(), "ver": "1.0",
	}
	with := func(more map[string]any) map[string]any {
		out := maps.Clone(application)
		maps.Copy(out, more)
		return out
	}
	for name, test := range map[string]struct {
		a    answer
		want map[string]any
	}{
		"secret, v2":       {w.post(t, w.v2(), w.form()), with(map[string]any{"aud": vaults, "appidacr": "1"})},
		"secret, v1":       {w.post(t, w.v1(), w.form("resource", vaults+"/")), with(map[string]any{"aud": vaults + "/", "appidacr": "1"})},
		"ARM, double":      {w.post(t, w.v2(), w.form("scope", management+"//.default")), with(map[string]any{"aud": management + "/", "appidacr": "1"})},
		"Graph":            {w.post(t, w.v2(), w.form("scope", "https://graph.microsoft.com//.default")), with(map[string]any{"aud": "https://graph.microsoft.com/", "appidacr": "1"})},
		"certificate":      {w.post(t, w.v2(), w.assertionForm(assert(t, jose.RS256, key, w.assertionClaims(nil)))), with(map[string]any{"aud": vaults, "appidacr": "2"})},
		"managed identity": {w.send(t, w.metadata(true), metadata), with(map[string]any{"aud": vaults, "appidacr": "2", "exp": now + 86399, "xms_mirid": w.tenant.ManagedIdentityID()})},
	} {
		header, got := w.token(t, test.a)
		if uti, _ := got["uti"].(string); len(uti) < 20 {
			t.Errorf("%s: uti %q", name, uti)
		}
		delete(got, "uti")
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v\n%v", name, got, test.want)
		}
		if header["typ"] != "JWT" || header["alg"] != "RS256" || header["kid"] != keys["kid"] || header["x5t"] != keys["x5t"] || len(header) != 4 {
			t.Errorf("%s: %v", name, header)
		}
	}
	_, user := w.token(t, w.post(t, w.v2(), userForm()))
	for name, want := range map[string]any{"idtyp": "user", "appidacr": "0", "appid": azureCLI, "oid": janeID, "sub": janeID, "upn": jane, "unique_name": jane, "name": "Jane", "scp": "user_impersonation", "groups": []any{"0a1b2c3d-0000-4000-8000-0000000000b1"}, "ver": "1.0", "tid": w.tenant.TenantID()} {
		if !reflect.DeepEqual(user[name], want) {
			t.Errorf("%s is %v, want %v", name, user[name], want)
		}
	}
	if life := user["exp"].(float64) - now; life < 3600 || life > 5400 {
		t.Errorf("a user's token lives for %v s", life)
	}
}

// token takes an access token apart.
func (w *world) token(t *testing.T, a answer) (header, body map[string]any) {
	t.Helper()
	raw, _ := a.json["access_token"].(string)
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	return header, claimsOf(t, raw)
}

// The tenant can be named by its domain; documents name its id.
func TestConformDomainOfTheTenant(t *testing.T) {
	claims(t, "id-3.2-6")
	w := newWorld(t)
	door := entra.New(entra.Config{Tenant: w.tenant, Hosts: publicHosts, Domain: "coffer.local", Log: slog.New(slog.DiscardHandler), Now: w.clock})
	for _, name := range []string{"coffer.local", "Coffer.Local"} {
		a := w.send(t, door, httptest.NewRequest(http.MethodGet, "https://login.microsoftonline.com/"+name+"/v2.0/.well-known/openid-configuration", nil))
		if a.StatusCode != 200 || a.json["token_endpoint"] != "https://login.microsoftonline.com/"+w.tenant.TenantID()+"/oauth2/v2.0/token" || a.json["issuer"] != "https://login.microsoftonline.com/"+w.tenant.TenantID()+"/v2.0" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
		if a := w.send(t, door, newPost("/"+name+"/oauth2/v2.0/token", w.form().Encode())); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	if a := w.send(t, door, newPost("/other.local/oauth2/v2.0/token", w.form().Encode())); a.StatusCode != 400 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// Paths that are written to mean something else lead nowhere else.
func TestConformPaths(t *testing.T) {
	claims(t, "id-4-4")
	w := newWorld(t)
	id := w.tenant.TenantID()
	good := w.post(t, w.v2(), w.form())
	if good.StatusCode != 200 {
		t.Fatal(good.text)
	}
	const other = "0a1b2c3d-0000-4000-8000-000000000001"
	for _, path := range []string{
		"/" + other + "/../" + id + "/oauth2/v2.0/token", "/" + other + "/%2e%2e/" + id + "/oauth2/v2.0/token", "/" + other + "%2f..%2f" + id + "/oauth2/v2.0/token", "/" + id + "/./oauth2/v2.0/token",
		"/" + id + "//oauth2/v2.0/token", "/" + id + "/oauth2/v2.0/token/x", "/" + id + "%00/oauth2/v2.0/token", "/" + id + "/oauth2\\v2.0\\token", "/" + id + ";x=y/oauth2/v2.0/token", "/" + id + "/oauth2/v2.0/token%20", "/" + id + "./oauth2/v2.0/token",
		"/" + strings.Repeat("x", 8000) + "/oauth2/v2.0/token", "/" + id + "/oauth2/v2.0/" + strings.Repeat("y", 8000), "/%ff/oauth2/v2.0/token", "/" + id + "/OAUTH2/V3.0/TOKEN",
	} {
		r := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com/", strings.NewReader(w.form().Encode()))
		u, err := url.Parse("https://login.microsoftonline.com" + path)
		if err != nil {
			continue // no server sees it
		}
		r.URL = u
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a := w.send(t, w.door, r)
		if a.StatusCode != 400 && a.StatusCode != 404 || a.json["access_token"] != nil || len(a.text) > 2000 {
			t.Errorf("%.100s: %d %.300s", path, a.StatusCode, a.text)
		}
	}
}

// A field of a form, and what it may be changed to without a refusal.
var formMutations = []struct {
	name   string
	change func(form url.Values, field string) string
}{
	{"missing", func(f url.Values, field string) string { f.Del(field); return f.Encode() }},
	{"empty", func(f url.Values, field string) string { f.Set(field, ""); return f.Encode() }},
	{"twice", func(f url.Values, field string) string {
		return f.Encode() + "&" + field + "=" + url.QueryEscape(f.Get(field))
	}},
	{"in capitals", func(f url.Values, field string) string {
		f.Set(strings.ToUpper(field), f.Get(field))
		f.Del(field)
		return f.Encode()
	}},
	{"huge", func(f url.Values, field string) string {
		f.Set(field, strings.Repeat("canary", 9000))
		return f.Encode()
	}},
	{"too huge", func(f url.Values, field string) string {
		f.Set(field, strings.Repeat("canary", 20000))
		return f.Encode()
	}},
	{"NUL", func(f url.Values, field string) string { f.Set(field, "canary\x00"); return f.Encode() }},
	{"no UTF-8", func(f url.Values, field string) string { f.Set(field, "canary\xff\xfe"); return f.Encode() }},
	{"lines", func(f url.Values, field string) string { f.Set(field, "canary\r\nX-Injected: 1"); return f.Encode() }},
	{"quoted", func(f url.Values, field string) string { f.Set(field, `"canary' or '1'='1`); return f.Encode() }},
	{"a path", func(f url.Values, field string) string { f.Set(field, "../../canary/%2e%2e"); return f.Encode() }},
	{"JSON", func(f url.Values, field string) string { f.Set(field, `{"canary":[]}`); return f.Encode() }},
	{"bad escape", func(f url.Values, field string) string { f.Del(field); return f.Encode() + "&" + field + "=%zz" }},
	{"a list", func(f url.Values, field string) string {
		f.Set(field+"[]", f.Get(field))
		f.Del(field)
		return f.Encode()
	}},
}

// Every grant × every field × every mutation, at every form of the endpoint: a refusal has
// the protocol's form, repeats nothing, and has changed nothing.
func TestConformFormMutations(t *testing.T) {
	claims(t, "id-4-5")
	w := newWorld(t)
	w.addUser(false)
	refresh := w.post(t, w.v2(), userForm()).json["refresh_token"]
	device := func() url.Values { return deviceForm(w.startDevice(t).json["device_code"]) }
	key := certificates()[0]
	w.edit("application", w.app.AppID, func(m map[string]any) {
		m["keys"] = []map[string]any{{"id": "1", "certificate": key.der, "start": 0, "exp": w.now.Unix() + 3600}}
	})
	assertion := assert(t, jose.RS256, key, w.assertionClaims(nil))
	forms := map[string]func() url.Values{
		"secret": func() url.Values {
			return w.form("resource", vaults, "claims", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`)
		},
		"assertion": func() url.Values { return w.assertionForm(assertion, "resource", vaults) },
		"password":  func() url.Values { return userForm("resource", vaults) },
		"refresh":   func() url.Values { return refreshForm(refresh, "resource", vaults, "scope", vaults+"/.default") },
		"device":    device,
	}
	sent := 0
	for grant, form := range forms {
		for field := range form() {
			for _, mutation := range formMutations {
				for _, path := range []string{w.v2(), w.v1()} {
					w.edit("user", jane, func(m map[string]any) { delete(m, "failures"); delete(m, "locked") })
					body := mutation.change(form(), field)
					before := w.records(t)
					a := w.send(t, w.door, newPost(path, body))
					sent++
					what := grant + " " + field + " " + mutation.name
					if a.StatusCode == http.StatusOK {
						if !free(grant, field, mutation.name, path == w.v1()) {
							t.Errorf("%s: %d %.300s", what, a.StatusCode, a.text)
						}
						continue
					}
					if grant == "device" && a.json["error"] == "authorization_pending" {
						continue
					}
					checkErrorBody(t, what, a)
					named := field == "scope" || field == "resource" || field == "grant_type" // what was asked for is repeated, clipped
					if a.StatusCode != 400 && a.StatusCode != 401 || strings.Contains(a.text, "canary") && !named || len(a.text) > 2500 || a.Header.Get("X-Injected") != "" {
						t.Errorf("%s: %d %.300s", what, a.StatusCode, a.text)
					}
					if after := w.records(t); after != before && !strings.Contains(what, "password") {
						t.Errorf("%s: a refused request changed the store", what)
					}
				}
			}
		}
	}
	if sent < 500 {
		t.Errorf("only %d forms", sent)
	}
	t.Logf("%d forms", sent)
}

// free reports whether a field may be mutated without a refusal: it means nothing there, or
// what was asked for before counts.
func free(grant, field, mutation string, v1 bool) bool {
	absent := slices.Contains([]string{"missing", "empty", "in capitals", "a list"}, mutation)
	readable := mutation != "too huge" && mutation != "bad escape"
	switch field {
	case "client_info", "claims":
		return readable
	case "scope", "resource":
		return (field == "scope") == v1 && readable && mutation != "twice" || absent && (grant == "refresh" || grant == "device")
	case "code":
		return readable && mutation != "twice"
	case "device_code":
		return absent
	}
	return false
}

// records are all of the tenant, sealed.
func (w *world) records(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if err := w.store.View(context.Background(), func(tx store.Tx) error {
		b.Reset()
		recs, err := tx.Scan("t/", "", 1000)
		for _, rec := range recs {
			b.WriteString(string(rec.Key) + " " + string(rec.Body) + "\n")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A client that shows its secret in the header, whatever that is, gets a token only for the
// right one.
func FuzzBasicAuthentication(f *testing.F) {
	w := newWorld(f)
	for _, seed := range [][2]string{{w.app.AppID, w.secret}, {w.app.AppID, ""}, {"", w.secret}, {"%41", "%zz"}, {w.app.AppID, w.secret + ":"}, {"\x00", "ÿ"}, {w.app.AppID, url.QueryEscape(w.secret)}} {
		f.Add("Basic "+base64.StdEncoding.EncodeToString([]byte(seed[0]+":"+seed[1])), "")
	}
	f.Add("Basic", "client_id=x")
	f.Add("basic %%%", "client_secret=x")
	f.Add("Bearer x", "client_assertion=x")
	f.Fuzz(func(t *testing.T, header, more string) {
		r := newPost(w.v2(), w.form("client_id", "-", "client_secret", "-").Encode()+"&"+more)
		r.Header["Authorization"] = []string{header}
		a := w.send(t, w.door, r)
		id, secret, _ := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
		id, err := url.QueryUnescape(id)
		secret, err2 := url.QueryUnescape(secret)
		right := err == nil && err2 == nil && strings.EqualFold(id, w.app.AppID) && secret == w.secret
		form, _ := url.ParseQuery(more)
		right = right || form.Get("client_secret") == w.secret
		if a.StatusCode == http.StatusOK != (a.json["access_token"] != nil) || a.StatusCode == http.StatusOK && !right || a.StatusCode >= 500 || strings.Contains(a.text, w.secret) {
			t.Errorf("%q, %q: %d %s", header, more, a.StatusCode, a.text)
		}
	})
}

// Whatever a client claims to understand, it gets the same token.
func FuzzClaims(f *testing.F) {
	w := newWorld(f)
	for _, seed := range []string{"", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`, `{"access_token":{"oid":{"value":"x"},"aud":{"values":["y"]}},"id_token":{}}`, "{", "[]", `{"access_token":{"roles":{"essential":true}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		a := w.post(t, w.v2(), w.form("claims", claims))
		if len(claims) > 50<<10 {
			return
		}
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%q: %d %s", claims, a.StatusCode, a.text)
		}
		got := claimsOf(t, a.json["access_token"])
		if got["oid"] != w.app.ObjectID || got["aud"] != vaults || len(got) != 14 {
			t.Errorf("%q: %v", claims, got)
		}
	})
}

// Whatever is asked of the metadata service, the answer is JSON of its form, and a token only
// for its own identity and a known resource.
func FuzzMetadataQuery(f *testing.F) {
	w := newWorld(f)
	for _, seed := range []string{"api-version=2018-02-01&resource=" + vaults, "resource=", "resource=" + vaults + "&client_id=x", "resource=%zz", "resource=a&resource=" + vaults, "%00", ";resource=" + vaults, "resource=" + vaults + "&mi_res_id=%2f"} {
		f.Add(seed, true, "/metadata/identity/oauth2/token")
	}
	f.Add("resource="+vaults, false, "/metadata/identity/oauth2/token/")
	f.Add("resource="+vaults, true, "/metadata/identity/oauth2/../token")
	f.Fuzz(func(t *testing.T, query string, header bool, path string) {
		r := httptest.NewRequest(http.MethodGet, metadataURL, nil)
		r.URL.RawQuery, r.URL.Path = query, path
		if header {
			r.Header.Set("Metadata", "true")
		}
		a := w.send(t, w.metadata(true), r)
		if a.StatusCode == http.StatusOK {
			values := r.URL.Query()
			if got := claimsOf(t, a.json["access_token"]); !header || got["oid"] != w.app.ObjectID || got["aud"] != values.Get("resource") {
				t.Errorf("%q: %v", query, got)
			}
			return
		}
		if a.StatusCode != 400 && a.StatusCode != 404 || a.json["error"] == nil || a.json["error_description"] == nil || a.json["access_token"] != nil {
			t.Errorf("%q at %q: %d %s", query, path, a.StatusCode, a.text)
		}
	})
}
