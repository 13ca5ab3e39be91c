package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/account"
	"callvault/database"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

var now = time.UnixMilli(1707770449131)

// openTwo opens one database twice, as a service and a command beside it do.
func openTwo(t *testing.T) (service, commandLine *account.Accounts) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "callvault.db")
	var both [2]*account.Accounts
	for i := range both {
		db, err := database.Open(t.Context(), databasetest.Place(path))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		both[i] = account.New(db)
	}
	if err := both[0].AddTenant(t.Context(), callvault.Tenant{Name: "acme-ns", RequestLimit: true}, now); err != nil {
		t.Fatal(err)
	}
	return both[0], both[1]
}

func robot() callvault.ServiceUser {
	return callvault.ServiceUser{
		Name: "robot", Grant: callvault.Grant{Tenants: []string{"acme-ns"}},
		Can: []callvault.Capability{callvault.Read}, Enabled: true, RequestLimit: true,
	}
}

func addUser(t *testing.T, accounts *account.Accounts, user callvault.ServiceUser) (key string) {
	t.Helper()
	key, err := accounts.AddUser(t.Context(), user, now)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantRefused(t *testing.T, accounts *account.Accounts, key, when string) {
	t.Helper()
	if user, err := accounts.Authenticate(t.Context(), key, now); !errors.Is(err, callvault.Unauthorized) {
		t.Errorf("%s: got user %v, error %v, want Unauthorized", when, user, err)
	} else if len(key) > 8 && strings.Contains(err.Error(), key) {
		t.Errorf("%s: the error holds the key: %v", when, err)
	}
}

func wantUser(t *testing.T, accounts *account.Accounts, key string) *callvault.ServiceUser {
	t.Helper()
	user, err := accounts.Authenticate(t.Context(), key, now)
	if err != nil {
		t.Fatal(err)
	}
	return user.ServiceUser
}

func TestEveryChangeActsOnTheNextRequest(t *testing.T) {
	service, commandLine := openTwo(t)
	key := addUser(t, commandLine, robot())
	if got := wantUser(t, service, key).Name; got != "robot" {
		t.Errorf("the key is %q's, want robot's", got)
	}

	fresh, err := commandLine.RefreshUser(t.Context(), "robot", now)
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, service, key, "after a refresh")
	wantUser(t, service, fresh)

	enable := func(on bool) {
		err := commandLine.SetUser(t.Context(), "robot", func(u *callvault.ServiceUser) error { u.Enabled = on; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	enable(false)
	wantRefused(t, service, fresh, "while disabled")
	enable(true)
	wantUser(t, service, fresh)

	if err := commandLine.RemoveUser(t.Context(), "robot"); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, service, fresh, "after the removal")
	if err := commandLine.RemoveUser(t.Context(), "robot"); !errors.Is(err, callvault.NotFound) {
		t.Errorf("removing again gave %v, want NotFound", err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	service, _ := openTwo(t)
	key := addUser(t, service, robot())
	swapped := key[:10] + key[11:12] + key[10:11] + key[12:]
	for when, bad := range map[string]string{
		"empty": "", "cut": key[:len(key)-1], "longer": key + "A", "lower case": strings.ToLower(key),
		"two characters swapped": swapped, "other prefix": "xyz_" + key[4:], "NUL": key[:20] + "\x00" + key[21:],
	} {
		if bad != key {
			wantRefused(t, service, bad, when)
		}
	}
}

func TestUserKeepsWhatHeWasGiven(t *testing.T) {
	service, commandLine := openTwo(t)
	user := robot()
	user.Agents, user.Skills = []string{"Kelly Jaques(256)"}, []string{"CC Sales"}
	key := addUser(t, commandLine, user)
	user.Created, user.Refreshed = now.UnixMilli(), now.UnixMilli()
	if diff := cmp.Diff(&user, wantUser(t, service, key)); diff != "" {
		t.Error(diff)
	}
	if _, err := commandLine.AddUser(t.Context(), robot(), now); !errors.Is(err, callvault.Conflict) {
		t.Errorf("a second robot gave %v, want Conflict", err)
	}
	stray := robot()
	stray.Name, stray.Tenants = "stray", []string{"nowhere"}
	if _, err := commandLine.AddUser(t.Context(), stray, now); !errors.Is(err, callvault.NotFound) {
		t.Errorf("a grant of an unknown tenant gave %v, want NotFound", err)
	}
}

func TestLastUseIsSaved(t *testing.T) {
	service, commandLine := openTwo(t)
	key := addUser(t, service, robot())
	wantUser(t, service, key)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := service.Run(ctx); err != nil {
		t.Fatal(err)
	}
	users, err := commandLine.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].LastUsed != now.UnixMilli() {
		t.Errorf("users are %+v (%v), want robot last used at %d", users, err, now.UnixMilli())
	}
}

// A user who is added under the name of a removed one has not been used yet.
func TestLastUseIsNotTheSuccessors(t *testing.T) {
	service, commandLine := openTwo(t)
	wantUser(t, service, addUser(t, service, robot()))
	err := commandLine.RemoveUser(t.Context(), "robot")
	if err == nil {
		_, err = commandLine.AddUser(t.Context(), robot(), now.Add(time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := service.Run(ctx); err != nil {
		t.Fatal(err)
	}
	users, err := commandLine.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].LastUsed != 0 {
		t.Errorf("users are %+v (%v), want robot never used", users, err)
	}
}

// A name that looks like another one, or like nothing, is a typing error.
func TestNewNamesHaveNoSpaceAround(t *testing.T) {
	accounts, _ := openTwo(t)
	for _, name := range []string{" ", " acme", "acme ", "acme\u00a0"} {
		user, person := robot(), callvault.Person{Name: name, Grant: robot().Grant, Can: []callvault.Capability{callvault.Listen}}
		user.Name = name
		_, userErr := accounts.AddUser(t.Context(), user, now)
		_, personErr := accounts.AddPerson(t.Context(), person, now)
		tenantErr := accounts.AddTenant(t.Context(), callvault.Tenant{Name: name}, now)
		for _, err := range []error{userErr, personErr, tenantErr} {
			if !errors.Is(err, callvault.InvalidParameter) {
				t.Errorf("the name %q gave %v, want InvalidParameter", name, err)
			}
		}
	}
}

func TestMaskKeys(t *testing.T) {
	accounts, _ := openTwo(t)
	key := addUser(t, accounts, robot())
	for text, want := range map[string]string{
		"":                           "",
		"begins with cvk_":           "begins with cvk_",
		"no recording " + key + ".":  "no recording cvk_....",
		key + " and " + key[:20]:     "cvk_... and cvk_...",
		"/recordings/" + key + "/au": "/recordings/cvk_.../au",
		"//welcome/cvt_" + key[4:]:   "//welcome/cvt_...",
	} {
		if got := account.MaskKeys(text); got != want {
			t.Errorf("%q is masked as %q, want %q", text, got, want)
		}
	}
}

func TestTenantSettings(t *testing.T) {
	service, commandLine := openTwo(t)
	agents := int64(25)
	err := commandLine.SetTenant(t.Context(), "acme-ns", func(tenant *callvault.Tenant) error {
		tenant.Agents, tenant.TimeZone = &agents, "America/Denver"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := service.Tenant(t.Context(), "acme-ns")
	if err != nil {
		t.Fatal(err)
	}
	if limit, limited := tenant.EgressLimit(); limit != 25*273_600_000 || !limited {
		t.Errorf("25 agents have the egress limit %d (%v), want %d", limit, limited, 25*273_600_000)
	}
	if err := commandLine.ResetUsage(t.Context(), "acme-ns"); err != nil {
		t.Fatal(err)
	}
	if tenant, err = service.Tenant(t.Context(), "acme-ns"); err != nil || tenant.UsageEpoch != 1 {
		t.Errorf("after a reset the tenant is %+v (%v), want epoch 1", tenant, err)
	}
	for name, edit := range map[string]func(*callvault.Tenant){
		"time zone": func(tenant *callvault.Tenant) { tenant.TimeZone = "Mars/Olympus" },
		"agents":    func(tenant *callvault.Tenant) { *tenant.Agents = -1 },
	} {
		err := commandLine.SetTenant(t.Context(), "acme-ns", func(tenant *callvault.Tenant) error { edit(tenant); return nil })
		if !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("a bad %s gave %v, want InvalidParameter", name, err)
		}
	}
	if _, err := service.Tenant(t.Context(), "nowhere"); !errors.Is(err, callvault.NotFound) {
		t.Errorf("an unknown tenant gave %v, want NotFound", err)
	}
}

// A request that comes in after a change was made must see it, however many
// others are looking at the same time.
func TestChangesUnderManyRequests(t *testing.T) {
	service, commandLine := openTwo(t)
	key := addUser(t, commandLine, robot())
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = service.Authenticate(context.Background(), "cvk_", now)
					_, _ = service.Tenant(context.Background(), "acme-ns")
				}
			}
		})
	}
	for range 30 {
		fresh, err := commandLine.RefreshUser(t.Context(), "robot", now)
		if err != nil {
			t.Fatal(err)
		}
		wantRefused(t, service, key, "under load")
		wantUser(t, service, fresh)
		key = fresh
	}
	close(stop)
	readers.Wait()
}

func BenchmarkAuthenticate(b *testing.B) {
	db, err := database.Open(b.Context(), filepath.Join(b.TempDir(), "callvault.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	accounts := account.New(db)
	user := robot()
	user.Grant = callvault.Grant{AllTenants: true}
	key, err := accounts.AddUser(b.Context(), user, now)
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := accounts.Authenticate(context.Background(), key, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
