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

// problem is the body of every answer that is not a success.
type problem struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"requestId,omitempty"`
}

// retryUnavailable is how long a client is asked to wait for what is not
// available just now.
const retryUnavailable = 5 * time.Second

// answer makes an answer of an error. It is the one gate through which errors
// reach clients: only the text that was wrapped around a Code below 500, or
// around one that is meant for clients, passes.
func (s *Server) answer(w *response, err error) {
	w.err = err
	if w.Status != 0 {
		// Bytes have left: only a broken connection tells the client the truth.
		panic(http.ErrAbortHandler)
	}
	code := codeOf(err)
	if code == callvault.InsufficientStorage && w.method != http.MethodPost {
		code = callvault.Unavailable // who sends nothing has nothing for which there is no room
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
		_, _ = w.Write(text) // a client who is gone needs no answer
	}
}

// codeOf is the status that an error is answered with.
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

// message is the sentence for the client.
func message(code callvault.Code, err error, id string) string {
	switch code {
	case callvault.Internal:
		return "something went wrong here; the log of the service tells more under request id " + id
	case callvault.Unavailable:
		return "the service cannot answer just now; try again in a few seconds (request id " + id + ")"
	case callvault.InsufficientStorage:
		return "no room is left to keep the recording, and nothing of it was kept; make room on the service's disk and send it again"
	}
	var wait callvault.Wait
	text := err.Error()
	if errors.As(err, &wait) {
		text = strings.ReplaceAll(text, ": "+wait.Error(), "")
	}
	return account.MaskKeys(strings.ReplaceAll(text, ": "+code.Error(), ""))
}
