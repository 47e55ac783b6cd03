package vault

import (
	"context"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/store"
)

// found is what one snapshot says about a request: who calls, which vault, and the
// records that were asked for, still sealed.
type found struct {
	caller access.Caller
	vault  *vaultState
	recs   []store.Record
}

// find reads the caller's principal, the vault and the records at keys in one
// snapshot and one round trip. Nothing of the object is opened here.
func (s *Service) find(ctx context.Context, caller access.Caller, vault string, keys ...store.Key) (found, error) {
	return s.locate(ctx, caller, vault, func(asks []store.Ask) ([]store.Record, error) {
		for _, key := range keys {
			asks = append(asks, store.Ask{Key: key})
		}
		return s.Store.Get(ctx, asks...)
	})
}

// findPage does the same in a view, for requests that scan.
func (s *Service) findPage(ctx context.Context, caller access.Caller, vault string, scan func(store.Tx) ([]store.Record, error)) (found, error) {
	return s.locate(ctx, caller, vault, func(asks []store.Ask) (recs []store.Record, err error) {
		err = s.Store.View(ctx, func(tx store.Tx) error {
			recs = make([]store.Record, len(asks))
			for i, ask := range asks {
				if recs[i], err = tx.Get(ask.Key); err != nil {
					return err
				}
			}
			rows, err := scan(tx)
			recs = append(recs, rows...)
			return err
		})
		return recs, err
	})
}

// locate asks for the principal and the vault first and hands the rest through. A
// vault that does not exist is made when the caller's first request may do so.
func (s *Service) locate(ctx context.Context, caller access.Caller, name string, read func([]store.Ask) ([]store.Record, error)) (found, error) {
	for first := true; ; first = false {
		principal, vault := s.Principals.Look(caller), s.vaults.Look(vaultKey(name))
		recs, err := read([]store.Ask{principal.Ask(), vault.Ask()})
		if err != nil {
			return found{}, explain(err)
		}
		known, err := principal.Caller(recs[0])
		if err != nil {
			return found{}, explain(err)
		}
		state, ok, err := vault.Value(recs[1], s.openVault(name))
		if err != nil {
			return found{}, explain(err)
		}
		if ok {
			return found{caller: known, vault: state, recs: recs[2:]}, nil
		}
		if made, err := s.touch(ctx, known, name); !made || !first {
			return found{}, firstError(err, vaultNotFound(name))
		}
	}
}

func firstError(err error, otherwise *Error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// request describes an operation on an object to the gate.
func (s *Service) request(f found, op gate.Operation, collection string, ref Ref) gate.Request {
	return gate.Request{Caller: f.caller, Operation: op, Subject: s.subject(f.vault, collection, ref)}
}

// subject describes an object to the gate.
func (s *Service) subject(v *vaultState, collection string, ref Ref) gate.Subject {
	subject := v.subject
	subject.Object += "/" + collection
	for _, part := range []string{ref.Name, ref.Version} {
		if part != "" {
			subject.Object += "/" + part
		}
	}
	return subject
}
