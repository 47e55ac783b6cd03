// Package seal is envelope encryption: a root key wraps data keys, data keys seal
// records. It decides nothing: who may open or seal is in the Grant, which only the
// room that decides can make.
//
// A root key (rootkey.go) comes from a file or from a Provider, which keeps it safe by
// other means (provider.go; the providers are in the folders below), and is in memory
// while the server runs. It wraps the keysets of data keys, which the store keeps; both
// are replaced while boxes are opened and sealed (rotate.go). The data keys are XAES-256-GCM, by Tink: a
// record may be sealed any number of times with random nonces. Every box carries the
// id of its key, so keys can be rotated while old boxes stay readable.
//
// What a box belongs to is its Place. All of it is associated data, together with the
// id of the installation, so a box that was moved, swapped, altered, or left behind by
// a namesake that was purged does not open. That one box was put back as it was
// earlier, or removed, is not detected here.
//
//	ring, granter, wrapped, err := seal.Create(root, installation) // keep wrapped
//	box, err := ring.Seal(granter.Write(), place, plaintext)
//	plaintext, at, err := ring.Open(granter.Read(), place, box)
package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// The errors of this package.
var (
	// ErrRootKey means that the root key is not the one that wrapped the data keys, or
	// that they are of another installation.
	ErrRootKey = errors.New("seal: the root key does not open this store: use the root key that the store was made with, or another store")
	// ErrSealed means that a box does not open at this place: it was altered, moved, or
	// belongs to something else.
	ErrSealed = errors.New("seal: a record does not open at its place; it was altered or moved")
	// ErrLayout means that a newer version of Coffer wrote the box.
	ErrLayout = errors.New("seal: a record was written by a newer version of Coffer; use that version")
	// ErrNoGrant means that there is no grant for what was asked.
	ErrNoGrant = errors.New("seal: no grant for this")
)

// The purposes. A box that was sealed for one never opens for another.
const (
	PurposeRecord    = "record"
	PurposeSkipToken = "skip-token"
	PurposeOperation = "operation" // of the addresses of long operations
	PurposeRefresh   = "refresh-token"
	PurposeDevice    = "device-code"
	PurposeBackup    = "backup" // of blobs that leave the store; they have a keyset of their own
)

// A Place is where a sealed thing belongs.
type Place struct {
	Purpose string
	Vault   string // instance id of the vault; empty for what belongs to the installation
	Kind    string // such as "vault", "certificate", "operation"
	Name    string // folded
	// Object is the instance id of the object. Open takes it from the box when it is
	// empty; it is authenticated either way.
	Object  string
	Version string // empty for a head
	Format  int    // of the plaintext; Open takes it from the box
}

// A Keyring seals and opens. It is safe for any number of goroutines.
type Keyring struct {
	installation   string
	records, blobs atomic.Pointer[keySet] // blobs: nil until CreateBlobs or OpenBlobs
	refresh        atomic.Pointer[func() error]
	asked          atomic.Int64 // Unix nanoseconds: when something from outside had the keys read again
}

// A Grant is the proof that something was decided. Only a Granter makes one; the zero
// Grant opens and seals nothing.
type Grant struct {
	rights rights
	kinds  []string // empty: all
}

type rights int

const (
	none rights = iota
	reads
	writes
)

// A Granter makes grants. One comes with each Keyring, for the one room that decides.
type Granter struct{ _ int }

// Read returns a grant that opens records of the kinds, or of all if none is named.
func (*Granter) Read(kinds ...string) Grant { return Grant{rights: reads, kinds: kinds} }

// Write returns a grant that also seals.
func (*Granter) Write(kinds ...string) Grant { return Grant{rights: writes, kinds: kinds} }

// answers are the purposes of what is an answer, or part of it.
var answers = []string{PurposeSkipToken, PurposeBackup, PurposeRefresh, PurposeDevice}

// allows reports whether the grant is good for a right at a place. A reader seals
// nothing but answers.
func (g Grant) allows(want rights, p Place) bool {
	if slices.Contains(answers, p.Purpose) {
		want = reads
	}
	return g.rights >= want && (len(g.kinds) == 0 || slices.Contains(g.kinds, p.Kind))
}

// Create makes the data keys of a new installation. The caller keeps wrapped, which
// is of no use without the root key.
func Create(root RootKey, installation string) (*Keyring, *Granter, []byte, error) {
	r := &Keyring{installation: installation}
	wrapped, err := r.AddKey(root, Records)
	if err != nil {
		return nil, nil, nil, err
	}
	return r, &Granter{}, wrapped, r.Load(root, Records, wrapped)
}

// Open unwraps the data keys that Create made. The error is ErrRootKey when the root
// key or the installation is another one.
func Open(root RootKey, installation string, wrapped []byte) (*Keyring, *Granter, error) {
	r := &Keyring{installation: installation}
	if err := r.Load(root, Records, wrapped); err != nil {
		return nil, nil, err
	}
	return r, &Granter{}, nil
}

// OpenArchive is Open for who has an archive and no store: the keyring has the keys of
// what leaves the store, and no others.
func OpenArchive(root RootKey, installation string, blobs []byte) (*Keyring, *Granter, error) {
	r := &Keyring{installation: installation}
	if err := r.Load(root, Blobs, blobs); err != nil {
		return nil, nil, err
	}
	return r, &Granter{}, nil
}

// CreateBlobs makes the data keys of what leaves the store. They are apart from those
// of records, so that rotating these never makes a blob unreadable. The caller keeps
// wrapped.
func (r *Keyring) CreateBlobs(root RootKey) (wrapped []byte, err error) {
	if wrapped, err = r.AddKey(root, Blobs); err != nil {
		return nil, err
	}
	return wrapped, r.Load(root, Blobs, wrapped)
}

// OpenBlobs unwraps the data keys that CreateBlobs made.
func (r *Keyring) OpenBlobs(root RootKey, wrapped []byte) error { return r.Load(root, Blobs, wrapped) }

// keys are those of a purpose.
func (r *Keyring) keys(purpose string) (*keySet, error) {
	use := Records
	if purpose == PurposeBackup {
		use = Blobs
	}
	keys := r.set(use).Load()
	if keys == nil {
		return nil, fmt.Errorf("seal: there are no keys for the purpose %q", purpose)
	}
	return keys, nil
}

// A box is its layout (1 byte), the format and the object id of its place, and the
// ciphertext, which begins with the id of its key.
const boxLayout = 1

// maxFormat bounds what a header may claim.
const maxFormat = 1 << 16

// Seal seals plain for its place. p.Format and p.Object have to be set.
func (r *Keyring) Seal(g Grant, p Place, plain []byte) ([]byte, error) {
	if !g.allows(writes, p) {
		return nil, ErrNoGrant
	}
	keys, err := r.keys(p.Purpose)
	if err != nil {
		return nil, err
	}
	sealed, err := keys.aead.Encrypt(plain, r.data(p))
	if err != nil {
		return nil, fmt.Errorf("seal: sealing a record: %w", err)
	}
	box := make([]byte, 0, 1+2*binary.MaxVarintLen32+len(p.Object)+len(sealed))
	box = append(box, boxLayout)
	box = binary.AppendUvarint(box, uint64(p.Format))
	box = appendField(box, p.Object)
	return append(box, sealed...), nil
}

// Open opens a box that was sealed for the place p. The place that it returns has the
// object id and the format of the box. The error is ErrSealed when the box does not
// belong there.
func (r *Keyring) Open(g Grant, p Place, box []byte) ([]byte, Place, error) {
	if !g.allows(reads, p) {
		return nil, p, ErrNoGrant
	}
	parts, err := cutBox(box)
	if err != nil {
		return nil, p, err
	}
	if p.Object != "" && p.Object != parts.object {
		return nil, p, ErrSealed
	}
	keys, err := r.keysFor(p.Purpose, parts.key)
	if err != nil {
		return nil, p, err
	}
	p.Object, p.Format = parts.object, parts.format
	plain, err := keys.aead.Decrypt(parts.sealed, r.data(p))
	if err != nil {
		return nil, p, ErrSealed
	}
	return plain, p, nil
}

// A cut is a box, taken apart. Nothing of it is authenticated.
type cut struct {
	format int
	object string
	sealed []byte
	key    uint32 // zero: too short to have one
}

func cutBox(box []byte) (c cut, err error) {
	if len(box) == 0 {
		return c, ErrSealed
	}
	if box[0] != boxLayout {
		return c, ErrLayout
	}
	format, n := binary.Uvarint(box[1:])
	if n <= 0 || format > maxFormat {
		return c, ErrSealed
	}
	object, sealed, ok := cutField(box[1+n:])
	if !ok {
		return c, ErrSealed
	}
	c = cut{format: int(format), object: object, sealed: sealed}
	if len(sealed) > tinkPrefix {
		c.key = binary.BigEndian.Uint32(sealed[1:tinkPrefix])
	}
	return c, nil
}

// data is the associated data of a place: every field with its length before it, so
// that no two places are alike.
func (r *Keyring) data(p Place) []byte {
	data := make([]byte, 0, 256)
	for _, field := range []string{p.Purpose, r.installation, p.Vault, p.Kind, p.Name, p.Object, p.Version} {
		data = appendField(data, field)
	}
	return binary.AppendUvarint(data, uint64(p.Format))
}

func appendField(to []byte, field string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(field))), field...)
}

func cutField(from []byte) (field string, rest []byte, ok bool) {
	size, n := binary.Uvarint(from)
	if n <= 0 || size > uint64(len(from)-n) {
		return "", nil, false
	}
	return string(from[n : n+int(size)]), from[n+int(size):], true
}
