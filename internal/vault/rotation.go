package vault

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A RotationPolicy says when new versions of a key are made. Durations are as they were
// sent (ISO 8601).
type RotationPolicy struct {
	Name             string // of the key
	Actions          []RotationAction
	Expiry           string    // of a version, from its creation; empty: none
	Created, Updated time.Time // zero when it was never set
}

// A RotationAction has one of its times; the other is empty.
type RotationAction struct {
	Type         string // "Rotate" or "Notify"
	AfterCreate  string
	BeforeExpiry string
}

// The types of a rotation action.
const (
	rotate = "Rotate"
	notify = "Notify"
)

// defaultNotify is in every policy that has no Notify of its own (recorded).
var defaultNotify = RotationAction{Type: notify, BeforeExpiry: "P30D"}

// The bounds of a rotation policy, in days (documented).
const (
	leastExpiry   = 28
	leastRotation = 7
)

// A period is an ISO 8601 duration in calendar terms.
type period struct {
	months, days int
	rest         time.Duration
}

var periodForm = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?$`)

// parsePeriod reads an ISO 8601 duration.
func parsePeriod(text string) (p period, ok bool) {
	m := periodForm.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return p, false
	}
	n := func(i int) int {
		v, _ := strconv.Atoi(m[i]) // empty is 0, and the form bounds the rest
		return v
	}
	p.months, p.days = 12*n(1)+n(2), 7*n(3)+n(4)
	p.rest = time.Duration(n(5))*time.Hour + time.Duration(n(6))*time.Minute + time.Duration(n(7))*time.Second
	return p, true
}

// after and before count from a time, in calendar months.
func (p period) after(t time.Time) time.Time {
	return pki.AddMonths(t, p.months).AddDate(0, 0, p.days).Add(p.rest)
}

func (p period) before(t time.Time) time.Time {
	return pki.AddMonths(t, -p.months).AddDate(0, 0, -p.days).Add(-p.rest)
}

// span is how long the period is, for comparisons: a month has 30 days.
func (p period) span() time.Duration {
	return time.Duration(30*p.months+p.days)*24*time.Hour + p.rest
}

const oneDay = 24 * time.Hour

// GetKeyRotationPolicy returns the policy of a key; one that was never set is the
// default (recorded).
func (s *Service) GetKeyRotationPolicy(ctx context.Context, caller access.Caller, ref Ref) (out RotationPolicy, err error) {
	_, err = s.readObject(ctx, caller, KeyRotationPolicyGet, keyClass(), ref, func(a answer) error {
		out = a.head.(*keyHead).policy()
		return nil
	})
	return out, err
}

func (h *keyHead) policy() RotationPolicy {
	if h.Rotation == nil {
		return RotationPolicy{Name: h.Name, Actions: []RotationAction{defaultNotify}}
	}
	out := RotationPolicy{Name: h.Name, Expiry: h.Rotation.Expiry, Created: moment(h.Rotation.Created), Updated: moment(h.Rotation.Updated)}
	for _, a := range h.Rotation.Actions {
		out.Actions = append(out.Actions, RotationAction(a))
	}
	return out
}

// UpdateKeyRotationPolicy replaces the policy of a key. The policy is that of the name:
// it holds for the current version.
func (s *Service) UpdateKeyRotationPolicy(ctx context.Context, caller access.Caller, ref Ref, in RotationPolicy) (out RotationPolicy, err error) {
	now := s.Now()
	_, err = s.changeObject(ctx, caller, KeyRotationPolicySet, keyClass(), ref, func(e edit, head object, _ versioned) error {
		actions, err := in.check()
		if err != nil {
			return err
		}
		h := head.(*keyHead)
		record := rotationRecord{Expiry: in.Expiry, Created: unix(now), Updated: unix(now)}
		if h.Rotation != nil {
			record.Created, record.Updated = h.Rotation.Created, later(now, h.Rotation.Updated)
		}
		for _, a := range actions {
			record.Actions = append(record.Actions, rotationAction(a))
		}
		h.Rotation = &record
		out = h.policy()
		return e.scheduleRotation(ref, h)
	})
	return out, err
}

// check returns the actions in their canonical order: Rotate first, then Notify, which
// is always there (recorded).
func (in RotationPolicy) check() ([]RotationAction, error) {
	var expiry period
	if in.Expiry != "" {
		var ok bool
		if expiry, ok = parsePeriod(in.Expiry); !ok || expiry.span() < leastExpiry*oneDay {
			return nil, badProperty("attributes.expiryTime", fmt.Sprintf("Use an ISO 8601 duration of at least %d days, such as P90D", leastExpiry))
		}
	}
	var rotation, notification *RotationAction
	for i, a := range in.Actions {
		path := fmt.Sprintf("lifetimeActions[%d]", i)
		known := map[string]**RotationAction{fold(rotate): &rotation, fold(notify): &notification}[fold(a.Type)]
		if known == nil {
			return nil, badProperty(path+".action.type", "Use Rotate or Notify")
		}
		if *known != nil {
			return nil, badProperty(path+".action.type", "There is at most one action of each type")
		}
		if err := a.check(path, in.Expiry != "", expiry); err != nil {
			return nil, err
		}
		*known = &RotationAction{Type: map[string]string{fold(rotate): rotate, fold(notify): notify}[fold(a.Type)], AfterCreate: a.AfterCreate, BeforeExpiry: a.BeforeExpiry}
	}
	if notification == nil {
		standard := defaultNotify
		notification = &standard
	}
	if rotation == nil {
		return []RotationAction{*notification}, nil
	}
	return []RotationAction{*rotation, *notification}, nil
}

func (a RotationAction) check(path string, expires bool, expiry period) error {
	if (a.AfterCreate == "") == (a.BeforeExpiry == "") {
		return badProperty(path+".trigger", "Use one of timeAfterCreate and timeBeforeExpiry")
	}
	after, ok1 := parsePeriod(a.AfterCreate)
	before, ok2 := parsePeriod(a.BeforeExpiry)
	switch isRotate := fold(a.Type) == fold(rotate); {
	case a.AfterCreate != "" && !ok1, a.BeforeExpiry != "" && !ok2:
		return badProperty(path+".trigger", "Use an ISO 8601 duration, such as P30D")
	case !isRotate && a.AfterCreate != "":
		return badProperty(path+".trigger", "Notify has timeBeforeExpiry")
	case isRotate && a.AfterCreate != "" && after.span() < leastRotation*oneDay,
		isRotate && a.BeforeExpiry != "" && before.span() < leastRotation*oneDay:
		return badProperty(path+".trigger", fmt.Sprintf("Use at least %d days", leastRotation))
	case isRotate && a.BeforeExpiry != "" && !expires:
		return badProperty(path+".trigger.timeBeforeExpiry", "Set attributes.expiryTime, too")
	case isRotate && expires && a.AfterCreate != "" && after.span() > expiry.span()-leastRotation*oneDay:
		return badProperty(path+".trigger.timeAfterCreate", fmt.Sprintf("Use at most the expiryTime less %d days", leastRotation))
	}
	return nil
}

// rotateAt is when the current version is to be rotated; zero means never.
func (h *keyHead) rotateAt() time.Time {
	if h.Rotation == nil || h.State != stateLive || h.Managed || !h.Current.Enabled {
		return time.Time{}
	}
	for _, a := range h.Rotation.Actions {
		if a.Type != rotate {
			continue
		}
		if after, ok := parsePeriod(a.AfterCreate); ok && a.AfterCreate != "" {
			return after.after(moment(h.Current.Created))
		}
		if before, ok := parsePeriod(a.BeforeExpiry); ok && h.Current.Expires != 0 {
			return before.before(moment(h.Current.Expires))
		}
	}
	return time.Time{}
}

// scheduleRotation makes the due row of a key's rotation fit its head. A rotation that
// is overdue is not done at once, so that a policy that is just being tried does not
// make versions without end.
func (e edit) scheduleRotation(ref Ref, h *keyHead) error {
	at := h.rotateAt()
	if soonest := moment(h.Current.Created).Add(checkInterval); !at.IsZero() && at.Before(soonest) {
		at = soonest
	}
	return e.tx.SetDue(ref.key(kindRotation), at)
}

// RotateKey makes a new version of the same kind as the current one, with its
// operations, tags and policies. It expires as the rotation policy says.
func (s *Service) RotateKey(ctx context.Context, caller access.Caller, ref Ref) (Key, error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindKey))
	if err != nil {
		return Key{}, err
	}
	var out Key
	err = s.Gate.Write(ctx, s.request(f, KeyRotate, "keys", ref), func(g seal.Grant) (err error) {
		out, err = s.rotateKey(ctx, g, f.vault, ref, f.recs[0])
		return err
	})
	return out, explain(err)
}

func (s *Service) rotateKey(ctx context.Context, g seal.Grant, v *vaultState, ref Ref, rec store.Record) (out Key, err error) {
	var head keyHead
	ok, err := s.openHead(g, v, kindKey, ref, rec, &head)
	switch {
	case err != nil:
		return out, err
	case !ok || head.State != stateLive:
		return out, notFound(kindKey, ref)
	case head.Managed:
		return out, managed(kindKey, "rotate")
	}
	fresh, err := s.successor(ctx, &head)
	if err != nil {
		return out, err
	}
	before := head.Current.ID
	return out, s.update(ctx, g, v, func(e edit) error {
		var now keyHead
		if _, err := e.head(kindKey, ref, &now); err != nil {
			return err
		}
		if id := now.Current.ID; id != before && id != fresh.ID { // somebody else was first
			return store.ErrChanged
		}
		version := *fresh
		added, err := e.addVersion(keyClass(), ref, "rotate", &version, now.object)
		if err != nil {
			return err
		}
		if err := e.scheduleRotation(ref, added.(*keyHead)); err != nil {
			return err
		}
		out, err = answer{vault: e.vault, head: added, version: added.current()}.key()
		return err
	})
}

// successor is the version that follows the current one.
func (s *Service) successor(ctx context.Context, head *keyHead) (*keyVersion, error) {
	old := head.Current
	now := s.Now()
	v := &keyVersion{versionRecord: AttributesInput{}.newRecord(now, old.Tags), Ops: old.Ops, HSM: old.HSM, Exportable: old.Exportable, Release: old.Release}
	if head.Rotation != nil {
		if expiry, ok := parsePeriod(head.Rotation.Expiry); ok && head.Rotation.Expiry != "" {
			v.Expires = unix(expiry.after(now))
		}
	}
	if len(old.K) > 0 {
		return v, v.holdSymmetric(len(old.K))
	}
	public, err := pki.ParsePublicKey(old.SPKI)
	if err != nil {
		return nil, err
	}
	kt, err := pki.TypeOf(public)
	if err != nil {
		return nil, err
	}
	signer, err := s.generate(ctx, kt)
	if err != nil {
		return nil, err
	}
	return v, v.hold(signer)
}

// rotateDue does what the due row of a rotation is about.
func (s *Service) rotateDue(ctx context.Context, key store.Key) error {
	now := s.Now()
	return s.due(ctx, key, func(v *vaultState, ref Ref) error {
		return s.Gate.System(ctx, "rotation", keyRotation, s.subject(v, "keys", ref), func(g seal.Grant) error {
			recs, err := s.Store.Get(ctx, store.Ask{Key: ref.key(kindKey)})
			if err != nil {
				return err
			}
			var head keyHead
			if _, err := s.openHead(g, v, kindKey, ref, recs[0], &head); err != nil {
				return err
			}
			if at := head.rotateAt(); at.IsZero() || now.Before(at) {
				return s.update(ctx, g, v, func(e edit) error { return e.tx.SetDue(key, at) })
			}
			_, err = s.rotateKey(ctx, g, v, ref, recs[0])
			return err
		})
	})
}
