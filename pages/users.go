package pages

import (
	"fmt"
	"net/http"
	"slices"

	"callvault"
)

var userRoutes = []route{
	{path: "/admin/users", name: "users", who: admin, get: (*Pages).showUsers},
	{path: "/admin/users/new/{kind}", name: "new user", who: admin, get: (*Pages).showNewUser, post: (*Pages).addUser},
	{path: "/admin/users/{kind}/{name}", name: "user", who: admin, get: (*Pages).showUser, post: (*Pages).setUser},
	{path: "/admin/users/{kind}/{name}/{act}", name: "user", who: admin, get: (*Pages).askUserAct, post: (*Pages).userAct},
}

// usersView is what the page of all accounts shows.
type usersView struct {
	People part[callvault.Person]
	Users  part[callvault.ServiceUser]
	Done   string
}

func (p *Pages) showUsers(x *exchange) error {
	people, err := p.Accounts.People(x.ctx())
	if err != nil {
		return err
	}
	users, err := p.Accounts.Users(x.ctx())
	if err != nil {
		return err
	}
	return p.render(x, "users", view{Title: "Users", Here: "/admin/users", Data: usersView{
		partOf(x, "after-person", people, func(p *callvault.Person) []string { return []string{p.Name} }),
		partOf(x, "after-user", users, func(u *callvault.ServiceUser) []string { return []string{u.Name} }),
		x.done(),
	}})
}

// userView is what the page of one account shows, which may be a new one.
type userView struct {
	Account *anyAccount
	Form    accountForm
	Tenants []callvault.Tenant // the tenants to tick; none if Many
	Many    bool               // there are too many tenants to tick: their names are typed
	Done    string
}

// Title returns the title of the page.
func (v *userView) Title() string {
	if v.Account.Name == "" {
		return "New " + v.Account.Kind.Word()
	}
	return shorten(v.Account.Name, 120)
}

func (p *Pages) showNewUser(x *exchange) error {
	kind, err := kindOf(x.r.PathValue("kind"))
	if err != nil {
		return err
	}
	fresh := &anyAccount{Kind: kind, Can: []callvault.Capability{kind.Capabilities()[0]}, Enabled: true, RequestLimit: true}
	return p.renderUser(x, http.StatusOK, fresh, newAccountForm(fresh))
}

func (p *Pages) renderUser(x *exchange, status int, account *anyAccount, form accountForm) error {
	tenants, err := p.Accounts.Tenants(x.ctx())
	if err != nil {
		return err
	}
	shown := &userView{Account: account, Form: form, Tenants: clickable(tenants), Many: len(tenants) > fewTenants, Done: x.done()}
	return p.renderStatus(x, status, "user", view{Title: shown.Title(), Here: "/admin/users", Data: shown})
}

// addUser makes an account and shows its key or its link, once. If the form is sent
// again, the name is taken.
func (p *Pages) addUser(x *exchange) error {
	kind, err := kindOf(x.r.PathValue("kind"))
	if err != nil {
		return err
	}
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := readAccountForm(x.r.PostForm)
	made := &anyAccount{Kind: kind, Name: form.Name, Enabled: true}
	form.apply(made)
	secret, err := p.add(x, made)
	if fault, status := formFault(err); fault != "" {
		x.err, form.Fault = err, fault
		made.Name = ""
		return p.renderUser(x, status, made, form)
	}
	if err != nil {
		return err
	}
	return p.showSecret(x, made, secret)
}

// add adds an account and returns its key or its ticket.
func (p *Pages) add(x *exchange, e *anyAccount) (secret string, err error) {
	if e.Kind == people {
		return p.Accounts.AddPerson(x.ctx(), *e.person(), x.now)
	}
	return p.Accounts.AddUser(x.ctx(), *e.user(), x.now)
}

func (p *Pages) showUser(x *exchange) error {
	account, err := p.account(x)
	if err != nil {
		return err
	}
	return p.renderUser(x, http.StatusOK, account, newAccountForm(account))
}

func (p *Pages) setUser(x *exchange) error {
	account, err := p.account(x)
	if err != nil {
		return err
	}
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := readAccountForm(x.r.PostForm)
	err = p.change(x, account, func(e *anyAccount) error {
		if form.Was != e.fingerprint() {
			return errChangedMeanwhile
		}
		form.apply(e)
		return x.keepsAdmin(e)
	})
	if fault, status := formFault(err); fault != "" {
		x.err, form.Fault = err, fault
		return p.renderUser(x, status, account, form)
	}
	if err != nil {
		return err
	}
	return x.redirect(account.path() + "?done=saved")
}

// keepsAdmin refuses a change by which administrators would lock themselves out.
func (x *exchange) keepsAdmin(e *anyAccount) error {
	if e.Name == x.visitor.Name && (!e.Enabled || !e.may(callvault.Admin)) {
		return fmt.Errorf("you would lock yourself out; ask another administrator to do it: %w", callvault.InvalidParameter)
	}
	return nil
}

// account returns the account that the path names.
func (p *Pages) account(x *exchange) (*anyAccount, error) {
	kind, err := kindOf(x.r.PathValue("kind"))
	if err != nil {
		return nil, err
	}
	name := x.pathValue("name")
	if kind == people {
		list, err := p.Accounts.People(x.ctx())
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(p callvault.Person) bool { return p.Name == name }); i >= 0 {
			return accountOfPerson(&list[i]), nil
		}
	} else {
		list, err := p.Accounts.Users(x.ctx())
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(u callvault.ServiceUser) bool { return u.Name == name }); i >= 0 {
			return accountOfUser(&list[i]), nil
		}
	}
	return nil, fmt.Errorf("there is no %s %.300q; it may have been removed: %w", kind.Word(), name, callvault.NotFound)
}

// change changes an account as edit does.
func (p *Pages) change(x *exchange, e *anyAccount, edit func(*anyAccount) error) error {
	if e.Kind == people {
		return p.Accounts.SetPerson(x.ctx(), e.Name, func(person *callvault.Person) error {
			changed := accountOfPerson(person)
			err := edit(changed)
			*person = *changed.person()
			return err
		})
	}
	return p.Accounts.SetUser(x.ctx(), e.Name, func(user *callvault.ServiceUser) error {
		changed := accountOfUser(user)
		err := edit(changed)
		*user = *changed.user()
		return err
	})
}

// path returns the path of the account's page.
func (e *anyAccount) path() string {
	return "/admin/users/" + string(e.Kind) + "/" + pathName(e.Name)
}
