package archive

import (
	"bufio"
	"io"
)

// NewPlainReader reads entries that are not sealed.
func NewPlainReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReader(r)} }
