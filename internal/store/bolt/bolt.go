// Package bolt is the store of one machine: one file, by go.etcd.io/bbolt.
//
// Two buckets hold everything. "records" maps a key to its revision and body; "due"
// maps a time and a key to nothing, in the order in which work comes up, and "due-of"
// maps a key to its time. Revisions are the sequence of the bucket "records", which a
// commit writes with the bucket itself, so they cost no page of their own.
//
// Updates are grouped. One goroutine, the committer, takes every Update that waits,
// runs each against what the ones before it in the group have done, writes the file
// once, and wakes them all; meanwhile the next group gathers. There is no delay to
// gather more: alone, an Update is written at once. See commit.go.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"coffer/internal/store"
)

// Options say how to open a store.
type Options struct {
	// MaxSize bounds the file, in bytes; zero means that only the disk does.
	MaxSize int
	// Ephemeral makes a store that ends with the process: its file loses its name as
	// soon as it is open (where the system allows that), and is never synced.
	Ephemeral bool
}

// A Store keeps records in one file. See store.Store for what it promises.
type Store struct {
	db      *bbolt.DB
	path    string
	updates chan *update
	ended   chan struct{} // closed when the committer has returned

	mu     sync.RWMutex // held for reading by every call under way
	closed bool
}

var (
	recordsBucket = []byte("records")
	dueBucket     = []byte("due")
	dueOfBucket   = []byte("due-of")
)

// lockPatience is how long Open waits for a lock that another process may be giving up.
const lockPatience = 50 * time.Millisecond

// Open opens the store at path, or makes it, readable by its owner alone. The error is
// store.ErrLocked when another process has it open.
func Open(path string, o Options) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockPatience, MaxSize: o.MaxSize, NoSync: o.Ephemeral, NoGrowSync: o.Ephemeral,
		FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s: stop the other process, or use another directory", store.ErrLocked, path)
	case err != nil:
		return nil, fmt.Errorf("store: %s cannot be opened as a Coffer store (%w); restore it from a backup, or use another directory", path, err)
	}
	if o.Ephemeral {
		_ = os.Remove(path) // a system that does not allow it keeps a sealed file
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), db.Close())
	}
	s := &Store{db: db, path: path, updates: make(chan *update), ended: make(chan struct{})}
	go s.commit()
	return s, nil
}

// prepare makes the buckets of a fresh file.
func prepare(db *bbolt.DB) error {
	ready := false
	err := db.View(func(tx *bbolt.Tx) error {
		ready = tx.Bucket(recordsBucket) != nil && tx.Bucket(dueBucket) != nil && tx.Bucket(dueOfBucket) != nil
		return nil
	})
	if err != nil || ready {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{recordsBucket, dueBucket, dueOfBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// enter begins a call; leave ends it.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.mu.RUnlock() }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, asks ...store.Ask) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	out := make([]store.Record, len(asks))
	err := s.db.View(func(tx *bbolt.Tx) error {
		records := tx.Bucket(recordsBucket)
		for i, ask := range asks {
			out[i].Key = ask.Key
			revision, body, ok := unpack(records.Get([]byte(ask.Key)))
			if !ok {
				continue
			}
			out[i].Revision = revision
			if ask.IfNot != revision {
				out[i].Body = clone(body)
			}
		}
		return nil
	})
	return out, err
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.db.View(func(tx *bbolt.Tx) error {
		return fn(&transaction{base: tx, readOnly: true})
	})
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.updates)
	<-s.ended
	return s.db.Close()
}

// A stored record is its revision, 8 bytes big-endian, and its body.
const revisionSize = 8

func pack(revision store.Revision, body []byte) []byte {
	out := make([]byte, revisionSize, revisionSize+len(body))
	binary.BigEndian.PutUint64(out, uint64(revision))
	return append(out, body...)
}

func unpack(stored []byte) (store.Revision, []byte, bool) {
	if len(stored) < revisionSize {
		return 0, nil, false
	}
	return store.Revision(binary.BigEndian.Uint64(stored)), stored[revisionSize:], true
}

// clone copies what belongs to a transaction; an empty body is not nil.
func clone(body []byte) []byte { return append(make([]byte, 0, len(body)), body...) }
