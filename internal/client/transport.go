package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// newTransport is the usual one, with the proxy of the environment. The authorities of
// SSL_CERT_FILE are trusted beside the system's: on Linux Go looks at the variable
// itself, elsewhere it does not.
func newTransport(getenv func(string) string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSHandshakeTimeout = 30 * time.Second
	if path := getenv("SSL_CERT_FILE"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("the authorities that SSL_CERT_FILE names cannot be read: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("SSL_CERT_FILE names %s, which has no certificate in PEM", path)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// worthAnotherTry keeps to what the service says is passing, and to connections that
// broke. What no second try changes, a host without an address or a certificate that is
// not trusted, is told at once.
func worthAnotherTry(response *http.Response, err error) bool {
	if err != nil {
		var dns *net.DNSError
		var certificate *tls.CertificateVerificationError
		final := errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &certificate) || errors.Is(err, syscall.ECONNREFUSED) ||
			errors.Is(err, context.Canceled) || isProxyRefusal(err)
		return !final
	}
	switch statusOf(response) {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isProxyRefusal knows a proxy's answer other than 200 to CONNECT, of which Go makes an
// error with the status as its text.
func isProxyRefusal(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "proxyconnect" || err != nil && strings.HasSuffix(err.Error(), ": Forbidden")
}

// claim reads a text of a token's claims; empty if there is none. The token was given to
// us by the server that will check it, so nothing is verified here.
func claim(token, name string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims map[string]any
	if json.Unmarshal(text, &claims) != nil {
		return ""
	}
	value, _ := claims[name].(string)
	return value
}
