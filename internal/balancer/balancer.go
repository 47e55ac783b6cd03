// Package balancer takes connections from load balancers that say, by the PROXY protocol
// version 2, who is at the other end of each.
//
//	listener = balancer.Listener{Listener: listener, Trusted: prefixes, Timeout: 5 * time.Second}
//
// A connection from an address in Trusted has to begin with a header, and its remote
// address is then the one that the header names. Every other connection is taken as it
// is: whoever is no balancer cannot claim an address. The header is read by the first
// call of Read or RemoteAddr, and not by Accept, so that a silent connection holds up
// nobody else. A connection whose header is wrong is closed.
package balancer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Listener reads the headers of the connections of another.
type Listener struct {
	net.Listener
	Trusted []netip.Prefix // of the balancers
	Timeout time.Duration  // for the header
}

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil || !l.trusts(conn.RemoteAddr()) {
		return conn, err
	}
	return &proxied{Conn: conn, timeout: l.Timeout}, nil
}

func (l Listener) trusts(address net.Addr) bool {
	from, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return false
	}
	for _, prefix := range l.Trusted {
		if prefix.Contains(from.Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// A proxied connection begins with a header.
type proxied struct {
	net.Conn
	timeout time.Duration
	once    sync.Once
	source  netip.AddrPort // invalid: the connection's own
	err     error
}

func (p *proxied) begin() {
	p.once.Do(func() {
		if p.err = p.SetReadDeadline(time.Now().Add(p.timeout)); p.err == nil {
			p.source, p.err = ReadHeader(p.Conn)
		}
		if p.err != nil {
			_ = p.Close()
			return
		}
		p.err = p.SetReadDeadline(time.Time{})
	})
}

// Read implements net.Conn.
func (p *proxied) Read(b []byte) (int, error) {
	if p.begin(); p.err != nil {
		return 0, p.err
	}
	return p.Conn.Read(b)
}

// RemoteAddr is the address that the balancer names.
func (p *proxied) RemoteAddr() net.Addr {
	if p.begin(); !p.source.IsValid() {
		return p.Conn.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(p.source)
}

// The form of a header (PROXY protocol, section 2.2).
const (
	signature  = "\r\n\r\n\x00\r\nQUIT\n"
	fixedSize  = len(signature) + 4
	maxPayload = 2048 // addresses and what a balancer adds; the form allows 64 KiB

	cmdLocal   = 0x20
	cmdProxy   = 0x21
	familyTCP4 = 0x11
	familyTCP6 = 0x21
	typeCRC    = 0x03
)

// ErrHeader means that a connection does not begin with a header of version 2.
var ErrHeader = errors.New("balancer: the connection does not begin with a valid PROXY header of version 2")

// ReadHeader reads a header and nothing behind it. It returns the source that the
// header names, or the zero AddrPort for a connection of the balancer's own, such as a
// health check.
func ReadHeader(r io.Reader) (netip.AddrPort, error) {
	var none netip.AddrPort
	header := make([]byte, fixedSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return none, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	command, family, size := header[12], header[13], int(binary.BigEndian.Uint16(header[14:]))
	if string(header[:12]) != signature || command != cmdLocal && command != cmdProxy || size > maxPayload {
		return none, ErrHeader
	}
	header = append(header, make([]byte, size)...)
	payload := header[fixedSize:]
	if _, err := io.ReadFull(r, payload); err != nil {
		return none, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if command == cmdLocal { // "must be accepted … and the receiver must discard the block"
		return none, nil
	}
	source, addresses, ok := parseAddresses(family, payload)
	if !ok || !checkExtensions(header, fixedSize+addresses) {
		return none, ErrHeader
	}
	return source, nil
}

// parseAddresses reads the source of a TCP connection, and how long the addresses are.
func parseAddresses(family byte, payload []byte) (netip.AddrPort, int, bool) {
	length := map[byte]int{familyTCP4: 4, familyTCP6: 16}[family]
	size := 2*length + 4
	if length == 0 || len(payload) < size {
		return netip.AddrPort{}, 0, false
	}
	address, _ := netip.AddrFromSlice(payload[:length]) // the length is one of the two
	return netip.AddrPortFrom(address, binary.BigEndian.Uint16(payload[2*length:])), size, true
}

// checkExtensions reports whether what follows the addresses is whole, and whether the
// checksum, if there is one, is right.
func checkExtensions(header []byte, at int) bool {
	for at < len(header) {
		if len(header)-at < 3 {
			return false
		}
		kind, size := header[at], int(binary.BigEndian.Uint16(header[at+1:]))
		if at += 3; len(header)-at < size {
			return false
		}
		if kind == typeCRC && !checksum(header, at, size) {
			return false
		}
		at += size
	}
	return true
}

func checksum(header []byte, at, size int) bool {
	if size != 4 {
		return false
	}
	said := binary.BigEndian.Uint32(header[at:])
	clear(header[at : at+4]) // it is over the header with zeros in its own place
	ok := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)) == said
	binary.BigEndian.PutUint32(header[at:], said)
	return ok
}
