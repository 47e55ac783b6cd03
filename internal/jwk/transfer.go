package jwk

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
)

// A transferBlob is a private key on its way into or out of the vault (the service's
// specification of "bring your own key").
type transferBlob struct {
	SchemaVersion string `json:"schema_version"`
	Header        struct {
		KeyID     string `json:"kid"`
		Algorithm string `json:"alg"`
		Encoding  string `json:"enc"`
	} `json:"header"`
	Ciphertext string `json:"ciphertext"`
	Generator  string `json:"generator,omitempty"`
}

// The hashes of OAEP by the names of the wrapping.
func transferHash(enc string) (crypto.Hash, bool) {
	hash, ok := map[string]crypto.Hash{
		"CKM_RSA_AES_KEY_WRAP": crypto.SHA1, "RSA_AES_KEY_WRAP_256": crypto.SHA256, "RSA_AES_KEY_WRAP_384": crypto.SHA384,
	}[enc]
	return hash, ok
}

// IsTransfer reports whether enc names a wrapping of SealTransfer.
func IsTransfer(enc string) bool {
	_, ok := transferHash(enc)
	return ok
}

// maxTransfer bounds a transfer blob, in octets.
const maxTransfer = 32 << 10

// Transfer returns the transfer blob of a key that has one, and the id of the key that it
// was made for. The error is ErrKey.
func (p Private) Transfer() (blob []byte, kid string, err error) {
	if blob, err = lenient("key_hsm", p.KeyHSM, maxTransfer); err != nil {
		return nil, "", err
	}
	parsed, err := parseTransfer(blob)
	return blob, parsed.Header.KeyID, err
}

func parseTransfer(blob []byte) (t transferBlob, err error) {
	decoder := json.NewDecoder(bytes.NewReader(blob))
	if err := decoder.Decode(&t); err != nil || decoder.More() {
		return t, fmt.Errorf("%w: key_hsm is no JSON document", ErrKey)
	}
	switch {
	case t.SchemaVersion != "1.0.0" && t.SchemaVersion != "1.0":
		return t, fmt.Errorf("%w: key_hsm has another schema_version than 1.0.0", ErrKey)
	case t.Header.Algorithm != "dir" || t.Header.Encoding != "CKM_RSA_AES_KEY_WRAP":
		return t, fmt.Errorf("%w: key_hsm has another alg or enc than dir and CKM_RSA_AES_KEY_WRAP", ErrKey)
	}
	return t, nil
}

// OpenTransfer returns the private key, PKCS#8, of a blob that was made for the key
// exchange, whose id is kid: an AES key under RSA-OAEP, and under that the private key
// by AES key wrap with padding (PKCS#11, CKM_RSA_AES_KEY_WRAP). Errors: ErrKey,
// ErrKeyMismatch, ErrDecrypt.
func OpenTransfer(exchange crypto.Signer, blob []byte, kid string) (pkcs8 []byte, err error) {
	t, err := parseTransfer(blob)
	if err != nil {
		return nil, err
	}
	private, ok := exchange.(*rsa.PrivateKey)
	if !ok || t.Header.KeyID != kid {
		return nil, fmt.Errorf("%w: key_hsm is for another key", ErrKeyMismatch)
	}
	sealed, err := lenient("ciphertext", t.Ciphertext, maxTransfer)
	if err != nil || len(sealed) <= private.Size() {
		return nil, errOAEP
	}
	hash, _ := transferHash(t.Header.Encoding)
	key, err := rsa.DecryptOAEP(hash.New(), nil, private, sealed[:private.Size()], nil)
	if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, errOAEP
	}
	pkcs8, err = UnwrapAES(key, "CKM_AES_KEY_WRAP_PAD", sealed[private.Size():])
	if err != nil {
		return nil, errOAEP
	}
	return pkcs8, nil
}

// SealTransfer is the inverse for any of the three wrappings: it returns a blob of the
// octets for the holder of the target key.
func SealTransfer(target *rsa.PublicKey, enc, kid string, octets []byte) ([]byte, error) {
	hash, ok := transferHash(enc)
	if !ok {
		return nil, ErrAlgorithm
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	sealedKey, err := rsa.EncryptOAEP(hash.New(), rand.Reader, target, key, nil)
	if err != nil {
		return nil, err
	}
	wrapped, err := WrapAES(key, "CKM_AES_KEY_WRAP_PAD", octets)
	if err != nil {
		return nil, err
	}
	var t transferBlob
	t.SchemaVersion = "1.0"
	t.Header.KeyID, t.Header.Algorithm, t.Header.Encoding = kid, "dir", enc
	t.Ciphertext = encode(append(sealedKey, wrapped...))
	return json.Marshal(t)
}
