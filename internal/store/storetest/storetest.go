// Package storetest is the specification of a store as a test suite, which every engine
// runs, and a store that fails, for the tests of everything above.
//
// An engine's own test is one call of Run. What the suite cannot see from outside, such
// as kill -9, a full disk or a second process, the engine tests by itself.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"coffer/internal/store"
)

// An Opener opens the same store each time it is called with the same test; a store
// that was closed has to be found as it was.
type Opener func(t *testing.T) store.Store

// Run runs the suite. fresh returns an Opener of a store that is empty.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	tests := []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"PutGetDelete", testPutGetDelete}, {"GetManyAsks", testManyAsks}, {"IfNot", testIfNot}, {"BodiesAreCopies", testCopies},
		{"Revisions", testRevisions}, {"ChangedKeepsNothing", testChanged}, {"Limits", testLimits}, {"AnyBytes", testAnyBytes},

		{"Scan", testScan}, {"ScanPages", testScanPages}, {"OwnChanges", testOwnChanges}, {"ScanMergesOwnChanges", testScanMerges},
		{"FailingFunction", testFailingFunction}, {"Panic", testPanic}, {"EndedGoroutine", testGoexit}, {"ReadOnly", testReadOnly},
		{"NothingChanged", testNothingChanged}, {"Context", testContext}, {"Closed", testClosed}, {"CloseWaits", testCloseWaits}, {"Reopen", testReopen},

		{"Due", testDue}, {"DueOrder", testDueOrder}, {"DueWithoutRecord", testDueWithoutRecord},

		{"GetIsOneSnapshot", testSnapshot}, {"ViewIsOneSnapshot", testViewSnapshot}, {"AcknowledgedIsSeen", testAcknowledged},
		{"Counters", testCounters}, {"WriteSkew", testWriteSkew}, {"Phantoms", testPhantoms}, {"Model", testModel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

var ctx = context.Background()

func open(t *testing.T, o Opener) store.Store {
	t.Helper()
	s := o(t)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func update(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.View(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, key store.Key, body string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		rec, err := tx.Get(key)
		return errors.Join(err, tx.Put(key, rec.Revision, []byte(body)))
	})
}

func get(t *testing.T, s store.Store, key store.Key) store.Record {
	t.Helper()
	recs, err := s.Get(ctx, store.Ask{Key: key})
	if err != nil || len(recs) != 1 || recs[0].Key != key {
		t.Fatalf("%v, %v", recs, err)
	}
	return recs[0]
}

func dueRows(t *testing.T, s store.Store) (rows []store.Due) {
	t.Helper()
	view(t, s, func(tx store.Tx) (err error) {
		rows, err = tx.Due(time.Unix(1000, 0), 100)
		return err
	})
	return rows
}
