package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
)

func TestWhoIsLetThrough(t *testing.T) {
	allow := request("get")
	for name, test := range map[string]struct {
		change func(*gate.Request)
		ok     bool
	}{
		"granted":             {func(*gate.Request) {}, true},
		"all":                 {func(r *gate.Request) { r.Subject.Rules = request("all").Subject.Rules }, true},
		"another verb":        {func(r *gate.Request) { r.Operation.Permission.Verb = "list" }, false},
		"another collection":  {func(r *gate.Request) { r.Operation.Permission.Collection = "secrets" }, false},
		"no permission named": {func(r *gate.Request) { r.Operation.Permission = access.Permission{} }, false},
		"another principal":   {func(r *gate.Request) { r.Caller.ObjectID = "p" }, false},
		"another tenant":      {func(r *gate.Request) { r.Caller.TenantID = "u" }, false},
		"no rules":            {func(r *gate.Request) { r.Subject.Rules = access.Rules{} }, false},
		"nobody":              {func(r *gate.Request) { r.Caller = access.Caller{} }, false},
	} {
		for _, way := range []string{"Read", "Write"} {
			t.Run(way+" "+name, func(t *testing.T) {
				w := newWorld(t)
				r := allow
				test.change(&r)
				ran := false
				err := w.calls()[way](context.Background(), r, func(seal.Grant) error { ran = true; return nil })
				if ran != test.ok || test.ok != (err == nil) {
					t.Fatalf("ran %v, %v", ran, err)
				}
				if test.ok {
					return
				}
				var denied *gate.Denied
				if !errors.As(err, &denied) || denied.Decision.Reason != access.ForbiddenByPolicy || denied.Request.Caller.ObjectID != r.Caller.ObjectID {
					t.Errorf("%v", err)
				}
				lines := w.sink.lines(t, "CertificateGet")
				if len(lines) != 1 || lines[0].ResultType != "Denied" || lines[0].ResultSignature != "ForbiddenByPolicy" || lines[0].Properties.Phase != "decision" {
					t.Errorf("%+v", lines)
				}
			})
		}
	}
}

func TestOrderOfTheSteps(t *testing.T) {
	for name, want := range map[string]string{
		"Read": "fn decision return", "Write": "intent sync fn result sync return", "System": "intent sync fn result sync return",
	} {
		w := newWorld(t)
		w.Tend() // the line of the opening is on the disk
		n := w.sink.traced()
		err := w.calls()[name](context.Background(), request("get"), func(seal.Grant) error { w.sink.note("fn"); return nil })
		w.sink.note("return")
		if got := w.sink.steps(n); err != nil || got != want {
			t.Errorf("%s: %s, want %s; %v", name, got, want, err)
		}
	}
}

func TestGrants(t *testing.T) {
	w := newWorld(t)
	var box []byte
	try := func(way string) (sealed, opened error) {
		if err := w.calls()[way](context.Background(), request("get"), func(g seal.Grant) error {
			made, err := w.ring.Seal(g, place, []byte("x"))
			if sealed = err; err == nil {
				box = made
			}
			_, _, opened = w.ring.Open(g, place, box)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return sealed, opened
	}
	for _, test := range []struct {
		way   string
		seals bool
	}{{"Write", true}, {"System", true}, {"Read", false}} {
		sealed, opened := try(test.way)
		if opened != nil || test.seals != (sealed == nil) || !test.seals && !errors.Is(sealed, seal.ErrNoGrant) {
			t.Errorf("%s: seals %v, opens %v", test.way, sealed, opened)
		}
	}
	if _, _, err := w.ring.Open(w.Inputs(), place, box); !errors.Is(err, seal.ErrNoGrant) {
		t.Errorf("the grant of decision inputs opened a secret: %v", err)
	}
	for _, kind := range []string{"vault", "principal", "application", "signing-key", "tenant"} {
		if _, _, err := w.ring.Open(w.Inputs(), seal.Place{Purpose: seal.PurposeRecord, Kind: kind}, box); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%s is no input: %v", kind, err)
		}
		if _, err := w.ring.Seal(w.Inputs(), seal.Place{Purpose: seal.PurposeRecord, Kind: kind}, nil); !errors.Is(err, seal.ErrNoGrant) {
			t.Errorf("the grant of decision inputs sealed a %s: %v", kind, err)
		}
	}
}

// The sink fails at every step of every way, and either loses the line or keeps it and
// says that it did not.
func TestSinkFailsAtEveryStep(t *testing.T) {
	for _, test := range []struct {
		way, step string // "sync 2" is the second sync of the call
		ran       bool
		want      error
		shut      bool
	}{
		{"Read", "decision", true, gate.ErrAudit, false},
		{"Write", "intent", false, gate.ErrAudit, false},
		{"Write", "sync 1", false, gate.ErrAudit, false},
		{"Write", "result", true, gate.ErrAuditAfter, true},
		{"Write", "sync 2", true, gate.ErrAuditAfter, true},
		{"System", "intent", false, gate.ErrAudit, false},
		{"System", "sync 1", false, gate.ErrAudit, false},
		{"System", "result", true, gate.ErrAuditAfter, true},
		{"System", "sync 2", true, gate.ErrAuditAfter, true},
	} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s keep %v", test.way, test.step, keep), func(t *testing.T) {
				w := newWorld(t)
				w.Tend()
				ran := false
				step, second := test.step, test.step == "sync 2"
				step, _, _ = strings.Cut(step, " ")
				w.sink.failing(func(at string) (bool, error) {
					return keep && at == step, map[bool]error{true: errDisk}[at == step && (!second || ran)]
				})
				err := w.calls()[test.way](context.Background(), request("get"), func(seal.Grant) error { ran = true; return nil })
				if ran != test.ran || !errors.Is(err, test.want) {
					t.Errorf("ran %v, %v", ran, err)
				}
				w.sink.failing(always("", false))
				for name, call := range w.calls() {
					ran := false
					err := call(context.Background(), request("get"), func(seal.Grant) error { ran = true; return nil })
					if !errors.Is(err, gate.ErrAudit) || ran && (test.shut || name != "Read") {
						t.Errorf("then %s: ran %v, %v", name, ran, err)
					}
				}
				w.sink.failing(nil)
				w.pass(time.Second)
				for name, call := range w.calls() {
					if err := call(context.Background(), request("get"), nothing); err != nil {
						t.Errorf("the log works again, %s does not: %v", name, err)
					}
				}
				w.verify(w.sink)
			})
		}
	}
}

// What the work of a Write said is not taken for its answer when its result is lost.
func TestLostResultHidesTheWorksOwnError(t *testing.T) {
	w := newWorld(t)
	w.sink.failing(always("result", false))
	err := w.Write(context.Background(), request("get"), func(seal.Grant) error { return coded("Conflict") })
	var c coded
	if !errors.Is(err, gate.ErrAuditAfter) || errors.As(err, &c) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(w.loud.String(), "outcome=Conflict") {
		t.Errorf("the server's log does not have the outcome: %s", w.loud)
	}
}

func TestRefusalThatCannotBeWritten(t *testing.T) {
	for _, way := range []string{"Read", "Write"} {
		w := newWorld(t)
		w.sink.failing(always("decision", false))
		err := w.calls()[way](context.Background(), request("list"), func(seal.Grant) error { t.Error("ran"); return nil })
		var denied *gate.Denied
		if !errors.Is(err, gate.ErrAudit) || errors.As(err, &denied) {
			t.Errorf("%s: %v", way, err)
		}
	}
}

// shutGate loses the result of a Write.
func shutGate(t *testing.T, w *world) {
	t.Helper()
	w.sink.failing(always("result", false))
	if err := w.Write(context.Background(), request("get"), nothing); !errors.Is(err, gate.ErrAuditAfter) {
		t.Fatal(err)
	}
	w.sink.failing(always("", false))
}

func TestShutGateTriesOnceASecond(t *testing.T) {
	w := newWorld(t)
	shutGate(t, w)
	n := w.sink.traced()
	ask := func() error {
		return w.Read(context.Background(), request("get"), func(seal.Grant) error { t.Error("ran"); return nil })
	}
	for range 50 {
		if err := ask(); !errors.Is(err, gate.ErrAudit) {
			t.Error(err)
		}
	}
	if got := w.sink.traced() - n; got != 1 {
		t.Errorf("%d tries at once", got)
	}
	w.pass(999 * time.Millisecond)
	_ = ask()
	w.pass(time.Millisecond)
	_ = ask()
	_ = ask()
	if got := w.sink.traced() - n; got != 2 {
		t.Errorf("%d tries in a second", got)
	}
	w.sink.failing(nil)
	if err := ask(); !errors.Is(err, gate.ErrAudit) {
		t.Errorf("opened too early: %v", err)
	}
	w.pass(-time.Hour) // a clock that was set back does not keep the gate shut
	if err := w.Read(context.Background(), request("get"), nothing); err != nil {
		t.Error(err)
	}
	if lines := w.sink.lines(t, "AuditLogRecovered"); len(lines) != 1 {
		t.Errorf("%d lines say that the log works again", len(lines))
	}
	w.verify(w.sink)
}

func TestNobodyWaitsForTheTry(t *testing.T) {
	w := newWorld(t)
	shutGate(t, w)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.sink.failing(func(step string) (bool, error) {
		if step == "decision" {
			once.Do(func() { close(entered); <-release })
		}
		return false, nil
	})
	first := make(chan error)
	go func() { first <- w.Read(context.Background(), request("get"), nothing) }()
	<-entered
	if err := w.Read(context.Background(), request("get"), nothing); !errors.Is(err, gate.ErrAudit) {
		t.Errorf("%v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestShutGateDoesNothing(t *testing.T) {
	w := newWorld(t)
	shutGate(t, w)
	_ = w.Read(context.Background(), request("get"), nothing) // tries, in vain
	w.sink.failing(nil)                                       // works again, and nobody knows yet
	n := w.sink.traced()
	for name, call := range w.calls() {
		if err := call(context.Background(), request("get"), func(seal.Grant) error { t.Error("ran"); return nil }); !errors.Is(err, gate.ErrAudit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.SignIn(context.Background(), access.Origin{}, gate.SignIn{Outcome: "OK"}); !errors.Is(err, gate.ErrAudit) {
		t.Errorf("a token would be given out: %v", err)
	}
	if got := w.sink.steps(n); got != "" {
		t.Errorf("lines of a shut gate: %s", got)
	}
}

func TestPanicGetsItsLine(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("canary-of-a-panic") }, "exit": runtime.Goexit} {
		for _, way := range []string{"Read", "Write", "System"} {
			t.Run(name+" "+way, func(t *testing.T) {
				w := newWorld(t)
				var recovered any
				var group sync.WaitGroup
				group.Go(func() {
					defer func() { recovered = recover() }()
					_ = w.calls()[way](context.Background(), request("get"), func(seal.Grant) error { end(); return nil })
					t.Error("went on")
				})
				group.Wait()
				if want := map[string]any{"panic": "canary-of-a-panic"}[name]; recovered != want {
					t.Errorf("recovered %v", recovered)
				}
				lines := w.sink.lines(t, "CertificateGet")
				if l := lines[len(lines)-1]; l.ResultSignature != "Panic" || l.ResultType != "Failure" || l.Properties.Phase == "intent" {
					t.Errorf("%+v", lines)
				}
				if strings.Contains(w.sink.String(), "canary") {
					t.Error("the log has the panic's text")
				}
				if err := w.Read(context.Background(), request("get"), nothing); err != nil {
					t.Errorf("the gate does not work any more: %v", err)
				}
			})
		}
	}
}

func TestPanicWhoseResultIsLostShutsTheGate(t *testing.T) {
	w := newWorld(t)
	w.sink.failing(always("result", false))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = w.Write(context.Background(), request("get"), func(seal.Grant) error { panic("x") })
	}()
	w.sink.failing(always("", false))
	if err := w.Read(context.Background(), request("get"), func(seal.Grant) error { t.Error("ran"); return nil }); !errors.Is(err, gate.ErrAudit) {
		t.Errorf("%v", err)
	}
}

// coded is an error with a code, and with a text that no log may have.
type coded string

func (c coded) Error() string     { return "canary-text" }
func (c coded) AuditCode() string { return string(c) }

func TestOutcomesAreCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, "OK"},
		{errors.New("canary-text"), "InternalError"},
		{coded("CertificateNotFound"), "CertificateNotFound"},
		{fmt.Errorf("canary-text: %w", coded("invalid_client")), "invalid_client"},
		{fmt.Errorf("canary-text: %w", context.Canceled), "Cancelled"},
		{context.DeadlineExceeded, "Cancelled"},
		{coded(""), "InternalError"},
		{coded("OK"), "InternalError"},
		{coded("canary text"), "InternalError"},
		{coded("canary\n"), "InternalError"},
		{coded("canary" + strings.Repeat("x", 64)), "InternalError"},
	} {
		for _, way := range []string{"Read", "Write", "System"} {
			w := newWorld(t)
			if err := w.calls()[way](context.Background(), request("get"), func(seal.Grant) error { return test.err }); !errors.Is(err, test.err) {
				t.Errorf("%s: %v, want the work's own error %v", way, err, test.err)
			}
			lines := w.sink.lines(t, "CertificateGet")
			l := lines[len(lines)-1]
			if l.ResultSignature != test.want || (l.ResultType == "Success") != (test.err == nil) {
				t.Errorf("%s, %q: %+v", way, test.err, l)
			}
			if strings.Contains(w.sink.String(), "canary") || strings.Contains(w.loud.String(), "canary") {
				t.Errorf("%s: the text of an error was logged: %s %s", way, w.sink, w.loud)
			}
		}
	}
}

func TestWhatALineSays(t *testing.T) {
	w := newWorld(t)
	r := request("get")
	r.Caller.Origin.Address = netip.MustParseAddr("192.0.2.7")
	if err := w.Write(context.Background(), r, func(seal.Grant) error { w.pass(78 * time.Millisecond); return nil }); err != nil {
		t.Fatal(err)
	}
	lines := w.sink.lines(t, "CertificateGet")
	if len(lines) != 2 {
		t.Fatalf("%+v", lines)
	}
	for _, l := range lines {
		if l.Identity.Claim.OID != "o" || l.Identity.Claim.AppID != "a" || l.Identity.Claim.TID != "t" || l.Identity.System != "" || l.CallerIPAddress != "192.0.2.7" || l.CorrelationID != "c" ||
			l.Properties.ID != "https://demo/certificates/x" || l.Properties.ClientInfo != "ua" || l.Properties.RequestURI != "https://v/x" || l.Properties.RequestID != "r" {
			t.Errorf("%+v", l)
		}
	}
	if lines[0].ResultType != "Started" || lines[1].ResultType != "Success" || lines[1].DurationMs != "78" {
		t.Errorf("%+v", lines)
	}
}

func TestIntentAndResultShareAnOperationID(t *testing.T) {
	w := newWorld(t)
	ids := map[string]int{}
	for _, way := range []string{"Write", "System"} {
		for range 3 {
			if err := w.calls()[way](context.Background(), request("get"), nothing); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range w.sink.lines(t, "CertificateGet") {
		ids[l.Properties.OperationID]++
	}
	for id, n := range ids {
		if id == "" || n != 2 {
			t.Errorf("operation %q has %d lines", id, n)
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d ids of six operations", len(ids))
	}
}

func TestSystemIsNoCaller(t *testing.T) {
	w := newWorld(t)
	if err := w.System(context.Background(), "jobs", request().Operation, request().Subject, nothing); err != nil {
		t.Fatal(err)
	}
	for _, l := range w.sink.lines(t, "CertificateGet") {
		if l.Identity.System != "jobs" || l.Identity.Claim.OID != "" {
			t.Errorf("%+v", l)
		}
	}
}

func TestClientThatHasGoneGetsItsLines(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, way := range []string{"Read", "Write", "System"} {
		w := newWorld(t)
		if err := w.calls()[way](ctx, request("get"), func(seal.Grant) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", way, err)
		}
		lines := w.sink.lines(t, "CertificateGet")
		if l := lines[len(lines)-1]; l.ResultSignature != "Cancelled" {
			t.Errorf("%s: %+v", way, lines)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 30 {
				switch (i + n) % 4 {
				case 0:
					_ = w.Read(context.Background(), request("get"), nothing)
				case 1:
					_ = w.Write(context.Background(), request("get"), nothing)
				case 2:
					_ = w.Write(context.Background(), request("list"), nothing)
				default:
					w.Tend()
				}
			}
		})
	}
	group.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	report := w.verify(w.sink)
	if want := 1 + 60 + 2*60 + 60; report.Lines != want {
		t.Errorf("%d lines, want %d", report.Lines, want)
	}
	open := map[string]bool{}
	for _, l := range w.sink.lines(t, "") {
		id := l.Properties.OperationID
		switch l.Properties.Phase {
		case "intent":
			open[id] = true
		case "result":
			if !open[id] {
				t.Errorf("a result without its intent before it: %+v", l)
			}
			delete(open, id)
		}
	}
	if len(open) != 0 {
		t.Errorf("%d intents without a result", len(open))
	}
	if head := w.storedHead("n"); head.Sequence != report.Head.Sequence {
		t.Errorf("head %d in the store, %d in the log", head.Sequence, report.Head.Sequence)
	}
}
