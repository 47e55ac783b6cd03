package token

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

// A Verifier verifies tokens and remembers whose signature was good. What it remembers
// is bound to the revision of the keys; audience and times are checked every time.
type Verifier struct {
	mu      sync.Mutex
	max     int
	entries map[verified]*list.Element
	recent  *list.List // of remembered, the latest in front
}

// verified is a token, by its hash, and the keys that it was verified with.
type verified struct {
	hash     [sha256.Size]byte
	revision uint64
}

type remembered struct {
	of     verified
	claims Claims
}

// NewVerifier returns a verifier that remembers at most max tokens.
func NewVerifier(max int) *Verifier {
	return &Verifier{max: max, entries: map[verified]*list.Element{}, recent: list.New()}
}

// Verify is the function Verify; revision changes whenever the issuers or their keys do.
func (v *Verifier) Verify(raw string, revision uint64, e Expect) (Claims, error) {
	of := verified{hash: sha256.Sum256([]byte(raw)), revision: revision}
	claims, ok := v.recall(of)
	if !ok {
		var err error
		if claims, err = verifySignature(raw, e.Issuers); err != nil {
			return Claims{}, err
		}
		v.remember(remembered{of: of, claims: claims})
	}
	return claims, e.check(claims)
}

func (v *Verifier) recall(of verified) (Claims, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, ok := v.entries[of]
	if !ok {
		return Claims{}, false
	}
	v.recent.MoveToFront(at)
	return at.Value.(remembered).claims, true
}

func (v *Verifier) remember(r remembered) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.entries[r.of]; ok {
		return
	}
	v.entries[r.of] = v.recent.PushFront(r)
	if v.recent.Len() > v.max {
		oldest := v.recent.Back()
		delete(v.entries, oldest.Value.(remembered).of)
		v.recent.Remove(oldest)
	}
}
