package vault

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/jwk"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/token"
)

// Attestations verify what an attestation service says of an environment.
type Attestations interface {
	// Claims returns the claims, JSON, of a token that the authority has signed and that
	// is valid now. An authority that the configuration does not name is refused, and
	// never asked.
	Claims(ctx context.Context, authority, token string) (json.RawMessage, error)
}

// A Release is a request to release a key.
type Release struct {
	Target string // the attestation of the environment, a JWT
	Nonce  string
	Wrap   string // CKM_RSA_AES_KEY_WRAP when empty, RSA_AES_KEY_WRAP_256 or RSA_AES_KEY_WRAP_384
}

const (
	maxNonce    = 1024
	defaultWrap = "CKM_RSA_AES_KEY_WRAP"
)

// ReleaseKey returns a key with its private part, wrapped for the environment whose
// attestation fulfils the key's release policy, as a compact JWS. Its payload is what
// document returns for the key and its wrapped form. The intent is in the audit log, on
// the disk, before anything is asked of the authority. A key can be released outside of its
// validity (documented), as long as it is enabled.
func (s *Service) ReleaseKey(ctx context.Context, caller access.Caller, ref Ref, in Release, document func(k Key, in Release, keyHSM []byte) ([]byte, error)) (jws string, err error) {
	if in.Wrap == "" {
		in.Wrap = defaultWrap
	}
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return "", err
	}
	err = s.Gate.Write(ctx, s.request(f, KeyRelease, "keys", ref), func(g seal.Grant) error {
		if err := in.check(); err != nil {
			return err
		}
		var a answer
		if err := s.view(ctx, g, f.vault, func(e edit) (err error) {
			a, _, _, err = e.live(keyClass(), ref)
			return err
		}); err != nil {
			return err
		}
		version := a.version.(*keyVersion)
		if err := version.allows(KeyRelease, s.Now().Unix()); err != nil {
			return err
		}
		if !version.Exportable || version.Release == nil {
			return &Error{Code: CodeForbidden, Inner: InnerKeyForbidden, Message: "Operation release is not permitted on this key: it is not exportable."}
		}
		target, err := s.environment(ctx, version.Release.Data, in.Target)
		if err != nil {
			return err
		}
		wrapped, err := target.wrap(version, in.Wrap)
		if err != nil {
			return err
		}
		key, err := a.key()
		if err != nil {
			return err
		}
		payload, err := document(key, in, wrapped)
		if err != nil {
			return err
		}
		signer, err := s.releaseSigner(ctx, g, a.vault)
		if err != nil {
			return err
		}
		jws, err = signer.sign(payload)
		return err
	})
	return jws, explain(err)
}

func (in Release) check() error {
	switch {
	case in.Target == "":
		return errMissing
	case len(in.Nonce) > maxNonce:
		return tooLong("nonce", maxNonce)
	case !jwk.IsTransfer(in.Wrap):
		return badProperty("enc", "It can be CKM_RSA_AES_KEY_WRAP, RSA_AES_KEY_WRAP_256 or RSA_AES_KEY_WRAP_384")
	}
	return nil
}

// unattested is the refusal of an attestation. The beginning is the service's (reported);
// the cause tells nothing that the caller did not send.
func unattested(cause string, err error) error {
	return &Error{Code: CodeForbidden, Message: "Target environment attestation statement cannot be verified. " + cause, Err: err}
}

// An environment is what a key is released to: the key that its attestation speaks for.
type environment struct {
	public *rsa.PublicKey
	kid    string
}

// environment finds an authority of the policy that speaks for the environment.
func (s *Service) environment(ctx context.Context, policy []byte, attestation string) (environment, error) {
	rules, err := parseRelease(policy)
	if err != nil {
		return environment{}, err
	}
	if s.Attestations == nil {
		return environment{}, unattested("This installation trusts no attestation authority; its configuration names none.", nil)
	}
	var refused error
	for _, rule := range rules {
		raw, err := s.Attestations.Claims(ctx, rule.authority, attestation)
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		var claims map[string]json.RawMessage
		if err := json.Unmarshal(raw, &claims); err != nil {
			return environment{}, unattested("Its claims are no JSON object.", err)
		}
		if rule.condition.holds(claims) {
			return environmentKey(claims)
		}
		refused = errors.Join(refused, fmt.Errorf("its claims do not fulfil what the key's release policy wants of %s", rule.authority))
	}
	return environment{}, unattested("By each authority of the key's release policy: "+strings.ReplaceAll(refused.Error(), "\n", "; ")+".", refused)
}

// minTarget is the least size of the RSA key that a key is wrapped for, in bits.
const minTarget = 2048

// environmentKey finds the key that the environment holds: the first RSA key for
// encryption among the runtime's (documented for the attestation service: x-ms-runtime).
func environmentKey(claims map[string]json.RawMessage) (environment, error) {
	var runtime struct {
		Keys []struct {
			Kty string   `json:"kty"`
			ID  string   `json:"kid"`
			Use string   `json:"use"`
			Ops []string `json:"key_ops"`
			N   string   `json:"n"`
			E   string   `json:"e"`
		} `json:"keys"`
	}
	if raw := claims["x-ms-runtime"]; raw == nil || json.Unmarshal(raw, &runtime) != nil {
		return environment{}, unattested("It has no x-ms-runtime.keys with a key to wrap for.", nil)
	}
	for _, key := range runtime.Keys {
		wraps := key.Use == "enc" || slices.Contains(key.Ops, "encrypt") || slices.Contains(key.Ops, "wrapKey") || key.Use == "" && key.Ops == nil
		if key.Kty != "RSA" || !wraps {
			continue
		}
		public, err := jwk.Key{Kty: key.Kty, N: key.N, E: key.E}.Public()
		if err != nil {
			return environment{}, unattested("Its key cannot be read.", err)
		}
		if rsaKey, ok := public.(*rsa.PublicKey); ok && rsaKey.N.BitLen() >= minTarget {
			return environment{public: rsaKey, kid: key.ID}, nil
		}
	}
	return environment{}, unattested("Its x-ms-runtime.keys has no RSA key of 2048 bits or more for encryption.", nil)
}

// wrap returns the private part for the environment: a transfer blob.
func (e environment) wrap(v *keyVersion, enc string) ([]byte, error) {
	octets := v.PKCS8
	if len(v.K) > 0 {
		octets = v.K
	}
	return jwk.SealTransfer(e.public, enc, e.kid, octets)
}

// A releaseSigner signs what is released from a vault.
type releaseSigner struct {
	key         *rsa.PrivateKey
	certificate []byte // DER, self-signed
}

func (r releaseSigner) sign(payload []byte) (string, error) {
	return token.SignDocument(r.key, r.certificate, payload)
}

// releaseValidity is that of the certificate of a vault's release signer, in months. Who
// checks a release pins the certificate; its end has no meaning here.
const releaseValidity = 240

// releaseSigner reads the vault's signer, or makes it for the first release.
func (s *Service) releaseSigner(ctx context.Context, g seal.Grant, v *vaultState) (releaseSigner, error) {
	recs, err := s.Store.Get(ctx, store.Ask{Key: Ref{Vault: v.Name}.key(kindReleaseSigner)})
	if err != nil {
		return releaseSigner{}, err
	}
	place := v.place(kindReleaseSigner, Ref{}, v.Instance, "")
	var record releaseSignerRecord
	if recs[0].Exists() {
		_, err = s.open(g, v, place, recs[0], &record)
	} else {
		record, err = s.makeReleaseSigner(ctx, g, v, place)
	}
	if err != nil {
		return releaseSigner{}, err
	}
	key, err := pki.ParseKey(record.PKCS8)
	if err != nil {
		return releaseSigner{}, err
	}
	signer, ok := key.(*rsa.PrivateKey)
	if !ok {
		return releaseSigner{}, fmt.Errorf("vault: the release signer is a %T", key)
	}
	return releaseSigner{key: signer, certificate: record.Certificate}, nil
}

// makeReleaseSigner makes the key pair outside of any transaction. Whoever comes second
// takes the first one's.
func (s *Service) makeReleaseSigner(ctx context.Context, g seal.Grant, v *vaultState, place seal.Place) (out releaseSignerRecord, err error) {
	signer, err := s.generate(ctx, pki.KeyType{Kty: KtyRSA, Size: 2048})
	if err != nil {
		return out, err
	}
	var made releaseSignerRecord
	if made.PKCS8, err = pki.MarshalKey(signer); err != nil {
		return out, err
	}
	name, err := pki.ParseName("CN=Coffer key release")
	if err != nil {
		return out, err
	}
	serial, err := pki.NewSerial()
	if err != nil {
		return out, err
	}
	now := s.Now()
	validity := pki.Validity{NotBefore: now.Add(-time.Hour), NotAfter: pki.AddMonths(now, releaseValidity)}
	if made.Certificate, err = pki.SelfSign(pki.Template{Subject: name}, signer, validity, serial); err != nil {
		return out, err
	}
	err = s.update(ctx, g, v, func(e edit) error {
		out = made
		at := Ref{Vault: v.Name}.key(kindReleaseSigner)
		was, err := e.read(at, place, &out)
		if err != nil || was != 0 {
			return err
		}
		return e.put(at, place, 0, made)
	})
	return out, err
}
