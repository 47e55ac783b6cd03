package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
)

// An update is one call of Update on its way through the committer. Its function runs
// in the goroutine of the caller, when the committer says so: a panic is the caller's,
// with the caller's stack, and a test that ends inside does not take the committer with
// it. The channels order all accesses to the other fields.
type update struct {
	ctx   context.Context
	fn    func(store.Tx) error
	turns chan *transaction // one for each run of fn; closed when err is final
	ran   chan struct{}     // fn has ended

	err    error
	failed bool // err is fn's or the context's, not the file's
	gone   bool // fn panicked or ended its goroutine: nobody waits for err
	after  bool // it read what others of its group have changed
}

// Update implements store.Store. The commit of an update is begun when its function has
// returned.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	u := &update{ctx: ctx, fn: fn, turns: make(chan *transaction), ran: make(chan struct{})}
	select {
	case s.updates <- u:
	case <-ctx.Done():
		return ctx.Err()
	}
	for t := range u.turns {
		s.take(u, t)
	}
	return u.err
}

func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// take is the caller's turn.
func (s *Store) take(u *update, t *transaction) {
	u.gone = true
	defer func() { u.ran <- struct{}{} }()
	u.err = s.guarded(func() error { return u.fn(t) })
	u.gone = false
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
		case next := <-s.updates: // open: Close waits for every update first
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// commitGroup runs and writes a group, a second time when the first writing was lost,
// and wakes everybody. When the group is lost for good, whoever read what was lost is
// told of that instead of what its function made of it.
func (s *Store) commitGroup(group []*update) {
	err := s.tryGroup(group)
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		err = s.tryGroup(group)
	}
	for _, u := range group {
		if err != nil && (!u.failed || u.after && u.ctx.Err() == nil) {
			u.err = err
		}
		if !u.gone {
			close(u.turns)
		}
	}
}

// tryGroup runs every update of the group in one transaction of bbolt and commits it.
// Updates that fail by themselves leave nothing; the error is the file's.
func (s *Store) tryGroup(group []*update) error {
	if s.broken != nil {
		return s.lost(s.broken)
	}
	if err := s.confirm(); err != nil {
		return s.lost(err)
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.lost(err)
	}
	t, changed := tables{}, false
	err = s.contained(func() error { t = tablesOf(tx); return nil })
	for i := 0; i < len(group) && err == nil; i++ {
		group[i].after = changed
		var wrote bool
		wrote, err = s.run(group[i], &t)
		changed = changed || wrote
	}
	switch {
	case err != nil:
		return s.lost(errors.Join(err, s.rollback(tx)))
	case !changed: // what they read was durable before
		return s.rollback(tx)
	}
	return s.write(tx)
}

// run has the caller run fn with a transaction of its own and, if that succeeds, applies
// what it changed. The error is the file's.
func (s *Store) run(u *update, t *tables) (changed bool, err error) {
	if u.gone {
		return false, nil
	}
	if u.err = u.ctx.Err(); u.err != nil {
		u.failed = true
		return false, nil
	}
	mine := &transaction{base: t}
	u.turns <- mine
	<-u.ran
	if u.gone {
		u.failed = true
		return false, nil
	}
	if u.err == nil {
		u.err = u.ctx.Err()
	}
	if u.failed = u.err != nil; u.failed || !mine.changed() {
		return false, nil
	}
	return true, s.contained(mine.apply)
}

// write commits the transaction of a group.
func (s *Store) write(tx *bbolt.Tx) error {
	id := tx.ID()
	err := s.contained(func() error { return s.commitTx(tx) })
	if err == nil {
		return nil
	}
	return s.afterFailure(id, errors.Join(err, s.rollback(tx)))
}
