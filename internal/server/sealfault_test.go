package server_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/seal"
	"coffer/internal/seal/passphrase"
	"coffer/internal/server"
	"coffer/internal/store/storetest"
)

// Every commit of every change of the keys goes wrong in every way: what was there is read
// afterwards, by the process that goes on and by the next one, and the change can be
// repeated.
func TestKeyChangesUnderFaults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passphrase")
	const words = "correct horse battery staple"
	if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	to := &server.SealChoice{Seal: &server.SealConfig{Passphrase: &server.PassphraseConfig{File: file}}}
	for verb, r := range map[string]server.AdminRequest{
		server.VerbRotateRoot: {}, server.VerbRotateData: {Use: seal.Records}, server.VerbReseal: {}, server.VerbPin: {}, server.VerbChange: {To: to},
	} {
		for _, fault := range append(append([]storetest.Fault{}, storetest.Faults...), storetest.Crashes...) {
			if verb == server.VerbChange && fault != storetest.Kept && fault != storetest.Lost && fault != storetest.CrashAfter {
				continue // Argon2 takes its time
			}
			t.Run(fmt.Sprint(verb, " ", fault), func(t *testing.T) {
				o := options(t.TempDir(), rootKey(t))
				w := newWorld(t, o)
				w.setSecret(t, "a", "kept")
				w.administer(t, server.VerbRotateData, server.AdminRequest{Use: seal.Records}) // so that reseal has work
				w.faulty.FailAt(1, fault)
				_, failed := w.Administer(t.Context(), verb, r)
				if fault == storetest.Lost && failed == nil && verb != server.VerbChange { // meanwhile the audit log's head may have been stored
					t.Error("a lost commit was reported as done")
				}
				if fault != storetest.CrashBefore && fault != storetest.CrashAfter {
					w.wantSecret(t, "a", "kept")
					w.setSecret(t, "b", "after")
					w.administer(t, verb, r)
					w.wantSecret(t, "b", "after")
				}
				_ = w.Close() // of one that has crashed it fails
				again := openEither(t, o, words)
				defer again.Close()
				again.wantSecret(t, "a", "kept")
				if found := again.check(t, false); found.Wrong() {
					t.Errorf("%+v", found.Findings)
				}
			})
		}
	}
}

// openEither opens a store by its first seal, or by the passphrase.
func openEither(t *testing.T, o server.Options, words string) *world {
	t.Helper()
	core, err := server.Open(t.Context(), o)
	if errors.Is(err, server.ErrProvider) {
		if o.Seal, err = passphrase.New([]byte(words), "the test", passphrase.DefaultCost); err != nil {
			t.Fatal(err)
		}
	} else if err == nil {
		err = core.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, o)
}
