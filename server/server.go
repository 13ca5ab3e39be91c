// Package server speaks the recordings API over HTTP: lists, call info, audio,
// taking recordings in, and what an operator watches a service by.
//
// It decides in which order a request is checked and what each answer looks
// like. What is known and held is the archive's, who asks is account's, how much
// he asked is the meter's.
//
// It promises that every answer that is not a success has the API's one error
// shape, that a list which broke off never looks whole, and that neither a key
// nor an internal error reaches an answer or the log of requests.
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

// Meter is the request and egress limits: a meter.Memory, or, where many services
// share a database, a meter.Shared.
type Meter interface {
	Admit(ctx context.Context, subject string, now time.Time) (meter.Standing, error)
	delivery.Meter
}

// Config is what a server works with. All fields are needed unless said otherwise.
type Config struct {
	Accounts *account.Accounts
	Meter    Meter
	Archive  *archive.Archive
	Log      *slog.Logger
	// MaxUpload is the most bytes that the body of an upload may have.
	MaxUpload int64
	// DiskFree tells the bytes free where audio is kept; nil where nobody knows.
	DiskFree func() (int64, error)
	// Version is the program's, for the metrics.
	Version string
	// Redirect answers for audio with where to read it, instead of sending it. The
	// archive's blobs must be a store that gives such addresses.
	Redirect bool
}

// DefaultMaxUpload is the usual Config.MaxUpload: 512 MiB.
const DefaultMaxUpload = 512 << 20

// Server answers requests. It is an http.Handler.
type Server struct {
	Config
	intake   *ingest.Intake
	metrics  *metrics
	stopping atomic.Bool
}

// New returns a server over the config.
func New(config Config) *Server {
	s := &Server{Config: config, intake: ingest.New(config.Archive)}
	s.metrics = newMetrics(s)
	return s
}

// Stopping makes /readyz say that the server is about to stop, so that balancers
// send their requests elsewhere.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Limits on what a client may take of an operator's machine, beyond the API's
// own: headers must come within headerTime and fit into maxHeader bytes, a body
// that no handler reads for longer is not waited for after delivery.Stall, an idle
// connection is closed after idleTime.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
)

// HTTP returns the http.Server that runs the handler with the limits that keep
// slow and greedy clients from costing anything.
func HTTP(handler http.Handler, log *slog.Logger) *http.Server {
	lasting := &lasting{Handler: handler}
	return &http.Server{
		Handler:           lasting,
		BaseContext:       lasting.listen,
		ConnState:         lasting.count,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       delivery.Stall, // Server moves it on while an upload comes
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       delivery.Socket,
		ErrorLog:          stdlog.New(&netLog{log: log}, "", 0),
		// OPTIONS * is answered as every other request.
		DisableGeneralOptionsHandler: true,
	}
}

// netLog takes what net/http says. That no connection can be taken, or that one
// ended in a panic, is the operator's to know; anything else is a client's doing.
type netLog struct {
	log  *slog.Logger
	told atomic.Int64 // when last, Unix seconds: it may go on many times a second
}

func (l *netLog) Write(line []byte) (int, error) {
	text, level := strings.TrimSpace(string(line)), slog.LevelDebug
	if strings.HasPrefix(text, "http: Accept error") || strings.HasPrefix(text, "http: panic") {
		now, last := time.Now().Unix(), l.told.Load()
		if now-last >= 60 && l.told.CompareAndSwap(last, now) {
			level = slog.LevelError
		}
	}
	l.log.Log(context.Background(), level, "connections", "error", text)
	return len(line), nil
}

// StopTime is how long a stop waits for what is being sent.
const StopTime = 30 * time.Second

// Stop ends an http.Server: no new connections, those that are there end with their next
// answer, what is being sent is finished, and cut off after StopTime. Its Serve returns
// net.ErrClosed, or http.ErrServerClosed.
func Stop(h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), StopTime)
	defer cancel()
	if lasting, ok := h.Handler.(*lasting); ok {
		lasting.end()
	}
	if err := h.Shutdown(ctx); err != nil {
		return h.Close()
	}
	return nil
}
