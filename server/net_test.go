package server_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"

	"callvault/server"
)

// exhausted is a net.Listener in a process that can open no more files.
type exhausted struct{ left int }

func (e *exhausted) Accept() (net.Conn, error) {
	if e.left--; e.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

func (e *exhausted) Close() error   { return nil }
func (e *exhausted) Addr() net.Addr { return &net.TCPAddr{} }

// TestNoConnectionCanBeTaken: the log says so, once and not each time.
func TestNoConnectionCanBeTaken(t *testing.T) {
	var log bytes.Buffer
	h := server.HTTP(nil, slog.New(slog.NewJSONHandler(&log, nil)))
	if err := h.Serve(&exhausted{3}); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"level":"ERROR"`) || !strings.Contains(text, "too many open files") {
		t.Errorf("the log says:\n%s", text)
	}
}
