package vault

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/jwk"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A KeyOperation is what a request wants done with a key. What an operation does not
// have is empty.
type KeyOperation struct {
	Algorithm string
	Value     []byte // the plaintext, the ciphertext, the digest, or with Verify the signature; nil: not sent
	Digest    []byte // Verify
	IV        []byte
	AAD       []byte
	Tag       []byte
}

// A KeyResult is what came of it. Version is the one that did the work.
type KeyResult struct {
	Name, Version string
	Algorithm     string
	Value, IV     []byte
	Tag, AAD      []byte
	Symmetric     bool // the answer shows alg, iv, tag and aad
}

// An openKey is a version of a key, ready for use. It is shared between requests and
// never changed.
type openKey struct {
	version keyVersion
	signer  crypto.Signer // nil for a symmetric key
}

// An openHead is the head of a key with its current version, ready for use.
type openHead struct {
	instance string // of the vault: a namesake's key is not this one
	head     keyHead
	key      openKey
}

// maxOpenKeys bounds the keys that are kept ready, in memory, for each of the current
// and the older versions. Whether one is still what the store has is asked at each use.
const maxOpenKeys = 256

func (v keyVersion) open() (openKey, error) {
	if len(v.K) > 0 {
		return openKey{version: v}, nil
	}
	signer, err := pki.ParseKey(v.PKCS8)
	return openKey{version: v, signer: signer}, err
}

// Sign signs a digest. ECDSA signatures are r and s, one after the other.
func (s *Service) Sign(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (KeyResult, error) {
	return s.operate(ctx, caller, KeySign, ref, in, func(k openKey, out *KeyResult) (err error) {
		if k.signer == nil {
			out.Value, err = jwk.MAC(k.version.K, in.Algorithm, in.Value)
			return err
		}
		out.Value, err = jwk.Sign(k.signer, in.Algorithm, in.Value)
		return err
	})
}

// Verify reports whether a signature of a digest is the key's.
func (s *Service) Verify(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (ok bool, out KeyResult, err error) {
	out, err = s.operate(ctx, caller, KeyVerify, ref, in, func(k openKey, _ *KeyResult) (err error) {
		if k.signer == nil {
			ok, err = jwk.VerifyMAC(k.version.K, in.Algorithm, in.Digest, in.Value)
			return err
		}
		ok, err = jwk.Verify(k.signer.Public(), in.Algorithm, in.Digest, in.Value)
		return err
	})
	return ok, out, err
}

// Encrypt encrypts a short text.
func (s *Service) Encrypt(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (KeyResult, error) {
	return s.operate(ctx, caller, KeyEncrypt, ref, in, func(k openKey, out *KeyResult) (err error) {
		if k.signer != nil {
			out.Value, err = jwk.Encrypt(k.signer.Public(), in.Algorithm, in.Value)
			return err
		}
		sealed, err := jwk.EncryptAES(k.version.K, in.Algorithm, jwk.AESInput{Value: in.Value, IV: in.IV, AAD: in.AAD})
		out.Value, out.IV, out.Tag, out.AAD = sealed.Value, sealed.IV, sealed.Tag, in.AAD
		return err
	})
}

// Decrypt is the inverse of Encrypt. Every cause of a failure has one answer.
func (s *Service) Decrypt(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (KeyResult, error) {
	return s.operate(ctx, caller, KeyDecrypt, ref, in, func(k openKey, out *KeyResult) (err error) {
		if err := s.allowsDecryption(in.Algorithm); err != nil {
			return err
		}
		if k.signer != nil {
			out.Value, err = jwk.Decrypt(k.signer, in.Algorithm, in.Value)
			return err
		}
		out.Value, err = jwk.DecryptAES(k.version.K, in.Algorithm, jwk.AESInput{Value: in.Value, IV: in.IV, Tag: in.Tag, AAD: in.AAD})
		return err
	})
}

// WrapKey encrypts another key.
func (s *Service) WrapKey(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (KeyResult, error) {
	return s.operate(ctx, caller, KeyWrap, ref, in, func(k openKey, out *KeyResult) (err error) {
		if k.signer != nil {
			out.Value, err = jwk.Encrypt(k.signer.Public(), in.Algorithm, in.Value)
			return err
		}
		out.Value, err = jwk.WrapAES(k.version.K, in.Algorithm, in.Value)
		return err
	})
}

// UnwrapKey is the inverse of WrapKey.
func (s *Service) UnwrapKey(ctx context.Context, caller access.Caller, ref Ref, in KeyOperation) (KeyResult, error) {
	return s.operate(ctx, caller, KeyUnwrap, ref, in, func(k openKey, out *KeyResult) (err error) {
		if err := s.allowsDecryption(in.Algorithm); err != nil {
			return err
		}
		if k.signer != nil {
			out.Value, err = jwk.Decrypt(k.signer, in.Algorithm, in.Value)
			return err
		}
		out.Value, err = jwk.UnwrapAES(k.version.K, in.Algorithm, in.Value)
		return err
	})
}

// allowsDecryption refuses the paddings that the installation has switched off.
func (s *Service) allowsDecryption(algorithm string) error {
	if s.RefuseWeakPadding && (algorithm == "RSA1_5" || strings.HasSuffix(algorithm, "CBCPAD")) {
		return &Error{Code: CodeBadParameter, Message: "Decryption with " + algorithm + " is switched off in this installation; use RSA-OAEP-256 or a GCM algorithm."}
	}
	return nil
}

// operate decides, finds the key ready for use, checks its state, and does the work.
func (s *Service) operate(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref, in KeyOperation, work func(openKey, *KeyResult) error) (out KeyResult, err error) {
	current := s.keys.Look(ref.key(kindKey))
	asks := []store.Ask{current.Ask()}
	var older store.Look[openKey]
	if ref.Version != "" {
		older = s.olderKeys.Look(ref.versionKey(kindKeyVersion, ref.Version))
		asks = append(asks, older.Ask())
	}
	f, err := s.ask(ctx, caller, ref.Vault, asks)
	if err != nil {
		return out, err
	}
	err = s.Gate.Read(ctx, s.request(f, op, "keys", ref), func(g seal.Grant) error {
		if in.Algorithm == "" || in.Value == nil || in.Digest == nil && op == KeyVerify {
			return errMissing
		}
		head, ok, err := current.Value(f.recs[0], s.openKeyHead(g, f.vault, ref))
		if err != nil {
			return err
		}
		if !ok || head.instance != f.vault.Instance || head.head.State != stateLive {
			return notFound(kindKey, ref)
		}
		key := head.key
		if ref.Version != "" && fold(ref.Version) != head.head.Current.ID {
			if key, ok, err = older.Value(f.recs[1], s.openOlderKey(g, f.vault, ref, head.head.object)); err != nil {
				return err
			}
			if !ok {
				return notFound(kindKey, ref)
			}
		}
		if err := f.allowsSecret(s.request(f, op, "keys", ref), key); err != nil {
			return err
		}
		if err := key.version.allows(op, s.Now().Unix()); err != nil {
			return err
		}
		out = KeyResult{Name: head.head.Name, Version: key.version.ID, Algorithm: in.Algorithm, Symmetric: key.signer == nil}
		return explainOperation(f.vault, out, work(key, &out))
	})
	return out, explain(err)
}

// allowsSecret asks again for a key without a public part: there, reading the key is not
// enough for what else everybody could do.
func (f found) allowsSecret(r gate.Request, key openKey) error {
	if key.signer != nil || r.Operation.Permission.Also == "" {
		return nil
	}
	r.Operation.Permission.Also = ""
	if d := f.vault.rules.Allow(r.Caller, r.Operation.Permission, r.Subject.Below); !d.Allowed {
		return &gate.Denied{Request: r, Decision: d}
	}
	return nil
}

func (s *Service) openKeyHead(g seal.Grant, v *vaultState, ref Ref) func(store.Record) (openHead, error) {
	return func(rec store.Record) (out openHead, err error) {
		out.instance = v.Instance
		if _, err := s.openHead(g, v, kindKey, ref, rec, &out.head); err != nil {
			return out, err
		}
		out.key, err = out.head.Current.open()
		return out, err
	}
}

func (s *Service) openOlderKey(g seal.Grant, v *vaultState, ref Ref, object string) func(store.Record) (openKey, error) {
	return func(rec store.Record) (openKey, error) {
		var version keyVersion
		if _, err := s.open(g, v, v.place(kindKeyVersion, ref, object, ref.Version), rec, &version); err != nil {
			return openKey{}, err
		}
		return version.open()
	}
}

// allows checks the state of the key in the order of the service: enabled, validity,
// key_ops. What undoes something stays allowed outside of the validity (documented).
func (v keyVersion) allows(op gate.Operation, now int64) error {
	verb := op.Permission.Verb
	protects := slices.Contains([]string{"encrypt", "wrapKey", "sign"}, verb)
	switch {
	case !v.Enabled:
		return &Error{Code: CodeForbidden, Inner: InnerKeyDisabled, Message: fmt.Sprintf("Operation %s is not allowed on a disabled key.", verb)}
	case protects && v.NotBefore != 0 && now < v.NotBefore:
		return &Error{Code: CodeForbidden, Inner: InnerKeyNotYetValid, Message: fmt.Sprintf("Operation %s is not allowed on a not yet valid key.", verb)}
	case protects && v.Expires != 0 && now >= v.Expires:
		return &Error{Code: CodeForbidden, Inner: InnerKeyExpired, Message: fmt.Sprintf("Operation %s is not allowed on an expired key.", verb)}
	case verb != "release" && !slices.Contains(v.Ops, verb):
		return &Error{Code: CodeForbidden, Inner: InnerKeyForbidden, Message: fmt.Sprintf("Operation %s is not permitted on this key.", verb)}
	}
	return nil
}

// explainOperation finds the service's answer to what is wrong with an operation.
func explainOperation(v *vaultState, of KeyResult, err error) error {
	var curve *jwk.CurveError
	var length *jwk.LengthError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &length), errors.Is(err, jwk.ErrDecrypt):
		return &Error{Code: CodeBadParameter, Message: strings.TrimPrefix(err.Error(), "jwk: "), Err: err}
	case errors.Is(err, jwk.ErrAlgorithm):
		return errMissing
	case errors.As(err, &curve): // the service's text (reported)
		return &Error{Code: CodeBadParameter, Err: err, Message: fmt.Sprintf("Key and signing algorithm are incompatible. Key %s/keys/%s/%s uses curve '%s', and algorithm '%s' can only be used with curve '%s'.",
			v.subject.Object, of.Name, of.Version, curve.Got, curve.Algorithm, curve.Want)}
	case errors.Is(err, jwk.ErrKeyMismatch):
		return &Error{Code: CodeBadParameter, Message: "Key and algorithm are incompatible: " + strings.TrimPrefix(err.Error(), "jwk: "), Err: err}
	}
	return err
}
