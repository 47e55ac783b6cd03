package vault

import (
	"context"
	"slices"
	"strings"

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
// snapshot and one round trip. Nothing of the object is opened here. A vault that does
// not exist is made when the caller's first request may do so.
func (s *Service) find(ctx context.Context, caller access.Caller, name string, keys ...store.Key) (found, error) {
	asks := make([]store.Ask, len(keys))
	for i, key := range keys {
		asks[i].Key = key
	}
	return s.ask(ctx, caller, name, asks)
}

// ask is find for records of which some may be held already.
func (s *Service) ask(ctx context.Context, caller access.Caller, name string, asks []store.Ask) (found, error) {
	for first := true; ; first = false {
		principal, vault := s.Principals.Look(caller), s.vaults.Look(vaultKey(name))
		who := principal.Asks()
		recs, err := s.Store.Get(ctx, slices.Concat(who, []store.Ask{vault.Ask()}, asks)...)
		if err != nil {
			return found{}, explain(err)
		}
		known, err := principal.Caller(recs[:len(who)])
		if err != nil {
			return found{}, explain(err)
		}
		recs = recs[len(who):]
		state, ok, err := vault.Value(recs[0], s.openVault(name))
		if err != nil {
			return found{}, explain(err)
		}
		switch {
		case ok && state.State != "": // deleted: it stays so, whoever touches it
			return found{}, vaultNotFound(name)
		case ok:
			return found{caller: known, vault: state, recs: recs[1:]}, nil
		}
		if made, err := s.touch(ctx, known, name); !made || !first {
			return found{}, firstError(err, vaultNotFound(name))
		}
	}
}

// CheckCaller reports whether the caller's principal is there and enabled. Every other
// method does so by itself, in the snapshot that it decides by; this one is for
// requests that come to none of them. The error is PrincipalGone.
func (s *Service) CheckCaller(ctx context.Context, caller access.Caller) error {
	principal := s.Principals.Look(caller)
	recs, err := s.Store.Get(ctx, principal.Asks()...)
	if err != nil {
		return explain(err)
	}
	_, err = principal.Caller(recs)
	return explain(err)
}

func firstError(err error, otherwise *Error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// parseKeyID takes a versioned id of a key of the vault apart, in any case; name and
// version come out folded.
func (s *Service) parseKeyID(v *vaultState, id string) (name, version string, ok bool) {
	rest, ok := strings.CutPrefix(fold(id), "https://"+fold(v.Name)+"."+s.Suffix+"/keys/")
	if !ok {
		return "", "", false
	}
	name, version, ok = strings.Cut(rest, "/")
	return name, version, ok && ValidName(name) && ValidName(version)
}

// request describes an operation on an object to the gate.
func (s *Service) request(f found, op gate.Operation, collection string, ref Ref) gate.Request {
	return gate.Request{Caller: f.caller, Operation: op, Subject: s.subject(f.vault, collection, ref)}
}

// subject describes an object to the gate.
func (s *Service) subject(v *vaultState, collection string, ref Ref) gate.Subject {
	subject := v.subject
	subject.Object += "/" + collection
	if ref.Name != "" {
		subject.Object += "/" + ref.Name
		subject.Below = "/" + strings.TrimPrefix(collection, "deleted") + "/" + ref.Name // an object's scope is the same, deleted or not
	}
	if ref.Version != "" {
		subject.Object += "/" + ref.Version
	}
	return subject
}
