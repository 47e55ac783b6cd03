package compat_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	sopsVersion   = "v3.13.3"
	cosignVersion = "v3.1.3"
)

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
	out := command(t, dir, "", 0, demo, binary, "run", "--", "sh", "-c", steps, "sh", python(t), script(t, "python/makekey.py"), tools, installed(t, "sops", "github.com/getsops/sops/v3/cmd/sops", sopsVersion))
	for _, want := range []string{"gocloud done", "go-kms-wrapping done", "secret: value"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing: %s", want, out)
		}
	}
}

// cosign makes a key in the vault, signs with it, and verifies; OpenSSL verifies, too.
// Nothing is sent to a transparency log, which would need the internet.
func TestCosign(t *testing.T) {
	need(t, "sh", "go", "openssl", "base64")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "blob"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := `set -e
key=azurekms://$KEY_VAULT_NAME.vault.azure.net/cosign
"$1" generate-key-pair --kms "$key" 2>&1
"$1" sign-blob --key "$key" --use-signing-config=false --new-bundle-format=false --tlog-upload=false --output-signature sig blob 2>&1
verify() { "$1" verify-blob --key "$2" --new-bundle-format=false --insecure-ignore-tlog=true --signature sig "$3" 2>&1; }
verify "$1" "$key" blob
verify "$1" cosign.pub blob
base64 -d sig > sig.der
openssl dgst -sha256 -verify cosign.pub -signature sig.der blob
echo changed >> blob
if verify "$1" "$key" blob; then exit 3; fi
echo refused`
	cosign := installed(t, "cosign", "github.com/sigstore/cosign/v3/cmd/cosign", cosignVersion)
	out := command(t, dir, "", 0, append(demo, "HOME="+dir), binary, "run", "--", "sh", "-c", steps, "sh", cosign)
	for _, want := range []string{"Public key written to cosign.pub", "Verified OK\nVerified OK\n", "refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing: %s", want, out)
		}
	}
}

// installed builds a program of a pinned version, once.
func installed(t *testing.T, name, path, version string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../.cache/compat", name, version))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	command(t, t.TempDir(), "", 0, []string{"GOBIN=" + dir, "CGO_ENABLED=0"}, "go", "install", path+"@"+version)
	return program
}
