package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"coffer/internal/store"
)

// What happens when a commit fails. bbolt writes the changed pages, syncs, then writes
// one of two meta pages, which makes the commit visible, and syncs again.
//
//   - The disk was full, or the first sync failed: the meta page was not written. The
//     commit is not visible, and never will be: it is lost. The group runs once more,
//     and pages that were only half written are written again. Nothing needs repair.
//   - The second sync failed: the commit is visible, but may not survive. The kernel
//     may have given up on the page, so that a further sync would succeed and mean
//     nothing; and until the page is on the disk no other may be written, because the
//     state before, which a restart would find, lies in pages that are free by now. So
//     the meta pages are written and synced again, the same bytes. If that works, the
//     commit is durable and its updates succeed. If not, the outcome is unknown, and
//     every later update first tries again, before it changes anything.

// afterFailure finds out what became of transaction id.
func (s *Store) afterFailure(id int, cause error) error {
	visible, err := s.visible(id)
	if err == nil && !visible {
		return s.lost(cause)
	}
	s.unsure = true
	if err := errors.Join(err, s.confirm()); err != nil {
		return fmt.Errorf("%w: %s: %w; check the disk, then look whether the change is there", store.ErrUnknown, s.path, errors.Join(cause, err))
	}
	return nil
}

// visible reports whether readers see transaction id, or a later one.
func (s *Store) visible(id int) (visible bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		visible = tx.ID() >= id
		return nil
	})
	return visible, err
}

// confirm makes a commit durable that is visible and could not be synced.
func (s *Store) confirm() error {
	if !s.unsure {
		return nil
	}
	metas := make([]byte, 2*s.pageSize)
	if _, err := s.file.ReadAt(metas, 0); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(metas, 0); err != nil {
		return err
	}
	if err := s.syncFile(); err != nil {
		return err
	}
	// bbolt already took the pages for free that only the state before needs. Having
	// the lock means that nobody reads that state any more.
	s.mu.Lock()
	s.unsure = false
	s.mu.Unlock()
	return nil
}

// lost is the error of updates that changed nothing because of the file.
func (s *Store) lost(cause error) error {
	return fmt.Errorf("%w: %s could not be written, and nothing was changed: %w; free disk space or repair the disk, the store goes on by itself then", store.ErrUnavailable, s.path, cause)
}

// rollback ends a transaction. If that fails, bbolt still holds its lock, and the store
// can only be read.
func (s *Store) rollback(tx *bbolt.Tx) error {
	err := s.contained(tx.Rollback)
	if err == nil || errors.Is(err, bolterrors.ErrTxClosed) {
		return nil
	}
	s.broken = s.damaged(err)
	return s.broken
}

// errDamaged means that a file is not what was written to it.
var errDamaged = errors.New("the file is damaged, was never finished, or is something else")

// guarded calls a function that was given to View or Update, in the caller's goroutine.
// A page that cannot be read, as of a file that was cut, is an error of this call and
// not the end of the process. A panic of the function's own goes on.
func (s *Store) guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case isFault(cause):
			err = s.damaged(fmt.Errorf("%w: %v", errDamaged, cause))
		default:
			panic(cause)
		}
	}()
	return fn()
}

// isFault tells an address that could not be read from every other panic.
func isFault(cause any) bool {
	_, ok := cause.(interface{ Addr() uintptr })
	return ok
}

// contained calls what is only bbolt's and ours: bbolt panics when a page is not what
// it should be.
func (s *Store) contained(fn func() error) error {
	err := contained(fn)
	if errors.Is(err, errDamaged) {
		return s.damaged(err)
	}
	return err
}

func contained(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errDamaged, cause)
		}
	}()
	return fn()
}

func (s *Store) damaged(cause error) error {
	return fmt.Errorf("store: %s: %w; check the disk, or restore the file from a backup", s.path, cause)
}
