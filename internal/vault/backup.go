package vault

import (
	"context"
	"fmt"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
)

// maxBackup is how many older versions a backup holds, as in the service.
const maxBackup = 500

// backupPlace binds a blob to the installation and to what it is of, and to no vault: it
// may be restored into another one.
func backupPlace(kind string) seal.Place {
	return seal.Place{Purpose: seal.PurposeBackup, Kind: kind, Format: recordFormat}
}

// BackupCertificate returns everything of a certificate in one sealed text, which only
// this installation can read again: all versions with their keys and secrets, the
// policy, and the operation.
func (s *Service) BackupCertificate(ctx context.Context, caller access.Caller, ref Ref) (string, error) {
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return "", err
	}
	var out string
	err = s.Gate.Read(ctx, s.request(f, CertificateBackup, "certificates", ref), func(g seal.Grant) error {
		var all backupRecord
		if err := s.view(ctx, g, f.vault, func(e edit) (err error) {
			all, err = e.backup(ref)
			return err
		}); err != nil {
			return err
		}
		out, err = s.sealBackup(g, kindCertificate, all)
		return err
	})
	return out, explain(err)
}

func (e edit) backup(ref Ref) (all backupRecord, err error) {
	t, err := e.triple(ref)
	if err != nil {
		return all, err
	}
	if t.revisions[0] == 0 || t.certificate.State != stateLive {
		return all, notFound(kindCertificate, ref)
	}
	all.Certificate = t.certificate
	if op, was, err := e.operation(ref, t.certificate); err != nil {
		return all, err
	} else if was != 0 {
		all.Operation = &op
	}
	if t.revisions[1] == 0 || t.revisions[2] == 0 {
		return all, nil
	}
	all.Key, all.Secret = &t.key, &t.secret
	prefix := ref.versionPrefix(kindCertificateVersion)
	recs, err := e.tx.Scan(prefix, "", maxBackup+1)
	if err != nil {
		return all, err
	}
	if len(recs) > maxBackup {
		return all, &Error{Code: CodeBadParameter, Message: fmt.Sprintf("The certificate %s has more than %d past versions, which is more than a backup can hold.", ref.Name, maxBackup)}
	}
	for _, rec := range recs {
		var v versionBackup
		one := ref
		one.Version = string(rec.Key[len(prefix):])
		for i, into := range []any{&v.Certificate, &v.Key, &v.Secret} {
			if _, err := e.version(versionKinds[i], one, t.heads()[i].base().object, into); err != nil {
				return all, err
			}
		}
		all.Older = append(all.Older, v)
	}
	return all, nil
}

var errBackup = &Error{Code: CodeMalformedBackup, Message: "Backup blob is corrupt."}

// RestoreCertificate makes a certificate of a backup, under the name and with the
// versions, times and tags that it had. The name must not be taken, not even by
// something deleted.
func (s *Service) RestoreCertificate(ctx context.Context, caller access.Caller, vault, blob string) (Certificate, error) {
	f, err := s.find(ctx, caller, vault)
	if err != nil {
		return Certificate{}, err
	}
	var out Certificate
	objects, now := [3]string{newObject(), newObject(), newObject()}, s.Now()
	err = s.Gate.Write(ctx, s.request(f, CertificateRestore, "certificates", Ref{Vault: vault}), func(g seal.Grant) error {
		var all backupRecord
		if err := s.openBackup(g, kindCertificate, blob, &all); err != nil {
			return err
		}
		return s.update(ctx, g, f.vault, func(e edit) error {
			out, err = all.restore(e, Ref{Vault: vault, Name: all.Certificate.Name}, objects, now)
			return err
		})
	})
	if err == nil {
		s.runner.Kick()
	}
	return out, explain(err)
}

// restore puts everything under new ids. The answer shows no operation (recorded).
func (all backupRecord) restore(e edit, ref Ref, objects [3]string, now time.Time) (Certificate, error) {
	n, recs, err := e.names(ref)
	if err != nil {
		return Certificate{}, err
	}
	all.Certificate.object = objects[0]
	out := all.Certificate.certificate(e.vault)
	out.Pending = false
	if n.certificate.object == objects[0] { // a rerun of a commit that did happen
		return out, nil
	}
	for _, rec := range recs {
		if rec.Exists() {
			return Certificate{}, restoreConflict(e, out)
		}
	}
	return out, all.put(e, ref, objects, now)
}

func (all backupRecord) put(e edit, ref Ref, objects [3]string, now time.Time) error {
	heads := []headed{&all.Certificate}
	if all.Key != nil && all.Secret != nil {
		heads = append(heads, all.Key, all.Secret)
	}
	for i, head := range heads {
		head.base().object = objects[i]
		if err := e.putHead(tripleKinds[i], ref, 0, head); err != nil {
			return err
		}
	}
	for _, v := range all.Older {
		for i, part := range []any{v.Certificate, v.Key, v.Secret} {
			if err := e.putVersion(versionKinds[i], ref, objects[i], v.Certificate.ID, part); err != nil {
				return err
			}
		}
	}
	if err := e.schedule(ref, &all.Certificate); err != nil || all.Operation == nil {
		return err
	}
	key := ref.key(kindOperation)
	if err := e.put(key, e.vault.place(kindOperation, ref, objects[0], ""), 0, *all.Operation); err != nil || all.Operation.Status != statusInProgress || all.Operation.merges() {
		return err
	}
	return e.tx.SetDue(key, now) // an issuance that was under way goes on
}

func restoreConflict(e edit, c Certificate) *Error {
	id := "https://" + fold(e.vault.Name) + "." + e.s.Suffix + "/certificates/" + c.Name + "/" + c.Version
	return conflict("", "There was a conflict restoring the certificate '%s'. This can happen when the name is in use already, by a certificate, key or secret that is live, deleted or being purged, or when another operation on the name runs at the same time.", id)
}
