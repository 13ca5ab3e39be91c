package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

// problem is the body of every error response.
type problem struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"requestId,omitempty"`
}

// retryUnavailable is the Retry-After of a 503.
const retryUnavailable = 5 * time.Second

// fail answers with an error. It is the only way in which errors reach clients:
// they see the text of an error only if it wraps a Code below 500, or 509.
func (s *Server) fail(w *response, err error) {
	w.err = err
	if w.Status != 0 {
		// Part of the response is sent: only a broken connection shows that it is incomplete.
		panic(http.ErrAbortHandler)
	}
	code := codeOf(err)
	if code == callvault.InsufficientStorage && w.method != http.MethodPost {
		code = callvault.Unavailable // 507 is about storing what the client sent
	}
	body := problem{Code: code.Name(), Message: message(code, err, w.id)}
	header := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified", "Repr-Digest", "Accept-Ranges", "Cache-Control"} {
		header.Del(name)
	}
	if code != callvault.RangeNotSatisfiable {
		header.Del("Content-Range")
	}
	var wait callvault.Wait
	if errors.As(err, &wait) {
		header.Set("Retry-After", strconv.FormatInt(wait.RetryAfter(), 10))
	} else if code == callvault.Unavailable {
		header.Set("Retry-After", strconv.Itoa(int(retryUnavailable/time.Second)))
	}
	if code == callvault.Unauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if code == callvault.Internal || code == callvault.Unavailable {
		body.RequestID = w.id
	}
	text, marshalErr := json.Marshal(body)
	if marshalErr != nil {
		panic(marshalErr) // three strings always have a JSON form
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(int(code))
	if w.method != http.MethodHead {
		_, _ = w.Write(text) // a client that is gone needs no answer
	}
}

// codeOf returns the status for an error.
func codeOf(err error) callvault.Code {
	var code callvault.Code
	err = archive.StorageError(err)
	switch {
	case errors.As(err, &code) && http.StatusText(int(code)) != "" || code == callvault.BandwidthExceeded:
		return code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return callvault.Unavailable
	}
	return callvault.Internal
}

// message returns the sentence for the client.
func message(code callvault.Code, err error, id string) string {
	switch code {
	case callvault.Internal:
		return "something went wrong in the service; its log says more under request id " + id
	case callvault.Unavailable:
		return "the service cannot answer right now; try again in a few seconds (request id " + id + ")"
	case callvault.InsufficientStorage:
		return "the service has no room left for the recording, and stored nothing of it; make room on its disk and send the recording again"
	}
	var wait callvault.Wait
	text := err.Error()
	if errors.As(err, &wait) {
		text = strings.ReplaceAll(text, ": "+wait.Error(), "")
	}
	return account.MaskKeys(strings.ReplaceAll(text, ": "+code.Error(), ""))
}
