package audit

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A Report is what Verify found.
type Report struct {
	Lines int    // that verified
	Torn  int    // pieces of lines that a crash left, each followed by a line that says so
	Head  Head   // of the last line
	First uint64 // sequence number of the first line
}

// maxLine bounds a line that is read, in bytes.
const maxLine = 64 << 10

// Verify reads a log from its beginning and checks every line against the one before.
// The error names the first line, counted from 1, at which the chain breaks: that
// line, or one before it, was altered, removed or moved.
func Verify(r io.Reader, key []byte) (Report, error) {
	var report Report
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	torn := false
	for n := 1; scanner.Scan(); n++ {
		current, err := parse(scanner.Bytes())
		if err != nil {
			if torn || len(scanner.Bytes()) == 0 {
				return report, fmt.Errorf("audit: line %d: %w", n, err)
			}
			torn = true // good if the next line says so
			continue
		}
		if err := report.check(current, key, torn); err != nil {
			return report, fmt.Errorf("audit: line %d: %w", n, err)
		}
		torn = false
	}
	if err := scanner.Err(); err != nil {
		return report, fmt.Errorf("audit: after %d lines: %w", report.Lines, err)
	}
	if torn {
		report.Torn++
	}
	return report, nil
}

func (r *Report) check(current parsed, key []byte, torn bool) error {
	previous := r.Head.MAC
	switch {
	case r.Lines == 0:
		r.First, previous = current.Sequence, current.previous
	case current.Sequence != r.Head.Sequence+1:
		return fmt.Errorf("sequence %d follows %d: lines are missing or moved", current.Sequence, r.Head.Sequence)
	}
	if !hmac.Equal(current.MAC, sum(key, previous, current.signed)) {
		return errors.New("the MAC does not match: the line, or the one before, was altered")
	}
	if torn {
		r.Torn++
	}
	r.Head, r.Lines = current.Head, r.Lines+1
	return nil
}

// A parsed line is what the chain needs of it.
type parsed struct {
	Head
	previous []byte
	signed   []byte // what the MAC is over
}

var macMark = []byte(`,"mac":"`)

func parse(text []byte) (parsed, error) {
	var whole struct {
		Chain struct {
			Node     string `json:"node"`
			Previous string `json:"previous"`
			Sequence uint64 `json:"sequence"`
			MAC      string `json:"mac"`
		} `json:"chain"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return parsed{}, fmt.Errorf("not a line of an audit log: %w", err)
	}
	at := bytes.LastIndex(text, macMark)
	mac, err := hex.DecodeString(whole.Chain.MAC)
	previous, err2 := hex.DecodeString(whole.Chain.Previous)
	if at < 0 || err != nil || err2 != nil || len(mac) != 32 || !bytes.Equal(text[at+len(macMark):], []byte(whole.Chain.MAC+`"}}`)) {
		return parsed{}, errors.New("not a line of an audit log: it has no MAC at its end")
	}
	return parsed{
		Head:     Head{Node: whole.Chain.Node, Sequence: whole.Chain.Sequence, MAC: mac},
		previous: previous, signed: bytes.Clone(text[:at]),
	}, nil
}
