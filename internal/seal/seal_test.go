package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/seal"
)

func newRing(t testing.TB) (*seal.Keyring, *seal.Granter, seal.RootKey, []byte) {
	t.Helper()
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring, granter, wrapped, err := seal.Create(root, "installation-1")
	if err != nil {
		t.Fatal(err)
	}
	return ring, granter, root, wrapped
}

var place = seal.Place{Purpose: seal.PurposeRecord, Vault: "v1", Kind: "secret", Name: "web", Object: "o1", Version: "5c1f", Format: 1}

func TestBoxOpensOnlyAtItsPlace(t *testing.T) {
	ring, granter, _, _ := newRing(t)
	box, err := ring.Seal(granter.Write(), place, []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	plain, at, err := ring.Open(granter.Read(), place, box)
	if err != nil || string(plain) != "value" || at != place {
		t.Fatalf("Open = %q, %+v, %v", plain, at, err)
	}
	unknown := place
	unknown.Object, unknown.Format = "", 0
	if _, at, err := ring.Open(granter.Read(), unknown, box); err != nil || at != place {
		t.Fatalf("the box did not tell its object and format: %+v, %v", at, err)
	}
	moves := map[string]func(*seal.Place){
		"purpose": func(p *seal.Place) { p.Purpose = seal.PurposeSkipToken },
		"vault":   func(p *seal.Place) { p.Vault = "v2" },
		"kind":    func(p *seal.Place) { p.Kind = "key" },
		"name":    func(p *seal.Place) { p.Name = "web2" },
		"object":  func(p *seal.Place) { p.Object = "o2" },
		"version": func(p *seal.Place) { p.Version = "" },
		"shift":   func(p *seal.Place) { p.Kind, p.Name = "secretw", "eb" },
	}
	for name, move := range moves {
		elsewhere := place
		move(&elsewhere)
		if _, _, err := ring.Open(granter.Write(), elsewhere, box); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%s: the box opened elsewhere: %v", name, err)
		}
	}
	for i := range box {
		altered := bytes.Clone(box)
		altered[i] ^= 1
		if _, _, err := ring.Open(granter.Read(), place, altered); err == nil {
			t.Errorf("the box opened with byte %d altered", i)
		}
		if _, _, err := ring.Open(granter.Read(), place, box[:i]); err == nil {
			t.Errorf("the box opened cut to %d bytes", i)
		}
	}
}

func TestGrants(t *testing.T) {
	ring, granter, _, _ := newRing(t)
	box, err := ring.Seal(granter.Write("secret"), place, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := seal.Place{Purpose: seal.PurposeSkipToken, Vault: "v1", Kind: "certificates", Format: 1}
	for name, call := range map[string]func() error{
		"open without grant":     func() error { _, _, err := ring.Open(seal.Grant{}, place, box); return err },
		"seal without grant":     func() error { _, err := ring.Seal(seal.Grant{}, place, nil); return err },
		"seal with a reader's":   func() error { _, err := ring.Seal(granter.Read(), place, nil); return err },
		"open of another kind":   func() error { _, _, err := ring.Open(granter.Read("key"), place, box); return err },
		"seal of another kind":   func() error { _, err := ring.Seal(granter.Write("key"), place, nil); return err },
		"skip token, no grant":   func() error { _, err := ring.Seal(seal.Grant{}, token, nil); return err },
		"zero granter's zero":    func() error { var g seal.Grant; _, _, err := ring.Open(g, place, box); return err },
		"skip token, wrong kind": func() error { _, err := ring.Seal(granter.Read("secret"), token, nil); return err },
	} {
		if err := call(); !errors.Is(err, seal.ErrNoGrant) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ring.Seal(granter.Read(), token, nil); err != nil {
		t.Errorf("a reader cannot make a skip token: %v", err)
	}
}

func TestWrongRootKeyOrInstallation(t *testing.T) {
	ring, granter, root, wrapped := newRing(t)
	box, err := ring.Seal(granter.Write(), place, []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	again, g2, err := seal.Open(root, "installation-1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, _, err := again.Open(g2.Read(), place, box); err != nil || string(plain) != "kept" {
		t.Fatalf("after reopening: %q, %v", plain, err)
	}
	other, _ := seal.NewRootKey(rand.Reader)
	if _, _, err := seal.Open(other, "installation-1", wrapped); !errors.Is(err, seal.ErrRootKey) {
		t.Errorf("another root key: %v", err)
	}
	if _, _, err := seal.Open(root, "installation-2", wrapped); !errors.Is(err, seal.ErrRootKey) {
		t.Errorf("another installation: %v", err)
	}
	wrapped[0]++
	if _, _, err := seal.Open(root, "installation-1", wrapped); !errors.Is(err, seal.ErrLayout) {
		t.Errorf("a newer keyset: %v", err)
	}
}

func TestRootKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	root, _ := seal.NewRootKey(rand.Reader)
	if err := seal.WriteRootKeyFile(path, root); err != nil {
		t.Fatal(err)
	}
	if err := seal.WriteRootKeyFile(path, root); err == nil {
		t.Error("a root key file was overwritten")
	}
	read, err := seal.ReadRootKeyFile(path)
	if err != nil || read != root {
		t.Fatalf("read back: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadRootKeyFile(path); !errors.Is(err, seal.ErrRootKeyFile) {
		t.Errorf("a file that the group can read: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "other": "hello\n", "short": "coffer-root-key-1:AAAA\n"} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ReadRootKeyFile(bad); !errors.Is(err, seal.ErrRootKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.ReadRootKeyFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, seal.ErrRootKeyFile) {
		t.Errorf("missing: %v", err)
	}
}

func TestRootKeyHidesItself(t *testing.T) {
	root, _ := seal.NewRootKey(bytes.NewReader(bytes.Repeat([]byte{0x41}, 32)))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(verb, root); text != "root key (hidden)" {
			t.Errorf("%s prints %q", verb, text)
		}
	}
	a, _ := root.Derive("a", 32)
	b, _ := root.Derive("b", 32)
	if bytes.Equal(a, b) {
		t.Error("two purposes derive the same")
	}
}

// FuzzOpen checks that nothing but a sealed box opens.
func FuzzOpen(f *testing.F) {
	ring, granter, _, _ := newRing(f)
	box, err := ring.Seal(granter.Write(), place, []byte("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box)
	f.Add([]byte{1, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := ring.Open(granter.Read(), place, data); err == nil && !bytes.Equal(data, box) {
			t.Fatal("a forged box opened")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	ring, granter, _, _ := newRing(b)
	box, _ := ring.Seal(granter.Write(), place, make([]byte, 2048))
	grant := granter.Read()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ring.Open(grant, place, box); err != nil {
			b.Fatal(err)
		}
	}
}
