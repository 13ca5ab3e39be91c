package callvault

import (
	"fmt"
	"net/http"
	"time"
)

// Code is a status number of the recordings API (API guide, "Potential Errors";
// HTTP semantics, RFC 9110 15). It is itself an error, so that a package can wrap
// the status a client should get: fmt.Errorf("recording %s: %w", key, NotFound).
type Code int

// The statuses of the API's error responses. 509 is not HTTP's but the API's own.
const (
	InvalidParameter     Code = http.StatusBadRequest
	Unauthorized         Code = http.StatusUnauthorized
	Forbidden            Code = http.StatusForbidden
	NotFound             Code = http.StatusNotFound
	MethodNotAllowed     Code = http.StatusMethodNotAllowed
	Conflict             Code = http.StatusConflict
	PreconditionFailed   Code = http.StatusPreconditionFailed
	PayloadTooLarge      Code = http.StatusRequestEntityTooLarge
	UnsupportedMediaType Code = http.StatusUnsupportedMediaType
	RangeNotSatisfiable  Code = http.StatusRequestedRangeNotSatisfiable
	UnprocessableAudio   Code = http.StatusUnprocessableEntity
	TooManyRequests      Code = http.StatusTooManyRequests
	Internal             Code = http.StatusInternalServerError
	Unavailable          Code = http.StatusServiceUnavailable
	InsufficientStorage  Code = http.StatusInsufficientStorage
	BandwidthExceeded    Code = 509
)

var codeNames = map[Code]string{
	InvalidParameter:     "invalid_parameter",
	Unauthorized:         "unauthorized",
	Forbidden:            "forbidden",
	NotFound:             "not_found",
	MethodNotAllowed:     "method_not_allowed",
	Conflict:             "conflict",
	PreconditionFailed:   "precondition_failed",
	PayloadTooLarge:      "payload_too_large",
	UnsupportedMediaType: "unsupported_media_type",
	RangeNotSatisfiable:  "range_not_satisfiable",
	UnprocessableAudio:   "unprocessable_audio",
	TooManyRequests:      "too_many_requests",
	Internal:             "internal",
	Unavailable:          "unavailable",
	InsufficientStorage:  "insufficient_storage",
	BandwidthExceeded:    "bandwidth_limit_exceeded",
}

// Name returns the stable snake_case name of the status in an error body, such as
// "too_many_requests", or "status_418" for a number that the API does not use.
func (c Code) Name() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("status_%d", int(c))
}

// Error returns the number and the name: "404 not_found".
func (c Code) Error() string { return fmt.Sprintf("%d %s", int(c), c.Name()) }

// Wait is a refusal that says when to try again (Retry-After, RFC 9110 10.2.3).
type Wait struct {
	Code Code
	For  time.Duration
}

// Error returns the status and the time to wait.
func (w Wait) Error() string { return fmt.Sprintf("%v, try again in %v", w.Code, w.For) }

// Unwrap returns the Code, so that errors.Is and errors.As find it.
func (w Wait) Unwrap() error { return w.Code }

// RetryAfter returns the wait in whole seconds, rounded up and at least 1.
func (w Wait) RetryAfter() int64 {
	return max(1, int64((w.For+time.Second-1)/time.Second))
}
