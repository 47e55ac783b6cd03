package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The record of the installation. It is not sealed: it is what opening begins with. Its
// keysets are wrapped by the root key, and bound to the id.
const installationKey store.Key = "sys/installation"

// writeFormat is the format of everything that this version writes. A version reads its own
// format and the next lower one, and goes on writing that while the store's record says so:
// that all nodes of an installation are replaced, one after the other, before the number is
// raised. A node to which the number is too high changes nothing any more; see fence.go.
const writeFormat = 1

type installation struct {
	ID     string `json:"id"`
	Format int    `json:"format"` // of everything in the store
	Keyset []byte `json:"keyset"` // of records
	Blobs  []byte `json:"blobs"`  // of what leaves the store, such as backups

	// Seal has the root key, wrapped by its provider; nil: the root key is what is in the root
	// key file itself.
	Seal *sealedRoot `json:"seal,omitempty"`
	// Replaced are the data keys that are no longer the primary ones.
	Replaced []replacedKey `json:"replaced,omitempty"`
	// Barred are the data keys that nothing is sealed with any more, because they are being
	// retired, or were; see fence.go.
	Barred []uint32 `json:"barred,omitempty"`
}

// A sealedRoot is a root key, wrapped by a provider.
type sealedRoot struct {
	Provider string `json:"provider"`
	Wrapped  []byte `json:"wrapped"`
}

// A replacedKey is a data key that was the primary one until a time.
type replacedKey struct {
	Use   seal.Use  `json:"use"`
	Key   uint32    `json:"key"`
	Until time.Time `json:"until"`
}

// Sealing is what a Core knows of its keys.
type sealing struct {
	keyring *seal.Keyring
	granter *seal.Granter

	changing    sync.Mutex // held while the installation's record is changed here
	mu          sync.Mutex // of what is below
	installed   installation
	root        seal.RootKey
	provider    seal.Provider
	unreachable atomic.Bool // the provider, when it was asked last
}

// now returns what is in force.
func (s *sealing) now() (seal.RootKey, installation, seal.Provider) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root, s.installed, s.provider
}

// ErrNoInstallation means that a store is empty.
var ErrNoInstallation = errors.New("the store holds no installation: run coffer init first")

// ErrNewer means that a newer version of Coffer wrote the store.
var ErrNewer = errors.New("use a newer version of Coffer")

// ErrProvider means that the configuration names another provider than the store's.
var ErrProvider = errors.New("the configuration names another seal than the one that the store has")

// unlock opens the installation in the store, or makes it.
func (c *Core) unlock(ctx context.Context) (*seal.Keyring, *seal.Granter, error) {
	s := &c.sealing
	if s.provider = c.Options.Seal; s.provider == nil {
		s.provider = seal.NewFile(rootKeyFile, c.Options.Root)
	}
	found, revision, err := c.readInstallation(ctx)
	if err != nil {
		return nil, nil, err
	}
	if revision == 0 {
		err = c.install(ctx)
	} else {
		err = c.unseal(ctx, found, revision)
	}
	if err != nil {
		return nil, nil, err
	}
	s.keyring.OnUnknownKey(c.reloadKeys)
	return s.keyring, s.granter, nil
}

// readInstallation returns the record of the installation; revision zero: there is none.
func (c *Core) readInstallation(ctx context.Context) (found installation, revision store.Revision, err error) {
	recs, err := c.Store.Get(ctx, store.Ask{Key: installationKey})
	if err != nil || !recs[0].Exists() {
		return found, 0, err
	}
	found, err = parseInstallation(recs[0].Body)
	return found, recs[0].Revision, err
}

func parseInstallation(body []byte) (found installation, err error) {
	if err := json.Unmarshal(body, &found); err != nil {
		return found, fmt.Errorf("the store's installation record cannot be read; nothing was changed; restore the store from a backup: %w", err)
	}
	if found.Format > writeFormat {
		return found, fmt.Errorf("the store has format %d, and this version of Coffer reads up to %d; nothing was changed: %w", found.Format, writeFormat, ErrNewer)
	}
	if found.Format < writeFormat-1 || found.Format < 1 {
		return found, fmt.Errorf("the store has format %d, and this version of Coffer reads %d and the one before; nothing was changed; use the version that wrote it, and upgrade by one at a time", found.Format, writeFormat)
	}
	return found, nil
}

// rootOf has the provider unwrap the root key of an installation.
func rootOf(ctx context.Context, provider seal.Provider, found installation) (seal.RootKey, error) {
	if found.Seal == nil {
		file, ok := provider.(*seal.File)
		if !ok {
			return seal.RootKey{}, fmt.Errorf("%w: %s, but the store's root key is in a root key file: name it in root_key_file, and change the seal with coffer seal change", ErrProvider, provider.Name())
		}
		return file.Root(), nil
	}
	if found.Seal.Provider != provider.Name() {
		return seal.RootKey{}, fmt.Errorf("%w: it names %s, and the store is sealed by %s", ErrProvider, provider.Name(), found.Seal.Provider)
	}
	return seal.UnwrapRoot(ctx, provider, found.Seal.Wrapped)
}

func (c *Core) unseal(ctx context.Context, found installation, revision store.Revision) (err error) {
	s := &c.sealing
	if s.root, err = rootOf(ctx, s.provider, found); err != nil {
		return err
	}
	if s.keyring, s.granter, err = seal.Open(s.root, found.ID, found.Keyset); err != nil {
		return err
	}
	s.installed = found
	if found.Blobs != nil {
		return s.keyring.OpenBlobs(s.root, found.Blobs)
	}
	// An installation of the first version, which had no backups.
	if s.installed.Blobs, err = s.keyring.CreateBlobs(s.root); err != nil {
		return err
	}
	return c.putInstallation(ctx, s.installed, revision)
}

// install makes a new installation.
func (c *Core) install(ctx context.Context) (err error) {
	if !c.Options.Create {
		return ErrNoInstallation
	}
	s := &c.sealing
	made := installation{ID: uuid.NewString(), Format: writeFormat}
	if file, ok := s.provider.(*seal.File); ok {
		s.root = file.Root()
	} else if s.root, made.Seal, err = sealNewRoot(ctx, s.provider); err != nil {
		return err
	}
	if s.keyring, s.granter, made.Keyset, err = seal.Create(s.root, made.ID); err != nil {
		return err
	}
	if made.Blobs, err = s.keyring.CreateBlobs(s.root); err != nil {
		return err
	}
	s.installed = made
	return c.putInstallation(ctx, made, 0)
}

func sealNewRoot(ctx context.Context, provider seal.Provider) (seal.RootKey, *sealedRoot, error) {
	root, err := seal.NewRootKey(rand.Reader)
	if err != nil {
		return root, nil, err
	}
	wrapped, err := seal.WrapRoot(ctx, provider, root)
	return root, &sealedRoot{Provider: provider.Name(), Wrapped: wrapped}, err
}

func (c *Core) putInstallation(ctx context.Context, i installation, was store.Revision) error {
	body, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return c.Store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(installationKey)
		if err != nil || rec.Exists() && slices.Equal(rec.Body, body) { // a rerun of a commit that did happen
			return err
		}
		return tx.Put(installationKey, was, body)
	})
}

// reloadWithin is how long reading the keys again may take.
const reloadWithin = 10 * time.Second

// reloadKeys loads the keys as they are in the store, which another node may have changed.
func (c *Core) reloadKeys() error {
	ctx, cancel := context.WithTimeout(context.Background(), reloadWithin)
	defer cancel()
	found, revision, err := c.readInstallation(ctx)
	if err != nil {
		return err
	}
	if revision == 0 {
		return ErrNoInstallation
	}
	return c.adopt(ctx, found)
}

// adopt takes over an installation's record as it is in the store.
func (c *Core) adopt(ctx context.Context, found installation) error {
	s := &c.sealing
	s.mu.Lock()
	defer s.mu.Unlock()
	// The root key that is in memory opens it, unless it was changed: the provider is not asked
	// without need, and may have been replaced.
	now := inForce{s.root, s.provider}
	err := s.load(now, found)
	if errors.Is(err, seal.ErrRootKey) {
		if now.root, err = rootOf(ctx, s.provider, found); err == nil {
			err = s.load(now, found)
		}
	}
	return err
}

// inForce is a root key and who keeps it.
type inForce struct {
	root     seal.RootKey
	provider seal.Provider
}

// take takes over a record of the installation that this node has changed.
func (s *sealing) take(next inForce, found installation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(next, found)
}

// load loads the keys of a record; s.mu is held.
func (s *sealing) load(next inForce, found installation) error {
	if err := s.keyring.Load(next.root, seal.Records, found.Keyset); err != nil {
		return err
	}
	if err := s.keyring.Load(next.root, seal.Blobs, found.Blobs); err != nil {
		return err
	}
	s.root, s.provider, s.installed = next.root, next.provider, found
	return nil
}

func sameSeal(a, b *sealedRoot) bool {
	return a == b || a != nil && b != nil && a.Provider == b.Provider && slices.Equal(a.Wrapped, b.Wrapped)
}
