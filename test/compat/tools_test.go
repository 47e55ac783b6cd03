package compat_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sopsVersion = "v3.13.3"

// Tools that keep their data under a vault's key work unchanged.
func TestTools(t *testing.T) {
	need(t, "sh", "go")
	dir := t.TempDir()
	tools := filepath.Join(dir, "tools")
	command(t, "tools", "", 0, []string{"CGO_ENABLED=0"}, "go", "build", "-o", tools, ".")
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte("secret: value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := `set -e
id=$("$1" "$2")
"$3"
"$4" encrypt --azure-kv "$id" plain.yaml > sealed.yaml
grep -q value sealed.yaml && exit 3
"$4" decrypt sealed.yaml`
	out := command(t, dir, "", 0, demo, binary, "run", "--", "sh", "-c", steps, "sh", python(t), script(t, "python/makekey.py"), tools, sops(t))
	for _, want := range []string{"gocloud done", "go-kms-wrapping done", "secret: value"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing: %s", want, out)
		}
	}
}

// sops is built from its pinned version, once.
func sops(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../.cache/compat/sops", sopsVersion))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "sops")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	command(t, t.TempDir(), "", 0, []string{"GOBIN=" + dir, "CGO_ENABLED=0"}, "go", "install", "github.com/getsops/sops/v3/cmd/sops@"+sopsVersion)
	return program
}
