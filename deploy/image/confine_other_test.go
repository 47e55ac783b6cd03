//go:build !linux

package main_test

import (
	"os/exec"
	"time"
)

const deadline = 5 * time.Minute

func confine(*exec.Cmd, string, string) bool { return false }
