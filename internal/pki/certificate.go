package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A Serial is the serial number of a certificate, big-endian.
type Serial [16]byte

// NewSerial returns a random version-4 UUID with its top bit cleared, so that the
// number is positive (recorded).
func NewSerial() (Serial, error) {
	var s Serial
	if _, err := io.ReadFull(rand.Reader, s[:]); err != nil {
		return s, fmt.Errorf("pki: serial number: %w", err)
	}
	s[0] &= 0x7f
	if s[0] == 0 {
		s[0] = 1 // DER wants no leading zeros, and the service always has 16 octets
	}
	s[6] = s[6]&0x0f | 0x40
	s[8] = s[8]&0x3f | 0x80
	return s, nil
}

// SelfSign returns a version 3 certificate of the template that is signed with its own
// key. Fields and extensions have the recorded form and order; basic constraints are
// empty even for a key that may sign certificates.
func SelfSign(t Template, key crypto.Signer, v Validity, serial Serial) ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	algorithm, err := algorithmFor(key)
	if err != nil {
		return nil, err
	}
	spki, err := MarshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	part, err := certificateInfo(t, v, serial, spki, algorithm)
	if err != nil {
		return nil, err
	}
	der, err := signed(part, key, algorithm)
	if err != nil {
		return nil, err
	}
	return der, proveCertificate(der)
}

// certificateInfo is the part of a certificate that is signed.
func certificateInfo(t Template, v Validity, serial Serial, spki []byte, a algorithm) ([]byte, error) {
	keyID, err := subjectKeyID(spki)
	if err != nil {
		return nil, err
	}
	extensions := slices.Concat(t.keyUsage(), t.basicConstraints(), t.extKeyUsage(), t.subjectAltName(), keyIDs(keyID))
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial[:]) })
		a.addTo(b)
		b.AddBytes(t.Subject.DER())
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, v.NotBefore)
			addTime(b, v.NotAfter)
		})
		b.AddBytes(t.Subject.DER())
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range extensions {
					e.addTo(b)
				}
			})
		})
	})
	return b.Bytes()
}

// keyIDs are the authority's and the subject's key identifier, which are the same.
func keyIDs(id []byte) []extension {
	return []extension{
		{arc: 35, content: func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
			})
		}},
		{arc: 14, content: func(b *cryptobyte.Builder) { b.AddASN1OctetString(id) }},
	}
}

// addTime writes UTCTime up to 2049 and GeneralizedTime from then on (RFC 5280 §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// proveCertificate reads a new certificate back before anyone relies on it.
func proveCertificate(der []byte) error {
	c, err := ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("pki: the new certificate cannot be read: %w", err)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return fmt.Errorf("pki: the new certificate's signature is wrong: %w", err)
	}
	return nil
}

// ErrChain means that a chain cannot be exported as it is.
var ErrChain = errors.New("pki: not a chain of certificates for the key")

// checkChain finds the certificate of the key in the chain, which may stand anywhere;
// without a key it is the first. A chain that is empty, or has no such certificate, or
// one that cannot be read, is refused.
func checkChain(key crypto.Signer, chain [][]byte) (leaf int, err error) {
	if len(chain) == 0 {
		return 0, fmt.Errorf("%w: it is empty", ErrChain)
	}
	certificates := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		if certificates[i], err = ParseCertificate(der); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrChain, err)
		}
	}
	if key == nil {
		return 0, nil
	}
	leaf = slices.IndexFunc(certificates, func(c *x509.Certificate) bool { return certifies(c, key) })
	if leaf < 0 {
		return 0, fmt.Errorf("%w: its leaf has another key", ErrChain)
	}
	return leaf, nil
}

// certifies tells whether the certificate has the public key of the key.
func certifies(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}
