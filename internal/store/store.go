// Package store keeps sealed records in key order. It never sees a plaintext.
//
// A record is a body of bytes at a key. The rooms above decide what a key looks
// like and seal the body before it comes here; a store orders, reads, compares
// and swaps, and is durable. The comments of Store and Tx are the specification
// of an engine, and package storetest is the same specification as a test suite,
// which every engine runs. The engines are in the folders below: bolt keeps one
// file on one machine, postgres uses a database.
//
// Three things a caller should know before the first line:
//
//   - Reading for an answer is one Get of everything the answer needs. View is for
//     scans, Update for changes.
//   - The function given to Update may run more than once. It only reads and puts;
//     whatever has an effect elsewhere, or must come out the same (ids, times,
//     keys), is made before and captured.
//   - A due row and an index record are hints. Whoever follows one opens the sealed
//     record it points at and checks again.
package store

import (
	"context"
	"errors"
	"time"
)

// The errors of this package. An engine wraps them with what it knows of the
// cause; callers ask with errors.Is.
var (
	// ErrChanged means that a record had another revision than Put or Delete named.
	// Nothing of the Update was kept.
	ErrChanged = errors.New("store: the record was changed in the meantime")

	// ErrUnknown means that a commit was tried, tried again, and its outcome is still
	// not known: the changes may be there or not, now or after a restart.
	ErrUnknown = errors.New("store: the outcome of the commit is not known")

	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("store: already open in another process")

	// ErrUnavailable means that the store cannot be reached at this moment. Nothing was
	// changed, and the same call can succeed later.
	ErrUnavailable = errors.New("store: not available at this moment")

	// ErrClosed means that the store was closed before or during the call.
	ErrClosed = errors.New("store: closed")

	// ErrReadOnly means that a function given to View tried to change something.
	ErrReadOnly = errors.New("store: a view cannot change anything")

	// ErrTooLarge means that a key is longer than MaxKey or a body longer than MaxBody.
	ErrTooLarge = errors.New("store: key or body too large")
)

// The largest key and body that every engine accepts, in bytes.
const (
	MaxKey  = 1024
	MaxBody = 4 << 20
)

// A Key is the place of a record. Keys are ordered byte by byte. A key is not
// empty, and holds no NUL byte.
type Key string

// A Revision tells one state of the record at a key from every other state that
// was ever at that key: it is never used a second time for the same key, not even
// after the record was deleted and made anew. So (key, revision) identifies a body
// forever, and may be the key of a cache. It has no order. The zero Revision means
// that there is no record.
type Revision uint64

// A Record is what Get, Tx.Get and Tx.Scan return.
type Record struct {
	Key      Key
	Revision Revision // zero: there is no record at Key, and Body is nil
	Body     []byte   // owned by the caller; nil as well when Ask.IfNot matched
}

// Exists reports whether there is a record.
func (r Record) Exists() bool { return r.Revision != 0 }

// An Ask names one record that Get is to answer.
type Ask struct {
	Key Key
	// IfNot, when not zero, is the revision that the caller holds already: a record
	// that still has it is returned with its revision and without its body.
	IfNot Revision
}

// A Due is one row of the due-time index.
type Due struct {
	Key Key
	At  time.Time // UTC, in whole milliseconds
}

// A Store keeps sealed records in key order. All methods may be called from any
// goroutine at once.
//
// Consistency: a read sees every write that was acknowledged before it began.
type Store interface {
	// Get answers all asks from one snapshot, in one round trip. The result has one
	// record per ask, in the order of the asks; a key without a record gives a Record
	// with the zero Revision and no error.
	Get(ctx context.Context, asks ...Ask) ([]Record, error)

	// View calls fn once with a consistent snapshot and returns its error. The Tx
	// must not be used after fn has returned.
	View(ctx context.Context, fn func(Tx) error) error

	// Update calls fn with a transaction and commits what it changed: all of it or
	// nothing, serializable, and durable when Update returns nil. When fn returns an
	// error, nothing is changed and Update returns that error. A panic in fn changes
	// nothing, harms no other caller and comes out of this call of Update.
	//
	// fn may be called again, always with a transaction that starts afresh: after a
	// conflict with another Update, and after a commit whose outcome was lost; in the
	// latter case the changes of the first run may be there, and fn finds them by the
	// ids it was given. When the outcome stays unknown the error is ErrUnknown. Any
	// other error means that nothing was changed.
	//
	// fn must not call the store, wait, or do I/O: other updates wait for it. When ctx
	// ends before the commit was begun, nothing is changed and the error is ctx's.
	Update(ctx context.Context, fn func(Tx) error) error

	// Close waits for the calls under way, and then frees the store. Calls made
	// afterwards return ErrClosed. A second Close returns nil.
	Close() error
}

// A Tx is one transaction. It is used by one goroutine, inside the function it was
// given to. A transaction sees its own changes.
type Tx interface {
	// Get returns the record at key; its Revision is zero when there is none. The
	// revision of a record that this transaction has put is not zero, and is not the
	// one that it will have after the commit.
	Get(key Key) (Record, error)

	// Scan returns, in key order, at most limit records whose keys begin with prefix
	// and are greater than after. An empty after starts at the first key of prefix.
	// Fewer than limit records mean that there are no more. The limit is at least 1.
	Scan(prefix, after Key, limit int) ([]Record, error)

	// Put writes body at key if the record there has the revision was; zero means
	// that there must be none. Otherwise it returns ErrChanged, and fn is expected to
	// return that. The body is copied before the commit, not necessarily by Put:
	// the caller does not change it until Update has returned.
	Put(key Key, was Revision, body []byte) error

	// Delete removes the record at key, and its due row, if it has the revision was,
	// which is not zero. Otherwise it returns ErrChanged.
	Delete(key Key, was Revision) error

	// SetDue makes the one due row of key, or moves it, to at, which is rounded down
	// to a millisecond. The zero time removes the row. A record need not exist at key,
	// and its revision does not change.
	SetDue(key Key, at time.Time) error

	// Due returns the at most limit earliest due rows whose time is not after until,
	// in order of time, then key.
	Due(until time.Time, limit int) ([]Due, error)
}
