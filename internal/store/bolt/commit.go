package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
)

// An update is one call of Update on its way through the committer.
type update struct {
	ctx    context.Context
	fn     func(store.Tx) error
	done   chan struct{} // closed when err and cause are final
	err    error
	cause  any // of a panic in fn
	failed bool
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	u := &update{ctx: ctx, fn: fn, done: make(chan struct{})}
	s.updates <- u
	<-u.done // not ctx: once taken, the outcome has to be known
	if u.cause != nil {
		panic(u.cause)
	}
	return u.err
}

// maxGroup bounds what one commit writes.
const maxGroup = 256

// commit is the committer: it writes one group after the other until the store closes.
func (s *Store) commit() {
	defer close(s.ended)
	for first := range s.updates {
		s.commitGroup(s.gather(first))
	}
}

// gather takes whatever waits at this moment.
func (s *Store) gather(first *update) []*update {
	group := []*update{first}
	for len(group) < maxGroup {
		select {
		case next, open := <-s.updates:
			if !open {
				return group
			}
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// commitGroup runs and writes a group, a second time when the first writing failed:
// whether it reached the disk may not be known, and a rerun finds its own work.
func (s *Store) commitGroup(group []*update) {
	err := s.tryGroup(group)
	if err != nil {
		err = s.tryGroup(group)
	}
	if err != nil {
		err = fmt.Errorf("store: %s could not be written: %w; free disk space or repair the disk, the store goes on by itself then", s.path, err)
	}
	for _, u := range group {
		if err != nil && !u.failed {
			u.err = err
		}
		close(u.done)
	}
}

// tryGroup runs every update of the group in one transaction and commits it. Updates
// that fail by themselves are marked and leave nothing; the error is the commit's.
func (s *Store) tryGroup(group []*update) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	before := tx.ID() - 1
	for _, u := range group {
		u.run(tx)
		if u.err != nil && !u.failed { // the file, not the function
			return errors.Join(u.err, tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return s.outcome(before, errors.Join(err, ignoreClosed(tx.Rollback())))
	}
	return nil
}

// outcome tells a commit that was lost from one that may be there. bbolt makes a
// commit visible by its last write, the meta page: what a reader does not see now
// never becomes visible.
func (s *Store) outcome(before int, cause error) error {
	var visible bool
	err := s.db.View(func(tx *bbolt.Tx) error {
		visible = tx.ID() > before
		return nil
	})
	if err != nil || visible {
		return fmt.Errorf("%w: %w", store.ErrUnknown, cause)
	}
	return cause
}

// run gives fn a transaction of its own and, if fn succeeds, applies what it changed.
func (u *update) run(tx *bbolt.Tx) {
	u.err, u.cause, u.failed = nil, nil, false
	if u.err = u.ctx.Err(); u.err != nil {
		u.failed = true
		return
	}
	mine := &transaction{base: tx}
	if u.call(mine); u.failed {
		return
	}
	u.err = mine.apply()
}

func (u *update) call(tx store.Tx) {
	finished := false
	defer func() {
		if cause := recover(); !finished {
			u.cause, u.failed = cause, true
			if cause == nil { // runtime.Goexit, as t.FailNow does
				u.err = errors.New("store: the function given to Update did not return")
			}
		}
	}()
	u.err = u.fn(tx)
	u.failed = u.err != nil
	finished = true
}

func ignoreClosed(err error) error {
	if err != nil && err.Error() == "tx closed" {
		return nil
	}
	return err
}
