package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffer/internal/store"
)

// everything is a limit for rows, where all of them are wanted.
const everything = 1 << 30

// lease is how far ahead a row that is taken is moved.
func (r *Runner) lease() time.Duration {
	if r.config.Sole {
		return r.config.Lease
	}
	return r.config.Lease + r.config.Skew
}

// takeOver ends, once, the leases of an earlier process on a store that is ours alone:
// what is due within a lease may be leased. What was only planned for then comes too
// early, which its handler finds out.
func (r *Runner) takeOver(ctx context.Context) error {
	r.inherit.Lock()
	defer r.inherit.Unlock()
	if r.inherited || !r.config.Sole {
		return nil
	}
	now := r.config.Now()
	leased := func(tx store.Tx) ([]store.Due, error) {
		rows, err := tx.Due(now.Add(r.config.Lease), everything)
		for len(rows) > 0 && !rows[0].At.After(now) {
			rows = rows[1:]
		}
		return rows, err
	}
	any := false
	err := r.config.Store.View(ctx, func(tx store.Tx) error {
		rows, err := leased(tx)
		any = len(rows) > 0
		return err
	})
	if err == nil && any { // most starts need no commit
		err = r.config.Store.Update(ctx, func(tx store.Tx) error {
			rows, err := leased(tx)
			for _, row := range rows {
				err = errors.Join(err, tx.SetDue(row.Key, now))
			}
			return err
		})
	}
	r.inherited = err == nil
	return err
}

// take leases at most limit rows that are due, the earliest first. The second result
// tells of jobs that this version does not know, the first time that they are seen and
// after each pause.
func (r *Runner) take(ctx context.Context, limit int) (keys []store.Key, unknown, err error) {
	now := r.config.Now()
	l := &lease{now: now, until: now.Add(r.lease()).Truncate(time.Millisecond)}
	if unknown, err = r.choose(ctx, l, limit); err != nil || len(l.chosen) == 0 {
		return nil, unknown, err
	}
	if err := r.config.Store.Update(ctx, l.take); err != nil {
		return nil, unknown, err
	}
	return l.taken, unknown, nil
}

// A lease is one attempt to lease rows.
type lease struct {
	now, until time.Time
	window     int // how many due rows to look at
	chosen     map[store.Key]bool
	taken      []store.Key
}

// choose finds rows to lease, behind those that nobody here can work on.
func (r *Runner) choose(ctx context.Context, l *lease, limit int) (unknown, err error) {
	defer r.forgetOld(l.now)
	l.window = limit + r.countUnknown(l.now)
	for {
		var rows []store.Due
		err := r.config.Store.View(ctx, func(tx store.Tx) (err error) {
			rows, err = tx.Due(l.now, l.window)
			return err
		})
		if err != nil {
			return unknown, err
		}
		l.chosen = map[store.Key]bool{}
		for _, row := range rows {
			if len(l.chosen) < limit && !r.isUnknown(row.Key, l.now) {
				unknown = errors.Join(unknown, r.chooseKey(l, row.Key))
			}
		}
		if len(l.chosen) == limit || len(rows) < l.window {
			return unknown, nil
		}
		l.window *= 2
	}
}

func (r *Runner) chooseKey(l *lease, key store.Key) error {
	if r.config.Route(key) != nil {
		l.chosen[key] = true
		return nil
	}
	pause := r.fail(key, l.now, true)
	return fmt.Errorf("jobs: this version of Coffer knows no job for %q; its row is looked at again in %s", key, pause)
}

// take is the function of the Update. It may run again after a commit that was kept:
// then the rows are where it moved them.
func (l *lease) take(tx store.Tx) error {
	rows, err := tx.Due(l.now, l.window)
	if err != nil {
		return err
	}
	if len(l.taken) > 0 {
		moved, err := l.moved(tx)
		if err != nil {
			return err
		}
		rows = append(moved, rows...)
	}
	l.taken = nil
	for _, row := range rows {
		if !l.chosen[row.Key] {
			continue
		}
		if err := tx.SetDue(row.Key, l.until); err != nil {
			return err
		}
		l.taken = append(l.taken, row.Key)
	}
	return nil
}

// moved returns the rows that an earlier run has leased.
func (l *lease) moved(tx store.Tx) ([]store.Due, error) {
	earlier := map[store.Key]bool{}
	for _, key := range l.taken {
		earlier[key] = true
	}
	rows, err := tx.Due(l.until, everything)
	var moved []store.Due
	for _, row := range rows {
		if earlier[row.Key] && row.At.Equal(l.until) {
			moved = append(moved, row)
		}
	}
	return moved, err
}
