package dataplane_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"coffer/coffertest"
	"coffer/internal/dataplane"
	"coffer/internal/wire"
	"coffer/test/mutation"
)

// objectBodies are a good body for every route of secrets and keys that takes one, and the
// wire type that it is read into.
func objectBodies(d *door) map[string]struct {
	wire any
	body string
} {
	d.t.Helper()
	digest, sealed := b64(make([]byte, 32)), ""
	if a := d.do("POST", "/keys/one/encrypt", `{"alg":"RSA-OAEP","value":"AAAA"}`); a.status == 200 {
		sealed = a.body["value"].(string)
	}
	signature, _ := d.do("POST", "/keys/one/sign", `{"alg":"RS256","value":"`+digest+`"}`).body["value"].(string)
	secret, _ := d.do("POST", "/secrets/one/backup", "").body["value"].(string)
	key, _ := d.do("POST", "/keys/one/backup", "").body["value"].(string)
	out := map[string]struct {
		wire any
		body string
	}{
		"PUT secrets/{name}":             {wire.SetSecret{}, `{"value":"v","contentType":"t","attributes":{"enabled":true,"nbf":1,"exp":1900000000},"tags":{"a":"b"}}`},
		"PATCH secrets/{name}":           {wire.UpdateSecret{}, `{"contentType":"t","attributes":{"enabled":true},"tags":{"a":"b"}}`},
		"POST secrets/restore":           {wire.Backup{}, `{"value":"` + secret + `"}`},
		"POST keys/{name}/create":        {wire.CreateKey{}, `{"kty":"EC","crv":"P-256","key_ops":["sign"],"attributes":{"enabled":true,"exportable":false},"tags":{"a":"b"}}`},
		"PUT keys/{name}":                {wire.ImportKey{}, importedKey(d.t)},
		"PATCH keys/{name}":              {wire.UpdateKey{}, `{"key_ops":["sign","verify"],"attributes":{"enabled":true},"tags":{"a":"b"}}`},
		"POST keys/restore":              {wire.Backup{}, `{"value":"` + key + `"}`},
		"PUT keys/{name}/rotationpolicy": {wire.RotationPolicy{}, `{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}`},
		"POST keys/{name}/release":       {wire.ReleaseKey{}, `{"target":"x","nonce":"n","enc":"CKM_RSA_AES_KEY_WRAP"}`},
		"POST keys/{name}/encrypt":       {wire.KeyOperation{}, `{"alg":"RSA-OAEP","value":"AAAA"}`},
		"POST keys/{name}/decrypt":       {wire.KeyOperation{}, `{"alg":"RSA-OAEP","value":"` + sealed + `"}`},
		"POST keys/{name}/wrapkey":       {wire.KeyOperation{}, `{"alg":"RSA-OAEP","value":"AAAA"}`},
		"POST keys/{name}/unwrapkey":     {wire.KeyOperation{}, `{"alg":"RSA-OAEP","value":"` + sealed + `"}`},
		"POST keys/{name}/sign":          {wire.KeyOperation{}, `{"alg":"RS256","value":"` + digest + `"}`},
		"POST keys/{name}/verify":        {wire.KeyOperation{}, `{"alg":"RS256","digest":"` + digest + `","value":"` + signature + `"}`},
	}
	for _, op := range []string{"release", "encrypt", "decrypt", "wrapkey", "unwrapkey", "sign", "verify"} {
		out["POST keys/{name}/{version}/"+op] = out["POST keys/{name}/"+op]
	}
	for _, kind := range []string{"secrets", "keys"} {
		out["PATCH "+kind+"/{name}/{version}"] = out["PATCH "+kind+"/{name}"]
	}
	return out
}

func importedKey(t *testing.T) string {
	t.Helper()
	return `{"key":{"kty":"EC","crv":"P-256","key_ops":["sign"],"x":"` + testX + `","y":"` + testY + `","d":"` + testD + `"},"attributes":{"enabled":true},"tags":{"a":"b"}}`
}

// A key pair of RFC 7515, appendix A.3.
const (
	testX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
	testY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
	testD = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
)

// Whatever stands for a member of whatever body, the answer is one of the protocol's, and
// what is refused has changed nothing.
func TestObjectMutations(t *testing.T) {
	d := newDoor(t)
	d.want(d.do("PUT", "/secrets/one", `{"value":"v"}`), 200, "")
	d.want(d.do("POST", "/keys/one/create", `{"kty":"RSA"}`), 200, "")
	bodies := objectBodies(d)
	sent := 0
	for _, route := range dataplane.Routes() {
		name := route.Method + " " + route.Pattern
		good, ok := bodies[name]
		takes := route.Method == "PUT" || route.Method == "PATCH" || route.Method == "POST" && !slices.Contains([]string{"backup", "rotate", "recover"}, route.Pattern[strings.LastIndex(route.Pattern, "/")+1:])
		if !strings.HasPrefix(route.Pattern, "secrets") && !strings.HasPrefix(route.Pattern, "keys") || !takes {
			continue
		}
		if !ok {
			t.Errorf("%s has no body in the table", name)
			continue
		}
		kind, _, _ := strings.Cut(route.Pattern, "/")
		mutate := func(body string) {
			sent++
			before := d.do("GET", "/"+kind+"/one", "").text
			version := before[strings.Index(before, "/"+kind+"/one/")+len("/"+kind+"/one/"):][:32]
			path := "/" + strings.NewReplacer("{name}", "one", "{version}", version).Replace(route.Pattern)
			a := d.do(route.Method, path, body)
			if a.status >= 500 || a.status >= 400 && (a.code() == "" || a.message() == "") {
				t.Errorf("%s %s: %d %s", name, clip(body), a.status, a.text)
			}
			if after := d.do("GET", "/"+kind+"/one", "").text; a.status >= 400 && after != before {
				t.Errorf("%s %s was refused and changed something:\n%s\n%s", name, clip(body), before, after)
			}
		}
		for body := range mutation.Bodies(good.wire, good.body) {
			if len(body) > 30000 && testing.Short() {
				continue
			}
			mutate(body)
		}
	}
	if sent < 1000 {
		t.Errorf("only %d bodies were sent", sent)
	}
	t.Logf("%d bodies", sent)
}

func clip(text string) string { return text[:min(len(text), 200)] }

// No answer of any route, and no line of a log, has a private member of a key.
func TestNoAnswerShowsPrivateMembers(t *testing.T) {
	d := newDoor(t)
	for name, body := range map[string]string{"rsa": `{"kty":"RSA"}`, "ec": `{"kty":"EC"}`, "k256": `{"kty":"EC","crv":"P-256K"}`, "oct": `{"kty":"oct-HSM"}`} {
		d.privateMembers(d.want(d.do("POST", "/keys/"+name+"/create", body), 200, ""))
	}
	d.privateMembers(d.want(d.do("PUT", "/keys/imported", importedKey(t)), 200, ""))
	d.make("web", selfEC)
	versions := map[string]string{}
	for _, name := range []string{"rsa", "ec", "k256", "oct", "imported", "web"} {
		versions[name] = d.do("GET", "/keys/"+name, "").keyVersion()
	}
	seen := 0
	for _, route := range dataplane.Routes() {
		if strings.HasPrefix(route.Pattern, "secrets") || strings.HasPrefix(route.Pattern, "deletedsecrets") {
			continue // the secret of a certificate is its key, for whoever may read secrets
		}
		for name, version := range versions {
			path := "/" + strings.NewReplacer("{name}", name, "{issuer}", "ca", "{version}", version).Replace(route.Pattern)
			for _, body := range []string{`{}`, `{"alg":"RS256","value":"` + b64(make([]byte, 32)) + `","digest":"` + b64(make([]byte, 32)) + `"}`, `{"alg":"A256GCM","value":"AAAA"}`, importedKey(t)} {
				if route.Method == "GET" || route.Method == "DELETE" {
					body = ""
				}
				a := d.do(route.Method, path, body)
				d.privateMembers(a)
				if strings.Contains(a.text, testD) {
					t.Errorf("%s %s shows the private key: %s", route.Method, path, a.text)
				}
				if seen++; body == "" {
					break
				}
			}
		}
	}
	if strings.Contains(d.server.AuditLog(), testD) {
		t.Error("the audit log has the private key")
	}
	if seen < 200 {
		t.Errorf("only %d answers", seen)
	}
}

// Whatever the parameters of an operation are, its answer is one of the protocol's.
func FuzzKeyOperation(f *testing.F) {
	for _, alg := range []string{"RS256", "PS512", "ES256", "RSA1_5", "RSA-OAEP-256", "A256GCM", "A128CBCPAD", "A256KW", "HS256", ""} {
		f.Add("sign", alg, []byte("0123456789abcdef0123456789abcdef"), []byte("0123456789ab"), []byte("tag"))
		f.Add("decrypt", alg, []byte("0123456789abcdef0123456789abcdef"), []byte("0123456789abcdef"), []byte("0123456789abcdef"))
	}
	server := coffertest.New(f)
	token, err := server.Credential().GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, op, alg string, value, iv, tag []byte) {
		d := &door{t: t, server: server, base: server.VaultURL("demo"), token: token.Token}
		if !slices.Contains([]string{"sign", "verify", "encrypt", "decrypt", "wrapkey", "unwrapkey"}, op) {
			return
		}
		body, err := json.Marshal(map[string]string{"alg": alg, "value": b64(value), "iv": b64(iv), "tag": b64(tag), "digest": b64(value), "aad": b64(tag)})
		if err != nil {
			t.Fatal(err)
		}
		for name, create := range map[string]string{"rsa": `{"kty":"RSA"}`, "ec": `{"kty":"EC"}`, "oct": `{"kty":"oct-HSM"}`} {
			a := d.do("POST", "/keys/"+name+"/"+op, string(body))
			if a.status == 404 {
				d.want(d.do("POST", "/keys/"+name+"/create", create), 200, "")
				a = d.do("POST", "/keys/"+name+"/"+op, string(body))
			}
			if a.status != 200 && (a.status < 400 || a.status >= 500 || a.code() == "") {
				t.Errorf("%s with %q: %d %s", op, alg, a.status, a.text)
			}
			d.privateMembers(a)
		}
	})
}
