package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
)

var key = bytes.Repeat([]byte{7}, 32)

// noon is when every line of these tests is written.
func noon() time.Time { return time.Date(2026, 1, 5, 12, 0, 0, 1234567, time.UTC) }

func config(sink audit.Sink, head audit.Head) audit.Config {
	head.Node = "n1"
	return audit.Config{Sink: sink, Key: key, Head: head, Now: noon}
}

func open(t testing.TB, path string, head audit.Head) *audit.Log {
	t.Helper()
	sink, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(config(sink, head))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func appendN(t testing.TB, log *audit.Log, n int) {
	t.Helper()
	for range n {
		e := audit.Event{Operation: "CertificateGet", Phase: audit.PhaseDecision, Allowed: true, Outcome: audit.OutcomeOK, ObjectID: "o"}
		if err := log.Append(context.Background(), e, false); err != nil {
			t.Fatal(err)
		}
	}
}

func logged(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verify(t testing.TB, path string) (audit.Report, error) {
	t.Helper()
	return audit.Verify(bytes.NewReader(logged(t, path)), key)
}

func shut(t testing.TB, log *audit.Log) audit.Head {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return log.Head()
}

// last decodes the last line.
func last(t testing.TB, text []byte) map[string]any {
	t.Helper()
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	var out map[string]any
	if err := json.Unmarshal(lines[len(lines)-1], &out); err != nil {
		t.Fatalf("%v: %s", err, lines[len(lines)-1])
	}
	return out
}

func TestLineHasTheServicesForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	if err := log.Append(context.Background(), audit.Event{
		ResourceID: "/vault", Operation: "CertificateDelete", OperationID: "OP", Phase: audit.PhaseResult, Allowed: true, Outcome: "CertificateNotFound",
		Duration: 78 * time.Millisecond, TenantID: "t", ObjectID: "o", AppID: "a", Address: "192.0.2.7", RequestID: "r", CorrelationID: "c",
		ClientInfo: "azsdk", URI: "https://v/certificates/x", Object: "https://v/certificates/x", Detail: "d", Count: 3,
	}, true); err != nil {
		t.Fatal(err)
	}
	shut(t, log)
	line := last(t, logged(t, path))
	chain := line["chain"].(map[string]any)
	if mac, _ := chain["mac"].(string); len(mac) != 64 {
		t.Errorf("mac %q", mac)
	}
	delete(chain, "mac")
	got, _ := json.Marshal(line)
	const want = `{"callerIpAddress":"192.0.2.7","category":"AuditEvent","chain":{"node":"n1","sequence":2},"correlationId":"c","durationMs":"78",` +
		`"identity":{"claim":{"appid":"a","oid":"o","tid":"t"}},"operationName":"CertificateDelete",` +
		`"properties":{"clientInfo":"azsdk","count":3,"id":"https://v/certificates/x","operationId":"OP","phase":"result","requestId":"r","requestUri":"https://v/certificates/x"},` +
		`"resourceId":"/vault","resultDescription":"d","resultSignature":"CertificateNotFound","resultType":"Failure","time":"2026-01-05T12:00:00.0012345Z"}`
	if string(got) != want {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}
}

func TestResultTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	for _, test := range []struct {
		event audit.Event
		want  string
	}{
		{audit.Event{Phase: audit.PhaseDecision, Allowed: true, Outcome: audit.OutcomeOK}, "Success"},
		{audit.Event{Phase: audit.PhaseDecision, Allowed: true, Outcome: "X"}, "Failure"},
		{audit.Event{Phase: audit.PhaseDecision, Outcome: "ForbiddenByPolicy"}, "Denied"},
		{audit.Event{Phase: audit.PhaseDecision, Outcome: audit.OutcomeOK}, "Denied"},
		{audit.Event{Phase: audit.PhaseIntent, Allowed: true, Outcome: audit.OutcomeOK}, "Started"},
		{audit.Event{Phase: audit.PhaseResult, Allowed: true, Outcome: audit.OutcomeOK}, "Success"},
	} {
		if err := log.Append(context.Background(), test.event, false); err != nil {
			t.Fatal(err)
		}
		if got := last(t, logged(t, path))["resultType"]; got != test.want {
			t.Errorf("%+v: %v, want %s", test.event, got, test.want)
		}
	}
	shut(t, log)
}

// The worst that requests can put into a line: every byte is escaped to six, and what
// looks like the end of a line is none.
func TestTextsAreBoundedAndEscaped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	for _, evil := range []string{strings.Repeat("\x01", 1<<20), strings.Repeat("\xff<", 1<<19), strings.Repeat(`,"mac":"`+strings.Repeat("0", 64)+"\"}}\n", 1000), strings.Repeat("é", 1<<19)} {
		e := audit.Event{
			ResourceID: evil, Operation: evil, OperationID: evil, Phase: evil, Outcome: evil, TenantID: evil, ObjectID: evil, AppID: evil, System: evil,
			Address: evil, RequestID: evil, CorrelationID: evil, ClientInfo: evil, URI: evil, Object: evil, Detail: evil,
		}
		if err := log.Append(context.Background(), e, false); err != nil {
			t.Fatal(err)
		}
	}
	head := shut(t, log)
	report, err := verify(t, path)
	if err != nil || report.Lines != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, line := range bytes.Split(logged(t, path), []byte("\n")) {
		if len(line) > 48<<10 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if id := last(t, logged(t, path))["properties"].(map[string]any)["id"].(string); !strings.HasSuffix(id, "é…") {
		t.Errorf("it does not show that it was cut: %q", id)
	}
	shut(t, open(t, path, head)) // and the log opens behind such lines
}

func TestChainAcrossReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 3)
	head := shut(t, log)
	log = open(t, path, head)
	appendN(t, log, 2)
	shut(t, log)
	log = open(t, path, audit.Head{}) // a head that was never kept: the log is ahead of it
	appendN(t, log, 1)
	shut(t, log)
	report, err := verify(t, path)
	if err != nil || report.Lines != 9 || report.First != 1 || report.Head.Sequence != 9 || !bytes.Equal(report.Head.MAC, log.Head().MAC) {
		t.Fatalf("%+v, %v", report, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if bytes.Contains(logged(t, path), []byte("LinesMissing")) {
		t.Error("nothing is missing")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	log := open(t, path, audit.Head{})
	appendN(t, log, 2)
	shut(t, log)
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, []byte("listen: 443\ndomain: example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path   string
		change func(*audit.Config)
		want   error
	}{
		"short key":     {path, func(c *audit.Config) { c.Key = key[:31] }, nil},
		"no node":       {path, func(c *audit.Config) { c.Head.Node = "" }, nil},
		"long node":     {path, func(c *audit.Config) { c.Head.Node = strings.Repeat("n", 65) }, nil},
		"head, no MAC":  {path, func(c *audit.Config) { c.Head.Sequence = 2 }, nil},
		"MAC, no head":  {path, func(c *audit.Config) { c.Head.MAC = key }, nil},
		"another key":   {path, func(c *audit.Config) { c.Key = bytes.Repeat([]byte{8}, 32) }, audit.ErrBroken},
		"another node":  {path, func(c *audit.Config) { c.Head.Node = "n2" }, audit.ErrNode},
		"no log at all": {foreign, func(*audit.Config) {}, audit.ErrBroken},
	} {
		sink, err := audit.OpenFile(test.path)
		if err != nil {
			t.Fatal(err)
		}
		before := logged(t, test.path)
		c := config(sink, audit.Head{})
		test.change(&c)
		if _, err := audit.Open(c); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, logged(t, test.path)) {
			t.Errorf("%s: the file was changed", name)
		}
		_ = sink.Close()
	}
	if _, err := audit.OpenFile(dir); err == nil {
		t.Error("opened a directory")
	}
	if _, err := audit.OpenFile(os.DevNull); err == nil {
		t.Error("opened what keeps nothing as if it were a file")
	}
}

func TestDiscardMakesNoLines(t *testing.T) {
	c := config(audit.Discard{}, audit.Head{})
	c.Now = nil // would be called for a line
	log, err := audit.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, log, 3)
	if head, err := log.Settle(); err != nil || head.Sequence != 0 {
		t.Errorf("%+v, %v", head, err)
	}
	shut(t, log)
}

func TestConcurrentDurableAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if err := log.Append(context.Background(), audit.Event{Operation: "X"}, true); err != nil {
					t.Error(err)
				}
				if _, err := log.Settle(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	shut(t, log)
	if report, err := verify(t, path); err != nil || report.Lines != 161 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestClosedLog(t *testing.T) {
	log := open(t, filepath.Join(t.TempDir(), "audit.log"), audit.Head{})
	shut(t, log)
	shut(t, log)
	if err := log.Append(context.Background(), audit.Event{}, false); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
	if _, err := log.Settle(); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
}

func TestEndedContextWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, path, audit.Head{})
	defer shut(t, log)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := log.Append(ctx, audit.Event{}, true); !errors.Is(err, context.Canceled) || log.Head().Sequence != 1 {
		t.Errorf("%v, %d lines", err, log.Head().Sequence)
	}
}

func BenchmarkAppend(b *testing.B) {
	e := audit.Event{
		ResourceID: "/subscriptions/0/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/demo", Operation: "CertificateGet",
		Phase: audit.PhaseDecision, Allowed: true, Outcome: audit.OutcomeOK, Duration: time.Millisecond,
		TenantID: "0a1b2c3d-0000-4000-8000-000000000001", ObjectID: "0a1b2c3d-0000-4000-8000-000000000002", AppID: "0a1b2c3d-0000-4000-8000-000000000003",
		Address: "127.0.0.1", RequestID: "0a1b2c3d-0000-4000-8000-000000000004", CorrelationID: "0a1b2c3d-0000-4000-8000-000000000005",
		ClientInfo: "azsdk-go-azcertificates/v1.4.0 (go1.26; linux)", URI: "https://demo.vault.azure.net/certificates/web?api-version=",
		Object: "https://demo.vault.azure.net/certificates/web",
	}
	for _, durable := range []bool{false, true} {
		b.Run(fmt.Sprintf("durable=%v", durable), func(b *testing.B) {
			log := open(b, filepath.Join(b.TempDir(), "audit.log"), audit.Head{})
			b.ReportAllocs()
			for b.Loop() {
				if err := log.Append(context.Background(), e, durable); err != nil {
					b.Fatal(err)
				}
			}
			shut(b, log)
		})
	}
}
