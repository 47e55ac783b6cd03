package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// An Authority certifies the hosts that a server answers for, when nobody else does:
// the private CA of one run, or of an installation without certificates of its own. It
// can vouch for the domains that it was made for and no others (RFC 5280 §4.2.1.10).
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// The lifetimes of what an Authority signs. Leaves are made anew well before they end.
const (
	leafLifetime = 30 * 24 * time.Hour
	leafRenewal  = 10 * 24 * time.Hour
	maxLeaves    = 1024
)

// NewAuthority makes an authority for the domains and everything below them.
func NewAuthority(now time.Time, lifetime time.Duration, domains []string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := NewSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		Subject:      pkix.Name{Organization: []string{"Coffer"}, CommonName: "Coffer local CA " + hex.EncodeToString(serial[12:])},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomains: domains, PermittedDNSDomainsCritical: len(domains) > 0,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("pki: making a certificate authority: %w", err)
	}
	return newAuthority(der, key)
}

func newAuthority(der []byte, key crypto.Signer) (*Authority, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("pki: reading a certificate authority: %w", err)
	}
	return &Authority{certificate: certificate, key: key, leaves: map[string]*tls.Certificate{}}, nil
}

// ParseAuthority reads what PEM and KeyPEM wrote.
func ParseAuthority(certificate, key []byte) (*Authority, error) {
	block, _ := pem.Decode(certificate)
	keyBlock, _ := pem.Decode(key)
	if block == nil || keyBlock == nil {
		return nil, errors.New("pki: a certificate authority's files are not PEM")
	}
	signer, err := ParseKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	return newAuthority(block.Bytes, signer)
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// KeyPEM returns the authority's private key.
func (a *Authority) KeyPEM() ([]byte, error) {
	pkcs8, err := MarshalKey(a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// Certificate returns the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Leaf returns a certificate for the host, from memory if one was made before.
func (a *Authority) Leaf(host string, now time.Time) (*tls.Certificate, error) {
	if leaf := a.known(host, now); leaf != nil {
		return leaf, nil
	}
	leaf, err := a.sign(host, now)
	if err != nil {
		return nil, fmt.Errorf("pki: certifying %q: %w", host, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, ok := a.leaves[host]; ok && now.Add(leafRenewal).Before(first.Leaf.NotAfter) {
		return first, nil // made by somebody else meanwhile
	}
	for other := range a.leaves {
		if len(a.leaves) < maxLeaves {
			break
		}
		delete(a.leaves, other)
	}
	a.leaves[host] = leaf
	return leaf, nil
}

func (a *Authority) known(host string, now time.Time) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf, ok := a.leaves[host]; ok && now.Add(leafRenewal).Before(leaf.Leaf.NotAfter) {
		return leaf
	}
	return nil
}

func (a *Authority) sign(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := NewSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), DNSNames: []string{host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(host) <= 64 { // the bound of a common name (RFC 5280, appendix A)
		template.Subject.CommonName = host
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, err
}
