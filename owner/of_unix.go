//go:build unix

package owner

import (
	"os"
	"syscall"
)

// of returns the owner and group of a file or folder.
func of(info os.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
