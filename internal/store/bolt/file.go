package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"coffer/internal/store"
)

// lockPatience makes bbolt try the lock once, and give a process that is just making
// the file the time to.
const lockPatience = 50 * time.Millisecond

// openFile opens the file with bbolt. The *os.File is bbolt's own; bbolt closes it.
func openFile(path string, o Options) (*bbolt.DB, *os.File, error) {
	opening := &opening{ephemeral: o.Ephemeral}
	db, err := opening.open(path, o.MaxSize)
	if err == nil {
		return db, opening.file, nil
	}
	if opening.file != nil {
		_ = opening.file.Close() // bbolt has closed it, unless it panicked
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, fmt.Errorf("%w: %s: stop the other process, or use another directory", store.ErrLocked, path)
	case errors.Is(err, errDamaged):
		return nil, nil, fmt.Errorf("store: %s is not a whole store of Coffer: %w; nothing was changed; restore it from a backup, or use another directory", path, err)
	}
	return nil, nil, fmt.Errorf("store: %s cannot be opened: %w", path, err)
}

// An opening is what bbolt's open function finds out.
type opening struct {
	ephemeral bool
	created   bool
	file      *os.File
}

func (o *opening) open(path string, maxSize int) (*bbolt.DB, error) {
	var db *bbolt.DB
	// bbolt panics on a file that is damaged inside.
	err := contained(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: lockPatience, MaxSize: maxSize, OpenFile: o.openChecked,
			NoSync: o.ephemeral, NoGrowSync: o.ephemeral, NoStatistics: true,
			// The list of free pages is kept in the file, or opening would have to read all of it.
			FreelistType: bbolt.FreelistMapType,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = contained(func() error { return db.View(isOurs) })
	if err == nil && o.created && !o.ephemeral {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openChecked opens the file for bbolt, and refuses what is not a whole store before
// bbolt touches it.
func (o *opening) openChecked(path string, flag int, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if errors.Is(err, fs.ErrNotExist) {
		o.created = true
		file, err = os.OpenFile(path, flag, mode)
	}
	if err != nil {
		return nil, err
	}
	if o.ephemeral {
		_ = os.Remove(path) // Windows does not allow it; see Store.closeFile
	}
	err = checkFile(file)
	if errors.Is(err, errDamaged) { // another process may be making it at this moment
		time.Sleep(lockPatience)
		err = checkFile(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	o.file = file
	return file, nil
}

// A meta is one of the two pages at the beginning of a bbolt file: 64 bytes in the
// byte order of the machine, behind a page header of 16. The valid one with the higher
// transaction id counts.
type meta struct {
	pageSize, freelist, pages, transaction uint64
}

const (
	pageHeader  = 16
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreelist  = 1<<64 - 1
)

func parseMeta(page []byte) (meta, bool) {
	raw, order := page[pageHeader:pageHeader+metaSize], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(raw[:metaSize-8])
	m := meta{
		pageSize: uint64(order.Uint32(raw[8:])), freelist: order.Uint64(raw[32:]),
		pages: order.Uint64(raw[40:]), transaction: order.Uint64(raw[48:]),
	}
	return m, order.Uint32(raw) == metaMagic && order.Uint32(raw[4:]) == metaVersion && order.Uint64(raw[56:]) == sum.Sum64()
}

// checkFile reports whether a file is empty, or a whole store as far as its first pages
// tell. It is read without the lock: another process may be writing one of the metas,
// but the other one is valid then, and the file only grows.
func checkFile(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	var newest meta
	page := make([]byte, pageHeader+metaSize)
	for offset := int64(0); offset <= 16<<20 && offset < info.Size(); offset = max(2*offset, 1024) { // any size of a page
		if n, _ := file.ReadAt(page, offset); n < len(page) {
			continue
		}
		if m, ok := parseMeta(page); ok && (offset == 0 || m.pageSize == uint64(offset)) && m.transaction >= newest.transaction {
			newest = m
		}
	}
	switch info, err = file.Stat(); {
	case err != nil:
		return err
	case newest.pageSize == 0:
		return errDamaged
	case newest.pages > uint64(info.Size())/newest.pageSize:
		return fmt.Errorf("%w: it has %d bytes and should have %d pages of %d", errDamaged, info.Size(), newest.pages, newest.pageSize)
	case newest.freelist == noFreelist: // as another program's may be; bbolt would add a list
		return errDamaged
	}
	return nil
}

// isOurs reports whether a file of bbolt is a store, or one that nothing was written to.
func isOurs(tx *bbolt.Tx) error {
	if first, _ := tx.Cursor().First(); first == nil {
		return nil
	}
	if t := tablesOf(tx); t.records == nil || t.due == nil || t.dueOf == nil {
		return errDamaged
	}
	return nil
}

// syncDir makes the name of a new file durable.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil // a file system without that promise
	}
	return errors.Join(err, dir.Close())
}
