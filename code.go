package callvault

import (
	"fmt"
	"net/http"
	"time"
)

// Code is a status number of the recordings API (seed, "Potential Errors"; HTTP
// semantics, RFC 9110 15). It is an error itself, so that a package can wrap the
// answer its caller should get: fmt.Errorf("recording %s: %w", key, NotFound).
type Code int

// The statuses that the API answers with. 509 is the seed's own.
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

// Name is the stable snake_case word for the status in an error body, such as
// "too_many_requests"; "status_418" for a number that the API does not use.
func (c Code) Name() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("status_%d", int(c))
}

// Error is the status as people write it: "404 not_found".
func (c Code) Error() string { return fmt.Sprintf("%d %s", int(c), c.Name()) }

// Wait is a refusal that says when to come back (Retry-After, RFC 9110 10.2.3).
type Wait struct {
	Code Code
	For  time.Duration
}

// Error names the status and the time to wait.
func (w Wait) Error() string { return fmt.Sprintf("%v, try again in %v", w.Code, w.For) }

// Unwrap makes a Wait count as its Code for errors.Is and errors.As.
func (w Wait) Unwrap() error { return w.Code }

// RetryAfter is the wait in whole seconds, rounded up, at least 1.
func (w Wait) RetryAfter() int64 {
	return max(1, int64((w.For+time.Second-1)/time.Second))
}
