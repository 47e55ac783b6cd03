package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"coffer/internal/audit"
	"coffer/internal/gate"
)

// An AuditConfig says how the audit log is kept beside AuditFile, and where it goes too.
// Every place has to take every line: while one of them takes none, nothing is served.
type AuditConfig struct {
	// MaxSizeMB is the size in MiB from which the file is put away under a number; 0: never.
	MaxSizeMB int64 `yaml:"max_size_mb"`
	// Keep is how many files that were put away are kept; 0: all.
	Keep int `yaml:"keep"`
	// Wait is how long a line may wait for a slow place, such as 5s (the default).
	Wait time.Duration `yaml:"wait"`
	// Stdout writes every line to the standard output too.
	Stdout bool `yaml:"stdout"`
	// Syslog sends every line to a collector, as the message of RFC 5424.
	Syslog *SyslogConfig `yaml:"syslog"`
	// HTTP posts the lines to a collector.
	HTTP *AuditHTTPConfig `yaml:"http"`
}

// A SyslogConfig names a collector.
type SyslogConfig struct {
	// Network is unix, udp, tcp or tls.
	Network string `yaml:"network"`
	// Address is a host and port, or the path of a socket.
	Address string `yaml:"address"`
	// CAFile has the authorities of the collector's certificate, for tls; empty: the system's.
	CAFile string `yaml:"ca_file"`
}

// An AuditHTTPConfig names a collector that takes lines of JSON by POST.
type AuditHTTPConfig struct {
	// URL is where to post, https unless it is on this machine.
	URL string `yaml:"url"`
	// TokenFile has a bearer token, which only the server's user may read; empty: none is sent.
	TokenFile string `yaml:"token_file"`
	// CAFile has the authorities of the collector's certificate; empty: the system's.
	CAFile string `yaml:"ca_file"`
}

func (a *AuditConfig) paths() []*string {
	var out []*string
	if a.Syslog != nil {
		out = append(out, &a.Syslog.CAFile)
		if a.Syslog.Network == "unix" {
			out = append(out, &a.Syslog.Address)
		}
	}
	if a.HTTP != nil {
		out = append(out, &a.HTTP.TokenFile, &a.HTTP.CAFile)
	}
	return out
}

func (a AuditConfig) check() error {
	switch {
	case a.MaxSizeMB < 0, a.Keep < 0, a.Wait < 0:
		return errors.New("audit: max_size_mb, keep and wait cannot be negative")
	case a.Keep > 0 && a.MaxSizeMB == 0:
		return errors.New("audit: keep needs max_size_mb: without it no file is ever put away")
	case a.Wait > time.Minute:
		return errors.New("audit: wait is at most 1m: clients do not wait longer")
	}
	if s := a.Syslog; s != nil {
		switch {
		case s.Network != "unix" && s.Network != "udp" && s.Network != "tcp" && s.Network != "tls":
			return fmt.Errorf("audit: syslog: network is unix, udp, tcp or tls, not %q", s.Network)
		case s.Address == "":
			return errors.New("audit: syslog: address is missing")
		case s.CAFile != "" && s.Network != "tls":
			return errors.New("audit: syslog: ca_file is for the network tls only")
		}
		if _, _, err := net.SplitHostPort(s.Address); err != nil && s.Network != "unix" {
			return fmt.Errorf("audit: syslog: address %q is no host with a port such as logs.example.com:6514", s.Address)
		}
	}
	if a.HTTP != nil {
		u, err := url.Parse(a.HTTP.URL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return fmt.Errorf("audit: http: url %q is no https address (http is taken on this machine only), or has a password in it", a.HTTP.URL)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// auditSink opens the audit log with all its copies.
func (c Config) auditSink(log *slog.Logger) (audit.Sink, error) {
	file, err := audit.OpenRotating(c.AuditFile, audit.Rotation{MaxSize: c.Audit.MaxSizeMB << 20, Keep: c.Audit.Keep})
	if err != nil {
		return nil, err
	}
	places, err := c.Audit.places()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if len(places) == 0 {
		return file, nil
	}
	var copies []*audit.Copy
	for _, place := range places {
		place.Wait, place.Log = c.Audit.Wait, log
		copies = append(copies, audit.NewCopy(place))
	}
	return audit.NewFan(file, c.Audit.Wait, copies...), nil
}

func (a AuditConfig) places() ([]audit.CopyConfig, error) {
	var out []audit.CopyConfig
	if a.Stdout {
		out = append(out, audit.CopyConfig{Name: "the standard output", Deliver: func(_ context.Context, lines []byte) error {
			_, err := os.Stdout.Write(lines)
			return err
		}})
	}
	if a.Syslog != nil {
		place, err := a.Syslog.place()
		if err != nil {
			return nil, err
		}
		out = append(out, place)
	}
	if a.HTTP != nil {
		place, err := a.HTTP.place()
		if err != nil {
			return nil, err
		}
		out = append(out, place)
	}
	return out, nil
}

// authorities reads a file of certificates; without one the system's are used.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the authorities cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return pool, nil
}

// A collector is a syslog connection, made when it is needed and again when it breaks.
type collector struct {
	SyslogConfig
	tls  *tls.Config
	host string

	mu   sync.Mutex
	conn net.Conn
}

func (s SyslogConfig) place() (audit.CopyConfig, error) {
	pool, err := authorities(s.CAFile)
	if err != nil {
		return audit.CopyConfig{}, fmt.Errorf("audit: syslog: %w", err)
	}
	host, _ := os.Hostname() // the nil value of RFC 5424 stands for one that is not known
	c := &collector{SyslogConfig: s, tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, host: cmp.Or(printable(host), "-")}
	return audit.CopyConfig{Name: "syslog " + s.Network + " " + s.Address, Deliver: c.deliver, Close: c.close}, nil
}

// printable keeps what a header of RFC 5424 may have.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 255)]
}

func (c *collector) deliver(ctx context.Context, lines []byte) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetWriteDeadline(deadline)
	for line := range bytes.Lines(lines) {
		if err != nil {
			break
		}
		_, err = conn.Write(c.frame(time.Now(), line))
	}
	if err != nil {
		return errors.Join(err, c.close())
	}
	return nil
}

// The priority of every line: facility 13 (log audit), severity 6 (informational).
const syslogPriority = 13*8 + 6

// frame makes the message of a line; on a stream its length stands before it (RFC 6587
// and RFC 5425: octet counting), in a datagram it stands alone.
func (c *collector) frame(now time.Time, line []byte) []byte {
	message := fmt.Sprintf("<%d>1 %s %s coffer %d AuditEvent - %s", syslogPriority, now.UTC().Format("2006-01-02T15:04:05.000000Z"), c.host, os.Getpid(), bytes.TrimSuffix(line, []byte("\n")))
	if c.Network == "udp" || c.Network == "unix" {
		return []byte(message)
	}
	return fmt.Appendf(nil, "%d %s", len(message), message)
}

func (c *collector) connect(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	var err error
	var dialer net.Dialer
	switch c.Network {
	case "unix":
		c.conn, err = dialer.DialContext(ctx, "unixgram", c.Address)
	case "tls":
		c.conn, err = (&tls.Dialer{NetDialer: &dialer, Config: c.tls}).DialContext(ctx, "tcp", c.Address)
	default:
		c.conn, err = dialer.DialContext(ctx, c.Network, c.Address)
	}
	if err != nil {
		c.conn = nil
		return nil, err
	}
	if c.Network == "tcp" || c.Network == "tls" {
		go func(conn net.Conn) { // a collector says nothing; it is read to learn that it went away
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}(c.conn)
	}
	return c.conn, nil
}

func (c *collector) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	if errors.Is(err, net.ErrClosed) { // by the reader
		return nil
	}
	return err
}

func (h AuditHTTPConfig) place() (audit.CopyConfig, error) {
	pool, err := authorities(h.CAFile)
	if err != nil {
		return audit.CopyConfig{}, fmt.Errorf("audit: http: %w", err)
	}
	token := ""
	if h.TokenFile != "" {
		text, err := ReadPrivate(h.TokenFile)
		if err != nil {
			return audit.CopyConfig{}, fmt.Errorf("audit: http: the token cannot be read: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, MaxIdleConns: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	deliver := func(ctx context.Context, lines []byte) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(lines))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxConfig)) // so that the connection is used again
		_ = response.Body.Close()
		if response.StatusCode/100 != 2 {
			return fmt.Errorf("the collector answered %s", response.Status)
		}
		return nil
	}
	return audit.CopyConfig{Name: "http " + h.URL, Deliver: deliver, Close: func() error { client.CloseIdleConnections(); return nil }}, nil
}

// ReadAuditChain reads what audit logs are verified with from the installation's store,
// which no server may have open, and changes nothing.
func ReadAuditChain(ctx context.Context, c Config, log *slog.Logger) (audit.Chain, error) {
	options, err := c.options(false, log, nil)
	if err != nil {
		return audit.Chain{}, err
	}
	opened, err := options.openStore(ctx)
	if err != nil {
		return audit.Chain{}, err
	}
	core := &Core{Store: opened, Options: options}
	keyring, granter, err := core.unlock(ctx)
	if err != nil {
		return audit.Chain{}, errors.Join(err, opened.Close())
	}
	chain, err := gate.ReadChain(ctx, gate.Config{Store: opened, Keyring: keyring, Granter: granter})
	return chain, errors.Join(err, opened.Close())
}
