package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A Report is what Verify found.
type Report struct {
	Lines int    // that verified
	Torn  int    // pieces of lines that a crash or a failed append left, each named by the line behind it
	Tail  int64  // bytes of a torn line at the end, which no line names yet
	Head  Head   // of the last line
	First uint64 // sequence number of the first line
	After []byte // MAC of the line that the first line follows, in another file; nil if it begins the chain
}

// Verify reads a log from its beginning and checks every line against the one before.
// The error names the first line, counted from 1, at which the chain breaks: that line,
// or one before it, was altered, removed or moved. Lines behind it that verify by
// themselves are counted all the same. Lines removed from the end are not missed here:
// compare Head with the one that was kept.
func Verify(r io.Reader, key []byte) (Report, error) {
	v := verifier{signer: newSigner(key)}
	return v.read(r)
}

func (v *verifier) read(r io.Reader) (Report, error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := in.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if len(text) > 0 {
			v.take(text, full)
		}
		switch {
		case errors.Is(err, io.EOF):
			return v.end()
		case err != nil && !full:
			return v.report, fmt.Errorf("audit: the log cannot be read after line %d: %w", v.number, err)
		}
	}
}

// A verifier checks line by line.
type verifier struct {
	signer signer
	kept   map[string]Head // by node: what the line of that number has to be
	report Report
	number int   // of the line at hand
	long   bool  // more of the line at hand is to come
	err    error // the first break
	torn   piece // since the last line that verified
}

// A piece is what stands between two lines that verify.
type piece struct {
	bytes int64
	hash  hash.Hash
	whole bool  // there is a newline in it
	err   error // why its first line is none
}

// take takes a line, or, when there is more of it to come, a part of one.
func (v *verifier) take(text []byte, more bool) {
	if !v.long {
		v.number++
	}
	if v.long || more {
		v.tear(text, errors.New("longer than any line of an audit log"))
	} else {
		v.line(text)
	}
	v.long = more
}

func (v *verifier) line(text []byte) {
	p, err := parse(bytes.TrimSuffix(text, []byte("\n")))
	if err == nil {
		err = v.link(p)
	}
	if err != nil {
		v.tear(text, err)
		return
	}
	if v.report.Lines == 0 {
		v.report.First, v.report.After = p.Sequence, bytes.Clone(p.previous)
	}
	v.report.Lines, v.report.Head, v.torn = v.report.Lines+1, p.Head, piece{}
}

// link checks that a line follows the last one. A line that only verifies by itself is
// taken as one, and the break before it is noted.
func (v *verifier) link(p parsed) error {
	last := v.report.Head
	var gap error
	switch {
	case v.report.Lines == 0 && !v.signer.anchored(p):
		return errors.New("the line does not begin a log: the lines before it are missing, or it was altered")
	case v.report.Lines == 0:
	case p.Node != last.Node:
		return fmt.Errorf("the line is of node %q, the lines before of %q", p.Node, last.Node)
	case p.Sequence <= last.Sequence:
		return fmt.Errorf("sequence %d follows %d: the line was repeated or moved", p.Sequence, last.Sequence)
	case p.Sequence == last.Sequence+1 && v.signer.follows(p, last.MAC):
	case v.signer.anchored(p):
		gap = fmt.Errorf("sequence %d follows another line than the %d before it: lines are missing", p.Sequence, last.Sequence)
	case p.Sequence > last.Sequence+1:
		return fmt.Errorf("sequence %d follows %d: lines are missing or moved", p.Sequence, last.Sequence)
	default:
		return errors.New("the MAC does not match: the line, or the one before, was altered")
	}
	v.between(p.torn)
	v.fail(gap)
	if kept := v.kept[p.Node]; kept.Sequence == p.Sequence && !bytes.Equal(kept.MAC, p.MAC) {
		v.fail(fmt.Errorf("line %d of the chain is another than the one that the store has kept", p.Sequence))
	}
	return nil
}

// between checks what stands before a line against what the line says of it.
func (v *verifier) between(said *torn) {
	switch {
	case said == nil && v.torn.bytes == 0:
	case said != nil && v.torn.bytes == 0:
		v.fail(errors.New("the torn piece before the line was removed"))
	case said == nil || said.Bytes != v.torn.bytes || said.SHA256 != v.torn.sum():
		v.fail(v.torn.err)
	default:
		v.report.Torn++
	}
}

// tear takes text as torn, for the time being.
func (v *verifier) tear(text []byte, err error) {
	if v.torn.hash == nil {
		v.torn = piece{hash: sha256.New(), err: v.at(err)}
	}
	v.torn.hash.Write(text)
	v.torn.bytes += int64(len(text))
	v.torn.whole = v.torn.whole || text[len(text)-1] == '\n'
}

func (p piece) sum() string {
	return hex.EncodeToString(p.hash.Sum(nil))
}

// fail keeps the first break.
func (v *verifier) fail(err error) {
	if v.err == nil && err != nil {
		v.err = v.at(err)
	}
}

// A lineError is a break at a line.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("audit: line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// at names the line at hand, unless the error names one already.
func (v *verifier) at(err error) error {
	var located *lineError
	if errors.As(err, &located) {
		return located
	}
	return &lineError{line: v.number, err: err}
}

// end judges what is left behind the last line: the piece of one is a crash's, more
// than that is not.
func (v *verifier) end() (Report, error) {
	switch {
	case v.torn.bytes == 0:
	case v.torn.whole:
		v.fail(v.torn.err)
	default:
		v.report.Tail = v.torn.bytes
	}
	return v.report, v.err
}
