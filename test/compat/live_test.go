package compat_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The modules of the official Go SDK whose own live tests are run, unchanged. They come
// inside the modules. Those of a managed HSM skip themselves, since there is none. All others
// have to pass. Of the control plane, those of keys and secrets as resources, of templates and
// of the names of other services have nothing here to test.
var liveModules = []struct {
	path, version string
	without       []string
}{
	{"security/keyvault/azcertificates", "v1.4.0", nil},
	{"security/keyvault/azsecrets", "v1.5.1", nil},
	{"security/keyvault/azkeys", "v1.5.0", []string{"TestEncryptDecryptSymmetric", "TestGetRandomBytes"}},
	{"resourcemanager/keyvault/armkeyvault", "v1.5.0", []string{"TestKeysClient", "TestSecretsClient"}},
	{"resourcemanager/resources/armsubscriptions", "v1.3.0", []string{"TestSubscriptionsClient"}},
}

// The official SDK's own live tests pass, each of them.
func TestGoLive(t *testing.T) {
	for _, m := range liveModules {
		t.Run(path.Base(m.path), func(t *testing.T) {
			program, tests := liveTests(t, m.path, m.version)
			authority, caFile := attester(t)
			t.Setenv("SSL_CERT_FILE", caFile)
			out := output(t, filepath.Dir(program), binary, "run", "--attestation-authority", authority, "--", "sh", "-c", `AZURE_SUBSCRIPTION_ID=$AZURE_TENANT_ID exec env "$@"`, "sh", "AZURE_RECORD_MODE=live",
				"AZURE_KEYVAULT_URL=https://live.vault.azure.net", "AZURE_KEYVAULT_ATTESTATION_URL="+authority, program, "-test.v", "-test.timeout=3m", "-test.skip=^("+strings.Join(m.without, "|")+")$")
			if ended(out, "FAIL") != nil || len(ended(out, "PASS")) == 0 {
				t.Errorf("these failed: %q\n%s", ended(out, "FAIL"), out)
			}
			for _, name := range tests {
				if !slices.Contains(m.without, name) && !slices.Contains(ended(out, "PASS"), name) {
					t.Errorf("%s did not pass", name)
				}
			}
			for _, name := range ended(out, "SKIP") {
				if !slices.Contains(m.without, name) && !strings.Contains(name, "MHSM") {
					t.Errorf("%s was skipped", name)
				}
			}
			t.Logf("%d tests of %s@%s passed", len(ended(out, "PASS")), path.Base(m.path), m.version)
		})
	}
}

// ended lists the tests that ended so, with those inside of others.
func ended(out, how string) []string {
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^ *--- `+how+`: (\S+)`).FindAllStringSubmatch(out, -1) {
		names = append(names, found[1])
	}
	return names
}

// output is what a program printed, however it ended.
func output(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// liveTests builds the tests of a module, from a copy of it that is not changed, and lists them.
func liveTests(t *testing.T, path, version string) (program string, tests []string) {
	t.Helper()
	need(t, "go")
	name := filepath.Base(path)
	path = "github.com/Azure/azure-sdk-for-go/sdk/" + path + "@" + version
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(command(t, t.TempDir(), "", 0, nil, "go", "mod", "download", "-json", path)), &module); err != nil || module.Dir == "" {
		t.Fatalf("%s is not there: %v", path, err)
	}
	copied := filepath.Join(t.TempDir(), name)
	if err := copyTree(copied, module.Dir); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(copied, name+".test")
	command(t, copied, "", 0, []string{"GOFLAGS=-mod=readonly", "GOWORK=off"}, "go", "test", "-c", "-o", program, ".")
	if tests = testNames(t, copied); len(tests) == 0 {
		t.Fatalf("%s has no tests", path)
	}
	return program, tests
}

// testNames reads the names from the source: asking the program would start its TestMain.
func testNames(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`).FindAllSubmatch(text, -1) {
			names = append(names, string(found[1]))
		}
	}
	return names
}

// copyTree copies files and folders; the module cache cannot be written to.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
