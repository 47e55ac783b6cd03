package storetest

import (
	"errors"
	"testing"
	"time"

	"coffer/internal/store"
)

func testDue(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.SetDue("b", second(5)), tx.SetDue("a", second(5)), tx.SetDue("c", time.Unix(3, 999_999)), tx.SetDue("late", second(2000)))
	})
	rows := dueRows(t, s)
	if len(rows) != 3 || rows[0].Key != "c" || rows[1].Key != "a" || rows[2].Key != "b" || !rows[0].At.Equal(second(3)) || rows[0].At.Location() != time.UTC {
		t.Fatalf("%v", rows)
	}
	rec := get(t, s, "a")
	update(t, s, func(tx store.Tx) error {
		if err := errors.Join(tx.SetDue("c", second(9)), tx.SetDue("b", time.Time{}), tx.Delete("a", rec.Revision)); err != nil {
			return err
		}
		own, err := tx.Due(second(1000), 1)
		if len(own) != 1 || own[0].Key != "c" || !own[0].At.Equal(second(9)) {
			t.Errorf("inside: %v", own)
		}
		return err
	})
	if rows := dueRows(t, s); len(rows) != 1 || rows[0].Key != "c" || !rows[0].At.Equal(second(9)) {
		t.Errorf("%v", rows)
	}
}

// Rows come in the order of time, then key; until is inside; a limit takes the earliest,
// inside an Update as well, where own rows are among them.
func testDueOrder(t *testing.T, o Opener) {
	s := open(t, o)
	times := map[store.Key]time.Time{
		"ancient": second(-5), "epoch": time.Unix(0, 0), "b": second(7), "a": second(7), "soon": time.Unix(7, 1e6), "never": time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	put(t, s, "moved", "x")
	update(t, s, func(tx store.Tx) error {
		for key, at := range times {
			if err := tx.SetDue(key, at); err != nil {
				return err
			}
		}
		return errors.Join(tx.SetDue("moved", second(1)), tx.SetDue("removed", second(1)))
	})
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.SetDue("moved", second(6)), tx.SetDue("removed", time.Time{}), tx.SetDue("own", second(-7)))
		checkDue(t, tx, second(7), 100, "own", "ancient", "epoch", "moved", "a", "b")
		checkDue(t, tx, second(7), 4, "own", "ancient", "epoch", "moved")
		return err
	})
	view(t, s, func(tx store.Tx) error {
		checkDue(t, tx, second(7), 100, "own", "ancient", "epoch", "moved", "a", "b")
		checkDue(t, tx, second(7).Add(-time.Millisecond), 100, "own", "ancient", "epoch", "moved")
		checkDue(t, tx, second(7), 5, "own", "ancient", "epoch", "moved", "a")
		checkDue(t, tx, second(7), 1, "own")
		checkDue(t, tx, second(-8), 1)
		checkDue(t, tx, time.Time{}, 1)
		checkDue(t, tx, time.Unix(1<<60, 0), 100, "own", "ancient", "epoch", "moved", "a", "b", "soon", "never")
		if _, err := tx.Due(second(7), 0); err == nil {
			t.Error("a limit of 0")
		}
		return nil
	})
}

func checkDue(t *testing.T, tx store.Tx, until time.Time, limit int, want ...store.Key) {
	t.Helper()
	rows, err := tx.Due(until, limit)
	if err != nil || len(rows) != len(want) {
		t.Errorf("%v, %v; want %v", rows, err, want)
		return
	}
	for i, row := range rows {
		if row.Key != want[i] {
			t.Errorf("%d: %v; want %q", i, row, want[i])
		}
	}
}

// A due row needs no record, and neither makes one nor changes its revision.
func testDueWithoutRecord(t *testing.T, o Opener) {
	s := open(t, o)
	put(t, s, "a", "1")
	before := get(t, s, "a")
	for _, at := range []time.Time{second(5), second(6), {}} {
		update(t, s, func(tx store.Tx) error { return errors.Join(tx.SetDue("none", at), tx.SetDue("a", at)) })
		if get(t, s, "none").Exists() || get(t, s, "a").Revision != before.Revision {
			t.Error("a due row made a record, or changed one")
		}
		if rows := dueRows(t, s); len(rows) != map[bool]int{false: 2, true: 0}[at.IsZero()] {
			t.Errorf("%v: %v", at, rows)
		}
	}
	update(t, s, func(tx store.Tx) error { return tx.SetDue("none", time.Time{}) })
	update(t, s, func(tx store.Tx) error { // deleted and made again: the row is gone
		if err := errors.Join(tx.SetDue("a", second(1)), tx.Delete("a", before.Revision)); err != nil {
			return err
		}
		return tx.Put("a", 0, nil)
	})
	if rows := dueRows(t, s); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
}
