package pki

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKeyUsage means a word that names no key usage.
var ErrKeyUsage = errors.New("invalid key usage")

// A KeyUsage is a set of key usages (RFC 5280 §4.2.1.3): bit n of the number is the
// named bit n of the extension.
type KeyUsage uint16

// The key usages.
const (
	DigitalSignature KeyUsage = 1 << iota
	NonRepudiation
	KeyEncipherment
	DataEncipherment
	KeyAgreement
	KeyCertSign
	CRLSign
	EncipherOnly
	DecipherOnly

	allUsages = 1<<iota - 1
)

// usageWords are the words of a policy, in the order of the bits.
func usageWords() [9]string {
	return [...]string{
		"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
}

// ParseKeyUsage reads the words of a policy. Case does not matter and a word may
// appear twice (recorded: crlSign is taken as cRLSign). The error is ErrKeyUsage.
func ParseKeyUsage(words []string) (KeyUsage, error) {
	var usage KeyUsage
	known := usageWords()
	for _, word := range words {
		at := slices.IndexFunc(known[:], func(k string) bool { return strings.EqualFold(k, word) })
		if at < 0 {
			return 0, fmt.Errorf("%w %q: use %s", ErrKeyUsage, shorten(word), strings.Join(known[:], ", "))
		}
		usage |= 1 << at
	}
	return usage, nil
}

// Words returns the canonical words, sorted without regard to case, as the service
// stores them (recorded). Without any usage it is empty and not nil.
func (u KeyUsage) Words() []string {
	words := make([]string, 0, bits.OnesCount16(uint16(u)))
	for i, word := range usageWords() {
		if u&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	slices.SortFunc(words, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return words
}

// KeyOps returns the operations that the backing key of such a certificate allows, as
// documented by the service; always in the order sign, verify, wrapKey, unwrapKey,
// encrypt, decrypt. Without any such usage it is empty and not nil.
func (u KeyUsage) KeyOps() []string {
	ops := []string{}
	if u&(DigitalSignature|NonRepudiation|KeyCertSign|CRLSign) != 0 {
		ops = append(ops, "sign", "verify")
	}
	if u&KeyEncipherment != 0 {
		ops = append(ops, "wrapKey", "unwrapKey")
	}
	if u&(DataEncipherment|EncipherOnly) != 0 {
		ops = append(ops, "encrypt")
	}
	if u&(DataEncipherment|DecipherOnly) != 0 {
		ops = append(ops, "decrypt")
	}
	return ops
}

// addTo writes the BIT STRING of the extension in its minimal form, without trailing
// zero bits, as DER asks of named bits (X.690 §11.2.2).
func (u KeyUsage) addTo(b *cryptobyte.Builder) {
	reversed := bits.Reverse16(uint16(u)) // bit 0 of the extension is the highest of the first octet
	octets := []byte{byte(reversed >> 8), byte(reversed)}
	if octets[1] == 0 {
		octets = octets[:1]
	}
	unused := bits.TrailingZeros8(octets[len(octets)-1])
	b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(uint8(unused))
		b.AddBytes(octets)
	})
}

// shorten keeps a caller's text short enough for an error.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return s
}
