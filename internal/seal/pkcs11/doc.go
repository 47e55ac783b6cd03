// Package pkcs11 keeps the root key under an AES key of a hardware token, by PKCS #11. The
// token seals the root key (CKM_AES_GCM) and opens it at a start; its key never leaves it.
//
// It needs the token's own library, which is loaded into the process, and so C: it is built
// with the tag pkcs11 and CGO_ENABLED=1, and is not in the usual binary, whose New answers
// an error that says so.
package pkcs11

import "errors"

// Name is the provider's word in the configuration.
const Name = "pkcs11"

// ErrNotBuilt means that this binary was built without the tag pkcs11.
var ErrNotBuilt = errors.New("this coffer was built without PKCS #11: build it with make build-pkcs11")

// A Config says which key of which token.
type Config struct {
	Module  string // path of the token's library
	Token   string // label of the token
	PINFile string // the user's PIN
	Key     string // label of an AES key that may encrypt and decrypt
}
