package pages

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"callvault"
	"callvault/archive"
	"callvault/meter"
)

// problem is an error as its page shows it.
type problem struct {
	Code    int    `json:"-"`
	Name    string `json:"code"`
	Head    string `json:"-"`
	Message string `json:"message"`
	ID      string `json:"requestId,omitempty"`
	Again   int64  `json:"-"` // when to try again, in Unix milliseconds; 0 if unknown
}

// heads are the titles of error pages.
var heads = map[callvault.Code]string{
	callvault.InvalidParameter:  "That is not valid",
	callvault.Forbidden:         "No access",
	callvault.NotFound:          "Not found",
	callvault.MethodNotAllowed:  "Not possible here",
	callvault.Conflict:          "It has changed in the meantime",
	callvault.PayloadTooLarge:   "Too large",
	callvault.TooManyRequests:   "One moment",
	callvault.BandwidthExceeded: "The tenant's audio limit is used up for now",
	callvault.Unavailable:       "Not available just now",
}

// fail answers with an error: as a page, or as JSON for a script that asks for it.
// It is the one gate through which errors reach visitors: it lets through only text
// wrapped around a Code below 500, or around 509.
func (p *Pages) fail(x *exchange, err error) {
	x.err = err
	if x.out.Status != 0 {
		panic(http.ErrAbortHandler) // part of an answer has been sent: only a broken connection can signal the error
	}
	code := codeOf(err)
	shown := problem{Code: int(code), Name: code.Name(), Head: heads[code], Message: message(code, err)}
	if shown.Head == "" {
		shown.Head = "Something went wrong"
	}
	if code >= 500 && code != callvault.BandwidthExceeded {
		shown.ID = x.id
	}
	header := x.out.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified", "Accept-Ranges"} {
		header.Del(name)
	}
	header.Set("Cache-Control", "no-store")
	if wait := x.setRetryAfter(err); wait > 0 {
		shown.Again = x.now.UnixMilli() + wait*1000
	}
	if strings.Contains(x.r.Header.Get("Accept"), "application/json") {
		header.Set("Content-Type", "application/json")
		x.out.WriteHeader(int(code))
		_ = json.NewEncoder(x.out).Encode(shown) // an error means that the client has gone
		return
	}
	if err := p.renderStatus(x, int(code), "problem", view{Title: shown.Head, Data: shown}); err != nil {
		panic(err) // three strings always make a page
	}
}

// setRetryAfter sets the header Retry-After if the error says when to come back and
// waiting would help. It returns the number of seconds, or 0 if it set none.
func (x *exchange) setRetryAfter(err error) int64 {
	var wait callvault.Wait
	if !errors.As(err, &wait) || errors.Is(err, meter.ErrNeverFits) {
		return 0
	}
	x.out.Header().Set("Retry-After", strconv.FormatInt(wait.RetryAfter(), 10))
	return wait.RetryAfter()
}

// codeOf returns the status with which an error is answered.
func codeOf(err error) callvault.Code {
	var code callvault.Code
	var big *http.MaxBytesError
	switch err = archive.StorageError(err); {
	case errors.As(err, &big):
		return callvault.PayloadTooLarge
	case errors.As(err, &code) && (http.StatusText(int(code)) != "" || code == callvault.BandwidthExceeded):
		return code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return callvault.Unavailable
	}
	return callvault.Internal
}

// message returns the sentence about an error that the visitor sees.
func message(code callvault.Code, err error) string {
	switch {
	case code == callvault.PayloadTooLarge:
		return "What was sent is too large."
	case code == callvault.Unavailable:
		return "The service cannot answer just now. Try again in a few seconds."
	case code >= 500 && code != callvault.BandwidthExceeded:
		return "Something went wrong here, and it is not your fault. The service's log says more."
	}
	return sentence(err)
}

// sentence returns the text of an error as a sentence: without status codes, with a
// capital letter and a full stop.
func sentence(err error) string {
	var wait callvault.Wait
	var code callvault.Code
	text := err.Error()
	if errors.As(err, &wait) {
		text = strings.ReplaceAll(text, ": "+wait.Error(), "")
	}
	if errors.As(err, &code) {
		text = strings.ReplaceAll(text, ": "+code.Error(), "")
	}
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:] + "."
}
