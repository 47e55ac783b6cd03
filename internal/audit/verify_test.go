package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"coffer/internal/audit"
)

// sample is a log of a few runs: a start, a torn line, a restart, a new file.
func sample(t testing.TB) []byte {
	t.Helper()
	sink := &flaky{part: 50}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 3)
	sink.fail = true
	if log.Append(context.Background(), audit.Event{Operation: "Torn"}, false) == nil {
		t.Fatal("no failure")
	}
	sink.fail = false
	appendN(t, log, 2)
	if log, err = audit.Open(config(sink, log.Head())); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 2)
	return sink.text
}

func TestEveryChangeIsFound(t *testing.T) {
	text := sample(t)
	if report, err := audit.Verify(bytes.NewReader(text), key); err != nil || report.Torn != 1 || report.Lines != 10 {
		t.Fatalf("%+v, %v", report, err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	const torn = 4            // the index of the torn line,
	line := func(i int) int { // which is at fault when the line that names it does not
		if i == torn+1 {
			return torn + 1
		}
		return i + 1
	}
	join := func(parts ...[][]byte) []byte {
		var out []byte
		for _, part := range parts {
			out = append(out, bytes.Join(part, nil)...)
		}
		return out
	}
	check := func(name string, text []byte, line int) {
		t.Helper()
		_, err := audit.Verify(bytes.NewReader(text), key)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d:", line)) {
			t.Errorf("%s: %v, want line %d", name, err, line)
		}
	}
	for i := range lines {
		one := lines[i : i+1]
		altered := bytes.Replace(lines[i], []byte(`e`), []byte(`E`), 1)
		check(fmt.Sprintf("altered %d", i), join(lines[:i], [][]byte{altered}, lines[i+1:]), line(i))
		if i < len(lines)-1 {
			removed := line(i)
			if i == torn-1 { // what is torn is in its place: the gap shows behind it
				removed = torn + 1
			}
			check(fmt.Sprintf("removed %d", i), join(lines[:i], lines[i+1:]), removed)
			check(fmt.Sprintf("swapped %d", i), join(lines[:i], lines[i+1:i+2], one, lines[i+2:]), line(i))
		}
		check(fmt.Sprintf("repeated %d", i), join(lines[:i+1], one, lines[i+1:]), i+2-map[bool]int{true: 1}[i == torn])
		check(fmt.Sprintf("junk before %d", i), join(lines[:i], [][]byte{[]byte("junk\n")}, lines[i:]), line(i))
		check(fmt.Sprintf("empty line before %d", i), join(lines[:i], [][]byte{[]byte("\n")}, lines[i:]), line(i))
	}
	check("junk at the end", append(bytes.Clone(text), "junk\n"...), len(lines)+1)
	check("altered end and a torn piece", append(bytes.Replace(text, lines[len(lines)-1], bytes.Replace(lines[len(lines)-1], []byte("e"), []byte("E"), 1), 1), "{"...), len(lines))
	check("a part of it", join(lines[2:]), 1)
	if _, err := audit.Verify(bytes.NewReader(text), bytes.Repeat([]byte{8}, 32)); err == nil {
		t.Error("verified with another key")
	}
}

func TestLinesOfAnotherNode(t *testing.T) {
	one, two := &flaky{}, &flaky{}
	for node, sink := range map[string]*flaky{"n1": one, "n2": two} {
		log, err := audit.Open(audit.Config{Sink: sink, Key: key, Head: audit.Head{Node: node}, Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		appendN(t, log, 1)
	}
	if _, err := audit.Verify(bytes.NewReader(append(one.text, two.text...)), key); err == nil || !strings.Contains(err.Error(), "line 3: the line is of node") {
		t.Errorf("%v", err)
	}
}

func TestVerifyNothing(t *testing.T) {
	if report, err := audit.Verify(strings.NewReader(""), key); err != nil || report.Lines != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := audit.Verify(strings.NewReader(`{"time":`), key); err != nil || report.Tail != 8 {
		t.Errorf("%+v, %v", report, err)
	}
	broken := errors.New("broken")
	in := io.MultiReader(bytes.NewReader(sample(t)), failing{broken})
	if _, err := audit.Verify(in, key); !errors.Is(err, broken) {
		t.Errorf("a log that cannot be read verified: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzVerify checks that whatever verifies, but for a torn end, is a part of a log that
// was really written.
func FuzzVerify(f *testing.F) {
	text := sample(f)
	f.Add(text)
	f.Add(text[:len(text)-7])
	f.Add(bytes.Replace(text, []byte(`"torn":{"bytes":`), []byte(`"torn":{"bytes":1`), 1))
	f.Add(bytes.Replace(text, []byte("CertificateGet"), []byte("CertificatePut"), 1))
	f.Add(text[bytes.LastIndex(text, []byte(`{"time":"2026-01-05T12:00:00.0012345Z","resourceId":"","operationName":"AuditLogOpened"`)):])
	f.Add([]byte(`{"chain":{"node":"n1","sequence":1,"mac":"` + strings.Repeat("0", 64) + `"}}` + "\n"))
	mac := bytes.LastIndex(text, []byte(`"mac":"`))
	f.Add(append(bytes.Clone(text[:mac]), bytes.Replace(bytes.ToUpper(text[mac:]), []byte("MAC"), []byte("mac"), 1)...))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"chain":{"torn":null,"previous":"zz","mac":""}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := audit.Verify(bytes.NewReader(text), key)
		if report.Lines < 0 || report.Tail < 0 || report.Tail > int64(len(text)) {
			t.Fatalf("%+v", report)
		}
		if verified := text[:int64(len(text))-report.Tail]; err == nil && !bytes.Contains(sample(t), verified) {
			t.Fatalf("verified, and was never written:\n%s", verified)
		}
	})
}

// FuzzOpen checks that whatever a log's end is, opening it either refuses and writes
// nothing, or keeps it and goes on with a chain that can be followed from its own line.
func FuzzOpen(f *testing.F) {
	text := sample(f)
	f.Add(text, []byte(`{"time":`))
	f.Add(text[:len(text)-1], []byte("\x00\x00\n\x00"))
	f.Add([]byte{}, text[100:])
	f.Fuzz(func(t *testing.T, begin, end []byte) {
		before := append(bytes.Clone(begin), end...)
		sink := &flaky{text: bytes.Clone(before)}
		log, err := audit.Open(config(sink, audit.Head{}))
		if !bytes.HasPrefix(sink.text, before) || err != nil && len(sink.text) != len(before) {
			t.Fatalf("what was there was changed: %v", err)
		}
		if err != nil {
			return
		}
		appendN(t, log, 1)
		again, err := audit.Open(config(sink, log.Head()))
		if err != nil || again.Head().Sequence != log.Head().Sequence+1 {
			t.Fatalf("it does not open again: %v", err)
		}
	})
}
