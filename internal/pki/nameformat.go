package pki

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FormatName writes an encoded name as the service shows the subject of an imported
// certificate: the parts in reverse, ", " between them, and the keywords of Windows,
// such as E= and S= (recorded). Values with special characters are in double quotes,
// with each inner quote doubled. Backslashes and control characters are escaped as
// in RFC 4514, so that ParseName reads the same text again. A value that is no string
// is written as # and its DER in hexadecimal, which ParseName refuses. The error is
// ErrName when der is not exactly one name.
func FormatName(der []byte) (string, error) {
	input := cryptobyte.String(der)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() {
		return "", errNameDER()
	}
	var rdns []string
	for !sequence.Empty() {
		var set cryptobyte.String
		if !sequence.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return "", errNameDER()
		}
		rdn, err := formatRDN(set)
		if err != nil {
			return "", err
		}
		rdns = append(rdns, rdn)
	}
	slices.Reverse(rdns)
	return strings.Join(rdns, ", "), nil
}

func errNameDER() error { return fmt.Errorf("%w: it is not a Name in DER", ErrName) }

func formatRDN(set cryptobyte.String) (string, error) {
	var parts []string
	for !set.Empty() {
		var pair, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&oid) ||
			!pair.ReadAnyASN1Element(&value, new(cbasn1.Tag)) || !pair.Empty() {
			return "", errNameDER()
		}
		parts = append(parts, attributeWithOID(oid).word()+"="+formatValue(value))
	}
	return strings.Join(parts, " + "), nil
}

func formatValue(der []byte) string {
	text, ok := textOf(der)
	if !ok {
		return "#" + hex.EncodeToString(der)
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"':
			b.WriteString(`""`)
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	if text == "" || text[0] == ' ' || text[len(text)-1] == ' ' || strings.ContainsAny(text, "\",+=<>#;\r\n") {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// textOf reads one DER string of any of the kinds that names have (RFC 5280
// §4.1.2.4). It tells false for anything else.
func textOf(der []byte) (string, bool) {
	input := cryptobyte.String(der)
	var value cryptobyte.String
	var tag cbasn1.Tag
	if !input.ReadAnyASN1(&value, &tag) || !input.Empty() {
		return "", false
	}
	text := string(value)
	switch tag {
	case cbasn1.UTF8String:
		return text, utf8.ValidString(text)
	case cbasn1.PrintableString, cbasn1.IA5String, cbasn1.Tag(asn1.TagNumericString):
		// Many certificates have an asterisk or an ampersand in a PrintableString, so
		// nothing narrower than ASCII is asked for.
		return text, isASCII(text)
	case cbasn1.T61String:
		return latin1(value), true
	case cbasn1.Tag(asn1.TagBMPString):
		return basicPlane(value)
	}
	return "", false
}

// latin1 is what the world takes T.61 for.
func latin1(octets []byte) string {
	runes := make([]rune, len(octets))
	for i, octet := range octets {
		runes[i] = rune(octet)
	}
	return string(runes)
}

// basicPlane reads UCS-2, which has no surrogates.
func basicPlane(octets []byte) (string, bool) {
	if len(octets)%2 != 0 {
		return "", false
	}
	runes := make([]rune, len(octets)/2)
	for i := range runes {
		runes[i] = rune(octets[2*i])<<8 | rune(octets[2*i+1])
		if utf16.IsSurrogate(runes[i]) {
			return "", false
		}
	}
	return string(runes), true
}
