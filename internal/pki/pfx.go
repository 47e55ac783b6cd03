package pki

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/asn1"
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
	bmpString           = cbasn1.Tag(30)
	explicit0, implicit = cbasn1.Tag(0).ContextSpecific().Constructed(), cbasn1.Tag(0).ContextSpecific()
)

// EncodePFX returns a PKCS#12 file with an empty password that holds the chain,
// and the key unless it is nil. One certificate of the chain is the key's; it stands
// anywhere. In the file the certificates have the reverse order of the chain: from the
// root to the leaf when the leaf is first in chain (recorded).
func EncodePFX(key crypto.Signer, chain [][]byte) ([]byte, error) {
	leaf, err := checkChain(key, chain)
	if err != nil {
		return nil, err
	}
	if key == nil {
		leaf = -1 // no bag has attributes then (recorded)
	}
	var contents [][]byte
	if key != nil {
		bag, err := keyBag(key)
		if err != nil {
			return nil, err
		}
		contents = append(contents, dataContent(bag))
	}
	certificates, err := encryptedContent(certificateBags(chain, leaf))
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
	exported := pkcs12KDF{hash: crypto.SHA1, password: emptyPassword(), salt: salt, iterations: pfxIterations}
	mac := hmac.New(sha1.New, exported.key(pkcs12MAC, sha1.Size))
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

// certificateBags is the SafeContents with the certificates, the last first. The one at
// leaf has the key's local id, by which readers pair them.
func certificateBags(chain [][]byte, leaf int) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		for i := len(chain) - 1; i >= 0; i-- {
			bag := sequence(func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidX509Certificate)
				b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(chain[i]) })
			})
			var attributes func(*cryptobyte.Builder)
			if i == leaf {
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
