package seal_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"coffer/internal/seal"
)

// A file that others can read, or that is longer than it can be, is refused, and the error
// does not show what is in it.
func TestReadPrivateFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode  os.FileMode
		limit int
		want  string // part of the error
	}{
		{0o600, 14, ""},
		{0o400, 14, ""},
		{0o600, 13, "more than the 13 bytes"},
		{0o640, 14, "chmod 600 " + path},
		{0o604, 14, "chmod 600 " + path},
		{0o620, 14, "chmod 600 " + path},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		text, err := seal.ReadPrivateFile(path, c.limit)
		switch {
		case c.want == "" && (err != nil || string(text) != "hunter2hunter2"):
			t.Errorf("%o: %q, %v", c.mode, text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || text != nil):
			t.Errorf("%o, %d: %q, %v", c.mode, c.limit, text, err)
		}
	}
}
