package account_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"callvault"
	"callvault/account"
	"callvault/database"

	"github.com/google/go-cmp/cmp"
)

var admin = account.Actor{Who: "admin", Via: account.ViaPages, From: office}

// trail is the whole audit trail as "who action tenant detail".
func trail(t *testing.T, accounts *account.Accounts) (lines []string) {
	t.Helper()
	for e, err := range accounts.AllEvents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Join([]string{e.Who, e.Action, e.Tenant, e.Detail}, "|"))
	}
	return lines
}

func TestEveryChangeIsInTheTrail(t *testing.T) {
	service, _ := openTwo(t)
	ctx := account.As(t.Context(), admin)
	agents := int64(25)
	key, err := service.AddUser(ctx, robot(), now)
	ticket, personErr := service.AddPerson(ctx, kelly(), now)
	if err := errors.Join(err, personErr); err != nil {
		t.Fatal(err)
	}
	setPassword(t, service, ticket, password)
	token := signIn(t, service)
	_, _, wrong := service.SignIn(ctx, "kelly", "wrong", office, now)
	_, _, unknown := service.SignIn(ctx, "my password typed here", "x", office, now)
	if !errors.Is(wrong, callvault.Unauthorized) || !errors.Is(unknown, callvault.Unauthorized) {
		t.Fatal(wrong, unknown)
	}
	fresh, err := service.RefreshUser(ctx, "robot", now)
	invited, inviteErr := service.InvitePerson(ctx, "kelly", now)
	for _, err := range []error{
		err, inviteErr,
		service.SignOut(ctx, token, now),
		service.SetTenant(ctx, "acme-ns", func(t *callvault.Tenant) error { t.Agents = &agents; return nil }),
		service.ResetUsage(ctx, "acme-ns"),
		service.SetUser(ctx, "robot", func(u *callvault.ServiceUser) error { u.Enabled = false; return nil }),
		service.SetPerson(ctx, "kelly", func(p *callvault.Person) error { p.Agents = p.Agents[:0]; return nil }),
		service.RemoveUser(ctx, "robot"), service.RemovePerson(ctx, "kelly"),
		service.EnsureTenants(ctx, []string{"acme-ns", "beta-co"}, now),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := trail(t, service)
	want := []string{
		`callvault|add tenant|acme-ns|requestLimit: true`,
		`admin|add user||robot: can: ["read"]; enabled: true; requestLimit: true; tenants: ["acme-ns"]`,
		`admin|add person||kelly: agents: ["Kelly Jaques(256)"]; can: ["listen","download"]; enabled: true; tenants: ["acme-ns"]`,
		`kelly|set password||kelly`,
		`kelly|sign in||person`,
		`kelly|refused sign in||wrong password`,
		`|refused sign in||no such name`,
		`admin|refresh key||robot`,
		`admin|invite person||kelly`,
		`kelly|sign out||`,
		`admin|set tenant|acme-ns|agents: null → 25`,
		`admin|reset usage|acme-ns|`,
		`admin|set user||robot: enabled: true → false`,
		`admin|set person||kelly: agents: ["Kelly Jaques(256)"] → []`,
		`admin|remove user||robot`,
		`admin|remove person||kelly`,
		`admin|add tenant|beta-co|requestLimit: true`,
	}
	// The secret of the sessions is made on the way, which is not an event.
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{key, fresh, ticket, invited, token, password, "argon2", "typed here"} {
		if strings.Contains(strings.Join(lines, "\n"), secret) {
			t.Errorf("the trail holds the secret %s", secret)
		}
	}
}

func TestWhatFailedIsNotInTheTrail(t *testing.T) {
	service, _ := openTwo(t)
	before := len(trail(t, service))
	_ = service.SetTenant(t.Context(), "acme-ns", func(*callvault.Tenant) error { return errors.New("no") })
	_ = service.RemoveUser(t.Context(), "nobody")
	if err := service.AddTenant(t.Context(), callvault.Tenant{Name: "acme-ns"}, now); err == nil {
		t.Fatal("a second acme-ns")
	}
	if after := len(trail(t, service)); after != before {
		t.Errorf("%d entries became %d", before, after)
	}
}

func TestTwoProcessesAddToOneChain(t *testing.T) {
	service, commandLine := openTwo(t)
	var all sync.WaitGroup
	for i := range 8 {
		at := []*account.Accounts{service, commandLine}[i%2]
		all.Go(func() {
			for j := range 10 {
				e := account.Event{Who: fmt.Sprint(i), Via: account.ViaAPI, Action: account.ActionPlay, Recording: fmt.Sprint(j)}
				err := at.Record(context.Background(), e)
				if j%2 == 0 {
					err = errors.Join(err, at.Note(context.Background(), e), at.Flush(context.Background()))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	count, last, err := service.VerifyAudit(t.Context())
	_, other, _ := commandLine.VerifyAudit(t.Context())
	// Equal notes of one moment may be one entry.
	if err != nil || count < 1+80 || last != other {
		t.Errorf("%d entries, %v; want one chain", count, err)
	}
	times := int64(0)
	for e, err := range service.AllEvents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		times += e.Times
	}
	if times != 1+80+40 {
		t.Errorf("%d things are told, want 121", times)
	}
}

// The chain as docs/operate.md describes it, made without our code.
func TestHashIsWhatTheDocumentSays(t *testing.T) {
	service, _ := openTwo(t)
	err := service.Record(t.Context(), account.Event{
		At: 1707770449131, Who: "kelly", Via: "pages", From: office, Action: "play", Tenant: "acmé", Recording: "k", Detail: "opus", Times: 2, Bytes: 300,
	})
	if err != nil {
		t.Fatal(err)
	}
	events, err := service.Events(t.Context(), &account.AuditQuery{})
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	text := "1:2,13:1707770449131,5:kelly,5:pages,9:192.0.2.7,4:play,5:acmé,1:k,4:opus,1:2,3:300,"
	made, first := events[1], events[0] // by their time
	if want := sha256.Sum256(append(first.Hash[:], text...)); made.Hash != want {
		t.Errorf("the hash is %v, want %x", made.Hash, want)
	}
}

func TestTamperingIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		seq       int64
	}{
		"changed":   {`UPDATE audit SET who = 'somebody else' WHERE seq = 3`, 3},
		"moved":     {`UPDATE audit SET detail = tenant, tenant = detail WHERE seq = 4`, 4},
		"one lost":  {`DELETE FROM audit WHERE seq = 2`, 2},
		"tail lost": {`DELETE FROM audit WHERE seq > 3`, 4},
		"all lost":  {`DELETE FROM audit`, 1},
		"added":     {`INSERT INTO audit SELECT 6, at_ms, who, via, remote, action, tenant, recording_key, detail, times, bytes, hash FROM audit WHERE seq = 5`, 6},
		"new head":  {`UPDATE audit_head SET hash = x'0000000000000000000000000000000000000000000000000000000000000001'`, 5},
		"cut head":  {`UPDATE audit_head SET hash = x'01'`, 5},
		"no head":   {`DELETE FROM audit_head`, 6},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "callvault.db")
			db, err := database.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			accounts := account.New(db)
			for i := range 5 {
				e := account.Event{Who: "kelly", Via: "pages", Action: "play", Tenant: "acme-ns", Detail: fmt.Sprint(i)}
				if err := accounts.Record(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			if count, _, err := accounts.VerifyAudit(t.Context()); count != 5 || err != nil {
				t.Fatalf("%d entries, %v", count, err)
			}
			tamper(t, path, c.statement)
			var broken account.Broken
			count, _, err := accounts.VerifyAudit(t.Context())
			if !errors.As(err, &broken) || broken.Seq != c.seq || count != c.seq-1 {
				t.Errorf("%d entries fit, then %v; want entry %d named", count, err, c.seq)
			}
			if err := accounts.Record(t.Context(), account.Event{Who: "kelly"}); err == nil && (name == "cut head" || name == "no head") {
				t.Error("an entry was added behind a head that is none")
			}
		})
	}
}

// tamper changes a database like someone who has the file: at first the triggers refuse
// it, so it drops them.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(statement)
	if refused := err != nil && strings.Contains(err.Error(), "only ever added to"); refused != !strings.Contains(statement, "INSERT") && !strings.Contains(statement, "audit_head") {
		t.Errorf("with the triggers: %v", err)
	}
	if err == nil {
		return
	}
	for _, s := range []string{`DROP TRIGGER audit_stays`, `DROP TRIGGER audit_remains`, statement} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsAreFound(t *testing.T) {
	service, _ := openTwo(t)
	for i := range int64(40) {
		e := account.Event{At: 1000 + i/4, Who: fmt.Sprint("p", i%2), Via: "API", Action: "play", Tenant: fmt.Sprint("t", i%4), Recording: fmt.Sprint("r", i%8)}
		if err := service.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seqs := func(q account.AuditQuery) (list []int64) {
		t.Helper()
		events, err := service.Events(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			list = append(list, events[i].Seq)
		}
		return list
	}
	for _, c := range []struct {
		query account.AuditQuery
		want  []int64 // entry 1 is the tenant's, made now
	}{
		{account.AuditQuery{Limit: 3}, []int64{1, 41, 40}},
		{account.AuditQuery{Limit: 3, Before: 40}, []int64{39, 38, 37}},
		{account.AuditQuery{Recording: "r3"}, []int64{37, 29, 21, 13, 5}},
		{account.AuditQuery{Recording: "r3", Before: 21}, []int64{13, 5}},
		{account.AuditQuery{Who: "p1", Limit: 2}, []int64{41, 39}},
		{account.AuditQuery{Tenant: "t2", Limit: 2, Before: 36}, []int64{32, 28}},
		{account.AuditQuery{Who: "p0", Tenant: "t1"}, nil},
		{account.AuditQuery{Span: callvault.Span{From: 1002, To: 1003}}, []int64{13, 12, 11, 10}},
		{account.AuditQuery{Span: callvault.Span{From: 1002, To: 1003}, Before: 12, Who: "p0"}, []int64{10}},
	} {
		if diff := cmp.Diff(c.want, seqs(c.query)); diff != "" {
			t.Errorf("%+v: %s", c.query, diff)
		}
	}
}

// Equal events within a moment are one entry, with how often and how much.
func TestNotesAreWrittenTogether(t *testing.T) {
	service, _ := openTwo(t)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range int64(40_000) { // more than may wait
		e := account.Event{Who: "robot", Via: "API", From: office, Action: "download", Tenant: "acme-ns", Recording: fmt.Sprint(i % 3), Bytes: 10}
		if err := service.Note(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := service.Run(ctx); err != nil { // its end writes what waits
		t.Fatal(err)
	}
	times, bytes, entries := int64(0), int64(0), 0
	for e, err := range service.AllEvents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Action == "download" {
			times, bytes, entries = times+e.Times, bytes+e.Bytes, entries+1
		}
	}
	if times != 40_000 || bytes != 400_000 || entries > 9 {
		t.Errorf("%d entries tell of %d downloads and %d bytes, want 9 of 40000 and 400000", entries, times, bytes)
	}
	if count, _, err := service.VerifyAudit(t.Context()); err != nil || count != int64(entries)+1 {
		t.Errorf("%d entries, %v", count, err)
	}
}

// What cannot be written now is kept.
func TestNotesOutliveAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	db, err := database.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	accounts := account.New(db)
	hide := func(from, to string) {
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	hide("audit_head", "hidden")
	note := account.Event{Who: "robot", Via: "API", Action: "download"}
	if err := errors.Join(accounts.Note(t.Context(), note), accounts.Note(t.Context(), note)); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Flush(t.Context()); err == nil {
		t.Fatal("written without a table")
	}
	if err := accounts.Note(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	hide("hidden", "audit_head")
	events, err := accounts.Events(t.Context(), &account.AuditQuery{})
	if err != nil || len(events) != 1 || events[0].Times != 3 {
		t.Errorf("the trail is %+v (%v), want one entry of 3 times", events, err)
	}
}

func BenchmarkNote(b *testing.B) {
	db, err := database.Open(b.Context(), filepath.Join(b.TempDir(), "callvault.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	accounts := account.New(db)
	i := 0
	for b.Loop() {
		i++
		e := account.Event{Who: "robot", Via: "API", From: office, Action: "download", Tenant: "acme-ns", Recording: fmt.Sprint(i % 2000), Bytes: 10}
		if err := accounts.Note(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}
