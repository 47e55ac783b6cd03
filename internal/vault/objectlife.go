package vault

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// deleteObject moves an object with all its versions into the deleted state.
func (s *Service) deleteObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref) (out answer, err error) {
	now := s.Now()
	return s.moveObject(ctx, caller, op, c.collection, c, ref, stateLive, func(e edit, head object) error {
		purgeAt := now.Add(time.Duration(e.vault.RetentionDays) * 24 * time.Hour)
		h := head.base()
		h.State, h.Deleted, h.PurgeAt = stateDeleted, unix(now), unix(purgeAt)
		if err := e.index(ref.key(c.deleted)); err != nil {
			return err
		}
		return e.tx.SetDue(ref.key(c.kind), purgeAt)
	})
}

// moveObject takes an object out of a state, by fn, and puts it.
func (s *Service) moveObject(ctx context.Context, caller access.Caller, op gate.Operation, collection string, c class, ref Ref, from string, fn func(edit, object) error) (out answer, err error) {
	change := uuid.NewString()
	err = s.write(ctx, caller, op, collection, ref, func(e edit) error {
		head := c.newHead()
		was, err := e.head(c.kind, ref, head)
		if err != nil {
			return err
		}
		h := head.base()
		out = answer{vault: e.vault, head: head, version: head.current()}
		switch {
		case was == 0 || h.State != from && h.Change != change:
			return notFound(c.kind, ref)
		case h.State != from: // a rerun
			return nil
		case h.Managed:
			return managed(c.kind, op.Permission.Verb)
		}
		h.Change = change
		if err := fn(e, head); err != nil {
			return err
		}
		return e.putHead(c.kind, ref, was, head)
	})
	return out, explain(err)
}

// getDeletedObject reads an object in the deleted state.
func (s *Service) getDeletedObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref) (out answer, err error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(c.kind))
	if err != nil {
		return out, err
	}
	err = s.Gate.Read(ctx, s.request(f, op, "deleted"+c.collection, ref), func(g seal.Grant) error {
		head := c.newHead()
		ok, err := s.openHead(g, f.vault, c.kind, ref, f.recs[0], head)
		if err != nil {
			return err
		}
		if !ok || head.base().State != stateDeleted {
			return &Error{Code: notFound(c.kind, ref).Code, Message: "Deleted " + c.noun + " not found: " + ref.Name}
		}
		out = answer{vault: f.vault, head: head, version: head.current()}
		return nil
	})
	return out, explain(err)
}

// recoverObject makes a deleted object what it was before.
func (s *Service) recoverObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref) (out answer, err error) {
	return s.moveObject(ctx, caller, op, "deleted"+c.collection, c, ref, stateDeleted, func(e edit, head object) error {
		h := head.base()
		h.State, h.Deleted, h.PurgeAt = stateLive, 0, 0
		if err := e.remove(ref.key(c.deleted)); err != nil {
			return err
		}
		if key, ok := head.(*keyHead); ok {
			if err := e.scheduleRotation(ref, key); err != nil {
				return err
			}
		}
		return e.tx.SetDue(ref.key(c.kind), time.Time{})
	})
}

// purgeObject removes a deleted object for good. A long history is removed piece by
// piece.
func (s *Service) purgeObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref) error {
	seen, now := false, s.Now()
	err := s.write(ctx, caller, op, "deleted"+c.collection, ref, func(e edit) error {
		if e.vault.PurgeProtection {
			return e.purgeProtected()
		}
		head := c.newHead()
		was, err := e.head(c.kind, ref, head)
		switch {
		case err != nil:
			return err
		case was == 0 && seen: // a rerun of a commit that did happen
			return nil
		case was == 0 || head.base().State == stateLive:
			return notFound(c.kind, ref)
		case head.base().Managed:
			return managed(c.kind, op.Permission.Verb)
		}
		seen = true
		return e.removeObject(c, ref, was, head, now)
	})
	s.runner.Kick()
	return explain(err)
}

// purgeProtected is the service's answer to every purge in such a vault (reported).
func (e edit) purgeProtected() *Error {
	return &Error{Code: CodeForbidden, Message: "Operation \"purge\" is not allowed because purge protection is enabled for this vault. What is deleted stays until its scheduled purge date.\r\nVault: " + e.vault.Name + ";location=" + e.vault.Location}
}

// removeObject removes what one Update may remove. What is left is marked, and a due
// row sees to it.
func (e edit) removeObject(c class, ref Ref, was store.Revision, head object, now time.Time) error {
	removed, err := e.removeVersions(ref.versionPrefix(c.versions), purgeChunk)
	if err != nil {
		return err
	}
	if removed == purgeChunk {
		head.base().State = statePurging
		if err := e.putHead(c.kind, ref, was, head); err != nil {
			return err
		}
		return e.tx.SetDue(ref.key(c.kind), now)
	}
	if err := e.tx.Delete(ref.key(c.kind), was); err != nil {
		return err
	}
	return e.remove(ref.key(c.deleted))
}

// purgeObjectDue does what the due row of a secret or a key is about: a purge that was
// scheduled, or one that is not finished.
func (s *Service) purgeObjectDue(c class) func(context.Context, store.Key) error {
	return func(ctx context.Context, key store.Key) error {
		now := s.Now()
		op := gate.Operation{Name: c.noun + "Purge"}
		return s.due(ctx, key, func(v *vaultState, ref Ref) error {
			return s.Gate.System(ctx, "purge", op, s.subject(v, "deleted"+c.collection, ref), func(g seal.Grant) error {
				return s.update(ctx, g, v, func(e edit) error { return e.purgeObjectDue(c, ref, key, now) })
			})
		})
	}
}

func (e edit) purgeObjectDue(c class, ref Ref, key store.Key, now time.Time) error {
	head := c.newHead()
	was, err := e.head(c.kind, ref, head)
	h := head.base()
	switch {
	case err != nil:
		return err
	case was != 0 && h.State == stateDeleted && now.Before(moment(h.PurgeAt)):
		return e.tx.SetDue(key, moment(h.PurgeAt))
	case was != 0 && !h.Managed && h.State != stateLive:
		return e.removeObject(c, ref, was, head, now)
	}
	return e.tx.SetDue(key, time.Time{})
}
