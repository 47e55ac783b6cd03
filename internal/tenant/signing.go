package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"coffer/internal/access"
	"coffer/internal/store"
	"coffer/internal/token"
)

// A signer is the state of the signing key: one attempt to load or make it at a time.
type signer struct {
	mu      sync.Mutex
	current *attempt
	closed  bool
	closing chan struct{}  // closed with closed
	storing sync.WaitGroup // counts the attempts that use the store now

	// made is a key that was made and could not be stored yet. Only the one attempt
	// under way uses it.
	made json.RawMessage
}

// An attempt has its result when ended is closed.
type attempt struct {
	ended   chan struct{}
	key     *token.SigningKey
	issuers []token.Issuer // ourselves
	err     error
}

func (a *attempt) failed() bool {
	select {
	case <-a.ended:
		return a.err != nil
	default:
		return false
	}
}

// attempt returns the attempt that counts. One that failed is followed by another, as
// soon as somebody needs the key: a full disk does not stay full.
func (s *Service) attempt() *attempt {
	s.signer.mu.Lock()
	defer s.signer.mu.Unlock()
	if a := s.signer.current; a != nil && (s.signer.closed || !a.failed()) {
		return a
	}
	a := &attempt{ended: make(chan struct{})}
	s.signer.current = a
	go func() {
		defer close(a.ended)
		a.key, a.err = s.loadSigningKey(context.Background())
		switch {
		case errors.Is(a.err, ErrClosed):
			return
		case a.err != nil:
			s.config.Log.Error("there is no key to sign tokens with; it is tried again when one is needed", "error", a.err)
			return
		}
		a.issuers = []token.Issuer{{Name: s.issuer, TenantID: s.tenantID, Keys: []token.PublicKey{a.key.Public()}}}
	}()
	return a
}

// useStore runs fn unless the service is closed; Close waits for it.
func (s *Service) useStore(fn func() error) error {
	s.signer.mu.Lock()
	if s.signer.closed {
		s.signer.mu.Unlock()
		return ErrClosed
	}
	s.signer.storing.Add(1)
	s.signer.mu.Unlock()
	defer s.signer.storing.Done()
	return fn()
}

// Close returns when the service does not use the store and the gate any more. It does
// not wait for a signing key in the making, which is dropped.
func (s *Service) Close() {
	s.signer.mu.Lock()
	if !s.signer.closed {
		s.signer.closed = true
		close(s.signer.closing)
	}
	s.signer.mu.Unlock()
	s.signer.storing.Wait()
}

// loadSigningKey reads the key, or makes it if there is none.
func (s *Service) loadSigningKey(ctx context.Context) (*token.SigningKey, error) {
	var rec store.Record
	err := s.useStore(func() error {
		recs, err := s.config.Store.Get(ctx, store.Ask{Key: signingKey})
		if err == nil {
			rec = recs[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !rec.Exists() {
		if rec, err = s.makeSigningKey(ctx); err != nil {
			return nil, fmt.Errorf("tenant: a signing key cannot be made: %w", err)
		}
	}
	var data json.RawMessage
	if err := s.open(rec, place(kindSigningKey, ""), &data); err != nil {
		return nil, err
	}
	return token.ParseSigningKey(data)
}

// makeSigningKey generates outside of everything that others wait for, and stores in
// one step. A node that comes second takes the first one's key.
func (s *Service) makeSigningKey(ctx context.Context) (store.Record, error) {
	if s.signer.made == nil {
		key, err := token.NewSigningKey(s.config.Now())
		if err != nil {
			return store.Record{}, err
		}
		if s.signer.made, err = key.Marshal(); err != nil {
			return store.Record{}, err
		}
	}
	var rec store.Record
	err := s.useStore(func() (err error) {
		rec, err = s.putFirst(ctx, "SigningKeyCreate", signingKey, place(kindSigningKey, ""), s.signer.made)
		return err
	})
	if err == nil {
		s.signer.made = nil
	}
	return rec, err
}

// await returns the attempt that succeeded, waiting for the one under way.
func (s *Service) await(ctx context.Context) (*attempt, error) {
	a := s.attempt()
	select {
	case <-a.ended:
		return a, a.err
	default:
	}
	select {
	case <-a.ended:
		return a, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.signer.closing:
		return nil, ErrClosed
	}
}

func (s *Service) signingKey(ctx context.Context) (*token.SigningKey, error) {
	a, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	return a.key, nil
}

// PublicKeys returns what verifies our tokens, for the JWKS document. It waits for a
// key that is in the making.
func (s *Service) PublicKeys(ctx context.Context) ([]token.PublicKey, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	return []token.PublicKey{key.Public()}, nil
}

// keysRevision tells the verifier about changes of the keys; there is one key so far.
const keysRevision = 1

// Authenticate returns who a token is of. It says nothing about whether the principal
// still exists: Look does. The error is a *token.Error for a token that is refused.
func (s *Service) Authenticate(ctx context.Context, raw string, audiences []string) (access.Caller, error) {
	if s.config.Bearers != nil {
		if issuer := token.AssertionIssuer(raw); s.isBearer(issuer) {
			return s.outsideCaller(ctx, issuer, raw, audiences)
		}
	}
	a, err := s.await(ctx)
	if err != nil {
		return access.Caller{}, err
	}
	claims, err := s.verifier.Verify(raw, keysRevision, token.Expect{Issuers: a.issuers, Audiences: audiences, Now: s.config.Now()})
	if err != nil {
		return access.Caller{}, err
	}
	return access.Caller{TenantID: claims.TenantID, ObjectID: claims.ObjectID, AppID: claims.AppID, Issuer: claims.Issuer}, nil
}
