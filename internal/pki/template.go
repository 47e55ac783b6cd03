package pki

import (
	"crypto/sha1"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrTemplate means a template of which no certificate can be made although each of
// its parts is well-formed.
var ErrTemplate = errors.New("invalid certificate policy")

// A Template is what a policy says about the certificate itself.
type Template struct {
	Subject  Name
	SANs     SANs
	EKUs     []string // extended key usages: dotted object identifiers, in the order of the policy
	KeyUsage KeyUsage
}

// Check tells whether a certificate can be made of the template: it names a subject,
// an alternative name or both, and every part is well-formed. The error is
// ErrTemplate, ErrSAN, ErrOID or ErrKeyUsage.
func (t Template) Check() error {
	if t.Subject.Empty() && t.SANs.Empty() {
		return fmt.Errorf("%w: give a subject, subject alternative names, or both", ErrTemplate)
	}
	if t.KeyUsage > allUsages {
		return fmt.Errorf("%w: there are bits without a word", ErrKeyUsage)
	}
	for _, eku := range t.EKUs {
		if _, err := ParseOID(eku); err != nil {
			return err
		}
	}
	return t.SANs.Check()
}

// An extension of RFC 5280 §4.2: its last arc under 2.5.29, and its content.
type extension struct {
	arc      int
	critical bool
	content  func(*cryptobyte.Builder)
}

func (e extension) addTo(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 5, 29, e.arc})
		if e.critical { // FALSE is the default, which DER leaves out
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cbasn1.OCTET_STRING, e.content)
	})
}

// The extensions of the template, each as a list that is empty if the certificate
// does not have it.

func (t Template) keyUsage() []extension {
	if t.KeyUsage == 0 { // RFC 5280 §4.2.1.3: at least one bit is set
		return nil
	}
	return []extension{{arc: 15, critical: true, content: t.KeyUsage.addTo}}
}

// basicConstraints is empty, whatever the key usage (recorded).
func (t Template) basicConstraints() []extension {
	return []extension{{arc: 19, content: func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(*cryptobyte.Builder) {})
	}}}
}

func (t Template) extKeyUsage() []extension {
	if len(t.EKUs) == 0 {
		return nil
	}
	return []extension{{arc: 37, content: func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, eku := range t.EKUs {
				oid, err := ParseOID(eku)
				if err != nil {
					b.SetError(err)
					return
				}
				b.AddASN1ObjectIdentifier(oid)
			}
		})
	}}}
}

// subjectAltName is critical if the subject is empty (recorded; RFC 5280 §4.2.1.6).
func (t Template) subjectAltName() []extension {
	if t.SANs.Empty() {
		return nil
	}
	return []extension{{arc: 17, critical: t.Subject.Empty(), content: t.SANs.addTo}}
}

// A Validity is when a certificate is valid, both ends included. Certificates count
// in whole seconds.
type Validity struct{ NotBefore, NotAfter time.Time }

// AddMonths returns the same day and time of day so many calendar months later, in
// UTC, or the last day of that month if it is too short for the day: one month after
// 31 January is 28 or 29 February.
func AddMonths(t time.Time, months int) time.Time {
	t = t.UTC()
	year, month, day := t.Date()
	first := time.Date(year, month+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}

// Thumbprint returns the SHA-1 of a certificate in the form of x5t: base64url without
// padding, 27 characters.
func Thumbprint(der []byte) string {
	sum := sha1.Sum(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// subjectKeyID is the SHA-1 of the public key's bits (recorded; RFC 5280 §4.2.1.2,
// method 1). spki is a SubjectPublicKeyInfo.
func subjectKeyID(spki []byte) ([]byte, error) {
	input := cryptobyte.String(spki)
	var info cryptobyte.String
	var public asn1.BitString
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !info.SkipASN1(cbasn1.SEQUENCE) || !info.ReadASN1BitString(&public) {
		return nil, errors.New("pki: the public key has no bits")
	}
	sum := sha1.Sum(public.Bytes)
	return sum[:], nil
}
