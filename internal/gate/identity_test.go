package gate_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
)

var origin = access.Origin{Address: netip.MustParseAddr("192.0.2.7"), RequestID: "r", CorrelationID: "c", ClientInfo: "ua", URI: "https://v/x"}

func TestSignInLine(t *testing.T) {
	for _, test := range []struct{ outcome, result, signature string }{
		{"OK", "Success", "OK"},
		{"invalid_client", "Denied", "invalid_client"},
		{"", "Denied", "InternalError"},
		{"a text with a canary", "Denied", "InternalError"},
	} {
		w := newWorld(t)
		if err := w.SignIn(context.Background(), origin, gate.SignIn{TenantID: "t", AppID: "a", ObjectID: "o", Resource: "https://vault.azure.net", Outcome: test.outcome}); err != nil {
			t.Fatal(err)
		}
		lines := w.sink.lines(t, "SignIn")
		if len(lines) != 1 {
			t.Fatalf("%+v", lines)
		}
		l := lines[0]
		if l.ResultType != test.result || l.ResultSignature != test.signature || l.Identity.Claim.OID != "o" || l.Identity.Claim.AppID != "a" ||
			l.Properties.ID != "https://vault.azure.net" || l.CallerIPAddress != "192.0.2.7" || l.Properties.RequestID != "r" {
			t.Errorf("%q: %+v", test.outcome, l)
		}
	}
}

func TestSignInThatCannotBeWritten(t *testing.T) {
	for _, outcome := range []string{"OK", "invalid_client"} {
		w := newWorld(t)
		w.sink.failing(always("decision", false))
		if err := w.SignIn(context.Background(), origin, gate.SignIn{Outcome: outcome}); !errors.Is(err, gate.ErrAudit) {
			t.Errorf("%s: %v", outcome, err)
		}
	}
}

// counted sums up how many events the lines of an operation stand for.
func counted(t *testing.T, w *world, operation string) (lines, events int) {
	t.Helper()
	for _, l := range w.sink.lines(t, operation) {
		if l.ResultType != "Denied" {
			t.Errorf("%+v", l)
		}
		lines, events = lines+1, events+max(1, l.Properties.Count)
	}
	return lines, events
}

func TestFloodsAreBoundedAndCounted(t *testing.T) {
	for operation, test := range map[string]struct {
		max  int
		send func(*world)
	}{
		"Authentication": {10, func(w *world) { w.Rejected(context.Background(), origin, "Expired") }},
		"SignIn": {20, func(w *world) {
			if err := w.SignIn(context.Background(), origin, gate.SignIn{Outcome: "invalid_client"}); err != nil {
				w.t.Error(err)
			}
		}},
	} {
		t.Run(operation, func(t *testing.T) {
			w := newWorld(t)
			send := func(n int) {
				for range n {
					test.send(w)
				}
			}
			check := func(lines, events int) {
				t.Helper()
				if l, e := counted(t, w, operation); l != lines || e != events {
					t.Errorf("%d lines for %d, want %d for %d", l, e, lines, events)
				}
			}
			send(1000)
			w.Tend()
			check(test.max+1, 1000)
			w.Tend() // nothing is left
			check(test.max+1, 1000)
			w.pass(time.Second)
			send(3)
			check(test.max+4, 1003)
			send(1000)
			if err := w.Close(); err != nil { // the end of the server is no way out
				t.Fatal(err)
			}
			check(2*test.max+2, 2003)
		})
	}
}

func TestTokensThatAreGivenOutAreNotBounded(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		if err := w.SignIn(context.Background(), origin, gate.SignIn{Outcome: "OK"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.sink.lines(t, "SignIn")); n != 100 {
		t.Errorf("%d lines for 100 tokens", n)
	}
}

func TestRejectionsAreCountedWhileTheLogFails(t *testing.T) {
	w := newWorld(t)
	w.sink.failing(always("", false))
	for range 5 {
		w.Rejected(context.Background(), origin, "Expired")
	}
	w.Tend()
	w.sink.failing(nil)
	w.pass(time.Second)
	shutGate(t, w)
	for range 4 {
		w.Rejected(context.Background(), origin, "Expired")
	}
	w.Tend()
	w.sink.failing(nil)
	w.pass(time.Second)
	if err := w.Read(context.Background(), request("get"), nothing); err != nil {
		t.Fatal(err)
	}
	w.Tend()
	if lines, events := counted(t, w, "Authentication"); lines != 1 || events != 9 {
		t.Errorf("%d lines for %d rejections, want one for nine", lines, events)
	}
	w.verify(w.sink)
}
