package server_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/archive"
	"coffer/internal/seal"
	"coffer/internal/server"
)

// An elsewhere is a configuration for a store that does not exist yet.
func elsewhere(t *testing.T, root seal.RootKey) server.Config {
	t.Helper()
	dir := t.TempDir()
	c := server.Config{
		Domain: "a.example.com", Listen: "127.0.0.1:0", Store: filepath.Join(dir, "coffer.db"), RootKeyFile: filepath.Join(dir, "root.key"), AuditFile: filepath.Join(dir, "audit.log"),
	}
	if err := seal.WriteRootKeyFile(c.RootKeyFile, root); err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) backup(t *testing.T, base string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	out := w.administer(t, server.VerbBackup, server.AdminRequest{File: path, Base: base}).(server.BackedUp)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || out.Records == 0 {
		t.Fatalf("%+v, %v, %v", out, info, err)
	}
	return path
}

// A backup that is made while the server serves is restored elsewhere: everything is as it
// was, checked and readable, and the audit chain goes on.
func TestBackupAndRestore(t *testing.T) {
	root, quiet := rootKey(t), slog.New(slog.DiscardHandler)
	w := newWorld(t, options(t.TempDir(), root))
	defer w.Close()
	w.furnish(t)
	full := w.backup(t, "")
	w.setSecret(t, "s1", "changed")
	w.administer(t, server.VerbRotateRoot, server.AdminRequest{}) // the archive has its own
	w.administer(t, server.VerbRotateData, server.AdminRequest{Use: seal.Blobs})
	later := w.backup(t, full)
	w.setSecret(t, "s1", "after the backup")
	c := elsewhere(t, root)
	done, err := c.Restore(t.Context(), []string{later, full}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if done.Changed == 0 || done.Changed >= done.Records {
		t.Errorf("%+v", done)
	}
	o := options(filepath.Dir(c.Store), root)
	o.StorePath, o.Create = c.Store, false
	again := newWorld(t, o)
	defer again.Close()
	again.wantSecret(t, "s1", "changed")
	if _, err := again.Vaults.GetCertificate(t.Context(), again.caller, ref); err != nil {
		t.Error(err)
	}
	if found := again.check(t, false); found.Wrong() {
		t.Errorf("%+v", found.Findings)
	}
	log, err := os.ReadFile(c.AuditFile)
	if err != nil || !strings.Contains(string(log), "StoreRestore") {
		t.Errorf("the log does not say that the store was restored: %v", err)
	}
	if _, err := c.Restore(t.Context(), []string{later, full}, quiet); err == nil {
		t.Error("restored into a store that is in use")
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(c.Store)
	if _, err := c.Restore(t.Context(), []string{later, full}, quiet); !errors.Is(err, server.ErrNotEmpty) {
		t.Errorf("over another store: %v", err)
	}
	if after, _ := os.ReadFile(c.Store); !bytes.Equal(before, after) {
		t.Error("a refused restoration changed the store")
	}
}

// What is refused makes no store.
func TestRestoreRefuses(t *testing.T) {
	root, quiet := rootKey(t), slog.New(slog.DiscardHandler)
	w := newWorld(t, options(t.TempDir(), root))
	defer w.Close()
	w.furnish(t)
	full := w.backup(t, "")
	w.setSecret(t, "s1", "changed")
	later := w.backup(t, full)
	whole, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := func(change func([]byte) []byte) string {
		path := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(path, change(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		root  seal.RootKey
		paths []string
		want  error
	}{
		"another root key":  {rootKey(t), []string{full}, seal.ErrRootKey},
		"without its base":  {root, []string{later}, archive.ErrBase},
		"altered":           {root, []string{spoiled(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })}, archive.ErrArchive},
		"header altered":    {root, []string{spoiled(func(b []byte) []byte { return bytes.Replace(b, []byte(`"made":"2`), []byte(`"made":"1`), 1) })}, archive.ErrArchive},
		"cut short":         {root, []string{spoiled(func(b []byte) []byte { return b[:len(b)-20] })}, archive.ErrArchive},
		"newer":             {root, []string{spoiled(func(b []byte) []byte { return bytes.Replace(b, []byte(`"format":1`), []byte(`"format":9`), 1) })}, archive.ErrNewer},
		"no archive":        {root, []string{spoiled(func([]byte) []byte { return []byte("x") })}, archive.ErrArchive},
		"a base is altered": {root, []string{later, spoiled(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })}, archive.ErrArchive},
		"no file":           {root, []string{full + "x"}, os.ErrNotExist},
	} {
		c := elsewhere(t, test.root)
		if _, err := c.Restore(t.Context(), test.paths, quiet); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(c.Store); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a store was made", name)
		}
	}
	for name, r := range map[string]server.AdminRequest{
		"over a file": {File: full}, "relative": {File: "here"}, "no folder": {File: "/nowhere/x"}, "base is none": {File: full + "2", Base: w.Options.StorePath},
	} {
		if _, err := w.Administer(t.Context(), server.VerbBackup, r); err == nil {
			t.Errorf("%s: a backup was made", name)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(full)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An archive of one installation is no base for another's.
func TestBaseOfAnother(t *testing.T) {
	w, other := newWorld(t, options(t.TempDir(), rootKey(t))), newWorld(t, options(t.TempDir(), rootKey(t)))
	defer w.Close()
	defer other.Close()
	base := other.backup(t, "")
	_, err := w.Administer(t.Context(), server.VerbBackup, server.AdminRequest{File: base + "2", Base: base})
	if err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Error(err)
	}
}
