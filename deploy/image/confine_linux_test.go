package main_test

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const deadline = 5 * time.Minute

// confine makes the command see nothing but the directory, and have no rights; only root can do so.
func confine(cmd *exec.Cmd, dir, user string) bool {
	if os.Getuid() != 0 {
		return false
	}
	id, err := strconv.ParseUint(user, 10, 32)
	if err != nil {
		return false
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	return true
}
