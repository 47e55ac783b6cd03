package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strconv"
	"strings"
	"time"
)

// The JSON form of a line. The names down to properties are the service's (its
// documentation of logging; durationMs is a string there too); phase, operationId,
// requestId, count and all of chain are ours.
type line struct {
	Time              string     `json:"time"`
	ResourceID        string     `json:"resourceId"`
	OperationName     string     `json:"operationName"`
	Category          string     `json:"category"`
	ResultType        string     `json:"resultType"`
	ResultSignature   string     `json:"resultSignature"`
	ResultDescription string     `json:"resultDescription"`
	DurationMs        string     `json:"durationMs"`
	CallerIPAddress   string     `json:"callerIpAddress"`
	CorrelationID     string     `json:"correlationId"`
	Identity          identity   `json:"identity"`
	Properties        properties `json:"properties"`
	Chain             chain      `json:"chain"`
}

// An identity is a principal's claims, or a part of the server. The latter has a member
// of its own, which no token can fill.
type identity struct {
	Claim  *claim `json:"claim,omitempty"`
	System string `json:"system,omitempty"`
}

type claim struct {
	ObjectID string `json:"oid,omitempty"`
	AppID    string `json:"appid,omitempty"`
	TenantID string `json:"tid,omitempty"`
}

type properties struct {
	ID          string `json:"id,omitempty"`
	ClientInfo  string `json:"clientInfo,omitempty"`
	RequestURI  string `json:"requestUri,omitempty"`
	RequestID   string `json:"requestId,omitempty"`
	Phase       string `json:"phase"`
	OperationID string `json:"operationId,omitempty"`
	Count       int    `json:"count,omitempty"`
}

// A chain is written without its last member, the MAC, which covers all before it.
type chain struct {
	Node     string `json:"node"`
	Sequence uint64 `json:"sequence"`
	link
}

// A link is what a line carries that does not simply follow the line before.
type link struct {
	Previous string `json:"previous,omitempty"` // MAC of the line that it follows
	Torn     *torn  `json:"torn,omitempty"`     // what stands between the two
}

// Torn is what a crash or a failed append left between two lines, its last newline
// included.
type torn struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// The bounds of a line's texts, in bytes. JSON makes of a byte at most six, so a line
// stays under maxLine whatever is in it.
const (
	maxID   = 64   // ids, names, codes, addresses
	maxText = 512  // ids of objects, clients, details
	maxURI  = 1024 // of the request

	maxLine = 64 << 10
	macSize = sha256.Size
)

func form(e Event, now time.Time, next Head, with link) line {
	out := line{
		Time: now.UTC().Format("2006-01-02T15:04:05.0000000Z"), ResourceID: clip(e.ResourceID, maxText),
		OperationName: clip(e.Operation, maxID), Category: category,
		ResultType: resultType(e), ResultSignature: clip(e.Outcome, maxID), ResultDescription: clip(e.Detail, maxText),
		DurationMs: strconv.FormatInt(e.Duration.Milliseconds(), 10), CallerIPAddress: clip(e.Address, maxID),
		CorrelationID: clip(e.CorrelationID, 2*maxID), Identity: identity{System: clip(e.System, maxID)},
		Properties: properties{
			ID: clip(e.Object, maxText), ClientInfo: clip(e.ClientInfo, maxText), RequestURI: clip(e.URI, maxURI),
			RequestID: clip(e.RequestID, maxID), Phase: clip(e.Phase, maxID), OperationID: clip(e.OperationID, maxID), Count: e.Count,
		},
		Chain: chain{Node: next.Node, Sequence: next.Sequence, link: with},
	}
	if e.ObjectID != "" || e.AppID != "" || e.TenantID != "" {
		out.Identity.Claim = &claim{ObjectID: clip(e.ObjectID, maxID), AppID: clip(e.AppID, maxID), TenantID: clip(e.TenantID, maxID)}
	}
	return out
}

func resultType(e Event) string {
	switch {
	case !e.Allowed:
		return "Denied"
	case e.Phase == PhaseIntent:
		return "Started"
	case e.Outcome == OutcomeOK:
		return "Success"
	}
	return "Failure"
}

// clip cuts a text to at most limit bytes and shows that it did.
func clip(text string, limit int) string {
	const more = "…"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}

// A signer makes the MACs of one key. It is used by one goroutine at a time.
type signer struct{ hash hash.Hash }

func newSigner(key []byte) signer { return signer{hmac.New(sha256.New, key)} }

func (s signer) sum(previous, signed []byte) []byte {
	s.hash.Reset()
	s.hash.Write(previous)
	s.hash.Write(signed)
	return s.hash.Sum(make([]byte, 0, macSize))
}

// category is that of every line, as in the log of the service.
const category = "AuditEvent"

// macMark stands between what is signed and the MAC.
const macMark = `,"mac":"`

// appendLine appends the line that follows previous, newline included, and returns its
// MAC.
func (s signer) appendLine(to []byte, l line, previous []byte) ([]byte, []byte, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return to, nil, err
	}
	signed := body[:len(body)-2] // up to the closing braces of the chain and the line
	mac := s.sum(previous, signed)
	to = append(to, signed...)
	to = append(to, macMark...)
	to = hex.AppendEncode(to, mac)
	return append(to, "\"}}\n"...), mac, nil
}
