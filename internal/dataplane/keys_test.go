package dataplane_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// jwk is the key of an answer.
func (a answer) jwk() map[string]any {
	key, _ := a.body["key"].(map[string]any)
	return key
}

// keyVersion is the last segment of the kid of an answer.
func (a answer) keyVersion() string {
	kid, _ := a.jwk()["kid"].(string)
	return kid[strings.LastIndex(kid, "/")+1:]
}

func octets(t *testing.T, text any) []byte {
	t.Helper()
	out, err := base64.RawURLEncoding.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// privateMembers fails if an answer has a private member of a JWK.
func (d *door) privateMembers(a answer) {
	d.t.Helper()
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "key_hsm"} {
		if strings.Contains(a.text, `"`+member+`":`) {
			d.t.Errorf("the answer has %q: %s", member, a.text)
		}
	}
}

func TestKeyLife(t *testing.T) {
	claims(t, "key-1-1", "key-2-1", "key-2-2", "key-2-3", "key-4-1", "key-4-2", "key-5-1", "key-5-2", "key-5-3")
	d := newDoor(t)
	first := d.want(d.do("POST", "/keys/Signer/create", `{"kty":"EC","tags":{"a":"b"},"attributes":{"exp":1900000000}}`), 200, "")
	d.privateMembers(first)
	d.order(first.text, "key", "kid", "kty", "key_ops", "crv", "x", "y", "attributes", "tags")
	if k := first.jwk(); k["kty"] != "EC" || k["crv"] != "P-256" || fmt.Sprint(k["key_ops"]) != "[sign verify]" || !strings.Contains(first.text, `"exportable":false`) || strings.Contains(first.text, "managed") {
		t.Error(first.text)
	}
	second := d.want(d.do("POST", "/keys/signer/create", `{"kty":"RSA","key_ops":[],"attributes":null,"public_exponent":0}`), 200, "")
	if k := second.jwk(); k["e"] != "AQAB" || len(octets(t, k["n"])) != 256 || fmt.Sprint(k["key_ops"]) != "[encrypt decrypt sign verify wrapKey unwrapKey]" || !strings.Contains(k["kid"].(string), "/keys/Signer/") {
		t.Error(second.text)
	}
	for path, want := range map[string]answer{"": second, "/": second, "/" + first.keyVersion(): first, "/" + strings.ToUpper(first.keyVersion()): first} {
		if a := d.want(d.do("GET", "/keys/signer"+path, ""), 200, ""); a.keyVersion() != want.keyVersion() {
			t.Errorf("%q: %s", path, a.text)
		}
	}
	patched := d.want(d.do("PATCH", "/keys/signer/"+first.keyVersion(), `{"key_ops":[],"attributes":{"enabled":false}}`), 200, "")
	if !strings.Contains(patched.text, `"key_ops":[]`) || !strings.Contains(patched.text, `"enabled":false`) || !strings.Contains(patched.text, `"exp":1900000000`) {
		t.Error(patched.text)
	}
	if a := d.want(d.do("GET", "/keys/signer/versions", ""), 200, ""); strings.Count(a.text, `"kid"`) != 2 || strings.Contains(a.text, `"n":`) {
		t.Error(a.text)
	}
	deleted := d.want(d.do("DELETE", "/keys/signer", ""), 200, "")
	d.order(deleted.text, "recoveryId", "deletedDate", "scheduledPurgeDate", "key", "attributes")
	d.want(d.do("POST", "/keys/signer/create", `{"kty":"EC"}`), 409, "Conflict/ObjectIsDeletedButRecoverable")
	d.want(d.do("POST", "/keys/signer/sign", `{"alg":"RS256","value":"`+b64(make([]byte, 32))+`"}`), 404, "KeyNotFound")
	if a := d.want(d.do("GET", "/deletedkeys", ""), 200, ""); strings.Count(a.text, "recoveryId") != 1 {
		t.Error(a.text)
	}
	d.want(d.do("POST", "/deletedkeys/signer/recover", ""), 200, "")
	blob := d.want(d.do("POST", "/keys/signer/backup", ""), 200, "").body["value"].(string)
	d.want(d.do("DELETE", "/keys/signer", ""), 200, "")
	d.want(d.do("DELETE", "/deletedkeys/signer", ""), 204, "")
	restored := d.want(d.do("POST", "/keys/restore", `{"value":"`+blob+`"}`), 200, "")
	if restored.keyVersion() != second.keyVersion() {
		t.Error(restored.text)
	}
	d.want(d.do("GET", "/keys/signer/"+first.keyVersion(), ""), 200, "")
}

func TestKeyKinds(t *testing.T) {
	claims(t, "key-3-1", "key-3-2", "key-3-3", "key-3-4", "key-9-1")
	d := newDoor(t)
	d.server.NewVault("standard")
	d.server.Grant("standard", d.server.Owner(), "keys/create", "keys/import")
	standard := *d
	standard.base = d.server.VaultURL("standard")
	for body, kty := range map[string]string{
		`{"kty":"EC","crv":"P-384"}`: "EC", `{"kty":"EC","crv":"P-521"}`: "EC", `{"kty":"EC","crv":"P-256K"}`: "EC", `{"kty":"EC-HSM"}`: "EC-HSM", `{"kty":"oct-HSM","key_size":128}`: "oct-HSM",
	} {
		a := d.want(d.do("POST", "/keys/k/create", body), 200, "")
		d.privateMembers(a)
		if a.jwk()["kty"] != kty {
			t.Errorf("%s: %s", body, a.text)
		}
		if strings.HasSuffix(kty, "-HSM") {
			standard.want(standard.do("POST", "/keys/k/create", body), 400, map[bool]string{true: "BadParameter/KeyTypeNotSupported", false: "BadParameter"}[kty == "oct-HSM"])
		}
	}
	for body, code := range map[string]string{
		`{}`: "BadParameter", `{"kty":"oct"}`: "BadParameter/KeyTypeNotSupported", `{"kty":"rsa"}`: "BadParameter", `{"kty":"RSA","key_size":1024}`: "BadParameter",
		`{"kty":"EC","crv":"P-224"}`: "BadParameter", `{"kty":"RSA","public_exponent":3}`: "BadParameter", `{"kty":"EC","key_ops":["dance"]}`: "BadParameter",
		`{"kty":"oct-HSM","key_size":100}`: "BadParameter", `{"kty":"EC","attributes":{"exportable":true}}`: "BadParameter",
		`{"kty":"EC-HSM","release_policy":{"data":"e30"}}`: "BadParameter",
	} {
		d.want(d.do("POST", "/keys/new/create", body), 400, code)
	}
	for body, member := range map[string]string{
		`{"kty":"RSA","key_size":1024}`: "key_size", `{"kty":"EC","crv":"P-224"}`: "crv",
	} {
		if a := d.want(d.do("POST", "/keys/new/create", body), 400, "BadParameter"); !strings.HasPrefix(a.message(), "Property "+member+" has invalid value") {
			t.Errorf("%s: %s", body, a.message())
		}
	}
	if a := d.want(d.do("POST", "/keys/new/create", `{}`), 400, "BadParameter"); a.message() != "Property  has invalid value\r\nProperty  has invalid value\r\n" {
		t.Errorf("%q", a.message())
	}
	d.want(d.do("POST", "/keys/k/create?api-version=7.4", `{"kty":"oct-HSM"}`), 400, "BadParameter/KeyTypeNotSupported")
	if a := d.want(d.do("POST", "/keys/sized/create", `{"kty":"EC","key_size":2048}`), 200, ""); a.jwk()["crv"] != "P-256" {
		t.Error(a.text)
	}
	d.want(d.do("POST", "/keys//create", `{"kty":"EC"}`), 400, "BadParameter")
	d.want(d.do("GET", "/keys/new", ""), 404, "KeyNotFound")
	d.want(d.do("POST", "/rng", `{"count":1}`), 405, "MethodNotAllowed")
}

func TestImportSaysWhatIsMissing(t *testing.T) {
	d := newDoor(t)
	for key, want := range map[string]string{
		`{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}`: "The key cannot be imported: an RSA key has n, e, d, p, q, dp, dq and qi.",
		`{"kty":"RSA-HSM","key_hsm":"AAAA"}`:             "The key cannot be imported: key_hsm is no JSON document.",
	} {
		if a := d.want(d.do("PUT", "/keys/bad", `{"key":`+key+`}`), 400, "BadParameter"); a.message() != want {
			t.Errorf("%s: %s", key, a.message())
		}
	}
	d.want(d.do("GET", "/keys/bad", ""), 404, "KeyNotFound")
}

func TestCurveThatDoesNotFit(t *testing.T) {
	claims(t, "key-7-5")
	d := newDoor(t)
	kid := d.want(d.do("POST", "/keys/Mixed/create", `{"kty":"EC","crv":"P-256K"}`), 200, "").jwk()["kid"].(string)
	a := d.want(d.do("POST", "/keys/mixed/sign", `{"alg":"ES256","value":"`+strings.Repeat("A", 43)+`"}`), 400, "BadParameter")
	want := "Key and signing algorithm are incompatible. Key " + kid + " uses curve 'P-256K', and algorithm 'ES256' can only be used with curve 'P-256'."
	if a.message() != want {
		t.Errorf("%s, want %s", a.message(), want)
	}
}

func TestSignAndVerify(t *testing.T) {
	claims(t, "key-7-1", "key-7-2", "key-7-3", "key-7-4")
	d := newDoor(t)
	digest := sha256.Sum256([]byte("hello"))
	rsaKey := d.want(d.do("POST", "/keys/rsa/create", `{"kty":"RSA"}`), 200, "")
	signed := d.want(d.do("POST", "/keys/rsa/sign", `{"alg":"RS256","value":"`+b64(digest[:])+`"}`), 200, "")
	if signed.body["kid"] != rsaKey.jwk()["kid"] || len(signed.body) != 2 {
		t.Error(signed.text)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(octets(t, rsaKey.jwk()["n"])), E: 65537}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], octets(t, signed.body["value"])); err != nil {
		t.Error(err)
	}
	for alg, test := range map[string]struct {
		curve  string
		digest int
		size   int
	}{"ES256": {"P-256", 32, 64}, "ES384": {"P-384", 48, 96}, "ES512": {"P-521", 64, 132}, "ES256K": {"P-256K", 32, 64}} {
		d.want(d.do("POST", "/keys/ec/create", `{"kty":"EC","crv":"`+test.curve+`"}`), 200, "")
		value := b64(make([]byte, test.digest))
		a := d.want(d.do("POST", "/keys/ec//SIGN", `{"alg":"`+alg+`","value":"`+value+`"}`), 200, "")
		signature := octets(t, a.body["value"])
		if len(signature) != test.size {
			t.Errorf("%s: %d octets", alg, len(signature))
		}
		verify := func(signature []byte) string {
			return d.want(d.do("POST", "/keys/ec/verify", `{"alg":"`+alg+`","digest":"`+value+`","value":"`+b64(signature)+`"}`), 200, "").text
		}
		if got := verify(signature); got != `{"value":true}` {
			t.Errorf("%s: %s", alg, got)
		}
		signature[5] ^= 1
		if got := verify(signature); got != `{"value":false}` {
			t.Errorf("%s: %s", alg, got)
		}
		if got := verify(signature[1:]); got != `{"value":false}` {
			t.Errorf("%s: %s", alg, got)
		}
	}
	d.want(d.do("POST", "/keys/ec/create", `{"kty":"EC","crv":"P-256K"}`), 200, "")
	short := d.want(d.do("POST", "/keys/ec/sign", `{"alg":"ES256K","value":"AAAA"}`), 400, "BadParameter")
	if !strings.HasPrefix(short.message(), "Invalid length of 'value': 3 bytes.") {
		t.Error(short.message())
	}
	d.want(d.do("POST", "/keys/rsa/sign", `{"alg":"ES256","value":"`+b64(digest[:])+`"}`), 400, "BadParameter")
	d.want(d.do("POST", "/keys/rsa/sign", `{"alg":"none","value":"`+b64(digest[:])+`"}`), 400, "BadParameter")
	d.want(d.do("POST", "/keys/rsa/sign", `{"alg":"RS256"}`), 400, "BadParameter")
	if a := d.want(d.do("POST", "/keys/rsa/sign", `{"alg":"RS256","value":"*"}`), 400, "BadParameter"); a.message() != "Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n" {
		t.Error(a.message())
	}
}

func TestEncryptAndWrap(t *testing.T) {
	claims(t, "key-8-1", "key-8-2", "key-8-3")
	d := newDoor(t)
	d.want(d.do("POST", "/keys/rsa/create", `{"kty":"RSA"}`), 200, "")
	plain := b64([]byte("a short text"))
	for _, alg := range []string{"RSA-OAEP", "RSA-OAEP-256", "RSA1_5"} {
		for _, pair := range [][2]string{{"encrypt", "decrypt"}, {"wrapkey", "unwrapKey"}} {
			sealed := d.want(d.do("POST", "/keys/rsa/"+pair[0], `{"alg":"`+alg+`","value":"`+plain+`"}`), 200, "")
			opened := d.want(d.do("POST", "/keys/rsa/"+pair[1], `{"alg":"`+alg+`","value":"`+sealed.body["value"].(string)+`"}`), 200, "")
			if opened.body["value"] != plain {
				t.Errorf("%s %s: %s", alg, pair, opened.text)
			}
		}
		texts := map[string]bool{}
		for _, value := range []string{b64(make([]byte, 256)), b64([]byte{1}), b64(append([]byte{255}, make([]byte, 255)...))} {
			texts[d.want(d.do("POST", "/keys/rsa/decrypt", `{"alg":"`+alg+`","value":"`+value+`"}`), 400, "BadParameter").message()] = true
		}
		if len(texts) != 1 {
			t.Errorf("%s: failures can be told apart: %v", alg, texts)
		}
	}
	d.want(d.do("POST", "/keys/aes/create", `{"kty":"oct-HSM"}`), 200, "")
	sealed := d.want(d.do("POST", "/keys/aes/encrypt", `{"alg":"A256GCM","value":"`+plain+`","aad":"AAAA"}`), 200, "")
	again, _ := json.Marshal(sealed.body)
	if opened := d.want(d.do("POST", "/keys/aes/decrypt", string(again)), 200, ""); opened.body["value"] != plain {
		t.Error(opened.text)
	}
	key := b64(make([]byte, 32))
	wrapped := d.want(d.do("POST", "/keys/aes/wrapkey", `{"alg":"A256KW","value":"`+key+`"}`), 200, "")
	if opened := d.want(d.do("POST", "/keys/aes/unwrapkey", `{"alg":"A256KW","value":"`+wrapped.body["value"].(string)+`"}`), 200, ""); opened.body["value"] != key {
		t.Error(opened.text)
	}
	d.want(d.do("POST", "/keys/aes/encrypt", `{"alg":"A128GCM","value":"`+plain+`"}`), 400, "BadParameter")
}

// The state of a key decides what may be done with it.
func TestKeyStates(t *testing.T) {
	claims(t, "key-6-1", "key-6-2", "key-6-3", "key-4-3")
	d := newDoor(t)
	digest := b64(make([]byte, 32))
	now := d.server.Now().Unix()
	do := func(name, op string) answer {
		return d.do("POST", "/keys/"+name+"/"+op, `{"alg":"RS256","value":"`+digest+`","digest":"`+digest+`"}`)
	}
	d.want(d.do("POST", "/keys/k/create", fmt.Sprintf(`{"kty":"RSA","key_ops":["sign","verify"],"attributes":{"exp":%d}}`, now+3600)), 200, "")
	d.want(do("k", "sign"), 200, "")
	if a := d.want(d.do("POST", "/keys/k/encrypt", `{"alg":"RSA-OAEP","value":"AAAA"}`), 403, "Forbidden/KeyOperationForbidden"); a.message() != "Operation encrypt is not permitted on this key." {
		t.Error(a.message())
	}
	d.server.Turn(2 * time.Hour)
	d.want(do("k", "sign"), 403, "Forbidden/KeyExpired")
	d.want(do("k", "verify"), 200, "")
	d.want(d.do("PATCH", "/keys/k", fmt.Sprintf(`{"attributes":{"nbf":%d,"exp":%d}}`, now+36000, now+72000)), 200, "")
	d.want(do("k", "sign"), 403, "Forbidden/KeyNotYetValid")
	d.want(d.do("PATCH", "/keys/k", `{"attributes":{"enabled":false}}`), 200, "")
	for _, op := range []string{"sign", "verify"} {
		if a := d.want(do("k", op), 403, "Forbidden/KeyDisabled"); a.message() != "Operation "+op+" is not allowed on a disabled key." {
			t.Error(a.message())
		}
	}
	// A certificate's key works by permission for keys, as long as the certificate does.
	d.make("web", selfEC)
	sign := `{"alg":"ES256","value":"` + digest + `"}`
	d.want(d.do("POST", "/keys/web/sign", sign), 200, "")
	d.want(d.do("PATCH", "/certificates/web", `{"attributes":{"enabled":false}}`), 200, "")
	d.want(d.do("POST", "/keys/web/sign", sign), 403, "Forbidden/KeyDisabled")
}

func TestRotation(t *testing.T) {
	claims(t, "key-10-1", "key-10-2", "key-10-3", "key-10-4", "key-10-5")
	d := newDoor(t)
	first := d.want(d.do("POST", "/keys/k/create", `{"kty":"EC","tags":{"a":"b"},"key_ops":["sign"]}`), 200, "")
	if a := d.want(d.do("GET", "/keys/k/rotationpolicy", ""), 200, ""); a.text != `{"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Notify"}}],"attributes":null}` {
		t.Error(a.text)
	}
	set := d.want(d.do("PUT", "/keys/k/rotationpolicy", `{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D","timeBeforeExpiry":null},"action":{"type":"rotate"}}],"attributes":{"expiryTime":"P90D"}}`), 200, "")
	if !strings.HasPrefix(set.text, `{"id":"https://demo.vault.azure.net/keys/k/rotationpolicy","lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}},{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Notify"}}],"attributes":{"expiryTime":"P90D","created":`) {
		t.Error(set.text)
	}
	rotated := d.want(d.do("POST", "/keys/k/rotate", ""), 200, "")
	attributes := rotated.body["attributes"].(map[string]any)
	if rotated.keyVersion() == first.keyVersion() || attributes["exp"].(float64)-attributes["created"].(float64) != 90*86400 || fmt.Sprint(rotated.jwk()["key_ops"]) != "[sign]" || !strings.Contains(rotated.text, `"tags":{"a":"b"}`) {
		t.Error(rotated.text)
	}
	d.server.Turn(31 * 24 * time.Hour)
	if a := d.want(d.do("GET", "/keys/k/versions", ""), 200, ""); strings.Count(a.text, `"kid"`) != 3 {
		t.Errorf("the policy was not carried out: %s", a.text)
	}
	for _, bad := range []string{
		`{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P1D"},"action":{"type":"Rotate"}}]}`,
		`{"lifetimeActions":[{"trigger":{"timeAfterCreate":"30 days"},"action":{"type":"Rotate"}}]}`,
		`{"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Rotate"}}]}`,
		`{"lifetimeActions":[{"trigger":{},"action":{"type":"Rotate"}}]}`,
		`{"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Dance"}}]}`,
		`{"lifetimeActions":[],"attributes":{"expiryTime":"P1D"}}`,
		`{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P89D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}`,
	} {
		d.want(d.do("PUT", "/keys/k/rotationpolicy", bad), 400, "BadParameter")
	}
	d.want(d.do("GET", "/keys/none/rotationpolicy", ""), 404, "KeyNotFound")
	if a := d.want(d.do("PUT", "/keys/k/rotationpolicy", `{"lifetimeActions":[],"attributes":{}}`), 200, ""); !strings.Contains(a.text, `"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Notify"}}]`) {
		t.Error(a.text)
	}
}
