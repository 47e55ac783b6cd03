package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"coffer/internal/store"
)

// The bounds of an Update that meets others: how often it runs, and how long it waits
// at most before it runs again.
const (
	maxRuns  = 60
	maxPause = 100 * time.Millisecond
)

// Update implements store.Store. The commit of an update is begun when its function has
// returned.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	unknown, lost := false, 0
	for n := range maxRuns {
		o := s.run(ctx, fn)
		unknown = unknown || o.unknown
		switch {
		case o.err == nil || o.byFunction:
			return o.err
		case isConflict(o.err):
		case isLost(o.err) && lost < maxTries && (o.unknown || ctx.Err() == nil):
			lost++
			s.pool.Reset()
		default:
			return s.give(ctx, o.err, unknown)
		}
		if err := pause(ctx, n); err != nil {
			return s.give(ctx, err, unknown)
		}
	}
	return s.give(ctx, fmt.Errorf("%w: other transactions were always first", store.ErrUnavailable), unknown)
}

// give is what the caller is told in the end.
func (s *Store) give(ctx context.Context, err error, unknown bool) error {
	if unknown {
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return classify(ctx, err)
}

// pause waits longer each time, and not for all the same.
func pause(ctx context.Context, n int) error {
	wait := time.NewTimer(rand.N(min(time.Millisecond<<min(n, 10), maxPause))) //nolint:gosec // no secret
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// An outcome is how one run of an Update ended.
type outcome struct {
	err        error
	byFunction bool // err is the caller's function's, or its context's
	unknown    bool // the commit may have been made
}

// run runs fn in one transaction, and commits it.
func (s *Store) run(ctx context.Context, fn func(store.Tx) error) outcome {
	if err := s.number(ctx); err != nil {
		return outcome{err: err}
	}
	tx, err := s.begin(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return outcome{err: err}
	}
	defer rollback(tx) // after the commit it does nothing
	t := &transaction{ctx: ctx, tx: tx}
	err = fn(t)
	switch {
	case ctx.Err() != nil:
		return outcome{err: errors.Join(err, ctx.Err()), byFunction: true}
	case t.failed != nil: // whatever fn made of it
		return outcome{err: t.failed}
	case err != nil:
		return outcome{err: err, byFunction: true}
	}
	return s.commit(ctx, t)
}

// commit writes what the transaction has changed. From here on the caller's context does
// not count.
func (s *Store) commit(ctx context.Context, t *transaction) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if len(t.puts)+len(t.dues) > 0 {
		if err := s.write(ctx, t); err != nil {
			return outcome{err: err}
		}
	}
	if err := t.tx.Commit(ctx); err != nil {
		return outcome{err: err, unknown: !isRefused(err) && len(t.puts)+len(t.dues) > 0}
	}
	return outcome{}
}

const (
	putSQL       = `INSERT INTO coffer_records (key, revision, body) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, body = excluded.body`
	deleteSQL    = `DELETE FROM coffer_records WHERE key = $1`
	setDueSQL    = `INSERT INTO coffer_due (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET at = excluded.at`
	removeDueSQL = `DELETE FROM coffer_due WHERE key = $1`
	numberSQL    = `UPDATE coffer_schema SET writer = writer + 1 WHERE id = 1 RETURNING writer`
)

// write sends all changes in one round trip.
func (s *Store) write(ctx context.Context, t *transaction) error {
	var batch pgx.Batch
	for key, c := range t.puts {
		if c.removed {
			batch.Queue(deleteSQL, []byte(key))
			continue
		}
		revision, err := s.revision()
		if err != nil {
			return err
		}
		batch.Queue(putSQL, []byte(key), revision, c.body)
	}
	for key, to := range t.dues {
		if to.removed {
			batch.Queue(removeDueSQL, []byte(key))
		} else {
			batch.Queue(setDueSQL, []byte(key), to.at)
		}
	}
	return t.tx.SendBatch(ctx, &batch).Close()
}

// A revision has the writer's count in its lower bits. The sign is never used.
const (
	countBits  = 40
	maxWriters = 1 << (63 - countBits)
)

func (s *Store) revision() (int64, error) {
	n := s.count.Add(1)
	if n >= 1<<countBits {
		return 0, fmt.Errorf("%w: this process has made as many changes as it can: restart it", store.ErrUnavailable)
	}
	return s.writer.Load()<<countBits | n, nil
}

// number takes this process's number, once. One whose answer was lost is never used.
func (s *Store) number(ctx context.Context) error {
	if s.writer.Load() != 0 {
		return nil
	}
	s.numbering.Lock()
	defer s.numbering.Unlock()
	if s.writer.Load() != 0 {
		return nil
	}
	var next int64
	if err := s.pool.QueryRow(ctx, numberSQL).Scan(&next); err != nil {
		return err
	}
	if next >= maxWriters {
		return fmt.Errorf("store: the database was opened for writing %d times, which is as often as it can be", next)
	}
	s.writer.Store(next)
	return nil
}

// begin begins a transaction; a database that does not answer is not waited for long.
func (s *Store) begin(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.pool.BeginTx(ctx, o)
}

// rollback ends a transaction that was not committed, however its function ended.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // a connection that cannot is closed by pgx, and the database rolls back
}
