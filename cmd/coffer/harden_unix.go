//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// harden keeps the memory of a server, with its keys, out of core dumps.
func harden() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
