package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What is asked of an issuer, at most.
const (
	maxDocument = 256 << 10 // bytes of an answer
	maxKeys     = 256       // in a key set
	fetchTime   = 5 * time.Second
	maxAge      = 1 * time.Hour   // after which keys are fetched anew
	staleAge    = 24 * time.Hour  // for which they serve when that fails
	unknownWait = 1 * time.Minute // between fetches for key ids that are unknown, and for keys that are old while the issuer fails
	failedWait  = 5 * time.Second // after a fetch that failed, while there is no key to go on with
	maxTried    = 8               // keys that a token without a key id is tried against
	minRSA      = 2048            // bits
	discovery   = "/.well-known/openid-configuration"
)

// A source is the keys of one issuer.
type source struct {
	issuer Issuer
	client *http.Client
	config Config
	turn   chan struct{} // held by the one that fetches

	mu      sync.RWMutex // for what follows; never held while the issuer is asked
	keys    []publicKey
	fetched time.Time // when keys were
	tried   time.Time // when a fetch was last tried
	failed  error     // of that one
}

type publicKey struct {
	id  string
	key crypto.PublicKey
}

func newSource(issuer Issuer, c Config) (*source, error) {
	for _, text := range []string{issuer.URL, issuer.JWKS} {
		u, err := url.Parse(text)
		if text == "" && issuer.URL != "" {
			continue
		}
		if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return nil, fmt.Errorf("%q is no https address of an issuer such as https://attest.example.com", text)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: issuer.CAs, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.MaxIdleConns, transport.IdleConnTimeout = 2, 10*time.Second
	return &source{
		issuer: issuer, config: c, turn: make(chan struct{}, 1),
		client: &http.Client{Transport: transport, Timeout: fetchTime, CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it wants to redirect, which is not followed")
		}},
	}, nil
}

// find returns the keys with an id, or all of them for a token without one. Whoever has a
// key to go on with never waits for another's fetch: an issuer that hangs, or somebody who
// makes up key ids, delays nobody else.
func (s *source) find(ctx context.Context, id string) ([]crypto.PublicKey, error) {
	now := s.config.Now()
	found, due, err := s.look(id, now)
	if due {
		if err := s.take(ctx, len(found) > 0); err != nil {
			if len(found) > 0 {
				return found, nil
			}
			return nil, err
		}
		defer func() { <-s.turn }()
		if found, due, err = s.look(id, now); due { // nobody else has fetched in the meantime
			s.fetch(ctx, now)
			found, _, err = s.look(id, now)
		}
	}
	return found, err
}

// errBusy means that another fetch is under way.
var errBusy = errors.New("the keys are being fetched")

// take gets the turn to fetch, at once or, for who cannot go on without, when it is free.
func (s *source) take(ctx context.Context, atOnce bool) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	if atOnce {
		return errBusy
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// look reads what there is, and whether it is time to fetch.
func (s *source) look(id string, now time.Time) (found []crypto.PublicKey, due bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	usable := !s.fetched.IsZero() && now.Sub(s.fetched) <= staleAge
	if usable {
		found = s.withID(id)
	}
	due = s.due(now, usable, len(found) > 0)
	switch {
	case !usable:
		err = fmt.Errorf("%w: %w", ErrUnavailable, s.failed)
	case len(found) == 0, id == "" && len(found) > maxTried:
		found, err = nil, ErrUnknownKey
	}
	return found, due, err
}

func (s *source) withID(id string) (found []crypto.PublicKey) {
	for _, key := range s.keys {
		if id == "" || key.id == id {
			found = append(found, key.key)
		}
	}
	return found
}

// due reports whether it is time to fetch.
func (s *source) due(now time.Time, usable, known bool) bool {
	since := now.Sub(s.tried)
	switch {
	case s.tried.IsZero():
		return true
	case !usable:
		return since >= failedWait
	case !known:
		return since >= unknownWait
	}
	return now.Sub(s.fetched) >= maxAge && (s.failed == nil || since >= unknownWait)
}

// fetch replaces the keys, or leaves what there is.
func (s *source) fetch(ctx context.Context, now time.Time) {
	// One caller's going away is not the issuer's failure.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	keys, err := s.download(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.failed = now, err
	if err != nil {
		s.config.Log.Warn("the keys of an issuer cannot be fetched", "issuer", s.issuer.URL, "error", err)
		return
	}
	s.keys, s.fetched = keys, now
}

func (s *source) download(ctx context.Context) ([]publicKey, error) {
	at := s.issuer.JWKS
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, at, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%s has more than %d keys", at, maxKeys)
	}
	var keys []publicKey
	for _, raw := range set.Keys {
		if key, ok := parseKey(raw); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key for signatures", at)
	}
	return keys, nil
}

// discover finds the address of the keys.
func (s *source) discover(ctx context.Context) (string, error) {
	at := strings.TrimRight(s.issuer.URL, "/") + discovery
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := s.get(ctx, at, &document); err != nil {
		return "", err
	}
	if document.Issuer != "" && Canonical(document.Issuer) != Canonical(s.issuer.URL) {
		return "", fmt.Errorf("%s is of another issuer, %.200q", at, document.Issuer)
	}
	own, _ := url.Parse(s.issuer.URL) // New has checked it
	found, err := url.Parse(document.JWKSURI)
	if err != nil || found.Scheme != "https" || !strings.EqualFold(found.Host, own.Host) || found.User != nil {
		return "", fmt.Errorf("%s leads to %.200q, which is not https on the same host; name the address of the keys in the configuration", at, document.JWKSURI)
	}
	return found.String(), nil
}

func (s *source) get(ctx context.Context, at string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", at, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return err
	}
	if len(body) > maxDocument {
		return fmt.Errorf("%s is longer than %d bytes", at, maxDocument)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s is not the JSON that was expected", at)
	}
	return nil
}

// parseKey reads a key of a set. What is of no use is passed over (RFC 7517 §5): other
// kinds, keys that are not for signatures, weak ones. Attestation services publish
// certificates alone, without the numbers of the key.
func parseKey(raw json.RawMessage) (publicKey, bool) {
	var header struct {
		ID  string   `json:"kid"`
		Use string   `json:"use"`
		Kty string   `json:"kty"`
		N   string   `json:"n"`
		X   string   `json:"x"`
		X5C []string `json:"x5c"`
	}
	if json.Unmarshal(raw, &header) != nil || header.Use != "" && header.Use != "sig" {
		return publicKey{}, false
	}
	out := publicKey{id: header.ID}
	switch {
	case header.N == "" && header.X == "" && len(header.X5C) > 0:
		der, err := base64.StdEncoding.DecodeString(header.X5C[0])
		if err != nil {
			return publicKey{}, false
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return publicKey{}, false
		}
		out.key = certificate.PublicKey
	default:
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() {
			return publicKey{}, false
		}
		out.key = key.Key
	}
	switch k := out.key.(type) {
	case *rsa.PublicKey:
		return out, k.N.BitLen() >= minRSA && k.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return out, true
	}
	return publicKey{}, false
}
