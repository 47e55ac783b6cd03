package vault

import (
	"context"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// purgeVaultDue purges a deleted vault whose time has come, and goes on with one that is
// being purged: its records are removed piece by piece, and its name stays taken until the
// last is gone.
func (s *Service) purgeVaultDue(ctx context.Context, key store.Key) error {
	name := string(key[len(vaultPrefix):])
	for {
		v, err := s.vaultNamed(ctx, name)
		if err != nil {
			return err
		}
		if v == nil || v.State == "" {
			return s.drop(ctx, key)
		}
		if v.State == stateDeleted && s.Now().Before(moment(v.PurgeAt)) {
			return s.Store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(key, moment(v.PurgeAt)) })
		}
		if done, err := s.purgeVaultPart(ctx, v); err != nil || done {
			return err
		}
	}
}

// maxPurgeNow is how many parts of a purge a request does itself.
const maxPurgeNow = 4

// purgeNow begins a purge that was decided, and reports whether that was all. What is left,
// or fails, is due at once.
func (s *Service) purgeNow(ctx context.Context, name string) bool {
	for range maxPurgeNow {
		v, err := s.vaultNamed(ctx, name)
		if err != nil || v == nil || v.State != statePurging {
			break
		}
		done, err := s.purgeVaultPart(ctx, v)
		if done {
			return true
		}
		if err != nil {
			break
		}
	}
	key := vaultKey(name)
	_ = s.Store.Update(ctx, func(tx store.Tx) error { // else it is due when the lease ends
		rec, err := tx.Get(key)
		if err != nil || !rec.Exists() {
			return err
		}
		return tx.SetDue(key, s.Now())
	})
	return false
}

// purgeVaultPart marks the vault, removes some of its records, or at last the vault.
func (s *Service) purgeVaultPart(ctx context.Context, v *vaultState) (done bool, err error) {
	err = s.Gate.System(ctx, "purge", vaultPurge, v.subject, func(g seal.Grant) (err error) {
		done, err = s.removePart(ctx, g, v)
		return err
	})
	return done && err == nil, err
}

// removePart removes nothing when the vault is not the one that v is: another node may have
// ended the purge, and the name may be another vault's already.
func (s *Service) removePart(ctx context.Context, g seal.Grant, v *vaultState) (done bool, err error) {
	if v.State == stateDeleted {
		return false, s.putVaultState(ctx, g, v, func(r *vaultRecord) { r.State = statePurging }, s.Now())
	}
	still := func(tx store.Tx) (bool, error) {
		now, err := s.vaultIn(tx, v.Name)
		return now != nil && now.Instance == v.Instance && now.State == statePurging, err
	}
	if s.Forget != nil { // before the name is free
		if err := s.Forget(ctx, s.VaultID(v.group(), v.Name), true, still); err != nil {
			return false, err
		}
	}
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		same, err := still(tx)
		if done = !same; err != nil || done {
			return err
		}
		prefix := store.Key(objectPrefix + fold(v.Name) + "/")
		recs, err := tx.Scan(prefix, "", purgeChunk)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if err := tx.Delete(rec.Key, rec.Revision); err != nil {
				return err
			}
		}
		if len(recs) == purgeChunk {
			return nil
		}
		done = true
		rec, err := tx.Get(vaultKey(v.Name)) // it may have been sealed anew
		if err != nil {
			return err
		}
		return tx.Delete(rec.Key, rec.Revision)
	})
	return done, err
}

// vaultNamed reads a vault in whatever state; nil: there is none.
func (s *Service) vaultNamed(ctx context.Context, name string) (*vaultState, error) {
	if !validVaultName(name) {
		return nil, nil
	}
	look := s.vaults.Look(vaultKey(name))
	recs, err := s.Store.Get(ctx, look.Ask())
	if err != nil {
		return nil, err
	}
	v, ok, err := look.Value(recs[0], s.openVault(name))
	if err != nil || !ok {
		return nil, err
	}
	return v, nil
}

// putVaultState changes a vault's record and its due row, if nobody else has changed it.
func (s *Service) putVaultState(ctx context.Context, g seal.Grant, v *vaultState, change func(*vaultRecord), due time.Time) error {
	record := v.vaultRecord
	change(&record)
	box, err := s.sealVault(g, v.Instance, record)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		key := vaultKey(v.Name)
		rec, err := tx.Get(key)
		if err != nil {
			return err
		}
		if string(rec.Body) != string(box) { // else a rerun of a commit that did happen
			if err := tx.Put(key, v.revision, box); err != nil {
				return err
			}
		}
		return tx.SetDue(key, due)
	})
}
