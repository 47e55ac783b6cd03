package jwk

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"strings"
)

// A symmetricCipher is an algorithm of symmetric keys: its mode, and the size of its key.
type symmetricCipher struct {
	mode string // GCM, CBC, CBCPAD, KW, KWPAD
	size int    // octets of the key; zero: any
}

func cipherOf(alg string) (symmetricCipher, bool) {
	switch alg {
	case "CKM_AES_KEY_WRAP":
		return symmetricCipher{mode: "KW"}, true
	case "CKM_AES_KEY_WRAP_PAD":
		return symmetricCipher{mode: "KWPAD"}, true
	}
	for prefix, size := range map[string]int{"A128": 16, "A192": 24, "A256": 32} {
		if mode, ok := strings.CutPrefix(alg, prefix); ok {
			switch mode {
			case "GCM", "CBC", "CBCPAD", "KW", "KWPAD":
				return symmetricCipher{mode, size}, true
			}
		}
	}
	return symmetricCipher{}, false
}

// block checks that the algorithm serves the use and the key.
func block(key []byte, alg string, modes ...string) (cipher.Block, string, error) {
	c, ok := cipherOf(alg)
	if !ok {
		if _, rsa := oaepHash(alg); rsa || alg == "RSA1_5" {
			return nil, "", fmt.Errorf("%w: %s is for RSA keys", ErrKeyMismatch, alg)
		}
		return nil, "", ErrAlgorithm
	}
	if c.size != 0 && c.size != len(key) {
		return nil, "", fmt.Errorf("%w: %s needs a key of %d bits, and this one has %d", ErrKeyMismatch, alg, 8*c.size, 8*len(key))
	}
	for _, mode := range modes {
		if c.mode == mode {
			b, err := aes.NewCipher(key)
			return b, mode, err
		}
	}
	return nil, "", fmt.Errorf("%w: %s does something else", ErrKeyMismatch, alg)
}

// An AESInput is what is encrypted or decrypted. What an algorithm does not have is not
// looked at.
type AESInput struct{ Value, IV, Tag, AAD []byte }

// A Sealed is what came of an encryption.
type Sealed struct{ Value, IV, Tag []byte }

const (
	gcmNonce = 12
	gcmTag   = 16
)

// EncryptAES encrypts with A128GCM, A192GCM and A256GCM, which make their own IV, with
// A128CBC, … over whole blocks, and with A128CBCPAD, … with the padding of PKCS#7. An IV
// that is not sent for CBC is made. Errors: ErrAlgorithm, ErrKeyMismatch, *LengthError.
func EncryptAES(key []byte, alg string, in AESInput) (Sealed, error) {
	b, mode, err := block(key, alg, "GCM", "CBC", "CBCPAD")
	if err != nil {
		return Sealed{}, err
	}
	if mode == "GCM" {
		return sealGCM(b, in)
	}
	plain := in.Value
	if mode == "CBCPAD" {
		padding := aes.BlockSize - len(plain)%aes.BlockSize
		padded := make([]byte, len(plain)+padding)
		copy(padded, plain)
		for i := len(plain); i < len(padded); i++ {
			padded[i] = byte(padding)
		}
		plain = padded
	}
	if len(plain)%aes.BlockSize != 0 || len(plain) == 0 {
		return Sealed{}, &LengthError{Member: "value", Got: len(plain), Want: (len(plain)/aes.BlockSize + 1) * aes.BlockSize, Algorithm: alg}
	}
	iv := in.IV
	if len(iv) == 0 {
		iv = make([]byte, aes.BlockSize)
		if _, err := rand.Read(iv); err != nil {
			return Sealed{}, err
		}
	}
	if len(iv) != aes.BlockSize {
		return Sealed{}, &LengthError{Member: "iv", Got: len(iv), Want: aes.BlockSize, Algorithm: alg}
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(out, plain)
	return Sealed{Value: out, IV: iv}, nil
}

func sealGCM(b cipher.Block, in AESInput) (Sealed, error) {
	aead, err := cipher.NewGCM(b)
	if err != nil {
		return Sealed{}, err
	}
	iv := make([]byte, gcmNonce)
	if _, err := rand.Read(iv); err != nil {
		return Sealed{}, err
	}
	sealed := aead.Seal(nil, iv, in.Value, in.AAD)
	at := len(sealed) - gcmTag
	return Sealed{Value: sealed[:at], IV: iv, Tag: sealed[at:]}, nil
}

// errSymmetric is every failure of a decryption with a symmetric key.
const errSymmetric = decryptError("The value cannot be decrypted with this key and these parameters")

// DecryptAES is the inverse of EncryptAES. Every failure is ErrDecrypt with one text. With
// CBCPAD that there was one is an oracle for whoever may ask often; GCM has none.
func DecryptAES(key []byte, alg string, in AESInput) ([]byte, error) {
	b, mode, err := block(key, alg, "GCM", "CBC", "CBCPAD")
	if err != nil {
		return nil, err
	}
	if mode == "GCM" {
		if len(in.IV) != gcmNonce || len(in.Tag) != gcmTag {
			return nil, errSymmetric
		}
		aead, err := cipher.NewGCM(b)
		if err != nil {
			return nil, err
		}
		plain, err := aead.Open(nil, in.IV, append(append([]byte{}, in.Value...), in.Tag...), in.AAD)
		if err != nil {
			return nil, errSymmetric
		}
		return plain, nil
	}
	if len(in.IV) != aes.BlockSize || len(in.Value) == 0 || len(in.Value)%aes.BlockSize != 0 {
		return nil, errSymmetric
	}
	plain := make([]byte, len(in.Value))
	cipher.NewCBCDecrypter(b, in.IV).CryptBlocks(plain, in.Value)
	if mode == "CBC" {
		return plain, nil
	}
	return unpad(plain)
}

// unpad takes the padding of PKCS#7 off, looking at all of the last block in any case.
func unpad(plain []byte) ([]byte, error) {
	last := plain[len(plain)-aes.BlockSize:]
	size := int(last[aes.BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, size) & subtle.ConstantTimeLessOrEq(size, aes.BlockSize)
	for i := range aes.BlockSize {
		inside := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, size) // within the padding
		same := subtle.ConstantTimeByteEq(last[i], byte(size))
		good &= same | (1 - inside)
	}
	if good != 1 {
		return nil, errSymmetric
	}
	return plain[:len(plain)-size], nil
}

// The initial values of key wrapping (RFC 3394 §2.2.3.1, RFC 5649 §3).
const (
	wrapIV    = 0xA6A6A6A6A6A6A6A6
	wrapPadIV = 0xA65959A6
)

// maxWrapped bounds what is wrapped, in octets.
const maxWrapped = 64 << 10

// WrapAES wraps a key: A128KW, … and CKM_AES_KEY_WRAP (RFC 3394) take a multiple of 8
// octets, at least 16; A128KWPAD, … and CKM_AES_KEY_WRAP_PAD (RFC 5649) take any number.
func WrapAES(key []byte, alg string, value []byte) ([]byte, error) {
	b, mode, err := block(key, alg, "KW", "KWPAD")
	if err != nil {
		return nil, err
	}
	if mode == "KWPAD" {
		if len(value) == 0 || len(value) > maxWrapped {
			return nil, &LengthError{Member: "value", Got: len(value), Want: 16, Algorithm: alg}
		}
		return wrapPadded(b, value), nil
	}
	if len(value) < 16 || len(value)%8 != 0 || len(value) > maxWrapped {
		return nil, &LengthError{Member: "value", Got: len(value), Want: max(16, (len(value)/8+1)*8), Algorithm: alg}
	}
	return wrapBlocks(b, wrapIV, value), nil
}

// UnwrapAES is the inverse of WrapAES. Every failure is ErrDecrypt with one text.
func UnwrapAES(key []byte, alg string, value []byte) ([]byte, error) {
	b, mode, err := block(key, alg, "KW", "KWPAD")
	if err != nil {
		return nil, err
	}
	if len(value)%8 != 0 || len(value) < 16 || len(value) > maxWrapped+16 || mode == "KW" && len(value) < 24 {
		return nil, errSymmetric
	}
	if mode == "KWPAD" {
		return unwrapPadded(b, value)
	}
	iv, plain := unwrapBlocks(b, value)
	if !sameNumber(iv, wrapIV) {
		return nil, errSymmetric
	}
	return plain, nil
}

// wrapBlocks is W of RFC 3394 §2.2.1 over at least two blocks.
func wrapBlocks(b cipher.Block, iv uint64, plain []byte) []byte {
	n := len(plain) / 8
	out := make([]byte, 8+len(plain))
	copy(out[8:], plain)
	var buffer [16]byte
	binary.BigEndian.PutUint64(buffer[:8], iv)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buffer[8:], out[8*i:8*i+8])
			b.Encrypt(buffer[:], buffer[:])
			a := binary.BigEndian.Uint64(buffer[:8]) ^ uint64(n*j+i)
			binary.BigEndian.PutUint64(buffer[:8], a)
			copy(out[8*i:], buffer[8:])
		}
	}
	copy(out, buffer[:8])
	return out
}

// unwrapBlocks is the inverse (§2.2.2); it returns the initial value for the check.
func unwrapBlocks(b cipher.Block, sealed []byte) (uint64, []byte) {
	n := len(sealed)/8 - 1
	plain := append([]byte{}, sealed[8:]...)
	a := binary.BigEndian.Uint64(sealed[:8])
	var buffer [16]byte
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(buffer[:8], a^uint64(n*j+i))
			copy(buffer[8:], plain[8*(i-1):8*i])
			b.Decrypt(buffer[:], buffer[:])
			a = binary.BigEndian.Uint64(buffer[:8])
			copy(plain[8*(i-1):], buffer[8:])
		}
	}
	return a, plain
}

// sameNumber compares in constant time.
func sameNumber(a, b uint64) bool {
	var x, y [8]byte
	binary.BigEndian.PutUint64(x[:], a)
	binary.BigEndian.PutUint64(y[:], b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func wrapPadded(b cipher.Block, value []byte) []byte {
	padded := make([]byte, (len(value)+7)/8*8)
	copy(padded, value)
	iv := uint64(wrapPadIV)<<32 | uint64(len(value))
	if len(padded) > 8 {
		return wrapBlocks(b, iv, padded)
	}
	out := make([]byte, 16) // RFC 5649 §4.1: one block is encrypted as it is
	binary.BigEndian.PutUint64(out, iv)
	copy(out[8:], padded)
	b.Encrypt(out, out)
	return out
}

func unwrapPadded(b cipher.Block, sealed []byte) ([]byte, error) {
	var iv uint64
	var plain []byte
	if len(sealed) == 16 {
		out := make([]byte, 16)
		b.Decrypt(out, sealed)
		iv, plain = binary.BigEndian.Uint64(out), out[8:]
	} else {
		iv, plain = unwrapBlocks(b, sealed)
	}
	size := int(uint32(iv))
	if !sameNumber(iv>>32, wrapPadIV) || size > len(plain) || size <= len(plain)-8 {
		return nil, errSymmetric
	}
	rest := make([]byte, len(plain)-size)
	if subtle.ConstantTimeCompare(plain[size:], rest) != 1 {
		return nil, errSymmetric
	}
	return plain[:size], nil
}

func macOf(alg string) (crypto.Hash, bool) {
	hash, ok := map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512}[alg]
	return hash, ok
}

// MAC returns HS256, HS384 or HS512 (RFC 7518 §3.2) of the octets.
func MAC(key []byte, alg string, value []byte) ([]byte, error) {
	hash, ok := macOf(alg)
	if !ok {
		if _, ok := signatureOf(alg); ok {
			return nil, fmt.Errorf("%w: %s is for RSA or EC keys", ErrKeyMismatch, alg)
		}
		return nil, ErrAlgorithm
	}
	mac := hmac.New(hash.New, key)
	mac.Write(value)
	return mac.Sum(nil), nil
}

// VerifyMAC reports whether a MAC is that of the octets.
func VerifyMAC(key []byte, alg string, value, mac []byte) (bool, error) {
	want, err := MAC(key, alg, value)
	return err == nil && hmac.Equal(want, mac), err
}
