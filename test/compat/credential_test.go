package compat_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A way is one in which DefaultAzureCredential signs a program in. Before is a shell's
// preparation of the environment; whatever could be another way is taken away, and
// AZURE_TOKEN_CREDENTIALS leaves the chain one link.
type way struct {
	name   string
	run    []string // flags of coffer run
	before string
	link   string
	proof  map[string]string // claims of the token; "" for one that must not be there
	log    string            // what the log of requests has
	not    []string          // programs whose clients cannot, by their design
}

const (
	makeCertificate = `openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=program -days 2 2>/dev/null
"$COFFER" app credential add "$AZURE_CLIENT_ID" --certificate cert.pem >/dev/null
unset AZURE_CLIENT_SECRET
`
	onlyIdentity = "unset AZURE_CLIENT_ID AZURE_CLIENT_SECRET\n"
)

var (
	bySecret      = map[string]string{"appidacr": "1", "xms_mirid": ""}
	byCertificate = map[string]string{"appidacr": "2", "xms_mirid": ""}
	byIdentity    = map[string]string{"appidacr": "2", "xms_mirid": "/providers/Microsoft.ManagedIdentity/"}
)

func ways(issuer, azure string) []way {
	return []way{
		{name: "environment secret", link: "EnvironmentCredential", proof: bySecret, log: "/oauth2/v2.0/token"},
		{name: "environment certificate", link: "EnvironmentCredential", proof: byCertificate, log: "/oauth2/v2.0/token",
			before: makeCertificate + "cat key.pem cert.pem >both.pem\nexport AZURE_CLIENT_CERTIFICATE_PATH=$PWD/both.pem"},
		// The JavaScript client reads PEM alone. The Go client reads no PKCS #12 but in the old encryption.
		{name: "environment certificate with password", link: "EnvironmentCredential", proof: byCertificate, log: "/oauth2/v2.0/token", not: []string{"javascript"},
			before: makeCertificate + `openssl pkcs12 -export -inkey key.pem -in cert.pem -out both.pfx -passout pass:word -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1
export AZURE_CLIENT_CERTIFICATE_PATH=$PWD/both.pfx AZURE_CLIENT_CERTIFICATE_PASSWORD=word`},
		{name: "workload identity", run: []string{"--assertion-issuer", issuer}, link: "WorkloadIdentityCredential", proof: byCertificate, log: "/oauth2/v2.0/token",
			before: `"$COFFER" app federate add "$AZURE_CLIENT_ID" --name cluster --issuer "$ISSUER" --subject system:serviceaccount:default:app >/dev/null
unset AZURE_CLIENT_SECRET
export AZURE_FEDERATED_TOKEN_FILE=$FEDERATED`},
		{name: "instance metadata", run: []string{"--identity=imds"}, link: "ManagedIdentityCredential", proof: byIdentity, log: "169.254.169.254/metadata/identity", before: onlyIdentity},
		{name: "App Service", run: []string{"--identity=appservice"}, link: "ManagedIdentityCredential", proof: byIdentity, before: onlyIdentity},
		{name: "command-line tool", link: "AzureCLICredential", proof: map[string]string{"upn": "developer@coffer.local", "appidacr": "0"}, log: "/oauth2/v2.0/devicecode",
			before: onlyIdentity + "unset AZURE_TENANT_ID\nPATH=" + azure + ":$PATH\naz login --allow-no-subscriptions >/dev/null 2>&1"},
	}
}

// workloads is an outside issuer: its address, the file of its authority, and that of a token.
func workloads(t *testing.T) (url, caFile, tokenFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "k", "use": "sig", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}}})
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	caFile, tokenFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	token := jwt(t, key, map[string]any{"iss": server.URL, "sub": "system:serviceaccount:default:app", "aud": []string{"api://AzureADTokenExchange"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	for path, text := range map[string][]byte{caFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), tokenFile: []byte(token)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return server.URL, caFile, tokenFile
}

func credentialPrograms(t *testing.T) map[string]string {
	return map[string]string{
		"go": golang(t) + " credential", "python": python(t) + " " + script(t, "python/credential.py"), "javascript": "node " + filepath.Join(javascript(t), "credential.mjs"),
	}
}

// Every way of DefaultAzureCredential, by each client, reads a secret, and the token and the
// log of requests say that it was this way.
func TestDefaultAzureCredential(t *testing.T) {
	need(t, "sh", "openssl")
	programs := credentialPrograms(t)
	issuer, caFile, tokenFile := workloads(t)
	t.Setenv("SSL_CERT_FILE", caFile)
	for _, w := range ways(issuer, az(t, "new")) {
		t.Run(w.name, func(t *testing.T) {
			env := append(w.environ(issuer, tokenFile), "VAULT_URL=https://demo.vault.azure.net")
			out := command(t, t.TempDir(), "", 0, env, slices.Concat([]string{binary, "run", "--verbose"}, w.run, []string{"--", "sh", "-c", w.shell(programs)})...)
			if !strings.Contains(out, w.log) {
				t.Errorf("the log of requests has no %s: %s", w.log, out)
			}
			w.check(t, programs, out)
		})
	}
}

// environ is what the way's shell needs to know.
func (w way) environ(issuer, tokenFile string) []string {
	return []string{"VALUE=" + w.name, "COFFER=" + binary, "ISSUER=" + issuer, "FEDERATED=" + tokenFile}
}

// shell writes the secret by the secret that is there at first, prepares, and starts each program.
func (w way) shell(programs map[string]string) string {
	lines := []string{"set -eu", programs["go"] + ` "$VALUE" >/dev/null`, w.before, "export AZURE_TOKEN_CREDENTIALS=" + w.link}
	for name, program := range programs {
		if !slices.Contains(w.not, name) {
			lines = append(lines, program)
		}
	}
	return strings.Join(lines, "\n")
}

// check looks at what each program printed.
func (w way) check(t *testing.T, programs map[string]string, out string) {
	t.Helper()
	for program := range programs {
		if !slices.Contains(w.not, program) {
			w.checkOne(t, program, out)
		}
	}
}

func (w way) checkOne(t *testing.T, program, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		claims := map[string]any{}
		if json.Unmarshal([]byte(line), &claims) != nil || claims["program"] != program {
			continue
		}
		if claims["value"] != w.name {
			t.Errorf("%s read %v", program, claims["value"])
		}
		for name, want := range w.proof {
			got, _ := claims[name].(string)
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s: the claim %s is %q, not %q", program, name, got, want)
			}
		}
		return
	}
	t.Errorf("%s printed nothing: %s", program, out)
}
