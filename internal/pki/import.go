package pki

import (
	"crypto"
	"errors"
	"fmt"
)

// The errors of a file that a client imports, beside ErrKeyType and ErrCertificate.
// None quotes the password or any part of a private key.
var (
	// ErrPFX means a file that is no PKCS#12 file, or does not open with the password.
	ErrPFX = errors.New("the PKCS#12 file cannot be read")
	// ErrPEM means a text that is not PEM of the kind that is taken, or a private key
	// in it that does not open with the password.
	ErrPEM = errors.New("the PEM text cannot be read")
	// ErrMismatch means that no certificate of the file has the public key of its key.
	ErrMismatch = errors.New("no certificate has the public key of the private key")
)

// The bounds of an imported file.
const (
	maxImport       = 1 << 20 // octets of the file
	maxCertificates = 100
	// maxIterations bounds what deriving keys from the password costs, over everything in
	// one file: below one second of a processor. Writers use from 1 to some 100,000.
	maxIterations = 1_000_000
)

// An Import is what a client's file holds.
type Import struct {
	Key   crypto.Signer
	Chain [][]byte // certificates in DER, in the order of the file
	Leaf  int      // of Chain, the certificate of Key
}

// Format prints how much there is and nothing of the key, whatever the verb.
func (i Import) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "private key with %d certificates", len(i.Chain))
}

// explainImport makes an error of a reader one of the kind of its file, unless it says
// more: that the file is sound and what is in it cannot be used.
func explainImport(kind, err error) error {
	for _, said := range []error{ErrKeyType, ErrCertificate, ErrMismatch} {
		if errors.Is(err, said) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// newImport checks what a file held. preferred is the index of the certificate that the
// file itself pairs with the key, or -1; it counts only if it has the key's public key.
func newImport(key crypto.Signer, chain [][]byte, preferred int) (Import, error) {
	out := Import{Key: key, Chain: chain, Leaf: -1}
	for i, der := range chain {
		c, err := ParseCertificate(der)
		if err != nil {
			return Import{}, err
		}
		if certifies(c, key) && (out.Leaf < 0 || i == preferred) {
			out.Leaf = i
		}
	}
	if out.Leaf < 0 {
		return Import{}, ErrMismatch
	}
	return out, nil
}
