package main

import "golang.org/x/sys/unix"

// harden keeps the memory of a server, with its keys, out of core dumps and away from
// debuggers of the same user.
func harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
