package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// kind is a kind of account, as it appears in the pages' addresses.
type kind string

const (
	people       kind = "person"
	serviceUsers kind = "service-user"
)

func kindOf(word string) (kind, error) {
	if k := kind(word); k == people || k == serviceUsers {
		return k, nil
	}
	return "", fmt.Errorf("there is no page at this address: %w", callvault.NotFound)
}

// Word returns the kind as a sentence names it.
func (k kind) Word() string { return strings.ReplaceAll(string(k), "-", " ") }

// Capabilities returns the capabilities that the kind can have, the usual one first.
func (k kind) Capabilities() []callvault.Capability {
	if k == people {
		return []callvault.Capability{callvault.Listen, callvault.Download, callvault.Admin}
	}
	return []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin}
}

// anyAccount is an account of either kind. Times are Unix milliseconds.
type anyAccount struct {
	Kind kind
	Name string
	callvault.Grant
	Can          []callvault.Capability
	Enabled      bool
	RequestLimit bool  // only of a service user
	Refreshed    int64 // only of a service user
	PasswordSet  bool  // only of a person
	InvitedUntil int64 // only of a person
	Created      int64
	LastUsed     int64
}

func accountOfPerson(p *callvault.Person) *anyAccount {
	return &anyAccount{Kind: people, Name: p.Name, Grant: p.Grant, Can: p.Can, Enabled: p.Enabled,
		PasswordSet: p.PasswordSet, InvitedUntil: p.InvitedUntil, Created: p.Created, LastUsed: p.LastUsed}
}

func accountOfUser(u *callvault.ServiceUser) *anyAccount {
	return &anyAccount{Kind: serviceUsers, Name: u.Name, Grant: u.Grant, Can: u.Can, Enabled: u.Enabled,
		RequestLimit: u.RequestLimit, Refreshed: u.Refreshed, Created: u.Created, LastUsed: u.LastUsed}
}

func (e *anyAccount) person() *callvault.Person {
	return &callvault.Person{Name: e.Name, Grant: e.Grant, Can: e.Can, Enabled: e.Enabled,
		PasswordSet: e.PasswordSet, InvitedUntil: e.InvitedUntil, Created: e.Created, LastUsed: e.LastUsed}
}

func (e *anyAccount) user() *callvault.ServiceUser {
	return &callvault.ServiceUser{Name: e.Name, Grant: e.Grant, Can: e.Can, Enabled: e.Enabled,
		RequestLimit: e.RequestLimit, Refreshed: e.Refreshed, Created: e.Created, LastUsed: e.LastUsed}
}

func (e *anyAccount) may(capability callvault.Capability) bool {
	return slices.Contains(e.Can, capability)
}

// fingerprint returns a hash of the account's settings; see the function fingerprint.
func (e *anyAccount) fingerprint() string {
	return fingerprint([]any{e.Grant, e.Can, e.Enabled, e.RequestLimit, e.Created})
}

// accountForm holds an account's settings as typed into a form.
type accountForm struct {
	Name           string // only of a new account
	AllTenants     bool
	Tenants        []string
	Agents, Skills string // one per line
	Can            []string
	RequestLimit   bool
	Was            string // the fingerprint of the settings that the form was made from
	Fault          string
}

func newAccountForm(e *anyAccount) accountForm {
	f := accountForm{
		AllTenants: e.AllTenants, Tenants: e.Tenants, Agents: strings.Join(e.Agents, "\n"), Skills: strings.Join(e.Skills, "\n"),
		RequestLimit: e.RequestLimit, Was: e.fingerprint(),
	}
	for _, capability := range e.Can {
		f.Can = append(f.Can, string(capability))
	}
	return f
}

// readAccountForm reads the settings from a form that was sent.
func readAccountForm(values url.Values) accountForm {
	return accountForm{
		Name: strings.TrimSpace(values.Get("name")), AllTenants: values.Get("reach") == "all", Tenants: append(values["tenant"], lines(values.Get("tenants"))...),
		Agents: values.Get("agents"), Skills: values.Get("skills"), Can: values["can"],
		RequestLimit: values.Has("request-limit"), Was: values.Get("was"),
	}
}

// apply changes an account as the form says. It does not check the settings: saving the
// account does.
func (f *accountForm) apply(e *anyAccount) {
	e.AllTenants, e.Tenants = f.AllTenants, f.Tenants
	if f.AllTenants {
		e.Tenants = nil
	}
	e.Agents, e.Skills, e.RequestLimit = lines(f.Agents), lines(f.Skills), f.RequestLimit
	e.Can = nil
	for _, word := range f.Can {
		e.Can = append(e.Can, callvault.Capability(word))
	}
}

// Reaches reports whether the tenant is ticked.
func (f accountForm) Reaches(tenant string) bool { return slices.Contains(f.Tenants, tenant) }

// TenantLines returns the names of the tenants, one per line.
func (f accountForm) TenantLines() string { return strings.Join(f.Tenants, "\n") }

// Has reports whether the capability is ticked.
func (f accountForm) Has(can callvault.Capability) bool { return slices.Contains(f.Can, string(can)) }
