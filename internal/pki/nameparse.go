package pki

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseName reads the subject of a policy: parts of the form keyword=value with
// commas (or semicolons) between them, as in
//
//	CN=www.example.com, OU="Tools, Hand", O=Example, C=US
//
// The string is read right to left, so that C comes first in the encoding (RFC 4514;
// recorded). What is understood:
//
//   - keywords in any case (CN OU O L S ST C E DC STREET SERIALNUMBER T G GN SN and
//     others), and dotted identifiers, plain or as OID.1.2.3;
//   - spaces around keywords, values and separators;
//   - `+` between the parts of a multi-valued name;
//   - values in double quotes, in which a quote is written twice or escaped;
//   - the escapes of RFC 4514: a backslash before a special character, or before the
//     two hexadecimal digits of an octet of UTF-8;
//   - # and the hexadecimal digits of a DER string, which is taken for its text.
//
// A value is a PrintableString if it fits, else a UTF8String (recorded); E and DC are
// IA5Strings. The empty string is the empty name. The error is ErrName and names the
// position, counted in characters from one. The length is for the caller to bound.
func ParseName(s string) (Name, error) {
	p := nameParser{text: s}
	if !utf8.ValidString(s) {
		return Name{}, fmt.Errorf("%w: it is not UTF-8", ErrName)
	}
	p.skipSpaces()
	var rdns [][]part
	for first := true; first || p.take(",;"); first = false {
		if first && p.ended() {
			return Name{}, nil
		}
		rdn, err := p.rdn()
		if err != nil {
			return Name{}, err
		}
		rdns = append(rdns, rdn)
	}
	if !p.ended() {
		return Name{}, p.fail("expected a comma")
	}
	return nameOf(rdns)
}

// A nameParser walks over the text. Every method leaves it behind what it has read
// and behind the spaces that follow.
type nameParser struct {
	text string
	at   int // octets
}

func (p *nameParser) ended() bool { return p.at == len(p.text) }

// peek returns the next octet, or 0 at the end.
func (p *nameParser) peek() byte {
	if p.ended() {
		return 0
	}
	return p.text[p.at]
}

// take passes over one of the given characters, and tells whether it was there.
func (p *nameParser) take(any string) bool {
	if p.ended() || !strings.Contains(any, p.text[p.at:p.at+1]) {
		return false
	}
	p.at++
	p.skipSpaces()
	return true
}

func (p *nameParser) skipSpaces() {
	for p.peek() == ' ' {
		p.at++
	}
}

// fail makes the error for the place where the parser is.
func (p *nameParser) fail(reason string) error { return p.failAt(p.at, reason) }

func (p *nameParser) failAt(at int, reason string) error {
	return fmt.Errorf("%w: at character %d: %s", ErrName, utf8.RuneCountInString(p.text[:at])+1, reason)
}

// rdn reads one relative name, which has more than one part if it is multi-valued.
func (p *nameParser) rdn() ([]part, error) {
	var rdn []part
	for first := true; first || p.take("+"); first = false {
		start := p.at
		next, err := p.part()
		if err != nil {
			return nil, err
		}
		for _, other := range rdn {
			if other.attribute.oid.Equal(next.attribute.oid) {
				return nil, p.failAt(start, "a multi-valued part has one keyword twice")
			}
		}
		rdn = append(rdn, next)
	}
	return rdn, nil
}

func (p *nameParser) part() (part, error) {
	start := p.at
	for c := p.peek(); isLetter(c) || isDigit(c) || c == '.'; c = p.peek() {
		p.at++
	}
	word := p.text[start:p.at]
	p.skipSpaces()
	if word == "" {
		return part{}, p.fail("expected a keyword such as CN")
	}
	if !p.take("=") {
		return part{}, p.fail("expected = after a keyword")
	}
	attribute, ok := attributeNamed(word)
	if !ok {
		return part{}, p.failAt(start, "the keyword is not known; use a dotted identifier such as OID.2.5.4.3")
	}
	start = p.at
	value, err := p.value()
	if err != nil {
		return part{}, err
	}
	if wrong := attribute.check(value); wrong != "" {
		return part{}, p.failAt(start, wrong)
	}
	return part{attribute, value}, nil
}

func (p *nameParser) value() (string, error) {
	start := p.at
	var value []byte
	var err error
	switch p.peek() {
	case '"':
		value, err = p.quoted()
	case '#':
		value, err = p.hexadecimal()
	default:
		value, err = p.plain()
	}
	if err != nil {
		return "", err
	}
	if !utf8.Valid(value) {
		return "", p.failAt(start, "the escaped octets of a value are not UTF-8")
	}
	p.skipSpaces()
	return string(value), nil
}

// plain reads a value without quotes. Spaces at its end are not part of it, unless
// they are escaped.
func (p *nameParser) plain() ([]byte, error) {
	var value []byte
	kept := 0
	for !p.ended() && !strings.Contains(",;+", p.text[p.at:p.at+1]) {
		c := p.peek()
		switch {
		case c == '"' || c == '<' || c == '>':
			return nil, p.fail("a character of a value needs a backslash before it, or quotes around the value")
		case c == ' ':
			value = append(value, c)
			p.at++
			continue
		}
		var err error
		if value, err = p.character(value); err != nil {
			return nil, err
		}
		kept = len(value)
	}
	return value[:kept], nil
}

func (p *nameParser) quoted() ([]byte, error) {
	value := []byte{}
	start := p.at
	p.at++
	for !p.ended() {
		if p.peek() == '"' {
			p.at++
			if p.peek() != '"' {
				return value, nil
			}
			value = append(value, '"')
			p.at++
			continue
		}
		var err error
		if value, err = p.character(value); err != nil {
			return nil, err
		}
	}
	return nil, p.failAt(start, "the closing quote is missing")
}

// character reads one octet or one escape and appends what it stands for.
func (p *nameParser) character(value []byte) ([]byte, error) {
	c := p.peek()
	switch {
	case c < ' ' || c == 0x7f:
		return nil, p.fail("a control character is written as a backslash and two hexadecimal digits")
	case c != '\\':
		p.at++
		return append(value, c), nil
	}
	rest := p.text[p.at+1:]
	if rest != "" && strings.Contains(` "#+,;<=>\`, rest[:1]) {
		p.at += 2
		return append(value, rest[0]), nil
	}
	if len(rest) >= 2 {
		if octet, err := hex.DecodeString(rest[:2]); err == nil {
			p.at += 3
			return append(value, octet...), nil
		}
	}
	return nil, p.fail(`a backslash stands before one of  "#+,;<=>\ or two hexadecimal digits; write it twice for itself`)
}

// hexadecimal reads # and the digits of a DER string.
func (p *nameParser) hexadecimal() ([]byte, error) {
	start := p.at
	p.at++
	for c := p.peek(); isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'; c = p.peek() {
		p.at++
	}
	der, err := hex.DecodeString(p.text[start+1 : p.at])
	if err != nil {
		return nil, p.failAt(start, "the hexadecimal digits are not pairs")
	}
	text, ok := textOf(der)
	if !ok {
		return nil, p.failAt(start, "the hexadecimal digits are no DER string")
	}
	return []byte(text), nil
}
