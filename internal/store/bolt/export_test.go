package bolt

import (
	"context"
	"errors"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
)

// These are faults that no file system can be asked for at the right moment. They are
// set while no Update is under way.

// OnCommit replaces the commit of bbolt; real is the one it replaces.
func (s *Store) OnCommit(fn func(real func() error) error) {
	s.commitTx = func(tx *bbolt.Tx) error { return fn(tx.Commit) }
}

// OnSync replaces the sync of a commit that could not be synced before.
func (s *Store) OnSync(fn func() error) { s.syncFile = fn }

// File is the file below.
func (s *Store) File() *os.File { return s.file }

// UpdateTogether makes one group of the functions. A panic comes out as an error.
func (s *Store) UpdateTogether(ends []Ending) {
	var callers sync.WaitGroup
	group := make([]*update, len(ends))
	for i := range ends {
		end := &ends[i]
		u := &update{ctx: end.Context, fn: end.Fn, turns: make(chan *transaction), ran: make(chan struct{})}
		group[i] = u
		callers.Go(func() {
			defer func() {
				if cause := recover(); cause != nil {
					end.Err = errors.New(cause.(string))
				}
			}()
			for t := range u.turns {
				s.take(u, t)
			}
			end.Err = u.err
		})
	}
	s.commitGroup(group)
	callers.Wait()
}

// An Ending is one Update of UpdateTogether, and what came of it.
type Ending struct {
	Context context.Context
	Fn      func(store.Tx) error
	Err     error
}
