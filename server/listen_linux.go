package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnsent bounds what the connections that a socket accepts keep unsent
// (tcp(7), TCP_NOTSENT_LOWAT): they take the option over from it. A kernel that
// cannot is served from all the same.
func boundUnsent(_, _ string, socket syscall.RawConn) error {
	return socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
}
