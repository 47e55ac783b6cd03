//go:build pkcs11 && cgo

package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"coffer/internal/seal"
)

// A Seal is the provider. It opens a session for each question and ends it afterwards, so
// that a token which was away in between is found again.
type Seal struct {
	config Config
	mu     sync.Mutex // the library is loaded by one at a time
}

var _ seal.Provider = (*Seal)(nil)

// New returns the provider. The token is not asked yet.
func New(c Config) (seal.Provider, error) {
	for _, member := range []struct{ name, value string }{{"module", c.Module}, {"token", c.Token}, {"pin_file", c.PINFile}, {"key", c.Key}} {
		if member.value == "" {
			return nil, fmt.Errorf("pkcs11: %s is missing", member.name)
		}
	}
	return &Seal{config: c}, nil
}

// Name implements seal.Provider.
func (*Seal) Name() string { return Name }

// Describe implements seal.Provider.
func (s *Seal) Describe() string {
	return "the key " + s.config.Key + " of the token " + s.config.Token
}

// Remote says that the seal can be away.
func (*Seal) Remote() bool { return true }

// What is wrapped is a layout byte, the nonce, and what the token made of the root key.
const (
	layout    = 1
	nonceSize = 12
	tagBits   = 128
)

// Wrap implements seal.Provider.
func (s *Seal) Wrap(_ context.Context, root []byte) (out []byte, err error) {
	nonce := make([]byte, nonceSize)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	err = s.session(func(p *pkcs11.Ctx, session pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		params := pkcs11.NewGCMParams(nonce, nil, tagBits)
		defer params.Free()
		if err := p.EncryptInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return fmt.Errorf("%w: the token does not encrypt with the key %s: %w", seal.ErrUnavailable, s.config.Key, err)
		}
		sealed, err := p.Encrypt(session, root)
		if err != nil {
			return fmt.Errorf("%w: the token does not encrypt: %w", seal.ErrUnavailable, err)
		}
		if iv := params.IV(); len(iv) == nonceSize { // some tokens choose their own
			nonce = iv
		}
		out = append(append([]byte{layout}, nonce...), sealed...)
		return nil
	})
	return out, err
}

// Unwrap implements seal.Provider.
func (s *Seal) Unwrap(_ context.Context, wrapped []byte) (root []byte, err error) {
	if len(wrapped) <= 1+nonceSize || wrapped[0] != layout {
		return nil, fmt.Errorf("%w: what lies in the store was not wrapped by a token", seal.ErrUnseal)
	}
	err = s.session(func(p *pkcs11.Ctx, session pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		params := pkcs11.NewGCMParams(wrapped[1:1+nonceSize], nil, tagBits)
		defer params.Free()
		if err := p.DecryptInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return fmt.Errorf("%w: the token does not decrypt with the key %s: %w", seal.ErrUnavailable, s.config.Key, err)
		}
		if root, err = p.Decrypt(session, wrapped[1+nonceSize:]); err != nil {
			return fmt.Errorf("%w: the token does not open it with the key %s: %w", seal.ErrUnseal, s.config.Key, err)
		}
		return nil
	})
	return root, err
}

// session finds the token and the key, signs in, calls fn, and ends everything.
func (s *Seal) session(fn func(*pkcs11.Ctx, pkcs11.SessionHandle, pkcs11.ObjectHandle) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pin, err := readPIN(s.config.PINFile)
	if err != nil {
		return err
	}
	p := pkcs11.New(s.config.Module)
	if p == nil {
		return fmt.Errorf("%w: the library %s cannot be loaded", seal.ErrUnavailable, s.config.Module)
	}
	defer p.Destroy()
	if err := p.Initialize(); err != nil {
		return fmt.Errorf("%w: the library %s does not start: %w", seal.ErrUnavailable, s.config.Module, err)
	}
	defer func() { _ = p.Finalize() }()
	slot, err := s.slot(p)
	if err != nil {
		return err
	}
	session, err := p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return fmt.Errorf("%w: the token %s opens no session: %w", seal.ErrUnavailable, s.config.Token, err)
	}
	defer func() { _ = p.CloseSession(session) }()
	if err := p.Login(session, pkcs11.CKU_USER, pin); err != nil {
		return fmt.Errorf("%w: the token %s does not take the PIN in %s: %w", seal.ErrUnavailable, s.config.Token, s.config.PINFile, err)
	}
	defer func() { _ = p.Logout(session) }()
	key, err := s.find(p, session)
	if err != nil {
		return err
	}
	return fn(p, session, key)
}

func (s *Seal) slot(p *pkcs11.Ctx) (uint, error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("%w: the library lists no tokens: %w", seal.ErrUnavailable, err)
	}
	for _, slot := range slots {
		if info, err := p.GetTokenInfo(slot); err == nil && strings.TrimRight(info.Label, " \x00") == s.config.Token {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("%w: there is no token with the label %s", seal.ErrUnavailable, s.config.Token)
}

func (s *Seal) find(p *pkcs11.Ctx, session pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, s.config.Key),
	}
	if err := p.FindObjectsInit(session, template); err != nil {
		return 0, fmt.Errorf("%w: the token finds no keys: %w", seal.ErrUnavailable, err)
	}
	found, _, err := p.FindObjects(session, 2)
	if err := errors.Join(err, p.FindObjectsFinal(session)); err != nil {
		return 0, fmt.Errorf("%w: the token finds no keys: %w", seal.ErrUnavailable, err)
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%w: the token %s has to have one AES key with the label %s", seal.ErrUnavailable, s.config.Token, s.config.Key)
	}
	return found[0], nil
}

// maxPIN bounds a PIN, in bytes.
const maxPIN = 256

// readPIN reads the PIN, which nobody but the file's owner may read.
func readPIN(path string) (string, error) {
	text, err := seal.ReadPrivateFile(path, maxPIN)
	if err != nil {
		return "", fmt.Errorf("the PIN of the token cannot be read: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
