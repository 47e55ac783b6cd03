package proxy

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Some clients leave Nagle's algorithm on towards a proxy. They hold a small packet back
// until the last one is acknowledged, and where this side has nothing to say the kernel
// delays that for 40 ms: once a connection, and once a request with a body. A socket
// that is told to after every read acknowledges at once.

type quickConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func quicken(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return &quickConn{TCPConn: tcp, raw: raw}
}

// Read reads and acknowledges.
func (c *quickConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	_ = c.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	return n, err
}
