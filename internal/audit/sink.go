package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// A Sink takes lines. It is used by one goroutine at a time, except that Sync may be
// called while any method but Close and Reopen is.
type Sink interface {
	// Append writes one line, newline included. A short write is an error. After an error
	// the line may be there, in part or whole.
	Append(line []byte) error
	// Sync makes everything appended so far durable.
	Sync() error
	// Tail tells how the log ends now. It is read before the next call of Append.
	Tail() (Tail, error)
	Close() error
}

// A Tail is a log whose end is looked at. The zero Tail is an empty log, or one that
// cannot be read back: what failed appends leave of lines cannot be marked then.
type Tail struct {
	Text io.ReaderAt
	Size int64 // in bytes
}

// A reopener is a Sink that may be moved away while it is open.
type reopener interface {
	// Reopen reports whether the sink was moved away or cut since the last append, and if
	// so goes on with what is in its place.
	Reopen() (bool, error)
}

// A File is a Sink that appends to a file. When the file is moved away, Settle of the
// Log carries on in a new one of the same name. To cut it in place instead leaves lines
// that cannot be verified.
type File struct {
	path   string
	file   *os.File
	size   int64 // at least; a shorter file was cut
	rotate Rotation
}

// OpenFile opens the log at path, or makes it, readable by its owner alone. The mode of
// a file that exists is left as it is.
func OpenFile(path string) (*File, error) {
	file, err := openAppend(path)
	if err != nil {
		return nil, fmt.Errorf("audit: the log cannot be opened: %w", err)
	}
	f := &File{path: path, file: file}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit: the log cannot be used: %w", err), file.Close())
	}
	f.size = info.Size()
	return f, nil
}

// openAppend makes the name of a new file durable as well, where the system can.
func openAppend(path string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_APPEND
	file, err := os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, flags, 0)
	}
	if err != nil || runtime.GOOS == "windows" {
		return file, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Append implements Sink.
func (f *File) Append(line []byte) error {
	n, err := f.file.Write(line)
	f.size += int64(n)
	return err
}

// Sync implements Sink.
func (f *File) Sync() error { return f.file.Sync() }

// Tail implements Sink.
func (f *File) Tail() (Tail, error) {
	info, err := f.file.Stat()
	if err != nil {
		return Tail{}, err
	}
	return Tail{Text: f.file, Size: info.Size()}, nil
}

// Reopen reports whether the path leads to another file now, or to none, or the file
// was cut, and goes on with the file at the path. On an error the old one stays open.
func (f *File) Reopen() (bool, error) {
	if err := f.retire(); err != nil {
		return false, err
	}
	mine, err := f.file.Stat()
	if err != nil {
		return false, fmt.Errorf("audit: the log cannot be looked at: %w", err)
	}
	there, err := os.Stat(f.path)
	if err == nil && os.SameFile(mine, there) {
		cut := there.Size() < f.size
		f.size = there.Size()
		return cut, nil
	}
	next, err := OpenFile(f.path)
	if err != nil {
		return false, err
	}
	if err := f.file.Sync(); err != nil {
		return false, errors.Join(fmt.Errorf("audit: the log that was moved away cannot be made durable: %w", err), next.Close())
	}
	_ = f.file.Close() // it is synced
	f.file, f.size = next.file, next.size
	f.expire()
	return true, nil
}

// Close implements Sink.
func (f *File) Close() error { return f.file.Close() }

// Discard is a Sink for vaults that nobody will ask about again. A Log over it makes no
// lines.
type Discard struct{}

// Append, Sync, Tail and Close implement Sink.
func (Discard) Append([]byte) error { return nil }
func (Discard) Sync() error         { return nil }
func (Discard) Tail() (Tail, error) { return Tail{}, nil }
func (Discard) Close() error        { return nil }
