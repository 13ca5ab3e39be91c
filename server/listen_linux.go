package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnsent limits how many unsent bytes the kernel holds for each connection
// that the listening socket accepts (tcp(7), TCP_NOTSENT_LOWAT), which they inherit
// from it. On a kernel without the option there is no limit.
func boundUnsent(_, _ string, socket syscall.RawConn) error {
	return socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
}
