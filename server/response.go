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
	"callvault/delivery"
)

// response is a response in progress, with what the log and the metrics record of it.
type response struct {
	*delivery.Response

	id       string
	endpoint string
	method   string
	began    time.Time
	user     string
	tenant   string
	key      string
	err      error
}

func newResponse(w http.ResponseWriter, r *http.Request, endpoint string) *response {
	var id [8]byte
	rand.Read(id[:])
	now := time.Now()
	out := &response{
		Response: delivery.NewResponse(w, delivery.Patience{Hurry: true}),
		id:       hex.EncodeToString(id[:]), endpoint: endpoint, method: r.Method, began: now,
	}
	header := w.Header()
	header.Set("X-Request-Id", out.id)
	header.Set("X-Content-Type-Options", "nosniff")
	return out
}

// leaveBody lets the response be sent although the request's body is not read to its
// end. Otherwise net/http would first wait for the rest of a short body.
func (w *response) leaveBody(r *http.Request) {
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

// patientBody is the body of a request. Reading it fails once the client has been too
// slow for too long.
type patientBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience delivery.Patience
	bytes    int64
	ended    bool
}

// takeBody returns the request's body, for a handler that reads it. It undoes leaveBody.
func (w *response) takeBody(r *http.Request) *patientBody {
	w.Header().Del("Connection")
	return &patientBody{ReadCloser: r.Body, control: w.Control, patience: delivery.Patience{Hurry: true, Began: w.began}}
}

// Read reads the next bytes of the body. At its end it lifts the deadline, so that the
// handler may take its time with what it has read.
func (b *patientBody) Read(p []byte) (int, error) {
	if now := time.Now(); b.patience.Renew(now) {
		_ = b.control.SetReadDeadline(b.patience.Until(now, b.bytes)) // fails only in tests without a connection
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	if err == io.EOF {
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// finish turns a panic into an error response, and counts and logs the response.
func (s *Server) finish(w *response, r *http.Request) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		s.Log.Error("panic", "request_id", w.id, "panic", fault, "at", panicPlace())
		w.err = errPanic
		if w.Status == 0 {
			s.fail(w, errPanic)
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

// panicPlace returns the file and line, of our code or a library's, at which the panic
// that is being recovered from began.
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
		slog.Int("status", w.Status), slog.Int64("bytes", w.Bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000))
	if w.err != nil {
		attrs = append(attrs, slog.String("error", account.MaskKeys(w.err.Error())))
		if w.Status >= 500 && w.Status != 509 && !errors.Is(w.err, context.Canceled) { // canceled: the client left
			level = slog.LevelError
		}
	}
	s.Log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// remote returns the client's address without the port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// bufferSize is how many bytes of a list are sent at a time.
const bufferSize = 128 << 10

// newBuffer returns a buffer of bufferSize in front of w.
func newBuffer(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, bufferSize) }
