package tenant

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"coffer/internal/seal"
)

// refreshLifetime is how long after the sign-in itself refresh tokens are good. Tokens that
// follow one another do not prolong it.
const refreshLifetime = 90 * 24 * time.Hour

// refreshClaims are sealed, not signed: only this installation reads them, and the box is
// bound to the tenant. There is no list of refresh tokens; a new password, or the end of
// the user, ends them all.
type refreshClaims struct {
	ObjectID string     `json:"oid"`
	Name     string     `json:"upn"`
	Client   string     `json:"client"`
	Password []byte     `json:"password"` // fingerprint of the one that was in force
	Since    int64      `json:"since"`    // Unix seconds of the sign-in
	Asked    remembered `json:"asked"`
}

func (s *Service) refreshPlace() seal.Place {
	return seal.Place{Purpose: seal.PurposeRefresh, Kind: kindUser, Name: s.tenantID, Object: "refresh", Format: format}
}

func (s *Service) newRefresh(p person) (string, error) {
	mark := p.record.fingerprint()
	return s.sealText(s.refreshPlace(), refreshClaims{
		ObjectID: p.record.ObjectID, Name: p.record.Name, Client: p.client, Password: mark[:], Since: p.since.Unix(), Asked: p.asked,
	})
}

// sealText seals what a client keeps for us.
func (s *Service) sealText(at seal.Place, value any) (string, error) {
	box, err := s.seal(s.config.Gate.Inputs(), at, value)
	return base64.RawURLEncoding.EncodeToString(box), err
}

// openText is its inverse. The error wraps ErrNotFound for what was not sealed here.
func (s *Service) openText(at seal.Place, text string, into any) error {
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return ErrNotFound
	}
	plain, opened, err := s.config.Keyring.Open(s.config.Gate.Inputs(), at, box)
	if errors.Is(err, seal.ErrSealed) || errors.Is(err, seal.ErrLayout) || err == nil && opened.Format != format {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, into)
}

// checkRefresh returns the user of a refresh token.
func (s *Service) checkRefresh(ctx context.Context, client, text string) (p person, err error) {
	var claims refreshClaims
	switch err := s.openText(s.refreshPlace(), text, &claims); {
	case text == "":
		return p, refuse("invalid_request", NumberMissingParameter, "The request body must contain the following parameter: 'refresh_token'.")
	case errors.Is(err, ErrNotFound):
		return p, refuse("invalid_grant", NumberUnreadableGrant, "The refresh token is malformed, or of another server.")
	case err != nil:
		return p, err
	}
	family := slices.Contains(familyClients, claims.Client) && slices.Contains(familyClients, client)
	if claims.Client != client && !family {
		return p, refuse("invalid_grant", NumberInvalidGrant, "The provided grant was issued to another client.")
	}
	p.since, p.asked = time.Unix(claims.Since, 0), claims.Asked
	if !s.config.Now().Before(p.since.Add(refreshLifetime)) {
		return p, refuse("invalid_grant", NumberRefreshExpired, "The refresh token has expired. The user signed in on %s and has to sign in again.", p.since.UTC().Format(time.RFC3339))
	}
	if p.record, err = s.userNamed(ctx, claims.Name); err != nil {
		return p, err
	}
	mark := p.record.fingerprint()
	switch {
	case p.record.ObjectID != claims.ObjectID:
		return person{}, refuse("invalid_grant", NumberInvalidGrant, "The user of the provided grant does not exist any more.")
	case !bytes.Equal(mark[:], claims.Password):
		return p, refuse("invalid_grant", NumberRevoked, "The provided grant has expired due to it being revoked: the password was changed. The user has to sign in again.")
	}
	return p, nil
}
