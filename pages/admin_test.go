package pages_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/account"
)

var (
	wasField = regexp.MustCompile(`name="was" value="([^"]*)"`)
	keyText  = regexp.MustCompile(`cvk_[0-9A-Za-z]+`)
)

// was returns the fingerprint that the form on a page was made from.
func (a answer) was(t *testing.T) string {
	t.Helper()
	found := wasField.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no form in %d %.1000s", a.status, a.body)
	}
	return html.UnescapeString(found[1])
}

func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	r.post("/admin/tenants", "name", "a/b", "egress", "auto").want(t, "a name with a slash", 400, "holds a slash", `value="a/b"`)
	r.post("/admin/tenants", "name", "x", "time-zone", "Mars/Base", "egress", "auto").want(t, "no time zone", 400, "not a time zone")
	r.post("/admin/tenants", "name", "acme-ns", "egress", "auto").want(t, "a name that is taken", 409, "already")
	r.post("/admin/tenants", "name", "acme?sf#1 100%", "title", "<b>South</b>", "agents", "25", "egress", "own", "egress-bytes", "1000000").want(t, "a tenant", 303)
	r.get("/admin/tenants?done=tenant-added").want(t, "the list", 200, "acme?sf#1 100%", "&lt;b&gt;South&lt;/b&gt;", "/admin/tenants/acme%3Fsf%231%20100%25", "The tenant was added.")
	path := "/admin/tenants/acme%3Fsf%231%20100%25"
	form := r.get(path)
	form.want(t, "the tenant", 200, `value="25"`, `value="1000000"`)
	was := form.was(t)
	r.post(path, "was", was, "agents", "30", "egress", "auto").want(t, "a change", 303)
	r.post(path, "was", was, "agents", "31", "egress", "auto").want(t, "a change from a second tab", 409, "while the form was open", `value="31"`)
	saved := r.post(path+"?done=saved", "was", was, "agents", "31", "egress", "auto")
	if strings.Contains(saved.body, "Saved.") {
		t.Error("a refused form is reported as saved, because an earlier one was")
	}
	r.post(path, "was", r.get(path).was(t), "agents", "many", "egress", "auto").want(t, "no number", 400, "not a whole number")
	tenant, err := w.accounts.Tenant(t.Context(), "acme?sf#1 100%")
	if err != nil || *tenant.Agents != 30 || tenant.EgressOverride != nil || tenant.RequestLimit {
		t.Errorf("the tenant is %+v, %v", tenant, err)
	}
	question := r.get(path + "/reset")
	question.want(t, "the question", 200, "Reset the usage")
	r.post(path+"/reset", "was", question.was(t)).want(t, "the reset", 303)
	r.post(path+"/reset", "was", question.was(t)).want(t, "the reset again", 409)
	r.get("/admin/tenants/none").want(t, "no tenant", 404, "Not found")
	events, err := w.accounts.Events(t.Context(), &account.AuditQuery{Who: "Ada", Tenant: "acme?sf#1 100%"})
	if err != nil || len(events) != 3 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// TestKeyIsShownOnce makes a service user, uses its key, and refreshes it.
func TestKeyIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	fields := []string{"name", "robot", "reach", "some", "tenant", "acme-ns", "can", "read", "agents", "Kelly\r\n\r\n Ann \r\nKelly", "request-limit", "on"}
	made := r.post("/admin/users/new/service-user", fields...)
	made.want(t, "a service user", 200, "cvk_", "shown only once")
	if made.header.Get("Cache-Control") != "no-store" {
		t.Error("the page with the key may be kept")
	}
	key := keyText.FindString(made.body)
	caller, err := w.accounts.Authenticate(t.Context(), key, time.Now())
	if err != nil || len(caller.Agents) != 2 || caller.AllTenants || !caller.RequestLimit || !caller.May(callvault.Read) {
		t.Fatalf("the key is %+v's, %v", caller, err)
	}
	again := r.post("/admin/users/new/service-user", fields...)
	again.want(t, "sent again", 409, "already")
	page := r.get("/admin/users/service-user/robot")
	for what, answer := range map[string]answer{"sent again": again, "the user": page, "all users": r.get("/admin/users")} {
		if keyText.MatchString(answer.body) {
			t.Errorf("%s: the page holds a key", what)
		}
	}
	refresh := "/admin/users/service-user/robot/refresh"
	was := r.get(refresh).was(t)
	fresh := keyText.FindString(r.post(refresh, "was", was).body)
	if _, err := w.accounts.Authenticate(t.Context(), fresh, time.Now()); err != nil || fresh == key {
		t.Errorf("the new key: %v", err)
	}
	if _, err := w.accounts.Authenticate(t.Context(), key, time.Now()); err == nil {
		t.Error("the old key is still good")
	}
	repeated := r.post(refresh, "was", was)
	repeated.want(t, "the back button and again", 409, "already done")
	if keyText.MatchString(repeated.body) {
		t.Error("the page holds a key")
	}
	if _, err := w.accounts.Authenticate(t.Context(), fresh, time.Now()); err != nil {
		t.Errorf("the new key has ended: %v", err)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	r.post("/admin/users/new/person", "name", "Kelly", "reach", "some", "can", "listen").want(t, "no tenant", 400, "all tenants or a list", `value="Kelly"`)
	r.post("/admin/users/new/person", "name", "Kelly", "reach", "all", "can", "write").want(t, "another kind's capability", 400, "cannot have")
	r.post("/admin/users/new/person", "name", "Kelly", "reach", "all", "can", "listen").want(t, "a person", 200, w.url+"/welcome/cvt_")
	path := "/admin/users/person/Kelly"
	was := r.get(path).was(t)
	r.post(path, "was", was, "reach", "some", "tenant", "acme-ns", "can", "listen", "can", "download").want(t, "narrowing", 303)
	r.post(path, "was", was, "reach", "all", "can", "admin").want(t, "from a second tab", 409)
	link := r.post(path+"/invite", "was", r.get(path+"/invite").was(t))
	link.want(t, "a new link", 200, "/welcome/cvt_")
	r.post(path+"/disable", "was", r.get(path+"/disable").was(t)).want(t, "disabling", 303)
	r.get(path).want(t, "disabled", 200, "disabled", "Enable…")
	r.post(path+"/enable", "was", r.get(path+"/enable").was(t)).want(t, "enabling", 303)
	r.get(path+"/refresh").want(t, "what a person has not", 404)
	question := r.get(path + "/remove")
	question.want(t, "the question", 200, "Remove Kelly for good?", "No, go back")
	if got := r.post(path + "/remove"); got.status != 409 {
		t.Errorf("without the question: %d", got.status)
	}
	r.post(path+"/remove", "was", question.was(t)).want(t, "removing", 303)
	r.get(path).want(t, "removed", 404)
	own := "/admin/users/person/Ada"
	for _, act := range []string{"disable", "remove"} {
		r.post(own+"/"+act, "was", r.get(own+"/"+act).was(t)).want(t, act+" oneself", 400, "lock yourself out")
	}
	r.post(own, "was", r.get(own).was(t), "reach", "all", "can", "listen").want(t, "no longer an administrator", 400, "lock yourself out")
}

// TestNamesThatAreMarkup shows names with markup, and long ones.
func TestNamesThatAreMarkup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	const evil = `"><script>alert(1)</script>&{{.}}`
	w.addTenant(callvault.Tenant{Name: `<img src=x onerror=alert(1)>`, Title: strings.Repeat("long ", 2000)})
	w.addPerson("<i>Eve<i>", callvault.Grant{AllTenants: true, Agents: []string{evil, strings.Repeat("x", 10000)}}, callvault.Listen)
	for _, path := range []string{"/admin/tenants", "/admin/users", "/admin/users/person/%3Ci%3EEve%3Ci%3E", "/audit",
		"/audit?who=%22%3E%3Cscript%3E", "/sign-in?to=%22%3E%3Cscript%3E", "/%3Cscript%3Ealert(1)%3C/script%3E"} {
		got := r.get(path)
		if strings.Contains(got.body, "<script>") || strings.Contains(got.body, "<img src=x") || strings.Contains(got.body, "<i>") {
			t.Errorf("%s: markup runs: %s", path, got.body)
		}
		if len(got.body) > 60_000 {
			t.Errorf("%s: %d bytes", path, len(got.body))
		}
	}
	r.post("/admin/tenants", "name", strings.Repeat("n", 300_000)).want(t, "a form that is too large", 413)
	r.post("/admin/tenants", "name", strings.Repeat("n", 10_000), "egress", "auto").want(t, "a long name", 400, "255 are allowed")
}

// TestOddNames follows the links to tenants and users as a browser does, which resolves
// "." and ".." in a path.
func TestOddNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	names := []string{".", "..", "~", "~x", "a%2Fb", "?#&", "é"}
	for _, name := range names {
		w.addTenant(callvault.Tenant{Name: name})
		w.addPerson("person "+name, callvault.Grant{Tenants: []string{name}}, callvault.Listen)
		w.addUser(name, callvault.Read)
	}
	for list, pattern := range map[string]string{
		"/admin/tenants": `href="(/admin/tenants/[^"]+)"`,
		"/admin/users":   `href="(/admin/users/(?:person|service-user)/[^"]+)"`,
		"/completeness":  `href="(/certificate/[^"]+)"`,
	} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(r.get(list).body, -1)
		if len(found) < len(names) {
			t.Errorf("%s has %d links", list, len(found))
		}
		for _, link := range found {
			base, _ := url.Parse(w.url)
			at, err := base.Parse(html.UnescapeString(link[1]))
			if err != nil {
				t.Fatal(err)
			}
			r.get(at.EscapedPath()).want(t, list+" "+link[1], 200)
		}
	}
	r.get("/admin/tenants/~..").want(t, "the tenant ..", 200, "<h1>..</h1>", `href="/admin/tenants/~../reset"`)
	r.get("/admin/users/service-user/~../refresh").want(t, "its key", 200, "Make a new key for ..?", `href="/admin/users/service-user/~.."`)
}

// TestTenantNamedAsACapability: reaching it does not grant the capability.
func TestTenantNamedAsACapability(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "admin"})
	w.addPerson("Kim", callvault.Grant{Tenants: []string{"admin"}}, callvault.Listen)
	page := w.signedIn("Ada", callvault.Admin).get("/admin/users/person/Kim")
	page.want(t, "Kim", 200, `name="tenant" value="admin" checked`, `name="can" value="listen" checked`)
	if strings.Contains(page.body, `name="can" value="admin" checked`) {
		t.Error("whoever saves this form makes Kim an administrator")
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	for range 60 {
		err := w.accounts.Record(t.Context(), account.Event{Who: "robot", Via: account.ViaAPI, Action: account.ActionDownload, Tenant: "acme-ns", Recording: "key-1", Bytes: 1234})
		if err != nil {
			t.Fatal(err)
		}
	}
	first := r.get("/audit?who=robot&recording=key-1")
	first.want(t, "one page", 200, "download", "/recordings/acme-ns/key-1", "Next page")
	next := regexp.MustCompile(`href="(/audit\?[^"]*before=[^"]*)"`).FindStringSubmatch(first.body)
	if next == nil {
		t.Fatal(first.body)
	}
	second := r.get(html.UnescapeString(next[1]))
	second.want(t, "the next", 200, "Back to the first page")
	if a, b := strings.Count(first.body, "/recordings/acme-ns/key-1"), strings.Count(second.body, "/recordings/acme-ns/key-1"); a != 30 || b != 30 {
		t.Errorf("the pages show %d and %d entries", a, b)
	}
	r.get("/audit?who=nobody").want(t, "nothing found", 200, "No matching entries", "Show everything", "Days are in UTC.")
	r.get("/audit?since=soon").want(t, "no day", 400, "is not a day")
	r.get("/audit?before=-1").want(t, "no place", 400)
	r.get("/audit?tenant=acme-ns&since=2020-01-01&until=2020-01-02").want(t, "long ago", 200, "No matching entries", "Days are in America/Denver.")
	r.get("/audit").want(t, "before a look", 200, "has not been verified")
	r.post("/audit/verify").want(t, "verifying", 303)
	r.get("/audit").want(t, "after it", 200, "intact")
	exported := r.get("/audit/export")
	exported.want(t, "the export", 200, `"action":"export"`, `"who":"Ada"`)
	for line := range strings.Lines(exported.body) {
		var event account.Event
		if err := json.Unmarshal([]byte(line), &event); err != nil && !strings.Contains(err.Error(), "Hash") {
			t.Fatalf("%v: %s", err, line)
		}
	}
	if got := exported.header.Get("Content-Disposition"); !strings.Contains(got, "attachment") {
		t.Errorf("Content-Disposition %q", got)
	}
	drop := `DROP TRIGGER audit_stays`
	if w.db.Shared() {
		drop += ` ON audit`
	}
	err := w.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), drop)
		_, changeErr := tx.ExecContext(t.Context(), `UPDATE audit SET who = 'other' WHERE seq = 5`)
		return errors.Join(err, changeErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.post("/audit/verify").want(t, "verifying", 303)
	r.get("/audit").want(t, "after somebody changed it", 200, "broken", "entry 5")
}
