package dataplane_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/coffertest"
	"coffer/internal/jwk"
)

// An attester is an attestation service, and an environment that it attests.
type attester struct {
	*httptest.Server
	t           *testing.T
	key         *rsa.PrivateKey
	environment *rsa.PrivateKey
	caFile      string
}

func newAttester(t *testing.T) *attester {
	t.Helper()
	a := &attester{t: t}
	for _, key := range []**rsa.PrivateKey{&a.key, &a.environment} {
		var err error
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(w, `{"jwks_uri":%q}`, a.URL+"/keys")
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.key.Public(), KeyID: "k"}}})
	}))
	t.Cleanup(a.Close)
	a.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(a.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// attest returns the attestation with some claims changed.
func (a *attester) attest(over map[string]any) string {
	a.t.Helper()
	public := jose.JSONWebKey{Key: a.environment.Public(), KeyID: "TpmEphemeralEncryptionKey", Use: "enc"}
	claims := map[string]any{
		"iss": a.URL + "/", "exp": time.Now().Add(time.Hour).Unix(), "sdk-test": true, "tee": map[string]any{"type": "snp", "svn": 7},
		"x-ms-runtime": map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256"}, public}},
	}
	maps.Copy(claims, over)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: a.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		a.t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		a.t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *attester) policy(conditions string) string {
	return b64([]byte(fmt.Sprintf(`{"version":"1.0.0","anyOf":[{"authority":%q,%s}]}`, a.URL, conditions)))
}

// verified returns the payload of a JWS that its own certificate signed.
func verified(t *testing.T, jws string) map[string]any {
	t.Helper()
	parts := strings.Split(jws, ".")
	var header struct {
		Alg    string   `json:"alg"`
		Typ    string   `json:"typ"`
		KeyID  string   `json:"kid"`
		X5T    string   `json:"x5t"`
		X5T256 string   `json:"x5t#S256"`
		X5C    []string `json:"x5c"`
	}
	if err := json.Unmarshal(octets(t, parts[0]), &header); err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(header.X5C[0])
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(der)
	if header.Alg != "RS256" || header.Typ != "JWT" || header.KeyID != header.X5T || header.X5T256 != b64(hash[:]) {
		t.Errorf("%+v", header)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], octets(t, parts[2])); err != nil {
		t.Error(err)
	}
	var payload map[string]any
	if err := json.Unmarshal(octets(t, parts[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return payload
}

// unwrapped opens what was released as the environment does.
func (a *attester) unwrapped(keyHSM string, hash crypto.Hash) []byte {
	a.t.Helper()
	var blob struct {
		Header     map[string]string `json:"header"`
		Ciphertext string            `json:"ciphertext"`
	}
	if err := json.Unmarshal(octets(a.t, keyHSM), &blob); err != nil {
		a.t.Fatal(err)
	}
	if blob.Header["kid"] != "TpmEphemeralEncryptionKey" || blob.Header["alg"] != "dir" {
		a.t.Errorf("%v", blob.Header)
	}
	sealed := octets(a.t, blob.Ciphertext)
	kek, err := rsa.DecryptOAEP(hash.New(), nil, a.environment, sealed[:256], nil)
	if err != nil {
		a.t.Fatal(err)
	}
	plain, err := jwk.UnwrapAES(kek, "CKM_AES_KEY_WRAP_PAD", sealed[256:])
	if err != nil {
		a.t.Fatal(err)
	}
	return plain
}

func TestReleaseKey(t *testing.T) {
	claims(t, "key-9-2")
	a := newAttester(t)
	d := attestedDoor(t, a)
	create := fmt.Sprintf(`{"kty":"EC-HSM","attributes":{"exportable":true,"exp":1},"release_policy":{"data":%q,"immutable":true}}`, a.policy(`"anyOf":[{"claim":"sdk-test","equals":"true"}]`))
	first := d.want(d.do("POST", "/keys/k/create", create), 200, "")
	d.want(d.do("POST", "/keys/k/create", create), 200, "")
	hashes := map[string]crypto.Hash{"": crypto.SHA1, "CKM_RSA_AES_KEY_WRAP": crypto.SHA1, "RSA_AES_KEY_WRAP_256": crypto.SHA256, "RSA_AES_KEY_WRAP_384": crypto.SHA384}
	for enc, hash := range hashes {
		body := fmt.Sprintf(`{"target":%q,"nonce":"n1","enc":%q}`, a.attest(nil), enc)
		out := d.want(d.do("POST", "/keys/k/"+first.keyVersion()+"/release", body), 200, "")
		payload := verified(t, out.body["value"].(string))
		request := payload["request"].(map[string]any)
		if request["api-version"] != "7.6" || request["nonce"] != "n1" || request["kid"] != first.jwk()["kid"] || enc != "" && request["enc"] != enc {
			t.Errorf("%v", request)
		}
		released := payload["response"].(map[string]any)["key"].(map[string]any)
		key := released["key"].(map[string]any)
		if key["x"] != first.jwk()["x"] || key["kid"] != first.jwk()["kid"] || released["release_policy"] == nil || released["attributes"] == nil {
			t.Errorf("%v", released)
		}
		private, err := x509.ParsePKCS8PrivateKey(a.unwrapped(key["key_hsm"].(string), hash))
		if err != nil {
			t.Fatal(err)
		}
		if point, err := private.(*ecdsa.PrivateKey).PublicKey.Bytes(); err != nil || b64(point[1:33]) != first.jwk()["x"] {
			t.Error("another key was released")
		}
	}
	if out := d.want(d.do("POST", "/keys/k/release", fmt.Sprintf(`{"target":%q}`, a.attest(nil))), 200, ""); strings.Contains(fmt.Sprint(verified(t, out.body["value"].(string))), first.keyVersion()) {
		t.Error("the current version was not the one that was released")
	}
	d.want(d.do("PATCH", "/keys/k", `{"attributes":{"enabled":false}}`), 200, "")
	d.want(d.do("POST", "/keys/k/release", fmt.Sprintf(`{"target":%q}`, a.attest(nil))), 403, "Forbidden/KeyDisabled")
	symmetric := d.want(d.do("POST", "/keys/s/create", strings.Replace(create, `"EC-HSM"`, `"oct-HSM"`, 1)), 200, "")
	out := d.want(d.do("POST", "/keys/s/release", fmt.Sprintf(`{"target":%q}`, a.attest(nil))), 200, "")
	key := verified(t, out.body["value"].(string))["response"].(map[string]any)["key"].(map[string]any)["key"].(map[string]any)
	plain := a.unwrapped(key["key_hsm"].(string), crypto.SHA1)
	if len(plain) != 32 || key["kid"] != symmetric.jwk()["kid"] {
		t.Errorf("%d octets of %v", len(plain), key)
	}
	if strings.Contains(d.server.AuditLog(), b64(plain)) || bytes.Contains([]byte(out.text), plain) {
		t.Error("the key is in the open")
	}
}

func attestedDoor(t *testing.T, a *attester) *door {
	t.Helper()
	s := coffertest.New(t, coffertest.AttestationAuthority(a.URL, a.caFile))
	return (&door{t: t, server: s, base: s.VaultURL("demo")}).as(s.Owner())
}

// Whoever does not fulfil the policy, by an authority of both the policy and the
// configuration, gets nothing.
func TestReleaseRefused(t *testing.T) {
	claims(t, "key-9-3")
	a, foreign := newAttester(t), newAttester(t)
	d := attestedDoor(t, a)
	key := func(name, policy string) {
		d.want(d.do("POST", "/keys/"+name+"/create", fmt.Sprintf(`{"kty":"EC-HSM","attributes":{"exportable":true},"release_policy":{"data":%q}}`, policy)), 200, "")
	}
	key("k", a.policy(`"allOf":[{"claim":"sdk-test","equals":true},{"anyOf":[{"claim":"tee.svn","equals":7},{"claim":"tee.svn","equals":8}]}]`))
	key("foreign", foreign.policy(`"allOf":[{"claim":"sdk-test","equals":true}]`))
	d.want(d.do("POST", "/keys/plain/create", `{"kty":"EC-HSM"}`), 200, "")
	good := a.attest(nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	runtime := func(key any) map[string]any {
		return map[string]any{"x-ms-runtime": map[string]any{"keys": []any{key}}}
	}
	const verify = "Forbidden"
	for name, test := range map[string]struct {
		key, target string
		status      int
		code        string
	}{
		"good":                          {"k", good, 200, ""},
		"claim differs":                 {"k", a.attest(map[string]any{"sdk-test": false}), 403, verify},
		"claim is missing":              {"k", a.attest(map[string]any{"tee": nil}), 403, verify},
		"claim is a list":               {"k", a.attest(map[string]any{"sdk-test": []bool{true}}), 403, verify},
		"other of the list":             {"k", a.attest(map[string]any{"tee": map[string]any{"svn": 8}}), 200, ""},
		"none of the list":              {"k", a.attest(map[string]any{"tee": map[string]any{"svn": 9}}), 403, verify},
		"expired":                       {"k", a.attest(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), 403, verify},
		"foreign authority":             {"k", foreign.attest(nil), 403, verify},
		"foreign, in the policy's name": {"k", foreign.attest(map[string]any{"iss": a.URL}), 403, verify},
		"not configured":                {"foreign", foreign.attest(nil), 403, verify},
		"torn":                          {"k", good[:len(good)-8], 403, verify},
		"no key":                        {"k", a.attest(map[string]any{"x-ms-runtime": nil}), 403, verify},
		"weak key":                      {"k", a.attest(runtime(jose.JSONWebKey{Key: small.Public()})), 403, verify},
		"key for signing":               {"k", a.attest(runtime(jose.JSONWebKey{Key: a.environment.Public(), Use: "sig"})), 403, verify},
		"not exportable":                {"plain", good, 403, "Forbidden/KeyOperationForbidden"},
		"not there":                     {"none", good, 404, "KeyNotFound"},
		"empty":                         {"k", "", 400, "BadParameter"},
	} {
		out := d.do("POST", "/keys/"+test.key+"/release", fmt.Sprintf(`{"target":%q}`, test.target))
		if out.status != test.status || out.code() != test.code {
			t.Errorf("%s: %d %s", name, out.status, out.text)
		}
		if test.code == verify && !strings.HasPrefix(out.message(), "Target environment attestation statement cannot be verified.") {
			t.Errorf("%s: %s", name, out.message())
		}
	}
	for _, body := range []string{`{"target":"x","enc":"none"}`, `{"target":5}`, `{}`, `{"target":"x","nonce":"` + strings.Repeat("n", 1025) + `"}`} {
		d.want(d.do("POST", "/keys/k/release", body), 400, "BadParameter")
	}
	none := newDoor(t)
	none.want(none.do("POST", "/keys/k/create", fmt.Sprintf(`{"kty":"EC-HSM","attributes":{"exportable":true},"release_policy":{"data":%q}}`, a.policy(`"allOf":[{"claim":"sdk-test","equals":true}]`))), 200, "")
	if out := none.want(none.do("POST", "/keys/k/release", fmt.Sprintf(`{"target":%q}`, good)), 403, "Forbidden"); !strings.Contains(out.message(), "configuration") {
		t.Error(out.text)
	}
}

// Policies that are not in the grammar are refused when they come in.
func TestReleasePolicies(t *testing.T) {
	d := newDoor(t)
	for _, policy := range []string{
		`{}`, `[]`, `{"version":"2.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"c","equals":1}]}]}`, `{"version":"1.0.0","anyOf":[]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"http://a","anyOf":[{"claim":"c","equals":1}]}]}`, `{"version":"1.0.0","anyOf":[{"authority":"https://a"}]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"https://a","claim":"c","equals":1}]}`, `{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[]}]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"c"}]}]}`, `{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"c","less":1}]}]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"c","equals":[1]}]}]}`, `{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"","equals":1}]}]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"c","equals":1}],"allOf":[{"claim":"c","equals":1}]}]}`,
		`{"version":"1.0.0","anyOf":[{"authority":"https://a",` + strings.Repeat(`"anyOf":[{`, 40) + `"claim":"c","equals":1` + strings.Repeat(`}]`, 40) + `}]}`,
	} {
		d.want(d.do("POST", "/keys/k/create", fmt.Sprintf(`{"kty":"EC-HSM","attributes":{"exportable":true},"release_policy":{"data":%q}}`, b64([]byte(policy)))), 400, "BadParameter")
	}
}
