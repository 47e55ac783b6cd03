package compat_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The modules of the official Go SDK whose own live tests are run, unchanged. They come
// inside the modules.
var liveModules = []struct{ name, version string }{
	{"azcertificates", "v1.4.0"}, {"azsecrets", "v1.5.1"}, {"azkeys", "v1.5.0"},
}

// The official SDK's own live tests pass. Those of a managed HSM skip themselves, since
// there is none.
func TestGoLive(t *testing.T) {
	for _, m := range liveModules {
		t.Run(m.name, func(t *testing.T) {
			program := liveTests(t, m.name, m.version)
			out := command(t, filepath.Dir(program), "", 0, nil, binary, "run", "--", "env", "AZURE_RECORD_MODE=live",
				"AZURE_KEYVAULT_URL=https://live.vault.azure.net", program, "-test.v", "-test.skip=^TestReleaseKey$")
			passed := len(regexp.MustCompile(`(?m)^--- PASS: `).FindAllString(out, -1))
			if passed < 10 || strings.Contains(out, "--- FAIL") {
				t.Errorf("%d tests passed\n%s", passed, out)
			}
			t.Logf("%d tests of %s@%s passed", passed, m.name, m.version)
		})
	}
}

// liveTests builds the tests of a module, from a copy of it that is not changed.
func liveTests(t *testing.T, name, version string) string {
	t.Helper()
	need(t, "go")
	path := "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/" + name + "@" + version
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(command(t, t.TempDir(), "", 0, nil, "go", "mod", "download", "-json", path)), &module); err != nil || module.Dir == "" {
		t.Fatalf("%s is not there: %v", path, err)
	}
	copied := filepath.Join(t.TempDir(), name)
	if err := copyTree(copied, module.Dir); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(copied, name+".test")
	command(t, copied, "", 0, []string{"GOFLAGS=-mod=mod"}, "go", "test", "-c", "-o", program, ".")
	return program
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
