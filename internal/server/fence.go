package server

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// A data key is retired when no record needs it. That none needs it is found out by reading
// them all; that none comes to need it afterwards is seen to here. Another node may have sealed
// something with the key and not stored it yet, for as long as it likes: its clock may stand
// still. So the key is barred first, in the record of the installation, and every Update that
// stores something sealed reads that record in its own transaction. Whoever is too late changes
// nothing, reads the keys again, and tries again.

// A fence is the store of which nothing is sealed with a barred key.
type fence struct {
	store.Store
	reload func() error
	known  atomic.Pointer[bars] // of the record that was read last
}

// bars are the barred keys of one revision of the installation's record.
type bars struct {
	revision store.Revision
	keys     []uint32
}

// Update is the store's. When fn puts what is sealed with a barred key, it runs again with the
// keys of now, as after a conflict. The error is store.ErrChanged when it puts the same again,
// which it was given.
func (f *fence) Update(ctx context.Context, fn func(store.Tx) error) error {
	late, err := f.update(ctx, fn)
	if !late {
		return err
	}
	if failed := f.reload(); failed != nil {
		return fmt.Errorf("%w; the keys cannot be read again: %w", err, failed)
	}
	_, err = f.update(ctx, fn)
	return err
}

func (f *fence) update(ctx context.Context, fn func(store.Tx) error) (late bool, err error) {
	err = f.Store.Update(ctx, func(tx store.Tx) error {
		inside := &fencedTx{Tx: tx, fence: f}
		err := fn(inside)
		late = inside.late
		return err
	})
	return late, err
}

// A fencedTx looks at what is put.
type fencedTx struct {
	store.Tx
	fence *fence
	bars  *bars // nil until something sealed is put
	late  bool
}

// Put is the transaction's.
func (t *fencedTx) Put(key store.Key, was store.Revision, body []byte) error {
	id, sealed := seal.KeyOf(body)
	if !sealed {
		return t.Tx.Put(key, was, body)
	}
	if t.bars == nil {
		var err error
		if t.bars, err = t.fence.read(t.Tx); err != nil {
			return err
		}
	}
	if slices.Contains(t.bars.keys, id) {
		t.late = true
		return fmt.Errorf("%w: the data key %08x was retired meanwhile", store.ErrChanged, id)
	}
	return t.Tx.Put(key, was, body)
}

func (f *fence) read(tx store.Tx) (*bars, error) {
	rec, err := tx.Get(installationKey)
	if err != nil {
		return nil, err
	}
	if known := f.known.Load(); known != nil && known.revision == rec.Revision {
		return known, nil
	}
	now := &bars{revision: rec.Revision}
	if rec.Exists() {
		found, err := parseInstallation(rec.Body)
		if err != nil { // to a node that is too old, the store is closed
			return nil, fmt.Errorf("%w: %w", store.ErrClosed, err)
		}
		now.keys = found.Barred
	}
	f.known.Store(now)
	return now, nil
}
