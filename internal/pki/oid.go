package pki

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrOID means a text that is not an object identifier in dotted form.
var ErrOID = errors.New("invalid object identifier")

// maxOID bounds the text of an object identifier, in octets. The longest in use have
// about 60.
const maxOID = 256

// ParseOID reads the dotted form of an object identifier, such as 1.3.6.1.5.5.7.3.1:
// decimal arcs without signs, spaces or leading zeros; at least two; the first at most
// 2, and the second at most 39 below 0 and 1 (X.660). An arc has at most 31 bits,
// since that is what the readers of certificates take. The error is ErrOID.
func ParseOID(s string) (asn1.ObjectIdentifier, error) {
	if len(s) > maxOID {
		return nil, fmt.Errorf("%w: it has more than %d characters", ErrOID, maxOID)
	}
	words := strings.Split(s, ".")
	if len(words) < 2 {
		return nil, fmt.Errorf("%w %q: use the dotted form, such as 1.3.6.1.5.5.7.3.1", ErrOID, s)
	}
	oid := make(asn1.ObjectIdentifier, len(words))
	for i, word := range words {
		arc, ok := parseArc(word)
		if !ok {
			return nil, fmt.Errorf("%w %q: number %d of it is not a decimal from 0 to %d", ErrOID, s, i+1, math.MaxInt32)
		}
		oid[i] = arc
	}
	// X.690 §8.19.4 writes the first two arcs as one number, 40 × first + second.
	if oid[0] > 2 || oid[0] < 2 && oid[1] > 39 || oid[1] > math.MaxInt32-80 {
		return nil, fmt.Errorf("%w %q: no identifier begins with %d.%d", ErrOID, s, oid[0], oid[1])
	}
	return oid, nil
}

func parseArc(word string) (int, bool) {
	if word == "" || len(word) > 1 && word[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(word) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	arc, err := strconv.ParseInt(word, 10, 32)
	return int(arc), err == nil
}
