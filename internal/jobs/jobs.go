// Package jobs does due work. A job is a due row of the store: its key says what is to
// be done, and the sealed record at that key says whether it still is. There is no
// other queue, so nothing is forgotten when a process dies.
//
// A Runner looks at what is due, takes a lease on a row by moving its time ahead in an
// Update that checks that it is still due, and calls the handler for the key. The
// handler ends the job by removing or moving the row, in the transaction that makes
// its result durable; that commit decides, the lease only keeps two nodes from doing
// the same work at the same time. A handler that fails is called again later, with
// growing pauses.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"coffer/internal/store"
)

// A Handler does the job at key. When it returns nil it has removed or moved the due
// row.
type Handler func(ctx context.Context, key store.Key) error

// A Config wires a Runner.
type Config struct {
	Store store.Store
	Now   func() time.Time
	Lease time.Duration
	// Route finds the handler of a key; nil means that this version knows no such job.
	Route func(store.Key) Handler
	Log   *slog.Logger
	// Sole says that no other node has the store. Leases that are found at the start
	// are then of a process that is gone, and end at once.
	Sole bool
}

const (
	batch        = 32               // rows taken at a time
	workers      = 4                // handlers called at a time
	pollInterval = 5 * time.Second  // for rows that another node made
	firstPause   = 1 * time.Second  // after a failure; doubled with each further one
	longestPause = 10 * time.Minute // between two attempts
)

// A Runner does due work. It is safe for any number of goroutines.
type Runner struct {
	config Config
	kick   chan struct{}

	mu       sync.Mutex
	failures map[store.Key]int
}

// New returns a runner that does nothing until Run or Settle is called.
func New(c Config) *Runner {
	return &Runner{config: c, kick: make(chan struct{}, 1), failures: map[store.Key]int{}}
}

// Kick makes Run look at once. It does not wait.
func (r *Runner) Kick() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Run does what becomes due until ctx ends, and returns when the handlers have.
func (r *Runner) Run(ctx context.Context) {
	if r.config.Sole {
		if err := r.endLeases(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Warn("the leases of an earlier process were not ended; they run out by themselves", "error", err)
		}
	}
	for ctx.Err() == nil {
		if n, err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Warn("due work cannot be looked at; it is tried again", "error", err)
		} else if n == batch {
			continue
		}
		r.wait(ctx)
	}
}

func (r *Runner) wait(ctx context.Context) {
	timer := time.NewTimer(r.pause(ctx))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.kick:
	case <-timer.C:
	}
}

// pause is how long nothing will be due, as far as this node knows.
func (r *Runner) pause(ctx context.Context) time.Duration {
	now := r.config.Now()
	var next []store.Due
	err := r.config.Store.View(ctx, func(tx store.Tx) (err error) {
		next, err = tx.Due(now.Add(pollInterval), 1)
		return err
	})
	if err != nil || len(next) == 0 {
		return pollInterval
	}
	return min(max(next[0].At.Sub(now), 10*time.Millisecond), pollInterval)
}

// Settle does everything that is due now and returns when nothing is left. A job that
// fails is not tried again here; its error is returned.
func (r *Runner) Settle(ctx context.Context) error {
	for {
		rows, err := r.due(ctx, r.config.Now())
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if err := r.work(ctx, row); err != nil {
				return err
			}
		}
	}
}

// endLeases makes everything due that an earlier process may have leased.
func (r *Runner) endLeases(ctx context.Context) error {
	now := r.config.Now()
	return r.config.Store.Update(ctx, func(tx store.Tx) error {
		rows, err := tx.Due(now.Add(r.config.Lease), 10_000)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := tx.SetDue(row.Key, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *Runner) due(ctx context.Context, now time.Time) (rows []store.Due, err error) {
	err = r.config.Store.View(ctx, func(tx store.Tx) error {
		rows, err = tx.Due(now, batch)
		return err
	})
	return rows, err
}

// round does one batch of what is due, and returns how much that was.
func (r *Runner) round(ctx context.Context) (int, error) {
	rows, err := r.due(ctx, r.config.Now())
	if err != nil {
		return 0, err
	}
	slots := make(chan struct{}, workers)
	var group sync.WaitGroup
	for _, row := range rows {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := r.work(ctx, row); err != nil {
				r.config.Log.Warn("a job failed; it is tried again", "key", string(row.Key), "error", err)
			}
		})
	}
	group.Wait()
	return len(rows), nil
}

// errTaken means that another node was faster.
var errTaken = errors.New("jobs: taken")

// work leases the row and calls its handler.
func (r *Runner) work(ctx context.Context, row store.Due) error {
	now := r.config.Now()
	err := r.config.Store.Update(ctx, func(tx store.Tx) error {
		if still, err := stillDue(tx, row); err != nil || !still {
			return errors.Join(err, errTaken)
		}
		return tx.SetDue(row.Key, now.Add(r.config.Lease))
	})
	if errors.Is(err, errTaken) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.call(ctx, row.Key); err != nil {
		return errors.Join(err, r.postpone(ctx, row.Key, now))
	}
	r.mu.Lock()
	delete(r.failures, row.Key)
	r.mu.Unlock()
	return nil
}

// stillDue looks whether the row is where it was.
func stillDue(tx store.Tx, row store.Due) (bool, error) {
	rows, err := tx.Due(row.At, 10_000)
	for _, at := range rows {
		if at == row {
			return true, err
		}
	}
	return false, err
}

// call calls the handler; a panic in it is an error.
func (r *Runner) call(ctx context.Context, key store.Key) (err error) {
	handler := r.config.Route(key)
	if handler == nil {
		return fmt.Errorf("jobs: this version of Coffer has no job for %q", key)
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Lease)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("jobs: the handler panicked: %v\n%s", cause, debug.Stack())
		}
	}()
	return handler(ctx, key)
}

// postpone moves the row of a job that failed.
func (r *Runner) postpone(ctx context.Context, key store.Key, now time.Time) error {
	r.mu.Lock()
	r.failures[key]++
	pause := min(firstPause<<min(r.failures[key]-1, 20), longestPause)
	r.mu.Unlock()
	return r.config.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		return tx.SetDue(key, now.Add(pause))
	})
}
