//go:build unix

package pgtest

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// A Relay stands between a store and the database, and can cut their connection.
type Relay struct {
	URL string // of the database, through the relay

	server string // the socket
	cut    atomic.Int32
	cuts   atomic.Int32

	mu   sync.Mutex
	open map[net.Conn]bool
	down bool
}

// What the next commit meets.
const (
	pass int32 = iota
	cutBefore
	cutAfter
)

const socket = ".s.PGSQL.5432"

// NewRelay relays to the database of a URL that Database gave.
func NewRelay(t testing.TB, s *Server, target string) *Relay {
	t.Helper()
	dir, err := os.MkdirTemp("", "coffer-relay-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	r := &Relay{URL: u.String(), server: filepath.Join(s.dir, socket), open: map[net.Conn]bool{}}
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(); r.Partition(true) })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go r.serve(client)
		}
	}()
	return r
}

// CutCommit cuts the connection that next commits: before the database has the commit, or
// once it has answered.
func (r *Relay) CutCommit(forward bool) {
	if forward {
		r.cut.Store(cutAfter)
	} else {
		r.cut.Store(cutBefore)
	}
}

// Cuts is how often a commit was cut.
func (r *Relay) Cuts() int { return int(r.cuts.Load()) }

// Partition cuts all connections and lets none through, or ends that.
func (r *Relay) Partition(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	if down {
		for c := range r.open {
			_ = c.Close()
		}
	}
}

func (r *Relay) keep(c net.Conn, open bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !open {
		delete(r.open, c)
		return true
	}
	r.open[c] = true
	return !r.down
}

func (r *Relay) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	for _, c := range []net.Conn{client, server} {
		defer r.keep(c, false)
		if !r.keep(c, true) {
			return
		}
	}
	muted := make(chan struct{}) // closed when answers are held back
	answered := make(chan struct{})
	go func() { r.answers(client, server, muted, answered) }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if isCommit(buffer[:n]) && r.cut.Load() != pass {
			if how := r.cut.Swap(pass); how != pass {
				r.cuts.Add(1)
				if how == cutAfter {
					close(muted)
					_, _ = server.Write(buffer[:n])
					<-answered
				}
				return
			}
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// answers brings what the database says to the client, until it is muted; the first answer
// then is the commit's.
func (r *Relay) answers(client io.WriteCloser, server io.Reader, muted, answered chan struct{}) {
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		select {
		case <-muted:
			close(answered)
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// isCommit reports whether a message is the simple query by which a transaction commits.
func isCommit(message []byte) bool {
	return len(message) > 5 && message[0] == 'Q' && bytes.EqualFold(bytes.TrimRight(message[5:], "\x00;"), []byte("commit"))
}
