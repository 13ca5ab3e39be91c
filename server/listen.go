package server

import (
	"context"
	"net"
)

// maxUnsent is how many bytes of a response may wait in the kernel to be sent. By
// default these are megabytes: a recording of an hour would be charged as sent at
// once, even if the client never read it.
const maxUnsent = 64 << 10

// Listen listens on a TCP address. On Linux, the kernel takes no more of a response
// than the network takes plus maxUnsent bytes, so that little more is charged as egress
// than was really sent. Elsewhere everything the kernel takes counts as sent.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: boundUnsent}
	config.SetMultipathTCP(false) // its connections do not inherit the limit from the listener
	return config.Listen(ctx, "tcp", address)
}
