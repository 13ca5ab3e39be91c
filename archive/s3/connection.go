package s3

import (
	"context"
	"net"
	"time"
)

// connect opens a connection to the store.
func connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connectTime, KeepAlive: stallTime}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return moving{conn}, nil
}

// moving is a connection on which a Read or Write fails when no byte has moved for
// stallTime. net/http limits how long an answer takes to begin, but neither how long it
// takes to send a request nor how long the rest of an answer takes.
type moving struct{ net.Conn }

// Read reads from the connection. It also extends the deadline of a Write under way, and
// Write that of a Read, because net/http waits for the answer while it is still sending.
func (m moving) Read(p []byte) (int, error) {
	if err := m.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return m.Conn.Read(p)
}

// Write writes to the connection.
func (m moving) Write(p []byte) (int, error) {
	if err := m.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}
