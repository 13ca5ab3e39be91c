package server

import (
	"context"
	"net"
)

// maxUnsent is how many bytes of an answer may wait in this machine for the
// network. By the kernel's own measure, megabytes, a recording of an hour is gone,
// and charged, as soon as it was asked for, also when nobody takes it.
const maxUnsent = 64 << 10

// Listen listens on a TCP address for connections whose answers leave no faster
// than the network takes them, so that the bytes which are charged are those that
// left. Linux can be told so; elsewhere what its kernel takes counts as sent.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: boundUnsent}
	config.SetMultipathTCP(false) // its listeners do not hand the bound on to their connections
	return config.Listen(ctx, "tcp", address)
}
