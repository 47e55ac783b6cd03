package audit

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// A parsed line is what the chain needs of it. It shares memory with the text.
type parsed struct {
	Head
	previous []byte // nil unless the line carries it
	torn     *torn
	signed   []byte // what the MAC is over
}

// parse reads a line without its newline. Nothing of it is to be believed before its
// MAC was checked.
func parse(text []byte) (parsed, error) {
	var whole struct {
		Chain struct {
			chain
			MAC string `json:"mac"`
		} `json:"chain"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return parsed{}, fmt.Errorf("not a line of an audit log: %w", err)
	}
	c := whole.Chain
	mac, ok := decodeMAC(c.MAC)
	at := bytes.LastIndex(text, []byte(macMark))
	if !ok || at < 0 || string(text[at+len(macMark):]) != c.MAC+`"}}` {
		return parsed{}, errors.New("not a line of an audit log: it has no MAC at its end")
	}
	p := parsed{Head: Head{Node: c.Node, Sequence: c.Sequence, MAC: mac}, torn: c.Torn, signed: text[:at]}
	if c.Previous == "" {
		return p, nil
	}
	if p.previous, ok = decodeMAC(c.Previous); !ok {
		return parsed{}, errors.New("not a line of an audit log: the MAC that it follows is none")
	}
	return p, nil
}

// decodeMAC takes a MAC only as it is written, in lower case, so that no byte of a line
// can be another.
func decodeMAC(text string) ([]byte, bool) {
	mac, err := hex.DecodeString(text)
	return mac, err == nil && len(mac) == macSize && hex.EncodeToString(mac) == text
}

// follows reports whether the line was signed behind the MAC previous.
func (s signer) follows(p parsed, previous []byte) bool {
	return hmac.Equal(p.MAC, s.sum(previous, p.signed))
}

// anchored reports whether the line verifies by itself: it begins a chain, or carries
// the MAC that it follows.
func (s signer) anchored(p parsed) bool {
	return (p.previous != nil || p.Sequence == 1) && s.follows(p, p.previous)
}
