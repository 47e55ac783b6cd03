package archive_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"coffer/internal/archive"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/store/bolt"
)

// A world is a store with the keys of its archives.
type world struct {
	store   store.Store
	ring    *seal.Keyring
	granter *seal.Granter
	blobs   []byte
	count   int
}

func openStore(t testing.TB) store.Store {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: openStore(t)}
	if w.ring, w.granter, _, err = seal.Create(root, "i1"); err != nil {
		t.Fatal(err)
	}
	if w.blobs, err = w.ring.CreateBlobs(root); err != nil {
		t.Fatal(err)
	}
	w.put(t, "sys/installation", "i1")
	return w
}

func (w *world) put(t testing.TB, key store.Key, body string) {
	t.Helper()
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		return errors.Join(tx.Put(key, rec.Revision, []byte(body)), tx.SetDue(key, time.UnixMilli(int64(len(body)))))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) remove(t testing.TB, key store.Key) {
	t.Helper()
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Delete(key, rec.Revision)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) key(h archive.Header) (seal.StreamKey, error) {
	return w.ring.OpenStreamKey(w.granter.Read(), h.Key)
}

// save makes an archive, which builds on base if that is not nil.
func (w *world) save(t testing.TB, base []byte) []byte {
	t.Helper()
	key, sealed, err := w.ring.NewStreamKey(w.granter.Write())
	if err != nil {
		t.Fatal(err)
	}
	w.count++
	h := archive.Header{Installation: "i1", ID: fmt.Sprint("a", w.count), Made: time.Unix(1, 0).UTC(), Blobs: w.blobs, Key: sealed}
	var of *archive.Reader
	if base != nil {
		if of, err = archive.NewReader(bytes.NewReader(base), w.key); err != nil {
			t.Fatal(err)
		}
		h.Base = of.Header.ID
	}
	var out bytes.Buffer
	writer, err := archive.NewWriter(&out, h, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.View(t.Context(), func(tx store.Tx) error { _, err := archive.Save(t.Context(), writer, tx, of); return err }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// restore restores archives, the newest first, into a new store.
func (w *world) restore(t testing.TB, archives ...[]byte) (store.Store, error) {
	t.Helper()
	to := openStore(t)
	var chain []*archive.Reader
	var headers []archive.Header
	for _, text := range archives {
		r, err := archive.NewReader(bytes.NewReader(text), w.key)
		if err != nil {
			return to, err
		}
		chain, headers = append(chain, r), append(headers, r.Header)
	}
	if err := archive.CheckChain(headers); err != nil {
		return to, err
	}
	_, err := archive.Restore(t.Context(), to, chain, "sys/installation")
	return to, err
}

// content is everything in a store.
func content(t testing.TB, s store.Store) string {
	t.Helper()
	var out bytes.Buffer
	err := s.View(t.Context(), func(tx store.Tx) error {
		recs, err := tx.Scan("", "", 1<<20)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			fmt.Fprintf(&out, "%s=%s\n", rec.Key, rec.Body)
		}
		rows, err := tx.Due(time.Now(), 1<<20)
		for _, row := range rows {
			fmt.Fprintf(&out, "%s@%s\n", row.Key, row.At)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	for i := range 1500 { // more than one Update of the restoration
		w.put(t, store.Key(fmt.Sprintf("k/%04d", i)), fmt.Sprint("value ", i))
	}
	w.put(t, "k/large", string(make([]byte, 3<<20))) // more than one segment of the stream
	w.put(t, "k/empty", "")
	to, err := w.restore(t, w.save(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, to), content(t, w.store); got != want {
		t.Errorf("%d bytes came back of %d", len(got), len(want))
	}
}

// An archive that builds on others has what has changed, and with them is the whole.
func TestIncremental(t *testing.T) {
	w := newWorld(t)
	for i := range 600 {
		w.put(t, store.Key(fmt.Sprintf("k/%04d", i)), fmt.Sprint("value ", i, string(make([]byte, 100))))
	}
	full := w.save(t, nil)
	w.put(t, "k/0007", "changed")
	w.put(t, "k/new", "new")
	w.remove(t, "k/0300")
	first := w.save(t, full)
	w.put(t, "k/0008", "changed")
	w.put(t, "k/0007", "again")
	w.remove(t, "k/0000")
	w.remove(t, "k/0599")
	second := w.save(t, first)
	if len(second) > len(full)/2 {
		t.Errorf("an archive of a few changes has %d bytes of %d", len(second), len(full))
	}
	to, err := w.restore(t, second, first, full)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, to), content(t, w.store); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	other := w.save(t, nil)
	for name, chain := range map[string][][]byte{
		"no base": {second}, "a base missing": {second, full}, "the last missing": {second, first}, "another": {second, first, other}, "turned": {full, first}, "too many": {full, other},
	} {
		if to, err := w.restore(t, chain...); !errors.Is(err, archive.ErrBase) || content(t, to) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// readAll reads an archive to its end.
func (w *world) readAll(text []byte) error {
	r, err := archive.NewReader(bytes.NewReader(text), w.key)
	if err != nil {
		return err
	}
	_, err = archive.Each(context.Background(), []*archive.Reader{r}, func(archive.Entry) error { return nil })
	return err
}

// Every byte that is altered, and every cut, is refused.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.put(t, store.Key(fmt.Sprintf("k/%04d", i)), fmt.Sprint("value ", i))
	}
	whole := w.save(t, nil)
	if err := w.readAll(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 1 << (i % 8)
		if err := w.readAll(altered); err == nil {
			t.Fatalf("byte %d of %d was altered, and the archive was read", i, len(whole))
		}
		if err := w.readAll(whole[:i]); err == nil {
			t.Fatalf("the archive was cut to %d bytes of %d, and read", i, len(whole))
		}
	}
	if err := w.readAll(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte was appended, and the archive was read")
	}
}

func TestForeignAndNewer(t *testing.T) {
	w := newWorld(t)
	whole := w.save(t, nil)
	if err := newWorld(t).readAll(whole); err == nil {
		t.Error("the archive of another installation was read")
	}
	newer := bytes.Replace(whole, []byte(`"format":1`), []byte(`"format":2`), 1)
	if err := w.readAll(newer); !errors.Is(err, archive.ErrNewer) {
		t.Errorf("a newer archive: %v", err)
	}
	for _, text := range []string{"", "coffer archive\n", "coffer archive\n\xff\xff\xff\xff", "coffer archive\n\x00\x00\x00\x02{}", "something else"} {
		if err := w.readAll([]byte(text)); !errors.Is(err, archive.ErrArchive) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(newWorld(f).save(f, nil))
	f.Add([]byte("coffer archive\n\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, raw, err := archive.ReadHeader(bytes.NewReader(text))
		if err == nil && (h.Format != 1 || h.Installation == "" || !bytes.HasPrefix(text, raw)) {
			t.Errorf("%+v was read", h)
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("E\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("D\x01k\x00\x00\x00\x00\x00\x00\x00\x01E\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("S\x01k0123456789abcdefE\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("R\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := archive.NewPlainReader(bytes.NewReader(text))
		last := store.Key("")
		for {
			e, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, archive.ErrArchive) {
					t.Error(err)
				}
				return
			}
			if e.Kind != 'D' {
				if last != "" && e.Key <= last {
					t.Errorf("%q after %q", e.Key, last)
				}
				last = e.Key
			}
		}
	})
}
