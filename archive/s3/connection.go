package s3

import (
	"context"
	"net"
	"time"
)

// connect makes a connection to the store.
func connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connectTime, KeepAlive: stallTime}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return moving{conn}, nil
}

// moving is a connection that is given up when no byte moves for stallTime while
// somebody waits for one: net/http bounds how long an answer takes to begin, but
// neither how long a request takes to be sent nor how long the rest takes to come.
type moving struct{ net.Conn }

// Read reads what comes. A sender's limit is moved on too, and by Write a reader's:
// net/http waits for the answer while it still sends.
func (m moving) Read(p []byte) (int, error) {
	if err := m.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return m.Conn.Read(p)
}

// Write sends.
func (m moving) Write(p []byte) (int, error) {
	if err := m.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}
