package vault

import (
	"context"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// open opens the record rec of an object into v. For a head, object is empty, and the
// object's id is what the returned place has.
func (s *Service) open(g seal.Grant, vault *vaultState, p seal.Place, rec store.Record, into any) (seal.Place, error) {
	plain, at, err := s.Keyring.Open(g, p, rec.Body)
	if err != nil {
		return at, err
	}
	return at, decode(plain, at.Format, into)
}

// openHead opens the head rec of an object; false means that there is none.
func (s *Service) openHead(g seal.Grant, vault *vaultState, kind string, ref Ref, rec store.Record, head headed) (bool, error) {
	if !rec.Exists() {
		return false, nil
	}
	at, err := s.open(g, vault, vault.place(kind, ref, "", ""), rec, head)
	head.base().object = at.Object
	return err == nil, err
}

// An edit is one Update of the objects in a vault, or one view of them. Every head that it reads is put
// back, if at all, at the revision that it had.
type edit struct {
	s     *Service
	g     seal.Grant
	vault *vaultState
	tx    store.Tx
}

// update runs fn in an Update, after it has seen that the vault is still the one that
// the caller was allowed to change.
func (s *Service) update(ctx context.Context, g seal.Grant, vault *vaultState, fn func(edit) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return s.inside(tx, g, vault, fn) })
}

// view runs fn on a snapshot, after it has seen that the vault is still the one that
// the caller was allowed to read.
func (s *Service) view(ctx context.Context, g seal.Grant, vault *vaultState, fn func(edit) error) error {
	return s.Store.View(ctx, func(tx store.Tx) error { return s.inside(tx, g, vault, fn) })
}

func (s *Service) inside(tx store.Tx, g seal.Grant, vault *vaultState, fn func(edit) error) error {
	rec, err := tx.Get(vaultKey(vault.Name))
	if err != nil {
		return err
	}
	if !rec.Exists() {
		return vaultNotFound(vault.Name)
	}
	if rec.Revision != vault.revision {
		now, err := s.openVault(vault.Name)(rec)
		if err != nil {
			return err
		}
		if now.Instance != vault.Instance || now.State != "" {
			return vaultNotFound(vault.Name)
		}
	}
	return fn(edit{s: s, g: g, vault: vault, tx: tx})
}

// head reads the head of an object; the zero revision means that there is none.
func (e edit) head(kind string, ref Ref, head headed) (store.Revision, error) {
	rec, err := e.tx.Get(ref.key(kind))
	if err != nil {
		return 0, err
	}
	_, err = e.s.openHead(e.g, e.vault, kind, ref, rec, head)
	return rec.Revision, err
}

// operation reads the operation of a certificate; without one it is empty.
func (e edit) operation(ref Ref, head certificateHead) (op operationRecord, was store.Revision, err error) {
	was, err = e.read(ref.key(kindOperation), e.vault.place(kindOperation, ref, head.object, ""), &op)
	return op, was, err
}

// version reads an older version; the zero revision means that there is none.
func (e edit) version(kind string, ref Ref, object string, into any) (store.Revision, error) {
	return e.read(ref.versionKey(kind, ref.Version), e.vault.place(kind, ref, object, ref.Version), into)
}

// read reads the record at key, if there is one.
func (e edit) read(key store.Key, p seal.Place, into any) (store.Revision, error) {
	rec, err := e.tx.Get(key)
	if err != nil || !rec.Exists() {
		return 0, err
	}
	_, err = e.s.open(e.g, e.vault, p, rec, into)
	return rec.Revision, err
}

// checkIssuer refuses a name that is neither a reserved word nor an issuer object.
func (e edit) checkIssuer(name string) error {
	return e.s.checkIssuer(e.g, e.vault, name, e.tx.Get)
}

// putHead seals and puts the head of an object.
func (e edit) putHead(kind string, ref Ref, was store.Revision, head headed) error {
	return e.put(ref.key(kind), e.vault.place(kind, ref, head.base().object, ""), was, head)
}

// putVersion seals and puts an older version of the object whose head is given.
func (e edit) putVersion(kind string, ref Ref, object, version string, v any) error {
	key := ref.versionKey(kind, version)
	rec, err := e.tx.Get(key)
	if err != nil {
		return err
	}
	return e.put(key, e.vault.place(kind, ref, object, version), rec.Revision, v)
}

func (e edit) put(key store.Key, p seal.Place, was store.Revision, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	box, err := e.s.Keyring.Seal(e.g, p, body)
	if err != nil {
		return err
	}
	return e.tx.Put(key, was, box)
}

// remove deletes the record at key, if there is one.
func (e edit) remove(key store.Key) error {
	rec, err := e.tx.Get(key)
	if err != nil || !rec.Exists() {
		return err
	}
	return e.tx.Delete(key, rec.Revision)
}
