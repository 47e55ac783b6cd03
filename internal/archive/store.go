package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"coffer/internal/store"
)

// A Summary is how much was written or read.
type Summary struct {
	Records int   `json:"records"`
	Changed int   `json:"changed"` // of them, those whose bodies are in the archive itself
	Due     int   `json:"due"`
	Bytes   int64 `json:"bytes"` // of the bodies
}

// scanStep is how many records are read at once.
const scanStep = 256

// Save writes a snapshot. base, which may be nil, is a reader at the beginning of the
// archive that this one builds on.
func Save(ctx context.Context, w *Writer, tx store.Tx, base *Reader) (sum Summary, err error) {
	known := cursor{reader: base}
	for after := store.Key(""); ; {
		recs, err := tx.Scan("", after, scanStep)
		if err != nil {
			return sum, err
		}
		for _, rec := range recs {
			d := digest(rec.Body)
			had, err := known.find(rec.Key)
			if err != nil {
				return sum, err
			}
			same := had != nil && had.Digest == d
			if err := w.Record(rec.Key, d, rec.Body, same); err != nil {
				return sum, err
			}
			if sum.Records++; !same {
				sum.Changed++
				sum.Bytes += int64(len(rec.Body))
			}
		}
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		if len(recs) < scanStep {
			break
		}
		after = recs[len(recs)-1].Key
	}
	rows, err := tx.Due(time.Unix(math.MaxInt64/2000, 0), math.MaxInt32)
	if err != nil {
		return sum, err
	}
	for _, row := range rows {
		if err := w.Due(row); err != nil {
			return sum, err
		}
	}
	sum.Due = len(rows)
	return sum, w.Close()
}

// A cursor finds records of an archive, in key order.
type cursor struct {
	reader *Reader
	entry  *Entry // the next one; nil: not read yet
	ended  bool
}

// find returns the record at key; nil: there is none.
func (c *cursor) find(key store.Key) (*Entry, error) {
	for c.reader != nil && !c.ended {
		if c.entry == nil {
			e, err := c.reader.Next()
			if errors.Is(err, io.EOF) || err == nil && e.Kind == entryDue {
				c.ended = true
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			c.entry = &e
		}
		if c.entry.Key == key {
			return c.entry, nil
		}
		if c.entry.Key > key {
			return nil, nil
		}
		c.entry = nil
	}
	return nil, nil
}

// CheckChain holds the headers of an archive and its bases, the newest first, against each
// other.
func CheckChain(chain []Header) error {
	for i, h := range chain {
		switch {
		case h.Installation != chain[0].Installation:
			return fmt.Errorf("%w: they are of different installations", ErrBase)
		case i+1 < len(chain) && h.Base != chain[i+1].ID:
			return fmt.Errorf("%w: %s needs %s, and not %s", ErrBase, h.ID, orNone(h.Base), chain[i+1].ID)
		case i+1 == len(chain) && h.Base != "":
			return fmt.Errorf("%w: %s needs the archive %s as well", ErrBase, h.ID, h.Base)
		}
	}
	return nil
}

func orNone(base string) string {
	if base == "" {
		return "none"
	}
	return base
}

// Each calls fn with every record and due row of an archive with its bases, the newest
// first. Records have their bodies. It reads each of them to its end.
func Each(ctx context.Context, chain []*Reader, fn func(Entry) error) (sum Summary, err error) {
	bases := make([]cursor, len(chain)-1)
	for i := range bases {
		bases[i].reader = chain[i+1]
	}
	for {
		e, err := chain[0].Next()
		if errors.Is(err, io.EOF) {
			return sum, finish(bases)
		}
		if err != nil {
			return sum, err
		}
		if e.Kind == entryDue {
			sum.Due++
		} else {
			if sum.Records++; e.Kind == entryRecord {
				sum.Changed++
			} else if e.Body, err = body(bases, e); err != nil {
				return sum, err
			}
			sum.Bytes += int64(len(e.Body))
		}
		if err := fn(e); err != nil {
			return sum, err
		}
		if err := ctx.Err(); err != nil {
			return sum, err
		}
	}
}

// body finds the body of a record in the bases.
func body(bases []cursor, e Entry) ([]byte, error) {
	for i := range bases {
		had, err := bases[i].find(e.Key)
		switch {
		case err != nil:
			return nil, err
		case had == nil || had.Digest != e.Digest:
			return nil, fmt.Errorf("%w: its base does not have the record %s", ErrArchive, e.Key)
		case had.Kind == entryRecord:
			return had.Body, nil
		}
	}
	return nil, fmt.Errorf("%w: no base has the record %s", ErrArchive, e.Key)
}

// finish reads the bases to their ends, so that nothing of them goes unverified.
func finish(bases []cursor) error {
	for _, b := range bases {
		for !b.endReached() {
			if _, err := b.reader.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (c cursor) endReached() bool { return c.reader == nil || c.reader.done }

// restoreBytes and restoreStep bound what one Update of a restoration writes.
const (
	restoreBytes = 4 << 20
	restoreStep  = 1000
)

// Restore writes an archive with its bases into an empty store. The record at last is
// written at the very end: a store without it is not whole.
func Restore(ctx context.Context, to store.Store, chain []*Reader, last store.Key) (Summary, error) {
	var batch []Entry
	var held []Entry
	size := 0
	flush := func() error {
		err := put(ctx, to, batch)
		batch, size = nil, 0
		return err
	}
	sum, err := Each(ctx, chain, func(e Entry) error {
		if e.Kind != entryDue && e.Key == last {
			held = append(held, e)
			return nil
		}
		batch, size = append(batch, e), size+len(e.Body)
		if size >= restoreBytes || len(batch) >= restoreStep {
			return flush()
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	if err := flush(); err != nil {
		return sum, err
	}
	if len(held) == 0 {
		return sum, fmt.Errorf("%w: it has no installation", ErrArchive)
	}
	return sum, put(ctx, to, held)
}

func put(ctx context.Context, to store.Store, batch []Entry) error {
	return to.Update(ctx, func(tx store.Tx) error {
		for _, e := range batch {
			if e.Kind == entryDue {
				if err := tx.SetDue(e.Key, e.At); err != nil {
					return err
				}
				continue
			}
			rec, err := tx.Get(e.Key)
			if err != nil {
				return err
			}
			if rec.Exists() && digest(rec.Body) == e.Digest { // a rerun of a commit that did happen
				continue
			}
			if err := tx.Put(e.Key, 0, e.Body); err != nil {
				return err
			}
		}
		return nil
	})
}
