package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/pki"
)

// certificates are what the server shows of itself: a certificate from files that are
// read again when they change, or one of an authority of Coffer's own for every host.
type certificates struct {
	of        Config
	log       *slog.Logger
	current   atomic.Pointer[tls.Certificate]
	stamp     string // of the files that current is from
	authority *pki.Authority
}

// The suites of TLS 1.2 that are offered: forward secret and authenticated. Those of TLS
// 1.3 are Go's.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// secure reads the certificate, or the authority that makes one for every host.
func (c Config) secure(log *slog.Logger) (*certificates, error) {
	out := &certificates{of: c, log: log}
	if c.TLS.CertificateFile != "" {
		out.stamp = out.files()
		certificate, err := c.readCertificate()
		if err != nil {
			return nil, fmt.Errorf("the TLS certificate cannot be used: %w", err)
		}
		out.current.Store(&certificate)
		return out, nil
	}
	certificate, err := os.ReadFile(c.TLS.AuthorityFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority cannot be read: %w", err)
	}
	key, err := ReadPrivate(c.TLS.AuthorityKey)
	if err != nil {
		return nil, err
	}
	out.authority, err = pki.ParseAuthority(certificate, key)
	return out, err
}

// files says whether the files are the same as before.
func (c *certificates) files() string {
	var stamp string
	for _, path := range []string{c.of.TLS.CertificateFile, c.of.TLS.KeyFile} {
		if info, err := os.Stat(path); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), ";")
		}
	}
	return stamp
}

// look reads the certificate again if its files have changed.
func (c *certificates) look() {
	if c.authority == nil && c.files() != c.stamp {
		c.reload()
	}
}

// reload reads the certificate again. One that cannot be used is not: the old one stays,
// and the files are tried again when they change once more.
func (c *certificates) reload() {
	if c.authority != nil {
		return
	}
	c.stamp = c.files()
	certificate, err := c.of.readCertificate()
	if err != nil {
		c.log.Error("the new TLS certificate cannot be used; the old one stays", "error", err)
		return
	}
	c.current.Store(&certificate)
	c.log.Info("the TLS certificate was read", "subject", certificate.Leaf.Subject.String(), "expires", certificate.Leaf.NotAfter)
}

// leaf is the certificate that a client is shown.
func (c *certificates) leaf(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.authority == nil {
		return c.current.Load(), nil
	}
	names := DomainNames(c.of.Domain, c.of.port())
	host := httpd.FoldHost(hello.ServerName)
	switch {
	case names.IsVault(host): // one for all: anyone can make up names
		host = "*." + names.VaultSuffix
	case !names.Serves(host): // a health check by address
		host = names.LoginHosts[0]
	}
	return c.authority.Leaf(host, time.Now())
}

// expires is when what clients are shown, or have to trust, ends.
func (c *certificates) expires() time.Time {
	if c.authority != nil {
		return c.authority.Certificate().NotAfter
	}
	return c.current.Load().Leaf.NotAfter
}

// config is the TLS configuration of a listener.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, GetCertificate: c.leaf}
}
