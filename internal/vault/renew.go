package vault

import (
	"context"
	"errors"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// checkInterval is the least time between two renewals, or attempts at one: the service
// looks about once a day (documented by the versions that a short trigger makes).
const checkInterval = 24 * time.Hour

// renewAt is when the current version is to be renewed; zero means never. A certificate
// of the issuer Unknown cannot be, and one that is disabled is left alone.
func (h *certificateHead) renewAt() time.Time {
	v := h.Current
	if h.State != stateLive || len(v.CER) == 0 || !v.Enabled || !h.Policy.Enabled || fold(h.Policy.Issuer) == unknownIssuer {
		return time.Time{}
	}
	var at time.Time
	for _, action := range h.Policy.Actions {
		if action.Action != ActionAutoRenew {
			continue
		}
		trigger := moment(v.Expires).AddDate(0, 0, -action.Days)
		if action.Percentage != 0 {
			life := moment(v.Expires).Sub(moment(v.NotBefore))
			trigger = moment(v.NotBefore).Add(life / 100 * time.Duration(action.Percentage))
		}
		if at.IsZero() || trigger.Before(at) {
			at = trigger
		}
	}
	if soonest := moment(v.Created).Add(checkInterval); !at.IsZero() && at.Before(soonest) {
		return soonest
	}
	return at
}

// schedule makes the due row of a certificate's renewal fit its head.
func (e edit) schedule(ref Ref, head *certificateHead) error {
	return e.tx.SetDue(ref.key(kindRenewal), head.renewAt())
}

// renewDue does what the due row of a renewal is about: when the time has come, it
// begins the issuance of a new version by the stored policy, with the tags of the
// current one. Whatever becomes of that, it is looked at again after a while; a failed
// renewal leaves the current version as it is.
func (s *Service) renewDue(ctx context.Context, key store.Key) error {
	return s.due(ctx, key, func(v *vaultState, ref Ref) error { return s.renew(ctx, key, v, ref) })
}

func (s *Service) renew(ctx context.Context, key store.Key, v *vaultState, ref Ref) error {
	now := s.Now()
	begun := false
	err := s.Gate.System(ctx, "renewal", certificateRenew, s.subject(v, "certificates", ref), func(g seal.Grant) error {
		f, err := s.names(ctx, v, ref)
		if err != nil {
			return err
		}
		n, err := s.openNames(g, f, ref)
		if err != nil {
			return err
		}
		at := n.certificate.renewAt()
		if at.IsZero() || now.Before(at) {
			return s.update(ctx, g, v, func(e edit) error { return e.tx.SetDue(key, at) })
		}
		again := func(e edit) error { return e.tx.SetDue(key, now.Add(checkInterval)) }
		if n.operation.Status == statusInProgress || s.checkIssuer(g, v, n.certificate.Policy.Issuer, s.getter(ctx)) != nil {
			return s.update(ctx, g, v, again)
		}
		ref.Name = n.certificate.Name
		current := n.certificate.Current
		plan, err := s.planVersion(ctx, g, f, ref, n.certificate.Policy.policy(), NewCertificate{Tags: current.Tags, Preserve: current.Preserve})
		var refused *Error
		if errors.As(err, &refused) { // by a policy that cannot be carried out
			s.Log.Warn("a certificate cannot be renewed by its policy", "vault", v.Name, "certificate", ref.Name, "error", refused)
			return s.update(ctx, g, v, again)
		}
		if err != nil {
			return err
		}
		return s.update(ctx, g, v, func(e edit) error {
			var head certificateHead
			if _, err := e.head(kindCertificate, ref, &head); err != nil {
				return err
			}
			if begun = head.Current.ID == current.ID; !begun { // another node has renewed it meanwhile
				return e.tx.SetDue(key, head.renewAt())
			}
			if err := plan.commit(e); err != nil {
				return err
			}
			return again(e)
		})
	})
	if err == nil && begun {
		s.begin(ref.key(kindOperation))
	}
	return err
}

// names reads the records that have a say in whether a name is free.
func (s *Service) names(ctx context.Context, v *vaultState, ref Ref) (found, error) {
	var asks []store.Ask
	for _, key := range nameKeys(ref) {
		asks = append(asks, store.Ask{Key: key})
	}
	recs, err := s.Store.Get(ctx, asks...)
	return found{vault: v, recs: recs}, err
}
