package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // RSA-OAEP
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// The errors of an operation. Their texts may be shown to the caller.
var (
	// ErrAlgorithm means a name that names no algorithm for this use.
	ErrAlgorithm = errors.New("jwk: unknown algorithm")
	// ErrKeyMismatch means an algorithm for another kind of key, curve or size.
	ErrKeyMismatch = errors.New("jwk: the algorithm is for another kind of key")
	// ErrDecrypt is every failure of a decryption, whatever its cause: the texts are the
	// service's, one for each family of algorithms, and errors.Is finds them all.
	ErrDecrypt = errors.New("jwk: decryption failed")
)

// A LengthError means octets of a wrong number. Its text is the service's (reported).
type LengthError struct {
	Member    string
	Got, Want int // octets
	Algorithm string
}

// Error is the service's text.
func (e *LengthError) Error() string {
	return fmt.Sprintf("Invalid length of '%s': %d bytes. %s requires %d bytes, encoded with base64url.", e.Member, e.Got, e.Algorithm, e.Want)
}

// A signature is how an algorithm signs.
type signature struct {
	hash  crypto.Hash // zero: the octets as they are
	pss   bool
	curve string // of ECDSA; empty for RSA
	size  int    // octets of r and of s
}

func signatureOf(alg string) (signature, bool) {
	s, ok := map[string]signature{
		"RS256": {hash: crypto.SHA256}, "RS384": {hash: crypto.SHA384}, "RS512": {hash: crypto.SHA512}, "RSNULL": {},
		"PS256": {hash: crypto.SHA256, pss: true}, "PS384": {hash: crypto.SHA384, pss: true}, "PS512": {hash: crypto.SHA512, pss: true},
		"ES256": {hash: crypto.SHA256, curve: "P-256", size: 32}, "ES256K": {hash: crypto.SHA256, curve: p256k, size: 32},
		"ES384": {hash: crypto.SHA384, curve: "P-384", size: 48}, "ES512": {hash: crypto.SHA512, curve: "P-521", size: 66},
	}[alg]
	return s, ok
}

// A CurveError is an algorithm for another curve than the key's. It is an ErrKeyMismatch.
type CurveError struct{ Algorithm, Want, Got string }

// Error names both curves.
func (e *CurveError) Error() string {
	return fmt.Sprintf("jwk: the key uses curve '%s', and algorithm '%s' can only be used with curve '%s'", e.Got, e.Algorithm, e.Want)
}

// Unwrap returns ErrKeyMismatch.
func (e *CurveError) Unwrap() error { return ErrKeyMismatch }

// check refuses a key that the algorithm is not for, and a digest of a wrong length.
func (s signature) check(public crypto.PublicKey, alg, member string, digest []byte) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if s.curve != "" {
			return fmt.Errorf("%w: %s is for EC keys", ErrKeyMismatch, alg)
		}
		if most := key.Size() - 11; s.hash == 0 && len(digest) > most {
			return &LengthError{Member: member, Got: len(digest), Want: most, Algorithm: alg}
		}
	case *ecdsa.PublicKey:
		if s.curve == "" {
			return fmt.Errorf("%w: %s is for RSA keys", ErrKeyMismatch, alg)
		}
		if name, _, err := pointOf(key); err != nil || name != s.curve {
			return &CurveError{Algorithm: alg, Want: s.curve, Got: name}
		}
	default:
		return fmt.Errorf("%w: %T", ErrKeyMismatch, public)
	}
	if s.hash != 0 && len(digest) != s.hash.Size() {
		return &LengthError{Member: member, Got: len(digest), Want: s.hash.Size(), Algorithm: alg}
	}
	return nil
}

func (s signature) options() crypto.SignerOpts {
	if s.pss {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	return s.hash
}

// Sign signs a digest: RS256, RS384 and RS512 (RFC 7518 §3.3), PS256, PS384 and PS512 with
// a salt as long as the hash (§3.5), RSNULL over the octets as they are, ES256, ES384,
// ES512 (§3.4) and ES256K (RFC 8812), whose result is r and s in the full length of the
// curve. Errors: ErrAlgorithm, ErrKeyMismatch, *LengthError.
func Sign(key crypto.Signer, alg string, digest []byte) ([]byte, error) {
	s, ok := signatureOf(alg)
	if !ok {
		return nil, ErrAlgorithm
	}
	if err := s.check(key.Public(), alg, "value", digest); err != nil {
		return nil, err
	}
	out, err := key.Sign(rand.Reader, digest, s.options())
	if err != nil || s.curve == "" {
		return out, err
	}
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(out, &pair); err != nil || len(rest) != 0 {
		return nil, errors.New("jwk: a signer returned something else than an ECDSA signature")
	}
	raw := make([]byte, 2*s.size)
	pair.R.FillBytes(raw[:s.size])
	pair.S.FillBytes(raw[s.size:])
	return raw, nil
}

// Verify reports whether the signature of a digest is the key's. One of a wrong length is
// not. Errors: ErrAlgorithm, ErrKeyMismatch, *LengthError of the digest.
func Verify(public crypto.PublicKey, alg string, digest, sig []byte) (bool, error) {
	s, ok := signatureOf(alg)
	if !ok {
		return false, ErrAlgorithm
	}
	if err := s.check(public, alg, "digest", digest); err != nil {
		return false, err
	}
	switch key := public.(type) {
	case *rsa.PublicKey:
		if s.pss {
			return rsa.VerifyPSS(key, s.hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil, nil
		}
		return rsa.VerifyPKCS1v15(key, s.hash, digest, sig) == nil, nil
	case *ecdsa.PublicKey:
		if len(sig) != 2*s.size {
			return false, nil
		}
		return verifyEC(key, digest, sig[:s.size], sig[s.size:]), nil
	}
	return false, ErrKeyMismatch
}

func verifyEC(key *ecdsa.PublicKey, digest, r, s []byte) bool {
	if key.Curve == foreignCurve() {
		return verifyForeign(key, digest, r, s)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
	return err == nil && ecdsa.VerifyASN1(key, digest, der)
}

// The texts of a failed decryption, by family (reported).
var (
	errOAEP  = decryptError("Error occurred while decoding OAEP padding")
	errPKCS1 = decryptError("Unable to decrypt specified value with this key")
)

// A decryptError is ErrDecrypt with the service's text.
type decryptError string

func (e decryptError) Error() string        { return string(e) }
func (e decryptError) Is(target error) bool { return target == ErrDecrypt }

// oaepHash is the hash of an OAEP algorithm, for the label and for the mask.
func oaepHash(alg string) (crypto.Hash, bool) {
	switch alg {
	case "RSA-OAEP":
		return crypto.SHA1, true
	case "RSA-OAEP-256":
		return crypto.SHA256, true
	}
	return 0, false
}

// Encrypt encrypts a short text: RSA1_5 (RFC 7518 §4.2), RSA-OAEP and RSA-OAEP-256
// (§4.3). Errors: ErrAlgorithm, ErrKeyMismatch, *LengthError with the most that fits.
func Encrypt(public crypto.PublicKey, alg string, plain []byte) ([]byte, error) {
	hash, oaep := oaepHash(alg)
	if !oaep && alg != "RSA1_5" {
		return nil, unknown(alg)
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: %s is for RSA keys", ErrKeyMismatch, alg)
	}
	most := key.Size() - 11
	if oaep {
		most = key.Size() - 2*hash.Size() - 2
	}
	if len(plain) > most {
		return nil, &LengthError{Member: "value", Got: len(plain), Want: most, Algorithm: alg}
	}
	if oaep {
		return rsa.EncryptOAEP(hash.New(), rand.Reader, key, plain, nil)
	}
	//lint:ignore SA1019 the protocol has it
	return rsa.EncryptPKCS1v15(rand.Reader, key, plain)
}

// Decrypt is the inverse of Encrypt. Whatever the cause, a failure is ErrDecrypt with one
// text. With RSA1_5 that there was a failure is an oracle for whoever may ask often
// (Bleichenbacher's attack); the protocol leaves no way to hide it.
func Decrypt(key crypto.Signer, alg string, sealed []byte) ([]byte, error) {
	hash, oaep := oaepHash(alg)
	if !oaep && alg != "RSA1_5" {
		return nil, unknown(alg)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %s is for RSA keys", ErrKeyMismatch, alg)
	}
	if oaep {
		plain, err := rsa.DecryptOAEP(hash.New(), nil, private, sealed, nil)
		if err != nil {
			return nil, errOAEP
		}
		return plain, nil
	}
	//lint:ignore SA1019 the protocol has it
	plain, err := rsa.DecryptPKCS1v15(nil, private, sealed)
	if err != nil {
		return nil, errPKCS1
	}
	return plain, nil
}

// unknown tells an algorithm of symmetric keys from no algorithm.
func unknown(alg string) error {
	if _, ok := cipherOf(alg); ok {
		return fmt.Errorf("%w: %s is for symmetric keys", ErrKeyMismatch, alg)
	}
	return ErrAlgorithm
}
