package vault

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/jwk"
	"coffer/internal/pki"
	"coffer/internal/seal"
)

// The key types, as in a JWK.
const (
	KtyRSA    = "RSA"
	KtyEC     = "EC"
	KtyRSAHSM = "RSA-HSM"
	KtyECHSM  = "EC-HSM"
	KtyOctHSM = "oct-HSM"
)

// A Key is what can be known of one version of a key.
type Key struct {
	Name, Version    string
	Kty              string
	Public           crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey; nil for a symmetric key
	Ops              []string         // key_ops, as in a JWK
	Attributes       Attributes
	Exportable       bool
	Release          *ReleasePolicy // nil when there is none
	Tags             map[string]string
	Managed          bool      // belongs to the certificate of its name
	Deleted, PurgeAt time.Time // zero while live
}

// A NewKey is what a request says of a version to be made.
type NewKey struct {
	Kty        string
	Size       *int    // bits
	Curve      *string // of an EC key
	Exponent   *int    // of an RSA key
	Ops        []string
	Attributes AttributesInput
	Exportable bool
	Release    *ReleasePolicy
	Tags       map[string]string
	// Symmetric says that the request's api-version has symmetric keys.
	Symmetric bool
}

// An ImportKey is a key that was made elsewhere.
type ImportKey struct {
	Key        jwk.Private
	HSM        bool // keep it as one of the -HSM kinds
	Ops        []string
	Attributes AttributesInput
	Exportable bool
	Release    *ReleasePolicy
	Tags       map[string]string
	Symmetric  bool // as in NewKey
}

// A KeyUpdate is what a request changes of a version. What is nil stays.
type KeyUpdate struct {
	Ops        *[]string
	Attributes AttributesInput
	Release    *ReleasePolicy
	Tags       *map[string]string // replaces all tags
}

// The operations of key_ops.
var keyOperations = []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey", "import", "export"}

// defaultOps are the key_ops of a key for which none were sent (recorded).
func defaultOps(kty string) []string {
	if kty == KtyEC || kty == KtyECHSM {
		return []string{"sign", "verify"}
	}
	return []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
}

// kty is how the version is called.
func (v *keyVersion) kty() (string, error) {
	if len(v.K) > 0 {
		return KtyOctHSM, nil
	}
	public, err := pki.ParsePublicKey(v.SPKI)
	if err != nil {
		return "", fmt.Errorf("vault: a public key cannot be read: %w", err)
	}
	kt, err := pki.TypeOf(public)
	if err != nil {
		return "", err
	}
	if v.HSM {
		return kt.Kty + hsmSuffix, nil
	}
	return kt.Kty, nil
}

func (a answer) key() (out Key, err error) {
	h, v := a.head.base(), a.version.(*keyVersion)
	out = Key{
		Name: h.Name, Version: v.ID, Ops: v.Ops, Attributes: v.attributes(a.vault), Exportable: v.Exportable, Tags: v.Tags,
		Managed: h.Managed, Deleted: moment(h.Deleted), PurgeAt: moment(h.PurgeAt),
	}
	if v.Release != nil {
		policy := ReleasePolicy(*v.Release)
		out.Release = &policy
	}
	if out.Kty, err = v.kty(); err != nil || len(v.K) > 0 {
		return out, err
	}
	out.Public, err = pki.ParsePublicKey(v.SPKI)
	return out, err
}

func keysOf(rows []answer) (out []Key, err error) {
	for _, row := range rows {
		key, err := row.key()
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

// CreateKey makes a new version, which inherits nothing.
func (s *Service) CreateKey(ctx context.Context, caller access.Caller, ref Ref, in NewKey) (Key, error) {
	return s.newKey(ctx, caller, KeyCreate, ref, func(_ seal.Grant, f found) (*keyVersion, error) {
		if err := in.check(ref, f.vault); err != nil {
			return nil, err
		}
		v := &keyVersion{versionRecord: in.Attributes.newRecord(s.Now(), in.Tags), Exportable: in.Exportable, Release: in.Release.record()}
		v.HSM = strings.HasSuffix(in.Kty, hsmSuffix)
		if v.Ops = in.Ops; len(in.Ops) == 0 {
			v.Ops = defaultOps(in.Kty)
		}
		if in.Kty == KtyOctHSM {
			return v, v.holdSymmetric(value(in.Size, 256) / 8)
		}
		kt, err := in.keyType()
		if err != nil {
			return nil, err
		}
		signer, err := s.generate(ctx, kt)
		if err != nil {
			return nil, err
		}
		return v, v.hold(signer)
	})
}

// hold keeps a key pair in the version.
func (v *keyVersion) hold(signer crypto.Signer) (err error) {
	if v.PKCS8, err = pki.MarshalKey(signer); err != nil {
		return err
	}
	v.SPKI, err = pki.MarshalPublicKey(signer.Public())
	return err
}

// holdSymmetric makes a symmetric key of so many octets.
func (v *keyVersion) holdSymmetric(octets int) error {
	v.K = make([]byte, octets)
	_, err := rand.Read(v.K)
	return err
}

// newKey decides, makes the version outside of any transaction, and puts it.
func (s *Service) newKey(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref, prepare func(seal.Grant, found) (*keyVersion, error)) (out Key, err error) {
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return out, err
	}
	id := newObject()
	err = s.Gate.Write(ctx, s.request(f, op, "keys", ref), func(g seal.Grant) error {
		version, err := prepare(g, f)
		if err != nil {
			return err
		}
		return s.update(ctx, g, f.vault, func(e edit) error {
			fresh := *version
			head, err := e.addVersion(keyClass(), ref, op.Permission.Verb, &fresh, id)
			if err != nil {
				return err
			}
			if err := e.scheduleRotation(ref, head.(*keyHead)); err != nil {
				return err
			}
			out, err = answer{vault: e.vault, head: head, version: head.current()}.key()
			return err
		})
	})
	return out, explain(err)
}

func (in NewKey) check(ref Ref, v *vaultState) error {
	if err := checkObjectName(ref.Name); err != nil {
		return err
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if err := checkOps(in.Ops); err != nil {
		return err
	}
	if err := checkKty(in.Kty, v, in.Symmetric); err != nil {
		return err
	}
	if in.Kty == KtyOctHSM && !slices.Contains([]int{128, 192, 256}, value(in.Size, 256)) {
		return &Error{Code: CodeBadParameter, Message: "The key size is not supported: a symmetric key has 128, 192 or 256 bits."}
	}
	return in.Release.check(in.Exportable, in.Kty)
}

// checkKty refuses what the vault does not hold.
func checkKty(kty string, v *vaultState, symmetric bool) error {
	switch kty {
	case "": // once for every rule that it breaks (recorded)
		return &Error{Code: CodeBadParameter, Message: errMissing.Message + errMissing.Message}
	case KtyRSA, KtyEC:
		return nil
	case KtyOctHSM:
		if symmetric && v.Premium {
			return nil
		}
		fallthrough
	case "oct":
		return &Error{Code: CodeBadParameter, Inner: InnerKeyType, Message: "Invalid kty value: " + kty}
	case KtyRSAHSM, KtyECHSM:
		if v.Premium {
			return nil
		}
		return &Error{Code: CodeBadParameter, Message: "Hardware key operation not allowed on standard vault"}
	}
	return &Error{Code: CodeBadParameter, Message: "Invalid kty value: " + clip(kty)}
}

// clip bounds what an error repeats.
func clip(text string) string {
	if runes := []rune(text); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return text
}

func checkOps(ops []string) error {
	for _, op := range ops {
		if !slices.Contains(keyOperations, op) {
			return badProperty("key_ops", "There is no key operation "+clip(op))
		}
	}
	return nil
}

// keyType reads kind, size and curve. A curve of an RSA key is ignored, and a size of an
// EC key.
func (in NewKey) keyType() (pki.KeyType, error) {
	kty := strings.TrimSuffix(in.Kty, hsmSuffix)
	if e := value(in.Exponent, 0); kty == KtyRSA && e != 0 && e != 65537 {
		return pki.KeyType{}, &Error{Code: CodeBadParameter, Message: "The public exponent is not supported: RSA keys are made with 65537."}
	}
	if kty == KtyEC {
		in.Size = nil // cosign sends 2048, and the service takes it
	}
	return keyTypeOf(kty, in.Size, in.Curve, "")
}

// GetKey returns the current version, or the one that ref names. The public part of a
// disabled key can be read.
func (s *Service) GetKey(ctx context.Context, caller access.Caller, ref Ref) (out Key, err error) {
	_, err = s.readObject(ctx, caller, KeyGet, keyClass(), ref, func(a answer) (err error) {
		out, err = a.key()
		return err
	})
	return out, err
}

// UpdateKey changes the current version, or the one that ref names.
func (s *Service) UpdateKey(ctx context.Context, caller access.Caller, ref Ref, in KeyUpdate) (Key, error) {
	now := s.Now()
	a, err := s.changeObject(ctx, caller, KeyPropertiesUpdate, keyClass(), ref, func(_ edit, _ object, version versioned) error {
		v := version.(*keyVersion)
		if in.Ops != nil {
			if err := checkOps(*in.Ops); err != nil {
				return err
			}
			v.Ops = *in.Ops
		}
		if err := v.change(in.Attributes, in.Tags); err != nil {
			return err
		}
		if err := v.changeRelease(in.Release); err != nil {
			return err
		}
		v.Updated = later(now, v.Updated)
		return nil
	})
	return keyAnswer(a, err)
}

func keyAnswer(a answer, err error) (Key, error) {
	if err != nil {
		return Key{}, err
	}
	return a.key()
}

// ListKeys returns a page of the current versions, by name.
func (s *Service) ListKeys(ctx context.Context, caller access.Caller, vault string, p Page) ([]Key, string, error) {
	return keyRows(s.listObjects(ctx, caller, keyClass(), vault, p))
}

// ListKeyVersions returns a page of the versions, by version id.
func (s *Service) ListKeyVersions(ctx context.Context, caller access.Caller, ref Ref, p Page) ([]Key, string, error) {
	return keyRows(s.listObjectVersions(ctx, caller, keyClass(), ref, p))
}

// ListDeletedKeys returns a page of the deleted keys, by name.
func (s *Service) ListDeletedKeys(ctx context.Context, caller access.Caller, vault string, p Page) ([]Key, string, error) {
	return keyRows(s.listDeletedObjects(ctx, caller, keyClass(), vault, p))
}

func keyRows(rows []answer, next string, err error) ([]Key, string, error) {
	if err != nil {
		return nil, "", err
	}
	out, err := keysOf(rows)
	return out, next, err
}

// DeleteKey moves a key with all its versions into the deleted state.
func (s *Service) DeleteKey(ctx context.Context, caller access.Caller, ref Ref) (Key, error) {
	return keyAnswer(s.deleteObject(ctx, caller, KeyDelete, keyClass(), ref))
}

// GetDeletedKey returns a deleted key.
func (s *Service) GetDeletedKey(ctx context.Context, caller access.Caller, ref Ref) (Key, error) {
	return keyAnswer(s.getDeletedObject(ctx, caller, KeyGetDeleted, keyClass(), ref))
}

// RecoverDeletedKey makes a deleted key what it was before.
func (s *Service) RecoverDeletedKey(ctx context.Context, caller access.Caller, ref Ref) (Key, error) {
	return keyAnswer(s.recoverObject(ctx, caller, KeyRecover, keyClass(), ref))
}

// PurgeDeletedKey removes a deleted key for good.
func (s *Service) PurgeDeletedKey(ctx context.Context, caller access.Caller, ref Ref) error {
	return s.purgeObject(ctx, caller, KeyPurge, keyClass(), ref)
}

// BackupKey returns all versions in one sealed text, which only this installation can
// read again.
func (s *Service) BackupKey(ctx context.Context, caller access.Caller, ref Ref) (string, error) {
	return s.backupObject(ctx, caller, KeyBackup, keyClass(), ref)
}

// RestoreKey makes a key of a backup.
func (s *Service) RestoreKey(ctx context.Context, caller access.Caller, vault, blob string) (Key, error) {
	return keyAnswer(s.restoreObject(ctx, caller, KeyRestore, keyClass(), vault, blob))
}
