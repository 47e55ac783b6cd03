// Package archive is the file of `coffer backup`: everything of a store, as it was in one
// snapshot, sealed as a stream.
//
// An archive begins with a header in the clear. It says which installation it is of, which
// archive it builds on, and holds what opens it, wrapped: the root key by the seal, the keys
// of what leaves the store by the root key, and the archive's own key by those. So an
// archive and the seal are all that a restoration needs. The header is authenticated with
// the stream, and the stream cannot be altered, reordered or cut (package seal).
//
// The stream is the records in key order, then the due rows, then an end. A record has its
// key, the digest of its body, and the body; in an archive that builds on another one,
// which is its base, a record that the base has as well comes without its body. So every
// archive is also the complete list of what there was, and an archive with its bases is
// read side by side, in constant memory.
package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The errors of this package.
var (
	// ErrArchive means that a file is no archive, or was altered or cut short.
	ErrArchive = errors.New("the archive is not whole: it was altered or cut short, or is no archive of Coffer")
	// ErrNewer means that a newer version of Coffer made the archive.
	ErrNewer = errors.New("the archive was made by a newer version of Coffer: use that version")
	// ErrBase means that an archive builds on another one than it was given.
	ErrBase = errors.New("the archive builds on another one")
)

// format is that of the stream and its header.
const format = 1

// bufferSize is that of the buffers, in bytes.
const bufferSize = 64 << 10

// magic begins every archive; the size of the header follows, 4 bytes big-endian.
const magic = "coffer archive\n"

// maxHeader bounds a header, in bytes.
const maxHeader = 256 << 10

// A Header says what an archive is.
type Header struct {
	Format       int             `json:"format"`
	Installation string          `json:"installation"`
	ID           string          `json:"id"`             // of the archive
	Base         string          `json:"base,omitempty"` // id of the archive that it builds on; empty: none
	Made         time.Time       `json:"made"`
	Seal         json.RawMessage `json:"seal,omitempty"` // the root key, as the server's room knows it
	Blobs        []byte          `json:"blobs"`          // keyset of what leaves the store, wrapped by the root key
	Key          []byte          `json:"key"`            // of this archive, sealed with the keyset
}

// bytes is the header as it is written and authenticated.
func (h Header) bytes() ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("archive: a header of %d bytes; at most %d", len(text), maxHeader)
	}
	return append(binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text))), text...), nil
}

// ReadHeader reads the header of an archive, and its bytes, which are authenticated only
// by what follows. The error is ErrArchive or ErrNewer.
func ReadHeader(r io.Reader) (h Header, raw []byte, err error) {
	raw = make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, raw); err != nil || string(raw[:len(magic)]) != magic {
		return h, nil, ErrArchive
	}
	size := binary.BigEndian.Uint32(raw[len(magic):])
	if size > maxHeader {
		return h, nil, ErrArchive
	}
	raw = append(raw, make([]byte, size)...)
	text := raw[len(magic)+4:]
	if _, err := io.ReadFull(r, text); err != nil {
		return h, nil, ErrArchive
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return h, nil, ErrArchive
	}
	if version.Format > format {
		return h, nil, ErrNewer
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil || decoder.More() || h.Format != format || h.Installation == "" || h.ID == "" {
		return Header{}, nil, ErrArchive
	}
	return h, raw, nil
}

// A Digest tells one body from every other.
type Digest [16]byte

func digest(body []byte) (d Digest) {
	sum := sha256.Sum256(body)
	copy(d[:], sum[:])
	return d
}

// The kinds of entries.
const (
	entryRecord = 'R' // with a body
	entrySame   = 'S' // the base has it
	entryDue    = 'D'
	entryEnd    = 'E'
)

// An Entry is one record or due row.
type Entry struct {
	Kind   byte
	Key    store.Key
	Digest Digest
	Body   []byte    // of a record that is not in the base
	At     time.Time // of a due row
}

// A Writer writes an archive. Records come first, in key order, then due rows.
type Writer struct {
	stream io.WriteCloser
	out    *bufio.Writer
	count  uint64
}

// NewWriter writes the header to w and returns the writer of what follows.
func NewWriter(w io.Writer, h Header, key seal.StreamKey) (*Writer, error) {
	h.Format = format
	raw, err := h.bytes()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	stream, err := key.Seal(w, raw)
	if err != nil {
		return nil, err
	}
	return &Writer{stream: stream, out: bufio.NewWriterSize(stream, bufferSize)}, nil
}

// Record writes a record; same says that the base has it.
func (w *Writer) Record(key store.Key, d Digest, body []byte, same bool) error {
	kind := byte(entryRecord)
	if same {
		kind = entrySame
	}
	if err := w.begin(kind, key); err != nil {
		return err
	}
	if _, err := w.out.Write(d[:]); err != nil || same {
		return err
	}
	return w.field(body)
}

// Due writes a due row.
func (w *Writer) Due(row store.Due) error {
	if err := w.begin(entryDue, row.Key); err != nil {
		return err
	}
	_, err := w.out.Write(binary.BigEndian.AppendUint64(nil, uint64(row.At.UnixMilli())))
	return err
}

func (w *Writer) begin(kind byte, key store.Key) error {
	w.count++
	if err := w.out.WriteByte(kind); err != nil {
		return err
	}
	return w.field([]byte(key))
}

func (w *Writer) field(value []byte) error {
	if _, err := w.out.Write(binary.AppendUvarint(nil, uint64(len(value)))); err != nil {
		return err
	}
	_, err := w.out.Write(value)
	return err
}

// Close ends the archive; it is whole when Close has returned nil.
func (w *Writer) Close() error {
	if err := w.out.WriteByte(entryEnd); err != nil {
		return err
	}
	if _, err := w.out.Write(binary.BigEndian.AppendUint64(nil, w.count)); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	return w.stream.Close()
}

// A Reader reads the entries of an archive.
type Reader struct {
	Header Header
	in     *bufio.Reader
	count  uint64
	last   Entry // to hold the order against
	done   bool  // the end was read
}

// NewReader reads the header of an archive; key returns what opens it. Nothing is returned
// that was not authenticated.
func NewReader(r io.Reader, key func(Header) (seal.StreamKey, error)) (*Reader, error) {
	buffered := bufio.NewReaderSize(r, bufferSize)
	h, raw, err := ReadHeader(buffered)
	if err != nil {
		return nil, err
	}
	k, err := key(h)
	if err != nil {
		return nil, err
	}
	stream, err := k.Open(buffered, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return &Reader{Header: h, in: bufio.NewReaderSize(stream, bufferSize)}, nil
}

// Next returns the next entry. io.EOF means that there are no more, and that the archive
// was whole.
func (r *Reader) Next() (e Entry, err error) {
	if e, err = r.next(); err != nil && !errors.Is(err, io.EOF) {
		return Entry{}, fmt.Errorf("%w (after %d entries)", ErrArchive, r.count)
	}
	return e, err
}

var errEntry = errors.New("archive: an entry is wrong")

func (r *Reader) next() (e Entry, err error) {
	if e.Kind, err = r.in.ReadByte(); err != nil {
		return e, errEntry // the end has an entry of its own
	}
	if e.Kind == entryEnd {
		return e, r.end()
	}
	key, err := r.field(store.MaxKey)
	if err != nil {
		return e, err
	}
	e.Key = store.Key(key)
	switch e.Kind {
	case entryRecord, entrySame:
		if _, err := io.ReadFull(r.in, e.Digest[:]); err != nil {
			return e, errEntry
		}
		if e.Kind == entryRecord {
			if e.Body, err = r.field(store.MaxBody); err != nil || digest(e.Body) != e.Digest {
				return e, errEntry
			}
		}
	case entryDue:
		var at [8]byte
		if _, err := io.ReadFull(r.in, at[:]); err != nil {
			return e, errEntry
		}
		e.At = time.UnixMilli(int64(binary.BigEndian.Uint64(at[:]))).UTC()
	default:
		return e, errEntry
	}
	return e, r.ordered(e)
}

// ordered refuses what no writer writes.
func (r *Reader) ordered(e Entry) error {
	record, before := e.Kind != entryDue, r.last.Kind != entryDue
	if record && (!before || r.count > 0 && e.Key <= r.last.Key) {
		return errEntry
	}
	r.count++
	r.last = Entry{Kind: e.Kind, Key: e.Key}
	return nil
}

func (r *Reader) field(most uint64) ([]byte, error) {
	size, err := binary.ReadUvarint(r.in)
	if err != nil || size > most {
		return nil, errEntry
	}
	value := make([]byte, size)
	if _, err := io.ReadFull(r.in, value); err != nil {
		return nil, errEntry
	}
	return value, nil
}

func (r *Reader) end() error {
	var count [8]byte
	if _, err := io.ReadFull(r.in, count[:]); err != nil || binary.BigEndian.Uint64(count[:]) != r.count {
		return errEntry
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return errEntry
	}
	r.done = true
	return io.EOF
}
