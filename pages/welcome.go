package pages

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"callvault"
	"callvault/account"
)

var welcomeRoutes = []route{
	{path: "/welcome/{ticket}", name: "welcome", who: anyone, get: (*Pages).showWelcome, post: (*Pages).welcome},
}

// welcomeView is what the page behind a one-time link shows.
type welcomeView struct {
	Ticket *account.Ticket
	Fault  string
}

// showWelcome answers a one-time link. A link for setting a password shows the form for
// it and stays valid until the form is sent. A link that signs in, such as the demo
// prints, does so at once, without a page to read first; but not for a browser that only
// prefetches.
func (p *Pages) showWelcome(x *exchange) error {
	ticket, err := p.Accounts.LookTicket(x.ctx(), x.r.PathValue("ticket"), x.now)
	if errors.Is(err, callvault.NotFound) && x.visitor != nil {
		return x.redirect("/") // already followed: the back button, or a second tab
	}
	if err != nil {
		return err
	}
	prefetch := x.r.Method == http.MethodHead || strings.Contains(x.r.Header.Get("Sec-Purpose"), "prefetch")
	if ticket.SignIn && !prefetch {
		return p.redeem(x)
	}
	return p.render(x, "welcome", view{Title: "Welcome", Data: welcomeView{Ticket: ticket}})
}

// redeem signs in with the ticket in the path.
func (p *Pages) redeem(x *exchange) error {
	token, _, err := p.Accounts.Redeem(x.ctx(), x.r.PathValue("ticket"), x.from(), x.now)
	if err != nil {
		return err
	}
	x.setSession(token)
	return x.redirect("/")
}

// welcome sets the chosen password and signs in with it.
func (p *Pages) welcome(x *exchange) error {
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	secret := x.r.PathValue("ticket")
	ticket, err := p.Accounts.LookTicket(x.ctx(), secret, x.now)
	if err != nil {
		return err
	}
	if ticket.SignIn {
		return p.redeem(x)
	}
	name, err := p.choosePassword(x, secret)
	if errors.Is(err, callvault.InvalidParameter) {
		x.err = err
		return p.renderStatus(x, http.StatusBadRequest, "welcome", view{Title: "Welcome", Data: welcomeView{ticket, sentence(err)}})
	}
	if err != nil {
		return err
	}
	token, _, err := p.Accounts.SignIn(x.ctx(), name, x.r.PostForm.Get("password"), x.from(), x.now)
	if err != nil {
		x.err = err // such as too many wrong guesses by others; the password is set and the link used up all the same
		return x.redirect("/sign-in?why=set")
	}
	x.setSession(token)
	return x.redirect("/")
}

func (p *Pages) choosePassword(x *exchange, ticket string) (name string, err error) {
	password := x.r.PostForm.Get("password")
	if password != x.r.PostForm.Get("again") {
		return "", fmt.Errorf("the two passwords differ; type them again: %w", callvault.InvalidParameter)
	}
	return p.Accounts.SetPassword(x.ctx(), ticket, password, x.now)
}
