package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"callvault"
)

// Recordings lists the recordings that start in the span (API guide, "Requesting
// Recording Data"), of all tenants that the key may reach or, at a Callvault
// service, of the named tenants only; other services ignore the names. Each range
// over it is one request. See the package's "Errors" for what an error means: a
// *MalformedItem concerns one item, any other error is the last.
func (c *Client) Recordings(ctx context.Context, span callvault.Span, tenants ...string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		q := query{path: "/recordings", what: "list of recordings", span: span, tenants: tenants}
		err := c.list(ctx, q, func(index int64, p rawValue) bool {
			item, malformed := readItem(p)
			if malformed != nil {
				return yield(Item{}, c.locate(malformed, index))
			}
			return yield(item, nil)
		})
		if err != nil {
			yield(Item{}, err)
		}
	}
}

// Calls lists the calls that have a recording which starts in the span, with all
// their recordings (API guide, "Expanded Metrics Available"). Otherwise it is like
// Recordings. A malformed recording of a call comes as a *MalformedItem of its
// own, before its call, which has the other recordings.
func (c *Client) Calls(ctx context.Context, span callvault.Span, tenants ...string) iter.Seq2[CallItem, error] {
	return func(yield func(CallItem, error) bool) {
		q := query{path: "/call-recording-info", what: "list of calls", span: span, tenants: tenants}
		err := c.list(ctx, q, func(index int64, p rawValue) bool {
			call, set := readCall(p)
			for _, malformed := range set.recordings {
				if !yield(CallItem{}, c.locate(malformed, index)) {
					return false
				}
			}
			if set.call != nil {
				return yield(CallItem{}, c.locate(set.call, index))
			}
			return yield(call, nil)
		})
		if err != nil {
			yield(CallItem{}, err)
		}
	}
}

// query says which list to request.
type query struct {
	path, what string
	span       callvault.Span
	tenants    []string
}

// request returns the query's request, with times in ISO 8601, in UTC, to the
// millisecond.
func (q query) request(c *Client) (request, error) {
	if q.span.From > q.span.To || q.span.From < -62135596800000 || q.span.To > callvault.MaxTime {
		return request{}, fmt.Errorf("%s: %d to %d is not a stretch of time in Unix milliseconds: %w",
			q.what, q.span.From, q.span.To, callvault.InvalidParameter)
	}
	from, to := isoTime(q.span.From), isoTime(q.span.To)
	text := "startTime=" + url.QueryEscape(from) + "&endTime=" + url.QueryEscape(to)
	for _, tenant := range q.tenants {
		if err := callvault.CheckKey("tenantName", tenant); err != nil {
			return request{}, fmt.Errorf("%s: %w", q.what, err)
		}
		text += "&tenantName=" + url.QueryEscape(tenant)
	}
	return request{
		what: q.what + " from " + from + " to " + to, url: c.address(q.path, text), accept: "application/json",
	}, nil
}

func isoTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// errStop says that the consumer of the list wants no more of it.
var errStop = errors.New("stop")

// list requests a list and passes each item to take, until that returns false.
// The error says why the list is not whole.
func (c *Client) list(ctx context.Context, q query, take func(index int64, p rawValue) bool) error {
	r, err := q.request(c)
	if err != nil {
		return err
	}
	resp, err := c.get(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if coding := contentCoding(resp); coding != "" {
		return c.faultError(r.what, BadAnswer, fmt.Sprintf("it came compressed (%q), which was not asked for", coding), nil)
	}
	l := list{scan: scanner{src: resp.Body}, take: take, framed: framed(resp)}
	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if slices.Contains([]string{"application/x-ndjson", "application/ndjson", "application/jsonl"}, contentType) {
		err = l.lines()
	} else {
		err = l.document()
	}
	var f *failure
	var unlisted notList
	switch {
	case err == nil || err == errStop:
		return nil
	case errors.As(err, &f):
		return err // the body's own, which is complete
	case errors.As(err, &unlisted):
		return c.faultError(r.what, BadAnswer, c.scrub(err.Error()), err)
	}
	return c.faultError(r.what, Cut, fmt.Sprintf("after %d items: %s", l.index, c.scrub(err.Error())), err)
}

// framed reports whether the end of the body can be told from a broken connection.
func framed(resp *http.Response) bool {
	return resp.ContentLength >= 0 || resp.Uncompressed || resp.ProtoMajor >= 2 ||
		slices.Contains(resp.TransferEncoding, "chunked")
}

// notList is the error of a body that is something other than a list.
type notList string

func (n notList) Error() string { return string(n) }

// list reads the items of one body.
type list struct {
	scan   scanner
	take   func(index int64, p rawValue) bool
	framed bool
	index  int64 // of the next item
}

// document reads a JSON array, an object that wraps exactly one array, or bare
// objects as the API guide prints them: recordings without the array's brackets,
// and a call even without its opening brace.
func (l *list) document() error {
	if err := l.byteOrderMark(); err != nil {
		return err
	}
	first, err := l.scan.peek()
	switch {
	case err == io.EOF:
		return notList("the body is empty; a list without items is []")
	case err != nil:
		return err
	case first == '{':
		return l.object()
	case first == '"':
		return l.braceless()
	case first != '[':
		return notList("it begins with " + l.beginning() + " instead of a JSON array")
	}
	if err := l.array(); err != nil {
		return err
	}
	return l.end()
}

// braceless reads an object whose opening brace is missing, as the API guide prints
// a call.
func (l *list) braceless() error {
	l.scan.mark()
	if _, err := l.scan.readValue(); err != nil {
		return err
	}
	if c, err := l.scan.peek(); err != nil || c != ':' || !l.scan.rewind() {
		return notList("it is a string, not a list")
	}
	l.scan.unread('{')
	return l.object()
}

// byteOrderMark skips the byte order mark that some servers write.
func (l *list) byteOrderMark() error {
	for len(l.scan.buf) < 3 {
		if err := l.scan.fill(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	if string(l.scan.buf[:3]) == "\ufeff" {
		l.scan.pos = 3
	}
	return nil
}

// beginning quotes the beginning of a body that is not a list.
func (l *list) beginning() string {
	return fmt.Sprintf("%q", shorten(string(l.scan.buf[l.scan.pos:min(len(l.scan.buf), l.scan.pos+200)]), 80))
}

// item passes the value that begins here to take.
func (l *list) item() error {
	p, err := l.scan.readValue()
	if err != nil {
		return err
	}
	index := l.index
	l.index++
	if !l.take(index, p) {
		return errStop
	}
	return nil
}

// array reads the items of the array that begins here.
func (l *list) array() error {
	l.scan.pos++
	if c, err := l.scan.next(); err != nil {
		return err
	} else if c == ']' {
		l.scan.pos++
		return nil
	}
	for {
		if err := l.item(); err != nil {
			return err
		}
		switch c, err := l.scan.next(); {
		case err != nil:
			return err
		case c == ']':
			l.scan.pos++
			return nil
		case c != ',':
			return unexpectedByte(l.scan.offset(), c, "a comma or the end of the list")
		}
		l.scan.pos++
		if _, err := l.scan.next(); err != nil {
			return err
		}
	}
}

// end makes sure that nothing but white space follows.
func (l *list) end() error {
	c, err := l.scan.peek()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return err
	}
	return unexpectedByte(l.scan.offset(), c, "the end of the body")
}

// lines reads objects one after the other, separated by commas or not, to the end
// of the body.
func (l *list) lines() error {
	if !l.framed {
		return notList("it is a list without a closing bracket, over a connection that does not show whether it is whole")
	}
	for {
		c, err := l.scan.peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if l.index > 0 && c == ',' {
			l.scan.pos++
			continue
		}
		if c != '{' {
			return unexpectedByte(l.scan.offset(), c, "an object or the end of the body")
		}
		if err := l.item(); err != nil {
			return err
		}
	}
}

// excerpt shortens JSON for an error.
func excerpt(raw []byte) string {
	return shorten(strings.ToValidUTF8(string(raw[:min(len(raw), 200)]), "?"), 60)
}
