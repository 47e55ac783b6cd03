package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

var errDisk = errors.New("input/output error")

func TestFullDisk(t *testing.T) {
	s := fresh(t, bolt.Options{MaxSize: 256 << 10})
	if err := put(s, "small", nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := put(s, "large", make([]byte, 1<<20))
		if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "free disk space") {
			t.Errorf("%v", err)
		}
	}
	if !exists(t, s, "small") || exists(t, s, "large") {
		t.Error("the store is not as it was")
	}
	if err := put(s, "small too", nil); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
}

// A commit that was lost is run once more, and nobody notices.
func TestLostCommitRunsAgain(t *testing.T) {
	s := fresh(t, bolt.Options{})
	commits, runs := 0, 0
	s.OnCommit(func(real func() error) error {
		if commits++; commits == 1 {
			return errDisk
		}
		return real()
	})
	err := s.Update(ctx, func(tx store.Tx) error { runs++; return tx.Put("a", 0, nil) })
	if err != nil || runs != 2 || commits != 2 || !exists(t, s, "a") {
		t.Errorf("%v; %d runs, %d commits", err, runs, commits)
	}
}

// A commit that is lost for good says why and what to do, and the store goes on.
func TestLostCommit(t *testing.T) {
	for name, fail := range map[string]func(func() error) error{
		"error": func(func() error) error { return errDisk },
		"panic": func(func() error) error { panic("page 7 already freed") },
	} {
		s := fresh(t, bolt.Options{})
		s.OnCommit(fail)
		err := put(s, "a", nil)
		if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "error" && !errors.Is(err, errDisk) {
			t.Errorf("the cause is hidden: %v", err)
		}
		s.OnCommit(func(real func() error) error { return real() })
		if exists(t, s, "a") || put(s, "a", nil) != nil || !exists(t, s, "a") {
			t.Errorf("%s: the store does not go on", name)
		}
	}
}

// kept is a commit whose last sync fails: it is visible.
func kept(real func() error) error { return errors.Join(real(), errDisk) }

// A commit that is visible, and durable at the second attempt, is one that worked.
func TestCommitIsConfirmed(t *testing.T) {
	s := fresh(t, bolt.Options{})
	runs := 0
	s.OnCommit(kept)
	if err := s.Update(ctx, func(tx store.Tx) error { runs++; return tx.Put("a", 0, nil) }); err != nil || runs != 1 || !exists(t, s, "a") {
		t.Errorf("%v, %d runs", err, runs)
	}
	if err := put(s, "b", nil); err != nil {
		t.Error(err)
	}
}

// A commit that is visible, and cannot be made durable, is unknown. Nothing is written
// over what a restart may need, until the disk works again.
func TestUnknownCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	syncs := 0
	s.OnCommit(kept)
	s.OnSync(func() error { syncs++; return errDisk })
	if err := put(s, "a", nil); !errors.Is(err, store.ErrUnknown) || !errors.Is(err, errDisk) || syncs != 1 {
		t.Errorf("%v, %d syncs", err, syncs)
	}
	ran := false
	s.OnCommit(func(real func() error) error { return real() })
	err := s.Update(ctx, func(tx store.Tx) error { ran = true; return tx.Put("b", 0, nil) })
	if err == nil || errors.Is(err, store.ErrUnknown) || ran {
		t.Errorf("%v; ran %v", err, ran)
	}
	if err := s.Update(ctx, func(store.Tx) error { return nil }); err == nil {
		t.Error("what is not durable was acknowledged by an update that changed nothing")
	}
	if !exists(t, s, "a") || exists(t, s, "b") {
		t.Error("the store is not as the errors said")
	}
	s.OnSync(s.File().Sync)
	if err := put(s, "b", nil); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, bolt.Options{})
	if !exists(t, s, "a") || !exists(t, s, "b") {
		t.Error("a record is gone")
	}
}

// Close does not hide that the last commit is not durable.
func TestCloseTellsUnknown(t *testing.T) {
	s := fresh(t, bolt.Options{})
	s.OnCommit(kept)
	s.OnSync(func() error { return errDisk })
	if err := put(s, "a", nil); !errors.Is(err, store.ErrUnknown) {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, errDisk) {
		t.Errorf("%v", err)
	}
}

var errTaken = errors.New("taken")

// take puts a record, or says that it is there.
func take(key store.Key) func(store.Tx) error {
	return func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil || rec.Exists() {
			return errors.Join(err, errTaken)
		}
		return tx.Put(key, 0, nil)
	}
}

// A group is one commit; a function that fails or panics leaves nothing and harms none.
func TestGroup(t *testing.T) {
	s := fresh(t, bolt.Options{})
	commits := 0
	s.OnCommit(func(real func() error) error { commits++; return real() })
	boom := func(tx store.Tx) error { _ = tx.Put("bad", 0, nil); panic("boom") }
	group := []bolt.Ending{
		{Context: ctx, Fn: take("a")}, {Context: ctx, Fn: boom}, {Context: ctx, Fn: take("a")}, {Context: ctx, Fn: take("b")},
	}
	s.UpdateTogether(group)
	if group[0].Err != nil || group[1].Err == nil || group[1].Err.Error() != "boom" || !errors.Is(group[2].Err, errTaken) || group[3].Err != nil || commits != 1 {
		t.Errorf("%+v, %d commits", group, commits)
	}
	if !exists(t, s, "a") || !exists(t, s, "b") || exists(t, s, "bad") {
		t.Error("not what was said")
	}
	nothing := []bolt.Ending{{Context: ctx, Fn: take("a")}, {Context: ctx, Fn: func(store.Tx) error { return nil }}}
	if s.UpdateTogether(nothing); commits != 1 || !errors.Is(nothing[0].Err, errTaken) || nothing[1].Err != nil {
		t.Errorf("%+v, %d commits for no change", nothing, commits)
	}
}

// Whoever refused because of what an earlier update of a lost group had done is not
// told so: it never happened.
func TestLostGroup(t *testing.T) {
	s := fresh(t, bolt.Options{})
	s.OnCommit(func(func() error) error { return errDisk })
	mine := errors.New("mine")
	runs := [3]int{}
	counted := func(i int, fn func(store.Tx) error) func(store.Tx) error {
		return func(tx store.Tx) error { runs[i]++; return fn(tx) }
	}
	group := []bolt.Ending{
		{Context: ctx, Fn: counted(0, func(store.Tx) error { return mine })},
		{Context: ctx, Fn: counted(1, take("a"))},
		{Context: ctx, Fn: counted(2, take("a"))},
	}
	s.UpdateTogether(group)
	if group[0].Err != mine || !errors.Is(group[1].Err, errDisk) || !errors.Is(group[2].Err, errDisk) || errors.Is(group[2].Err, errTaken) {
		t.Errorf("%+v", group)
	}
	if runs != [3]int{2, 2, 2} || exists(t, s, "a") {
		t.Errorf("%v runs", runs)
	}
}

// A file that was cut under a running server is an error of every call, not the end of
// the server.
func TestCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path, bolt.Options{})
	if err := put(s, "a", make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Skip(err) // a system that does not allow it
	}
	_, err := s.Get(ctx, store.Ask{Key: "a"})
	for name, err := range map[string]error{
		"get":    err,
		"view":   s.View(ctx, func(tx store.Tx) error { _, err := tx.Scan("", "", 1); return err }),
		"update": put(s, "b", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = s.Close()
}
