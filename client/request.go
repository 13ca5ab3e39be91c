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

// request is a request to send.
type request struct {
	what     string // what is requested, for errors
	url      *url.URL
	accept   string
	encoding string // Accept-Encoding; "" leaves it to net/http
}

// get sends the request, follows redirects, and returns an answer with status 200,
// whose body the caller must close.
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
				return nil, fmt.Errorf("%s, redirected to %s: %w", r.what, c.scrub(next.EscapedPath()), err)
			}
		}
		target = next
	}
}

// beforeRedirect is the context key of BeforeRedirect.
type beforeRedirect struct{}

// BeforeRedirect returns a ctx that makes the client call wait before it follows
// a redirect, which is one more request to the source. An error of wait ends the
// request.
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
	// net/http sends a GET again by itself when a reused connection breaks,
	// although the server may have counted the first. It does not if there is a
	// body, even this empty one. Over HTTP/2 it only repeats requests that the
	// server said it did not process.
	if c.http1.Load() {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		c.http1.Store(resp.ProtoMajor == 1)
	}
	return resp, err
}

// follow returns where a redirect leads. next is nil if the answer is not a
// redirect, or is one that must not be followed: then problem says why.
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
		return nil, "its Location cannot be read"
	}
	next = from.ResolveReference(ref)
	next.Fragment = ""
	target := shorten(c.scrub(next.Redacted()), maxForeign)
	switch {
	case next.Scheme != c.base.Scheme || !strings.EqualFold(next.Hostname(), c.base.Hostname()) || port(next) != port(c.base):
		return nil, fmt.Sprintf("it redirects to %s, which is another host, port or scheme, and the key must not go there", target)
	case next.User != nil:
		return nil, fmt.Sprintf("it redirects to %s, with a user name in the address", target)
	case hops >= maxRedirects:
		return nil, fmt.Sprintf("it redirected the request more than %d times, now to %s", maxRedirects, target)
	}
	return next, ""
}

// port returns the port that a connection for u goes to.
func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// watch ends a request when no byte came for a while. It needs no goroutine.
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

// start ends the request in d, unless stop is called before; 0 means never.
func (w *watch) start(d time.Duration) {
	if d > 0 {
		w.timer.Reset(d)
	}
}

func (w *watch) stop() { w.timer.Stop() }

// end releases the watch's resources.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}
