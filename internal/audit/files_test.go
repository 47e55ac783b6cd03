package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/audit"
)

// rotated is a log in several files, and its end.
func rotated(t testing.TB, files, keep int) (string, audit.Head) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	sink, err := audit.OpenRotating(path, audit.Rotation{MaxSize: 2000, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	for range files {
		appendN(t, log, 5)
		if _, err := log.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	appendN(t, log, 1)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return path, log.Head()
}

func sources(t testing.TB, paths ...string) []audit.Source {
	t.Helper()
	var out []audit.Source
	for _, path := range paths {
		out = append(out, audit.Source{Name: filepath.Base(path), Text: bytes.NewReader(logged(t, path))})
	}
	return out
}

func TestChainGoesOnAcrossFiles(t *testing.T) {
	path, head := rotated(t, 4, 0)
	old, err := audit.PutAway(path)
	if err != nil || len(old) != 4 || old[0] != path+".000001" {
		t.Fatalf("%v, %v", old, err)
	}
	reports, err := audit.VerifyFiles(sources(t, append([]string{path}, old...)...), key, []audit.Head{head})
	if err != nil || len(reports) != 5 || reports[0].Name != "audit.log.000001" || reports[4].Name != "audit.log" {
		t.Fatalf("%+v, %v", reports, err)
	}
	sum := 0
	for _, r := range reports {
		sum += r.Lines
	}
	if uint64(sum) != head.Sequence {
		t.Errorf("%d lines verified of %d", sum, head.Sequence)
	}
}

// Old files are removed, and what is left verifies.
func TestOldFilesExpire(t *testing.T) {
	path, head := rotated(t, 5, 2)
	old, err := audit.PutAway(path)
	if err != nil || len(old) != 2 || old[1] != path+".000005" {
		t.Fatalf("%v, %v", old, err)
	}
	reports, err := audit.VerifyFiles(sources(t, append(old, path)...), key, []audit.Head{head})
	if err != nil || reports[0].First <= 1 {
		t.Errorf("%+v, %v", reports, err)
	}
	// A file that somebody put there, whose number is not one of ours, is left alone.
	if err := os.WriteFile(path+".1", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := audit.PutAway(path); err != nil || len(again) != 2 {
		t.Errorf("%v, %v", again, err)
	}
}

func TestChangesAcrossFilesAreFound(t *testing.T) {
	path, head := rotated(t, 3, 0)
	old, err := audit.PutAway(path)
	if err != nil {
		t.Fatal(err)
	}
	all := append(old, path)
	heads := []audit.Head{head}
	edit := func(at int, change func([]byte) []byte) []audit.Source {
		out := sources(t, all...)
		out[at].Text = bytes.NewReader(change(logged(t, all[at])))
		return out
	}
	cutEnd := func(text []byte) []byte {
		text = bytes.TrimSuffix(text, []byte("\n"))
		return text[:bytes.LastIndexByte(text, '\n')+1]
	}
	cutBegin := func(text []byte) []byte { return text[bytes.IndexByte(text, '\n')+1:] }
	other := head
	other.MAC = bytes.Repeat([]byte{1}, 32)
	for _, c := range []struct {
		name  string
		files []audit.Source
		heads []audit.Head
		says  string
	}{
		{"a file is missing", append(sources(t, all[:1]...), sources(t, all[2:]...)...), heads, "the lines between are missing"},
		{"the last file is missing", sources(t, all[:3]...), heads, "lines are missing at the end"},
		{"a file twice", append(sources(t, all...), sources(t, all[1])...), heads, "twice"},
		{"the end of a file is cut", edit(1, cutEnd), heads, "the lines between are missing"},
		{"the begin of a file is cut", edit(1, cutBegin), heads, "line 1:"},
		{"the end of all is cut", edit(3, cutEnd), heads, "lines are missing at the end"},
		{"a line is altered", edit(2, func(b []byte) []byte { return bytes.Replace(b, []byte("CertificateGet"), []byte("CertificatePut"), 1) }), heads, "altered"},
		{"the store has kept another line", sources(t, all...), []audit.Head{other}, "than the one that the store has kept"},
	} {
		if _, err := audit.VerifyFiles(c.files, key, c.heads); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The directory of the log vanishes while it is written: nothing is durable until it is
// there again, and then the chain goes on in a new file.
func TestDirectoryVanishes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 2)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Settle(); err == nil {
		t.Fatal("a log without a directory settled")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Settle(); err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 1)
	report, err := audit.Verify(bytes.NewReader(logged(t, path)), key)
	if err != nil || report.First != 4 || report.Lines != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestSearch(t *testing.T) {
	sink := &flaky{part: 50}
	log, err := audit.Open(config(sink, audit.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	write := func(e audit.Event) {
		e.Phase, e.ResourceID = audit.PhaseDecision, "/subscriptions/s/vaults/Demo"
		if err := log.Append(context.Background(), e, false); err != nil {
			t.Fatal(err)
		}
	}
	write(audit.Event{Operation: "SecretGet", Allowed: true, Outcome: "OK", AppID: "app", ObjectID: "oid", Object: "https://demo.vault/secrets/one"})
	write(audit.Event{Operation: "SecretSet", Allowed: true, Outcome: "Conflict", ObjectID: "other", Object: "https://demo.vault/secrets/two"})
	sink.fail = true
	_ = log.Append(context.Background(), audit.Event{Operation: "Torn"}, false)
	sink.fail = false
	write(audit.Event{Operation: "KeySign", Allowed: false, Outcome: "AccessDenied", AppID: "app", Object: "https://demo.vault/keys/one"})
	text := append(bytes.Clone(sink.text), strings.Repeat("x", 100<<10)+"\n\n{}\nlast"...)
	for _, c := range []struct {
		q    audit.Query
		want string
	}{
		{audit.Query{Caller: "APP"}, "SecretGet KeySign"},
		{audit.Query{Caller: "oid"}, "SecretGet"},
		{audit.Query{Caller: "audit"}, "AuditLogOpened AuditLogResumed"},
		{audit.Query{Caller: "nobody"}, ""},
		{audit.Query{Object: "/SECRETS/"}, "SecretGet SecretSet"},
		{audit.Query{Operation: "secret*"}, "SecretGet SecretSet"},
		{audit.Query{Operation: "secret"}, ""},
		{audit.Query{Operation: "keysign"}, "KeySign"},
		{audit.Query{Result: "denied"}, "KeySign"},
		{audit.Query{Result: "conflict"}, "SecretSet"},
		{audit.Query{Result: "success", Object: "one"}, "SecretGet"},
		{audit.Query{Since: noon().Truncate(time.Second), Object: "one"}, "SecretGet KeySign"},
		{audit.Query{Until: noon().Truncate(time.Second)}, ""},
	} {
		var got []string
		odd, err := audit.Search(bytes.NewReader(text), c.q, func(e audit.Entry) error { got = append(got, e.Operation); return nil })
		if err != nil || odd != 4 || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, %d odd, %v", c.q, got, odd, err)
		}
	}
	stop := fmt.Errorf("enough")
	if _, err := audit.Search(bytes.NewReader(text), audit.Query{}, func(audit.Entry) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
}
