package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callvault"
)

const (
	// maxEvidence is how many bytes of a refusal's body are kept.
	maxEvidence = 64 << 10
	// evidenceFor is how long reading it may take.
	evidenceFor = 10 * time.Second
	// maxWait limits a Retry-After, so that it can be added to a time.
	maxWait = 365 * 24 * time.Hour
)

// Refusal is the evidence of an answer whose status was not 200.
type Refusal struct {
	// Status is the HTTP status as it came.
	Status int
	// Header is the answer's header without cookies and authentication.
	Header http.Header
	// Body is the first 64 KiB of the body, or less if it broke off.
	Body []byte
	// Name and Message are the code and message of the API's error (API guide,
	// "Potential Errors"), printable and shortened; "" if the body has none.
	Name, Message string
}

// RefusalOf returns the refusal that err wraps. ok is false if err is not about an
// answer's status.
func RefusalOf(err error) (r Refusal, ok bool) {
	var wrapped *refusal
	if !errors.As(err, &wrapped) {
		return Refusal{}, false
	}
	return wrapped.Refusal, true
}

// refusal is the error of an answer other than 200.
type refusal struct {
	Refusal
	text   string
	causes []error
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Unwrap() []error { return r.causes }

// refusalError reads the evidence, closes the answer and returns its error. problem
// says why a redirect was not followed; it is "" for every other status.
func (c *Client) refusalError(what string, resp *http.Response, problem string) error {
	evidence := c.evidence(resp.Body)
	resp.Body.Close()
	r := &refusal{Refusal: Refusal{Status: resp.StatusCode, Header: c.cleanHeader(resp.Header), Body: evidence}}
	r.Name, r.Message = apiError(evidence)
	code := callvault.Code(resp.StatusCode)
	var status error = code
	wait, ok := retryAfter(resp.Header, time.Now())
	if ok {
		status = callvault.Wait{Code: code, For: wait}
	}
	r.causes = []error{status}
	text := fmt.Sprintf("%s at %s: answered with status %d", what, c.place(), resp.StatusCode)
	if wait > 0 {
		text += fmt.Sprintf(", try again in %v", wait)
	}
	if r.Message != "" {
		text += fmt.Sprintf(": the server says %q", r.Message)
	}
	tip := statusAdvice[code]
	if problem != "" {
		r.causes = append(r.causes, Redirected)
		text += ": " + problem
		tip = advice[Redirected]
	}
	if tip == "" {
		tip = otherAdvice(code)
	}
	r.text = c.scrub(text + "; " + tip)
	return r
}

var statusAdvice = map[callvault.Code]string{
	callvault.InvalidParameter:  "check the stretch of time and the names that were asked for",
	callvault.Unauthorized:      "give a key that is valid now; a refreshed key makes the old one void",
	callvault.Forbidden:         "give the service user access to it",
	callvault.NotFound:          "it is not there, or the base address is not the recordings API's",
	callvault.TooManyRequests:   "ask less often: 3 requests in 10 seconds are allowed for a tenant",
	callvault.BandwidthExceeded: "wait until the tenant's use of the last 5 days has fallen, or ask Support to reset it",
}

func otherAdvice(code callvault.Code) string {
	switch {
	case code >= 500:
		return "try again later"
	case code >= 400:
		return "check the base address and what was asked for"
	}
	return "only status 200 is an answer here; check that the base address is the recordings API's"
}

// evidence reads the part of a body that is kept.
func (c *Client) evidence(r io.Reader) []byte {
	if b, ok := r.(*body); ok {
		// The idle timeout alone would let a body drip for hours.
		limit := time.AfterFunc(evidenceFor, func() { b.watch.cancel(stalled(evidenceFor)) })
		defer limit.Stop()
	}
	// A little more, so that a key at the edge is seen whole and removed.
	limit := maxEvidence + len(c.key)
	read, _ := io.ReadAll(io.LimitReader(r, int64(limit)))
	evidence := c.WithoutKey(read)
	if len(read) == limit {
		evidence = c.withoutCutKey(evidence)
	}
	return evidence[:min(len(evidence), maxEvidence)]
}

// cleanHeader returns a copy of an answer's header without secrets.
func (c *Client) cleanHeader(header http.Header) http.Header {
	kept := header.Clone()
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Authentication-Info",
		"Proxy-Authentication-Info", "Cookie", "Set-Cookie", "Set-Cookie2"} {
		kept.Del(name)
	}
	for _, values := range kept {
		for i := range values {
			values[i] = c.scrub(values[i])
		}
	}
	return kept
}

// apiError reads the API's error body, even if its fields have wrong types.
func apiError(evidence []byte) (name, message string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(evidence, &fields) != nil {
		return "", ""
	}
	// A field of another type leaves its string empty.
	_ = json.Unmarshal(fields["code"], &name)
	_ = json.Unmarshal(fields["message"], &message)
	return shorten(name, 64), oneLine(message)
}

// retryAfter reads a Retry-After, in seconds or as a date (RFC 9110 10.2.3). A date
// is compared with the server's own Date if there is one, so that its clock need
// not agree with ours.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxWait/time.Second) {
			return maxWait, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, until.Sub(now)), maxWait), true
}
