package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that go to the child.
var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM}

// ownSession keeps a process apart from the signals of this one's console.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// foreground reports whether this process has a console, which then sends what is typed
// to the child as well.
func foreground() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
