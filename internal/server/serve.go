package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"coffer/internal/audit"
	"coffer/internal/httpd"
	"coffer/internal/pki"
)

// The limits of connections under `coffer serve`.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	drainTime     = 20 * time.Second
)

// Serve serves the installation of the configuration until ctx ends, and then lets the
// requests under way finish. ready is told the address once requests are taken.
func Serve(ctx context.Context, c Config, log *slog.Logger, access func(httpd.Access), ready func(net.Addr)) error {
	secure, err := c.tlsConfig()
	if err != nil {
		return err
	}
	core, err := c.open(ctx, false, log, access)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen on %s: %w", c.Listen, err), core.Close())
	}
	admin, err := c.serveAdmin(core)
	if err != nil {
		return errors.Join(err, listener.Close(), core.Close())
	}
	core.Start()
	front := &http.Server{
		Handler: core.Handler(), TLSConfig: secure, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- front.ServeTLS(listener, "", "") }()
	ready(listener.Addr())
	select {
	case err = <-stopped:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err = front.Shutdown(drain); err != nil {
			err = errors.Join(err, front.Close())
		}
	}
	return errors.Join(err, admin(), core.Close())
}

// open opens the installation's core.
func (c Config) open(ctx context.Context, create bool, log *slog.Logger, access func(httpd.Access)) (*Core, error) {
	provider, err := SealChoice{RootKeyFile: c.RootKeyFile, Seal: c.Seal}.open(c.Prompt)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Store); err != nil && !create {
		return nil, fmt.Errorf("the store cannot be opened: %w; coffer init makes one", err)
	}
	sink, err := audit.OpenFile(c.AuditFile)
	if err != nil {
		return nil, err
	}
	return Open(ctx, Options{
		StorePath: c.Store, Create: create, Seal: provider, PinFile: c.PinFile, Sink: sink, Log: log, Names: DomainNames(c.Domain, c.port()), Access: access,
		OwnProcess: true, RefuseWeakPadding: c.RefuseWeakPadding, AttestationAuthorities: c.AttestationAuthorities, AssertionIssuers: c.AssertionIssuers, BearerIssuers: c.BearerIssuers,
	})
}

// tlsConfig reads the certificate, or the authority that makes one for every host.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.TLS.CertificateFile != "" {
		certificate, err := c.readCertificate()
		if err != nil {
			return nil, fmt.Errorf("the TLS certificate cannot be used: %w", err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}, nil
	}
	certificate, err := os.ReadFile(c.TLS.AuthorityFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority cannot be read: %w", err)
	}
	key, err := readPrivate(c.TLS.AuthorityKey)
	if err != nil {
		return nil, err
	}
	authority, err := pki.ParseAuthority(certificate, key)
	if err != nil {
		return nil, err
	}
	names := DomainNames(c.Domain, c.port())
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		host := httpd.FoldHost(hello.ServerName)
		switch {
		case names.IsVault(host): // one for all: anyone can make up names
			host = "*." + names.VaultSuffix
		case !names.Serves(host): // a health check by address
			host = names.LoginHosts[0]
		}
		return authority.Leaf(host, time.Now())
	}}, nil
}

// readCertificate reads the certificate and its key, which only its owner may read.
func (c Config) readCertificate() (tls.Certificate, error) {
	chain, err := os.ReadFile(c.TLS.CertificateFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPrivate(c.TLS.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

// readPrivate reads a file that only its owner may read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others can read %s (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return os.ReadFile(path)
}
