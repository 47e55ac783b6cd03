package entra_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/tenant"
)

type certified struct {
	key *rsa.PrivateKey
	der []byte
}

var certificates = sync.OnceValue(func() (out [2]certified) {
	for i := range out {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: from, NotAfter: from.AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		out[i] = certified{key, der}
	}
	return out
})

// assert signs as a client does.
func assert(t *testing.T, alg jose.SignatureAlgorithm, c certified, claims map[string]any) string {
	t.Helper()
	old, hash := sha1.Sum(c.der), sha256.Sum256(c.der)
	options := (&jose.SignerOptions{}).WithHeader("x5t", base64.StdEncoding.EncodeToString(old[:]))
	if alg == jose.PS256 {
		options = (&jose.SignerOptions{}).WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(hash[:]))
	}
	var key any = c.key
	if alg == jose.HS256 {
		key = c.der
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(claims)
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := signed.CompactSerialize()
	return raw
}

func (w *world) assertionForm(raw string, over ...string) url.Values {
	return w.form(append([]string{"client_secret", "-", "client_assertion_type", jwtBearer, "client_assertion", raw}, over...)...)
}

func (w *world) assertionClaims(over map[string]any) map[string]any {
	claims := map[string]any{
		"iss": w.app.AppID, "sub": w.app.AppID, "jti": "1", "nbf": w.now.Unix(), "exp": w.now.Unix() + 600,
		"aud": "https://login.microsoftonline.com/" + w.tenant.TenantID() + "/oauth2/v2.0/token",
	}
	maps.Copy(claims, over)
	return claims
}

func TestCertificateAssertions(t *testing.T) {
	claims(t, "id-4.1-12", "id-4.1-13", "id-4.1-16", "id-4.3-4")
	w, own := newWorld(t), newWorld(t, "login.my.example")
	good, other := certificates()[0], certificates()[1]
	for _, w := range []*world{w, own} {
		w.edit("application", w.app.AppID, func(m map[string]any) {
			m["keys"] = []map[string]any{
				{"id": "1", "certificate": other.der, "start": 0, "exp": w.now.Unix()}, // expired
				{"id": "2", "certificate": good.der, "start": 0, "exp": w.now.Unix() + 3600},
			}
		})
	}
	id := w.tenant.TenantID()
	for name, raw := range map[string]string{
		"RS256":     assert(t, jose.RS256, good, w.assertionClaims(nil)),
		"PS256":     assert(t, jose.PS256, good, w.assertionClaims(nil)),
		"v1":        assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": "https://login.windows.net/" + id + "/oauth2/token"})),
		"issuer":    assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": w.tenant.Issuer()})),
		"v2 issuer": assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": "https://login.microsoftonline.com/" + id + "/v2.0"})),
	} {
		for range 2 { // a replay is no matter
			if a := w.post(t, w.v2(), w.assertionForm(raw)); a.StatusCode != http.StatusOK || claimsOf(t, a.json["access_token"])["appidacr"] != "2" || a.json["refresh_token"] != nil {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
			}
		}
	}
	raw := assert(t, jose.RS256, good, own.assertionClaims(map[string]any{"aud": "https://login.my.example:8443/adfs/oauth2/token"}))
	if a := own.post(t, "https://login.my.example:8443/adfs/oauth2/token", own.assertionForm(raw)); a.StatusCode != http.StatusOK {
		t.Errorf("adfs: %s", a.text)
	}
	unknown := w.assertionForm(assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"iss": janeID, "sub": janeID})), "client_id", janeID)
	w.refused(t, "unknown application", w.post(t, w.v2(), unknown), 400, "unauthorized_client", 700016)
	now := w.now.Unix()
	for _, test := range []struct {
		name   string
		raw    string
		number int
	}{
		{"another tenant's endpoint", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": "https://login.microsoftonline.com/" + janeID + "/oauth2/v2.0/token"})), 700023},
		{"an alias", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": "https://login.microsoftonline.com/common/oauth2/v2.0/token"})), 700023},
		{"a vault", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"aud": vaults})), 700023},
		{"expired", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"nbf": now - 700, "exp": now - 61})), 700024},
		{"not yet", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"nbf": now + 61})), 700024},
		{"more than a day", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"exp": now + 86500})), 700024},
		{"another subject", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"sub": janeID})), 700021},
		{"an expired credential", assert(t, jose.RS256, other, w.assertionClaims(nil)), 700027},
		{"another's key", assert(t, jose.RS256, certified{other.key, good.der}, w.assertionClaims(nil)), 700027},
		{"no end", assert(t, jose.RS256, good, w.assertionClaims(map[string]any{"exp": nil})), 50027},
		{"HS256 with the certificate", assert(t, jose.HS256, good, w.assertionClaims(nil)), 5002738},
		{"none", "eyJhbGciOiJub25lIn0." + strings.Split(assert(t, jose.RS256, good, w.assertionClaims(nil)), ".")[1] + ".", 5002738},
		{"no token", "canary", 50027},
	} {
		w.refused(t, test.name, w.post(t, w.v2(), w.assertionForm(test.raw)), 401, "invalid_client", test.number)
	}
	both := w.assertionForm(assert(t, jose.RS256, good, w.assertionClaims(nil)), "client_secret", w.secret)
	w.refused(t, "and a secret", w.post(t, w.v2(), both), 400, "invalid_request", 900144)
}

// outside plays the verifier of outside issuers, which believes what it is told.
type outside struct {
	known string
	err   error
	asked int
}

func (o *outside) Knows(issuer string) bool { return issuer == o.known }

func (o *outside) Verify(_ context.Context, _, raw string) (tenant.Outside, error) {
	o.asked++
	if o.err != nil {
		return tenant.Outside{}, o.err
	}
	body, _ := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	var claims struct {
		Sub string   `json:"sub"`
		Aud []string `json:"aud"`
	}
	err := json.Unmarshal(body, &claims)
	return tenant.Outside{Subject: claims.Sub, Audiences: claims.Aud}, err
}

func TestFederatedAssertions(t *testing.T) {
	claims(t, "id-4.1-14", "id-4.1-15", "id-4.3-5")
	const (
		cluster = "https://cluster.example/"
		github  = "https://token.actions.githubusercontent.com"
		pod     = "system:serviceaccount:default:app"
	)
	verifier := &outside{known: cluster}
	w := newWorldWith(t, func(w *world) { w.assertions = verifier })
	w.edit("application", w.app.AppID, func(m map[string]any) {
		m["federated"] = []map[string]any{
			{"id": "1", "name": "pod", "issuer": cluster, "subject": pod},
			{"id": "2", "name": "own audience", "issuer": cluster, "subject": "system:serviceaccount:default:other", "audiences": []string{"coffer"}},
			{"id": "3", "name": "not configured", "issuer": github, "subject": "repo:o/r:ref:refs/heads/main"},
		}
	})
	key := certificates()[0]
	token := func(iss, sub string, aud ...string) string {
		return assert(t, jose.RS256, key, map[string]any{"iss": iss, "sub": sub, "aud": aud, "exp": w.now.Unix() + 600})
	}
	good := token(cluster, pod, "api://AzureADTokenExchange")
	for _, raw := range []string{good, token(cluster, "system:serviceaccount:default:other", "x", "coffer")} {
		if a := w.post(t, w.v2(), w.assertionForm(raw)); a.StatusCode != http.StatusOK || claimsOf(t, a.json["access_token"])["appidacr"] != "2" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	}
	for _, test := range []struct {
		name, raw string
		number    int
		asked     bool
	}{
		{"an issuer of no credential", token("https://evil.example", pod, "api://AzureADTokenExchange"), 700211, false},
		{"without the slash", token("https://cluster.example", pod, "api://AzureADTokenExchange"), 700211, false},
		{"an issuer that the configuration does not name", token(github, "repo:o/r:ref:refs/heads/main", "api://AzureADTokenExchange"), 700211, false},
		{"another subject", token(cluster, pod+"2", "api://AzureADTokenExchange"), 700213, true},
		{"another audience", token(cluster, pod, "https://kubernetes.default.svc"), 700212, true},
		{"the other's audience", token(cluster, pod, "coffer"), 700212, true},
	} {
		verifier.asked = 0
		w.refused(t, test.name, w.post(t, w.v2(), w.assertionForm(test.raw)), 401, "invalid_client", test.number)
		if (verifier.asked > 0) != test.asked {
			t.Errorf("%s: the issuer was asked %d times", test.name, verifier.asked)
		}
	}
	verifier.err = fmt.Errorf("x: %w", tenant.ErrAssertionTimes)
	w.refused(t, "expired", w.post(t, w.v2(), w.assertionForm(good)), 401, "invalid_client", 700024)
	verifier.err = tenant.ErrAssertionUnavailable
	w.refused(t, "no keys", w.post(t, w.v2(), w.assertionForm(good)), 503, "temporarily_unavailable", 90033)
	verifier.err = errors.New("canary")
	w.refused(t, "bad signature", w.post(t, w.v2(), w.assertionForm(good)), 401, "invalid_client", 700027)
}
