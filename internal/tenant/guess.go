package tenant

import (
	"container/list"
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// The lock-out: after so many bad passwords, for a minute; twice as long each further time.
const (
	maxFailures = 10
	firstLock   = time.Minute
	longestLock = time.Hour

	maxGuessed = 1 << 16 // names that are remembered
	maxSignIns = 32      // that wait for their password to be hashed
)

// guesses counts bad passwords, by name, of users that exist and of those that do not. It
// is in memory: only a lock-out is written down, so that guessing costs the store nothing.
type guesses struct {
	signIns chan struct{}

	mu     sync.Mutex
	max    int
	of     map[guessKey]*list.Element
	recent *list.List // of *guess, the latest in front
}

// guessKey is a name and the password that it has: a new one is counted anew.
type guessKey [sha256.Size]byte

type guess struct {
	key      guessKey
	failures int
	until    time.Time
}

func newGuesses(max int) *guesses {
	return &guesses{signIns: make(chan struct{}, maxSignIns), max: max, of: map[guessKey]*list.Element{}, recent: list.New()}
}

func newGuessKey(name string, r userRecord) guessKey {
	mark := r.fingerprint()
	return sha256.Sum256(append(mark[:], strings.ToLower(name)...))
}

// fingerprint tells one password of a user from every other, and nothing about it: the salt
// is random.
func (r userRecord) fingerprint() [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte("password "), r.Salt...), r.Hash...))
}

// enter takes a place among those who sign in, and reports whether there was one.
func (g *guesses) enter() bool {
	select {
	case g.signIns <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g *guesses) leave() { <-g.signIns }

// locked reports whether the name is locked out.
func (g *guesses) locked(key guessKey, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.of[key]
	return ok && now.Before(at.Value.(*guess).until)
}

// fail counts a bad password on top of those that were written down. Of one that locks,
// it returns what is to be written down.
func (g *guesses) fail(key guessKey, before int, now time.Time) (one guess, locks bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.of[key]
	if !ok {
		at = g.recent.PushFront(&guess{key: key})
		g.of[key] = at
	}
	g.recent.MoveToFront(at)
	if g.recent.Len() > g.max {
		oldest := g.recent.Back()
		delete(g.of, oldest.Value.(*guess).key)
		g.recent.Remove(oldest)
	}
	kept := at.Value.(*guess)
	kept.failures = max(kept.failures, before) + 1
	if kept.failures%maxFailures != 0 {
		return *kept, false
	}
	kept.until = now.Add(lockTime(kept.failures))
	return *kept, true
}

func lockTime(failures int) time.Duration {
	lock := firstLock
	for range failures/maxFailures - 1 {
		if lock *= 2; lock >= longestLock {
			return longestLock
		}
	}
	return lock
}

func (g *guesses) forget(key guessKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.of[key]; ok {
		delete(g.of, key)
		g.recent.Remove(at)
	}
}

// checkPassword returns the user whose password it is. A user that does not exist takes
// the same work, and gets the same answers.
func (s *Service) checkPassword(ctx context.Context, name, password string) (userRecord, error) {
	if name == "" || password == "" {
		return userRecord{}, refuse("invalid_request", NumberMissingParameter, "The request body must contain the following parameters: 'username' and 'password'.")
	}
	record, err := s.userNamed(ctx, name)
	if err != nil {
		return record, err
	}
	now, key := s.config.Now(), newGuessKey(name, record)
	if s.guesses.locked(key, now) || now.Unix() < record.LockedUntil {
		return record, refuse("invalid_grant", NumberLocked, "The account is locked, because a wrong password was tried too many times. Try again later.")
	}
	if !s.guesses.enter() {
		return record, refuse("temporarily_unavailable", NumberBusy, "Too many users sign in at this moment. Try again in a moment.")
	}
	good := verifyPassword(record, password)
	s.guesses.leave()
	if good && record.Name != "" {
		s.guesses.forget(key)
		if record.Failures == 0 {
			return record, nil
		}
		return record, s.noteGuess(ctx, "UserUnlock", record, guess{})
	}
	if one, locks := s.guesses.fail(key, record.Failures, now); locks && record.Name != "" {
		if err := s.noteGuess(ctx, "UserLockOut", record, one); err != nil {
			return record, err
		}
	}
	return record, refuse("invalid_grant", NumberBadPassword, "Error validating credentials due to invalid username or password.")
}

// noteGuess writes a lock-out, or its end, unless the password has changed since.
func (s *Service) noteGuess(ctx context.Context, operation string, of userRecord, one guess) error {
	return s.system(ctx, operation, of.ObjectID, func(g seal.Grant) error {
		return retry(ctx, func() error {
			recs, err := s.config.Store.Get(ctx, store.Ask{Key: userKey(of.Name)})
			if err != nil || !recs[0].Exists() {
				return err
			}
			record, err := s.openUser(recs[0])
			if err != nil || record.fingerprint() != of.fingerprint() {
				return err
			}
			record.Failures, record.LockedUntil = one.failures, 0
			if !one.until.IsZero() {
				record.LockedUntil = one.until.Unix()
			}
			box, err := s.seal(g, place(kindUser, record.Name), record)
			if err != nil {
				return err
			}
			return s.commit(ctx, change{recs[0], box})
		})
	})
}
