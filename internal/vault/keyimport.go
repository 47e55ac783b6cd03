package vault

import (
	"context"
	"errors"
	"strings"

	"coffer/internal/access"
	"coffer/internal/jwk"
	"coffer/internal/pki"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// ImportKey makes a new version of a key that was made elsewhere.
func (s *Service) ImportKey(ctx context.Context, caller access.Caller, ref Ref, in ImportKey) (Key, error) {
	return s.newKey(ctx, caller, KeyImport, ref, func(g seal.Grant, f found) (*keyVersion, error) {
		if err := in.check(ref, f.vault); err != nil {
			return nil, err
		}
		v := &keyVersion{versionRecord: in.Attributes.newRecord(s.Now(), in.Tags), Exportable: in.Exportable, Release: in.Release.record()}
		v.HSM = strings.HasSuffix(in.kty(), hsmSuffix)
		if v.Ops = in.Ops; in.Ops == nil {
			v.Ops = defaultOps(in.kty())
		}
		if in.kty() == KtyOctHSM {
			octets, err := in.Key.Symmetric()
			v.K = octets
			return v, explainJWK(err)
		}
		pkcs8, err := s.readKey(ctx, g, f, ref, in.Key)
		if err != nil {
			return nil, err
		}
		signer, err := pki.ParseKey(pkcs8)
		if err != nil {
			return nil, explainJWK(err)
		}
		if kt, err := pki.TypeOf(signer.Public()); err != nil || kt.Kty != strings.TrimSuffix(in.kty(), hsmSuffix) {
			return nil, badProperty("key.kty", "The key is of another kind")
		}
		return v, v.hold(signer)
	})
}

// kty is the kind that the key is kept as.
func (in ImportKey) kty() string {
	if in.HSM && (in.Key.Kty == KtyRSA || in.Key.Kty == KtyEC || in.Key.Kty == "oct") {
		return in.Key.Kty + hsmSuffix
	}
	return in.Key.Kty
}

func (in ImportKey) check(ref Ref, v *vaultState) error {
	if err := checkObjectName(ref.Name); err != nil {
		return err
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if err := checkOps(in.Ops); err != nil {
		return err
	}
	if err := checkKty(in.kty(), v, in.Symmetric); err != nil {
		return err
	}
	return in.Release.check(in.Exportable, in.kty())
}

// readKey returns the private key of a JWK, or of the transfer blob in it.
func (s *Service) readKey(ctx context.Context, g seal.Grant, f found, ref Ref, key jwk.Private) (pkcs8 []byte, err error) {
	if key.KeyHSM == "" {
		err = s.turn(ctx, func() (err error) {
			pkcs8, err = key.PKCS8()
			return err
		})
		return pkcs8, explainJWK(err)
	}
	blob, kid, err := key.Transfer()
	if err != nil {
		return nil, explainJWK(err)
	}
	exchange, err := s.exchangeKey(ctx, g, f, ref, kid)
	if err != nil {
		return nil, err
	}
	pkcs8, err = jwk.OpenTransfer(exchange.signer, blob, kid)
	return pkcs8, explainJWK(err)
}

var errExchangeKey = badProperty("key.key_hsm", "Its header names no key of this vault that is RSA-HSM with the one operation import")

// exchangeKey finds the key that a transfer blob was made for.
func (s *Service) exchangeKey(ctx context.Context, g seal.Grant, f found, ref Ref, kid string) (openKey, error) {
	name, version, ok := s.parseKeyID(f.vault, kid)
	if !ok {
		return openKey{}, errExchangeKey
	}
	at := Ref{Vault: ref.Vault, Name: name, Version: version}
	recs, err := s.Store.Get(ctx, store.Ask{Key: at.key(kindKey)}, store.Ask{Key: at.versionKey(kindKeyVersion, version)})
	if err != nil {
		return openKey{}, err
	}
	var head keyHead
	if ok, err := s.openHead(g, f.vault, kindKey, at, recs[0], &head); err != nil || !ok || head.State != stateLive {
		return openKey{}, errors.Join(err, errExchangeKey)
	}
	v := head.Current
	if v.ID != version {
		if !recs[1].Exists() {
			return openKey{}, errExchangeKey
		}
		if _, err := s.open(g, f.vault, f.vault.place(kindKeyVersion, at, head.object, version), recs[1], &v); err != nil {
			return openKey{}, err
		}
	}
	if !v.HSM || !v.Enabled || len(v.Ops) != 1 || v.Ops[0] != "import" || len(v.K) > 0 {
		return openKey{}, errExchangeKey
	}
	return v.open()
}

// explainJWK finds the answer to what is wrong with a key that came in.
func explainJWK(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwk.ErrKey), errors.Is(err, jwk.ErrDecrypt), errors.Is(err, jwk.ErrAlgorithm),
		errors.Is(err, jwk.ErrKeyMismatch), errors.Is(err, pki.ErrKeyType):
		why := strings.TrimPrefix(strings.TrimPrefix(err.Error(), jwk.ErrKey.Error()+": "), "jwk: ")
		return &Error{Code: CodeBadParameter, Message: "The key cannot be imported: " + why + ".", Err: err}
	}
	return err
}
