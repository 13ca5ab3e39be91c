package pages

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"callvault"
)

var signInRoutes = []route{
	{path: "/sign-in", name: "sign-in", who: anyone, get: (*Pages).showSignIn, post: (*Pages).signIn},
	{path: "/sign-out", name: "sign-out", who: anyone, post: (*Pages).signOut},
}

// errSignInFirst is the answer for scripts.
var errSignInFirst = fmt.Errorf("sign in first: %w", callvault.Unauthorized)

// signInView is what the sign-in page shows.
type signInView struct {
	To    string // where to go afterwards
	Why   string // why the page is shown: "ended", "out", "set" or ""
	Name  string
	Key   bool // the form for a key is open
	Fault string
}

// showSignIn asks for a name and a password, or for a key.
func (p *Pages) showSignIn(x *exchange) error {
	query := x.r.URL.Query()
	to := p.localPath(query.Get("to"))
	if x.visitor != nil {
		return x.redirect(to)
	}
	return p.render(x, "signin", view{Title: "Sign in", Data: signInView{To: to, Why: query.Get("why")}})
}

// signIn begins a session.
func (p *Pages) signIn(x *exchange) error {
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := x.r.PostForm
	to := p.localPath(form.Get("to"))
	token, err := p.begin(x)
	var code callvault.Code
	if errors.As(err, &code) && code < 500 {
		again := signInView{To: to, Name: form.Get("name"), Key: form.Has("key"), Fault: sentence(err)}
		x.err = err
		x.setRetryAfter(err)
		return p.renderStatus(x, int(code), "signin", view{Title: "Sign in", Data: again})
	}
	if err != nil {
		return err
	}
	x.setSession(token)
	return x.redirect(to)
}

// begin begins a session with what the form holds: a key, or a name and a password.
func (p *Pages) begin(x *exchange) (token string, err error) {
	form := x.r.PostForm
	if form.Has("key") {
		token, _, err = p.Accounts.SignInKey(x.ctx(), strings.TrimSpace(form.Get("key")), x.from(), x.now)
		return token, err
	}
	token, _, err = p.Accounts.SignIn(x.ctx(), strings.TrimSpace(form.Get("name")), form.Get("password"), x.from(), x.now)
	return token, err
}

// signOut ends the session, here and in every other tab.
func (p *Pages) signOut(x *exchange) error {
	if err := p.Accounts.SignOut(x.ctx(), x.token, x.now); err != nil {
		return err
	}
	x.setSession("")
	return x.redirect("/sign-in?why=out")
}

// badForm is the answer to a form that cannot be read.
func badForm(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return err
	}
	return fmt.Errorf("the form cannot be read: %w", callvault.InvalidParameter)
}
