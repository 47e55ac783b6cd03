// Package jobs does due work. A job is a due row of the store: its key says what is to
// be done, and the sealed record at that key says whether it still is. There is no
// other queue, so nothing is forgotten when a process dies.
//
// A Runner looks at what is due, takes a lease on a row by moving its time ahead in an
// Update that finds it still due, and calls the handler for the key. A row is moved by the
// lease and by what clocks may differ: a node whose clock is ahead does not take it while
// the one that leased it is at work. When a node dies, another goes on after that time.
// The handler ends the job by removing or moving the row, in the transaction that makes its
// result durable. That commit decides; the lease only keeps two nodes from doing the same work
// at the same time. A handler that fails is called again later, with growing pauses.
//
// So a handler may be called twice, by two nodes at once, too late, and up to a lease
// too early; for a job that ended long ago, too. It opens the record, checks, and moves
// or removes the row if there is nothing to do.
//
// Where to look: this file has the loop, lease.go how rows are taken, and attempt.go
// what happens around a call of a handler.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"coffer/internal/store"
)

// A Handler does the job at key. When it returns nil it has removed or moved the due
// row. Its context ends with the lease.
type Handler func(ctx context.Context, key store.Key) error

// A Config wires a Runner.
type Config struct {
	Store store.Store
	Now   func() time.Time // the clock of due times
	Lease time.Duration    // the most that one call of a handler takes
	Skew  time.Duration    // the most that the clocks of two nodes differ
	// Route finds the handler of a key; nil means that this version knows no such job.
	// Its row is left alone, for a node that does. Route only looks at the key.
	Route func(store.Key) Handler
	Log   *slog.Logger
	// Sole says that no other node has the store. Leases that are found at the start
	// are then of a process that is gone, and end at once; and there is no other clock.
	Sole bool
}

const (
	workers      = 4               // handlers called at a time
	pollInterval = 5 * time.Second // for rows that another node made
	shortestWait = 10 * time.Millisecond
	errorPause   = 1 * time.Second  // after the store could not be read or written
	firstPause   = 1 * time.Second  // after a failure; doubled with each further one
	longestPause = 10 * time.Minute // between two attempts
)

// A Runner does due work. It is safe for any number of goroutines.
type Runner struct {
	config   Config
	kick     chan struct{}
	slots    chan struct{} // a place is held by every handler under way
	settling chan struct{} // a place is held by the Settle under way

	inherit   sync.Mutex
	inherited bool

	mu       sync.Mutex
	attempts map[store.Key]attempt
}

// New returns a runner that does nothing until Run or Settle is called.
func New(c Config) *Runner {
	return &Runner{
		config: c, kick: make(chan struct{}, 1), slots: make(chan struct{}, workers), settling: make(chan struct{}, 1),
		attempts: map[store.Key]attempt{},
	}
}

// Kick makes Run look at once. It does not wait. It is for those who add work or turn
// the clock; without it, Run finds work that is due now within some seconds.
func (r *Runner) Kick() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Run does what becomes due until ctx ends, and returns when the handlers have.
func (r *Runner) Run(ctx context.Context) {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for acquire(ctx, r.slots, 1) == nil {
		pause, err := r.look(ctx, &handlers)
		if err != nil && ctx.Err() == nil {
			r.config.Log.Warn("due work cannot be looked at; it is tried again", "error", err)
			pause = errorPause
		}
		r.wait(ctx, pause)
	}
}

// look has the handlers of what is due called, as many as there are slots; one is held
// by the caller. It returns how long to wait before the next look.
func (r *Runner) look(ctx context.Context, handlers *sync.WaitGroup) (time.Duration, error) {
	held := 1
	for held < workers && tryAcquire(r.slots) {
		held++
	}
	defer func() { release(r.slots, held) }()
	if err := r.takeOver(ctx); err != nil {
		return 0, err
	}
	keys, unknown, err := r.take(ctx, held)
	if err != nil {
		return 0, err
	}
	if unknown != nil {
		r.config.Log.Warn("due work was left alone", "error", unknown)
	}
	held -= len(keys)
	for _, key := range keys {
		handlers.Go(func() { r.workInSlot(ctx, key) })
	}
	if held == 0 { // there may be more
		return 0, nil
	}
	return r.pause(ctx)
}

func (r *Runner) workInSlot(ctx context.Context, key store.Key) {
	defer r.Kick() // what the handler made or moved may be due
	defer release(r.slots, 1)
	_ = r.work(ctx, key) // is logged there
}

func (r *Runner) wait(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.kick:
	case <-timer.C:
	}
}

// pause is how long nothing will be due, as far as this node knows.
func (r *Runner) pause(ctx context.Context) (time.Duration, error) {
	now := r.config.Now()
	pause := pollInterval
	err := r.config.Store.View(ctx, func(tx store.Tx) error {
		rows, err := tx.Due(now.Add(pollInterval), 1+r.countUnknown(now))
		for _, row := range rows {
			if !r.isUnknown(row.Key, now) {
				pause = max(row.At.Sub(now), shortestWait)
				break
			}
		}
		return err
	})
	return pause, err
}

// Settle does everything that is due now, one job after the other in the order of their
// times, waits for what Run has begun, and returns when nothing is left. What fails is
// tried again later, not here; Settle goes on with the rest and returns all errors.
func (r *Runner) Settle(ctx context.Context) error {
	if err := acquire(ctx, r.settling, 1); err != nil {
		return err
	}
	defer release(r.settling, 1)
	var all []error
	for {
		more, err := r.settleOne(ctx)
		all = append(all, err)
		if !more || ctx.Err() != nil {
			return errors.Join(all...)
		}
	}
}

// settleOne does the earliest due job while no other is under way here, and reports
// whether there may be more.
func (r *Runner) settleOne(ctx context.Context) (more bool, err error) {
	if err := acquire(ctx, r.slots, workers); err != nil {
		return false, err
	}
	defer release(r.slots, workers)
	if err := r.takeOver(ctx); err != nil {
		return false, err
	}
	keys, unknown, err := r.take(ctx, 1)
	if err != nil || len(keys) == 0 {
		return false, errors.Join(unknown, err)
	}
	return true, errors.Join(unknown, r.work(ctx, keys[0]))
}

// acquire takes n places, or none.
func acquire(ctx context.Context, places chan struct{}, n int) error {
	for i := range n {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			release(places, i)
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil { // select chooses at random
		release(places, n)
		return err
	}
	return nil
}

func tryAcquire(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

func release(places chan struct{}, n int) {
	for range n {
		<-places
	}
}
