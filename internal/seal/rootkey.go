package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrRootKeyFile means that a root key file cannot be used as it is.
var ErrRootKeyFile = errors.New("seal: the root key file cannot be used")

const (
	rootKeySize   = 32
	rootKeyPrefix = "coffer-root-key-1:" // begins the one line of a root key file
	maxRootFile   = 256
	saltSize      = 12 // bytes of XAES-256-GCM's 24-byte nonce that go into the key derivation
)

// A RootKey wraps the data keys. It never shows itself: it prints as a fixed text.
type RootKey struct{ key [rootKeySize]byte }

// NewRootKey makes a root key from random, usually crypto/rand.Reader.
func NewRootKey(random io.Reader) (RootKey, error) {
	var k RootKey
	if _, err := io.ReadFull(random, k.key[:]); err != nil {
		return RootKey{}, fmt.Errorf("seal: making a root key: %w", err)
	}
	return k, nil
}

// String, GoString, Format, MarshalText and LogValue hide the key.
func (RootKey) String() string               { return "root key (hidden)" }
func (RootKey) GoString() string             { return "root key (hidden)" }
func (RootKey) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, "root key (hidden)") }
func (RootKey) MarshalText() ([]byte, error) { return []byte("root key (hidden)"), nil }
func (RootKey) LogValue() slog.Value         { return slog.StringValue("root key (hidden)") }

// Derive returns n bytes for a purpose, by HKDF with SHA-256 (RFC 5869): always the
// same, and telling nothing about the root key or another purpose.
func (k RootKey) Derive(purpose string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, k.key[:], nil, "coffer derive "+purpose, n)
}

// aead wraps keys, for one purpose. Its key is derived, so that the root key itself is
// used for nothing but deriving.
func (k RootKey) aead(purpose string) (tink.AEAD, error) {
	bytes, err := hkdf.Key(sha256.New, k.key[:], nil, purpose, rootKeySize)
	if err != nil {
		return nil, err
	}
	parameters, err := xaesgcm.NewParameters(xaesgcm.VariantNoPrefix, saltSize)
	if err != nil {
		return nil, err
	}
	key, err := xaesgcm.NewKey(secretdata.NewBytesFromData(bytes, insecuresecretdataaccess.Token{}), 0, parameters)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	id, err := manager.AddKey(key)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	return aead.New(handle)
}

// ReadRootKeyFile reads a file that WriteRootKeyFile wrote. It refuses a file that
// anyone but its owner can read, and anything that is no regular file.
func ReadRootKeyFile(path string) (RootKey, error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return RootKey{}, fmt.Errorf("%w: %s does not exist; without the root key that a store was made with, the store cannot be opened: restore the file", ErrRootKeyFile, path)
	} else if err == nil && !info.Mode().IsRegular() {
		return RootKey{}, fmt.Errorf("%w: %s is not a regular file", ErrRootKeyFile, path)
	}
	text, err := ReadPrivateFile(path, maxRootFile)
	if err != nil {
		return RootKey{}, fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return parseRootKey(path, string(text))
}

func parseRootKey(path, text string) (RootKey, error) {
	var k RootKey
	encoded, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), rootKeyPrefix)
	bytes, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(bytes) != rootKeySize {
		return RootKey{}, fmt.Errorf("%w: %s does not hold one line of the form %sBASE64", ErrRootKeyFile, path, rootKeyPrefix)
	}
	copy(k.key[:], bytes)
	return k, nil
}

// WriteRootKeyFile writes the key to a new file, readable by its owner alone, and
// returns when it is on the disk. It never overwrites a file.
func WriteRootKeyFile(path string, k RootKey) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	_, err = file.WriteString(rootKeyPrefix + base64.StdEncoding.EncodeToString(k.key[:]) + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrRootKeyFile, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
