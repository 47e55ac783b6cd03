// Package limit counts what happens in a span of time, and says when there was enough.
//
//	l := limit.New(10*time.Second, time.Now)
//	wait := l.Take(limit.Count{Of: "vault demo", Max: 4000}, limit.Count{Of: "caller x", Max: 500})
//	if wait > 0 { … } // 429, Retry-After: wait
//
// The spans begin one after the other on the clock, as the limits of the service are
// published: so many transactions in ten seconds. A refused request counts for nothing.
package limit

import (
	"sync"
	"time"
)

// maxNames bounds what is counted by name in one span. What comes beyond it shares one
// name: a flood of names is limited as if it were one of them.
const maxNames = 100_000

// A Count is one of the limits that a request falls under.
type Count struct {
	Of  string
	Max int // in one span, at least 1
}

// A Limiter counts. It is safe for any number of goroutines.
type Limiter struct {
	span time.Duration
	now  func() time.Time

	mu     sync.Mutex
	begin  time.Time
	counts map[string]int
}

// New returns a Limiter over spans of that length.
func New(span time.Duration, now func() time.Time) *Limiter {
	return &Limiter{span: span, now: now, counts: map[string]int{}}
}

// Take counts a request under all its limits and returns 0; or, if one of them is
// reached, counts it under none and returns how long it is until the next span.
func (l *Limiter) Take(counts ...Count) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if since := now.Sub(l.begin); since >= l.span || since < 0 { // a clock may be turned back
		l.begin = now
		clear(l.counts)
	}
	for _, c := range counts {
		if l.counts[l.name(c.Of)] >= c.Max {
			return l.begin.Add(l.span).Sub(now)
		}
	}
	for _, c := range counts {
		l.counts[l.name(c.Of)]++
	}
	return 0
}

func (l *Limiter) name(of string) string {
	if _, known := l.counts[of]; !known && len(l.counts) >= maxNames {
		return ""
	}
	return of
}
