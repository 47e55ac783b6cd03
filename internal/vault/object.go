package vault

import (
	"context"
	"fmt"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// Secrets and keys do most things alike: they have a head with the current version, older
// versions, a deleted state, lists and backups. What they differ in is a class.

// An object is the head of a secret or a key.
type object interface {
	headed
	current() versioned // a pointer into the head
}

// A versioned is one version of a secret or a key.
type versioned interface{ record() *versionRecord }

func (v *versionRecord) record() *versionRecord { return v }

func (h *secretHead) current() versioned { return &h.Current }
func (h *keyHead) current() versioned    { return &h.Current }

// A class is what tells secrets from keys.
type class struct {
	kind, versions, deleted string // kinds of the head and the older versions; the index of deleted heads
	noun                    string // "Secret"
	collection              string // "secrets"
	list, listVersions      gate.Operation
	listDeleted             gate.Operation
	newHead                 func() object
	newVersion              func() versioned
	assign                  func(object, versioned) // makes the version the current one
}

func secretClass() class {
	return class{
		kind: kindSecret, versions: kindSecretVersion, deleted: indexDeletedSecret, noun: "Secret", collection: "secrets",
		list: SecretList, listVersions: SecretListVersions, listDeleted: SecretListDeleted,
		newHead: func() object { return &secretHead{} }, newVersion: func() versioned { return &secretVersion{} },
		assign: func(o object, v versioned) { o.(*secretHead).Current = *v.(*secretVersion) },
	}
}

func keyClass() class {
	return class{
		kind: kindKey, versions: kindKeyVersion, deleted: indexDeletedKey, noun: "Key", collection: "keys",
		list: KeyList, listVersions: KeyListVersions, listDeleted: KeyListDeleted,
		newHead: func() object { return &keyHead{} }, newVersion: func() versioned { return &keyVersion{} },
		assign: func(o object, v versioned) { o.(*keyHead).Current = *v.(*keyVersion) },
	}
}

// An answer is an object, or one version of it, as it was found.
type answer struct {
	vault   *vaultState
	head    object
	version versioned
}

// readObject decides and reads the current version, or the one that ref names. The
// caller's check may refuse what was found; it runs under the grant.
func (s *Service) readObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref, check func(answer) error) (out answer, err error) {
	keys := []store.Key{ref.key(c.kind), ref.key(kindCertificate)}
	if ref.Version != "" {
		keys = append(keys, ref.versionKey(c.versions, ref.Version))
	}
	f, err := s.find(ctx, caller, ref.Vault, keys...)
	if err != nil {
		return out, err
	}
	err = s.Gate.Read(ctx, s.request(f, op, c.collection, ref), func(g seal.Grant) error {
		out.vault, out.head = f.vault, c.newHead()
		ok, err := s.openHead(g, f.vault, c.kind, ref, f.recs[0], out.head)
		if err != nil {
			return err
		}
		if !ok || out.head.base().State != stateLive {
			return s.noObject(g, f, c, ref)
		}
		if out.version, err = s.pick(g, f, c, ref, out.head); err != nil {
			return err
		}
		return check(out)
	})
	return out, explain(err)
}

// pick finds the version that ref names.
func (s *Service) pick(g seal.Grant, f found, c class, ref Ref, head object) (versioned, error) {
	if ref.Version == "" || head.current().record().ID == fold(ref.Version) {
		return head.current(), nil
	}
	if !f.recs[2].Exists() {
		return nil, notFound(c.kind, ref)
	}
	v := c.newVersion()
	_, err := s.open(g, f.vault, f.vault.place(c.versions, ref, head.base().object, ref.Version), f.recs[2], v)
	return v, err
}

// noObject says why there is none: a certificate of the name that was never issued
// counts as a disabled one (reported for secrets).
func (s *Service) noObject(g seal.Grant, f found, c class, ref Ref) error {
	var certificate certificateHead
	ok, err := s.openHead(g, f.vault, kindCertificate, ref, f.recs[1], &certificate)
	if err != nil {
		return err
	}
	if c.kind == kindSecret && ok && certificate.State == stateLive && len(certificate.Current.CER) == 0 {
		return errSecretDisabled
	}
	return notFound(c.kind, ref)
}

// addVersion makes v the current version of an object, which is made if it is not there.
// The verb is what the caller does, for a refusal.
func (e edit) addVersion(c class, ref Ref, verb string, v versioned, id string) (object, error) {
	head := c.newHead()
	was, err := e.head(c.kind, ref, head)
	if err != nil {
		return nil, err
	}
	h := head.base()
	if was != 0 && head.current().record().ID == v.record().ID { // a rerun of a commit that did happen
		return head, nil
	}
	if err := e.refuseName(c, ref, verb, was, h); err != nil {
		return nil, err
	}
	if was == 0 {
		*h = header{Name: ref.Name, State: stateLive, object: id}
	} else if err := e.putVersion(c.versions, ref, h.object, head.current().record().ID, head.current()); err != nil {
		return nil, err
	}
	h.Sequence++
	v.record().Sequence = h.Sequence
	c.assign(head, v)
	return head, e.putHead(c.kind, ref, was, head)
}

// refuseName refuses a name that belongs to a certificate, or to something deleted.
func (e edit) refuseName(c class, ref Ref, verb string, was store.Revision, h *header) error {
	var certificate certificateHead
	claimed, err := e.head(kindCertificate, ref, &certificate)
	if err != nil {
		return err
	}
	if was == 0 && claimed != 0 {
		h = &certificate.header
	}
	switch {
	case was == 0 && claimed == 0:
		return nil
	case h.State == stateDeleted:
		return c.deletedConflict(ref)
	case h.State == statePurging:
		return c.beingDeletedConflict(ref)
	case claimed != 0 || h.Managed:
		return managed(c.kind, verb)
	}
	return nil
}

func (c class) deletedConflict(ref Ref) *Error {
	return conflict(InnerDeleted, "%s %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the %s can only be recovered or purged.", c.noun, ref.Name, fold(c.noun))
}

func (c class) beingDeletedConflict(ref Ref) *Error {
	return conflict(InnerBeingDeleted, "%s %s is currently being deleted and cannot be re-created; retry later.", c.noun, ref.Name)
}

// changeObject finds a live object that is no certificate's, and the version that ref
// names, and puts what fn makes of them.
func (s *Service) changeObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref, fn func(edit, object, versioned) error) (out answer, err error) {
	err = s.write(ctx, caller, op, c.collection, ref, func(e edit) error {
		var was, older store.Revision
		if out, was, older, err = e.live(c, ref); err != nil {
			return err
		}
		h := out.head.base()
		if h.Managed {
			return managed(c.kind, op.Permission.Verb)
		}
		if err := fn(e, out.head, out.version); err != nil {
			return err
		}
		if older == 0 {
			return e.putHead(c.kind, ref, was, out.head)
		}
		return e.put(ref.versionKey(c.versions, ref.Version), e.vault.place(c.versions, ref, h.object, ref.Version), older, out.version)
	})
	return out, explain(err)
}

// live finds a live object and the version that ref names. The revision was is that of
// the head; older that of the version, zero for the current one, which the head holds.
func (e edit) live(c class, ref Ref) (out answer, was, older store.Revision, err error) {
	head := c.newHead()
	if was, err = e.head(c.kind, ref, head); err != nil {
		return out, was, 0, err
	}
	if was == 0 || head.base().State != stateLive {
		return out, was, 0, notFound(c.kind, ref)
	}
	out = answer{vault: e.vault, head: head, version: head.current()}
	if ref.Version == "" || fold(ref.Version) == head.current().record().ID {
		return out, was, 0, nil
	}
	out.version = c.newVersion()
	if older, err = e.version(c.versions, ref, head.base().object, out.version); err == nil && older == 0 {
		err = notFound(c.kind, ref)
	}
	return out, was, older, err
}

// An AttributesInput is what a request says of the attributes of a secret or a key. What
// is nil was left out. Times have whole seconds.
type AttributesInput struct {
	Enabled            *bool
	NotBefore, Expires *time.Time
}

// over puts what was sent over a version.
func (in AttributesInput) over(v *versionRecord) {
	v.Enabled = value(in.Enabled, v.Enabled)
	if in.NotBefore != nil {
		v.NotBefore = in.NotBefore.Unix()
	}
	if in.Expires != nil {
		v.Expires = in.Expires.Unix()
	}
}

// newRecord is a version that is made now.
func (in AttributesInput) newRecord(now time.Time, tags map[string]string) versionRecord {
	v := versionRecord{ID: newVersion(), Enabled: true, Created: unix(now), Updated: unix(now), Tags: tags}
	in.over(&v)
	return v
}

// checkObjectName refuses what no object can be called.
func checkObjectName(name string) error {
	if !ValidName(name) {
		return inValidName(name)
	}
	return nil
}

// errMissing is the service's answer to a body that lacks a member (recorded: the
// member's name is blank).
var errMissing = &Error{Code: CodeBadParameter, Message: "Property  has invalid value\r\n"}

// tooLong is the answer to a member that is too long.
func tooLong(path string, most int) *Error {
	return badProperty(path, fmt.Sprintf("char length is too long: use at most %d characters", most))
}
