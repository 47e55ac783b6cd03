package limit_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/limit"
)

func TestTake(t *testing.T) {
	now := time.Unix(1000, 0)
	l := limit.New(10*time.Second, func() time.Time { return now })
	both := []limit.Count{{"a", 3}, {"b", 2}}
	for i, want := range []time.Duration{0, 0, 10 * time.Second, 10 * time.Second} {
		if got := l.Take(both...); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
	if l.Take(limit.Count{"a", 3}) != 0 { // what was refused for b did not count for a
		t.Error("a is full")
	}
	now = now.Add(7 * time.Second)
	if got := l.Take(limit.Count{"a", 3}); got != 3*time.Second {
		t.Errorf("%s", got)
	}
	now = now.Add(3 * time.Second)
	if l.Take(both...) != 0 {
		t.Error("the next span has not begun")
	}
	now = now.Add(-time.Hour)
	if l.Take(limit.Count{"b", 1}) != 0 {
		t.Error("a clock that was turned back holds everybody up")
	}
}

// However many names there are, memory is bounded, and the flood is limited.
func TestFloodOfNames(t *testing.T) {
	l := limit.New(time.Hour, func() time.Time { return time.Unix(1000, 0) })
	refused := 0
	for i := range 200_000 {
		if l.Take(limit.Count{fmt.Sprint(i), 10}) > 0 {
			refused++
		}
	}
	if refused != 100_000-10 {
		t.Errorf("%d refused", refused)
	}
}

func TestManyAtOnce(t *testing.T) {
	l := limit.New(time.Hour, time.Now)
	var taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if l.Take(limit.Count{"a", 300}) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 300 {
		t.Errorf("%d were let in", taken.Load())
	}
}
