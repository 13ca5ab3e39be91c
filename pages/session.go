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

// Visitor is the person or service user who is signed in.
type Visitor = account.Visitor

// cookieName returns the name of the session cookie. Under TLS it has a prefix that makes
// browsers refuse the cookie unless this very host has set it (RFC 6265bis 4.1.3.2).
func (x *exchange) cookieName() string {
	if x.secure() {
		return "__Host-callvault"
	}
	return "callvault"
}

// setSession sets the session cookie; "" removes it.
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

// identify finds out who asks, and puts them into the request's context as the actor of
// the audit trail. A session that has ended counts as none; x.token remains, so that the
// sign-in page can say that it has ended.
func (p *Pages) identify(x *exchange) error {
	defer func() {
		actor := account.Actor{Via: account.ViaPages, From: x.from()}
		if x.visitor != nil {
			actor.Who = x.visitor.Name
		}
		x.r = x.received.WithContext(account.As(x.received.Context(), actor)) // from the original: a stream identifies its visitor again and again, and contexts must not pile up
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

// askToSignIn redirects to the sign-in page, which leads back to the page that was asked
// for; or, if that was a form or a file, to the page before. A script gets status 401.
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

// cameFrom returns the page of ours from which a form was sent or a link followed, or ""
// if the browser does not say.
func (p *Pages) cameFrom(x *exchange) string {
	from, err := url.Parse(x.r.Referer())
	if err != nil || from.Host != x.r.Host {
		return ""
	}
	return from.RequestURI()
}

// localPath returns where to go after signing in: to, if it is a page of ours, and
// otherwise home, so that no link to us leads to another site.
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
