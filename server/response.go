package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"callvault/account"
)

// response is an http.ResponseWriter that remembers what the log and the metrics
// tell of an answer, and that gives up on a client who takes too long.
type response struct {
	http.ResponseWriter
	control *http.ResponseController

	id       string
	endpoint string
	method   string
	began    time.Time
	user     string
	tenant   string
	key      string
	status   int
	bytes    int64
	err      error
	patience patience
}

func newResponse(w http.ResponseWriter, r *http.Request, endpoint string) *response {
	var id [8]byte
	rand.Read(id[:])
	now := time.Now()
	out := &response{
		ResponseWriter: w, control: http.NewResponseController(w),
		id: hex.EncodeToString(id[:]), endpoint: endpoint, method: r.Method, began: now,
	}
	header := w.Header()
	header.Set("X-Request-Id", out.id)
	header.Set("X-Content-Type-Options", "nosniff")
	return out
}

// patience says how long a client may take: stall without a byte, and on the
// whole no slower than slowest once it had some time.
type patience struct {
	began time.Time
	set   time.Time
}

const (
	stall       = 30 * time.Second
	slowest     = 4 << 10 // bytes a second
	forSlowness = time.Minute
)

// until is when the next bytes must have come after so many.
func (p *patience) until(now time.Time, bytes int64) time.Time {
	slow := p.began.Add(forSlowness + time.Duration(bytes/slowest)*time.Second)
	if soon := now.Add(stall); soon.Before(slow) {
		return soon
	}
	return slow
}

// renew tells whether it is time to set a deadline again: setting one costs more
// than a small write.
func (p *patience) renew(now time.Time) bool {
	if now.Sub(p.set) < time.Second {
		return false
	}
	p.set = now
	return true
}

// hurry moves on how long the client may take for what is written to him. Before
// the first byte he could take none: that time, of his upload or of our work, is
// not counted.
func (w *response) hurry() {
	now := time.Now()
	if w.patience.began.IsZero() {
		w.patience.began = now
	}
	if w.patience.renew(now) {
		_ = w.control.SetWriteDeadline(w.patience.until(now, w.bytes)) // a connection without deadlines is the tests'
	}
}

// WriteHeader sends the status and the headers.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.hurry()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// sendAtOnce is how many bytes of a file are handed to the kernel at a time, so
// that a slow client's deadline can be moved on between them: what the slowest
// takes in well under stall.
const sendAtOnce = 64 << 10

// ReadFrom sends what src has, a file by sendfile.
func (w *response) ReadFrom(src io.Reader) (sent int64, err error) {
	to, fast := w.ResponseWriter.(io.ReaderFrom)
	limited, bounded := src.(*io.LimitedReader)
	if !fast || !bounded {
		return io.Copy(onlyWriter{w}, src)
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for limited.N > 0 {
		w.hurry()
		part := io.LimitedReader{R: limited.R, N: min(limited.N, sendAtOnce)}
		n, err := to.ReadFrom(&part)
		sent += n
		w.bytes += n
		limited.N -= n
		if err != nil || part.N > 0 {
			return sent, err
		}
	}
	return sent, nil
}

// onlyWriter hides ReadFrom from io.Copy.
type onlyWriter struct{ io.Writer }

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// leaveBody lets the answer leave although the request has a body that is not
// read, or not to its end: net/http would wait for that of a short one first.
func (w *response) leaveBody(r *http.Request) {
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// impatient is a request's body whose sender is given up on when he stalls.
type impatient struct {
	io.ReadCloser
	control  *http.ResponseController
	patience patience
	bytes    int64
	ended    bool
}

// takeBody is the request's body, for a handler that reads it.
func (w *response) takeBody(r *http.Request) *impatient {
	w.Header().Del("Connection")
	return &impatient{ReadCloser: r.Body, control: w.control, patience: patience{began: w.began}}
}

// Read reads the next bytes of the body. Once all are there nobody is waited for:
// what is then done with them may take its time.
func (b *impatient) Read(p []byte) (int, error) {
	if now := time.Now(); b.patience.renew(now) {
		_ = b.control.SetReadDeadline(b.patience.until(now, b.bytes)) // a connection without deadlines is the tests'
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	if err == io.EOF {
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// finish counts and logs an answer, and turns a panic into one.
func (s *Server) finish(w *response, r *http.Request) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		s.Log.Error("panic", "request_id", w.id, "panic", fault, "at", panicPlace())
		w.err = errPanic
		if w.status == 0 {
			s.answer(w, errPanic)
			fault = nil
		}
	}
	took := time.Since(w.began)
	s.metrics.count(w, took)
	s.logRequest(w, r, took)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
}

// panicPlace is the line of our code, or of a library's, at which the panic began
// that is being recovered from.
func panicPlace() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		internal := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !internal {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

func (s *Server) logRequest(w *response, r *http.Request, took time.Duration) {
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("request_id", w.id), slog.String("remote", remote(r)),
		slog.String("method", w.method), slog.String("endpoint", w.endpoint),
		slog.String("user", w.user), slog.String("tenant", account.MaskKeys(w.tenant)), slog.String("key", account.MaskKeys(w.key)),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000))
	if w.err != nil {
		attrs = append(attrs, slog.String("error", account.MaskKeys(w.err.Error())))
		if w.status >= 500 && w.status != 509 && !errors.Is(w.err, context.Canceled) { // no fault of ours: the client left
			level = slog.LevelError
		}
	}
	s.Log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// remote is the address of a client, without his port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// bufferSize is how many bytes of a list are gathered before they leave.
const bufferSize = 128 << 10

// newBuffer gathers what is written to w.
func newBuffer(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, bufferSize) }
