package pki

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CreateRequest makes a certificate signing request (PKCS#10, RFC 2986) in the form of
// the service (recorded): version 0 and one attribute, extensionRequest, with keyUsage
// (critical), extKeyUsage, subjectAltName and basicConstraints, in this order, of
// which those that the template leaves empty are absent. There is no challenge
// password and no subjectKeyIdentifier.
//
// The result is read back and its signature verified before it is returned. Errors:
// those of Template.Check, and ErrKeyType.
func CreateRequest(t Template, key crypto.Signer) ([]byte, error) {
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
	part, err := requestInfo(t, spki)
	if err != nil {
		return nil, err
	}
	der, err := signed(part, key, algorithm)
	if err != nil {
		return nil, err
	}
	return der, proveRequest(der)
}

// requestInfo writes CertificationRequestInfo (RFC 2986 §4.1).
func requestInfo(t Template, spki []byte) ([]byte, error) {
	extensions := slices.Concat(t.keyUsage(), t.extKeyUsage(), t.subjectAltName(), t.basicConstraints())
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(t.Subject.DER())
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			addAttribute(b, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, e := range extensions {
						e.addTo(b)
					}
				})
			})
		})
	})
	return b.Bytes()
}

// addAttribute writes an Attribute with one value, as PKCS#10 and PKCS#12 have them.
func addAttribute(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.SET, value)
	})
}

// proveRequest does for requests what proveCertificate does for certificates.
func proveRequest(der []byte) error {
	request, err := parseRequest(der)
	if err != nil {
		return fmt.Errorf("pki: the new request cannot be read: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return fmt.Errorf("pki: the new request's signature is wrong: %w", err)
	}
	return nil
}
