//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// forbidden are the bits of a mode that a private file may not have.
func forbidden(info fs.FileInfo) fs.FileMode {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 && os.Geteuid() != 0 {
		return 0o037
	}
	return 0o077
}
