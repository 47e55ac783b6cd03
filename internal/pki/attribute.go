package pki

import (
	"encoding/asn1"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// An attributeType is one kind of part of an X.500 name.
type attributeType struct {
	oid   asn1.ObjectIdentifier
	form  stringForm
	words []string // keywords; the first is the one that is written, if any
}

// A stringForm says which ASN.1 strings an attribute may be.
type stringForm int

const (
	directoryString stringForm = iota // PrintableString if the value fits, else UTF8String (recorded)
	ia5String                         // RFC 5280 §4.1.2.6 and appendix A: e-mail addresses and domain components
	printableString                   // X.520: serial number, DN qualifier
	countryString                     // X.520: PrintableString of two letters
)

// attributeTypes are the attributes that have keywords. The first keyword is the one
// that Windows writes, which is what the service shows (recorded: E= and S=); the
// others are those of RFC 4514, RFC 4519 and of the tools that people copy names from.
func attributeTypes() []attributeType {
	x520 := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, n} }
	pilot := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, n} }
	pkcs9 := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, n} }
	return []attributeType{
		{x520(3), directoryString, []string{"CN", "commonName"}},
		{x520(11), directoryString, []string{"OU", "organizationalUnitName"}},
		{x520(10), directoryString, []string{"O", "organizationName"}},
		{x520(7), directoryString, []string{"L", "localityName"}},
		{x520(8), directoryString, []string{"S", "ST", "stateOrProvinceName"}},
		{x520(6), countryString, []string{"C", "countryName"}},
		{pkcs9(1), ia5String, []string{"E", "Email", "emailAddress"}},
		{pilot(25), ia5String, []string{"DC", "domainComponent"}},
		{x520(9), directoryString, []string{"STREET", "streetAddress"}},
		{x520(5), printableString, []string{"SERIALNUMBER"}},
		{x520(12), directoryString, []string{"T", "Title"}},
		{x520(42), directoryString, []string{"G", "GN", "givenName"}},
		{x520(4), directoryString, []string{"SN", "surname"}},
		{x520(43), directoryString, []string{"I", "initials"}},
		{x520(13), directoryString, []string{"Description"}},
		{x520(17), directoryString, []string{"PostalCode"}},
		{x520(18), directoryString, []string{"POBox"}},
		{x520(20), printableString, []string{"Phone", "telephoneNumber"}},
		{x520(46), printableString, []string{"dnQualifier"}},
		{pilot(1), directoryString, []string{"UID", "userId"}},
	}
}

// attributeNamed finds an attribute by its keyword in any case, or by its dotted
// identifier with or without the prefix "OID.".
func attributeNamed(word string) (attributeType, bool) {
	for _, t := range attributeTypes() {
		if slices.ContainsFunc(t.words, func(w string) bool { return strings.EqualFold(w, word) }) {
			return t, true
		}
	}
	if len(word) > 4 && strings.EqualFold(word[:4], "OID.") {
		word = word[4:]
	}
	oid, err := ParseOID(word)
	if err != nil {
		return attributeType{}, false
	}
	return attributeWithOID(oid), true
}

// attributeWithOID finds an attribute by its identifier; an unknown one is a
// directory string without a keyword.
func attributeWithOID(oid asn1.ObjectIdentifier) attributeType {
	for _, t := range attributeTypes() {
		if t.oid.Equal(oid) {
			return t
		}
	}
	return attributeType{oid: oid}
}

// word is how the type is written.
func (t attributeType) word() string {
	if len(t.words) == 0 {
		return "OID." + t.oid.String()
	}
	return t.words[0]
}

// check tells what is wrong with a value of this type; empty if nothing is. Values
// are valid UTF-8.
func (t attributeType) check(value string) string {
	switch {
	case value == "":
		return "a value is missing"
	case strings.ContainsRune(value, 0):
		return "a value has a NUL character"
	case t.form == ia5String && !isASCII(value):
		return "the value of " + t.word() + " has characters beyond ASCII"
	case t.form == printableString && !isPrintableString(value):
		return "the value of " + t.word() + " has characters beyond letters, digits, spaces and '()+,-./:=?"
	case t.form == countryString && (len(value) != 2 || !isLetter(value[0]) || !isLetter(value[1])):
		return "the value of C is a country code of two letters, such as US"
	}
	return ""
}

// addTo writes AttributeTypeAndValue. The value has passed check.
func (t attributeType) addTo(b *cryptobyte.Builder, value string) {
	tag := cbasn1.UTF8String
	switch {
	case t.form == ia5String:
		tag = cbasn1.IA5String
	case isPrintableString(value):
		tag = cbasn1.PrintableString
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(t.oid)
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isPrintableString tells whether the text has only characters of the ASN.1
// PrintableString (X.680 §41.4). The asterisk is none of them (recorded).
func isPrintableString(s string) bool {
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && !strings.ContainsRune(" '()+,-./:=?", rune(c)) {
			return false
		}
	}
	return true
}
