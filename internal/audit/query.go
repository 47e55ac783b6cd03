package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// A Query chooses lines. What is empty chooses all.
type Query struct {
	Since, Until time.Time // Since is in, Until is not
	Caller       string    // the object id or application id of a principal, or the part of the server
	Object       string    // a part of the object's id or of the vault's, in any case
	Operation    string    // such as CertificateGet, in any case; "Secret*" means all that begin so
	Result       string    // Success, Failure, Denied or Started, or the code of the result
}

// An Entry is a line of a log as a reader sees it. Nothing of it is verified.
type Entry struct {
	Time      time.Time
	Operation string
	Result    string // Success, Failure, Denied, Started
	Code      string // OK, or a code
	Caller    string // the application id, the object id, or the part of the server
	Address   string
	Object    string // the id of the object, or else of the vault
	Phase     string
	Text      []byte // the line itself, without its newline; valid until the next one
}

// Search calls found for every line of the log that the query chooses, until it returns
// an error. It returns how many lines were none of an audit log, such as torn ones.
func Search(r io.Reader, q Query, found func(Entry) error) (odd int, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) { // no line is that long: pass over it
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return odd, err
		}
		text = bytes.TrimRight(text, "\r\n")
		if e, caller, ok := read(text); long || !ok {
			odd += min(1, len(text))
		} else if q.chooses(e, caller) {
			if err := found(e); err != nil {
				return odd, err
			}
		}
		if err != nil {
			return odd, nil
		}
	}
}

// read reads a line, and all the names of its caller.
func read(text []byte) (Entry, []string, bool) {
	var l line
	if json.Unmarshal(text, &l) != nil || l.Category != category {
		return Entry{}, nil, false
	}
	at, err := time.Parse(time.RFC3339Nano, l.Time)
	if err != nil {
		return Entry{}, nil, false
	}
	e := Entry{
		Time: at, Operation: l.OperationName, Result: l.ResultType, Code: l.ResultSignature, Caller: l.Identity.System,
		Address: l.CallerIPAddress, Object: l.Properties.ID, Phase: l.Properties.Phase, Text: text,
	}
	if e.Object == "" {
		e.Object = l.ResourceID
	}
	names := []string{l.Identity.System}
	if c := l.Identity.Claim; c != nil {
		names = []string{c.AppID, c.ObjectID}
		if e.Caller = c.AppID; e.Caller == "" {
			e.Caller = c.ObjectID
		}
	}
	return e, names, true
}

func (q Query) chooses(e Entry, caller []string) bool {
	prefix, open := strings.CutSuffix(strings.ToLower(q.Operation), "*")
	operation := strings.ToLower(e.Operation)
	switch {
	case !q.Since.IsZero() && e.Time.Before(q.Since), !q.Until.IsZero() && !e.Time.Before(q.Until):
		return false
	case q.Operation != "" && operation != prefix && (!open || !strings.HasPrefix(operation, prefix)):
		return false
	case q.Object != "" && !strings.Contains(strings.ToLower(e.Object), strings.ToLower(q.Object)):
		return false
	case q.Result != "" && !strings.EqualFold(q.Result, e.Result) && !strings.EqualFold(q.Result, e.Code):
		return false
	}
	for _, name := range caller {
		if q.Caller == "" || name != "" && strings.EqualFold(name, q.Caller) {
			return true
		}
	}
	return false
}
