package account_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/account"

	"github.com/google/go-cmp/cmp"
)

func wantVisitor(t *testing.T, accounts *account.Accounts, token string) *account.Visitor {
	t.Helper()
	visitor, err := accounts.Visit(t.Context(), token, now)
	if err != nil {
		t.Fatal(err)
	}
	return visitor
}

func wantSignedOut(t *testing.T, accounts *account.Accounts, token, when string) {
	t.Helper()
	if visitor, err := accounts.Visit(t.Context(), token, now); !errors.Is(err, callvault.Unauthorized) {
		t.Errorf("%s: got visitor %+v, error %v, want Unauthorized", when, visitor, err)
	}
}

func signIn(t *testing.T, accounts *account.Accounts) (token string) {
	t.Helper()
	token, _, err := accounts.SignIn(t.Context(), "kelly", password, office, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVisitorIsWhoSignedIn(t *testing.T) {
	service, commandLine := openTwo(t)
	addKelly(t, commandLine)
	if err := commandLine.AddTenant(t.Context(), callvault.Tenant{Name: "beta-co"}, now); err != nil {
		t.Fatal(err)
	}
	v := wantVisitor(t, service, signIn(t, commandLine))
	if v.Name != "kelly" || v.Kind != account.Person || !v.May(callvault.Download) || v.May(callvault.Admin) {
		t.Errorf("the visitor is %+v", v)
	}
	if !v.MayHear(&callvault.Recording{TenantName: "acme-ns", Agent: "Kelly Jaques(256)"}) || v.MayHear(&callvault.Recording{TenantName: "acme-ns"}) {
		t.Error("the visitor's grant is not kelly's")
	}
	if tenants := v.Tenants(); len(tenants) != 1 || tenants[0].Name != "acme-ns" {
		t.Errorf("she may reach %+v", tenants)
	}
	_, err := v.Tenant("beta-co")
	wantCode(t, err, callvault.NotFound, "a tenant out of reach")
	other := wantVisitor(t, service, signIn(t, service))
	if other.Session == v.Session || other.Session == "" {
		t.Errorf("two sessions are called %q and %q", v.Session, other.Session)
	}
}

func TestServiceUserSignsInWithHisKey(t *testing.T) {
	service, _ := openTwo(t)
	user := robot()
	user.Can = []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin}
	key := addUser(t, service, user)
	token, v, err := service.SignInKey(t.Context(), key, office, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []callvault.Capability{callvault.Listen, callvault.Download, callvault.Admin}
	if diff := cmp.Diff(want, v.Can); diff != "" || v.Name != "robot" || v.Kind != account.ServiceUser {
		t.Errorf("the visitor is %+v %s", v, diff)
	}
	if strings.Contains(token, key) {
		t.Error("the token holds the key")
	}
	_, _, err = service.SignInKey(t.Context(), key[:len(key)-1], office, now)
	wantCode(t, err, callvault.Unauthorized, "a cut key")
}

func TestSessionEndsWithItsCause(t *testing.T) {
	disable := func(p *callvault.Person) error { p.Enabled = false; return nil }
	enable := func(p *callvault.Person) error { p.Enabled = true; return nil }
	for cause, end := range map[string]func(ctx context.Context, at *account.Accounts, token string) error{
		"signed out": func(ctx context.Context, at *account.Accounts, token string) error {
			return at.SignOut(ctx, token, now)
		},
		"removed": func(ctx context.Context, at *account.Accounts, _ string) error { return at.RemovePerson(ctx, "kelly") },
		"disabled": func(ctx context.Context, at *account.Accounts, _ string) error {
			return at.SetPerson(ctx, "kelly", disable)
		},
		"enabled anew": func(ctx context.Context, at *account.Accounts, _ string) error {
			return errors.Join(at.SetPerson(ctx, "kelly", disable), at.SetPerson(ctx, "kelly", enable))
		},
		"another password": func(ctx context.Context, at *account.Accounts, _ string) error {
			ticket, err := at.InvitePerson(ctx, "kelly", now)
			if err == nil {
				_, err = at.SetPassword(ctx, ticket, password, now)
			}
			return err
		},
	} {
		t.Run(cause, func(t *testing.T) {
			service, commandLine := openTwo(t)
			addKelly(t, commandLine)
			token := signIn(t, service)
			wantVisitor(t, service, token)
			if err := end(t.Context(), commandLine, token); err != nil {
				t.Fatal(err)
			}
			wantSignedOut(t, service, token, cause)
		})
	}
}

func TestSessionEndsWithTimeAndKey(t *testing.T) {
	service, commandLine := openTwo(t)
	key := addUser(t, service, robot())
	token, _, err := service.SignInKey(t.Context(), key, office, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Visit(t.Context(), token, now.Add(12*time.Hour-time.Millisecond)); err != nil {
		t.Errorf("just before 12 h: %v", err)
	}
	_, err = service.Visit(t.Context(), token, now.Add(12*time.Hour))
	wantCode(t, err, callvault.Unauthorized, "after 12 h")
	if _, err := commandLine.RefreshUser(t.Context(), "robot", now); err != nil {
		t.Fatal(err)
	}
	wantSignedOut(t, service, token, "after a refresh of the key")
}

// Narrowing a grant narrows open sessions too.
func TestChangeActsOnAnOpenSession(t *testing.T) {
	service, commandLine := openTwo(t)
	addKelly(t, commandLine)
	token := signIn(t, service)
	err := commandLine.SetPerson(t.Context(), "kelly", func(p *callvault.Person) error {
		p.Can = []callvault.Capability{callvault.Listen}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := wantVisitor(t, service, token); v.May(callvault.Download) {
		t.Error("she may still download")
	}
}

func TestTokensThatAreNone(t *testing.T) {
	service, _ := openTwo(t)
	for _, token := range []string{"", "x", strings.Repeat("A", 86)} {
		wantSignedOut(t, service, token, "before there was a session")
	}
	addKelly(t, service)
	token := signIn(t, service)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 64 {
		t.Fatalf("a token of %d bytes, %v", len(raw), err)
	}
	for i := range raw {
		forged := slices.Clone(raw)
		forged[i] ^= 1
		wantSignedOut(t, service, base64.RawURLEncoding.EncodeToString(forged), "with one bit changed")
	}
	for _, bad := range []string{token + "A", token[1:], token + "=", strings.Repeat("A", len(token))} {
		wantSignedOut(t, service, bad, "with other characters")
	}
}

func TestWrongGuessesAreSlowed(t *testing.T) {
	service, commandLine := openTwo(t)
	addKelly(t, service)
	at := now
	guess := func(who *account.Accounts, name, from, password string) error {
		_, _, err := who.SignIn(t.Context(), name, password, from, at)
		return err
	}
	var wait callvault.Wait
	for range 3 {
		wantCode(t, guess(service, "kelly", office, "wrong"), callvault.Unauthorized, "a free guess")
	}
	if err := guess(commandLine, "kelly", "198.51.100.1", password); !errors.As(err, &wait) || wait.For != time.Second {
		t.Fatalf("the 4th guess, from elsewhere and by another process: %v, want a wait of 1 s", err)
	}
	for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		at = at.Add(seconds*time.Second - time.Millisecond)
		wantCode(t, guess(service, "kelly", "", "wrong"), callvault.TooManyRequests, "too soon")
		at = at.Add(time.Millisecond)
		wantCode(t, guess(service, "kelly", "", "wrong"), callvault.Unauthorized, "after the wait")
	}
	at = at.Add(time.Hour)
	for range 2 {
		wantCode(t, guess(service, "kelly", office, "wrong"), callvault.Unauthorized, "after an hour")
	}
	if err := guess(service, "kelly", office, password); err != nil {
		t.Fatalf("the right password: %v", err)
	}
	for range 3 {
		wantCode(t, guess(service, "kelly", office, "wrong"), callvault.Unauthorized, "free again after a right one")
	}
}

func TestAddressIsSlowedOverAllNames(t *testing.T) {
	service, _ := openTwo(t)
	addKelly(t, service)
	for i := range 10 {
		from := "2001:db8::" + string(rune('a'+i%6)) // one network
		_, _, err := service.SignIn(t.Context(), "nobody"+string(rune('a'+i)), "wrong", from, now)
		wantCode(t, err, callvault.Unauthorized, "a free guess")
	}
	_, _, err := service.SignIn(t.Context(), "kelly", password, "2001:db8::99", now)
	wantCode(t, err, callvault.TooManyRequests, "the 11th from one network")
	_, _, err = service.SignInKey(t.Context(), "cvk_", "2001:db8::99", now)
	wantCode(t, err, callvault.TooManyRequests, "a key from there")
	if _, _, err = service.SignIn(t.Context(), "kelly", password, "2001:db8:0:1::99", now); err != nil {
		t.Errorf("from the next network: %v", err)
	}
}

func TestNameAndPasswordAreWrongAlike(t *testing.T) {
	service, _ := openTwo(t)
	addKelly(t, service)
	late := kelly()
	late.Name = "late" // has set no password
	if _, err := service.AddPerson(t.Context(), late, now); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range []string{"kelly", "nobody", "late", strings.Repeat("x", 5000)} {
		_, _, err := service.SignIn(t.Context(), name, "wrong", office, now)
		wantCode(t, err, callvault.Unauthorized, name)
		texts = append(texts, err.Error())
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("they can be told apart: %q", texts)
	}
	_, _, err := service.SignIn(t.Context(), "late", "", office, now)
	wantCode(t, err, callvault.Unauthorized, "no password")
	_, _, err = service.SignIn(t.Context(), "kelly", strings.Repeat("x", 2000), office, now)
	wantCode(t, err, callvault.Unauthorized, "a very long password")
}
