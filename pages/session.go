package pages

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"callvault"
	"callvault/account"
)

// Visitor is who is signed in.
type Visitor = account.Visitor

// cookieName is the session cookie's. Under TLS its prefix makes browsers refuse
// one that anything but this very host has set (RFC 6265bis 4.1.3.2).
func (x *exchange) cookieName() string {
	if x.secure() {
		return "__Host-callvault"
	}
	return "callvault"
}

// setSession hands the browser a session; "" takes it away.
func (x *exchange) setSession(token string) {
	age := int(account.SessionLife / time.Second)
	if token == "" {
		age = -1
	}
	http.SetCookie(x.out, &http.Cookie{
		Name: x.cookieName(), Value: token, Path: "/", MaxAge: age,
		Secure: x.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// meet finds out who asks: what he does is written to the audit trail under his
// name. A session that has ended is as good as none; that it was there is told at
// the sign-in.
func (p *Pages) meet(x *exchange) error {
	defer func() {
		actor := account.Actor{Via: account.ViaPages, From: x.from()}
		if x.visitor != nil {
			actor.Who = x.visitor.Name
		}
		x.r = x.came.WithContext(account.As(x.came.Context(), actor)) // not upon the one before: a stream meets its reader each second
	}()
	cookie, err := x.r.Cookie(x.cookieName())
	if err != nil || cookie.Value == "" {
		return nil
	}
	x.token = cookie.Value
	x.visitor, err = p.Accounts.Visit(x.ctx(), x.token, x.now)
	if errors.Is(err, callvault.Unauthorized) {
		return nil
	}
	return err
}

// askToSignIn sends to the sign-in, from where the reader comes back to where he
// wanted to be; if that is no page, to the one before. A script is told so by the status.
func (p *Pages) askToSignIn(x *exchange, wanted *route) error {
	if strings.Contains(x.r.Header.Get("Accept"), "application/json") || strings.Contains(x.r.Header.Get("Accept"), "text/event-stream") {
		return errSignInFirst
	}
	query := url.Values{}
	to := x.r.URL.RequestURI()
	if x.r.Method == http.MethodPost {
		to = p.cameFrom(x)
	} else if wanted.file {
		to = cmp.Or(p.cameFrom(x), to)
	}
	if to != "/" && to != "" {
		query.Set("to", to)
	}
	if x.token != "" {
		query.Set("why", "ended")
		x.setSession("")
	}
	address := "/sign-in"
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return x.redirect(address)
}

// cameFrom is the page of ours from which a form was sent or a link followed; "" when
// that is not told.
func (p *Pages) cameFrom(x *exchange) string {
	from, err := url.Parse(x.r.Referer())
	if err != nil || from.Host != x.r.Host {
		return ""
	}
	return from.RequestURI()
}

// localPath is where to go after signing in: a page of ours, or home for whatever
// else was asked for, so that no link to us leads elsewhere.
func (p *Pages) localPath(to string) string {
	target, err := url.Parse(to)
	switch {
	case err != nil, target.Scheme != "", target.Host != "", target.User != nil,
		!strings.HasPrefix(to, "/"), strings.HasPrefix(to, "//"), strings.ContainsAny(to, "\\\r\n\t"),
		!p.Serves(target.Path), strings.HasPrefix(to, "/sign-"), strings.HasPrefix(to, "/welcome"), strings.HasPrefix(to, "/static"):
		return "/"
	}
	return target.RequestURI()
}
