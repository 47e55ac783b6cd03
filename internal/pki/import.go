package pki

import (
	"crypto"
	"crypto/x509"
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
	leaf, _, err := findLeaf(key, chain, preferred)
	if err != nil {
		return Import{}, err
	}
	return Import{Key: key, Chain: chain, Leaf: leaf}, nil
}

// FindLeaf reads every certificate of a chain, which are in DER, and returns the first
// one that has the public key of the key, with its index. Errors: ErrCertificate for one
// that ParseCertificate refuses; ErrMismatch when none has the key.
func FindLeaf(key crypto.Signer, chain [][]byte) (int, *x509.Certificate, error) {
	return findLeaf(key, chain, -1)
}

func findLeaf(key crypto.Signer, chain [][]byte, preferred int) (leaf int, certificate *x509.Certificate, err error) {
	leaf = -1
	for i, der := range chain {
		c, err := ParseCertificate(der)
		if err != nil {
			return -1, nil, err
		}
		if certifies(c, key) && (leaf < 0 || i == preferred) {
			leaf, certificate = i, c
		}
	}
	if leaf < 0 {
		return -1, nil, ErrMismatch
	}
	return leaf, certificate, nil
}
