package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxRedirects = 3

// request is one thing to ask for.
type request struct {
	what     string // in words, for errors
	url      *url.URL
	accept   string
	encoding string // of the content; "" leaves it to net/http
}

// get sends the request and returns the answer, whose status is 200 and whose
// body the caller must close.
func (c *Client) get(ctx context.Context, r request) (*http.Response, error) {
	w := newWatch(ctx, c.idle)
	target := r.url
	for hops := 0; ; hops++ {
		w.start(c.idle)
		resp, err := c.send(w.ctx, r, target)
		w.stop()
		if err != nil {
			err = c.exchangeError(w.ctx, r.what, err, Unreachable)
			w.end()
			return nil, err
		}
		resp.Body = &body{rc: resp.Body, watch: w, client: c, what: r.what, size: resp.ContentLength}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		next, problem := c.follow(resp, target, hops)
		if next == nil {
			return nil, c.refusalError(r.what, resp, problem)
		}
		io.CopyN(io.Discard, resp.Body, maxDrain)
		resp.Body.(*body).rc.Close()
		if wait, ok := ctx.Value(beforeRedirect{}).(func(context.Context) error); ok {
			if err := wait(w.ctx); err != nil {
				w.end()
				return nil, fmt.Errorf("%s, sent on to %s: %w", r.what, c.scrub(next.EscapedPath()), err)
			}
		}
		target = next
	}
}

// beforeRedirect is the context's key for BeforeRedirect.
type beforeRedirect struct{}

// BeforeRedirect returns a ctx with which wait is called before a redirect is
// followed, which is one more request at the source. Its error ends the request.
func BeforeRedirect(ctx context.Context, wait func(context.Context) error) context.Context {
	return context.WithValue(ctx, beforeRedirect{}, wait)
}

// send makes one exchange.
func (c *Client) send(ctx context.Context, r request, target *url.URL) (*http.Response, error) {
	req := (&http.Request{
		Method: http.MethodGet, URL: target, Host: target.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Authorization": {"Bearer " + c.key},
			"User-Agent":    {c.agent},
			"Accept":        {r.accept},
		},
	}).WithContext(ctx)
	if r.encoding != "" {
		req.Header.Set("Accept-Encoding", r.encoding)
	}
	// net/http sends a GET again by itself when a connection that it had used
	// before breaks, although the server may have counted the first. It does not
	// when there is a body, even this one, of which nothing is sent. Over HTTP/2
	// it only sends again what the server said it did not process.
	if c.plain.Load() {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		c.plain.Store(resp.ProtoMajor == 1)
	}
	return resp, err
}

// follow is where a redirect leads, nil when the answer is none or one that must
// not be followed; problem then says why.
func (c *Client) follow(resp *http.Response, from *url.URL, hops int) (next *url.URL, problem string) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, ""
	}
	location := resp.Header.Get("Location")
	ref, err := url.Parse(location)
	if location == "" || err != nil {
		return nil, "it names no place that can be read"
	}
	next = from.ResolveReference(ref)
	next.Fragment = ""
	wanted := shorten(c.scrub(next.Redacted()), maxForeign)
	switch {
	case next.Scheme != c.base.Scheme || !strings.EqualFold(next.Hostname(), c.base.Hostname()) || port(next) != port(c.base):
		return nil, fmt.Sprintf("it wants the request to go to %s, which is another host, port or scheme, and the key must not go there", wanted)
	case next.User != nil:
		return nil, fmt.Sprintf("it wants the request to go to %s, with a user name in the address", wanted)
	case hops >= maxRedirects:
		return nil, fmt.Sprintf("it sent the request on more than %d times, now to %s", maxRedirects, wanted)
	}
	return next, ""
}

// port is the port that a connection for u goes to.
func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// watch ends a request when no byte came for a while. It runs no goroutine.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newWatch(ctx context.Context, idle time.Duration) *watch {
	w := new(watch)
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(time.Hour, func() { w.cancel(stalled(idle)) })
	w.timer.Stop()
	return w
}

// start lets d pass before the request is ended; 0 is for ever.
func (w *watch) start(d time.Duration) {
	if d > 0 {
		w.timer.Reset(d)
	}
}

func (w *watch) stop() { w.timer.Stop() }

// end frees what the watch holds.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}
