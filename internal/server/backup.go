package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"coffer/internal/archive"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// VerbBackup is `coffer backup`.
const VerbBackup = "backup"

var (
	storeBackup  = gate.Operation{Name: "StoreBackup"}
	storeRestore = gate.Operation{Name: "StoreRestore"}
)

// ErrNotEmpty means that the store to restore to has something in it.
var ErrNotEmpty = errors.New("the store is not empty: nothing was changed; name a store that does not exist yet in the configuration, or move the old one away")

// A BackedUp is what came of a backup.
type BackedUp struct {
	File string    `json:"file"`
	ID   string    `json:"id"`
	Base string    `json:"base,omitempty"`
	Made time.Time `json:"made"`
	archive.Summary
}

// backup writes an archive of one snapshot to a file that does not exist yet. It has its
// name when it is whole.
func (c *Core) backup(ctx context.Context, path, base string) (out BackedUp, err error) {
	if !filepath.IsAbs(path) || base != "" && !filepath.IsAbs(base) {
		return out, errors.New("the paths of archives are absolute")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return out, fmt.Errorf("%s exists already: nothing was changed; name another file", path)
	}
	err = c.Gate.System(ctx, operator, storeBackup, gate.Subject{}, func(g seal.Grant) error {
		partial, err := os.CreateTemp(filepath.Dir(path), ".backup-") // 0600
		if err != nil {
			return err
		}
		defer os.Remove(partial.Name())
		to := newSpool(partial)
		out, err = c.writeArchive(ctx, g, to, base)
		if err := errors.Join(err, to.Close()); err != nil {
			return err
		}
		out.File = path
		if err := nameNew(partial.Name(), path); err != nil {
			return err
		}
		return syncDir(filepath.Dir(path))
	})
	return out, err
}

// nameNew gives a file a name that no other has. Where the file system has no links, a file
// that came by the name in this instant is replaced.
func nameNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(from, to)
}

// syncDir makes a new name durable, where the system can.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = dir.Sync() // not every file system has that promise
	return dir.Close()
}

func (c *Core) writeArchive(ctx context.Context, g seal.Grant, to io.Writer, basePath string) (out BackedUp, err error) {
	keyring := c.sealing.keyring
	key, sealed, err := keyring.NewStreamKey(g)
	if err != nil {
		return out, err
	}
	_, installed, _ := c.sealing.now()
	h := archive.Header{Installation: installed.ID, ID: randomID(), Made: time.Now().UTC().Truncate(time.Second), Blobs: installed.Blobs, Key: sealed}
	if installed.Seal != nil {
		if h.Seal, err = json.Marshal(installed.Seal); err != nil {
			return out, err
		}
	}
	var base *archive.Reader
	if basePath != "" {
		file, err := os.Open(basePath)
		if err != nil {
			return out, fmt.Errorf("the base cannot be read: %w", err)
		}
		defer file.Close()
		base, err = archive.NewReader(file, func(of archive.Header) (seal.StreamKey, error) {
			if of.Installation != installed.ID {
				return seal.StreamKey{}, fmt.Errorf("the base %s is of another installation: %s", basePath, of.Installation)
			}
			return keyring.OpenStreamKey(g, of.Key)
		})
		if err != nil {
			return out, fmt.Errorf("the base %s: %w", basePath, err)
		}
		h.Base = base.Header.ID
	}
	w, err := archive.NewWriter(to, h, key)
	if err != nil {
		return out, err
	}
	out = BackedUp{ID: h.ID, Base: h.Base, Made: h.Made}
	err = c.Store.View(ctx, func(tx store.Tx) (err error) {
		out.Summary, err = archive.Save(ctx, w, tx, base)
		return err
	})
	return out, err
}

// A Restored is what came of a restoration.
type Restored struct {
	Installation string    `json:"installation"`
	Made         time.Time `json:"made"` // when the archive was
	archive.Summary
}

// Restore writes an archive, with the archives that it builds on after it, into the store
// of the configuration, which is empty or does not exist. Everything is verified before
// anything is written.
func (c Config) Restore(ctx context.Context, paths []string, log *slog.Logger) (out Restored, err error) {
	provider, err := SealChoice{RootKeyFile: c.RootKeyFile, Seal: c.Seal}.open(c.Prompt)
	if err != nil {
		return out, err
	}
	chain := restoration{provider: provider}
	if err := chain.open(ctx, paths); err != nil {
		return out, err
	}
	defer chain.close()
	if _, err := archive.Each(ctx, chain.readers, func(archive.Entry) error { return nil }); err != nil {
		return out, fmt.Errorf("%w; nothing was changed", err)
	}
	if err := chain.open(ctx, paths); err != nil { // again, from the beginning
		return out, err
	}
	out = Restored{Installation: chain.readers[0].Header.Installation, Made: chain.readers[0].Header.Made}
	if out.Summary, err = c.restoreStore(ctx, chain.readers); err != nil {
		return out, err
	}
	return out, c.markRestored(ctx, log)
}

func (c Config) restoreStore(ctx context.Context, readers []*archive.Reader) (sum archive.Summary, err error) {
	to, err := Options{StorePath: c.Store, Postgres: c.Postgres}.openStore(ctx)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := mustBeEmpty(ctx, to); err != nil {
		return sum, err
	}
	if sum, err = archive.Restore(ctx, to, readers, installationKey); err != nil {
		return sum, fmt.Errorf("%w; the store is not whole and does not open: move it away, and restore again", err)
	}
	return sum, nil
}

// Filled reports whether the store of the configuration exists and has something in it.
func (c Config) Filled(ctx context.Context) (filled bool, err error) {
	if c.Postgres == nil {
		if _, err := os.Stat(c.Store); errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
	}
	s, err := Options{StorePath: c.Store, Postgres: c.Postgres}.openStore(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = mustBeEmpty(ctx, s)
	if errors.Is(err, ErrNotEmpty) {
		return true, nil
	}
	return false, err
}

func mustBeEmpty(ctx context.Context, s store.Store) error {
	return s.View(ctx, func(tx store.Tx) error {
		recs, err := tx.Scan("", "", 1)
		if err == nil && len(recs) > 0 {
			err = ErrNotEmpty
		}
		return err
	})
}

// markRestored opens what was restored, as a start does, and writes a line into the audit
// log, whose chain goes on from there.
func (c Config) markRestored(ctx context.Context, log *slog.Logger) error {
	err := c.pinRemoved().mark(ctx, log, storeRestore)
	if errors.Is(err, ErrRolledBack) {
		return fmt.Errorf("the store was restored, and is older than the pin, as it must be: remove the pin file, and pin again once the server runs: %w", err)
	}
	if err != nil {
		return fmt.Errorf("the store was restored, and does not open: %w", err)
	}
	return nil
}

// mark opens the store, as a start does, and writes a line of what was done to it.
func (c Config) mark(ctx context.Context, log *slog.Logger, done gate.Operation) error {
	core, err := c.open(ctx, false, log, nil)
	if err != nil {
		return err
	}
	err = core.Gate.System(ctx, operator, done, gate.Subject{}, func(seal.Grant) error { return core.advance(ctx) })
	return errors.Join(err, core.Close())
}

// A restoration is the archives of one, the newest first.
type restoration struct {
	provider seal.Provider
	root     *seal.RootKey // of the first archive; asked for once
	wrapped  []byte        // that it was unwrapped from
	files    []*os.File
	readers  []*archive.Reader
}

func (r *restoration) close() {
	for _, file := range r.files {
		_ = file.Close()
	}
	r.files, r.readers = nil, nil
}

// open opens the archives at their beginnings.
func (r *restoration) open(ctx context.Context, paths []string) error {
	r.close()
	var headers []archive.Header
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("the archive cannot be read: %w", err)
		}
		r.files = append(r.files, file)
		reader, err := archive.NewReader(file, func(h archive.Header) (seal.StreamKey, error) { return r.key(ctx, h) })
		if err != nil {
			return fmt.Errorf("%s: %w; nothing was changed", path, err)
		}
		r.readers, headers = append(r.readers, reader), append(headers, reader.Header)
	}
	if err := archive.CheckChain(headers); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	return nil
}

// key opens the key of an archive: the seal opens the root key, and so on.
func (r *restoration) key(ctx context.Context, h archive.Header) (key seal.StreamKey, err error) {
	if r.root == nil || !bytes.Equal(r.wrapped, h.Seal) {
		var found installation
		if h.Seal != nil {
			found.Seal = &sealedRoot{}
			if err := json.Unmarshal(h.Seal, found.Seal); err != nil {
				return key, archive.ErrArchive
			}
		}
		root, err := rootOf(ctx, r.provider, found)
		if err != nil {
			return key, fmt.Errorf("the archive is of the installation %s: %w", h.Installation, err)
		}
		r.root, r.wrapped = &root, h.Seal
	}
	keyring, granter, err := seal.OpenArchive(*r.root, h.Installation, h.Blobs)
	if err != nil {
		return key, fmt.Errorf("the archive is of the installation %s, or was altered: %w", h.Installation, err)
	}
	if key, err = keyring.OpenStreamKey(granter.Read(), h.Key); err != nil {
		return key, archive.ErrArchive
	}
	return key, nil
}
