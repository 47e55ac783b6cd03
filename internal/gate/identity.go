package gate

import (
	"context"
	"fmt"
	"sync"

	"coffer/internal/access"
	"coffer/internal/audit"
)

// A SignIn is a request for a token and what came of it.
type SignIn struct {
	TenantID, AppID, ObjectID string
	Resource                  string // the audience that was asked for
	Outcome                   string // "OK", or the error's code, such as "invalid_client"
}

// SignIn writes the line of a sign-in. On ErrAudit no token is given out. Refused ones,
// which anyone can cause, are bounded like rejected tokens.
func (g *Gate) SignIn(ctx context.Context, o access.Origin, s SignIn) error {
	if err := g.usable(); err != nil {
		return err
	}
	e := signIn(s.Outcome)
	e.TenantID, e.AppID, e.ObjectID, e.Object = s.TenantID, s.AppID, s.ObjectID, s.Resource
	from(&e, o)
	if !e.Allowed && !g.refused.take(g.config.Now().Unix()) {
		return nil // counted
	}
	return g.append(ctx, e, nil)
}

func signIn(outcome string) audit.Event {
	e := audit.Event{Operation: "SignIn", Phase: audit.PhaseDecision, Allowed: outcome == audit.OutcomeOK, Outcome: audit.OutcomeOK}
	if !e.Allowed {
		e.Outcome = code(outcome)
	}
	return e
}

// Rejected writes that a token was rejected; reason is a fixed text or a code. Beyond
// some lines a second, and while the log cannot be written, rejections are only
// counted; the answer to them gives nothing away.
func (g *Gate) Rejected(ctx context.Context, o access.Origin, reason string) {
	if !g.rejected.take(g.config.Now().Unix()) {
		return
	}
	e := rejection(reason)
	from(&e, o)
	if g.broken.Load() || g.append(ctx, e, nil) != nil {
		g.rejected.leave(1)
	}
}

func rejection(detail string) audit.Event {
	return audit.Event{Operation: "Authentication", Phase: audit.PhaseDecision, Outcome: "Unauthorized", Detail: detail}
}

// How many lines of their own rejected tokens and refused sign-ins get in one second.
const (
	maxRejected = 10
	maxRefused  = 20
)

// rejections bounds how many lines bad tokens, or bad sign-ins, can cause.
type rejections struct {
	max int // lines in one second

	mu      sync.Mutex
	second  int64 // Unix time
	written int   // lines in that second
	left    int   // of which there is no line
}

// summarize writes how many of them have no line of their own, if any.
func (g *Gate) summarize(ctx context.Context, r *rejections, e audit.Event) {
	if g.broken.Load() {
		return
	}
	if e.Count = r.clear(); e.Count == 0 {
		return
	}
	e.Detail = fmt.Sprintf("those without a line of their own: a second has at most %d", r.max)
	if g.append(ctx, e, nil) != nil {
		r.leave(e.Count)
	}
}

// take reports whether one more line may be written in this second, and counts it if
// not.
func (r *rejections) take(second int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.second != second {
		r.second, r.written = second, 0
	}
	if r.written >= r.max {
		r.left++
		return false
	}
	r.written++
	return true
}

func (r *rejections) leave(count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += count
}

func (r *rejections) clear() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.left
	r.left = 0
	return count
}
