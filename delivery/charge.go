package delivery

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/meter"
)

// chargedWriter lets audio pass that the tenant's egress has room for. It
// reserves when the headers tell how much is to be sent, and refuses then or
// never; what http.ServeContent would answer itself becomes an error.
type chargedWriter struct {
	http.ResponseWriter
	d           *Delivery
	r           *http.Request
	size        int64 // of the whole audio
	reservation *meter.Reservation
	sent        int64
	fetched     bool // the audio comes from another machine
	elsewhere   bool // it was told where to read the audio
	err         error
}

var errRefused = errors.New("refused")

// WriteHeader looks at what is about to be sent.
func (c *chargedWriter) WriteHeader(status int) {
	if status >= 400 {
		c.err = c.refusal(status)
		return
	}
	length, err := strconv.ParseInt(c.Header().Get("Content-Length"), 10, 64)
	if err == nil && status != http.StatusNotModified && c.r.Method != http.MethodHead {
		c.reservation, c.err = c.d.Meter.Reserve(c.r.Context(), c.d.Tenant, length, time.Now())
		if c.err == nil && c.d.Link != nil && c.d.Format == Opus {
			c.redirect(length)
			return
		}
		if remote, ok := c.d.Audio.(archive.Remote); ok && c.err == nil && c.d.Format == Opus && !severalRanges(c.Header()) {
			c.fetched, c.err = true, remote.Fetch(length) // from where http.ServeContent has sought to
		}
	}
	if c.err == nil {
		c.ResponseWriter.WriteHeader(status)
	}
}

// redirect answers with where the audio can be read in place of the audio, and
// charges as if it had been sent.
func (c *chargedWriter) redirect(length int64) {
	link, err := c.d.Link(c.r.Context(), linkTime, map[string]string{"Content-Disposition": c.d.disposition()})
	if err != nil {
		c.err = err
		return
	}
	header := c.Header()
	for _, name := range []string{"Content-Type", "Content-Range", "Content-Disposition", "Accept-Ranges", "Repr-Digest", "Etag", "Last-Modified"} {
		header.Del(name)
	}
	header.Set("Location", link)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", "0")
	c.ResponseWriter.WriteHeader(http.StatusTemporaryRedirect)
	c.sent, c.elsewhere = length, true
}

// severalRanges tells whether the answer is of several ranges: its length is not
// that of one stretch of audio.
func severalRanges(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "multipart/")
}

// refusal is the error for a status with which http.ServeContent refuses. What
// there is of the audio is told with each 416 (RFC 9110 15.5.17).
func (c *chargedWriter) refusal(status int) error {
	code := callvault.Code(status)
	if code != callvault.RangeNotSatisfiable {
		return fmt.Errorf("a condition of the request does not hold: %w", code)
	}
	readable := c.Header().Get("Content-Range") != ""
	whole := fmt.Sprintf("bytes */%d", c.size)
	c.Header().Set("Content-Range", whole)
	if !readable {
		return fmt.Errorf("the Range cannot be read; send one such as bytes=0-999: %w", code)
	}
	return fmt.Errorf("the Range lies outside the audio (%s): %w", whole, code)
}

// Write sends bytes, unless the answer was refused.
func (c *chargedWriter) Write(p []byte) (int, error) {
	if c.err != nil || c.elsewhere {
		return 0, errRefused
	}
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

// ReadFrom sends a file, unless the answer was refused. Headers that are held go first:
// net/http would else read some of the file to send with them.
func (c *chargedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	if c.err != nil || c.elsewhere {
		return 0, errRefused
	}
	if hold(c.r) {
		defer release(c.r)
		err = http.NewResponseController(c.ResponseWriter).Flush()
	}
	switch {
	case err != nil:
	case c.fetched:
		n, err = copyFetched(c.ResponseWriter, src)
	default:
		n, err = io.Copy(c.ResponseWriter, src) // by the ReadFrom that it has
	}
	c.sent += n
	return n, err
}

// buffers are for what is fetched from elsewhere, which the kernel cannot send by
// itself: a new one each time would be most of what such an answer leaves behind.
var buffers = sync.Pool{New: func() any { return new([sendAtOnce]byte) }}

func copyFetched(dst io.Writer, src io.Reader) (int64, error) {
	buffer := buffers.Get().(*[sendAtOnce]byte)
	defer buffers.Put(buffer)
	return io.CopyBuffer(onlyWriter{dst}, src, buffer[:])
}

// settle charges what really left.
func (c *chargedWriter) settle() {
	if c.reservation != nil {
		c.reservation.Settle(c.sent, time.Now())
	}
}
