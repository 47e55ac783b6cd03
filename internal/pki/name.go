package pki

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrName means a text that is not an X.500 name.
var ErrName = errors.New("invalid X.500 distinguished name")

// A Name is a parsed X.500 distinguished name. The zero Name is the empty one.
type Name struct{ der []byte }

// DER returns the name as RFC 5280's Name. The caller owns the result.
func (n Name) DER() []byte {
	if n.der == nil {
		return []byte{0x30, 0x00}
	}
	return slices.Clone(n.der)
}

// Empty tells whether the name has no parts.
func (n Name) Empty() bool { return n.der == nil }

// String returns the name as FormatName writes it.
func (n Name) String() string {
	text, err := FormatName(n.DER())
	if err != nil {
		return "" // a Name is only made from what FormatName reads
	}
	return text
}

// A part is one attribute of a name with its value.
type part struct {
	attribute attributeType
	value     string
}

// nameOf encodes relative names, given in the order of the text. The last of the text
// is the first of the encoding (RFC 4514 §2.1; recorded).
func nameOf(rdns [][]part) (Name, error) {
	if len(rdns) == 0 {
		return Name{}, nil
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range slices.Backward(rdns) {
			addRDN(b, rdn)
		}
	})
	der, err := b.Bytes()
	return Name{der: der}, err
}

// addRDN writes a SET OF, which DER wants in the order of the encodings (X.690 §11.6).
func addRDN(b *cryptobyte.Builder, rdn []part) {
	encoded := make([][]byte, len(rdn))
	for i, p := range rdn {
		var each cryptobyte.Builder
		p.attribute.addTo(&each, p.value)
		der, err := each.Bytes()
		if err != nil {
			b.SetError(err)
			return
		}
		encoded[i] = der
	}
	slices.SortFunc(encoded, bytes.Compare)
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, der := range encoded {
			b.AddBytes(der)
		}
	})
}
