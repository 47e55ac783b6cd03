package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"coffer/internal/store"
)

// An attempt is what this process remembers of a job that did not work. A restart
// forgets it, and begins with short pauses again.
type attempt struct {
	failures int
	next     time.Time
	unknown  bool // no handler: the row was not moved
}

// fail counts a failure and returns how long to wait.
func (r *Runner) fail(key store.Key, now time.Time, unknown bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	failures := r.attempts[key].failures + 1
	pause := longestPause
	if shift := failures - 1; shift < 20 {
		pause = min(firstPause<<shift, longestPause)
	}
	r.attempts[key] = attempt{failures: failures, next: now.Add(pause), unknown: unknown}
	return pause
}

func (r *Runner) succeed(key store.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.attempts, key)
}

// isUnknown reports whether the job is to be left alone for now.
func (r *Runner) isUnknown(key store.Key, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempts[key]
	return a.unknown && now.Before(a.next)
}

func (r *Runner) countUnknown(now time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if a.unknown && now.Before(a.next) {
			n++
		}
	}
	return n
}

// forgetOld drops what is remembered of jobs that did not come up again, as they do not
// when another node has ended them.
func (r *Runner) forgetOld(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, a := range r.attempts {
		if now.After(a.next.Add(2 * longestPause)) {
			delete(r.attempts, key)
		}
	}
}

// work calls the handler of a leased row and moves the row if it fails.
func (r *Runner) work(ctx context.Context, key store.Key) error {
	err := r.call(ctx, key)
	if err == nil {
		r.succeed(key)
		return nil
	}
	now := r.config.Now()
	if ctx.Err() != nil { // stopped, not failed: whoever is there next takes it at once
		return errors.Join(fmt.Errorf("jobs: %q was stopped: %w", key, err), r.move(ctx, key, now))
	}
	pause := r.fail(key, now, false)
	err = errors.Join(fmt.Errorf("jobs: %q failed: %w", key, err), r.move(ctx, key, now.Add(pause)))
	r.config.Log.Warn("a job failed; it is tried again", "key", string(key), "after", pause, "error", err)
	return err
}

// move moves the row of a job that did not end. If the handler has ended it all the
// same, as when the outcome of its commit was lost, the row comes back, and the handler
// finds that there is nothing to do.
func (r *Runner) move(ctx context.Context, key store.Key, at time.Time) error {
	return r.config.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return tx.SetDue(key, at) })
}

// call calls the handler; a panic in it is an error.
func (r *Runner) call(ctx context.Context, key store.Key) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Lease)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			r.config.Log.Error("a job panicked", "key", string(key), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = fmt.Errorf("the handler panicked: %v", cause)
		}
	}()
	return r.config.Route(key)(ctx, key)
}
