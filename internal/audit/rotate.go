package audit

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Rotation says when a file is put away and how many of those are kept.
type Rotation struct {
	// MaxSize is the size in bytes from which a file is put away; 0: never. It is looked at by
	// Settle, so that a file may be larger by what is written between two calls.
	MaxSize int64
	// Keep is how many files that were put away are kept; 0: all. The oldest are removed.
	Keep int
}

// OpenRotating is OpenFile for a log that is put away when it has grown: under its own
// name, a dot, and a number that grows, so that a name never comes to mean another file.
func OpenRotating(path string, r Rotation) (*File, error) {
	f, err := OpenFile(path)
	if err == nil {
		f.rotate = r
	}
	return f, err
}

// PutAway returns the files of the log at path that were put away, the oldest first.
func PutAway(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("audit: the directory of the log cannot be read: %w", err)
	}
	type numbered struct {
		path   string
		number uint64
	}
	var found []numbered
	for _, entry := range entries {
		suffix, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		number, err := strconv.ParseUint(suffix, 10, 63)
		if ok && err == nil && suffix == format(number) {
			found = append(found, numbered{path + "." + suffix, number})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	out := make([]string, 0, len(found))
	for _, f := range found {
		out = append(out, f.path)
	}
	return out, nil
}

// format makes the names sort as their numbers do, for a long time.
func format(number uint64) string { return fmt.Sprintf("%06d", number) }

// retire moves the file away if it is large enough and still at its path. Reopen then
// finds it moved, as if somebody else had done it.
func (f *File) retire() error {
	if f.rotate.MaxSize <= 0 || f.size < f.rotate.MaxSize {
		return nil
	}
	mine, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("audit: the log cannot be looked at: %w", err)
	}
	if there, err := os.Stat(f.path); err != nil || !os.SameFile(mine, there) {
		return nil // moved already
	}
	old, err := PutAway(f.path)
	if err != nil {
		return err
	}
	next := uint64(1)
	if len(old) > 0 {
		last := old[len(old)-1]
		number, _ := strconv.ParseUint(last[strings.LastIndexByte(last, '.')+1:], 10, 63) // PutAway has parsed it
		next = number + 1
	}
	if err := os.Rename(f.path, f.path+"."+format(next)); err != nil {
		return fmt.Errorf("audit: the log cannot be put away: %w", err)
	}
	return nil
}

// expire removes the oldest files beyond those that are kept. What cannot be removed now
// is tried again when the next file is put away.
func (f *File) expire() {
	if f.rotate.Keep <= 0 {
		return
	}
	old, err := PutAway(f.path)
	if err != nil {
		return
	}
	for _, path := range old[:max(0, len(old)-f.rotate.Keep)] {
		_ = os.Remove(path)
	}
}
