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
	"os/signal"
	"syscall"
	"time"

	"coffer/internal/httpd"
	"coffer/internal/seal"
)

// The limits of connections under `coffer serve`.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	handlerTime   = 50 * time.Second
	maxHeader     = 64 << 10
	drainTime     = 20 * time.Second
	lookEvery     = 10 * time.Second // after files that others replace
)

// Serve serves the installation of the configuration until ctx ends, and then lets the
// requests under way finish. ready is told the address once requests are taken. SIGHUP
// reads the TLS certificate again, and follows an audit log that was moved away.
func Serve(ctx context.Context, c Config, log *slog.Logger, access func(httpd.Access), ready func(net.Addr)) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the beginning: without it the signal ends the process
	defer signal.Stop(hangup)
	secure, err := c.secure(log)
	if err != nil {
		return err
	}
	meter := newMeter(DomainNames(c.Domain, c.port()))
	core, err := c.open(ctx, false, log, meter.watch(access))
	if err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return errors.Join(err, core.Close())
	}
	monitor, err := c.Admin.serve(core, meter, secure, log)
	if err != nil {
		return errors.Join(err, listener.Close(), core.Close())
	}
	admin, err := c.serveAdmin(core)
	if err != nil {
		return errors.Join(err, monitor.Close(), listener.Close(), core.Close())
	}
	core.Start()
	front := newFront(limitTime(core.Handler()), secure.config(), log)
	front.ConnState = meter.connection
	stopped := make(chan error, 1)
	go func() { stopped <- front.ServeTLS(listener, "", "") }()
	ready(listener.Addr())
	following, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { follow(following, hangup, core, secure, log); close(ended) }()
	select {
	case err = <-stopped:
	case <-core.Lost():
		err = errors.Join(ErrNodeLost, front.Close())
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err = front.Shutdown(drain); err != nil {
			err = errors.Join(err, front.Close())
		}
	}
	end()
	<-ended
	return errors.Join(err, admin(), monitor.Close(), core.Close())
}

// newFront is a server with the limits of connections.
func newFront(handler http.Handler, secure *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, TLSConfig: secure, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// limitTime lets no request take longer than handlerTime: what is under way is given up
// then, and answered, before the connection's own time is over.
func limitTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), handlerTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// follow looks after the files that others replace, at once at SIGHUP and otherwise now
// and then.
func follow(ctx context.Context, hangup <-chan os.Signal, core *Core, secure *certificates, log *slog.Logger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			secure.look()
		case <-hangup:
			log.Info("SIGHUP: the TLS certificate and the audit log are opened again")
			secure.reload()
			if err := core.Gate.Settle(); err != nil {
				log.Error("the audit log cannot be opened again", "error", err)
			}
		}
	}
}

// open opens the installation's core.
func (c Config) open(ctx context.Context, create bool, log *slog.Logger, access func(httpd.Access)) (*Core, error) {
	options, err := c.options(create, log, access)
	if err != nil {
		return nil, err
	}
	if options.Sink, err = c.auditSink(log); err != nil {
		return nil, err
	}
	return Open(ctx, options)
}

// options are those of the core, but for the audit log.
func (c Config) options(create bool, log *slog.Logger, access func(httpd.Access)) (Options, error) {
	provider, err := SealChoice{RootKeyFile: c.RootKeyFile, Seal: c.Seal}.open(c.Prompt)
	if err != nil {
		return Options{}, err
	}
	if c.Postgres == nil && !create {
		if _, err := os.Stat(c.Store); err != nil {
			return Options{}, fmt.Errorf("the store cannot be opened: %w; coffer init makes one", err)
		}
	}
	return Options{
		StorePath: c.Store, Postgres: c.Postgres, Node: c.Node, Shared: c.Postgres != nil, Create: create, Seal: provider, PinFile: c.PinFile, Log: log, Names: DomainNames(c.Domain, c.port()), Access: access,
		OwnProcess: true, RefuseWeakPadding: c.RefuseWeakPadding, RateLimits: c.RateLimits, AttestationAuthorities: c.AttestationAuthorities, AssertionIssuers: c.AssertionIssuers, BearerIssuers: c.BearerIssuers,
	}, nil
}

// readCertificate reads the certificate and its key, which only its owner may read.
func (c Config) readCertificate() (tls.Certificate, error) {
	chain, err := os.ReadFile(c.TLS.CertificateFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ReadPrivate(c.TLS.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

// maxPrivate is the most that a key, a token or a chain of keys has, in bytes.
const maxPrivate = 1 << 20

// ReadPrivate reads a file that only its owner may read, by the rules of the seals' files.
func ReadPrivate(path string) ([]byte, error) {
	return seal.ReadPrivateFile(path, maxPrivate)
}
