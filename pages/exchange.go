package pages

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"callvault"
	"callvault/account"
	"callvault/delivery"
)

// exchange is one request and its answer.
type exchange struct {
	received *http.Request // as it was received
	r        *http.Request // the same, with the actor in its context
	out      *delivery.Response
	id       string
	page     string // the route's name
	now      time.Time

	token   string   // of the session; "" without one
	visitor *Visitor // nil if nobody is signed in
	tenant  string   // for the log
	key     string   // for the log
	err     error    // for the log
}

func (p *Pages) newExchange(w http.ResponseWriter, r *http.Request, page string) *exchange {
	var id [8]byte
	rand.Read(id[:])
	x := &exchange{received: r, r: r, id: hex.EncodeToString(id[:]), page: page, now: time.Now()}
	x.out = delivery.NewResponse(w, delivery.Patience{})
	header := w.Header()
	header.Set("X-Request-Id", x.id)
	for name, value := range headers {
		header.Set(name, value)
	}
	return x
}

// headers go with every answer. A page may load from and send to this service only, may
// have no inline script or style, and may not be framed.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// secure reports whether the browser speaks TLS, to us or to a proxy in front of us. A
// client that forges the header only keeps its own cookie off plain HTTP.
func (x *exchange) secure() bool {
	return x.r.TLS != nil || x.r.Header.Get("X-Forwarded-Proto") == "https"
}

// from returns the address of the client, without its port.
func (x *exchange) from() string {
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return host
}

// subject names the visitor, or else the address, whose requests are counted together.
func (x *exchange) subject() string {
	if x.visitor != nil {
		return "visitor " + x.visitor.Name
	}
	return "address " + x.from()
}

// ctx returns the request's context.
func (x *exchange) ctx() context.Context { return x.r.Context() }

// redirect sends the browser to another page, which it requests with GET.
func (x *exchange) redirect(path string) error {
	x.out.Header().Set("Location", path)
	x.out.WriteHeader(http.StatusSeeOther)
	return nil
}

// finish logs an exchange, and answers it with an error if its handler panicked.
func (p *Pages) finish(x *exchange) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		p.Log.Error("panic", "request_id", x.id, "panic", fault)
		x.err = errPanic
		if x.out.Status == 0 {
			p.fail(x, errPanic)
			fault = nil
		}
	}
	p.log(x)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
}

var errPanic = errors.New("panic")

// log writes one exchange to the log. It logs the page's name in place of the path, which
// may hold a one-time link.
func (p *Pages) log(x *exchange) {
	if x.page == "static" || x.page == "alive" {
		return
	}
	level, user := slog.LevelInfo, ""
	if x.visitor != nil {
		user = x.visitor.Name
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("remote", x.from()),
		slog.String("method", x.r.Method), slog.String("page", x.page),
		slog.String("user", user), slog.String("tenant", account.MaskKeys(x.tenant)), slog.String("key", account.MaskKeys(x.key)),
		slog.Int("status", x.out.Status), slog.Int64("bytes", x.out.Bytes),
		slog.Float64("ms", float64(time.Since(x.now).Microseconds())/1000),
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("error", account.MaskKeys(x.err.Error())))
		if x.out.Status >= 500 && x.out.Status != int(callvault.BandwidthExceeded) && !errors.Is(x.err, context.Canceled) {
			level = slog.LevelError
		}
	}
	p.Log.LogAttrs(context.WithoutCancel(x.ctx()), level, "page", attrs...)
}
