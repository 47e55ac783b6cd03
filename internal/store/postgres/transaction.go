package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"coffer/internal/store"
)

// A transaction keeps what it changes to itself until the commit.
type transaction struct {
	ctx      context.Context //nolint:containedctx // of the call of View or Update that it is the transaction of
	tx       pgx.Tx
	readOnly bool
	failed   error // the database's first error; the transaction is of no use then
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

// pending is the revision that a record has inside the transaction which put it. No
// committed one has it.
const pending store.Revision = 1<<64 - 1

// fail keeps the database's error, so that a function that hides it changes nothing.
func (t *transaction) fail(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// query reads rows of key, revision and body.
func (t *transaction) query(sql string, args ...any) ([]store.Record, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	rows, err := t.tx.Query(t.ctx, sql, args...)
	if err != nil {
		return nil, t.fail(err)
	}
	recs, err := collect(rows)
	return recs, t.fail(err)
}

// Get implements store.Tx.
func (t *transaction) Get(key store.Key) (store.Record, error) {
	if c, ok := t.puts[key]; ok {
		return c.record(key), nil
	}
	recs, err := t.query(`SELECT key, revision, body FROM coffer_records WHERE key = $1`, []byte(key))
	if err != nil || len(recs) == 0 {
		return store.Record{Key: key}, err
	}
	return recs[0], nil
}

// record is the record that the change is going to make.
func (c change) record(key store.Key) store.Record {
	if c.removed {
		return store.Record{Key: key}
	}
	return store.Record{Key: key, Revision: pending, Body: append(make([]byte, 0, len(c.body)), c.body...)}
}

// Scan implements store.Tx. It merges what the database has with what the transaction has
// put and removed: of the database it reads so many more as could be among those.
func (t *transaction) Scan(prefix, after store.Key, limit int) ([]store.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: a scan needs a limit of at least 1, not %d", limit)
	}
	var own []store.Record
	changed := 0
	for key, c := range t.puts {
		if key <= after || !strings.HasPrefix(string(key), string(prefix)) {
			continue
		}
		if changed++; !c.removed {
			own = append(own, c.record(key))
		}
	}
	base, err := t.scanBase(prefix, after, limit+changed)
	if err != nil {
		return nil, err
	}
	for _, rec := range base {
		if _, is := t.puts[rec.Key]; !is {
			own = append(own, rec)
		}
	}
	slices.SortFunc(own, func(a, b store.Record) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return own[:min(limit, len(own))], nil
}

func (t *transaction) scanBase(prefix, after store.Key, limit int) ([]store.Record, error) {
	from := []byte(prefix)
	if after >= prefix {
		from = append([]byte(after), 0) // the next key that there could be
	}
	if after == "" {
		from = []byte(prefix)
	}
	if until := pastPrefix(prefix); until != nil {
		return t.query(`SELECT key, revision, body FROM coffer_records WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3`, from, until, limit)
	}
	return t.query(`SELECT key, revision, body FROM coffer_records WHERE key >= $1 ORDER BY key LIMIT $2`, from, limit)
}

// pastPrefix is the first key after all that begin with prefix; nil when there is none.
func pastPrefix(prefix store.Key) []byte {
	until := bytes.TrimRight([]byte(prefix), "\xff")
	if len(until) == 0 {
		return nil
	}
	until[len(until)-1]++
	return until
}

// is returns the revision of the record at key, without reading the body.
func (t *transaction) is(key store.Key) (store.Revision, error) {
	if c, ok := t.puts[key]; ok {
		return c.record(key).Revision, nil
	}
	recs, err := t.query(`SELECT key, revision, NULL::bytea FROM coffer_records WHERE key = $1`, []byte(key))
	if err != nil || len(recs) == 0 {
		return 0, err
	}
	return recs[0].Revision, nil
}

// Put implements store.Tx.
func (t *transaction) Put(key store.Key, was store.Revision, body []byte) error {
	if t.readOnly {
		return store.ErrReadOnly
	}
	if err := errors.Join(store.CheckKey(key), store.CheckBody(key, body)); err != nil {
		return err
	}
	if is, err := t.is(key); err != nil {
		return err
	} else if is != was {
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
	if is, err := t.is(key); err != nil {
		return err
	} else if was == 0 || is != was {
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
	if t.failed != nil {
		return nil, t.failed
	}
	base, err := t.tx.Query(t.ctx, `SELECT key, at FROM coffer_due WHERE at <= $1 ORDER BY at, key LIMIT $2`, store.Millis(until), limit+len(t.dues))
	if err != nil {
		return nil, t.fail(err)
	}
	rows, err := pgx.CollectRows(base, scanDue)
	if err != nil {
		return nil, t.fail(err)
	}
	rows = slices.DeleteFunc(rows, func(d store.Due) bool { _, changed := t.dues[d.Key]; return changed })
	for key, own := range t.dues {
		if !own.removed && own.at <= store.Millis(until) {
			rows = append(rows, store.Due{Key: key, At: time.UnixMilli(own.at).UTC()})
		}
	}
	slices.SortFunc(rows, store.Due.Compare)
	return rows[:min(limit, len(rows))], nil
}

func scanDue(row pgx.CollectableRow) (store.Due, error) {
	var key []byte
	var at int64
	err := row.Scan(&key, &at)
	return store.Due{Key: store.Key(key), At: time.UnixMilli(at).UTC()}, err
}
