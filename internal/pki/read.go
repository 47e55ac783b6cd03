package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrCertificate means octets that are not a certificate, or one that is not taken.
var ErrCertificate = errors.New("invalid X.509 certificate")

// maxCertificate bounds a certificate, in octets. Real ones have one to ten thousand.
const maxCertificate = 100 << 10

// ParseCertificate reads exactly one certificate in DER. Unlike crypto/x509 it reads
// certificates with a key on P-256K, named or spelt out. Of such a one, the members
// Raw, RawTBSCertificate, RawSubjectPublicKeyInfo and PublicKey are its own, so that
// CheckSignature works.
//
// The error is ErrCertificate: also for more than 100 KiB, a negative serial number,
// and times before 1970 or in the wrong order.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("%w: it has more than %d KiB", ErrCertificate, maxCertificate>>10)
	}
	c, err := parseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	switch {
	case c.SerialNumber.Sign() < 0:
		return nil, fmt.Errorf("%w: its serial number is negative", ErrCertificate)
	case c.NotBefore.Before(time.Unix(0, 0)):
		return nil, fmt.Errorf("%w: it is valid from before 1970", ErrCertificate)
	case c.NotAfter.Before(c.NotBefore):
		return nil, fmt.Errorf("%w: it ends before it begins", ErrCertificate)
	}
	return c, nil
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	s, public, readable, err := readSigned(der, skipToCertificateKey)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(readable)
	if err != nil || !s.koblitz {
		return c, err
	}
	c.Raw, c.RawTBSCertificate, c.RawSubjectPublicKeyInfo, c.PublicKey = der, s.part, s.spki, public
	return c, nil
}

// parseRequest is parseCertificate for requests.
func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	s, public, readable, err := readSigned(der, skipToRequestKey)
	if err != nil {
		return nil, err
	}
	r, err := x509.ParseCertificateRequest(readable)
	if err != nil || !s.koblitz {
		return r, err
	}
	r.Raw, r.RawTBSCertificateRequest, r.RawSubjectPublicKeyInfo, r.PublicKey = der, s.part, s.spki, public
	return r, nil
}

// readSigned takes a document apart and returns one that crypto/x509 can read: itself, or
// a stand-in for one with a key on P-256K, which is returned, too.
func readSigned(der []byte, skip func(*cryptobyte.String) bool) (s signedDocument, public crypto.PublicKey, readable []byte, err error) {
	if s, err = splitSigned(der, skip); err != nil || !s.koblitz {
		return s, nil, der, err
	}
	if public, err = ParsePublicKey(s.spki); err != nil {
		return s, nil, nil, err
	}
	readable, err = s.standIn()
	return s, public, readable, err
}

// A signedDocument is a certificate or a request, taken apart round its public key.
// Every member is DER.
type signedDocument struct {
	part          []byte // what is signed
	before, after []byte // of part, what surrounds spki
	spki          []byte
	signature     []byte // what follows part: algorithm and signature
	koblitz       bool
}

// splitSigned finds the public key of a document; skip passes over what stands before.
func splitSigned(der []byte, skip func(*cryptobyte.String) bool) (signedDocument, error) {
	input := cryptobyte.String(der)
	var s signedDocument
	var outer, part, body, spki cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Element(&part, cbasn1.SEQUENCE) {
		return s, errors.New("it is not one document in DER")
	}
	s.part, s.signature = part, outer
	if !part.ReadASN1(&body, cbasn1.SEQUENCE) {
		return s, errors.New("it is not one document in DER")
	}
	s.before = body
	if !skip(&body) || !body.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return s, errors.New("it has no public key")
	}
	s.spki, s.after = spki, body
	s.before = s.before[:len(s.before)-len(spki)-len(body)]
	var err error
	if algorithm, _, ok := splitPublicKey(s.spki); ok {
		s.koblitz, err = isKoblitzAlgorithm(algorithm)
	}
	return s, err
}

func skipToCertificateKey(body *cryptobyte.String) bool {
	return body.SkipOptionalASN1(explicit0) && // version
		body.SkipASN1(cbasn1.INTEGER) && // serial number
		body.SkipASN1(cbasn1.SEQUENCE) && // algorithm of the signature
		body.SkipASN1(cbasn1.SEQUENCE) && // issuer
		body.SkipASN1(cbasn1.SEQUENCE) && // validity
		body.SkipASN1(cbasn1.SEQUENCE) // subject
}

func skipToRequestKey(body *cryptobyte.String) bool {
	return body.SkipASN1(cbasn1.INTEGER) && body.SkipASN1(cbasn1.SEQUENCE)
}

// standIn is the document with another public key in place of its own, one that
// crypto/x509 can read; everything else in it is the same.
func (s signedDocument) standIn() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(s.before)
			addStandInKey(b)
			b.AddBytes(s.after)
		})
		b.AddBytes(s.signature)
	})
	return b.Bytes()
}

// addStandInKey writes the base point of P-256 as a public key.
func addStandInKey(b *cryptobyte.Builder) {
	params := namedCurve("P-256").Params()
	point := make([]byte, 1+2*fieldSize)
	point[0] = 4
	params.Gx.FillBytes(point[1 : 1+fieldSize])
	params.Gy.FillBytes(point[1+fieldSize:])
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidECPublicKey)
			b.AddASN1ObjectIdentifier([]int{1, 2, 840, 10045, 3, 1, 7})
		})
		b.AddASN1BitString(point)
	})
}

// extensionOf returns the content of the extension 2.5.29.arc.
func extensionOf(extensions []pkix.Extension, arc int) ([]byte, bool) {
	for _, e := range extensions {
		if e.Id.Equal([]int{2, 5, 29, arc}) {
			return e.Value, true
		}
	}
	return nil, false
}
