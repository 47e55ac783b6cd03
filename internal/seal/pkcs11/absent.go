//go:build !(pkcs11 && cgo)

package pkcs11

import "coffer/internal/seal"

// New returns ErrNotBuilt.
func New(Config) (seal.Provider, error) { return nil, ErrNotBuilt }
