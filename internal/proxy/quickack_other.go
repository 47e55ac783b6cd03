//go:build !linux

package proxy

import "net"

// quicken does nothing: only Linux lets a socket acknowledge at once.
func quicken(conn net.Conn) net.Conn { return conn }
