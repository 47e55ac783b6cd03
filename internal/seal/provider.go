package seal

import (
	"context"
	"errors"
	"fmt"
)

// The errors of a Provider, which wraps them with what it knows of the cause.
var (
	// ErrUnavailable means that the provider cannot be asked now: a service that does not
	// answer, a token that is not there. Nothing is said about the key.
	ErrUnavailable = errors.New("seal: the seal cannot be reached")
	// ErrUnseal means that the provider was asked and does not open what it is given: a
	// wrong passphrase, another key, or bytes that were altered.
	ErrUnseal = errors.New("seal: the seal does not open this store")
)

// RootKeySize is the size of a root key, in bytes.
const RootKeySize = rootKeySize

// MaxWrapped bounds what a Provider's Wrap may return, in bytes.
const MaxWrapped = 64 << 10

// A Provider keeps the root key safe for the time when no server runs: what Wrap returns
// lies in the store, and is of no use without the provider. It is asked at the start,
// and when the root key or the provider is changed, and not in between.
type Provider interface {
	// Name is the provider's word in the configuration, such as "passphrase".
	Name() string
	// Wrap returns what Unwrap makes the root key of again.
	Wrap(ctx context.Context, root []byte) (wrapped []byte, err error)
	// Unwrap returns the root key that was wrapped. The error is ErrUnavailable or
	// ErrUnseal. wrapped comes from the store's file: it may be anything.
	Unwrap(ctx context.Context, wrapped []byte) (root []byte, err error)
	// Describe says in one line what the provider is, without any secret.
	Describe() string
}

// WrapRoot has a provider wrap a root key, and makes sure that it unwraps it again:
// nothing is sealed by what cannot be opened.
func WrapRoot(ctx context.Context, p Provider, root RootKey) ([]byte, error) {
	wrapped, err := p.Wrap(ctx, root.key[:])
	if err != nil {
		return nil, err
	}
	if len(wrapped) > MaxWrapped {
		return nil, fmt.Errorf("seal: %s wrapped the root key in %d bytes; at most %d are kept", p.Name(), len(wrapped), MaxWrapped)
	}
	again, err := UnwrapRoot(ctx, p, wrapped)
	if err != nil {
		return nil, fmt.Errorf("seal: %s wrapped the root key and does not unwrap it: %w", p.Name(), err)
	}
	if again != root {
		return nil, fmt.Errorf("seal: %s wrapped the root key and unwraps another one", p.Name())
	}
	return wrapped, nil
}

// UnwrapRoot has a provider unwrap a root key.
func UnwrapRoot(ctx context.Context, p Provider, wrapped []byte) (RootKey, error) {
	var k RootKey
	if len(wrapped) > MaxWrapped {
		return k, ErrUnseal
	}
	bytes, err := p.Unwrap(ctx, wrapped)
	if err != nil {
		return k, err
	}
	if len(bytes) != rootKeySize {
		return k, fmt.Errorf("%w: what %s unwraps is no root key", ErrUnseal, p.Name())
	}
	copy(k.key[:], bytes)
	return k, nil
}

// NewFile returns the provider of a root key file. Its key wraps the root key of
// installations that have changed theirs; before that, it is the root key itself.
func NewFile(path string, key RootKey) *File { return &File{path: path, key: key} }

// A File is the provider of a root key file.
type File struct {
	path string
	key  RootKey
}

var _ Provider = (*File)(nil)

// FileName is the name of the provider File.
const FileName = "file"

// Root is the key in the file.
func (f *File) Root() RootKey { return f.key }

// Name implements Provider.
func (*File) Name() string { return FileName }

// Describe implements Provider.
func (f *File) Describe() string { return "the file " + f.path }

// Wrap implements Provider.
func (f *File) Wrap(_ context.Context, root []byte) ([]byte, error) {
	return WrapWith(f.key.key[:], root, nil)
}

// Unwrap implements Provider.
func (f *File) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	root, err := UnwrapWith(f.key.key[:], wrapped, nil)
	if errors.Is(err, ErrUnseal) {
		return nil, fmt.Errorf("%w: the key in %s is another one", ErrUnseal, f.path)
	}
	return root, err
}

// WrapWith seals a key with another one of RootKeySize bytes, for providers that have a
// key themselves. data is authenticated with it.
func WrapWith(key, root, data []byte) ([]byte, error) {
	var k RootKey
	if copy(k.key[:], key) != rootKeySize {
		return nil, errors.New("seal: a key to wrap with has a wrong size")
	}
	wrapper, err := k.aead("coffer wrap root key")
	if err != nil {
		return nil, err
	}
	return wrapper.Encrypt(root, data)
}

// UnwrapWith is the inverse of WrapWith. The error is ErrUnseal.
func UnwrapWith(key, wrapped, data []byte) ([]byte, error) {
	var k RootKey
	if copy(k.key[:], key) != rootKeySize {
		return nil, errors.New("seal: a key to unwrap with has a wrong size")
	}
	wrapper, err := k.aead("coffer wrap root key")
	if err != nil {
		return nil, err
	}
	root, err := wrapper.Decrypt(wrapped, data)
	if err != nil {
		return nil, ErrUnseal
	}
	return root, nil
}
