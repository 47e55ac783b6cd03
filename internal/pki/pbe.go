package pki

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	_ "crypto/sha1" // the hashes that files name
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/zmap/rc2"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// This file opens what others encrypted under a password: the schemes of PKCS#12
// (RFC 7292 appendix C) and PBES2 (RFC 8018 §6.2). Half of them are broken by now.
// They are read, as the service reads them, and never written but in EncodePFX.

// errPassword is all that is told when a MAC or a padding is wrong.
var errPassword = errors.New("the file is damaged or the password is wrong")

// A password is a client's password in one of the forms that key derivation takes.
type password struct {
	text string // UTF-8, for PBKDF2
	bmp  []byte // for pkcs12KDF
}

// passwords are the forms to try: one, and for no password a second one, as some
// writers leave the terminator of the empty text away.
func passwords(text string) []password {
	out := []password{{text: text, bmp: bmpPassword(text)}}
	if text == "" {
		out = append(out, password{})
	}
	return out
}

// Work is how many iterations of key derivation may still be asked for by one file.
type work struct{ left int }

func newWork() *work { return &work{left: maxIterations} }

// charge takes iterations before they are done.
func (w *work) charge(iterations, times int) error {
	if iterations < 1 || iterations > w.left/times {
		return fmt.Errorf("key derivation takes from 1 to %d iterations in one file", maxIterations)
	}
	w.left -= iterations * times
	return nil
}

// A scheme decrypts under a password.
type scheme struct {
	forms  int // how many forms of an empty password differ under it
	derive func(password) (cipher.BlockMode, error)
}

// pbes1 is what differs between the schemes of PKCS#12. The IV has one block, which is
// of 8 octets for all of them.
type pbes1 struct {
	keySize int
	block   func(key []byte) (cipher.Block, error)
}

func pbes1Of(oid asn1.ObjectIdentifier) (pbes1, bool) {
	switch oid.String() {
	case "1.2.840.113549.1.12.1.3":
		return pbes1{24, des.NewTripleDESCipher}, true
	case "1.2.840.113549.1.12.1.4":
		return pbes1{16, func(key []byte) (cipher.Block, error) { return des.NewTripleDESCipher(append(key, key[:8]...)) }}, true
	case "1.2.840.113549.1.12.1.5":
		return pbes1{16, rc2.NewCipher}, true // effective key bits are those of the key's length
	case "1.2.840.113549.1.12.1.6":
		return pbes1{5, rc2.NewCipher}, true
	}
	return pbes1{}, false
}

// readScheme reads the content of an AlgorithmIdentifier and charges the work for it.
func readScheme(in cryptobyte.String, w *work) (scheme, error) {
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) {
		return scheme{}, errBER
	}
	if oid.Equal(oidPBES2) {
		return readPBES2(in, w)
	}
	p, ok := pbes1Of(oid)
	if !ok {
		return scheme{}, errAlgorithm(oid)
	}
	var parameters cryptobyte.String
	var salt []byte
	var iterations int
	if !in.ReadASN1(&parameters, cbasn1.SEQUENCE) || !in.Empty() ||
		!parameters.ReadASN1Bytes(&salt, cbasn1.OCTET_STRING) || !parameters.ReadASN1Integer(&iterations) || !parameters.Empty() {
		return scheme{}, errBER
	}
	return scheme{forms: 2, derive: func(pw password) (cipher.BlockMode, error) {
		kdf := pkcs12KDF{hash: crypto.SHA1, password: pw.bmp, salt: salt, iterations: iterations}
		block, err := p.block(kdf.key(pkcs12Cipher, p.keySize))
		if err != nil {
			return nil, err
		}
		return cipher.NewCBCDecrypter(block, kdf.key(pkcs12IV, block.BlockSize())), nil
	}}, w.charge(iterations, 1)
}

func errAlgorithm(oid asn1.ObjectIdentifier) error {
	return fmt.Errorf("the algorithm %s is not supported; use PBES2 with PBKDF2 and AES, or triple DES", oid)
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidPBMAC1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
)

// readPBES2 reads PBES2-params (RFC 8018 appendix A.4).
func readPBES2(in cryptobyte.String, w *work) (scheme, error) {
	var parameters, kdf, encryption cryptobyte.String
	var oid asn1.ObjectIdentifier
	var iv []byte
	if !in.ReadASN1(&parameters, cbasn1.SEQUENCE) || !in.Empty() ||
		!parameters.ReadASN1(&kdf, cbasn1.SEQUENCE) || !parameters.ReadASN1(&encryption, cbasn1.SEQUENCE) || !parameters.Empty() ||
		!encryption.ReadASN1ObjectIdentifier(&oid) {
		return scheme{}, errBER
	}
	keySize, newBlock, ok := cipherOf(oid)
	if !ok {
		return scheme{}, errAlgorithm(oid)
	}
	if !encryption.ReadASN1Bytes(&iv, cbasn1.OCTET_STRING) || !encryption.Empty() {
		return scheme{}, errBER
	}
	derivation, err := readPBKDF2(kdf)
	if err != nil {
		return scheme{}, err
	}
	if derivation.size != 0 && derivation.size != keySize {
		return scheme{}, errors.New("the size of a key does not fit its algorithm")
	}
	derivation.size = keySize
	return scheme{forms: 1, derive: func(pw password) (cipher.BlockMode, error) {
		key, err := derivation.key(pw)
		if err != nil {
			return nil, err
		}
		block, err := newBlock(key)
		if err != nil || len(iv) != block.BlockSize() {
			return nil, errBER
		}
		return cipher.NewCBCDecrypter(block, iv), nil
	}}, derivation.charge(w)
}

func cipherOf(oid asn1.ObjectIdentifier) (keySize int, block func([]byte) (cipher.Block, error), ok bool) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher, true
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher, true
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher, true
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher, true
	}
	return 0, nil, false
}

// A pbkdf2Params is how PBKDF2 derives one key.
type pbkdf2Params struct {
	hash       crypto.Hash
	salt       []byte
	iterations int
	size       int // octets; zero if the file does not say
}

// readPBKDF2 reads the content of an AlgorithmIdentifier (RFC 8018 appendix A.2).
func readPBKDF2(in cryptobyte.String) (p pbkdf2Params, err error) {
	var oid asn1.ObjectIdentifier
	var parameters, prf cryptobyte.String
	if !in.ReadASN1ObjectIdentifier(&oid) {
		return p, errBER
	}
	if !oid.Equal(oidPBKDF2) {
		return p, errAlgorithm(oid)
	}
	if !in.ReadASN1(&parameters, cbasn1.SEQUENCE) || !in.Empty() ||
		!parameters.ReadASN1Bytes(&p.salt, cbasn1.OCTET_STRING) || !parameters.ReadASN1Integer(&p.iterations) ||
		parameters.PeekASN1Tag(cbasn1.INTEGER) && !parameters.ReadASN1Integer(&p.size) {
		return p, errBER
	}
	p.hash = crypto.SHA1 // the default
	if !parameters.Empty() {
		if !parameters.ReadASN1(&prf, cbasn1.SEQUENCE) || !parameters.Empty() {
			return p, errBER
		}
		p.hash, err = readHash(prf, hmacHashOf)
	}
	return p, err
}

// charge counts each block of output, as each is derived by itself.
func (p pbkdf2Params) charge(w *work) error {
	return w.charge(p.iterations, (p.size+p.hash.Size()-1)/p.hash.Size())
}

func (p pbkdf2Params) key(pw password) ([]byte, error) {
	return pbkdf2.Key(p.hash.New, pw.text, p.salt, p.iterations, p.size)
}

// readHash reads the content of an AlgorithmIdentifier whose parameters are NULL or
// absent.
func readHash(in cryptobyte.String, of func(asn1.ObjectIdentifier) (crypto.Hash, bool)) (crypto.Hash, error) {
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) || !in.SkipOptionalASN1(cbasn1.NULL) || !in.Empty() {
		return 0, errBER
	}
	hash, ok := of(oid)
	if !ok {
		return 0, errAlgorithm(oid)
	}
	return hash, nil
}

func hmacHashOf(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	switch oid.String() {
	case "1.2.840.113549.2.7":
		return crypto.SHA1, true
	case "1.2.840.113549.2.8":
		return crypto.SHA224, true
	case "1.2.840.113549.2.9":
		return crypto.SHA256, true
	case "1.2.840.113549.2.10":
		return crypto.SHA384, true
	case "1.2.840.113549.2.11":
		return crypto.SHA512, true
	}
	return 0, false
}

// decrypt opens data under the first of the passwords that fits. Both PKCS#8 and the
// contents of PKCS#12 are a SEQUENCE, by which a wrong one is told from the right one.
func (s scheme) decrypt(data []byte, forms []password) ([]byte, error) {
	for _, form := range forms[:min(s.forms, len(forms))] {
		mode, err := s.derive(form)
		if err != nil {
			return nil, err
		}
		if len(data) == 0 || len(data)%mode.BlockSize() != 0 {
			return nil, errPassword
		}
		plain := bytes.Clone(data)
		mode.CryptBlocks(plain, plain)
		plain, ok := unpad(plain, mode.BlockSize())
		if !ok {
			continue
		}
		if der, err := toDER(plain); err == nil && cryptobyte.String(der).PeekASN1Tag(cbasn1.SEQUENCE) {
			return der, nil
		}
	}
	return nil, errPassword
}

// unpad takes off the padding of RFC 8018 §6.1.1, whose octets all say its length.
func unpad(plain []byte, size int) ([]byte, bool) {
	length := int(plain[len(plain)-1])
	if length == 0 || length > size {
		return nil, false
	}
	body, padding := plain[:len(plain)-length], plain[len(plain)-length:]
	return body, bytes.Count(padding, padding[:1]) == length
}

// readEncryptedKey reads EncryptedPrivateKeyInfo (RFC 5208 §6), one element of DER, and
// charges the work to open it.
func readEncryptedKey(der []byte, w *work) (s scheme, data []byte, err error) {
	input := cryptobyte.String(der)
	var info, algorithm cryptobyte.String
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !input.Empty() || !info.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!info.ReadASN1Bytes(&data, cbasn1.OCTET_STRING) || !info.Empty() {
		return s, nil, errBER
	}
	s, err = readScheme(algorithm, w)
	return s, data, err
}
