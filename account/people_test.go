package account_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/account"

	"github.com/google/go-cmp/cmp"
)

const (
	office   = "192.0.2.7"
	password = "correct horse battery"
)

func kelly() callvault.Person {
	return callvault.Person{
		Name: "kelly", Grant: callvault.Grant{Tenants: []string{"acme-ns"}, Agents: []string{"Kelly Jaques(256)"}},
		Can: []callvault.Capability{callvault.Listen, callvault.Download}, Enabled: true,
	}
}

// addKelly adds kelly and sets her password.
func addKelly(t *testing.T, accounts *account.Accounts) {
	t.Helper()
	ticket, err := accounts.AddPerson(t.Context(), kelly(), now)
	if err != nil {
		t.Fatal(err)
	}
	setPassword(t, accounts, ticket, password)
}

func setPassword(t *testing.T, accounts *account.Accounts, ticket, password string) {
	t.Helper()
	if name, err := accounts.SetPassword(t.Context(), ticket, password, now); err != nil || name != "kelly" {
		t.Fatalf("the password was set for %q, %v", name, err)
	}
}

func invite(t *testing.T, accounts *account.Accounts) (ticket string) {
	t.Helper()
	ticket, err := accounts.InvitePerson(t.Context(), "kelly", now)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func wantCode(t *testing.T, err error, want callvault.Code, when string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", when, err, want)
	}
}

func TestPersonKeepsWhatSheWasGiven(t *testing.T) {
	service, commandLine := openTwo(t)
	addKelly(t, commandLine)
	want := kelly()
	want.Created, want.PasswordSet = now.UnixMilli(), true
	people, err := service.People(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]callvault.Person{want}, people); diff != "" {
		t.Error(diff)
	}
	invite(t, commandLine)
	if people, err = service.People(t.Context()); err != nil || people[0].InvitedUntil != now.Add(72*time.Hour).UnixMilli() {
		t.Errorf("after an invitation: %+v, %v", people, err)
	}
	for kind, spoil := range map[string]func(*callvault.Person){
		"no capability": func(p *callvault.Person) { p.Can = nil },
		"a user's":      func(p *callvault.Person) { p.Can = []callvault.Capability{callvault.Read} },
		"no tenant":     func(p *callvault.Person) { p.Tenants = nil },
	} {
		err := commandLine.SetPerson(t.Context(), "kelly", func(p *callvault.Person) error { spoil(p); return nil })
		wantCode(t, err, callvault.InvalidParameter, kind)
	}
	wantCode(t, commandLine.SetPerson(t.Context(), "nobody", nil), callvault.NotFound, "an unknown person")
	wantCode(t, commandLine.RemovePerson(t.Context(), "nobody"), callvault.NotFound, "an unknown person")
}

func TestUsersAndPeopleShareTheirNames(t *testing.T) {
	service, _ := openTwo(t)
	addUser(t, service, robot())
	addKelly(t, service)
	person, user := kelly(), robot()
	person.Name, user.Name = "robot", "kelly"
	_, err := service.AddPerson(t.Context(), person, now)
	wantCode(t, err, callvault.Conflict, "a person with a user's name")
	_, err = service.AddUser(t.Context(), user, now)
	wantCode(t, err, callvault.Conflict, "a user with a person's name")
	_, err = service.AddPerson(t.Context(), kelly(), now)
	wantCode(t, err, callvault.Conflict, "a second kelly")
	for name, want := range map[string]string{"kelly": account.Person, "robot": account.ServiceUser} {
		if kind, err := service.Kind(t.Context(), name); kind != want || err != nil {
			t.Errorf("%s is a %s (%v), want %s", name, kind, err, want)
		}
	}
}

func TestTicketIsGoodOnce(t *testing.T) {
	service, commandLine := openTwo(t)
	ticket, err := commandLine.AddPerson(t.Context(), kelly(), now)
	if err != nil {
		t.Fatal(err)
	}
	var set, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		at := []*account.Accounts{service, commandLine}[i%2]
		all.Go(func() {
			switch _, err := at.SetPassword(t.Context(), ticket, password, now); {
			case err == nil:
				set.Add(1)
			case errors.Is(err, callvault.NotFound):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if set.Load() != 1 || refused.Load() != 7 {
		t.Errorf("of 8 at once %d set a password and %d were refused, want 1 and 7", set.Load(), refused.Load())
	}
	_, err = service.LookTicket(t.Context(), ticket, now)
	wantCode(t, err, callvault.NotFound, "a used ticket")
}

func TestTicketsEnd(t *testing.T) {
	service, _ := openTwo(t)
	addKelly(t, service)
	first := invite(t, service)
	second := invite(t, service)
	_, err := service.SetPassword(t.Context(), first, password, now)
	wantCode(t, err, callvault.NotFound, "a ticket that another has followed")
	_, err = service.SetPassword(t.Context(), second, "too short", now)
	wantCode(t, err, callvault.InvalidParameter, "a short password")
	_, err = service.SetPassword(t.Context(), second, strings.Repeat("x", 1025), now)
	wantCode(t, err, callvault.InvalidParameter, "a long password")
	_, err = service.SetPassword(t.Context(), second, password, now.Add(72*time.Hour))
	wantCode(t, err, callvault.NotFound, "a ticket after 72 h")
	looked, err := service.LookTicket(t.Context(), second, now)
	if want := (account.Ticket{Name: "kelly", Until: now.Add(72 * time.Hour).UnixMilli()}); err != nil || *looked != want {
		t.Errorf("the ticket is %+v (%v), want %+v", looked, err, want)
	}
	_, _, err = service.Redeem(t.Context(), second, office, now)
	wantCode(t, err, callvault.NotFound, "a ticket for a password, to sign in")

	door, err := service.SignInTicket(t.Context(), "kelly", now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = service.SetPassword(t.Context(), door, password, now)
	wantCode(t, err, callvault.NotFound, "a ticket to sign in, for a password")
	_, _, err = service.Redeem(t.Context(), door, office, now.Add(24*time.Hour))
	wantCode(t, err, callvault.NotFound, "a ticket to sign in after 24 h")
	token, _, err := service.Redeem(t.Context(), door, office, now)
	if err != nil {
		t.Fatal(err)
	}
	wantVisitor(t, service, token)
	_, _, err = service.Redeem(t.Context(), door, office, now)
	wantCode(t, err, callvault.NotFound, "a ticket to sign in, again")

	if err := service.RemovePerson(t.Context(), "kelly"); err != nil {
		t.Fatal(err)
	}
	_, err = service.SetPassword(t.Context(), second, password, now)
	wantCode(t, err, callvault.NotFound, "the ticket of a person who was removed")
	for _, none := range []string{"", "cvt_", second[:len(second)-1], strings.Replace(second, "cvt_", "cvk_", 1)} {
		_, err := service.LookTicket(t.Context(), none, now)
		wantCode(t, err, callvault.NotFound, "what is no ticket")
	}
}
