package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"coffer/internal/store"
)

// A transaction keeps what it changes to itself until apply.
type transaction struct {
	base     *tables
	readOnly bool
	puts     map[store.Key]change
	dues     map[store.Key]row
}

// A change is what a record is going to be.
type change struct {
	body    []byte // the caller's, until the commit
	removed bool
}

// A row is what a due row is going to be.
type row struct {
	at      int64 // Unix milliseconds
	removed bool
}

// pending is the revision that a record has inside the transaction which put it. The
// sequence of the bucket never gets there.
const pending store.Revision = 1<<64 - 1

func (t *transaction) changed() bool { return len(t.puts)+len(t.dues) > 0 }

// lookup returns the record at key; the body is not the caller's.
func (t *transaction) lookup(key store.Key) (store.Revision, []byte) {
	c, ok := t.puts[key]
	switch {
	case !ok:
		return t.base.record(key)
	case c.removed:
		return 0, nil
	}
	return pending, c.body
}

// Get implements store.Tx.
func (t *transaction) Get(key store.Key) (store.Record, error) {
	revision, body := t.lookup(key)
	return store.Record{Key: key, Revision: revision, Body: clone(body)}, nil
}

// Scan implements store.Tx. It merges what the file has with what the transaction has
// put and removed.
func (t *transaction) Scan(prefix, after store.Key, limit int) ([]store.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: a scan needs a limit of at least 1, not %d", limit)
	}
	own := t.ownKeys(prefix, after)
	base := newWalk(t.base.records, prefix, after)
	out := make([]store.Record, 0, min(limit, 64))
	for len(out) < limit && (len(own) > 0 || base.key != nil) {
		key := store.Key(base.key)
		if len(own) > 0 && (base.key == nil || own[0] <= key) {
			key, own = own[0], own[1:]
		}
		revision, body := t.lookup(key)
		if key == store.Key(base.key) {
			base.next()
		}
		if revision != 0 {
			out = append(out, store.Record{Key: key, Revision: revision, Body: clone(body)})
		}
	}
	return out, nil
}

func (t *transaction) ownKeys(prefix, after store.Key) []store.Key {
	var keys []store.Key
	for key := range t.puts {
		if key > after && strings.HasPrefix(string(key), string(prefix)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// A walk goes over the keys in the file that begin with prefix. At the end key is nil.
type walk struct {
	cursor *bbolt.Cursor
	prefix []byte
	key    []byte
}

func newWalk(records *bbolt.Bucket, prefix, after store.Key) *walk {
	w := &walk{prefix: []byte(prefix)}
	if records == nil {
		return w
	}
	w.cursor = records.Cursor()
	key, _ := w.cursor.Seek([]byte(max(prefix, after)))
	w.set(key)
	if w.key != nil && string(w.key) == string(after) {
		w.next()
	}
	return w
}

func (w *walk) next() {
	key, _ := w.cursor.Next()
	w.set(key)
}

func (w *walk) set(key []byte) {
	if w.key = key; !bytes.HasPrefix(key, w.prefix) {
		w.key = nil
	}
}

// Put implements store.Tx.
func (t *transaction) Put(key store.Key, was store.Revision, body []byte) error {
	if t.readOnly {
		return store.ErrReadOnly
	}
	if err := errors.Join(store.CheckKey(key), store.CheckBody(key, body)); err != nil {
		return err
	}
	if is, _ := t.lookup(key); is != was {
		return store.ErrChanged
	}
	if body == nil {
		body = []byte{}
	}
	t.change(key, change{body: body})
	return nil
}

// Delete implements store.Tx.
func (t *transaction) Delete(key store.Key, was store.Revision) error {
	if t.readOnly {
		return store.ErrReadOnly
	}
	if is, _ := t.lookup(key); was == 0 || is != was {
		return store.ErrChanged
	}
	t.change(key, change{removed: true})
	return t.SetDue(key, time.Time{})
}

func (t *transaction) change(key store.Key, c change) {
	if t.puts == nil {
		t.puts = map[store.Key]change{}
	}
	t.puts[key] = c
}

// SetDue implements store.Tx.
func (t *transaction) SetDue(key store.Key, at time.Time) error {
	if t.readOnly {
		return store.ErrReadOnly
	}
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if t.dues == nil {
		t.dues = map[store.Key]row{}
	}
	t.dues[key] = row{at: store.Millis(at), removed: at.IsZero()}
	return nil
}

// Due implements store.Tx.
func (t *transaction) Due(until time.Time, limit int) ([]store.Due, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: due rows need a limit of at least 1, not %d", limit)
	}
	rows := t.fileDues(store.Millis(until), limit)
	for key, own := range t.dues {
		if !own.removed && own.at <= store.Millis(until) {
			rows = append(rows, store.Due{Key: key, At: time.UnixMilli(own.at).UTC()})
		}
	}
	slices.SortFunc(rows, store.Due.Compare)
	return rows[:min(limit, len(rows))], nil
}

// fileDues returns the earliest rows of the file that this transaction has not changed.
func (t *transaction) fileDues(until int64, limit int) []store.Due {
	if t.base.due == nil {
		return nil
	}
	var rows []store.Due
	cursor := t.base.due.Cursor()
	for stored, _ := cursor.First(); stored != nil && len(rows) < limit; stored, _ = cursor.Next() {
		at, key := splitDue(stored)
		if at > until {
			break
		}
		if _, changed := t.dues[key]; !changed {
			rows = append(rows, store.Due{Key: key, At: time.UnixMilli(at).UTC()})
		}
	}
	return rows
}

// A stored due row is its time, 8 bytes big-endian with the sign turned so that bytes
// sort as times do, and its key.
const dueSize = 8

func joinDue(at int64, key store.Key) []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, dueSize+len(key)), uint64(at)^1<<63)
	return append(out, key...)
}

func splitDue(stored []byte) (int64, store.Key) {
	return int64(binary.BigEndian.Uint64(stored) ^ 1<<63), store.Key(stored[dueSize:])
}

// apply writes the changes into the transaction of bbolt. An error is the file's.
func (t *transaction) apply() error {
	if err := t.base.create(); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(t.puts)) {
		if err := t.applyPut(key, t.puts[key]); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t.dues)) {
		if err := t.applyDue(key, t.dues[key]); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) applyPut(key store.Key, c change) error {
	if c.removed {
		return t.base.records.Delete([]byte(key))
	}
	revision, err := t.base.records.NextSequence()
	if err != nil {
		return err
	}
	return t.base.records.Put([]byte(key), pack(store.Revision(revision), c.body))
}

func (t *transaction) applyDue(key store.Key, to row) error {
	if old := t.base.dueOf.Get([]byte(key)); old != nil {
		if err := t.base.due.Delete(append(clone(old), key...)); err != nil {
			return err
		}
	}
	if to.removed {
		return t.base.dueOf.Delete([]byte(key))
	}
	stored := joinDue(to.at, key)
	if err := t.base.dueOf.Put([]byte(key), stored[:dueSize]); err != nil {
		return err
	}
	return t.base.due.Put(stored, []byte{})
}
