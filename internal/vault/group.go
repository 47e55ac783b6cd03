package vault

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A Group is a resource group.
type Group struct {
	Name     string // as it was created
	Location string
	Tags     map[string]string
}

func upper(id string) string { return strings.ToUpper(id) }

// validGroupName reports whether a resource group can have the name: 1 to 90 letters,
// digits and -_.(), no dot at the end (documented).
func validGroupName(name string) bool {
	rest := strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.()")
	return len(name) >= 1 && len(name) <= 90 && rest == "" && !strings.HasSuffix(name, ".")
}

func groupPlace(name string) seal.Place {
	return seal.Place{Purpose: seal.PurposeRecord, Kind: kindGroup, Name: fold(name), Object: fold(name), Format: recordFormat}
}

func (s *Service) openGroup(g seal.Grant, rec store.Record, name string) (r groupRecord, err error) {
	plain, at, err := s.Keyring.Open(g, groupPlace(name), rec.Body)
	if err != nil {
		return r, err
	}
	return r, decode(plain, at.Format, &r)
}

// group reads a group in a transaction. The default group is there without a record as
// long as there is a vault in it.
func (s *Service) group(tx store.Tx, g seal.Grant, name string) (r groupRecord, was store.Revision, ok bool, err error) {
	if !validGroupName(name) {
		return r, 0, false, nil
	}
	rec, err := tx.Get(groupKey(name))
	if err != nil {
		return r, 0, false, err
	}
	if rec.Exists() {
		r, err = s.openGroup(g, rec, name)
		return r, rec.Revision, true, err
	}
	if fold(name) != defaultGroup {
		return r, 0, false, nil
	}
	found := false
	err = s.eachVault(tx, func(v *vaultState) error {
		found = found || v.State == "" && fold(v.group()) == defaultGroup
		return nil
	})
	return groupRecord{Name: defaultGroup, Location: s.Location}, 0, found, err
}

// liveGroup is group for those who put something into it.
func (s *Service) liveGroup(tx store.Tx, g seal.Grant, name string) (groupRecord, error) {
	r, _, ok, err := s.group(tx, g, name)
	switch {
	case err != nil:
		return r, err
	case !ok:
		return r, groupNotFound(name)
	case r.State != "":
		return r, &Error{Code: CodeGroupBeingDeleted, Message: fmt.Sprintf(errGroupBeingDelete, r.Name)}
	}
	return r, nil
}

func (s *Service) putGroup(tx store.Tx, g seal.Grant, was store.Revision, r groupRecord) error {
	body, err := encode(r)
	if err != nil {
		return err
	}
	box, err := s.Keyring.Seal(g, groupPlace(r.Name), body)
	if err != nil {
		return err
	}
	return tx.Put(groupKey(r.Name), was, box)
}

// vaultsPage is how many vaults one scan reads.
const vaultsPage = 500

// eachVault calls fn with every vault, in whatever state, by name.
func (s *Service) eachVault(tx store.Tx, fn func(*vaultState) error) error {
	last := store.Key("")
	for {
		recs, err := tx.Scan(vaultPrefix, last, vaultsPage)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			v, err := s.openVault(string(rec.Key[len(vaultPrefix):]))(rec)
			if err != nil {
				return err
			}
			if err := fn(v); err != nil {
				return err
			}
		}
		if len(recs) < vaultsPage {
			return nil
		}
		last = recs[len(recs)-1].Key
	}
}

// PutGroup makes a resource group, or replaces the tags of one that exists; made says
// which. A nil location of an existing one is left; another one is a conflict.
func (s *Service) PutGroup(ctx context.Context, caller access.Caller, in Group) (out Group, made bool, err error) {
	if !validGroupName(in.Name) {
		return out, false, &Error{Code: CodeInvalidGroupName, Message: fmt.Sprintf(
			"The resource group name '%s' is not valid: use 1 to 90 letters, digits and -_.(), without a dot at the end.", clip(in.Name))}
	}
	err = s.changeControl(ctx, caller, GroupPut, s.GroupID(in.Name), func(tx store.Tx, g seal.Grant, _ access.Caller) error {
		r, was, ok, err := s.group(tx, g, in.Name)
		switch {
		case err != nil:
			return err
		case ok && r.State != "":
			return &Error{Code: CodeGroupBeingDeleted, Message: fmt.Sprintf(errGroupBeingDelete, r.Name)}
		case !ok && in.Location == "":
			return &Error{Code: CodeLocationRequired, Message: "The location property is required for this definition."}
		case ok && in.Location != "" && in.Location != r.Location:
			return &Error{Code: CodeInvalidGroupLocation, Message: fmt.Sprintf(
				"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", in.Location, r.Location)}
		}
		if made = !ok; made {
			recs, err := tx.Scan(groupPrefix, "", maxGroups)
			if err != nil {
				return err
			}
			if len(recs) == maxGroups {
				return &Error{Code: CodeGroupQuota, Message: fmt.Sprintf("The subscription has %d resource groups, the most there may be; delete one first.", maxGroups)}
			}
			r = groupRecord{Name: in.Name, Location: in.Location}
		}
		r.Tags = in.Tags
		out = Group{Name: r.Name, Location: r.Location, Tags: maps.Clone(r.Tags)}
		return s.putGroup(tx, g, was, r)
	})
	return out, made, err
}

// PatchGroup replaces the tags of a resource group that exists; nil leaves them.
func (s *Service) PatchGroup(ctx context.Context, caller access.Caller, name string, tags map[string]string) (out Group, err error) {
	err = s.changeControl(ctx, caller, GroupPatch, s.GroupID(name), func(tx store.Tx, g seal.Grant, _ access.Caller) error {
		r, was, ok, err := s.group(tx, g, name)
		switch {
		case err != nil:
			return err
		case !ok:
			return groupNotFound(name)
		case r.State != "":
			return &Error{Code: CodeGroupBeingDeleted, Message: fmt.Sprintf(errGroupBeingDelete, r.Name)}
		}
		if tags != nil {
			r.Tags = tags
		}
		out = Group{Name: r.Name, Location: r.Location, Tags: maps.Clone(r.Tags)}
		return s.putGroup(tx, g, was, r)
	})
	return out, err
}

// GetGroup returns a resource group.
func (s *Service) GetGroup(ctx context.Context, caller access.Caller, name string) (out Group, err error) {
	err = s.viewControl(ctx, caller, GroupGet, s.GroupID(name), func(tx store.Tx, g seal.Grant) error {
		r, _, ok, err := s.group(tx, g, name)
		if err == nil && !ok {
			err = groupNotFound(name)
		}
		out = Group{Name: r.Name, Location: r.Location, Tags: r.Tags}
		return err
	})
	return out, err
}

// ListGroups returns the resource groups that the caller may read.
func (s *Service) ListGroups(ctx context.Context, caller access.Caller) (out []Group, err error) {
	err = s.visible(ctx, caller, GroupGet, s.GroupID(""), func(g seal.Grant, may func(string) bool) error {
		return s.Store.View(ctx, func(tx store.Tx) error {
			out = nil
			recs, err := tx.Scan(groupPrefix, "", maxGroups)
			if err != nil {
				return err
			}
			implicit := true
			for _, rec := range recs {
				r, err := s.openGroup(g, rec, string(rec.Key[len(groupPrefix):]))
				if err != nil {
					return err
				}
				implicit = implicit && fold(r.Name) != defaultGroup
				if may(s.GroupID(r.Name)) {
					out = append(out, Group{Name: r.Name, Location: r.Location, Tags: r.Tags})
				}
			}
			r, _, ok, err := s.group(tx, g, defaultGroup)
			if err == nil && ok && implicit && may(s.GroupID(r.Name)) {
				out = append(out, Group{Name: r.Name, Location: r.Location})
			}
			return err
		})
	})
	return out, err
}

// maxGroups is how many resource groups there may be (the service's, of a subscription).
const maxGroups = 980

// DeleteGroup deletes the vaults of a group, as DeleteVault does, and then the group. What is
// too much for one request is done in the background: then DeletionDone says of the
// operation's token how far it is.
func (s *Service) DeleteGroup(ctx context.Context, caller access.Caller, name string) (out LongOperation, err error) {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return out, err
	}
	err = s.Gate.Write(ctx, controlRequest(known, GroupDelete, s.GroupID(name)), func(g seal.Grant) (err error) {
		if out.Token, err = s.sealOperation(g, operationToken{Kind: kindGroup, Name: fold(name), Began: unix(s.Now())}); err != nil {
			return err
		}
		if err := s.markGroup(ctx, g, name); err != nil {
			return err
		}
		out.Done, err = s.finishGroup(ctx, g, known, name, maxDeleteNow)
		return err
	})
	if err != nil {
		return LongOperation{}, explain(err)
	}
	if !out.Done {
		s.runner.Kick()
	}
	return out, nil
}

// maxDeleteNow is how many vaults of a group a request deletes itself.
const maxDeleteNow = 50

// markGroup marks a group as being deleted, so that nothing comes into it any more.
func (s *Service) markGroup(ctx context.Context, g seal.Grant, name string) error {
	now := s.Now()
	return s.Store.Update(ctx, func(tx store.Tx) error {
		r, was, ok, err := s.group(tx, g, name)
		if err != nil || !ok {
			return firstError(err, groupNotFound(name))
		}
		r.State = stateDeleted
		if err := tx.SetDue(groupKey(name), s.leased(now)); err != nil { // should this process die
			return err
		}
		return s.putGroup(tx, g, was, r)
	})
}

// finishGroup deletes the vaults of a group that is marked, and then the group. After so many
// vaults it leaves the rest, which is due then. Two nodes may be at it, one of them late: each
// step happens only while the group is marked, so that it does no harm to a group that was made
// anew under the name.
func (s *Service) finishGroup(ctx context.Context, g seal.Grant, caller access.Caller, name string, limit int) (done bool, err error) {
	now := s.Now()
	var names []string
	if err := s.Store.View(ctx, func(tx store.Tx) error {
		names = nil
		return s.eachVault(tx, func(v *vaultState) error {
			if v.live(name) {
				names = append(names, v.Name)
			}
			return nil
		})
	}); err != nil {
		return false, err
	}
	marked := func(tx store.Tx) (bool, error) {
		r, _, ok, err := s.group(tx, g, name)
		return ok && r.State == stateDeleted, err
	}
	for i, vault := range names {
		if i == limit {
			return false, s.Store.Update(ctx, func(tx store.Tx) error { return tx.SetDue(groupKey(name), now) })
		}
		if err := s.Store.Update(ctx, func(tx store.Tx) error {
			if still, err := marked(tx); err != nil || !still {
				return err
			}
			_, err := s.softDelete(tx, g, caller, name, vault, now)
			var gone *Error
			if asError(err, &gone) && gone.Code == CodeResourceNotFound {
				return nil
			}
			return err
		}); err != nil {
			return false, err
		}
	}
	if s.Forget != nil { // before the name is free; its vaults keep their names, and so what was assigned there
		if err := s.Forget(ctx, s.GroupID(name), false, marked); err != nil {
			return false, err
		}
	}
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if still, err := marked(tx); err != nil || !still {
			return err
		}
		rec, err := tx.Get(groupKey(name))
		if err != nil || !rec.Exists() {
			return err
		}
		return tx.Delete(rec.Key, rec.Revision)
	})
	return err == nil, err
}

// deleteGroupDue goes on with the deletion of a group whose process died.
func (s *Service) deleteGroupDue(ctx context.Context, key store.Key) error {
	name := string(key[len(groupPrefix):])
	subject := controlRequest(access.Caller{}, groupDelete, s.GroupID(name)).Subject
	return s.Gate.System(ctx, "delete", groupDelete, subject, func(g seal.Grant) error {
		marked := false
		if err := s.Store.View(ctx, func(tx store.Tx) error {
			r, _, ok, err := s.group(tx, g, name)
			marked = ok && r.State == stateDeleted
			return err
		}); err != nil {
			return err
		}
		if !marked {
			return s.drop(ctx, key)
		}
		_, err := s.finishGroup(ctx, g, access.Caller{}, name, math.MaxInt)
		return err
	})
}

// changeControl decides and runs fn in one Update. fn gets the caller as it is known.
func (s *Service) changeControl(ctx context.Context, caller access.Caller, op gate.Operation, scope string, fn func(store.Tx, seal.Grant, access.Caller) error) error {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return err
	}
	return explain(s.Gate.Write(ctx, controlRequest(known, op, scope), func(g seal.Grant) error {
		return s.Store.Update(ctx, func(tx store.Tx) error { return fn(tx, g, known) })
	}))
}

// viewControl decides and runs fn on one snapshot.
func (s *Service) viewControl(ctx context.Context, caller access.Caller, op gate.Operation, scope string, fn func(store.Tx, seal.Grant) error) error {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return err
	}
	return explain(s.Gate.Read(ctx, controlRequest(known, op, scope), func(g seal.Grant) error {
		return s.Store.View(ctx, func(tx store.Tx) error { return fn(tx, g) })
	}))
}
