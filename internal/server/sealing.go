package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// What is done with the keys while requests are served. Each change is one commit of the
// installation's record, so that an interrupted one has happened or has not.

// A SealStatus is what `coffer seal status` shows.
type SealStatus struct {
	Installation string      `json:"installation"`
	Provider     string      `json:"provider"`
	Description  string      `json:"description"`
	Reachable    bool        `json:"reachable"` // when it was asked last
	Keys         []KeyStatus `json:"keys"`
	Counter      uint64      `json:"counter"` // what coffer seal pin would pin
}

// A KeyStatus is one data key.
type KeyStatus struct {
	Use     seal.Use   `json:"use"`
	Key     string     `json:"key"` // eight hex digits
	Primary bool       `json:"primary"`
	Until   *time.Time `json:"until,omitempty"` // when it ceased to be the primary one
	// Records is how many records are sealed with it; of keys for records only.
	Records *int `json:"records,omitempty"`
}

// The operations of the audit log.
const operator = "operator"

var (
	sealRootRotate = gate.Operation{Name: "SealRootKeyRotate"}
	sealDataRotate = gate.Operation{Name: "SealDataKeyRotate"}
	sealReseal     = gate.Operation{Name: "SealRecordsReseal"}
	sealBar        = gate.Operation{Name: "SealDataKeyBar"}
	sealRetire     = gate.Operation{Name: "SealDataKeyRetire"}
	sealChange     = gate.Operation{Name: "SealProviderChange"}
)

// settle is how long after its replacement a data key may be retired: longer than any
// request, or another node's use of the former keys, may last.
const settle = 5 * time.Minute

// sealStatus counts what each key is needed for.
func (c *Core) sealStatus(ctx context.Context) (SealStatus, error) {
	if err := c.reloadKeys(); err != nil {
		return SealStatus{}, err
	}
	s := &c.sealing
	needed, err := c.keysInUse(ctx)
	if err != nil {
		return SealStatus{}, err
	}
	counter, err := c.counter(ctx)
	if err != nil {
		return SealStatus{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := SealStatus{Installation: s.installed.ID, Provider: s.provider.Name(), Description: s.provider.Describe(), Reachable: !s.unreachable.Load(), Counter: counter}
	for _, use := range []seal.Use{seal.Records, seal.Blobs} {
		keys := s.keyring.Keys(use)
		for _, id := range keys.All {
			status := KeyStatus{Use: use, Key: fmt.Sprintf("%08x", id), Primary: id == keys.Primary, Until: s.installed.until(use, id)}
			if use == seal.Records {
				count := needed[id]
				status.Records = &count
			}
			out.Keys = append(out.Keys, status)
		}
	}
	return out, nil
}

// until is when a key ceased to be the primary one; nil: it is.
func (i installation) until(use seal.Use, id uint32) *time.Time {
	for _, replaced := range i.Replaced {
		if replaced.Use == use && replaced.Key == id {
			return &replaced.Until
		}
	}
	return nil
}

// keysInUse counts the records of every key, in one snapshot.
func (c *Core) keysInUse(ctx context.Context) (map[uint32]int, error) {
	needed := map[uint32]int{}
	err := c.Store.View(ctx, func(tx store.Tx) error {
		return eachRecord(ctx, tx, func(rec store.Record) error {
			if id, ok := seal.KeyOf(rec.Body); ok {
				needed[id]++
			}
			return nil
		})
	})
	return needed, err
}

// scanStep is how many records are read at once.
const scanStep = 256

// eachRecord calls fn with every record of a snapshot.
func eachRecord(ctx context.Context, tx store.Tx, fn func(store.Record) error) error {
	for after := store.Key(""); ; {
		recs, err := tx.Scan("", after, scanStep)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if err := fn(rec); err != nil {
				return err
			}
		}
		if len(recs) < scanStep {
			return ctx.Err()
		}
		if after = recs[len(recs)-1].Key; ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// A change of the installation's record returns the root key that wraps its keysets
// afterwards, and who keeps that.
type change func(*installation, inForce) (inForce, error)

// changeInstallation changes the record of the installation, in one commit, and takes the
// change over. It is in the audit log.
func (c *Core) changeInstallation(ctx context.Context, op gate.Operation, fn change) error {
	s := &c.sealing
	s.changing.Lock()
	defer s.changing.Unlock()
	return c.Gate.System(ctx, operator, op, gate.Subject{}, func(seal.Grant) error {
		found, revision, err := c.readInstallation(ctx)
		if err != nil {
			return err
		}
		if err := c.adopt(ctx, found); err != nil {
			return err
		}
		found.Replaced, found.Barred = slices.Clone(found.Replaced), slices.Clone(found.Barred)
		root, _, provider := s.now()
		next, err := fn(&found, inForce{root, provider})
		if err != nil {
			return err
		}
		if err := c.putInstallation(ctx, found, revision); err != nil && !c.wasPut(ctx, found, err) {
			return err
		}
		return s.take(next, found)
	})
}

// wasPut looks whether a change is in the store whose outcome was not known.
func (c *Core) wasPut(ctx context.Context, i installation, err error) bool {
	if !errors.Is(err, store.ErrUnknown) {
		return false
	}
	now, _, err := c.readInstallation(ctx)
	return err == nil && slices.Equal(now.Keyset, i.Keyset) && slices.Equal(now.Blobs, i.Blobs) && slices.Equal(now.Barred, i.Barred) && sameSeal(now.Seal, i.Seal)
}

// rotateRoot makes a new root key, which from then on wraps the data keys. The provider
// keeps it.
func (c *Core) rotateRoot(ctx context.Context) error {
	return c.changeInstallation(ctx, sealRootRotate, func(i *installation, now inForce) (inForce, error) {
		return c.newRoot(ctx, i, now.provider)
	})
}

// changeProvider gives a new root key to another provider. The former one is not handed
// on: who has the former seal does not open the store any more.
func (c *Core) changeProvider(ctx context.Context, to seal.Provider) error {
	return c.changeInstallation(ctx, sealChange, func(i *installation, _ inForce) (inForce, error) {
		return c.newRoot(ctx, i, to)
	})
}

func (c *Core) newRoot(ctx context.Context, i *installation, provider seal.Provider) (inForce, error) {
	root, sealed, err := sealNewRoot(ctx, provider)
	if err != nil {
		return inForce{}, err
	}
	i.Seal = sealed
	c.sealing.unreachable.Store(false)
	if i.Keyset, err = c.sealing.keyring.Rewrap(root, seal.Records); err != nil {
		return inForce{}, err
	}
	i.Blobs, err = c.sealing.keyring.Rewrap(root, seal.Blobs)
	return inForce{root, provider}, err
}

// rotateData adds a data key, which from then on seals.
func (c *Core) rotateData(ctx context.Context, use seal.Use) error {
	s := &c.sealing
	return c.changeInstallation(ctx, sealDataRotate, func(i *installation, now inForce) (inForce, error) {
		wrapped, err := s.keyring.AddKey(now.root, use)
		if err != nil {
			return now, err
		}
		i.Replaced = append(i.Replaced, replacedKey{Use: use, Key: s.keyring.Keys(use).Primary, Until: c.Options.Now().UTC()})
		*i.keyset(use) = wrapped
		return now, nil
	})
}

func (i *installation) keyset(use seal.Use) *[]byte {
	if use == seal.Blobs {
		return &i.Blobs
	}
	return &i.Keyset
}

// retire removes a data key that nothing needs. Of a key for records that is proved by a
// scan of all of them, after the key is barred, so that none is sealed with it any more; a key
// for what leaves the store may always be needed by something, so the caller has to name the
// day until which it was in use. An interrupted one leaves the key barred, and is repeated.
func (c *Core) retire(ctx context.Context, key, confirm string) error {
	id, err := strconv.ParseUint(key, 16, 32)
	if err != nil || len(key) != 8 {
		return fmt.Errorf("the id of a data key has eight hex digits, as coffer seal status shows it; not %q", key)
	}
	if err := c.changeInstallation(ctx, sealBar, func(i *installation, now inForce) (inForce, error) {
		if _, err := c.mayRetire(i, uint32(id), confirm); err != nil {
			return now, err
		}
		if !slices.Contains(i.Barred, uint32(id)) {
			i.Barred = append(i.Barred, uint32(id))
		}
		return now, nil
	}); err != nil {
		return err
	}
	needed, err := c.keysInUse(ctx)
	if err != nil {
		return err
	}
	if n := needed[uint32(id)]; n > 0 {
		return fmt.Errorf("%d records are sealed with the key %08x: run coffer seal reseal first", n, id)
	}
	return c.changeInstallation(ctx, sealRetire, func(i *installation, now inForce) (inForce, error) {
		use, err := c.mayRetire(i, uint32(id), confirm)
		if err != nil {
			return now, err
		}
		wrapped, err := c.sealing.keyring.DropKey(now.root, use, uint32(id))
		if err != nil {
			return now, err
		}
		*i.keyset(use) = wrapped
		i.Replaced = slices.DeleteFunc(i.Replaced, func(r replacedKey) bool { return r.Use == use && r.Key == uint32(id) })
		return now, nil
	})
}

func (c *Core) mayRetire(i *installation, id uint32, confirm string) (use seal.Use, err error) {
	for _, u := range []seal.Use{seal.Records, seal.Blobs} {
		if keys := c.sealing.keyring.Keys(u); slices.Contains(keys.All, id) {
			use = u
			if keys.Primary == id {
				return use, fmt.Errorf("the key %08x seals at present: run coffer seal rotate-data first", id)
			}
		}
	}
	if use == "" {
		return use, fmt.Errorf("there is no data key %08x; coffer seal status shows those that there are", id)
	}
	until := i.until(use, id)
	if until == nil {
		return use, fmt.Errorf("when the key %08x was replaced is not known: it cannot be retired", id)
	}
	if at := until.Add(settle); c.Options.Now().Before(at) {
		return use, fmt.Errorf("the key %08x was replaced at %s and may still be in use: try again after %s", id, until.Format(time.RFC3339), at.Format(time.RFC3339))
	}
	if use == seal.Blobs {
		return use, confirmed(id, *until, confirm)
	}
	return use, nil
}

// confirmed makes who retires a key for what leaves the store say which day that cuts off.
func confirmed(id uint32, until time.Time, confirm string) error {
	day := until.UTC().Format(time.DateOnly)
	if confirm == day {
		return nil
	}
	return fmt.Errorf("backups of certificates, keys and secrets that were made until %s are sealed with the key %08x, and will never open again: repeat the command with --confirm %s if that is wanted",
		until.Format(time.RFC3339), id, day)
}

// A Resealed is what came of resealing.
type Resealed struct {
	Records  int `json:"records"`  // that were looked at
	Resealed int `json:"resealed"` // of them
}

// reseal seals every record with the primary key that is not yet. It goes on from record
// to record while others change them; when it is interrupted, the next call does what is left.
func (c *Core) reseal(ctx context.Context) (out Resealed, err error) {
	if err := c.reloadKeys(); err != nil {
		return out, err
	}
	err = c.Gate.System(ctx, operator, sealReseal, gate.Subject{}, func(g seal.Grant) error {
		for after := store.Key(""); ; {
			var recs []store.Record
			err := c.Store.View(ctx, func(tx store.Tx) (err error) {
				recs, err = tx.Scan("", after, scanStep)
				return err
			})
			if err != nil {
				return err
			}
			done, err := c.resealChunk(ctx, g, slices.Clone(recs)) // it drops those that need nothing
			out.Records, out.Resealed = out.Records+len(recs), out.Resealed+done
			if err != nil || len(recs) < scanStep {
				return err
			}
			after = recs[len(recs)-1].Key
		}
	})
	return out, err
}

// resealStep is how many records are resealed in one commit: requests wait for it.
const resealStep = 32

func (c *Core) resealChunk(ctx context.Context, g seal.Grant, recs []store.Record) (done int, err error) {
	primary := c.sealing.keyring.Keys(seal.Records).Primary
	recs = slices.DeleteFunc(recs, func(rec store.Record) bool {
		id, sealed := seal.KeyOf(rec.Body)
		return !sealed || id == primary
	})
	for chunk := range slices.Chunk(recs, resealStep) {
		count := 0
		err := c.Store.Update(ctx, func(tx store.Tx) error {
			count = 0
			for _, rec := range chunk {
				changed, err := c.resealRecord(tx, g, rec.Key, primary)
				if err != nil {
					return err
				}
				if changed {
					count++
				}
			}
			return nil
		})
		if done += count; err != nil {
			return done, err
		}
	}
	return done, nil
}

// resealRecord opens a record as it is now, and puts it back, sealed with the primary key.
func (c *Core) resealRecord(tx store.Tx, g seal.Grant, key store.Key, primary uint32) (bool, error) {
	rec, err := tx.Get(key)
	if err != nil {
		return false, err
	}
	if id, sealed := seal.KeyOf(rec.Body); !sealed || id == primary {
		return false, nil
	}
	place, known, err := c.place(tx, rec)
	if err != nil {
		return false, err
	}
	if !known {
		return false, fmt.Errorf("the record %s is of no kind that this version of Coffer knows: use the version that wrote it", key)
	}
	plain, at, err := c.sealing.keyring.Open(g, place, rec.Body)
	if err != nil {
		return false, fmt.Errorf("the record %s cannot be resealed: %w; coffer check tells more", key, err)
	}
	box, err := c.sealing.keyring.Seal(g, at, plain)
	if err != nil {
		return false, err
	}
	return true, tx.Put(key, rec.Revision, box)
}

// place is where a record belongs. Each room knows its own.
func (c *Core) place(tx store.Tx, rec store.Record) (place seal.Place, known bool, err error) {
	if rec.Key == counterKey {
		return counterPlace(), true, nil
	}
	if place, known = gate.Place(rec.Key); known {
		return place, true, nil
	}
	if place, known = c.Tenant.Place(rec.Key); known {
		return place, true, nil
	}
	return c.Vaults.Place(tx, rec.Key)
}

// The intervals at which a seal is watched, and the keys are read again.
const (
	watchEvery  = time.Minute
	watchWithin = 20 * time.Second
)

// watchSeal keeps the counter going, follows other nodes' changes of the keys, and notices
// when a seal elsewhere cannot be reached any more: the server goes on without it, but
// would not start.
func (c *Core) watchSeal(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.tendSeal(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (c *Core) tendSeal(ctx context.Context) {
	if err := c.reloadKeys(); err != nil {
		c.Options.Log.Warn("the keys of the installation could not be read again", "error", err)
	}
	if err := c.advance(ctx); err != nil && !errors.Is(err, context.Canceled) {
		c.Options.Log.Warn("the counter against a roll-back could not be advanced", "error", err)
	}
	c.askSeal(ctx)
}

// askSeal notes whether the provider could open the store now.
func (c *Core) askSeal(ctx context.Context) {
	s := &c.sealing
	_, found, provider := s.now()
	if found.Seal == nil || !isRemote(provider) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchWithin)
	defer cancel()
	_, err := rootOf(ctx, provider, found)
	if was := s.unreachable.Swap(err != nil); err != nil && !was {
		c.Options.Log.Error("the seal does not open the store: the server goes on with the key in its memory, and would not start again", "seal", provider.Describe(), "error", err)
	} else if err == nil && was {
		c.Options.Log.Info("the seal opens the store again", "seal", provider.Describe())
	}
}

// isRemote reports whether a provider depends on something that can be away.
func isRemote(p seal.Provider) bool {
	remote, ok := p.(interface{ Remote() bool })
	return ok && remote.Remote()
}

// randomID is the id of an archive.
func randomID() string { return rand.Text() }
