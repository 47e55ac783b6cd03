// Package passphrase keeps the root key under a passphrase: Argon2id (RFC 9106) makes a
// key of it, and that key wraps the root key. The parameters and the salt lie beside what
// was wrapped, so that they can be raised later; what is read there is capped before any
// memory is taken, because the store's file may be anybody's.
//
// A passphrase that people choose can be guessed by whoever has the store's file, at the
// cost of the parameters for each guess. Six random words or more are safe.
package passphrase

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"coffer/internal/seal"
)

// Name is the provider's word in the configuration.
const Name = "passphrase"

// The bounds of a passphrase, in bytes.
const (
	least = 12
	most  = 1024
)

// Cost are the parameters of Argon2id.
type Cost struct {
	Time    uint32 // passes over the memory
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultCost is the second recommendation of RFC 9106, section 4, with more passes: about
// a third of a second.
var DefaultCost = Cost{Time: 4, Memory: 64 << 10, Threads: 4}

// The most that is accepted from a store, which could otherwise take all memory and time.
const (
	maxTime    = 64
	maxMemory  = 1 << 20 // KiB: 1 GiB
	maxThreads = 64
	leastSize  = 8 // KiB for each thread, as Argon2 wants it
)

func (c Cost) check() error {
	if c.Time < 1 || c.Time > maxTime || c.Threads < 1 || c.Threads > maxThreads || c.Memory < leastSize*uint32(c.Threads) || c.Memory > maxMemory {
		return fmt.Errorf("%w: its parameters are out of bounds", seal.ErrUnseal)
	}
	return nil
}

// A Seal is the provider.
type Seal struct {
	passphrase []byte
	source     string
	cost       Cost
}

var _ seal.Provider = (*Seal)(nil)

// New returns the provider of a passphrase; source says where it came from.
func New(passphrase []byte, source string, cost Cost) (*Seal, error) {
	passphrase = bytes.TrimRight(passphrase, "\r\n")
	if len(passphrase) < least || len(passphrase) > most {
		return nil, fmt.Errorf("the passphrase from %s has %d bytes; it needs %d to %d", source, len(passphrase), least, most)
	}
	return &Seal{passphrase: bytes.Clone(passphrase), source: source, cost: cost}, cost.check()
}

// ReadFile reads the passphrase from a file, which nobody but its owner may read.
func ReadFile(path string) (*Seal, error) {
	text, err := seal.ReadPrivateFile(path, most+2)
	if err != nil {
		return nil, fmt.Errorf("the passphrase cannot be read: %w", err)
	}
	return New(text, path, DefaultCost)
}

// Name implements seal.Provider.
func (*Seal) Name() string { return Name }

// Describe implements seal.Provider.
func (s *Seal) Describe() string { return "a passphrase from " + s.source }

// What is wrapped is a layout byte, the parameters, the salt, and the root key sealed with
// the key of the passphrase. Everything before the last is authenticated with it.
const (
	layout   = 1
	saltSize = 16
	header   = 1 + 4 + 4 + 1 + saltSize
)

// Wrap implements seal.Provider.
func (s *Seal) Wrap(_ context.Context, root []byte) ([]byte, error) {
	out := []byte{layout}
	out = binary.BigEndian.AppendUint32(out, s.cost.Time)
	out = binary.BigEndian.AppendUint32(out, s.cost.Memory)
	out = append(out, s.cost.Threads)
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	out = append(out, salt...)
	sealed, err := seal.WrapWith(s.key(s.cost, salt), root, out)
	return append(out, sealed...), err
}

// Unwrap implements seal.Provider.
func (s *Seal) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	cost, salt, sealed, err := parse(wrapped)
	if err != nil {
		return nil, err
	}
	root, err := seal.UnwrapWith(s.key(cost, salt), sealed, wrapped[:header])
	if errors.Is(err, seal.ErrUnseal) {
		return nil, fmt.Errorf("%w: the passphrase from %s is another one", seal.ErrUnseal, s.source)
	}
	return root, err
}

func parse(wrapped []byte) (cost Cost, salt, sealed []byte, err error) {
	if len(wrapped) <= header {
		return cost, nil, nil, fmt.Errorf("%w: it is cut short", seal.ErrUnseal)
	}
	if wrapped[0] != layout {
		return cost, nil, nil, seal.ErrLayout
	}
	cost = Cost{Time: binary.BigEndian.Uint32(wrapped[1:]), Memory: binary.BigEndian.Uint32(wrapped[5:]), Threads: wrapped[9]}
	return cost, wrapped[10:header], wrapped[header:], cost.check()
}

func (s *Seal) key(cost Cost, salt []byte) []byte {
	return argon2.IDKey(s.passphrase, salt, cost.Time, cost.Memory, cost.Threads, seal.RootKeySize)
}
