package seal

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A Use is what a keyset is for.
type Use string

// The uses: records of the store and tokens about them; what leaves the store.
const (
	Records Use = "records"
	Blobs   Use = "blobs"
)

// The associated data of a wrapped keyset, before the installation.
const (
	recordKeys = "coffer keyset records 1"
	blobKeys   = "coffer keyset blobs 1"
)

func (u Use) purpose() string {
	if u == Blobs {
		return blobKeys
	}
	return recordKeys
}

// wrappedVersion begins a wrapped keyset.
const wrappedVersion = 1

// tinkPrefix is how a ciphertext of Tink begins: a byte, and the id of its key.
const tinkPrefix = 5

// A keySet is the data keys of one use, ready to be used. It is never changed.
type keySet struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32
	ids     []uint32
}

func newKeySet(handle *keyset.Handle) (*keySet, error) {
	keys, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("seal: the data keys cannot be used: %w", err)
	}
	set := &keySet{handle: handle, aead: keys}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, err
		}
		set.ids = append(set.ids, entry.KeyID())
		if entry.IsPrimary() {
			set.primary = entry.KeyID()
		}
	}
	return set, nil
}

// Keys are the ids of the data keys of a use. The primary one seals, all open.
type Keys struct {
	Primary uint32
	All     []uint32
}

// Keys returns the ids of the keys of a use.
func (r *Keyring) Keys(use Use) Keys {
	set := r.set(use).Load()
	if set == nil {
		return Keys{}
	}
	return Keys{Primary: set.primary, All: slices.Clone(set.ids)}
}

// KeyOf returns the id of the key that a box says it was sealed with; ok is false for
// what is no box.
func KeyOf(box []byte) (id uint32, ok bool) {
	parts, err := cutBox(box)
	return parts.key, err == nil && parts.key != 0
}

// ObjectOf returns the object id that a box has in its place. It is authenticated only
// when the box is opened.
func ObjectOf(box []byte) string {
	parts, _ := cutBox(box) // what is no box has none
	return parts.object
}

// AddKey returns the wrapped keyset with one more key, which is its primary one. The
// keyring itself is as before until the keyset is loaded: whoever keeps it stores it
// first, so that nothing is sealed with a key that could be lost.
func (r *Keyring) AddKey(root RootKey, use Use) (wrapped []byte, err error) {
	manager := keyset.NewManager()
	if set := r.set(use).Load(); set != nil {
		manager = keyset.NewManagerFromHandle(set.handle)
	}
	parameters, err := xaesgcm.NewParameters(xaesgcm.VariantTink, saltSize)
	if err != nil {
		return nil, err
	}
	id, err := manager.AddNewKeyFromParameters(parameters)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	return r.wrap(root, use, manager)
}

// DropKey returns the wrapped keyset without one of its keys, which is not the primary
// one. What was sealed with it never opens again.
func (r *Keyring) DropKey(root RootKey, use Use, id uint32) (wrapped []byte, err error) {
	set := r.set(use).Load()
	if set == nil || !slices.Contains(set.ids, id) {
		return nil, fmt.Errorf("seal: there is no key %08x for %s", id, use)
	}
	manager := keyset.NewManagerFromHandle(set.handle)
	if err := manager.Delete(id); err != nil {
		return nil, fmt.Errorf("seal: the key %08x cannot be dropped: %w", id, err)
	}
	return r.wrap(root, use, manager)
}

// Rewrap returns the keyset of a use, wrapped by another root key.
func (r *Keyring) Rewrap(root RootKey, use Use) (wrapped []byte, err error) {
	return r.wrap(root, use, keyset.NewManagerFromHandle(r.set(use).Load().handle))
}

func (r *Keyring) wrap(root RootKey, use Use, manager *keyset.Manager) ([]byte, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	wrapper, err := root.aead("coffer wrap keysets")
	if err != nil {
		return nil, err
	}
	wrapped := bytes.NewBuffer([]byte{wrappedVersion})
	err = handle.WriteWithAssociatedData(keyset.NewBinaryWriter(wrapped), wrapper, keysetData(use, r.installation))
	return wrapped.Bytes(), err
}

// Load replaces the keys of a use by a wrapped keyset. It may be called while others
// open and seal. The error is ErrRootKey when another root key wrapped it.
func (r *Keyring) Load(root RootKey, use Use, wrapped []byte) error {
	if len(wrapped) == 0 || wrapped[0] != wrappedVersion {
		return ErrLayout
	}
	wrapper, err := root.aead("coffer wrap keysets")
	if err != nil {
		return err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped[1:])), wrapper, keysetData(use, r.installation))
	if err != nil {
		return ErrRootKey // Tink's text would add nothing but "decryption failed"
	}
	set, err := newKeySet(handle)
	if err != nil {
		return err
	}
	r.set(use).Store(set)
	return nil
}

func keysetData(use Use, installation string) []byte {
	return appendField(appendField(nil, use.purpose()), installation)
}

// OnUnknownKey names what is called when a box has the id of a key that the keyring
// does not have: another node may have added it, and stored it before it sealed the
// box. fn loads the keysets as they are stored, or returns an error.
func (r *Keyring) OnUnknownKey(fn func() error) { r.refresh.Store(&fn) }

// keysFor are the keys that open a box with a key id, as far as they can be had.
func (r *Keyring) keysFor(purpose string, id uint32) (*keySet, error) {
	keys, err := r.keys(purpose)
	if err != nil || id == 0 || slices.Contains(keys.ids, id) {
		return keys, err
	}
	fn := r.refresh.Load()
	if fn == nil || purpose != PurposeRecord && !r.mayAsk() {
		return keys, nil
	}
	if err := (*fn)(); err != nil {
		return nil, fmt.Errorf("seal: a box has a key that is not known here, and the keys cannot be read again: %w", err)
	}
	return r.keys(purpose)
}

// askEvery is how often what comes from outside, where anybody can make up the id of a key,
// may have the keys read again. A token that another node has just sealed with a new key may
// have to be shown a second time, therefore.
const askEvery = time.Second

func (r *Keyring) mayAsk() bool {
	now, last := time.Now().UnixNano(), r.asked.Load()
	return now-last >= int64(askEvery) && r.asked.CompareAndSwap(last, now)
}

func (r *Keyring) set(use Use) *atomic.Pointer[keySet] {
	if use == Blobs {
		return &r.blobs
	}
	return &r.records
}
