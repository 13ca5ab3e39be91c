package delivery

import (
	"context"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

type socketKey struct{}

// Socket is the ConnContext of an http.Server whose connections Send then knows: the
// headers of an answer and its audio leave together, and not in a small packet before.
func Socket(ctx context.Context, conn net.Conn) context.Context {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return ctx // of TLS, which makes its own packets
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return ctx // it is closed
	}
	return context.WithValue(ctx, socketKey{}, socket)
}

// hold keeps what is written to the request's connection until a packet is full of it,
// or release is called: tcp(7)'s TCP_CORK. It tells whether it could.
func hold(r *http.Request) bool { return cork(r, 1) }

func release(r *http.Request) { cork(r, 0) }

func cork(r *http.Request, on int) (done bool) {
	socket, ok := r.Context().Value(socketKey{}).(syscall.RawConn)
	if !ok {
		return false
	}
	err := socket.Control(func(fd uintptr) {
		done = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on) == nil
	})
	return done && err == nil
}
