package storetest

import (
	"context"
	"errors"
	"sync"

	"coffer/internal/store"
)

// A Fault is a way in which a commit goes wrong.
type Fault int

// The faults.
const (
	Lost      Fault = iota // nothing is kept, and the error says so
	Kept                   // everything is kept, and the error is store.ErrUnknown
	RunAgain               // everything is kept, that is not noticed, and the function runs again
	LostAgain              // nothing is kept at first, and the function runs again
)

// Faults are all of them.
var Faults = []Fault{Lost, Kept, RunAgain, LostAgain}

// ErrLost is what an Update returns whose commit was lost.
var ErrLost = errors.New("storetest: no space left on device")

// A Faulty store lets one commit of the store below go wrong.
type Faulty struct {
	store.Store

	mu      sync.Mutex
	commits int
	failAt  int
	fault   Fault
}

// Commits is how many updates have been made so far.
func (f *Faulty) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits
}

// FailAt makes the n-th commit from now on go wrong; the first is 1.
func (f *Faulty) FailAt(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failAt, f.fault = f.commits+n, fault
}

// Update implements store.Store.
func (f *Faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	f.commits++
	fails, fault := f.commits == f.failAt, f.fault
	f.mu.Unlock()
	if !fails {
		return f.Store.Update(ctx, fn)
	}
	switch fault {
	case Kept:
		if err := f.Store.Update(ctx, fn); err != nil {
			return err
		}
		return store.ErrUnknown
	case RunAgain:
		if err := f.Store.Update(ctx, fn); err != nil {
			return err
		}
		return f.Store.Update(ctx, fn)
	}
	err := f.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), ErrLost) })
	if fault == LostAgain {
		return f.Store.Update(ctx, fn)
	}
	return err
}
