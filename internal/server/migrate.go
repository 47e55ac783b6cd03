package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"coffer/internal/gate"
	"coffer/internal/store"
)

var storeMigrate = gate.Operation{Name: "StoreMigrate"}

// migrationKey is the place of a record that the store to move to has until it is whole. Its
// body is the installation's id. While it is there everything in the store is the migration's.
const migrationKey store.Key = "migration"

// migrateStep is how many records are copied by one commit.
const migrateStep = 32

// ErrMoved means that the store to move to has the installation already.
var ErrMoved = errors.New("the store to move to holds this installation already, whole: nothing was changed; serve it, and move the old store away")

// A Migrated is what came of a migration.
type Migrated struct {
	Installation string `json:"installation"`
	Records      int    `json:"records"`
	Due          int    `json:"due"`
	Bytes        int64  `json:"bytes"`  // of the bodies
	Copied       int    `json:"copied"` // records; the others were there from an attempt before
}

// Migrate copies everything in the store of the configuration from, which nothing serves, to
// the store of this one, which is empty, or has what an earlier attempt copied. The store to
// move to opens only after everything was compared, record by record. The old one is not
// changed, and both have the same seal.
func (c Config) Migrate(ctx context.Context, from Config, log *slog.Logger) (out Migrated, err error) {
	source, err := from.openToMove(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	options, err := c.options(true, log, nil) // the store need not exist
	if err != nil {
		return out, err
	}
	options.Create = false
	core := &Core{Store: source, Options: options}
	if _, _, err := core.unlock(ctx); err != nil {
		return out, fmt.Errorf("the store to move, with the seal of the configuration to move to: %w; nothing was changed", err)
	}
	to, err := options.openStore(ctx)
	if err != nil {
		return out, fmt.Errorf("the store to move to: %w", err)
	}
	m := &migration{from: source, to: to, out: Migrated{Installation: core.sealing.installed.ID}}
	if err := errors.Join(m.run(ctx), to.Close()); err != nil {
		return m.out, err
	}
	if err := c.mark(ctx, log, storeMigrate); err != nil {
		return m.out, fmt.Errorf("the store was moved, and does not open: %w", err)
	}
	return m.out, nil
}

// openToMove opens a store that exists and that no server of this machine has open.
func (c Config) openToMove(ctx context.Context) (store.Store, error) {
	var status any
	if err := c.ask(ctx, VerbStatus, AdminRequest{}, &status); !errors.Is(err, errNoServer) {
		return nil, fmt.Errorf("a server serves the store to move (%s answers): stop it first; nothing was changed", c.AdminSocket)
	}
	if c.Postgres == nil {
		if _, err := os.Stat(c.Store); err != nil {
			return nil, fmt.Errorf("the store to move cannot be opened: %w", err)
		}
	}
	opened, err := Options{StorePath: c.Store, Postgres: c.Postgres}.openStore(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store to move: %w; nothing was changed", err)
	}
	return opened, nil
}

// A migration is one under way.
type migration struct {
	from, to store.Store
	out      Migrated
}

func (m *migration) run(ctx context.Context) error {
	if err := m.to.Update(ctx, m.claim); err != nil {
		return err
	}
	return m.from.View(ctx, func(source store.Tx) error {
		for _, step := range []func(context.Context, store.Tx) error{m.sweep, m.records, m.dues, m.compare, m.finish} {
			if err := step(ctx, source); err != nil {
				return err
			}
		}
		return nil
	})
}

// claim marks the store to move to, if it is empty.
func (m *migration) claim(tx store.Tx) error {
	marker, err1 := tx.Get(migrationKey)
	installed, err2 := tx.Get(installationKey)
	first, err3 := tx.Scan("", "", 1)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	switch {
	case string(marker.Body) == m.out.Installation:
		return nil // the attempt goes on
	case marker.Exists():
		return fmt.Errorf("another installation is being moved there: %w", ErrNotEmpty)
	case installed.Exists():
		if found, err := parseInstallation(installed.Body); err == nil && found.ID == m.out.Installation {
			return ErrMoved
		}
		return fmt.Errorf("another installation is there: %w", ErrNotEmpty)
	case len(first) > 0:
		return ErrNotEmpty
	}
	return tx.Put(migrationKey, 0, []byte(m.out.Installation))
}

// change changes the store to move to, as long as it is the migration's.
func (m *migration) change(ctx context.Context, fn func(store.Tx) error) error {
	return m.to.Update(ctx, func(tx store.Tx) error {
		marker, err := tx.Get(migrationKey)
		if err == nil && string(marker.Body) != m.out.Installation {
			err = errors.New("another process has ended this migration, or undone it, at the same time: see what the store to move to holds")
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// A walk goes through the records of a store, but for the two that tell whether it is whole.
type walk struct {
	tx    store.Tx
	after store.Key
	page  []store.Record
}

// next returns the next record; it does not exist at the end.
func (w *walk) next() (rec store.Record, err error) {
	for {
		if len(w.page) == 0 {
			if w.page, err = w.tx.Scan("", w.after, migrateStep); err != nil || len(w.page) == 0 {
				return store.Record{}, err
			}
		}
		rec, w.page = w.page[0], w.page[1:]
		if w.after = rec.Key; rec.Key != migrationKey && rec.Key != installationKey {
			return rec, nil
		}
	}
}

// nextPage returns the next records; none at the end.
func (w *walk) nextPage() (page []store.Record, err error) {
	for len(page) < migrateStep {
		rec, err := w.next()
		if err != nil || !rec.Exists() {
			return page, err
		}
		page = append(page, rec)
	}
	return page, nil
}

// sweep removes what an earlier attempt has copied and is not in the source any more.
func (m *migration) sweep(ctx context.Context, source store.Tx) error {
	var gone []store.Record
	err := m.to.View(ctx, func(tx store.Tx) error {
		w := walk{tx: tx}
		for {
			rec, err := w.next()
			if err != nil || !rec.Exists() {
				return err
			}
			if is, err := source.Get(rec.Key); err != nil {
				return err
			} else if !is.Exists() {
				gone = append(gone, store.Record{Key: rec.Key, Revision: rec.Revision})
			}
		}
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	return m.change(ctx, func(tx store.Tx) error {
		for _, rec := range gone {
			is, err := tx.Get(rec.Key)
			if err == nil && is.Exists() {
				err = tx.Delete(rec.Key, rec.Revision)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// records copies the records.
func (m *migration) records(ctx context.Context, source store.Tx) error {
	w := walk{tx: source}
	for {
		page, err := w.nextPage()
		if err != nil || len(page) == 0 {
			return err
		}
		copied := 0
		err = m.change(ctx, func(tx store.Tx) error {
			copied = 0
			for _, rec := range page {
				is, err := tx.Get(rec.Key)
				if err == nil && (!is.Exists() || !bytes.Equal(is.Body, rec.Body)) {
					copied++
					err = tx.Put(rec.Key, is.Revision, rec.Body)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		m.out.Copied += copied
	}
}

// allDue returns every due row.
func allDue(tx store.Tx) (map[store.Key]time.Time, error) {
	rows, err := tx.Due(time.Unix(math.MaxInt64/2000, 0), math.MaxInt32)
	out := make(map[store.Key]time.Time, len(rows))
	for _, row := range rows {
		out[row.Key] = row.At
	}
	return out, err
}

// dues makes the due rows those of the source.
func (m *migration) dues(ctx context.Context, source store.Tx) error {
	want, err := allDue(source)
	if err != nil {
		return err
	}
	return m.change(ctx, func(tx store.Tx) error {
		have, err := allDue(tx)
		if err != nil {
			return err
		}
		for key := range have {
			if _, is := want[key]; !is {
				err = errors.Join(err, tx.SetDue(key, time.Time{}))
			}
		}
		for key, at := range want {
			if is, there := have[key]; !there || !is.Equal(at) {
				err = errors.Join(err, tx.SetDue(key, at))
			}
		}
		return err
	})
}

// compare reads both stores, and counts.
func (m *migration) compare(ctx context.Context, source store.Tx) error {
	return m.to.View(ctx, func(tx store.Tx) error {
		want, have := walk{tx: source}, walk{tx: tx}
		m.out.Records, m.out.Bytes = 0, 0
		for {
			a, err1 := want.next()
			b, err2 := have.next()
			switch err := errors.Join(err1, err2); {
			case err != nil:
				return err
			case a.Key != b.Key || !bytes.Equal(a.Body, b.Body):
				return fmt.Errorf("after the copy the stores differ at %q or %q: something else writes to one of them; stop it, and run the same command again", a.Key, b.Key)
			case !a.Exists():
				return m.compareDue(source, tx)
			}
			m.out.Records++
			m.out.Bytes += int64(len(a.Body))
		}
	})
}

func (m *migration) compareDue(source, tx store.Tx) error {
	want, err1 := allDue(source)
	have, err2 := allDue(tx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for key, at := range want {
		if is, there := have[key]; !there || !is.Equal(at) || len(have) != len(want) {
			return fmt.Errorf("after the copy the due rows differ, at %q or beside: something else writes to one of the stores; stop it, and run the same command again", key)
		}
	}
	m.out.Due = len(want)
	return nil
}

// finish makes the store whole: with the record of the installation it opens.
func (m *migration) finish(ctx context.Context, source store.Tx) error {
	installed, err := source.Get(installationKey)
	if err != nil {
		return err
	}
	err = m.to.Update(ctx, func(tx store.Tx) error {
		marker, err1 := tx.Get(migrationKey)
		is, err2 := tx.Get(installationKey)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if is.Exists() && bytes.Equal(is.Body, installed.Body) && !marker.Exists() { // a rerun of a commit that did happen
			return nil
		}
		return errors.Join(tx.Put(installationKey, 0, installed.Body), tx.Delete(migrationKey, marker.Revision))
	})
	if err != nil {
		return err
	}
	m.out.Records++
	m.out.Bytes += int64(len(installed.Body))
	return nil
}
