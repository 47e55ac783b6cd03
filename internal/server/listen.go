package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"coffer/internal/balancer"
)

// headerWait is how long a balancer has for its PROXY header.
const headerWait = 5 * time.Second

// balancers reads the addresses of the balancers.
func (c Config) balancers() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.Balancers {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() {
			return nil, fmt.Errorf("balancers: %q is no network such as 10.0.0.0/8 or 10.1.2.3/32", text)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// listen opens the address of the configuration, or takes the socket that the service
// manager has opened.
func (c Config) listen() (net.Listener, error) {
	listener, err := inherited()
	if err == nil && listener == nil {
		listener, err = net.Listen("tcp", c.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Listen, err)
	}
	trusted, err := c.balancers()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if len(trusted) > 0 {
		listener = balancer.Listener{Listener: listener, Trusted: trusted, Timeout: headerWait}
	}
	return listener, nil
}

// firstInherited is the first file descriptor that a service manager hands over
// (sd_listen_fds).
const firstInherited = 3

// inherited is the socket of a service manager; nil: there is none.
func inherited() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	if count := os.Getenv("LISTEN_FDS"); count != "1" {
		return nil, fmt.Errorf("the service manager has handed over %q sockets; the unit needs exactly one ListenStream", count)
	}
	file := os.NewFile(firstInherited, "socket of the service manager")
	listener, err := net.FileListener(file)
	return listener, errors.Join(err, file.Close())
}
