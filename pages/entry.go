package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// kind is a kind of account, as it stands in the pages' addresses.
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

// Word is the kind as a sentence names it.
func (k kind) Word() string { return strings.ReplaceAll(string(k), "-", " ") }

// Capabilities are those that the kind can have, the usual one first.
func (k kind) Capabilities() []callvault.Capability {
	if k == people {
		return []callvault.Capability{callvault.Listen, callvault.Download, callvault.Admin}
	}
	return []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin}
}

// entry is an account of either kind. Times are Unix milliseconds.
type entry struct {
	Kind kind
	Name string
	callvault.Grant
	Can          []callvault.Capability
	Enabled      bool
	RequestLimit bool  // a service user's
	Refreshed    int64 // a service user's
	PasswordSet  bool  // a person's
	InvitedUntil int64 // a person's
	Created      int64
	LastUsed     int64
}

func entryOfPerson(p *callvault.Person) *entry {
	return &entry{Kind: people, Name: p.Name, Grant: p.Grant, Can: p.Can, Enabled: p.Enabled,
		PasswordSet: p.PasswordSet, InvitedUntil: p.InvitedUntil, Created: p.Created, LastUsed: p.LastUsed}
}

func entryOfUser(u *callvault.ServiceUser) *entry {
	return &entry{Kind: serviceUsers, Name: u.Name, Grant: u.Grant, Can: u.Can, Enabled: u.Enabled,
		RequestLimit: u.RequestLimit, Refreshed: u.Refreshed, Created: u.Created, LastUsed: u.LastUsed}
}

func (e *entry) person() *callvault.Person {
	return &callvault.Person{Name: e.Name, Grant: e.Grant, Can: e.Can, Enabled: e.Enabled,
		PasswordSet: e.PasswordSet, InvitedUntil: e.InvitedUntil, Created: e.Created, LastUsed: e.LastUsed}
}

func (e *entry) user() *callvault.ServiceUser {
	return &callvault.ServiceUser{Name: e.Name, Grant: e.Grant, Can: e.Can, Enabled: e.Enabled,
		RequestLimit: e.RequestLimit, Refreshed: e.Refreshed, Created: e.Created, LastUsed: e.LastUsed}
}

func (e *entry) may(capability callvault.Capability) bool { return slices.Contains(e.Can, capability) }

// fingerprint tells whether the account's settings are still the same.
func (e *entry) fingerprint() string {
	return fingerprint([]any{e.Grant, e.Can, e.Enabled, e.RequestLimit, e.Created})
}

// accountForm is an account's settings as they are typed.
type accountForm struct {
	Name           string // of a new one
	AllTenants     bool
	Tenants        []string
	Agents, Skills string // one on each line
	Can            []string
	RequestLimit   bool
	Was            string // the settings that the form was made from
	Fault          string
}

func newAccountForm(e *entry) accountForm {
	f := accountForm{
		AllTenants: e.AllTenants, Tenants: e.Tenants, Agents: strings.Join(e.Agents, "\n"), Skills: strings.Join(e.Skills, "\n"),
		RequestLimit: e.RequestLimit, Was: e.fingerprint(),
	}
	for _, capability := range e.Can {
		f.Can = append(f.Can, string(capability))
	}
	return f
}

// readAccountForm takes the settings from a form that was sent.
func readAccountForm(values url.Values) accountForm {
	return accountForm{
		Name: strings.TrimSpace(values.Get("name")), AllTenants: values.Get("reach") == "all", Tenants: append(values["tenant"], lines(values.Get("tenants"))...),
		Agents: values.Get("agents"), Skills: values.Get("skills"), Can: values["can"],
		RequestLimit: values.Has("request-limit"), Was: values.Get("was"),
	}
}

// apply changes an account as the form says. What cannot be is found when it is
// kept.
func (f *accountForm) apply(e *entry) {
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

// Reaches tells whether the tenant is marked, Has whether the capability is: a
// tenant may be named as a capability is.
func (f accountForm) Reaches(tenant string) bool { return slices.Contains(f.Tenants, tenant) }

// TenantLines are the names of the tenants, one on each line.
func (f accountForm) TenantLines() string { return strings.Join(f.Tenants, "\n") }

// Has tells whether the capability is marked.
func (f accountForm) Has(can callvault.Capability) bool { return slices.Contains(f.Can, string(can)) }
