package bolt

import (
	"bytes"
	"encoding/binary"
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
	base     *bbolt.Tx
	readOnly bool
	puts     map[store.Key]*change
	dues     map[store.Key]int64 // Unix milliseconds; zero removes the row
}

// A change is a record to be written, or to be removed when body is nil.
type change struct {
	body []byte
}

// pending is the revision that a record has inside the transaction which put it. The
// sequence of the bucket never gets there.
const pending store.Revision = 1<<64 - 1

// Get implements store.Tx.
func (t *transaction) Get(key store.Key) (store.Record, error) {
	if c, ok := t.puts[key]; ok {
		return c.record(key), nil
	}
	revision, body, ok := unpack(t.base.Bucket(recordsBucket).Get([]byte(key)))
	if !ok {
		return store.Record{Key: key}, nil
	}
	return store.Record{Key: key, Revision: revision, Body: clone(body)}, nil
}

func (c *change) record(key store.Key) store.Record {
	if c.body == nil {
		return store.Record{Key: key}
	}
	return store.Record{Key: key, Revision: pending, Body: clone(c.body)}
}

// revision is Get without the body.
func (t *transaction) revision(key store.Key) store.Revision {
	if c, ok := t.puts[key]; ok {
		return c.record(key).Revision
	}
	revision, _, _ := unpack(t.base.Bucket(recordsBucket).Get([]byte(key)))
	return revision
}

// Scan implements store.Tx. It merges what the file has with what the transaction has
// put and removed.
func (t *transaction) Scan(prefix, after store.Key, limit int) ([]store.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: a scan needs a limit of at least 1, not %d", limit)
	}
	own := t.ownKeys(prefix, after)
	out := make([]store.Record, 0, min(limit, 64))
	cursor := t.base.Bucket(recordsBucket).Cursor()
	key, stored := seek(cursor, prefix, after)
	for len(out) < limit {
		inFile := key != nil && strings.HasPrefix(string(key), string(prefix))
		switch {
		case !inFile && len(own) == 0:
			return out, nil
		case len(own) > 0 && (!inFile || string(own[0]) <= string(key)):
			if inFile && string(own[0]) == string(key) {
				key, stored = cursor.Next()
			}
			if rec := t.puts[own[0]].record(own[0]); rec.Exists() {
				out = append(out, rec)
			}
			own = own[1:]
		default:
			revision, body, _ := unpack(stored)
			out = append(out, store.Record{Key: store.Key(key), Revision: revision, Body: clone(body)})
			key, stored = cursor.Next()
		}
	}
	return out, nil
}

func (t *transaction) ownKeys(prefix, after store.Key) []store.Key {
	keys := slices.Sorted(maps.Keys(t.puts))
	return slices.DeleteFunc(keys, func(k store.Key) bool {
		return k <= after || !strings.HasPrefix(string(k), string(prefix))
	})
}

func seek(cursor *bbolt.Cursor, prefix, after store.Key) (key, stored []byte) {
	key, stored = cursor.Seek([]byte(max(prefix, after)))
	if after != "" && bytes.Equal(key, []byte(after)) {
		return cursor.Next()
	}
	return key, stored
}

// Put implements store.Tx.
func (t *transaction) Put(key store.Key, was store.Revision, body []byte) error {
	switch {
	case t.readOnly:
		return store.ErrReadOnly
	case key == "" || strings.ContainsRune(string(key), 0):
		return fmt.Errorf("store: %q cannot be a key", key)
	case len(key) > store.MaxKey || len(body) > store.MaxBody:
		return fmt.Errorf("%w: key of %d bytes, body of %d bytes", store.ErrTooLarge, len(key), len(body))
	case t.revision(key) != was:
		return store.ErrChanged
	}
	t.change(key, &change{body: clone(body)})
	return nil
}

// Delete implements store.Tx.
func (t *transaction) Delete(key store.Key, was store.Revision) error {
	switch {
	case t.readOnly:
		return store.ErrReadOnly
	case was == 0 || t.revision(key) != was:
		return store.ErrChanged
	}
	t.change(key, &change{})
	return t.SetDue(key, time.Time{})
}

func (t *transaction) change(key store.Key, c *change) {
	if t.puts == nil {
		t.puts = map[store.Key]*change{}
	}
	t.puts[key] = c
}

// SetDue implements store.Tx.
func (t *transaction) SetDue(key store.Key, at time.Time) error {
	switch {
	case t.readOnly:
		return store.ErrReadOnly
	case key == "" || len(key) > store.MaxKey:
		return fmt.Errorf("store: %q cannot be a key", key)
	}
	if t.dues == nil {
		t.dues = map[store.Key]int64{}
	}
	t.dues[key] = 0
	if !at.IsZero() {
		t.dues[key] = max(at.UnixMilli(), 1)
	}
	return nil
}

// Due implements store.Tx.
func (t *transaction) Due(until time.Time, limit int) ([]store.Due, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: due rows need a limit of at least 1, not %d", limit)
	}
	rows := t.ownDues(until.UnixMilli())
	cursor := t.base.Bucket(dueBucket).Cursor()
	for row, _ := cursor.First(); row != nil && len(rows) < limit+len(t.dues); row, _ = cursor.Next() {
		at, key := splitDue(row)
		if at > until.UnixMilli() {
			break
		}
		if _, changed := t.dues[key]; !changed {
			rows = append(rows, store.Due{Key: key, At: time.UnixMilli(at).UTC()})
		}
	}
	slices.SortFunc(rows, func(a, b store.Due) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(string(a.Key), string(b.Key))
	})
	return rows[:min(limit, len(rows))], nil
}

func (t *transaction) ownDues(until int64) []store.Due {
	var rows []store.Due
	for key, at := range t.dues {
		if at != 0 && at <= until {
			rows = append(rows, store.Due{Key: key, At: time.UnixMilli(at).UTC()})
		}
	}
	return rows
}

// A due row is its time, 8 bytes big-endian, and its key.
func joinDue(at int64, key store.Key) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), key...)
}

func splitDue(row []byte) (int64, store.Key) {
	return int64(binary.BigEndian.Uint64(row)), store.Key(row[8:])
}

// apply writes the changes into the bbolt transaction. An error is the file's.
func (t *transaction) apply() error {
	records := t.base.Bucket(recordsBucket)
	for key, c := range t.puts {
		if c.body == nil {
			if err := records.Delete([]byte(key)); err != nil {
				return err
			}
			continue
		}
		revision, err := records.NextSequence()
		if err != nil {
			return err
		}
		if err := records.Put([]byte(key), pack(store.Revision(revision), c.body)); err != nil {
			return err
		}
	}
	for key, at := range t.dues {
		if err := t.applyDue(key, at); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) applyDue(key store.Key, at int64) error {
	due, dueOf := t.base.Bucket(dueBucket), t.base.Bucket(dueOfBucket)
	if old := dueOf.Get([]byte(key)); len(old) == 8 {
		if err := due.Delete(append(clone(old), key...)); err != nil {
			return err
		}
	}
	if at == 0 {
		return dueOf.Delete([]byte(key))
	}
	row := joinDue(at, key)
	if err := dueOf.Put([]byte(key), row[:8]); err != nil {
		return err
	}
	return due.Put(row, nil)
}
