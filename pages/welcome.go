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

// showWelcome answers who follows a one-time link. One that lets set a password
// shows the form for it and stays good until that is sent. One that signs in does
// so at once, for whom the demo tells to open it should not have to read; but not
// for a browser that only looks ahead.
func (p *Pages) showWelcome(x *exchange) error {
	ticket, err := p.Accounts.LookTicket(x.ctx(), x.r.PathValue("ticket"), x.now)
	if errors.Is(err, callvault.NotFound) && x.visitor != nil {
		return x.redirect("/") // followed already: the back button, or a second tab
	}
	if err != nil {
		return err
	}
	ahead := x.r.Method == http.MethodHead || strings.Contains(x.r.Header.Get("Sec-Purpose"), "prefetch")
	if ticket.SignIn && !ahead {
		return p.redeem(x)
	}
	return p.render(x, "welcome", view{Title: "Welcome", Data: welcomeView{Ticket: ticket}})
}

// redeem signs in by the ticket of the path.
func (p *Pages) redeem(x *exchange) error {
	token, _, err := p.Accounts.Redeem(x.ctx(), x.r.PathValue("ticket"), x.from(), x.now)
	if err != nil {
		return err
	}
	x.setSession(token)
	return x.redirect("/")
}

// welcome sets the password that was chosen, and signs in with it.
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
		x.err = err // such as that others guessed at the name; the password is set, and the link used up, all the same
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
