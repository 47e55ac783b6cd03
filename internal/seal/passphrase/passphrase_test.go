package passphrase_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/seal"
	"coffer/internal/seal/passphrase"
)

var cheap = passphrase.Cost{Time: 1, Memory: 64, Threads: 1}

func newSeal(t testing.TB, text string) *passphrase.Seal {
	t.Helper()
	s, err := passphrase.New([]byte(text), "the test", cheap)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWrapAndUnwrap(t *testing.T) {
	s, root := newSeal(t, "correct horse battery\n"), bytes.Repeat([]byte{7}, seal.RootKeySize)
	wrapped, err := s.Wrap(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := newSeal(t, "correct horse battery").Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, root) {
		t.Fatalf("%x, %v", got, err)
	}
	if _, err := newSeal(t, "another passphrase").Unwrap(t.Context(), wrapped); !errors.Is(err, seal.ErrUnseal) {
		t.Errorf("another passphrase: %v", err)
	}
	for i := range wrapped {
		if i == 1 || i == 5 { // the highest bytes of time and memory: refused before anything is computed
			altered := bytes.Clone(wrapped)
			altered[i] = 0xff
			if _, err := s.Unwrap(t.Context(), altered); !errors.Is(err, seal.ErrUnseal) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		altered := bytes.Clone(wrapped)
		altered[i] ^= 1
		if _, err := s.Unwrap(t.Context(), altered); err == nil {
			t.Errorf("byte %d altered: it was unwrapped", i)
		}
		if _, err := s.Unwrap(t.Context(), wrapped[:i]); err == nil {
			t.Errorf("cut to %d bytes: it was unwrapped", i)
		}
	}
}

func TestPassphraseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		err  string
	}{
		"good": {"six random words or more\n", 0o600, ""}, "open": {"six random words or more\n", 0o640, "chmod 600"},
		"short": {"short\n", 0o600, "needs 12"}, "long": {strings.Repeat("x", 1025), 0o600, "needs 12"}, "longer": {strings.Repeat("x", 2000), 0o600, "more than"}, "empty": {"", 0o600, "needs 12"},
	} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := passphrase.ReadFile(path)
		if (err == nil) != (test.err == "") || err != nil && (!strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "random words")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := passphrase.ReadFile(path + "x"); err == nil {
		t.Error("a file that does not exist was read")
	}
}

func FuzzUnwrap(f *testing.F) {
	s := newSeal(f, "correct horse battery")
	wrapped, err := s.Wrap(f.Context(), make([]byte, seal.RootKeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Add([]byte{1, 0, 0, 0, 64, 0, 16, 0, 0, 64})
	f.Fuzz(func(t *testing.T, stored []byte) {
		if len(stored) > 10 && (stored[4] > 4 || stored[6] > 0) { // within the caps, and slow
			t.Skip()
		}
		if root, err := s.Unwrap(t.Context(), stored); err == nil && !bytes.Equal(root, make([]byte, seal.RootKeySize)) {
			t.Error("what was never wrapped was unwrapped") // another process wrapped its seed itself
		}
	})
}
