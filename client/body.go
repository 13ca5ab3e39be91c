package client

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// maxDrain is how much of an unread body is read away so that its connection
	// can be used again.
	maxDrain = 32 << 10
	// drainFor is how long that may take.
	drainFor = 250 * time.Millisecond
)

// body is the body of an answer, whose errors are those of this package.
type body struct {
	rc     io.ReadCloser
	watch  *watch
	client *Client
	what   string
	size   int64 // as announced; -1 is unknown
	read   atomic.Int64
	ended  atomic.Bool // nothing more comes
	closed atomic.Bool
}

// Read returns io.EOF only after a body that came whole.
func (b *body) Read(p []byte) (int, error) {
	b.watch.start(b.client.idle)
	n, err := b.rc.Read(p)
	b.watch.stop()
	read := b.read.Add(int64(n))
	if err == nil {
		return n, nil
	}
	b.ended.Store(true)
	switch {
	case err == io.EOF && (b.size < 0 || read == b.size):
		return n, io.EOF
	case err == io.EOF:
		return n, b.client.faultError(b.what, Cut, fmt.Sprintf("%d bytes were announced and %d came", b.size, read), io.ErrUnexpectedEOF)
	case b.closed.Load():
		return n, err
	}
	what := b.what + ", after " + bytesOf(read, b.size) + ","
	return n, b.client.exchangeError(b.watch.ctx, what, err, Cut)
}

func bytesOf(read, size int64) string {
	if size < 0 {
		return fmt.Sprintf("%d bytes", read)
	}
	return fmt.Sprintf("%d of %d bytes", read, size)
}

// Close frees the connection, for use again when little is left of the body.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if !b.ended.Load() && b.size-b.read.Load() <= maxDrain {
		b.watch.start(drainFor)
		io.CopyN(io.Discard, b.rc, maxDrain)
	}
	b.watch.end()
	return b.rc.Close()
}
