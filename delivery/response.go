package delivery

import (
	"io"
	"net/http"
	"time"
)

// Response is an http.ResponseWriter that records what it has sent, sends files with
// sendfile, and gives up on a client that is too slow.
type Response struct {
	http.ResponseWriter
	Control  *http.ResponseController
	Status   int   // 0 until it is sent
	Bytes    int64 // of the body
	patience Patience
}

// NewResponse returns a response that writes to w and gives the client that much
// patience.
func NewResponse(w http.ResponseWriter, patience Patience) *Response {
	return &Response{ResponseWriter: w, Control: http.NewResponseController(w), patience: patience}
}

// Patience is how slow a client may be. It may go without a byte for Stall. With Hurry
// it must also, after its first forSlowness, keep up the average rate slowest. Streams of
// events and audio that is played may be slower, and do without Hurry.
type Patience struct {
	Hurry bool
	Began time.Time // when the client could first receive or send something
	set   time.Time // when a deadline was last set
}

// Stall is how long a client may go without receiving or sending a byte.
const Stall = 30 * time.Second

const (
	slowest     = 4 << 10 // bytes a second
	forSlowness = time.Minute
)

// Until returns the deadline for the next bytes after so many bytes have passed.
func (p *Patience) Until(now time.Time, bytes int64) time.Time {
	soon := now.Add(Stall)
	slow := p.Began.Add(forSlowness + time.Duration(bytes/slowest)*time.Second)
	if p.Hurry && slow.Before(soon) {
		return slow
	}
	return soon
}

// Renew reports whether it is time to set a new deadline. Setting one costs more than
// a small write, so it is done at most once a second.
func (p *Patience) Renew(now time.Time) bool {
	if now.Sub(p.set) < time.Second {
		return false
	}
	p.set = now
	return true
}

// extendDeadline extends the deadline for what is written. The time before the first
// byte, taken up by the client's upload or by our work, does not count.
func (w *Response) extendDeadline() {
	now := time.Now()
	if w.patience.Began.IsZero() {
		w.patience.Began = now
	}
	if w.patience.Renew(now) {
		_ = w.Control.SetWriteDeadline(w.patience.Until(now, w.Bytes)) // fails only in tests without a connection
	}
}

// WriteHeader sends the status and the headers.
func (w *Response) WriteHeader(status int) {
	if w.Status == 0 && status >= 200 {
		w.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body.
func (w *Response) Write(p []byte) (int, error) {
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	w.extendDeadline()
	n, err := w.ResponseWriter.Write(p)
	w.Bytes += int64(n)
	return n, err
}

// sendAtOnce is how many bytes of a file are handed to the kernel at a time, so that
// the deadline can be extended in between. The slowest client allowed takes that much
// in well under Stall.
const sendAtOnce = 64 << 10

// ReadFrom sends the contents of src, a file with sendfile.
func (w *Response) ReadFrom(src io.Reader) (sent int64, err error) {
	to, fast := w.ResponseWriter.(io.ReaderFrom)
	limited, bounded := src.(*io.LimitedReader)
	if !fast || !bounded {
		return io.Copy(onlyWriter{w}, src)
	}
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	for limited.N > 0 {
		w.extendDeadline()
		part := io.LimitedReader{R: limited.R, N: min(limited.N, sendAtOnce)}
		n, err := to.ReadFrom(&part)
		sent += n
		w.Bytes += n
		limited.N -= n
		if err != nil || part.N > 0 {
			return sent, err
		}
	}
	return sent, nil
}

// FlushError sends what is written so far, or only the headers if that is nothing.
func (w *Response) FlushError() error {
	w.extendDeadline() // the deadline may be that of an earlier response
	return w.Control.Flush()
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
