//go:build pkcs11 && cgo

package pkcs11_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	binding "github.com/miekg/pkcs11"

	"coffer/internal/seal"
	"coffer/internal/seal/pkcs11"
)

const pin = "1234567890"

// newToken makes a token of SoftHSM2 with one AES key, in a directory of the test.
func newToken(t *testing.T) pkcs11.Config {
	t.Helper()
	root := os.Getenv("COFFER_SOFTHSM") // where `make pkcs11` has unpacked it; empty: the system's
	modules, err := filepath.Glob(root + "/usr/lib/*/softhsm/libsofthsm2.so")
	if system, _ := filepath.Glob(root + "/usr/lib/softhsm/libsofthsm2.so"); len(system) > 0 {
		modules = system
	}
	util := root + "/usr/bin/softhsm2-util"
	if _, missing := os.Stat(util); err != nil || missing != nil || len(modules) == 0 {
		t.Fatalf("SoftHSM2 is not in %s/usr: make pkcs11 installs it", root)
	}
	module := modules[0]
	dir := t.TempDir()
	config := filepath.Join(dir, "softhsm2.conf")
	write(t, config, fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir))
	t.Setenv("SOFTHSM2_CONF", config)
	if out, err := exec.Command(util, "--module", module, "--init-token", "--free", "--label", "coffer", "--pin", pin, "--so-pin", pin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := pkcs11.Config{Module: module, Token: "coffer", PINFile: filepath.Join(dir, "pin"), Key: "root"}
	write(t, c.PINFile, pin+"\n")
	makeKey(t, c)
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func makeKey(t *testing.T, c pkcs11.Config) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := binding.New(c.Module)
	must(p.Initialize())
	defer p.Destroy()
	defer func() { must(p.Finalize()) }()
	slots, err := p.GetSlotList(true)
	must(err)
	for _, slot := range slots {
		info, err := p.GetTokenInfo(slot)
		must(err)
		if info.Flags&binding.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		session, err := p.OpenSession(slot, binding.CKF_SERIAL_SESSION|binding.CKF_RW_SESSION)
		must(err)
		must(p.Login(session, binding.CKU_USER, pin))
		_, err = p.GenerateKey(session, []*binding.Mechanism{binding.NewMechanism(binding.CKM_AES_KEY_GEN, nil)}, []*binding.Attribute{
			binding.NewAttribute(binding.CKA_VALUE_LEN, 32), binding.NewAttribute(binding.CKA_LABEL, c.Key), binding.NewAttribute(binding.CKA_TOKEN, true),
			binding.NewAttribute(binding.CKA_ENCRYPT, true), binding.NewAttribute(binding.CKA_DECRYPT, true),
			binding.NewAttribute(binding.CKA_EXTRACTABLE, false), binding.NewAttribute(binding.CKA_SENSITIVE, true),
		})
		must(err)
		must(p.CloseSession(session))
		return
	}
	t.Fatal("the token was not found")
}

func TestTokenSealsAndOpens(t *testing.T) {
	c := newToken(t)
	s, err := pkcs11.New(c)
	if err != nil {
		t.Fatal(err)
	}
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := seal.WrapRoot(t.Context(), s, root)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.UnwrapRoot(t.Context(), s, wrapped)
	if err != nil || again != root {
		t.Fatal("another root key came back", err)
	}
	for i := range wrapped {
		altered := bytes.Clone(wrapped)
		altered[i] ^= 1
		if _, err := s.Unwrap(t.Context(), altered); !errors.Is(err, seal.ErrUnseal) {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
}

func TestTokenThatIsAway(t *testing.T) {
	c := newToken(t)
	s, err := pkcs11.New(c)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := s.Wrap(t.Context(), make([]byte, seal.RootKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pkcs11.Config){
		"library": func(c *pkcs11.Config) { c.Module = "/nowhere.so" },
		"token":   func(c *pkcs11.Config) { c.Token = "other" },
		"key":     func(c *pkcs11.Config) { c.Key = "other" },
		"PIN":     func(c *pkcs11.Config) { c.PINFile += "2"; write(t, c.PINFile, "0000") },
	} {
		away := c
		change(&away)
		s, err := pkcs11.New(away)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unwrap(t.Context(), wrapped); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(c.PINFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unwrap(t.Context(), wrapped); err == nil {
		t.Error("a PIN that others can read was used")
	}
}
