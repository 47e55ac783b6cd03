// Package bolt is the store of one machine: one file, by go.etcd.io/bbolt.
//
// Three buckets hold everything. "records" maps a key to its revision and body; "due"
// maps a time and a key to nothing, in the order in which work comes up; "due-of" maps
// a key to its time. Revisions are the sequence of the bucket "records", which a commit
// writes with the bucket itself, so they cost no page of their own. The first update
// makes the buckets: opening a fresh store costs one sync of the file and one of its
// directory.
//
// Updates are grouped. One goroutine, the committer, takes every Update that waits, has
// each run against what the ones before it in the group have done, writes the file
// once, and wakes them all; meanwhile the next group gathers. There is no delay to
// gather more: alone, an Update is written at once.
//
// Where to look: file.go opens a file that may be anything, commit.go groups updates,
// fault.go is what happens when the disk is full or fails, and transaction.go is what a
// function given to View or Update sees.
//
// A reader may see a commit in the instant before it is synced. A crash of the process
// keeps it, a power failure in that instant does not; the Update that made it was not
// acknowledged then.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
)

// Options say how to open a store.
type Options struct {
	// MaxSize bounds the file, in bytes; zero means that only the disk does. The file
	// doubles until it has 16 MiB, so about half of a small bound is usable.
	MaxSize int
	// Ephemeral makes a store that ends with the process: its file loses its name
	// before anything is written to it, and is never synced. On Windows the file keeps
	// its name until Close.
	Ephemeral bool
}

// A Store keeps records in one file. See store.Store for what it promises.
type Store struct {
	path      string
	ephemeral bool
	file      *os.File // of db, which closes it
	db        *bbolt.DB
	pageSize  int

	updates chan *update
	calls   sync.WaitGroup // the updates under way
	ended   chan struct{}  // closed when the committer has returned
	once    sync.Once      // for Close

	mu     sync.RWMutex // held for reading by every read under way
	closed bool

	// Only the committer uses these; see fault.go.
	commitTx func(*bbolt.Tx) error
	syncFile func() error
	unsure   bool
	broken   error
}

// Open opens the store at path, or makes it, readable by its owner alone. The error is
// store.ErrLocked when another process, or this one, has it open. A file that is
// damaged or something else is refused, and not changed.
func Open(path string, o Options) (*Store, error) {
	db, file, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, ephemeral: o.Ephemeral, file: file, db: db, pageSize: db.Info().PageSize,
		updates: make(chan *update), ended: make(chan struct{}),
		commitTx: (*bbolt.Tx).Commit, syncFile: file.Sync,
	}
	go s.commit()
	return s, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, asks ...store.Ask) ([]store.Record, error) {
	out := make([]store.Record, len(asks))
	err := s.read(ctx, func(t tables) error {
		return s.contained(func() error {
			t.answer(asks, out)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t tables) answer(asks []store.Ask, out []store.Record) {
	for i, ask := range asks {
		revision, body := t.record(ask.Key)
		out[i] = store.Record{Key: ask.Key, Revision: revision}
		if revision != ask.IfNot {
			out[i].Body = clone(body)
		}
	}
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.read(ctx, func(t tables) error { return fn(&transaction{base: &t, readOnly: true}) })
}

// read calls fn with a snapshot.
func (s *Store) read(ctx context.Context, fn func(tables) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("store: %s cannot be read: %w; check the disk, then restart", s.path, err)
	}
	defer func() { _ = tx.Rollback() }() // of a reader it only ends it
	return s.guarded(func() error { return fn(tablesOf(tx)) })
}

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.calls.Wait()
		close(s.updates)
		<-s.ended
		err = errors.Join(s.confirm(), s.closeFile())
	})
	return err
}

func (s *Store) closeFile() error {
	if s.broken != nil { // bbolt waits for the transaction that broke
		return errors.Join(s.broken, s.file.Close())
	}
	err := s.db.Close()
	if s.ephemeral {
		_ = os.Remove(s.path) // where it could not be removed while it was open
	}
	return err
}

// Tables are the buckets as one transaction of bbolt sees them; nil in a store that
// nothing was written to.
type tables struct {
	tx                  *bbolt.Tx
	records, due, dueOf *bbolt.Bucket
}

var (
	recordsBucket = []byte("records")
	dueBucket     = []byte("due")
	dueOfBucket   = []byte("due-of")
)

func tablesOf(tx *bbolt.Tx) tables {
	return tables{tx: tx, records: tx.Bucket(recordsBucket), due: tx.Bucket(dueBucket), dueOf: tx.Bucket(dueOfBucket)}
}

// create makes the buckets of a fresh store.
func (t *tables) create() error {
	if t.records != nil {
		return nil
	}
	for _, name := range [][]byte{recordsBucket, dueBucket, dueOfBucket} {
		if _, err := t.tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	*t = tablesOf(t.tx)
	return nil
}

// record returns revision zero and a nil body when there is no record. The body belongs
// to the transaction.
func (t tables) record(key store.Key) (store.Revision, []byte) {
	if t.records == nil {
		return 0, nil
	}
	return unpack(t.records.Get([]byte(key)))
}

// A stored record is its revision, 8 bytes big-endian, and its body.
const revisionSize = 8

func pack(revision store.Revision, body []byte) []byte {
	out := make([]byte, revisionSize, revisionSize+len(body))
	binary.BigEndian.PutUint64(out, uint64(revision))
	return append(out, body...)
}

func unpack(stored []byte) (store.Revision, []byte) {
	if len(stored) < revisionSize {
		return 0, nil
	}
	return store.Revision(binary.BigEndian.Uint64(stored)), stored[revisionSize:]
}

// clone copies what belongs to a transaction; nil stays nil, and empty stays empty.
func clone(body []byte) []byte {
	if body == nil {
		return nil
	}
	return append(make([]byte, 0, len(body)), body...)
}
