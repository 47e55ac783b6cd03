package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coffer/internal/httpd"
)

// An AdminConfig is the listener for health checks and metrics. On a loopback address it
// is plain HTTP. On any other it is TLS with the server's certificate, and every request
// needs a token or a client certificate.
type AdminConfig struct {
	// Listen is the address and port, such as 127.0.0.1:9443.
	Listen string `yaml:"listen"`
	// TokenFile has the bearer token of those who may ask, at least 32 characters.
	TokenFile string `yaml:"token_file"`
	// ClientCAFile has the authorities of the certificates of those who may ask.
	ClientCAFile string `yaml:"client_ca_file"`
}

// minToken is the least length of the token, in characters.
const minToken = 32

func (a *AdminConfig) paths() []*string {
	if a == nil {
		return nil
	}
	return []*string{&a.TokenFile, &a.ClientCAFile}
}

func (a *AdminConfig) check() error {
	if a == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(a.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("admin: listen %q is no address with a port such as 127.0.0.1:9443", a.Listen)
	case loopback(host) && a.ClientCAFile != "":
		return errors.New("admin: client_ca_file is for addresses beyond this machine: on a loopback address there is no TLS")
	case !loopback(host) && a.TokenFile == "" && a.ClientCAFile == "":
		return fmt.Errorf("admin: %s can be reached from other machines: name a token_file or a client_ca_file, or listen on 127.0.0.1", a.Listen)
	}
	return nil
}

// A monitor is the running listener; the zero one is none.
type monitor struct{ server *http.Server }

// serve starts the listener, if the configuration has one.
func (a *AdminConfig) serve(core *Core, m *meter, secure *certificates, log *slog.Logger) (monitor, error) {
	if a == nil {
		return monitor{}, nil
	}
	m.observe(core, secure)
	handler, err := a.guard(adminHandler(core, m))
	if err != nil {
		return monitor{}, err
	}
	pool, err := authorities(a.ClientCAFile)
	if err != nil {
		return monitor{}, fmt.Errorf("admin: client_ca_file: %w", err)
	}
	listener, err := net.Listen("tcp", a.Listen)
	if err != nil {
		return monitor{}, fmt.Errorf("admin: cannot listen on %s: %w", a.Listen, err)
	}
	host, _, _ := net.SplitHostPort(a.Listen)
	if !loopback(host) {
		config := secure.config()
		if pool != nil {
			config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
		}
		listener = tls.NewListener(listener, config)
	}
	server := newFront(handler, nil, log)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin listener stopped", "error", err)
		}
	}()
	log.Info("health and metrics", "address", listener.Addr().String())
	return monitor{server}, nil
}

// Close ends the listener.
func (m monitor) Close() error {
	if m.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		return m.server.Close()
	}
	return nil
}

// adminHandler answers whether the process lives, whether it serves, and how much.
func adminHandler(core *Core, m *meter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		httpd.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", core.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: readTimeout}))
	return mux
}

// guard lets in who has the token, if there is one.
func (a *AdminConfig) guard(next http.Handler) (http.Handler, error) {
	if a.TokenFile == "" {
		return next, nil
	}
	text, err := ReadPrivate(a.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("admin: the token cannot be read: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) < minToken {
		return nil, fmt.Errorf("admin: the token in %s is too short: it needs %d characters; make one: openssl rand -hex 32", a.TokenFile, minToken)
	}
	want := sha256.Sum256(append([]byte("Bearer "), token...)) // so that no length shows
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			httpd.WriteJSON(w, http.StatusUnauthorized, map[string]string{"status": "the token of the admin listener is needed"})
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
