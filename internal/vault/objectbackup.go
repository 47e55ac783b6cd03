package vault

import (
	"context"
	"encoding/base64"
	"fmt"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
)

// An objectBackup is what the backup blob of a secret or a key holds. Head and versions
// are the sealed structs of their class, encoded.
type objectBackup struct {
	Head  []byte   `cbor:"1,keyasint"`
	Older [][]byte `cbor:"2,keyasint"`
}

// backupObject returns everything of an object in one sealed text. What belongs to a
// certificate is backed up with it.
func (s *Service) backupObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, ref Ref) (string, error) {
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return "", err
	}
	var out string
	err = s.Gate.Read(ctx, s.request(f, op, c.collection, ref), func(g seal.Grant) error {
		var all objectBackup
		if err := s.view(ctx, g, f.vault, func(e edit) (err error) {
			all, err = e.backupObject(c, ref, op)
			return err
		}); err != nil {
			return err
		}
		out, err = s.sealBackup(g, c.kind, all)
		return err
	})
	return out, explain(err)
}

func (s *Service) sealBackup(g seal.Grant, kind string, all any) (string, error) {
	body, err := encode(all)
	if err != nil {
		return "", err
	}
	box, err := s.Keyring.Seal(g, backupPlace(kind), body)
	return base64.RawURLEncoding.EncodeToString(box), err
}

// openBackup reads a blob of this installation and this kind.
func (s *Service) openBackup(g seal.Grant, kind, blob string, into any) error {
	box, err := decodeURL(blob)
	if err != nil {
		return errBackup
	}
	plain, at, err := s.Keyring.Open(g, backupPlace(kind), box)
	if err != nil {
		return errBackup
	}
	return decode(plain, at.Format, into)
}

func (e edit) backupObject(c class, ref Ref, op gate.Operation) (all objectBackup, err error) {
	head := c.newHead()
	was, err := e.head(c.kind, ref, head)
	switch {
	case err != nil:
		return all, err
	case was == 0 || head.base().State != stateLive:
		return all, notFound(c.kind, ref)
	case head.base().Managed:
		return all, managed(c.kind, op.Permission.Verb)
	}
	if all.Head, err = encode(head); err != nil {
		return all, err
	}
	prefix := ref.versionPrefix(c.versions)
	recs, err := e.tx.Scan(prefix, "", maxBackup+1)
	if err != nil {
		return all, err
	}
	if len(recs) > maxBackup {
		return all, &Error{Code: CodeBadParameter, Message: fmt.Sprintf("The %s %s has more than %d past versions, which is more than a backup can hold.", fold(c.noun), ref.Name, maxBackup)}
	}
	for _, rec := range recs {
		v := c.newVersion()
		place := e.vault.place(c.versions, ref, head.base().object, string(rec.Key[len(prefix):]))
		if _, err := e.s.open(e.g, e.vault, place, rec, v); err != nil {
			return all, err
		}
		body, err := encode(v)
		if err != nil {
			return all, err
		}
		all.Older = append(all.Older, body)
	}
	return all, nil
}

// restoreObject makes an object of a backup, under the name and with the versions that it
// had. The name must not be taken, not even by something deleted.
func (s *Service) restoreObject(ctx context.Context, caller access.Caller, op gate.Operation, c class, vault, blob string) (out answer, err error) {
	f, err := s.find(ctx, caller, vault)
	if err != nil {
		return out, err
	}
	id := newObject()
	err = s.Gate.Write(ctx, s.request(f, op, c.collection, Ref{Vault: vault}), func(g seal.Grant) error {
		var all objectBackup
		if err := s.openBackup(g, c.kind, blob, &all); err != nil {
			return err
		}
		return s.update(ctx, g, f.vault, func(e edit) error {
			out, err = e.restoreObject(c, vault, all, id)
			return err
		})
	})
	return out, explain(err)
}

func (e edit) restoreObject(c class, vault string, all objectBackup, id string) (out answer, err error) {
	head := c.newHead()
	if err := decode(all.Head, recordFormat, head); err != nil {
		return out, err
	}
	h := head.base()
	ref := Ref{Vault: vault, Name: h.Name}
	out = answer{vault: e.vault, head: head, version: head.current()}
	there := c.newHead()
	was, err := e.head(c.kind, ref, there)
	if err != nil || was != 0 && there.base().object == id { // a rerun of a commit that did happen
		return out, err
	}
	claimed, err := e.tx.Get(ref.key(kindCertificate))
	if err != nil {
		return out, err
	}
	if was != 0 || claimed.Exists() {
		full := "https://" + fold(e.vault.Name) + "." + e.s.Suffix + "/" + c.collection + "/" + h.Name + "/" + out.version.record().ID
		return out, conflict("", "There was a conflict restoring the %s '%s'. This can happen when the name is in use already, live, deleted or being purged, or when another operation on the name runs at the same time.", fold(c.noun), full)
	}
	h.object = id
	if err := e.putHead(c.kind, ref, 0, head); err != nil {
		return out, err
	}
	for _, body := range all.Older {
		v := c.newVersion()
		if err := decode(body, recordFormat, v); err != nil {
			return out, err
		}
		if err := e.putVersion(c.versions, ref, id, v.record().ID, v); err != nil {
			return out, err
		}
	}
	if key, ok := head.(*keyHead); ok {
		return out, e.scheduleRotation(ref, key)
	}
	return out, nil
}
