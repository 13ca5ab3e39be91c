package delivery

import (
	"context"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

type socketKey struct{}

// Socket is the ConnContext for an http.Server that uses Send. With it, Send can put the
// headers of a response and the start of its audio into one packet.
func Socket(ctx context.Context, conn net.Conn) context.Context {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return ctx // TLS makes its own packets
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return ctx // the connection is closed
	}
	return context.WithValue(ctx, socketKey{}, socket)
}

// cork makes the kernel hold back what is written to the request's connection until it
// fills a packet, or until uncork (tcp(7), TCP_CORK). It reports whether it did.
func cork(r *http.Request) bool { return setCork(r, 1) }

func uncork(r *http.Request) { setCork(r, 0) }

func setCork(r *http.Request, on int) (done bool) {
	socket, ok := r.Context().Value(socketKey{}).(syscall.RawConn)
	if !ok {
		return false
	}
	err := socket.Control(func(fd uintptr) {
		done = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on) == nil
	})
	return done && err == nil
}
