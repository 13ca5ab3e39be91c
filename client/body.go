package client

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// maxDrain is how many bytes of an unread body are read, so that its
	// connection can be used again.
	maxDrain = 32 << 10
	// drainFor is how long that may take.
	drainFor = 250 * time.Millisecond
)

// body is the body of an answer. Its errors are this package's.
type body struct {
	rc     io.ReadCloser
	watch  *watch
	client *Client
	what   string
	size   int64 // as announced; -1 if unknown
	read   atomic.Int64
	ended  atomic.Bool // a Read has failed or met the end
	closed atomic.Bool
}

// Read returns io.EOF only at the end of a body that came whole.
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

// Close releases the connection, which can be used again if little of the body is
// left.
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
