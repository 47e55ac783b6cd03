package pki

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxDepth bounds how deep elements of BER may be nested. PKCS#12 needs about a dozen.
const maxDepth = 32

// The octets of BER (X.690 §8.1) that are handled apart.
const (
	berConstructed = 0x20
	berHighTag     = 0x1f
	berIndefinite  = 0x80
	berOctets      = 0x04
)

var errBER = errors.New("it is not one element of ASN.1")

// toDER rewrites exactly one element of BER, which some writers of PKCS#12 use, with
// definite and minimal lengths and with OCTET STRINGs in one piece. It does not look
// into primitive elements, so what a certificate or an encrypted part holds stays as it
// is. DER comes out unchanged.
func toDER(ber []byte) ([]byte, error) {
	der, rest, err := elementToDER(ber, 0)
	if err == nil && len(rest) > 0 {
		err = errBER
	}
	return der, err
}

func elementToDER(in []byte, depth int) (der, rest []byte, err error) {
	tag, content, rest, indefinite, ok := berHeader(in)
	if !ok || depth > maxDepth {
		return nil, nil, errBER
	}
	if tag&berConstructed == 0 {
		der, err = element(tag, content)
		return der, rest, err
	}
	inner, after, err := contentToDER(content, indefinite, tag == berOctets|berConstructed, depth)
	if err != nil {
		return nil, nil, err
	}
	if indefinite {
		rest = after
	}
	if tag == berOctets|berConstructed {
		tag = berOctets
	}
	der, err = element(tag, inner)
	return der, rest, err
}

// contentToDER rewrites the elements inside of a constructed one, up to the end or to
// the mark of the end. Of pieces of an OCTET STRING it keeps the content only.
func contentToDER(in []byte, indefinite, pieces bool, depth int) (der, after []byte, err error) {
	for {
		switch {
		case indefinite && len(in) >= 2 && in[0] == 0 && in[1] == 0:
			return der, in[2:], nil
		case !indefinite && len(in) == 0:
			return der, nil, nil
		}
		var each []byte
		if each, in, err = elementToDER(in, depth+1); err != nil {
			return nil, nil, err
		}
		if pieces {
			piece, octets := cryptobyte.String(each), cryptobyte.String(nil)
			if !piece.ReadASN1(&octets, cbasn1.OCTET_STRING) {
				return nil, nil, errBER
			}
			each = octets
		}
		der = append(der, each...)
	}
}

// berHeader reads a tag and a length. Of an element of indefinite length, content is
// all that follows, and rest is empty.
func berHeader(in []byte) (tag byte, content, rest []byte, indefinite, ok bool) {
	if len(in) < 2 || in[0] == 0 || in[0]&berHighTag == berHighTag {
		return 0, nil, nil, false, false
	}
	tag, length, in := in[0], int(in[1]), in[2:]
	switch {
	case length == berIndefinite:
		return tag, in, nil, true, tag&berConstructed != 0
	case length > berIndefinite:
		octets := length - berIndefinite
		if octets > 4 || octets > len(in) {
			return 0, nil, nil, false, false
		}
		length = 0
		for _, octet := range in[:octets] {
			length = length<<8 | int(octet)
		}
		in = in[octets:]
	}
	if length > len(in) {
		return 0, nil, nil, false, false
	}
	return tag, in[:length], in[length:], false, true
}

func element(tag byte, content []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.Bytes()
}
