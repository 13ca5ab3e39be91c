package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Fault says how an exchange went wrong, other than by the answer's status. It is
// an error itself: errors.Is(err, client.TimedOut).
type Fault string

// The faults. The original error, such as a *net.DNSError, is wrapped as well.
const (
	// TimedOut: no byte for the idle timeout, or the ctx's deadline passed, or
	// connecting took too long.
	TimedOut Fault = "timed out"
	// Reset: the connection was lost before an answer came. The server may have
	// seen the request.
	Reset Fault = "connection lost"
	// Cut: an answer began and did not come whole: the connection was lost, the
	// body is shorter than announced, or a list is not closed, is not valid in the
	// middle, or is followed by something else.
	Cut Fault = "cut off"
	// Unresolved: the host's name could not be looked up.
	Unresolved Fault = "name not found"
	// Unreachable: no connection could be made.
	Unreachable Fault = "not reachable"
	// Untrusted: TLS failed: the certificate is not valid for the host, or the
	// other side does not speak TLS.
	Untrusted Fault = "not trusted"
	// BadAnswer: status 200 with something that is not what was asked for.
	BadAnswer Fault = "not an answer of the recordings API"
	// Redirected: the server redirects the request to where it must not go, or
	// more than three times.
	Redirected Fault = "sent elsewhere"
)

// Error returns the fault in a few words.
func (f Fault) Error() string { return string(f) }

var advice = map[Fault]string{
	TimedOut:    "ask for a shorter stretch of time, or try again later",
	Reset:       "try again later",
	Cut:         "what came of it cannot be trusted; ask again",
	Unresolved:  "check the host in the base address, and this machine's DNS",
	Unreachable: "check the base address, the network and the proxy settings",
	Untrusted:   "check the host in the base address; its certificate must be valid for it",
	BadAnswer:   "check that the base address is the recordings API's",
	Redirected:  "if that is the right address, give it as the base address",
}

// failure is an error with a text of its own, from which the key was removed.
type failure struct {
	text   string
	causes []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.causes }

// Timeout reports whether the failure is a timeout, as [net.Error] does.
func (f *failure) Timeout() bool { return errors.Is(f, TimedOut) }

// Temporary completes [net.Error].
func (f *failure) Temporary() bool { return f.Timeout() }

// stalled is the cause with which a watch ends a request: for how long no byte came.
type stalled time.Duration

func (s stalled) Error() string   { return "no byte came for " + time.Duration(s).String() }
func (s stalled) Timeout() bool   { return true }
func (s stalled) Temporary() bool { return true }

// faultError returns the error for a fault: what was attempted, what happened, what to
// do.
func (c *Client) faultError(what string, fault Fault, happened string, cause error) error {
	text := what + " at " + c.place() + ": " + string(fault)
	if happened != "" {
		text += ": " + happened
	}
	if tip := advice[fault]; tip != "" {
		text += "; " + tip
	}
	f := &failure{text: c.scrub(text), causes: []error{fault}}
	if cause != nil && !c.containsKey(cause.Error()) {
		f.causes = append(f.causes, cause)
	}
	return f
}

// exchangeError returns the error for err, which net/http reported during a request with
// this ctx of a watch. otherwise is the fault if err does not suggest a better one.
func (c *Client) exchangeError(ctx context.Context, what string, err error, otherwise Fault) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if _, ours := cause.(stalled); ours || errors.Is(cause, context.DeadlineExceeded) {
			return c.faultError(what, TimedOut, oneLine(c.scrub(cause.Error())), cause)
		}
		text := c.scrub(what + " at " + c.place() + ": stopped: " + oneLine(c.scrub(cause.Error())))
		return &failure{text: text, causes: []error{cause, ctx.Err()}}
	}
	return c.faultError(what, faultOf(err, otherwise), oneLine(c.scrub(err.Error())), err)
}

func faultOf(err error, otherwise Fault) Fault {
	var lookup *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout() && !isCertificate(err):
		return TimedOut
	case errors.As(err, &lookup):
		return Unresolved
	case isCertificate(err):
		return Untrusted
	case otherwise == Cut:
		return Cut
	case isOneOf(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return Reset
	case errorContains(err, "malformed ", "bad Content-Length", "headers exceeded", "unsupported transfer encoding"):
		return BadAnswer
	case errorContains(err, "server closed idle connection", "connection broken", "stream error", "GOAWAY"):
		return Reset
	}
	return otherwise
}

// errorContains recognizes errors by their words where net/http does not export their
// types.
func errorContains(err error, words ...string) bool {
	text := err.Error()
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

func isCertificate(err error) bool {
	var wrong *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &wrong) || errors.As(err, &record) || errors.As(err, &alert)
}

func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// minSecret is the shortest key that is searched for in foreign text: a shorter one
// would be found in every other word.
const minSecret = 4

const hidden = "[key]"

func (c *Client) containsKey(text string) bool {
	return len(c.key) >= minSecret && strings.Contains(text, c.key)
}

// scrub removes the key from a text.
func (c *Client) scrub(text string) string {
	if !c.containsKey(text) {
		return text
	}
	return strings.ReplaceAll(text, c.key, hidden)
}

// WithoutKey returns b, which a server sent, with the authentication key replaced: some
// servers repeat the request in their answer.
func (c *Client) WithoutKey(b []byte) []byte {
	if len(c.key) < minSecret {
		return b
	}
	return bytes.ReplaceAll(b, []byte(c.key), []byte(hidden))
}

// withoutCutKey returns b without the beginning of a key that the end of b cuts off.
func (c *Client) withoutCutKey(b []byte) []byte {
	for n := len(c.key) - 1; n >= minSecret; n-- {
		if bytes.HasSuffix(b, []byte(c.key[:n])) {
			return b[:len(b)-n]
		}
	}
	return b
}
