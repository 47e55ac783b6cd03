package entra_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/tenant"
)

const (
	azureCLI  = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	jane      = "jane@contoso.example"
	janeID    = "0a1b2c3d-0000-4000-8000-0000000000a1"
	password  = "canary correct horse"
	jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	deviceURN = "urn:ietf:params:oauth:grant-type:device_code"
)

// edit changes a record of the tenant, past all rules.
func (w *world) edit(kind, name string, change func(map[string]any)) {
	w.t.Helper()
	key := map[string]string{"application": "t/app/", "user": "t/user/", "principal": "t/sp/", "device": "t/device/"}[kind] + name
	at := seal.Place{Purpose: seal.PurposeRecord, Kind: kind, Name: strings.ToLower(name), Object: kind, Format: 1}
	err := w.store.Update(context.Background(), func(tx store.Tx) error {
		rec, err := tx.Get(store.Key(key))
		if err != nil {
			return err
		}
		value := map[string]any{}
		if rec.Exists() {
			plain, _, err := w.ring.Open(w.granter.Read(), at, rec.Body)
			if err := errors.Join(err, json.Unmarshal(plain, &value)); err != nil {
				return err
			}
		}
		if change(value); len(value) == 0 {
			return tx.Delete(store.Key(key), rec.Revision)
		}
		plain, _ := json.Marshal(value)
		box, err := w.ring.Seal(w.granter.Write(), at, plain)
		if err != nil {
			return err
		}
		return tx.Put(store.Key(key), rec.Revision, box)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// addUser makes a user. The password costs what it costs, because the code decides that.
func (w *world) addUser(admin bool) {
	w.setPassword(password)
	w.edit("principal", janeID, func(m map[string]any) {
		maps.Copy(m, map[string]any{"oid": janeID, "enabled": true, "admin": admin, "groups": []string{"0a1b2c3d-0000-4000-8000-0000000000b1"}})
	})
}

func (w *world) setPassword(text string) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	w.edit("user", jane, func(m map[string]any) {
		maps.Copy(m, map[string]any{"oid": janeID, "upn": jane, "name": "Jane", "salt": salt, "hash": argon2.IDKey([]byte(text), salt, 2, 19<<10, 1, 32), "created": 1})
	})
}

func userForm(over ...string) url.Values {
	form := url.Values{"grant_type": {"password"}, "client_id": {azureCLI}, "username": {"Jane@contoso.example"}, "password": {password}, "scope": {vaults + "/.default openid offline_access profile"}, "client_info": {"1"}}
	for i := 0; i < len(over); i += 2 {
		if form.Set(over[i], over[i+1]); over[i+1] == "-" {
			form.Del(over[i])
		}
	}
	return form
}

func refreshForm(refresh any, over ...string) url.Values {
	return userForm(append([]string{"grant_type", "refresh_token", "refresh_token", fmt.Sprint(refresh), "username", "-", "password", "-", "scope", "-"}, over...)...)
}

func deviceForm(code any, over ...string) url.Values {
	return userForm(append([]string{"grant_type", deviceURN, "device_code", fmt.Sprint(code), "code", fmt.Sprint(code), "username", "-", "password", "-", "scope", "-"}, over...)...)
}

// refused checks a refusal.
func (w *world) refused(t *testing.T, name string, a answer, status int, code string, number int) {
	t.Helper()
	if a.StatusCode != status || a.json["error"] != code || !reflect.DeepEqual(a.json["error_codes"], []any{float64(number)}) {
		t.Errorf("%s: %d %s, want %d %s %d", name, a.StatusCode, a.text, status, code, number)
	}
	if strings.Contains(a.text, "canary") || strings.Contains(w.log.String(), "canary") || strings.Contains(w.sink.String(), "canary") {
		t.Errorf("%s: a secret is shown: %s", name, a.text)
	}
}

func (w *world) caller(t *testing.T, a answer) access.Caller {
	t.Helper()
	raw, _ := a.json["access_token"].(string)
	caller, err := w.tenant.Authenticate(context.Background(), raw, []string{vaults, management, management + "/"})
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s", err, a.StatusCode, a.text)
	}
	return caller
}

func claimsOf(t *testing.T, raw any) map[string]any {
	t.Helper()
	parts := strings.Split(fmt.Sprint(raw), ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %v", raw)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var out map[string]any
	if err := errors.Join(err, json.Unmarshal(body, &out)); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPasswordGrant(t *testing.T) {
	claims(t, "id-4.1-5", "id-4.1-10", "id-4.1-11", "id-4.2-3", "id-4.4-3")
	w := newWorld(t)
	w.addUser(false)
	a := w.post(t, w.v2(), userForm())
	if caller := w.caller(t, a); caller.ObjectID != janeID || caller.AppID != azureCLI {
		t.Errorf("caller %+v", caller)
	}
	info, _ := base64.RawURLEncoding.DecodeString(a.json["client_info"].(string))
	if a.json["foci"] != "1" || string(info) != `{"uid":"`+janeID+`","utid":"`+w.tenant.TenantID()+`"}` || a.json["refresh_token"] == "" {
		t.Errorf("%s, client_info %s", a.text, info)
	}
	if scope := strings.Fields(a.json["scope"].(string)); len(scope) != 5 || scope[0] != vaults+"/.default" || scope[4] != vaults+"/user_impersonation" {
		t.Errorf("scope %q", scope)
	}
	claims := claimsOf(t, a.json["access_token"])
	for name, want := range map[string]any{
		"aud": vaults, "idtyp": "user", "oid": janeID, "upn": jane, "unique_name": jane, "name": "Jane", "scp": "user_impersonation", "appid": azureCLI, "appidacr": "0", "ver": "1.0",
		"groups": []any{"0a1b2c3d-0000-4000-8000-0000000000b1"}, "tid": w.tenant.TenantID(),
	} {
		if !reflect.DeepEqual(claims[name], want) {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life < 3600 || life >= 5400 || a.json["expires_in"] != life {
		t.Errorf("it lives for %v s, %v", life, a.json["expires_in"])
	}
	identity := claimsOf(t, a.json["id_token"])
	for name, want := range map[string]any{
		"aud": azureCLI, "iss": "https://login.microsoftonline.com/" + w.tenant.TenantID() + "/v2.0", "oid": janeID, "preferred_username": jane, "upn": jane, "tid": w.tenant.TenantID(), "ver": "2.0",
	} {
		if identity[name] != want {
			t.Errorf("id_token: %s is %v, want %v", name, identity[name], want)
		}
	}
	if _, err := w.tenant.Authenticate(context.Background(), a.json["id_token"].(string), []string{vaults, azureCLI}); err == nil {
		t.Error("an id_token is an access token")
	}
	a = w.post(t, w.v1(), userForm("scope", "-", "resource", management+"/"))
	if _, isText := a.json["expires_in"].(string); !isText || a.json["resource"] != management+"/" || claimsOf(t, a.json["id_token"])["iss"] != w.tenant.Issuer() {
		t.Errorf("v1: %s", a.text)
	}
	if !strings.Contains(w.sink.String(), janeID) {
		t.Error("the audit log does not know who signed in")
	}
}

func TestPasswordRefusals(t *testing.T) {
	w := newWorld(t)
	w.addUser(false)
	w.refused(t, "wrong", w.post(t, w.v2(), userForm("password", "canary wrong")), 400, "invalid_grant", 50126)
	w.refused(t, "unknown user", w.post(t, w.v2(), userForm("username", "joe@contoso.example")), 400, "invalid_grant", 50126)
	w.refused(t, "a name with NUL", w.post(t, w.v2(), userForm("username", "\x00")), 400, "invalid_grant", 50126)
	w.refused(t, "a long name", w.post(t, w.v2(), userForm("username", strings.Repeat("x", 9000))), 400, "invalid_grant", 50126)
	w.refused(t, "no password", w.post(t, w.v2(), userForm("password", "-")), 400, "invalid_request", 900144)
	w.refused(t, "unknown client", w.post(t, w.v2(), userForm("client_id", janeID)), 400, "unauthorized_client", 700016)
	w.refused(t, "a client with a secret shows none", w.post(t, w.v2(), userForm("client_id", w.app.AppID)), 401, "invalid_client", 7000218)
	w.refused(t, "a public client shows one", w.post(t, w.v2(), userForm("client_secret", "canary")), 401, "invalid_client", 700025)
	w.refused(t, "unknown resource", w.post(t, w.v2(), userForm("scope", "https://evil.example/.default")), 400, "invalid_resource", 500011)
	w.refused(t, "no scope", w.post(t, w.v2(), userForm("scope", "openid")), 400, "invalid_scope", 70011)
	w.refused(t, "two resources", w.post(t, w.v2(), userForm("scope", vaults+"/.default "+management+"/.default")), 400, "invalid_scope", 70011)
	w.edit("principal", janeID, func(m map[string]any) { m["enabled"] = false })
	w.refused(t, "disabled", w.post(t, w.v2(), userForm()), 400, "invalid_grant", 50057)
	w.edit("principal", janeID, func(m map[string]any) { m["enabled"] = true })
	if a := w.post(t, w.v2(), userForm("client_id", w.app.AppID, "client_secret", w.secret)); claimsOf(t, a.json["access_token"])["appidacr"] != "1" || a.json["foci"] != nil {
		t.Errorf("by an application: %s", a.text)
	}
}

func TestLockOut(t *testing.T) {
	w := newWorld(t)
	w.addUser(false)
	for _, name := range []string{jane, "joe@contoso.example"} {
		for i := range 10 {
			w.refused(t, fmt.Sprint(name, i), w.post(t, w.v2(), userForm("username", name, "password", "canary wrong")), 400, "invalid_grant", 50126)
		}
		w.refused(t, "locked", w.post(t, w.v2(), userForm("username", name)), 400, "invalid_grant", 50053)
	}
	if text := w.sink.String(); !strings.Contains(text, "UserLockOut") {
		t.Error("the audit log does not show the lock-out")
	}
	w.now = w.now.Add(61 * time.Second)
	for range 10 {
		w.refused(t, "again", w.post(t, w.v2(), userForm("password", "canary wrong")), 400, "invalid_grant", 50126)
	}
	w.now = w.now.Add(61 * time.Second)
	w.refused(t, "twice as long", w.post(t, w.v2(), userForm()), 400, "invalid_grant", 50053)
	w.now = w.now.Add(time.Minute)
	w.caller(t, w.post(t, w.v2(), userForm()))
	for range 9 {
		w.refused(t, "counted anew", w.post(t, w.v2(), userForm("password", "canary wrong")), 400, "invalid_grant", 50126)
	}
	w.caller(t, w.post(t, w.v2(), userForm()))
	w.edit("user", jane, func(m map[string]any) { m["failures"], m["locked"] = 10, w.now.Unix()+10 })
	w.refused(t, "locked by another node", w.post(t, w.v2(), userForm()), 400, "invalid_grant", 50053)
	w.setPassword("canary another")
	w.edit("user", jane, func(m map[string]any) { delete(m, "failures"); delete(m, "locked") })
	w.caller(t, w.post(t, w.v2(), userForm("password", "canary another")))
}

func TestRefreshTokens(t *testing.T) {
	claims(t, "id-4.1-4", "id-4.3-12")
	w := newWorld(t)
	w.addUser(false)
	first := w.post(t, w.v2(), userForm())
	refresh := first.json["refresh_token"]
	second := w.post(t, w.v2(), refreshForm(refresh))
	if caller := w.caller(t, second); caller.ObjectID != janeID || second.json["scope"] != first.json["scope"] {
		t.Errorf("%+v %s", caller, second.text)
	}
	if a := w.post(t, w.v2(), refreshForm(refresh, "scope", management+"//.default openid")); claimsOf(t, a.json["access_token"])["aud"] != management+"/" {
		t.Errorf("another resource: %s", a.text)
	}
	w.caller(t, w.post(t, w.v2(), refreshForm(refresh, "client_id", "1950a258-227b-4e31-a9cf-717495945fc2"))) // of the family
	w.caller(t, w.post(t, w.v1(), refreshForm(refresh)))

	other := newWorld(t)
	other.addUser(false)
	text := fmt.Sprint(refresh)
	w.refused(t, "another tenant's path", w.post(t, "/0a1b2c3d-0000-4000-8000-000000000001/oauth2/v2.0/token", refreshForm(refresh)), 400, "invalid_request", 90002)
	w.refused(t, "another client", w.post(t, w.v2(), refreshForm(refresh, "client_id", w.app.AppID, "client_secret", w.secret)), 400, "invalid_grant", 70000)
	w.refused(t, "altered", w.post(t, w.v2(), refreshForm(text[:len(text)-3]+"AAA")), 400, "invalid_grant", 9002313)
	w.refused(t, "cut", w.post(t, w.v2(), refreshForm(text[:10])), 400, "invalid_grant", 9002313)
	w.refused(t, "none", w.post(t, w.v2(), refreshForm("-")), 400, "invalid_request", 900144)
	w.refused(t, "an access token", w.post(t, w.v2(), refreshForm(first.json["access_token"])), 400, "invalid_grant", 9002313)
	w.edit("principal", janeID, func(m map[string]any) { m["enabled"] = false })
	w.refused(t, "disabled", w.post(t, w.v2(), refreshForm(refresh)), 400, "invalid_grant", 50057)
	w.edit("principal", janeID, func(m map[string]any) { m["enabled"] = true })
	begun := w.now
	w.now = begun.Add(89 * 24 * time.Hour)
	late := w.post(t, w.v2(), refreshForm(refresh))
	w.caller(t, late)
	w.now = begun.Add(90 * 24 * time.Hour)
	w.refused(t, "after 90 days", w.post(t, w.v2(), refreshForm(refresh)), 400, "invalid_grant", 700082)
	w.refused(t, "and its successor", w.post(t, w.v2(), refreshForm(late.json["refresh_token"])), 400, "invalid_grant", 700082)
	w.now = begun
	w.setPassword("canary another")
	w.refused(t, "password changed", w.post(t, w.v2(), refreshForm(refresh)), 400, "invalid_grant", 50173)
	w.edit("user", jane, func(m map[string]any) { clear(m) })
	w.refused(t, "gone", w.post(t, w.v2(), refreshForm(refresh)), 400, "invalid_grant", 70000)
}

// What is not a refresh token of this server, to the letter, gives nothing.
func FuzzRefreshToken(f *testing.F) {
	w := newWorld(f)
	w.addUser(false)
	good := fmt.Sprint(w.post(f, w.v2(), userForm()).json["refresh_token"])
	for _, seed := range []string{good, good[1:], good + "A", "", "AA", "AQE", "AQEHcmVmcmVzaA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := w.post(t, w.v2(), refreshForm(text, "refresh_token", text))
		if a.StatusCode == http.StatusOK && text != good || a.StatusCode >= 500 {
			t.Errorf("%q: %d %s", text, a.StatusCode, a.text)
		}
	})
}

func (w *world) startDevice(t *testing.T, over ...string) answer {
	t.Helper()
	form := url.Values{"client_id": {azureCLI}, "scope": {management + "//.default openid offline_access profile"}}
	for i := 0; i < len(over); i += 2 {
		form.Set(over[i], over[i+1])
	}
	return w.post(t, "/organizations/oauth2/v2.0/devicecode", form)
}

func TestDeviceCodeIsApprovedAtOnce(t *testing.T) {
	claims(t, "id-4.1-6", "id-4.4-1", "id-4.4-2", "id-4.4-4", "id-10-5")
	w := newWorldWith(t, func(w *world) { w.deviceUser = jane })
	started := w.startDevice(t)
	w.refused(t, "no such user yet", w.post(t, "/organizations/oauth2/v2.0/token", deviceForm(started.json["device_code"])), 400, "invalid_grant", 70000)
	if err := w.tenant.EnsureUser(context.Background(), tenant.User{ID: janeID, Name: jane, DisplayName: "Jane"}, true); err != nil {
		t.Fatal(err)
	}
	if err := w.tenant.EnsureUser(context.Background(), tenant.User{ID: janeID, Name: jane, DisplayName: "Jane"}, true); err != nil {
		t.Fatal(err)
	}
	if err := w.tenant.EnsureUser(context.Background(), tenant.User{ID: azureCLI, Name: jane}, true); err == nil {
		t.Error("a user got another id")
	}
	if err := w.tenant.EnsureAssignment(context.Background(), janeID, tenant.RoleOwner, "/"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(started.json["message"].(string), jane) || started.json["expires_in"] != 900.0 || started.json["interval"] != 5.0 || started.json["verification_uri"] == "" {
		t.Errorf("%s", started.text)
	}
	a := w.post(t, "/organizations/oauth2/v2.0/token", deviceForm(started.json["device_code"]))
	caller := w.caller(t, a)
	look := w.tenant.Look(caller)
	recs, err := w.store.Get(context.Background(), look.Asks()...)
	if err != nil {
		t.Fatal(err)
	}
	if known, err := look.Caller(recs); err != nil || !known.User || !known.Admin || known.Roles == nil {
		t.Errorf("%+v %v", known, err)
	}
	if !strings.HasPrefix(a.json["scope"].(string), management+"//.default openid offline_access profile") || a.json["refresh_token"] == nil {
		t.Errorf("%s", a.text)
	}
	w.refused(t, "the user has no password", w.post(t, w.v2(), userForm("password", "canary")), 400, "invalid_grant", 50126)
	v1 := w.post(t, "/common/oauth2/devicecode", url.Values{"client_id": {azureCLI}, "resource": {vaults}})
	if v1.json["expires_in"] != "900" || v1.json["verification_url"] == nil {
		t.Errorf("v1: %s", v1.text)
	}
	if a := w.post(t, "/common/oauth2/token", deviceForm(v1.json["device_code"], "device_code", "-", "grant_type", "device_code")); a.json["resource"] != vaults {
		t.Errorf("v1: %s", a.text)
	}
}

func TestDeviceCodeIsApprovedByAnAdministrator(t *testing.T) {
	claims(t, "id-4.3-13")
	w, ctx := newWorld(t), context.Background()
	w.addUser(true)
	admin := access.Caller{TenantID: w.tenant.TenantID(), ObjectID: janeID, AppID: azureCLI}
	nobody := access.Caller{TenantID: w.tenant.TenantID(), ObjectID: w.app.ObjectID, AppID: w.app.AppID}
	started := w.startDevice(t)
	code, shown := started.json["device_code"], started.json["user_code"].(string)
	before := w.sink.String()
	w.refused(t, "nobody approved", w.post(t, w.v2(), deviceForm(code)), 400, "authorization_pending", 70016)
	if w.sink.String() != before {
		t.Error("polling fills the audit log")
	}
	if err := w.tenant.ApproveDeviceCode(ctx, nobody, shown, jane); err == nil {
		t.Error("anybody approves")
	}
	wrong := "B"
	if shown[0] == 'B' {
		wrong = "C"
	}
	for _, typed := range []string{"", wrong + shown[1:], shown + "B", "AAAAA-AAAAA"} {
		if err := w.tenant.ApproveDeviceCode(ctx, admin, typed, ""); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if err := w.tenant.ApproveDeviceCode(ctx, admin, shown, "joe@contoso.example"); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("for an unknown user: %v", err)
	}
	if err := w.tenant.ApproveDeviceCode(ctx, admin, strings.ToLower(shown), ""); err != nil {
		t.Fatal(err)
	}
	if err := w.tenant.DeclineDeviceCode(ctx, admin, shown); !errors.Is(err, tenant.ErrDecided) {
		t.Errorf("decided twice: %v", err)
	}
	w.refused(t, "another client", w.post(t, w.v2(), deviceForm(code, "client_id", "1950a258-227b-4e31-a9cf-717495945fc2")), 400, "invalid_grant", 70000)
	if caller := w.caller(t, w.post(t, w.v2(), deviceForm(code))); caller.ObjectID != janeID {
		t.Errorf("%+v", caller)
	}
	w.refused(t, "a second time", w.post(t, w.v2(), deviceForm(code)), 400, "invalid_grant", 70000)

	declined, late := w.startDevice(t), w.startDevice(t)
	if err := w.tenant.DeclineDeviceCode(ctx, admin, declined.json["user_code"].(string)); err != nil {
		t.Fatal(err)
	}
	w.refused(t, "declined", w.post(t, w.v2(), deviceForm(declined.json["device_code"])), 400, "authorization_declined", 70018)
	w.now = w.now.Add(15 * time.Minute)
	w.refused(t, "expired", w.post(t, w.v2(), deviceForm(late.json["device_code"])), 400, "expired_token", 70020)
	if err := w.tenant.DeclineDeviceCode(ctx, admin, late.json["user_code"].(string)); err != nil {
		t.Fatal(err)
	}
	left := 0
	if err := w.store.View(ctx, func(tx store.Tx) error {
		recs, err := tx.Scan("t/device/", "", 10)
		left = len(recs)
		return err
	}); err != nil || left != 1 {
		t.Errorf("%d decisions are kept, %v", left, err)
	}
}

func TestDeviceCodeRefusals(t *testing.T) {
	w := newWorld(t)
	w.refused(t, "unknown client", w.startDevice(t, "client_id", janeID), 400, "unauthorized_client", 700016)
	w.refused(t, "no scope", w.startDevice(t, "scope", "openid"), 400, "invalid_scope", 70011)
	w.refused(t, "unknown resource", w.startDevice(t, "scope", "https://evil.example/.default"), 400, "invalid_resource", 500011)
	w.refused(t, "no resource", w.post(t, "/common/oauth2/devicecode", url.Values{"client_id": {azureCLI}}), 400, "invalid_resource", 500011)
	w.refused(t, "no code", w.post(t, w.v2(), deviceForm("-")), 400, "invalid_request", 900144)
	w.refused(t, "no code of ours", w.post(t, w.v2(), deviceForm("canary")), 400, "invalid_grant", 70000)
	w.addUser(false)
	refresh := w.post(t, w.v2(), userForm()).json["refresh_token"]
	w.refused(t, "a refresh token", w.post(t, w.v2(), deviceForm(refresh)), 400, "invalid_grant", 70000)
	w.refused(t, "a device code is no refresh token", w.post(t, w.v2(), refreshForm(w.startDevice(t).json["device_code"])), 400, "invalid_grant", 9002313)
}
