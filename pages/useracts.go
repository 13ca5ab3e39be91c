package pages

import (
	"fmt"
	"slices"
	"strconv"

	"callvault"
)

// act is something that is done to an account after confirmation.
type act struct {
	kinds  []kind
	head   string // %s is the account's name
	text   string
	yes    string
	danger bool
	do     func(p *Pages, x *exchange, e *anyAccount) error
}

var userActs = map[string]act{
	"refresh": {
		kinds: []kind{serviceUsers}, head: "Make a new key for %s?", yes: "Make a new key",
		text: "The present key stops working at once: every program that uses it is refused until it has the new one. The new key is shown once.",
		do:   (*Pages).refreshKey,
	},
	"invite": {
		kinds: []kind{people}, head: "Make a new link for %s?", yes: "Make a link",
		text: "The link lets its holder set a password, once, within three days. An earlier link stops working; the present password works until the new one is set.",
		do:   (*Pages).invite,
	},
	"disable": {
		kinds: []kind{people, serviceUsers}, head: "Disable %s?", yes: "Disable", danger: true,
		text: "Anyone signed in with this account is signed out at the next click, and its key is refused. It can be enabled again, with all its settings.",
		do:   func(p *Pages, x *exchange, e *anyAccount) error { return p.enable(x, e, false) },
	},
	"enable": {
		kinds: []kind{people, serviceUsers}, head: "Enable %s again?", yes: "Enable",
		text: "Its key or password works again.",
		do:   func(p *Pages, x *exchange, e *anyAccount) error { return p.enable(x, e, true) },
	},
	"remove": {
		kinds: []kind{people, serviceUsers}, head: "Remove %s for good?", yes: "Remove for good", danger: true,
		text: "Its key or password stops working at once, for good. What it did stays in the audit trail.",
		do:   (*Pages).remove,
	},
}

// find returns the account and the act that the path names.
func (p *Pages) find(x *exchange) (*anyAccount, *act, error) {
	e, err := p.account(x)
	if err != nil {
		return nil, nil, err
	}
	found, ok := userActs[x.r.PathValue("act")]
	if !ok || !slices.Contains(found.kinds, e.Kind) {
		return nil, nil, fmt.Errorf("there is no page at this address: %w", callvault.NotFound)
	}
	return e, &found, nil
}

// state identifies the account's present state. A confirmation holds the state that it
// was asked about, so it counts once: if it is sent again, from another tab or with the
// back button, the state is another.
func (e *anyAccount) state() string {
	return e.fingerprint() + "-" + strconv.FormatInt(e.Refreshed, 36) + "-" + strconv.FormatInt(e.InvitedUntil, 36)
}

// askUserAct asks for confirmation before something is done to an account.
func (p *Pages) askUserAct(x *exchange) error {
	e, what, err := p.find(x)
	if err != nil {
		return err
	}
	return p.render(x, "confirm", view{Title: what.yes, Here: "/admin/users", Data: question{
		Head: fmt.Sprintf(what.head, shorten(e.Name, 80)), Text: what.text, Yes: what.yes, Danger: what.danger, Back: e.path(), Was: e.state(),
	}})
}

// userAct does what was confirmed. The lock keeps two requests at the same time from both
// seeing the state from before.
func (p *Pages) userAct(x *exchange) error {
	p.acting.Lock()
	defer p.acting.Unlock()
	e, what, err := p.find(x)
	if err != nil {
		return err
	}
	if x.r.PostFormValue("was") != e.state() {
		return fmt.Errorf("that was already done, or the account has changed in the meantime; look at it again before you continue: %w", callvault.Conflict)
	}
	return what.do(p, x, e)
}

func (p *Pages) refreshKey(x *exchange, e *anyAccount) error {
	key, err := p.Accounts.RefreshUser(x.ctx(), e.Name, x.now)
	if err != nil {
		return err
	}
	if e.Name == x.visitor.Name {
		x.setSession("") // the session ended with the key
	}
	return p.showSecret(x, e, key)
}

func (p *Pages) invite(x *exchange, e *anyAccount) error {
	ticket, err := p.Accounts.InvitePerson(x.ctx(), e.Name, x.now)
	if err != nil {
		return err
	}
	return p.showSecret(x, e, ticket)
}

func (p *Pages) enable(x *exchange, e *anyAccount, on bool) error {
	err := p.change(x, e, func(e *anyAccount) error {
		e.Enabled = on
		return x.keepsAdmin(e)
	})
	if err != nil {
		return err
	}
	done := "disabled"
	if on {
		done = "enabled"
	}
	return x.redirect(e.path() + "?done=" + done)
}

func (p *Pages) remove(x *exchange, e *anyAccount) error {
	e.Enabled = false
	if err := x.keepsAdmin(e); err != nil {
		return err
	}
	remove := p.Accounts.RemoveUser
	if e.Kind == people {
		remove = p.Accounts.RemovePerson
	}
	if err := remove(x.ctx(), e.Name); err != nil {
		return err
	}
	return x.redirect("/admin/users?done=removed")
}

// secretView is a secret that is shown once.
type secretView struct {
	Account *anyAccount
	Secret  string // the key, or the link
}

// showSecret shows an account's new key, or the link that its new ticket makes.
func (p *Pages) showSecret(x *exchange, e *anyAccount, secret string) error {
	title := "Key for " + shorten(e.Name, 80)
	if e.Kind == people {
		title, secret = "Link for "+shorten(e.Name, 80), x.origin()+"/welcome/"+secret
	}
	return p.render(x, "secret", view{Title: title, Here: "/admin/users", Data: secretView{e, secret}})
}

// origin returns the address of the service as the browser knows it.
func (x *exchange) origin() string {
	if x.secure() {
		return "https://" + x.r.Host
	}
	return "http://" + x.r.Host
}
