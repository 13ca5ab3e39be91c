// Package server serves the recordings API over HTTP: lists, call info, audio and
// uploads, and the health checks and metrics with which operators watch a service.
//
// It decides in which order a request is checked and what each response looks
// like. Recordings and their audio belong to package archive, the identity of
// clients to package account, and the limits on what they ask for to package meter.
//
// It promises that every error response has the API's one error shape, that an
// interrupted list never looks complete, that no key reaches a response or the
// request log, and that no internal error reaches a response.
package server

import (
	"context"
	stdlog "log"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"callvault/account"
	"callvault/archive"
	"callvault/delivery"
	"callvault/ingest"
	"callvault/meter"
)

// Meter enforces the request and egress limits. It is a meter.Memory, or a
// meter.Shared if several services share a database.
type Meter interface {
	Admit(ctx context.Context, subject string, now time.Time) (meter.Standing, error)
	delivery.Meter
}

// Config is what a server needs. All fields are required unless they say otherwise.
type Config struct {
	Accounts *account.Accounts
	Meter    Meter
	Archive  *archive.Archive
	Log      *slog.Logger
	// MaxUpload is the maximum size of the body of an upload, in bytes.
	MaxUpload int64
	// DiskFree returns the number of bytes free where audio is stored; nil if that
	// cannot be known.
	DiskFree func() (int64, error)
	// Version is the program's version, for the metrics.
	Version string
	// Redirect answers requests for audio with a redirect to the store that has it,
	// instead of sending it. The archive's blob store must be able to make such links.
	Redirect bool
}

// DefaultMaxUpload is the default of Config.MaxUpload: 512 MiB.
const DefaultMaxUpload = 512 << 20

// Server answers requests. It is an http.Handler.
type Server struct {
	Config
	intake   *ingest.Intake
	metrics  *metrics
	stopping atomic.Bool
}

// New returns a server with the given configuration.
func New(config Config) *Server {
	s := &Server{Config: config, intake: ingest.New(config.Archive)}
	s.metrics = newMetrics(s)
	return s
}

// Stopping makes /readyz answer that the server is about to stop, so that load
// balancers send their requests elsewhere.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Limits that protect the operator's machine, in addition to the API's own. The
// headers of a request must arrive within headerTime and fit into maxHeader bytes,
// and all of it within delivery.Stall, which an upload extends as it arrives. An idle
// connection is closed after idleTime.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
)

// HTTP returns an http.Server for the handler, with limits that keep slow and
// greedy clients from tying up resources.
func HTTP(handler http.Handler, log *slog.Logger) *http.Server {
	graceful := &gracefulHandler{Handler: handler}
	return &http.Server{
		Handler:           graceful,
		BaseContext:       graceful.listen,
		ConnState:         graceful.count,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       delivery.Stall, // Server extends it while an upload arrives
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       delivery.Socket,
		ErrorLog:          stdlog.New(&netLog{log: log}, "", 0),
		// OPTIONS * is answered like every other request.
		DisableGeneralOptionsHandler: true,
	}
}

// netLog receives the log of net/http. Operators need to know when connections
// cannot be accepted and when a handler panicked; clients cause everything else.
type netLog struct {
	log       *slog.Logger
	lastError atomic.Int64 // Unix seconds; an error may recur many times a second
}

func (l *netLog) Write(line []byte) (int, error) {
	text, level := strings.TrimSpace(string(line)), slog.LevelDebug
	if strings.HasPrefix(text, "http: Accept error") || strings.HasPrefix(text, "http: panic") {
		now, last := time.Now().Unix(), l.lastError.Load()
		if now-last >= 60 && l.lastError.CompareAndSwap(last, now) {
			level = slog.LevelError
		}
	}
	l.log.Log(context.Background(), level, "connections", "error", text)
	return len(line), nil
}

// StopTime is how long Stop waits for responses that are being sent.
const StopTime = 30 * time.Second

// Stop stops an http.Server that HTTP returned. It accepts no new connections, closes
// each open one after its next response, and waits up to StopTime for responses that are
// being sent before it cuts them off. The server's Serve returns net.ErrClosed or
// http.ErrServerClosed.
func Stop(h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), StopTime)
	defer cancel()
	if graceful, ok := h.Handler.(*gracefulHandler); ok {
		graceful.drain()
	}
	if err := h.Shutdown(ctx); err != nil {
		return h.Close()
	}
	return nil
}
