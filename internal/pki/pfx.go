package pki

import (
	"crypto"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/asn1"
	"fmt"
	"math/big"
	"unicode/utf16"

	"github.com/google/uuid"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// This file writes PKCS#12 (RFC 7292) in the one profile that the service exports
// (recorded): empty password, triple DES and SHA-1, 2000 iterations, the key in the
// first content, the certificates in the second. The algorithms are weak, and protect
// nothing here: the password is empty by the protocol. A stronger profile would be
// refused by older consumers, and no library writes this order of contents.

const (
	pfxIterations = 2000
	pfxSaltSize   = 8
	pfxMACSalt    = 20
)

var (
	oidData             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidShroudedKeyBag   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertBag          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oidX509Certificate  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
	oidPBETripleDES     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}
	oidSHA1             = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidLocalKeyID       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 21}
	oidFriendlyName     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}
	oidCSPName          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 17, 1}
	pfxLocalKeyID       = []byte{1, 0, 0, 0}
	pfxCSPName          = "Microsoft Software Key Storage Provider"
	emptyPassword       = []byte{0, 0} // a BMPString has a terminator, even an empty one
	bmpString           = cbasn1.Tag(30)
	explicit0, implicit = cbasn1.Tag(0).ContextSpecific().Constructed(), cbasn1.Tag(0).ContextSpecific()
)

// EncodePFX returns a PKCS#12 file with an empty password that holds the chain, the
// leaf first in chain, and the key unless it is nil. In the file the certificates go
// from the root to the leaf (recorded).
func EncodePFX(key crypto.Signer, chain [][]byte) ([]byte, error) {
	if err := checkChain(key, chain); err != nil {
		return nil, err
	}
	var contents [][]byte
	if key != nil {
		bag, err := keyBag(key)
		if err != nil {
			return nil, err
		}
		contents = append(contents, dataContent(bag))
	}
	certificates, err := encryptedContent(certificateBags(key != nil, chain))
	if err != nil {
		return nil, err
	}
	contents = append(contents, certificates)
	safe := sequence(func(b *cryptobyte.Builder) {
		for _, content := range contents {
			b.AddBytes(content)
		}
	})
	return pfx(safe)
}

// pfx is the outermost structure: the contents and a MAC over them.
func pfx(safe []byte) ([]byte, error) {
	salt, err := random(pfxMACSalt)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha1.New, pkcs12Key(3, salt, sha1.Size))
	mac.Write(safe)
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddBytes(dataContent(safe))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidSHA1)
					b.AddASN1NULL()
				})
				b.AddASN1OctetString(mac.Sum(nil))
			})
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(pfxIterations)
		})
	}), nil
}

func sequence(content func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, content)
	return b.BytesOrPanic() // built of parts that were encoded before
}

// dataContent is a ContentInfo of plain data.
func dataContent(data []byte) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidData)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(data) })
	})
}

// encryptedContent is a ContentInfo of encrypted data.
func encryptedContent(data []byte) ([]byte, error) {
	algorithm, encrypted, err := encryptPBE(data)
	if err != nil {
		return nil, err
	}
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidEncryptedData)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(0)
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidData)
					b.AddBytes(algorithm)
					b.AddASN1(implicit, func(b *cryptobyte.Builder) { b.AddBytes(encrypted) })
				})
			})
		})
	}), nil
}

// keyBag is the SafeContents with the encrypted key.
func keyBag(key crypto.Signer) ([]byte, error) {
	pkcs8, err := MarshalKey(key)
	if err != nil {
		return nil, err
	}
	algorithm, encrypted, err := encryptPBE(pkcs8)
	if err != nil {
		return nil, err
	}
	shrouded := sequence(func(b *cryptobyte.Builder) {
		b.AddBytes(algorithm)
		b.AddASN1OctetString(encrypted)
	})
	name := "{" + uuid.NewString() + "}"
	return sequence(func(b *cryptobyte.Builder) {
		addBag(b, oidShroudedKeyBag, shrouded, func(b *cryptobyte.Builder) {
			addAttribute(b, oidLocalKeyID, func(b *cryptobyte.Builder) { b.AddASN1OctetString(pfxLocalKeyID) })
			addAttribute(b, oidFriendlyName, func(b *cryptobyte.Builder) { addBMP(b, name) })
			addAttribute(b, oidCSPName, func(b *cryptobyte.Builder) { addBMP(b, pfxCSPName) })
		})
	}), nil
}

// certificateBags is the SafeContents with the certificates, the root first. Beside a
// key, the leaf has the key's local id, by which readers pair them; without a key no
// bag has attributes (recorded).
func certificateBags(withKey bool, chain [][]byte) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		for i := len(chain) - 1; i >= 0; i-- {
			bag := sequence(func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidX509Certificate)
				b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(chain[i]) })
			})
			var attributes func(*cryptobyte.Builder)
			if withKey && i == 0 {
				attributes = func(b *cryptobyte.Builder) {
					addAttribute(b, oidLocalKeyID, func(b *cryptobyte.Builder) { b.AddASN1OctetString(pfxLocalKeyID) })
				}
			}
			addBag(b, oidCertBag, bag, attributes)
		}
	})
}

func addBag(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, bag []byte, attributes func(*cryptobyte.Builder)) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddBytes(bag) })
		if attributes != nil {
			b.AddASN1(cbasn1.SET, attributes)
		}
	})
}

func addBMP(b *cryptobyte.Builder, text string) {
	b.AddASN1(bmpString, func(b *cryptobyte.Builder) {
		for _, unit := range utf16.Encode([]rune(text)) {
			b.AddUint16(unit)
		}
	})
}

// encryptPBE encrypts by pbeWithSHAAnd3-KeyTripleDES-CBC under the empty password and
// returns the AlgorithmIdentifier with its salt.
func encryptPBE(data []byte) (algorithm, encrypted []byte, err error) {
	salt, err := random(pfxSaltSize)
	if err != nil {
		return nil, nil, err
	}
	block, err := des.NewTripleDESCipher(pkcs12Key(1, salt, 24))
	if err != nil {
		return nil, nil, err
	}
	padding := des.BlockSize - len(data)%des.BlockSize
	encrypted = make([]byte, len(data)+padding)
	copy(encrypted, data)
	for i := len(data); i < len(encrypted); i++ {
		encrypted[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(block, pkcs12Key(2, salt, des.BlockSize)).CryptBlocks(encrypted, encrypted)
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPBETripleDES)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(pfxIterations)
		})
	}), encrypted, nil
}

func random(size int) ([]byte, error) {
	out := make([]byte, size)
	if _, err := rand.Read(out); err != nil {
		return nil, fmt.Errorf("pki: salt: %w", err)
	}
	return out, nil
}

// pkcs12Key derives a key (id 1), IV (id 2) or MAC key (id 3) from the empty password,
// with SHA-1, as RFC 7292 appendix B.2 says.
func pkcs12Key(id byte, salt []byte, size int) []byte {
	const v = 64 // the block size of SHA-1
	diversifier := make([]byte, v)
	for i := range diversifier {
		diversifier[i] = id
	}
	input := append(repeat(salt, v), repeat(emptyPassword, v)...)
	var out []byte
	for {
		hash := sha1.Sum(append(append([]byte{}, diversifier...), input...))
		for range pfxIterations - 1 {
			hash = sha1.Sum(hash[:])
		}
		if out = append(out, hash[:]...); len(out) >= size {
			return out[:size]
		}
		addToBlocks(input, repeat(hash[:], v), v)
	}
}

// repeat fills up to a multiple of v with copies of data.
func repeat(data []byte, v int) []byte {
	out := make([]byte, (len(data)+v-1)/v*v)
	for i := range out {
		out[i] = data[i%len(data)]
	}
	return out
}

// addToBlocks adds b + 1 to every block of v bytes, modulo 2 to the power of 8v.
func addToBlocks(blocks, b []byte, v int) {
	addend := new(big.Int).Add(new(big.Int).SetBytes(b[:v]), big.NewInt(1))
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(8*v))
	for at := 0; at < len(blocks); at += v {
		sum := new(big.Int).SetBytes(blocks[at : at+v])
		sum.Add(sum, addend).Mod(sum, modulus).FillBytes(blocks[at : at+v])
	}
}
