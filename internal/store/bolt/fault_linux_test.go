package bolt_test

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// The kernel refuses to let the file grow, and later does not.
func TestKernelRefusesToGrow(t *testing.T) {
	s := fresh(t, bolt.Options{})
	if err := put(s, "a", nil); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 128 << 10, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := put(s, "large", make([]byte, 1<<20))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err == nil || errors.Is(err, store.ErrUnknown) || !exists(t, s, "a") || exists(t, s, "large") {
		t.Errorf("%v", err)
	}
	if err := put(s, "large", make([]byte, 1<<20)); err != nil || !exists(t, s, "large") {
		t.Errorf("the store does not go on: %v", err)
	}
}

// Every write to the file fails, and later does not.
func TestWritesFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	if err := put(s, "a", nil); err != nil {
		t.Fatal(err)
	}
	fd := int(s.File().Fd())
	saved, err := syscall.Dup(fd) // the same open file, so the lock stays
	if err != nil {
		t.Fatal(err)
	}
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = readOnly.Close() }()
	if err := syscall.Dup3(int(readOnly.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := put(s, "b", nil); !errors.Is(err, syscall.EBADF) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%v", err)
		}
	}
	if err := errors.Join(syscall.Dup3(saved, fd, syscall.O_CLOEXEC), syscall.Close(saved)); err != nil {
		t.Fatal(err)
	}
	if !exists(t, s, "a") || exists(t, s, "b") {
		t.Error("the store is not as it was")
	}
	if err := put(s, "b", nil); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the lock is gone: %v", err)
	}
}
