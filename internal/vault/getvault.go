package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

func asError(err error, target **Error) bool { return errors.As(err, target) }

// live reports whether the vault is there, in the group.
func (v *vaultState) live(group string) bool {
	return v != nil && v.State == "" && (group == "" || fold(v.group()) == fold(group))
}

// FindVault returns a vault of a group to a caller.
func (s *Service) FindVault(ctx context.Context, caller access.Caller, group, name string) (out Vault, err error) {
	err = s.viewControl(ctx, caller, VaultGet, s.VaultID(group, name), func(tx store.Tx, g seal.Grant) error {
		if _, _, ok, err := s.group(tx, g, group); err != nil || !ok {
			return firstError(err, groupNotFound(group))
		}
		v, err := s.vaultIn(tx, name)
		if err != nil {
			return err
		}
		if !v.live(group) {
			return resourceNotFound(name, group)
		}
		out = v.vault()
		return nil
	})
	return out, err
}

// vaultIn reads a vault in a transaction; nil: there is none.
func (s *Service) vaultIn(tx store.Tx, name string) (*vaultState, error) {
	if !validVaultName(name) {
		return nil, nil
	}
	rec, err := tx.Get(vaultKey(name))
	if err != nil || !rec.Exists() {
		return nil, err
	}
	return s.openVault(name)(rec)
}

// ListVaults returns the vaults that the caller may read, of a group or of all. Who may read
// none of a group is refused.
func (s *Service) ListVaults(ctx context.Context, caller access.Caller, group string) (out []Vault, err error) {
	scope := "/subscriptions/" + s.SubscriptionID()
	if group != "" {
		scope = s.GroupID(group)
	}
	err = s.visible(ctx, caller, VaultGet, scope, func(g seal.Grant, may func(string) bool) error {
		return s.Store.View(ctx, func(tx store.Tx) error {
			out = nil
			if group != "" {
				if _, _, ok, err := s.group(tx, g, group); err != nil || !ok {
					return firstError(err, groupNotFound(group))
				}
			}
			return s.eachVault(tx, func(v *vaultState) error {
				if v.live(group) && may(s.VaultID(v.group(), v.Name)) {
					out = append(out, v.vault())
				}
				return nil
			})
		})
	})
	if group != "" && len(out) == 0 { // whether there is such a group, is not for everybody to know
		if denied := s.Authorize(ctx, caller, VaultGet, scope); denied != nil {
			return nil, denied
		}
	}
	return out, err
}

// DeleteVault moves a vault with everything in it into the deleted state, in which it can
// be recovered for the days of its retention; found is false when there is none.
func (s *Service) DeleteVault(ctx context.Context, caller access.Caller, group, name string) (found bool, err error) {
	now := s.Now()
	err = s.changeControl(ctx, caller, VaultDelete, s.VaultID(group, name), func(tx store.Tx, g seal.Grant, known access.Caller) error {
		if _, _, ok, err := s.group(tx, g, group); err != nil || !ok {
			return firstError(err, groupNotFound(group))
		}
		found, err = s.softDelete(tx, g, known, group, name, now)
		return err
	})
	var coded *Error
	if asError(err, &coded) && coded.Code == CodeResourceNotFound {
		return false, nil
	}
	return found, err
}

func (s *Service) softDelete(tx store.Tx, g seal.Grant, caller access.Caller, group, name string, now time.Time) (bool, error) {
	v, err := s.vaultIn(tx, name)
	if err != nil {
		return false, err
	}
	if !v.live(group) {
		return false, resourceNotFound(name, group)
	}
	r := v.vaultRecord
	r.State, r.Deleted, r.PurgeAt = stateDeleted, unix(now), unix(now.Add(time.Duration(r.RetentionDays)*24*time.Hour))
	r.ModifiedBy, r.ModifiedByType = actor(caller)
	r.Modified, r.FirstTouch = unix(now), false
	box, err := s.sealVault(g, v.Instance, r)
	if err != nil {
		return false, err
	}
	if err := tx.Put(vaultKey(name), v.revision, box); err != nil {
		return false, err
	}
	return true, tx.SetDue(vaultKey(name), moment(r.PurgeAt))
}

func deletedVaultNotFound(name string) *Error {
	return &Error{Code: CodeDeletedVaultNotFound, Message: fmt.Sprintf("The specified deleted vault '%s' does not exist.", clip(name))}
}

// deletedScope is the scope of a deleted vault.
func (s *Service) deletedScope(location, name string) string {
	return "/subscriptions/" + s.SubscriptionID() + "/providers/Microsoft.KeyVault/locations/" + location + "/deletedVaults/" + name
}

// ListDeletedVaults returns the deleted vaults.
func (s *Service) ListDeletedVaults(ctx context.Context, caller access.Caller) (out []Vault, err error) {
	err = s.viewControl(ctx, caller, VaultListDeleted, "/subscriptions/"+s.SubscriptionID(), func(tx store.Tx, _ seal.Grant) error {
		out = nil
		return s.eachVault(tx, func(v *vaultState) error {
			if v.State == stateDeleted {
				out = append(out, v.vault())
			}
			return nil
		})
	})
	return out, err
}

// GetDeletedVault returns a deleted vault.
func (s *Service) GetDeletedVault(ctx context.Context, caller access.Caller, location, name string) (out Vault, err error) {
	err = s.viewControl(ctx, caller, VaultGetDeleted, s.deletedScope(location, name), func(tx store.Tx, _ seal.Grant) error {
		v, err := s.vaultIn(tx, name)
		if err != nil {
			return err
		}
		if v == nil || v.State != stateDeleted || v.Location != location {
			return deletedVaultNotFound(name)
		}
		out = v.vault()
		return nil
	})
	return out, err
}

// PurgeVault removes a deleted vault with everything in it for good. What is too much for
// one request is done in the background: then PurgeDone says of the operation's token how far
// it is, and until it is done, the name stays taken.
func (s *Service) PurgeVault(ctx context.Context, caller access.Caller, location, name string) (out LongOperation, err error) {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return out, err
	}
	err = s.Gate.Write(ctx, controlRequest(known, VaultPurge, s.deletedScope(location, name)), func(g seal.Grant) error {
		v, err := s.vaultNamed(ctx, fold(name))
		switch {
		case err != nil:
			return err
		case v == nil || v.State != stateDeleted || v.Location != location:
			return deletedVaultNotFound(name)
		case v.PurgeProtection:
			return &Error{Code: CodeMethodNotAllowed, Message: "Operation 'DeletedVaultPurge' is not allowed. The vault is protected against purge until " + moment(v.PurgeAt).UTC().Format(time.RFC3339) + "."}
		}
		out.Token, err = s.sealOperation(g, operationToken{Kind: kindVault, Name: fold(name), Instance: v.Instance, Began: unix(s.Now())})
		if err != nil {
			return err
		}
		return s.putVaultState(ctx, g, v, func(r *vaultRecord) { r.State = statePurging }, s.leased(s.Now())) // should this process die
	})
	if err != nil {
		return LongOperation{}, explain(err)
	}
	// From here on it will happen, whatever comes of the attempt.
	if out.Done = s.purgeNow(ctx, fold(name)); !out.Done {
		s.runner.Kick()
	}
	return out, nil
}

// CheckVaultName reports why a vault cannot be made with the name; empty: it can.
func (s *Service) CheckVaultName(ctx context.Context, caller access.Caller, name string) (reason *Error, err error) {
	err = s.viewControl(ctx, caller, VaultCheckName, "/subscriptions/"+s.SubscriptionID(), func(tx store.Tx, _ seal.Grant) error {
		if !validVaultName(name) {
			reason = &Error{Code: CodeVaultName, Message: "The vault name is invalid: use 3 to 24 letters, digits and hyphens, beginning with a letter, with no two hyphens in a row and none at the end."}
			return nil
		}
		v, err := s.vaultIn(tx, name)
		if err == nil && v != nil {
			reason = &Error{Code: CodeVaultExists, Message: "The name '" + name + "' is already in use."}
		}
		return err
	})
	return reason, err
}

func operationPlace() seal.Place {
	return seal.Place{Purpose: seal.PurposeOperation, Kind: "operation", Format: recordFormat}
}

func (s *Service) sealOperation(g seal.Grant, t operationToken) (string, error) {
	body, err := encode(t)
	if err != nil {
		return "", err
	}
	box, err := s.Keyring.Seal(g, operationPlace(), body)
	return base64.RawURLEncoding.EncodeToString(box), err
}

// A LongOperation is a deletion of a group or a purge of a vault, as far as it has come.
type LongOperation struct {
	Token        string // by which it can be asked for, of one that begins
	Done         bool
	Began, Ended time.Time
}

var errOperation = &Error{Code: CodeResourceNotFound, Message: "There is no operation at this address."}

// DeletionDone reports how far a deletion is that DeleteGroup began, to whoever has its
// token: who could delete the group may have no role any more where the group was.
func (s *Service) DeletionDone(ctx context.Context, caller access.Caller, token string) (out LongOperation, err error) {
	err = s.visible(ctx, caller, GroupGet, "/subscriptions/"+s.SubscriptionID(), func(g seal.Grant, _ func(string) bool) (err error) {
		out, err = s.operationDone(ctx, g, kindGroup, token)
		return err
	})
	return out, err
}

// PurgeDone reports how far a purge is that PurgeVault began.
func (s *Service) PurgeDone(ctx context.Context, caller access.Caller, location, token string) (out LongOperation, err error) {
	known, err := s.controller(ctx, caller)
	if err != nil {
		return out, err
	}
	scope := "/subscriptions/" + s.SubscriptionID() + "/providers/Microsoft.KeyVault/locations/" + location
	err = s.Gate.Read(ctx, controlRequest(known, VaultOperationGet, scope), func(g seal.Grant) (err error) {
		out, err = s.operationDone(ctx, g, kindVault, token)
		return err
	})
	return out, explain(err)
}

func (s *Service) operationDone(ctx context.Context, g seal.Grant, kind, token string) (out LongOperation, err error) {
	box, err := decodeURL(token)
	if err != nil {
		return out, errOperation
	}
	plain, at, err := s.Keyring.Open(g, operationPlace(), box)
	if err != nil {
		return out, errOperation
	}
	var t operationToken
	switch err := decode(plain, at.Format, &t); {
	case err != nil:
		return out, err
	case t.Kind != kind:
		return out, errOperation
	}
	out = LongOperation{Began: moment(t.Began), Ended: s.Now()}
	if t.Kind == kindVault {
		v, err := s.vaultNamed(ctx, t.Name)
		out.Done = v == nil || v.Instance != t.Instance
		return out, err
	}
	recs, err := s.Store.Get(ctx, store.Ask{Key: groupKey(t.Name)})
	if err != nil || !recs[0].Exists() {
		out.Done = err == nil
		return out, err
	}
	r, err := s.openGroup(g, recs[0], t.Name)
	out.Done = r.State == ""
	return out, err
}

// CheckScope reports whether a role can be assigned at a scope: the root, the subscription, a
// group, a vault, or an object in it, of which only the vault has to exist.
func (s *Service) CheckScope(ctx context.Context, scope string) error {
	group, name, ok := splitScope(scope)
	switch {
	case !ok:
		return &Error{Code: CodeResourceNotFound, Message: fmt.Sprintf(
			"There is nothing at the scope '%s'. Roles are assigned at the subscription, a resource group, a vault, or a secret, key or certificate of it.", clipScope(scope))}
	case group == "":
		return nil
	}
	return explain(s.Store.View(ctx, func(tx store.Tx) error {
		if _, _, ok, err := s.group(tx, s.Gate.Inputs(), group); err != nil || !ok {
			return firstError(err, groupNotFound(group))
		}
		if name == "" {
			return nil
		}
		v, err := s.vaultIn(tx, name)
		if err == nil && !v.live(group) {
			return resourceNotFound(name, group)
		}
		return err
	}))
}

// scopeWords are the fixed words of a scope; a name stands where one is empty.
var scopeWords = []string{"subscriptions", "", "resourceGroups", "", "providers", "Microsoft.KeyVault", "vaults", ""}

// splitScope takes a scope apart, and says whether it has the form of one.
func splitScope(scope string) (group, name string, ok bool) {
	parts := strings.Split(strings.Trim(scope, "/"), "/")
	if parts[0] == "" {
		return "", "", len(parts) == 1
	}
	for i, word := range scopeWords[:min(len(parts), len(scopeWords))] {
		if word != "" && !strings.EqualFold(word, parts[i]) {
			return "", "", false
		}
	}
	switch len(parts) {
	case 2:
		return "", "", true
	case 4:
		return parts[3], "", true
	case 8:
		return parts[3], parts[7], true
	case 10:
		collection := fold(parts[8])
		return parts[3], parts[7], (collection == "keys" || collection == "secrets" || collection == "certificates") && ValidName(parts[9])
	}
	return "", "", false
}
