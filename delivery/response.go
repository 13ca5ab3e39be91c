package delivery

import (
	"io"
	"net/http"
	"time"
)

// Response is an http.ResponseWriter that knows what it has sent, hands files to
// the kernel, and gives up on a client who takes too long.
type Response struct {
	http.ResponseWriter
	Control  *http.ResponseController
	Status   int   // 0 until it is sent
	Bytes    int64 // of the body
	patience Patience
}

// NewResponse returns a response over w to a client who is given so much patience.
func NewResponse(w http.ResponseWriter, patience Patience) *Response {
	return &Response{ResponseWriter: w, Control: http.NewResponseController(w), patience: patience}
}

// Patience says how long a client may take: Stall without a byte; and where there
// is Hurry, once he had some time since Began, no slower on the whole than slowest,
// which events and audio that is played may be.
type Patience struct {
	Hurry bool
	Began time.Time // when he could first take or send something
	set   time.Time
}

// Stall is how long a client may neither take nor send a byte.
const Stall = 30 * time.Second

const (
	slowest     = 4 << 10 // bytes a second
	forSlowness = time.Minute
)

// Until is when the next bytes must have come after so many.
func (p *Patience) Until(now time.Time, bytes int64) time.Time {
	soon := now.Add(Stall)
	slow := p.Began.Add(forSlowness + time.Duration(bytes/slowest)*time.Second)
	if p.Hurry && slow.Before(soon) {
		return slow
	}
	return soon
}

// Renew tells whether it is time to set a deadline again: setting one costs more
// than a small write.
func (p *Patience) Renew(now time.Time) bool {
	if now.Sub(p.set) < time.Second {
		return false
	}
	p.set = now
	return true
}

// hurry moves on how long the client may take for what is written to him. Before
// the first byte he could take none: that time, of his upload or of our work, is
// not counted.
func (w *Response) hurry() {
	now := time.Now()
	if w.patience.Began.IsZero() {
		w.patience.Began = now
	}
	if w.patience.Renew(now) {
		_ = w.Control.SetWriteDeadline(w.patience.Until(now, w.Bytes)) // a connection without deadlines is the tests'
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
	w.hurry()
	n, err := w.ResponseWriter.Write(p)
	w.Bytes += int64(n)
	return n, err
}

// sendAtOnce is how many bytes of a file are handed to the kernel at a time, so
// that a slow client's deadline can be moved on between them: what the slowest
// takes in well under Stall.
const sendAtOnce = 64 << 10

// ReadFrom sends what src has, a file by sendfile.
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
		w.hurry()
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

// FlushError sends what is written so far, the headers alone where there is nothing.
func (w *Response) FlushError() error {
	w.hurry() // else the deadline would be that of an earlier answer
	return w.Control.Flush()
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
