package pages_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"callvault"
)

// TestHeaders checks the headers that every answer must have.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, status := range map[string]int{"/sign-in": 200, "/recordings": 303, "/nowhere-at-all": 404, "/recordings/a/b/c/d/e": 404} {
		got := w.newReader().get(path)
		got.want(t, path, status)
		policy := got.header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: %q is not in the policy %q", path, part, policy)
			}
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"} {
			if have := got.header.Get(name); have != want {
				t.Errorf("%s: %s is %q, want %q", path, name, have, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(got.body, "style=") || strings.Contains(got.body, "onclick") {
			t.Errorf("%s: something stands in the page or the policy that must not: %s\n%s", path, policy, got.body)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newReader()
	page := r.get("/sign-in")
	found := regexp.MustCompile(`"(/static/[0-9a-f]{16}/[a-z]+\.(css|js|svg))"`).FindAllStringSubmatch(page.body, -1)
	if len(found) < 4 {
		t.Fatalf("the page names %d static files: %s", len(found), page.body)
	}
	for _, match := range found {
		for _, coding := range []string{"identity", "gzip"} {
			got := r.send("GET", match[1], http.Header{"Accept-Encoding": {coding}}, nil)
			got.want(t, match[1], 200)
			if cache := got.header.Get("Cache-Control"); cache != "public, max-age=31536000, immutable" {
				t.Errorf("%s: Cache-Control %q", match[1], cache)
			}
			if zipped := got.header.Get("Content-Encoding") == "gzip"; zipped != (coding == "gzip") || zipped != strings.HasPrefix(got.body, "\x1f\x8b") {
				t.Errorf("%s asked for %s: %q", match[1], coding, got.header.Get("Content-Encoding"))
			}
		}
	}
	r.get("/static/0123456789abcdef/app.js").want(t, "another version's file", 404)
	r.get("/static/x/..%2f..%2ftemplates%2flayout.html").want(t, "a path out of the folder", 404)
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newReader()
	for _, method := range []string{"PUT", "DELETE", "TRACE", "PATCH"} {
		got := r.send(method, "/sign-in", nil, nil)
		got.want(t, method, 405)
		if allow := got.header.Get("Allow"); allow != "GET, HEAD, POST" {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	r.send("GET", "/sign-out", nil, nil).want(t, "GET of what is only sent", 405)
	if got := r.send("HEAD", "/sign-in", nil, nil); got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, %q", got.status, got.body)
	}
}

// TestOtherSitesAreRefused sends forms as another site's page would.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Ada", callvault.Admin)
	for name, header := range map[string]http.Header{
		"a browser that says so": {"Sec-Fetch-Site": {"cross-site"}},
		"another origin":         {"Origin": {"https://evil.example"}},
		"a neighbour":            {"Sec-Fetch-Site": {"same-site"}},
	} {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		form := url.Values{"name": {"evil"}, "egress": {"auto"}}.Encode()
		r.send("POST", "/admin/tenants", header, strings.NewReader(form)).want(t, name, 403, "another site")
	}
	if _, err := w.accounts.Tenant(t.Context(), "evil"); err == nil {
		t.Error("the tenant was made")
	}
	r.send("GET", "/admin/tenants", http.Header{"Sec-Fetch-Site": {"cross-site"}}, nil).want(t, "a link on another site", 200)
}

// TestWhoMaySeeWhat requests each page without signing in and as somebody who is not an
// administrator.
func TestWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener := w.signedIn("Lena", callvault.Listen)
	w.addUser("robot", callvault.Read)
	for _, path := range []string{"/admin/tenants", "/admin/tenants/acme-ns", "/admin/tenants/acme-ns/reset", "/admin/users", "/admin/users/new/person",
		"/admin/users/service-user/robot", "/admin/users/service-user/robot/refresh", "/audit", "/audit/export"} {
		got := w.newReader().get(path)
		got.want(t, path, 303)
		if to := got.header.Get("Location"); to != "/sign-in?to="+url.QueryEscape(path) {
			t.Errorf("%s leads to %q", path, to)
		}
		listener.get(path).want(t, path, 403, "No access", "Lena is not one")
	}
	listener.post("/admin/tenants", "name", "x", "egress", "auto").want(t, "adding a tenant", 403)
	listener.post("/audit/verify").want(t, "verifying", 403)
	got := listener.get("/usage")
	got.want(t, "/usage", 200)
	if strings.Contains(got.body, "/admin/") || strings.Contains(got.body, `href="/audit"`) {
		t.Error("the menu names pages that Lena may not see")
	}
	w.newReader().send("GET", "/usage", http.Header{"Accept": {"application/json"}}, nil).want(t, "a script", 401, `"code":"unauthorized"`)
}

// TestMenuLeadsNowhereForbidden follows each menu entry and the link home, as visitors who
// may not see all pages.
func TestMenuLeadsNowhereForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	narrow := w.newReader()
	link := w.addPerson("Nora", callvault.Grant{AllTenants: true, Agents: []string{"Ann Onyx(7)"}}, callvault.Listen)
	narrow.get(strings.TrimPrefix(link, w.url))
	for name, r := range map[string]*reader{
		"one agent's": narrow, "an administrator": w.signedIn("Ada", callvault.Admin), "a listener": w.signedIn("Lena", callvault.Listen),
		"who may only download": w.signedIn("Dora", callvault.Download),
	} {
		home := r.get("/").header.Get("Location")
		page := r.get(home)
		page.want(t, name+" at home", 200)
		entries := regexp.MustCompile(`<li><a href="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
		if len(entries) == 0 {
			t.Errorf("%s has no menu", name)
		}
		for _, entry := range entries {
			r.get(entry[1]).want(t, name+" at "+entry[1], 200)
		}
	}
}

func TestAllowance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.signedIn("Eager", callvault.Listen)
	var refused answer
	for range 450 { // a window may end on the way
		if refused = r.get("/usage"); refused.status != 200 {
			break
		}
	}
	refused.want(t, "one page after another", 429, "wait a moment and try again")
	if refused.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.signedIn("Calm", callvault.Listen).get("/usage").want(t, "somebody else", 200)
}

// TestLogOfRequests checks that each exchange is one line of the log, without secrets.
func TestLogOfRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.addUser("robot", callvault.Read)
	link := w.addPerson("Ada", callvault.Grant{AllTenants: true}, callvault.Admin)
	r := w.newReader()
	r.get(strings.TrimPrefix(link, w.url))
	r.get("/usage")
	r.get("/recordings/acme-ns/" + key)
	r.get("/recordings/" + key + "/x")
	r.get("/certificate/" + key)
	w.newReader().post("/sign-in", "key", key)
	log := w.log.String()
	for _, text := range []string{`"page":"welcome"`, `"page":"usage","user":"Ada"`, `"page":"sign-in"`, `"request_id"`, `"ms"`} {
		if !strings.Contains(log, text) {
			t.Errorf("%s is not in the log:\n%s", text, log)
		}
	}
	_, ticket, _ := strings.Cut(link, "/welcome/")
	for _, secret := range []string{key, ticket} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}
