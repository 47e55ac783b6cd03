package vault

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"coffer/internal/access"
	"coffer/internal/pki"
)

// A Secret is one version of a secret.
type Secret struct {
	Name, Version    string
	Value            string
	ContentType      string
	Attributes       Attributes
	Tags             map[string]string
	Managed          bool      // belongs to the certificate of its name; its key has the same version
	Previous         string    // version before it, of a certificate's secret; empty for the first
	Deleted, PurgeAt time.Time // zero while live
}

// A NewSecret is what a request says of a version to be made.
type NewSecret struct {
	Value       *string // needed; may be empty
	ContentType string
	Attributes  AttributesInput
	Tags        map[string]string // nil: none
}

// A SecretUpdate is what a request changes of a version. What is nil stays.
type SecretUpdate struct {
	ContentType *string
	Attributes  AttributesInput
	Tags        *map[string]string // replaces all tags
}

// The bounds of a secret, in characters, as the service says them.
const (
	maxSecret      = 25600 // reported
	maxContentType = 255   // documented
)

func (a answer) secret() Secret {
	h, v := a.head.base(), a.version.(*secretVersion)
	return Secret{
		Name: h.Name, Version: v.ID, Value: v.Value, ContentType: v.ContentType, Attributes: v.attributes(a.vault), Tags: v.Tags,
		Managed: h.Managed, Previous: v.Previous, Deleted: moment(h.Deleted), PurgeAt: moment(h.PurgeAt),
	}
}

func secretsOf(rows []answer) (out []Secret) {
	for _, row := range rows {
		out = append(out, row.secret())
	}
	return out
}

// SetSecret makes a new version, which inherits nothing.
func (s *Service) SetSecret(ctx context.Context, caller access.Caller, ref Ref, in NewSecret) (Secret, error) {
	version := &secretVersion{versionRecord: in.Attributes.newRecord(s.Now(), in.Tags), Value: value(in.Value, ""), ContentType: in.ContentType}
	id := newObject()
	var out Secret
	err := s.write(ctx, caller, SecretSet, "secrets", ref, func(e edit) error {
		if err := in.check(ref); err != nil {
			return err
		}
		fresh := *version
		head, err := e.addVersion(secretClass(), ref, "set", &fresh, id)
		if err == nil {
			out = answer{vault: e.vault, head: head, version: head.current()}.secret()
		}
		return err
	})
	return out, explain(err)
}

func (in NewSecret) check(ref Ref) error {
	if err := checkObjectName(ref.Name); err != nil {
		return err
	}
	if in.Value == nil {
		return errMissing
	}
	if utf8.RuneCountInString(*in.Value) > maxSecret {
		return &Error{Code: CodeBadParameter, Inner: InnerSecretTooLarge, Message: fmt.Sprintf("Secret is beyond the maximum permitted length of %d characters.", maxSecret)}
	}
	if utf8.RuneCountInString(in.ContentType) > maxContentType {
		return tooLong("contentType", maxContentType)
	}
	return checkTags(in.Tags)
}

var errSecretDisabled = &Error{Code: CodeForbidden, Inner: InnerSecretDisabled, Message: "Operation get is not allowed on a disabled secret."}

// GetSecret returns the current version, or the one that ref names. A disabled version
// is refused, whatever older ones there are; so is the secret of a certificate that was
// never issued. One outside of its validity is returned (recorded).
func (s *Service) GetSecret(ctx context.Context, caller access.Caller, ref Ref) (Secret, error) {
	return s.GetSecretAs(ctx, caller, ref, "")
}

// GetSecretAs is GetSecret in the content type that the value is wanted in, if one is
// named: a certificate's PFX can be had as PEM.
func (s *Service) GetSecretAs(ctx context.Context, caller access.Caller, ref Ref, as string) (Secret, error) {
	var out Secret
	_, err := s.readObject(ctx, caller, SecretGet, secretClass(), ref, func(a answer) error {
		if !a.version.record().Enabled {
			return errSecretDisabled
		}
		out = a.secret()
		return out.convert(as)
	})
	return out, err
}

// convert turns the value of a certificate's secret into PEM.
func (s *Secret) convert(as string) error {
	switch {
	case as == "", as == s.ContentType && s.Managed:
		return nil
	case as != ContentTypePEM && as != ContentTypePFX:
		return &Error{Code: CodeBadParameter, Message: "The outContentType is " + ContentTypePFX + " or " + ContentTypePEM + "."}
	case !s.Managed || s.ContentType != ContentTypePFX:
		from := map[string]string{ContentTypePEM: "PEM", ContentTypePFX: "PFX"}
		source := "Unsupported"
		if s.Managed {
			source = from[s.ContentType]
		}
		return &Error{Code: CodeBadParameter, Message: fmt.Sprintf("The '%s' to '%s' transformation is not supported. Only PFX to PEM transformation is supported.", source, from[as])}
	}
	file, err := base64.StdEncoding.DecodeString(s.Value)
	if err != nil {
		return fmt.Errorf("vault: a certificate's secret is not base64: %w", err)
	}
	text, err := pki.PFXToPEM(file)
	s.Value, s.ContentType = string(text), ContentTypePEM
	return err
}

// UpdateSecret changes the current version, or the one that ref names. The answer has no
// value.
func (s *Service) UpdateSecret(ctx context.Context, caller access.Caller, ref Ref, in SecretUpdate) (Secret, error) {
	now := s.Now()
	a, err := s.changeObject(ctx, caller, SecretPropertiesUpdate, secretClass(), ref, func(_ edit, _ object, version versioned) error {
		v := version.(*secretVersion)
		if in.ContentType != nil {
			if utf8.RuneCountInString(*in.ContentType) > maxContentType {
				return tooLong("contentType", maxContentType)
			}
			v.ContentType = *in.ContentType
		}
		if err := v.change(in.Attributes, in.Tags); err != nil {
			return err
		}
		v.Updated = later(now, v.Updated)
		return nil
	})
	if err != nil {
		return Secret{}, err
	}
	out := a.secret()
	out.Value = ""
	return out, nil
}

// change puts attributes and tags over a version.
func (v *versionRecord) change(in AttributesInput, tags *map[string]string) error {
	if tags != nil {
		if err := checkTags(*tags); err != nil {
			return err
		}
		v.Tags = *tags
	}
	in.over(v)
	return nil
}

// ListSecrets returns a page of the current versions, by name, without values.
func (s *Service) ListSecrets(ctx context.Context, caller access.Caller, vault string, p Page) ([]Secret, string, error) {
	rows, next, err := s.listObjects(ctx, caller, secretClass(), vault, p)
	return secretsOf(rows), next, err
}

// ListSecretVersions returns a page of the versions, by version id.
func (s *Service) ListSecretVersions(ctx context.Context, caller access.Caller, ref Ref, p Page) ([]Secret, string, error) {
	rows, next, err := s.listObjectVersions(ctx, caller, secretClass(), ref, p)
	return secretsOf(rows), next, err
}

// ListDeletedSecrets returns a page of the deleted secrets, by name.
func (s *Service) ListDeletedSecrets(ctx context.Context, caller access.Caller, vault string, p Page) ([]Secret, string, error) {
	rows, next, err := s.listDeletedObjects(ctx, caller, secretClass(), vault, p)
	return secretsOf(rows), next, err
}

// DeleteSecret moves a secret with all its versions into the deleted state.
func (s *Service) DeleteSecret(ctx context.Context, caller access.Caller, ref Ref) (Secret, error) {
	a, err := s.deleteObject(ctx, caller, SecretDelete, secretClass(), ref)
	if err != nil {
		return Secret{}, err
	}
	return a.secret(), nil
}

// GetDeletedSecret returns a deleted secret.
func (s *Service) GetDeletedSecret(ctx context.Context, caller access.Caller, ref Ref) (Secret, error) {
	a, err := s.getDeletedObject(ctx, caller, SecretGetDeleted, secretClass(), ref)
	if err != nil {
		return Secret{}, err
	}
	return a.secret(), nil
}

// RecoverDeletedSecret makes a deleted secret what it was before.
func (s *Service) RecoverDeletedSecret(ctx context.Context, caller access.Caller, ref Ref) (Secret, error) {
	a, err := s.recoverObject(ctx, caller, SecretRecover, secretClass(), ref)
	if err != nil {
		return Secret{}, err
	}
	return a.secret(), nil
}

// PurgeDeletedSecret removes a deleted secret for good.
func (s *Service) PurgeDeletedSecret(ctx context.Context, caller access.Caller, ref Ref) error {
	return s.purgeObject(ctx, caller, SecretPurge, secretClass(), ref)
}

// BackupSecret returns all versions in one sealed text, which only this installation can
// read again.
func (s *Service) BackupSecret(ctx context.Context, caller access.Caller, ref Ref) (string, error) {
	return s.backupObject(ctx, caller, SecretBackup, secretClass(), ref)
}

// RestoreSecret makes a secret of a backup.
func (s *Service) RestoreSecret(ctx context.Context, caller access.Caller, vault, blob string) (Secret, error) {
	a, err := s.restoreObject(ctx, caller, SecretRestore, secretClass(), vault, blob)
	if err != nil {
		return Secret{}, err
	}
	return a.secret(), nil
}
