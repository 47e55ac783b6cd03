package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"coffer/internal/store"
)

// A Fault is a way in which a commit goes wrong.
type Fault int

// The faults. A test of everything above a store fails every commit of a flow in each
// of these ways, opens the store again below, and looks at the whole.
const (
	Lost        Fault = iota // nothing is kept, and the error says so
	Kept                     // everything is kept, and the error is store.ErrUnknown
	RunAgain                 // everything is kept, that is not noticed, and the function runs again
	LostAgain                // nothing is kept at first, and the function runs again
	LostUnknown              // nothing is kept, and the error is store.ErrUnknown

	// The crashes. The process ends just before, or just after, the commit: this call
	// and all later ones are ErrCrashed.
	CrashBefore
	CrashAfter
)

// Faults are all faults after which the process goes on; Crashes are the others.
var (
	Faults  = []Fault{Lost, Kept, RunAgain, LostAgain, LostUnknown}
	Crashes = []Fault{CrashBefore, CrashAfter}
)

// String names the fault, for the name of a subtest.
func (f Fault) String() string {
	names := [...]string{"Lost", "Kept", "RunAgain", "LostAgain", "LostUnknown", "CrashBefore", "CrashAfter"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return names[f]
}

// keeps reports whether the failing commit is made nevertheless.
func (f Fault) keeps() bool { return f == Kept || f == RunAgain || f == CrashAfter }

var (
	// ErrLost is what an Update returns whose commit was lost.
	ErrLost = errors.New("storetest: no space left on device")
	// ErrCrashed is what everything returns after a crash.
	ErrCrashed = errors.New("storetest: the process has ended")
)

// A Faulty store lets one commit of the store below go wrong, and counts commits, so
// that a test can go through all of them:
//
//	before := f.Commits()
//	flow(f)
//	for n := 1; n <= f.Commits()-before; n++ { … FailAt(n, fault); flow … }
//
// A commit is an Update whose function succeeded and changed something.
type Faulty struct {
	store.Store

	mu      sync.Mutex
	commits int
	failAt  int
	fault   Fault
	crashed bool
}

// Commits is how many commits were tried so far.
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

// count counts one commit, and returns how it is to go wrong, if it is.
func (f *Faulty) count() (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits++
	return f.fault, f.commits == f.failAt
}

func (f *Faulty) alive() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return ErrCrashed
	}
	return nil
}

func (f *Faulty) crash() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
	return ErrCrashed
}

// Get implements store.Store.
func (f *Faulty) Get(ctx context.Context, asks ...store.Ask) ([]store.Record, error) {
	if err := f.alive(); err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, asks...)
}

// View implements store.Store.
func (f *Faulty) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := f.alive(); err != nil {
		return err
	}
	return f.Store.View(ctx, fn)
}

// Update implements store.Store.
func (f *Faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	var fault Fault
	var counted, fails bool
	err := f.Store.Update(ctx, func(tx store.Tx) error {
		if err := f.alive(); err != nil {
			return err
		}
		watched := &watchedTx{Tx: tx}
		if err := fn(watched); err != nil || !watched.changed {
			return err
		}
		if !counted { // an engine may run the function more than once
			counted = true
			fault, fails = f.count()
		}
		if fails && !fault.keeps() {
			return ErrLost
		}
		return nil
	})
	if !fails || err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	return f.fail(ctx, fn, fault, err)
}

// fail goes on after the commit that was made, or was not.
func (f *Faulty) fail(ctx context.Context, fn func(store.Tx) error, fault Fault, err error) error {
	switch fault {
	case Kept, LostUnknown:
		return fmt.Errorf("%w: storetest: %s", store.ErrUnknown, fault)
	case RunAgain, LostAgain:
		return f.Store.Update(ctx, fn)
	case CrashBefore, CrashAfter:
		return f.crash()
	}
	return err
}

// A watchedTx knows whether anything was changed.
type watchedTx struct {
	store.Tx
	changed bool
}

func (w *watchedTx) Put(key store.Key, was store.Revision, body []byte) error {
	w.changed = true
	return w.Tx.Put(key, was, body)
}

func (w *watchedTx) Delete(key store.Key, was store.Revision) error {
	w.changed = true
	return w.Tx.Delete(key, was)
}

func (w *watchedTx) SetDue(key store.Key, at time.Time) error {
	w.changed = true
	return w.Tx.SetDue(key, at)
}
