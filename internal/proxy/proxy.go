// Package proxy is the front of `coffer run`: the proxy that the child is told to use,
// and the environment that tells it.
//
// A program under `coffer run` sends everything through the proxy. Hosts that Coffer
// answers for are taken over: the proxy ends TLS itself, with a certificate of the run's
// own authority, and hands the requests to the doors in this process. There is no
// further port that another user of the machine could reach. Hosts of real clouds that
// Coffer does not serve are refused, so that nothing that was meant for Coffer leaves
// the machine. Everything else is tunnelled untouched, through the proxy that was
// configured before, if there was one.
//
// Only callers that present the run's random credential are admitted; Config.Local, if
// there is one, has its own.
//
// reserved.go has the table of hosts, environ.go the variables, bundle.go the files of
// certificate authorities that some of them name.
package proxy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"coffer/internal/pki"
)

// User is the user name of the run's proxy credential.
const User = "run"

// A Config wires a Proxy.
type Config struct {
	Credential string // the password of User
	Authority  *pki.Authority
	Serves     func(host string) bool // whether a door answers for a reserved host, folded
	Handler    http.Handler           // the doors
	Metadata   http.Handler           // the instance metadata service
	// Local answers requests to the proxy's own address, which anyone on this machine can
	// send: it looks at a secret of its own. nil: there are no answers.
	Local http.Handler
	// Upstream returns the proxy that was configured before, for a request, or nil.
	Upstream func(*url.URL) (*url.URL, error)
	// Dial connects to other hosts; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// A Proxy serves one listener.
type Proxy struct {
	config    Config
	front     *http.Server // what the child talks to
	doors     *http.Server // what it talks to inside a taken-over connection
	taken     *handover
	transport *http.Transport

	mu      sync.Mutex
	tunnels map[net.Conn]struct{}
	closed  bool
}

// The limits of connections.
const (
	connectTimeout = 3 * time.Second
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10
)

// New returns a proxy that listens to nothing yet.
func New(c Config) *Proxy {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Upstream == nil {
		c.Upstream = func(*url.URL) (*url.URL, error) { return nil, nil }
	}
	p := &Proxy{config: c, taken: &handover{conns: make(chan net.Conn), done: make(chan struct{})}, tunnels: map[net.Conn]struct{}{}}
	quiet := slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	p.front = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: quiet}
	p.doors = &http.Server{
		Handler: http.HandlerFunc(p.door), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: quiet,
		TLSConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectKey{}, connectHost(conn))
		},
	}
	p.transport = &http.Transport{
		Proxy:       func(r *http.Request) (*url.URL, error) { return c.Upstream(r.URL) },
		DialContext: p.dial, MaxIdleConns: 16, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 5 * time.Minute, DisableCompression: true,
	}
	return p
}

// URL is what the child is told: the address of the proxy with the credential in it.
func (p *Proxy) URL(address net.Addr) string {
	return (&url.URL{Scheme: "http", Host: address.String(), User: url.UserPassword(User, p.config.Credential)}).String()
}

// Serve serves the listener until Close.
func (p *Proxy) Serve(listener net.Listener) error {
	go func() { _ = p.doors.Serve(p.taken) }()
	err := p.front.Serve(quickListener{listener})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends all connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for conn := range p.tunnels {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.transport.CloseIdleConnections()
	return errors.Join(p.front.Close(), p.doors.Close(), p.taken.Close())
}

// serve answers what the child asks of the proxy.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodConnect && !r.URL.IsAbs() && p.config.Local != nil:
		p.config.Local.ServeHTTP(w, r)
	case r.Method != http.MethodConnect && !r.URL.IsAbs():
		http.Error(w, "This is the proxy of a coffer run; it answers nothing directly.", http.StatusBadRequest)
	case !p.admitted(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="coffer run"`)
		http.Error(w, "This proxy belongs to a coffer run and needs its credential.", http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	default:
		p.plain(w, r)
	}
}

// admitted compares the credential in constant time.
func (p *Proxy) admitted(r *http.Request) bool {
	scheme, encoded, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	given, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	want, got := sha256.Sum256([]byte(User+":"+p.config.Credential)), sha256.Sum256(given)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && err == nil && strings.EqualFold(scheme, "Basic")
}

func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	_, port, err := net.SplitHostPort(r.Host)
	host := Fold(r.Host)
	if err != nil || host == "" {
		http.Error(w, "CONNECT needs a host and a port.", http.StatusBadRequest)
		return
	}
	switch class := Classify(host); {
	case class == Open:
		p.tunnel(w, r)
	case class == Served && port == "443" && p.config.Serves(host):
		p.takeOver(w, host)
	default:
		p.refuse(w, r, host)
	}
}

// refuse answers for a host of a cloud that is not served here.
func (p *Proxy) refuse(w http.ResponseWriter, _ *http.Request, host string) {
	p.config.Log.Warn("a host of the cloud was refused: this Coffer does not serve it", "host", host)
	http.Error(w, "Coffer does not serve "+host+" on this port, and under coffer run nothing meant for the cloud leaves the machine. Run the program without coffer run to reach it.", http.StatusForbidden)
}

// takeOver ends TLS here and hands the connection to the doors.
func (p *Proxy) takeOver(w http.ResponseWriter, host string) {
	conn, err := hijack(w, "HTTP/1.1 200 Connection established\r\n\r\n")
	if err != nil {
		return
	}
	secure := tls.Server(&takenConn{Conn: conn, host: host}, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := Fold(hello.ServerName)
			if name == "" || !p.config.Serves(name) {
				name = host
			}
			return p.config.Authority.Leaf(name, time.Now())
		},
	})
	p.taken.hand(secure)
}

// door checks that the host of a request is the one of its connection, and answers it.
func (p *Proxy) door(w http.ResponseWriter, r *http.Request) {
	connected, _ := r.Context().Value(connectKey{}).(string)
	host := Fold(r.Host)
	if host != connected || r.TLS != nil && r.TLS.ServerName != "" && Fold(r.TLS.ServerName) != connected {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusMisdirectedRequest)
		_ = json.NewEncoder(w).Encode(map[string]map[string]string{"error": {"code": "MisdirectedRequest", "message": "The request is for another host than its connection."}})
		return
	}
	p.config.Handler.ServeHTTP(w, r)
}

// plain answers a request for an http:// URL.
func (p *Proxy) plain(w http.ResponseWriter, r *http.Request) {
	switch host := Fold(r.URL.Host); Classify(host) {
	case Metadata:
		inner := r.Clone(r.Context())
		inner.Header.Del("Proxy-Authorization")
		inner.URL.Scheme, inner.URL.Host, inner.RequestURI = "", "", r.URL.RequestURI()
		p.config.Metadata.ServeHTTP(w, inner)
	case Open:
		p.forward(w, r)
	default:
		p.refuse(w, r, host)
	}
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	if r.URL.Scheme != "http" {
		http.Error(w, "This proxy forwards http:// URLs, and tunnels the others by CONNECT.", http.StatusBadRequest)
		return
	}
	reverse := httputil.ReverseProxy{
		Transport: p.transport, ErrorLog: slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug), FlushInterval: -1,
		Rewrite: func(out *httputil.ProxyRequest) {
			out.Out.Host = out.In.Host
			out.Out.Header.Del("Proxy-Authorization")
			out.Out.URL.RawQuery = out.In.URL.RawQuery // whatever it is, it is not ours to clean
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values, ok := out.In.Header[name]; ok {
					out.Out.Header[name] = values
				}
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { badGateway(w, r.URL.Host, err) },
	}
	reverse.ServeHTTP(w, r)
}

func badGateway(w http.ResponseWriter, host string, err error) {
	http.Error(w, fmt.Sprintf("coffer run: %s cannot be reached: %v", host, err), http.StatusBadGateway)
}

func (p *Proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return p.config.Dial(ctx, network, address)
}

// tunnel copies both ways between the child and an ordinary host.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	far, err := p.reach(r.Context(), r.Host)
	if err != nil {
		badGateway(w, r.Host, err)
		return
	}
	near, err := hijack(w, "HTTP/1.1 200 Connection established\r\n\r\n")
	if err != nil {
		_ = far.Close()
		return
	}
	if !p.keep(near, far) {
		return
	}
	defer p.drop(near, far)
	var both sync.WaitGroup
	both.Go(func() { pipe(far, near) })
	pipe(near, far)
	both.Wait()
}

// pipe copies until the end of one side and ends the same half of the other.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			_ = conn.Close()
			continue
		}
		p.tunnels[conn] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.tunnels, conn)
		_ = conn.Close()
	}
}

// reach connects to a host, by the proxy that was configured before if there is one.
func (p *Proxy) reach(ctx context.Context, address string) (net.Conn, error) {
	upstream, err := p.config.Upstream(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, err
	}
	if upstream == nil {
		return p.dial(ctx, "tcp", address)
	}
	if upstream.Scheme != "http" && upstream.Scheme != "https" {
		return nil, fmt.Errorf("the proxy that was configured before is of the kind %s, and only http and https are supported: unset it or use another", upstream.Scheme)
	}
	host := upstream.Host
	if upstream.Port() == "" {
		host = net.JoinHostPort(upstream.Hostname(), map[string]string{"http": "80", "https": "443"}[upstream.Scheme])
	}
	conn, err := p.dial(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if upstream.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: upstream.Hostname(), MinVersion: tls.VersionTLS12})
	}
	return askUpstream(conn, upstream, address)
}

// askUpstream asks another proxy for a tunnel.
func askUpstream(conn net.Conn, upstream *url.URL, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := upstream.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	_ = conn.SetDeadline(time.Now().Add(headerTimeout))
	if err := request.Write(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the proxy %s answered %s", upstream.Host, response.Status), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return &bufferedConn{Conn: conn, reader: reader}, nil
}
