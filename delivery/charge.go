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

// chargedWriter sends audio if the tenant's egress has room for it. It reserves
// egress when http.ServeContent writes the headers, which say how much will be sent,
// and refuses then or never. The error responses of http.ServeContent become errors.
type chargedWriter struct {
	http.ResponseWriter
	d           *Delivery
	r           *http.Request
	size        int64 // of the whole audio
	reservation *meter.Reservation
	sent        int64
	fetched     bool // the audio comes from another machine
	redirected  bool // the client reads the audio from another machine
	err         error
}

var errRefused = errors.New("refused")

// WriteHeader reserves egress for what is about to be sent, or sets c.err.
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
			c.fetched, c.err = true, remote.Fetch(length) // from the offset to which http.ServeContent has sought
		}
	}
	if c.err == nil {
		c.ResponseWriter.WriteHeader(status)
	}
}

// redirect answers with a link to the audio, and charges the audio as if it had been
// sent.
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
	c.sent, c.redirected = length, true
}

// severalRanges reports whether the response holds several ranges. Its length is then
// not the length of the audio in it.
func severalRanges(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "multipart/")
}

// refusal returns the error for an error status of http.ServeContent. Every 416 says
// how long the audio is (RFC 9110 15.5.17).
func (c *chargedWriter) refusal(status int) error {
	code := callvault.Code(status)
	if code != callvault.RangeNotSatisfiable {
		return fmt.Errorf("a condition of the request does not hold: %w", code)
	}
	valid := c.Header().Get("Content-Range") != "" // http.ServeContent sets it for a range outside the audio
	whole := fmt.Sprintf("bytes */%d", c.size)
	c.Header().Set("Content-Range", whole)
	if !valid {
		return fmt.Errorf("the Range cannot be read; send one such as bytes=0-999: %w", code)
	}
	return fmt.Errorf("the Range is outside the audio (%s): %w", whole, code)
}

// Write sends bytes, unless the request was refused or redirected.
func (c *chargedWriter) Write(p []byte) (int, error) {
	if c.err != nil || c.redirected {
		return 0, errRefused
	}
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

// ReadFrom sends a file, unless the request was refused or redirected. It flushes the
// headers first, into the corked socket: otherwise net/http would read the start of the
// file itself to send it with them.
func (c *chargedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	if c.err != nil || c.redirected {
		return 0, errRefused
	}
	if cork(c.r) {
		defer uncork(c.r)
		err = http.NewResponseController(c.ResponseWriter).Flush()
	}
	switch {
	case err != nil:
	case c.fetched:
		n, err = copyFetched(c.ResponseWriter, src)
	default:
		n, err = io.Copy(c.ResponseWriter, src) // uses its ReadFrom
	}
	c.sent += n
	return n, err
}

// buffers are for audio fetched from another machine, which sendfile cannot send. A new
// buffer each time would be most of the garbage of such a response.
var buffers = sync.Pool{New: func() any { return new([sendAtOnce]byte) }}

func copyFetched(dst io.Writer, src io.Reader) (int64, error) {
	buffer := buffers.Get().(*[sendAtOnce]byte)
	defer buffers.Put(buffer)
	return io.CopyBuffer(onlyWriter{dst}, src, buffer[:])
}

// settle charges what was really sent.
func (c *chargedWriter) settle() {
	if c.reservation != nil {
		c.reservation.Settle(c.sent, time.Now())
	}
}
