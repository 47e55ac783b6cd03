package dataplane_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
	"coffer/internal/dataplane"
)

// permissionMap is the service's map of permissions (documented), by the routes of this
// door: method, path, word of an access policy, data action, and another that is enough.
const permissionMap = `
GET    certificates/contacts                     managecontacts     certificatecontacts/write
PUT    certificates/contacts                     managecontacts     certificatecontacts/write
DELETE certificates/contacts                     managecontacts     certificatecontacts/write
GET    certificates/issuers                      listissuers        certificatecas/read
GET    certificates/issuers/{issuer}             getissuers         certificatecas/read
PUT    certificates/issuers/{issuer}             setissuers         certificatecas/write
PATCH  certificates/issuers/{issuer}             setissuers         certificatecas/write
DELETE certificates/issuers/{issuer}             deleteissuers      certificatecas/delete
POST   certificates/restore                      restore            certificates/restore/action
GET    certificates                              list               certificates/read
POST   certificates/{name}/create                create             certificates/create/action
POST   certificates/{name}/import                import             certificates/import/action
POST   certificates/{name}/backup                backup             certificates/backup/action
GET    certificates/{name}/versions              list               certificates/read
GET    certificates/{name}/policy                get                certificates/read
PATCH  certificates/{name}/policy                update             certificates/update/action
GET    certificates/{name}/pending               get                certificates/read
PATCH  certificates/{name}/pending               update             certificates/update/action
DELETE certificates/{name}/pending               update             certificates/update/action
POST   certificates/{name}/pending/merge         create             certificates/create/action
GET    certificates/{name}                       get                certificates/read
GET    certificates/{name}/{version}             get                certificates/read
PATCH  certificates/{name}                       update             certificates/update/action
PATCH  certificates/{name}/{version}             update             certificates/update/action
DELETE certificates/{name}                       delete             certificates/delete
GET    deletedcertificates                       list               certificates/read
GET    deletedcertificates/{name}                get                certificates/read
POST   deletedcertificates/{name}/recover        recover            certificates/recover/action
DELETE deletedcertificates/{name}                purge              certificates/purge/action
GET    secrets                                   list               secrets/readMetadata/action
POST   secrets/restore                           restore            secrets/restore/action
POST   secrets/{name}/backup                     backup             secrets/backup/action
GET    secrets/{name}/versions                   list               secrets/readMetadata/action
PUT    secrets/{name}                            set                secrets/setSecret/action
GET    secrets/{name}                            get                secrets/getSecret/action
GET    secrets/{name}/{version}                  get                secrets/getSecret/action
PATCH  secrets/{name}                            set                secrets/update/action
PATCH  secrets/{name}/{version}                  set                secrets/update/action
DELETE secrets/{name}                            delete             secrets/delete
GET    deletedsecrets                            list               secrets/readMetadata/action
GET    deletedsecrets/{name}                     get                secrets/readMetadata/action
POST   deletedsecrets/{name}/recover             recover            secrets/recover/action
DELETE deletedsecrets/{name}                     purge              secrets/purge/action
GET    keys                                      list               keys/read
POST   keys/restore                              restore            keys/restore/action
POST   keys/{name}/create                        create             keys/create/action
POST   keys/{name}/backup                        backup             keys/backup/action
POST   keys/{name}/rotate                        rotate             keys/rotate/action
GET    keys/{name}/rotationpolicy                getrotationpolicy  keyrotationpolicies/read
PUT    keys/{name}/rotationpolicy                setrotationpolicy  keyrotationpolicies/write
POST   keys/{name}/release                       release            keys/release/action
POST   keys/{name}/encrypt                       encrypt            keys/encrypt/action         keys/read
POST   keys/{name}/decrypt                       decrypt            keys/decrypt/action
POST   keys/{name}/wrapkey                       wrapkey            keys/wrap/action            keys/read
POST   keys/{name}/unwrapkey                     unwrapkey          keys/unwrap/action
POST   keys/{name}/sign                          sign               keys/sign/action
POST   keys/{name}/verify                        verify             keys/verify/action          keys/read
POST   keys/{name}/{version}/release             release            keys/release/action
POST   keys/{name}/{version}/encrypt             encrypt            keys/encrypt/action         keys/read
POST   keys/{name}/{version}/decrypt             decrypt            keys/decrypt/action
POST   keys/{name}/{version}/wrapkey             wrapkey            keys/wrap/action            keys/read
POST   keys/{name}/{version}/unwrapkey           unwrapkey          keys/unwrap/action
POST   keys/{name}/{version}/sign                sign               keys/sign/action
POST   keys/{name}/{version}/verify              verify             keys/verify/action          keys/read
GET    keys/{name}/versions                      list               keys/read
PUT    keys/{name}                               import             keys/import/action
GET    keys/{name}                               get                keys/read
GET    keys/{name}/{version}                     get                keys/read
PATCH  keys/{name}                               update             keys/update/action
PATCH  keys/{name}/{version}                     update             keys/update/action
DELETE keys/{name}                               delete             keys/delete
GET    deletedkeys                               list               keys/read
GET    deletedkeys/{name}                        get                keys/read
POST   deletedkeys/{name}/recover                recover            keys/recover/action
DELETE deletedkeys/{name}                        purge              keys/purge/action
`

// A need is what a route asks for.
type need struct {
	permission string   // certificates/get
	actions    []string // each of which is enough
}

// needs reads the map, and holds it against the route table: a route without a line fails.
func needs(t *testing.T) map[string]need {
	t.Helper()
	out := map[string]need{}
	for line := range strings.Lines(permissionMap) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		collection, _, _ := strings.Cut(strings.TrimPrefix(fields[1], "deleted"), "/")
		out[fields[0]+" "+fields[1]] = need{collection + "/" + fields[2], fields[3:]}
	}
	for _, route := range dataplane.Routes() {
		if _, ok := out[route.Method+" "+route.Pattern]; !ok {
			t.Errorf("%s %s has no line in the map of permissions", route.Method, route.Pattern)
		}
	}
	if len(out) != len(dataplane.Routes()) {
		t.Fatalf("%d lines for %d routes", len(out), len(dataplane.Routes()))
	}
	return out
}

// place is the path of a route at something that does not exist, so that nothing changes:
// whoever may, learns that it is missing, or that the body is.
func place(route string) (method, path, body string) {
	method, pattern, _ := strings.Cut(route, " ")
	path = "/" + strings.NewReplacer("{name}", "nothing", "{issuer}", "nothing", "{version}", "0123456789abcdef0123456789abcdef").Replace(pattern)
	if method == "PUT" || method == "POST" || method == "PATCH" {
		body = `{}`
	}
	return method, path, body
}

// control sends a request to the control plane, as the owner.
func (d *door) control(method, path, body string) answer {
	d.t.Helper()
	token, err := d.server.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		d.t.Fatal(err)
	}
	c := &door{t: d.t, server: d.server, base: "https://management.azure.com", token: token.Token}
	a := c.do(method, path+"?api-version=2026-02-01", body)
	if a.status > 204 {
		d.t.Fatalf("%s %s: %d %s", method, path, a.status, a.text)
	}
	return a
}

// newRoleVault is a vault in which roles decide, and its id.
func newRoleVault(t *testing.T) (*door, string) {
	t.Helper()
	d := newDoor(t)
	group := "/subscriptions/" + d.server.TenantID() + "/resourceGroups/rg"
	d.control("PUT", group, `{"location":"eastus"}`)
	id := group + "/providers/Microsoft.KeyVault/vaults/roles"
	d.control("PUT", id, fmt.Sprintf(`{"location":"eastus","properties":{"tenantId":%q,"sku":{"family":"A","name":"premium"}}}`, d.server.TenantID()))
	return d.at("roles"), id
}

// role makes a role of data actions, if there is none of the id, and assigns it.
func (d *door) role(scope, id string, p coffertest.Principal, actions ...string) {
	d.t.Helper()
	subscription := "/subscriptions/" + d.server.TenantID()
	if len(actions) > 0 {
		d.control("PUT", subscription+"/providers/Microsoft.Authorization/roleDefinitions/"+id, fmt.Sprintf(
			`{"properties":{"roleName":%q,"assignableScopes":[%q],"permissions":[{"dataActions":["%s"]}]}}`, id, subscription, strings.Join(actions, `","`)))
	}
	d.control("PUT", scope+"/providers/Microsoft.Authorization/roleAssignments/"+p.ObjectID, fmt.Sprintf(`{"properties":{"roleDefinitionId":%q,"principalId":%q}}`, id, p.ObjectID))
}

// allowed checks the answer to who may, and refused to who may not.
func (d *door) decided(who, route string, may bool, inner string) {
	d.t.Helper()
	method, path, body := place(route)
	a := d.do(method, path, body)
	switch {
	case may && (a.status == 401 || a.status == 403 || a.status >= 500):
		d.t.Errorf("%s may %s: %d %s", who, route, a.status, a.text)
	case !may && (a.status != 403 || a.code() != "Forbidden/"+inner):
		d.t.Errorf("%s may not %s: %d %s", who, route, a.status, a.text)
	}
}

// Every route × every single word of an access policy, and the words that stand for several.
func TestConformRoutesTimesWords(t *testing.T) {
	claims(t, "arm-6-1", "arm-6-2", "arm-6-3", "arm-6-4")
	d, all := newDoor(t), needs(t)
	words := map[string]func(string) bool{}
	for _, n := range all {
		words[n.permission] = func(p string) bool { return p == n.permission }
	}
	if len(words) != 16-1+20+8 { // manageissuers is no route's own
		t.Fatalf("%d words", len(words))
	}
	for _, collection := range []string{"certificates", "keys", "secrets"} {
		words[collection+"/All"] = func(p string) bool {
			return strings.HasPrefix(p, collection+"/") && !strings.HasSuffix(p, "/purge")
		}
	}
	words["certificates/ManageIssuers"] = func(p string) bool { return strings.HasSuffix(p, "issuers") }
	words["nothing"] = func(string) bool { return false }
	d.server.NewVault("policies")
	d = d.at("policies")
	for word, grants := range words {
		p := d.server.NewPrincipal(word)
		if word != "nothing" {
			d.server.Grant("policies", p, word)
		}
		caller := d.as(p)
		for route, n := range all {
			caller.decided(word, route, grants(n.permission), "ForbiddenByPolicy")
		}
	}
}

// Every route × every built-in role × every single data action, in a vault where roles decide.
func TestConformRoutesTimesRoles(t *testing.T) {
	claims(t, "arm-6-5", "arm-6-6", "arm-6-7")
	d, id := newRoleVault(t)
	all, roles := needs(t), map[string][]string{}
	for _, one := range d.control("GET", id+"/providers/Microsoft.Authorization/roleDefinitions", "").body["value"].([]any) {
		permission := one.(map[string]any)["properties"].(map[string]any)["permissions"].([]any)[0].(map[string]any)
		var actions []string
		for _, action := range permission["dataActions"].([]any) {
			actions = append(actions, action.(string))
		}
		roles[one.(map[string]any)["name"].(string)] = actions
	}
	if len(roles) != 17 {
		t.Fatalf("%d built-in roles", len(roles))
	}
	walk := func(who string, caller *door, actions []string) {
		for route, n := range all {
			may := slices.ContainsFunc(n.actions, func(action string) bool {
				return slices.ContainsFunc(actions, func(pattern string) bool { return glob(pattern, "Microsoft.KeyVault/vaults/"+action) })
			})
			caller.decided(who, route, may, "ForbiddenByRbac")
		}
	}
	walk("nobody", d.as(d.server.NewPrincipal("nobody")), nil)
	for role, actions := range roles {
		p := d.server.NewPrincipal(role)
		d.role(id, role, p)
		walk(role, d.as(p), actions)
	}
	single := map[string]bool{}
	for _, n := range all {
		single[n.actions[0]] = true
	}
	for i, action := range slices.Sorted(maps.Keys(single)) {
		p := d.server.NewPrincipal(action)
		d.role(id, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), p, "Microsoft.KeyVault/vaults/"+action)
		walk(action, d.as(p), []string{"Microsoft.KeyVault/vaults/" + action})
	}
}

// glob compares as the service documents it: without regard to case, * for any characters.
func glob(pattern, text string) bool {
	return regexp.MustCompile(`(?i)^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`).MatchString(text)
}

// Reading the key is enough for what everybody can do who has its public part, and only there.
func TestConformReadingIsEnough(t *testing.T) {
	claims(t, "arm-6-8")
	d, id := newRoleVault(t)
	officer, reader := d.server.NewPrincipal("officer"), d.server.NewPrincipal("reader")
	d.role(id, "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", officer)
	d.role(id, "00000000-0000-4000-8000-000000000001", reader, "Microsoft.KeyVault/vaults/keys/read")
	o, r := d.as(officer), d.as(reader)
	o.want(o.do("POST", "/keys/rsa/create", `{"kty":"RSA"}`), 200, "")
	o.want(o.do("POST", "/keys/oct/create", `{"kty":"oct-HSM"}`), 200, "")
	for _, op := range []string{"encrypt", "wrapkey"} {
		r.want(r.do("POST", "/keys/rsa/"+op, `{"alg":"RSA-OAEP","value":"AAAA"}`), 200, "")
	}
	r.want(r.do("POST", "/keys/rsa/verify", `{"alg":"RS256","digest":"`+b64(make([]byte, 32))+`","value":"AAAA"}`), 200, "")
	r.want(r.do("POST", "/keys/rsa/sign", `{"alg":"RS256","value":"`+b64(make([]byte, 32))+`"}`), 403, "Forbidden/ForbiddenByRbac")
	r.want(r.do("POST", "/keys/oct/encrypt", `{"alg":"A256GCM","value":"AAAA"}`), 403, "Forbidden/ForbiddenByRbac")
	r.want(r.do("POST", "/keys/oct/wrapkey", `{"alg":"A256KW","value":"`+b64(make([]byte, 32))+`"}`), 403, "Forbidden/ForbiddenByRbac")
	o.want(o.do("POST", "/keys/oct/encrypt", `{"alg":"A256GCM","value":"AAAA"}`), 200, "")
}

// What a refusal says, in both models.
func TestConformRefusals(t *testing.T) {
	claims(t, "arm-6-9", "arm-6-10", "arm-6-11", "arm-6-12", "arm-6-13")
	d, id := newRoleVault(t)
	p := d.server.NewPrincipal("p")
	a := d.as(p).want(d.as(p).do("GET", "/secrets/Name", ""), 403, "Forbidden/ForbiddenByRbac")
	caller := "appid=" + p.AppID + ";oid=" + p.ObjectID + ";iss=https://sts.windows.net/" + d.server.TenantID() + "/"
	d.has(a, "Caller: "+caller, "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'", "Resource: '"+strings.ToLower(id)+"/secrets/name'", "Assignment: (not found)", "DenyAssignmentId: null", "DecisionReason: null", "Vault: roles;location=eastus")
	d.server.NewVault("policies")
	b := d.at("policies").as(p)
	refused := b.want(b.do("GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByPolicy")
	d.has(refused, "appid="+p.AppID+";oid="+p.ObjectID, "iss=https://sts.windows.net/"+d.server.TenantID()+"/", "certificates get permission on key vault 'policies;location=")
	// Each model counts for nothing in the other's vault.
	d.server.Grant("roles", p, "secrets/get")
	d.as(p).want(d.as(p).do("GET", "/secrets/Name", ""), 403, "Forbidden/ForbiddenByRbac")
	d.role("/subscriptions/"+d.server.TenantID(), "00482a5a-887f-4fb3-b363-3b7fe8e74483", p)
	d.as(p).want(d.as(p).do("GET", "/secrets/Name", ""), 404, "SecretNotFound")
	b.want(b.do("GET", "/certificates/web", ""), 403, "Forbidden/ForbiddenByPolicy")
	// The firewall, and no public access.
	for _, step := range [][2]string{{`"networkAcls":{"defaultAction":"Deny"}`, "ForbiddenByFirewall"}, {`"publicNetworkAccess":"Disabled"`, "ForbiddenByConnection"}} {
		d.control("PATCH", id, `{"properties":{`+step[0]+`}}`)
		d.as(p).want(d.as(p).do("GET", "/secrets/Name", ""), 403, "Forbidden/"+step[1])
	}
	// Purge under protection is 403, whoever may purge.
	d.server.NewVault("protected", coffertest.WithPurgeProtection())
	d.server.Grant("protected", p, "secrets/all", "secrets/purge")
	e := d.at("protected").as(p)
	e.want(e.do("PUT", "/secrets/one", `{"value":"v"}`), 200, "")
	e.want(e.do("DELETE", "/secrets/one", ""), 200, "")
	if a := e.do("DELETE", "/deletedsecrets/one", ""); a.status != 403 || !strings.HasPrefix(a.code(), "Forbidden") {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// Whoever is no principal any more, or disabled, gets the challenge on every route, and so
// does who has no token.
func TestConformGone(t *testing.T) {
	claims(t, "id-6-8", "id-6-1", "id-10-1")
	d := newDoor(t)
	d.make("web", selfEC)
	removed, disabled := d.server.NewPrincipal("removed"), d.server.NewPrincipal("disabled")
	callers := map[string]*door{"removed": d.as(removed), "disabled": d.as(disabled), "nobody": d}
	for _, p := range []coffertest.Principal{removed, disabled} {
		d.server.Grant("demo", p, "certificates/all", "keys/all", "secrets/all")
	}
	callers["removed"].want(callers["removed"].do("GET", "/secrets", ""), 200, "")
	d.server.Remove(removed)
	token, err := d.server.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	directory := &door{t: t, server: d.server, base: "https://graph.microsoft.com/v1.0", token: token.Token}
	if a := directory.do("PATCH", "/servicePrincipals/"+disabled.ObjectID, `{"accountEnabled":false}`); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	nobody := *d
	nobody.token = ""
	callers["nobody"] = &nobody
	want := `Bearer authorization="https://login.microsoftonline.com/` + d.server.TenantID() + `", resource="https://vault.azure.net"`
	for route := range needs(t) {
		method, path, body := place(route)
		for who, caller := range callers {
			for _, sent := range []string{body, ""} { // clients ask at first without their body
				a := caller.want(caller.do(method, path, sent), 401, "Unauthorized")
				code := map[bool]string{true: "AKV10000: ", false: "AKV10048: "}[who == "nobody"]
				if a.header.Get("WWW-Authenticate") != want || !strings.HasPrefix(a.message(), code) {
					t.Errorf("%s, %s: %v %s", who, route, a.header, a.text)
				}
			}
		}
	}
}

// The private part of a certificate is read as a secret, its key as a key: no permission of
// certificates opens either.
func TestConformPartsOfACertificate(t *testing.T) {
	claims(t, "arm-6-15")
	d := newDoor(t)
	d.make("web", selfEC)
	p := d.server.NewPrincipal("p")
	caller := d.as(p)
	for _, step := range []struct {
		grant             []string
		cert, secret, key int
	}{
		{[]string{"certificates/all", "certificates/purge"}, 200, 403, 403}, {[]string{"secrets/get"}, 403, 200, 403}, {[]string{"keys/get"}, 403, 403, 200}, {[]string{"secrets/list", "keys/list"}, 403, 403, 403},
	} {
		d.server.Grant("demo", p, step.grant...)
		for path, want := range map[string]int{"/certificates/web": step.cert, "/secrets/web": step.secret, "/keys/web": step.key} {
			a := caller.do("GET", path, "")
			if a.status != want || strings.Contains(a.text, "PRIVATE KEY") && path != "/secrets/web" {
				t.Errorf("%v: %s: %d %s", step.grant, path, a.status, a.text)
			}
		}
	}
}
