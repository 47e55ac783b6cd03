package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// A File is a Sink that appends to a file.
type File struct{ file *os.File }

// OpenFile opens the log at path, or makes it, readable by its owner alone.
func OpenFile(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: the log cannot be opened: %w", err)
	}
	return &File{file: file}, nil
}

// Append implements Sink.
func (f *File) Append(line []byte) error {
	_, err := f.file.Write(line)
	return err
}

// Sync implements Sink.
func (f *File) Sync() error { return f.file.Sync() }

// Close implements Sink.
func (f *File) Close() error { return f.file.Close() }

// Tail implements Sink. It reads the end of the file only.
func (f *File) Tail() (Tail, error) {
	size, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return Tail{}, err
	}
	from := max(0, size-3*maxLine)
	end := make([]byte, size-from)
	if _, err := f.file.ReadAt(end, from); err != nil && !errors.Is(err, io.EOF) {
		return Tail{}, err
	}
	lines := bytes.Split(end, []byte("\n"))
	tail := Tail{Torn: lines[len(lines)-1]}
	whole := lines[:len(lines)-1]
	if from > 0 && len(whole) > 0 {
		whole = whole[1:] // may begin in the middle
	}
	if n := len(whole); n > 0 {
		tail.Last = whole[n-1]
	}
	if n := len(whole); n > 1 {
		tail.Before = whole[n-2]
	}
	return tail, nil
}

// Discard is a Sink for vaults that nobody will ask about again.
type Discard struct{}

// Append, Sync, Tail and Close implement Sink.
func (Discard) Append([]byte) error { return nil }
func (Discard) Sync() error         { return nil }
func (Discard) Tail() (Tail, error) { return Tail{}, nil }
func (Discard) Close() error        { return nil }
