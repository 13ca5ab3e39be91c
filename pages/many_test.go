package pages_test

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/chromedp/chromedp"
)

// many makes tenants site-0000, site-0001 and so on.
func (w *world) many(n int) {
	w.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("site-%04d", i)
	}
	if err := w.accounts.EnsureTenants(w.Context(), names, time.Now()); err != nil {
		w.Fatal(err)
	}
}

// TestManyTenants: with a thousand tenants no page is large, each tenant can be found, and
// names are typed instead of chosen from a list.
func TestManyTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(1000)
	robots := make([]string, 70)
	for i := range robots {
		robots[i] = fmt.Sprintf("robot-%02d", i)
		user := callvault.ServiceUser{Name: robots[i], Grant: callvault.Grant{Tenants: []string{"acme-ns"}}, Can: []callvault.Capability{callvault.Read}, Enabled: true}
		if _, err := w.accounts.AddUser(t.Context(), user, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	r := w.signedIn("root", callvault.Listen, callvault.Admin)
	for path, want := range map[string]string{
		"/recordings": `<input id="tenant"`, "/completeness": "site-0058", "/completeness?find=0999": "site-0999", "/usage": "989</data> more tenants", "/audit": `name="tenant"`,
		"/admin/tenants": "site-0058", "/admin/users": "robot-59", "/admin/users/new/person": `<textarea name="tenants"`,
		"/admin/tenants?find=NORTH": "acme-ns", "/admin/tenants?find=site-0999": "site-0999", "/admin/tenants?find=nothing": "No tenants match",
		"/admin/users?find=BOT-69": "robot-69", "/admin/users?find=nothing": "No service user matches",
		"/usage?find=site-0999": "site-0999", "/usage?find=nothing": "No tenants match",
		"/recordings/suggest?field=tenant&prefix=nort":      `[{"value":"acme-ns","label":"Acme North"}]`,
		"/recordings/suggest?field=tenant&prefix=site-0999": `[{"value":"site-0999"}]`,
	} {
		got := r.get(path)
		got.want(t, path, 200, want)
		if len(got.body) > 60_000 { // a page is less than 100 KB with its style and scripts
			t.Errorf("%s has %d bytes", path, len(got.body))
		}
	}
	if got := r.get("/recordings/suggest?field=tenant&prefix=site"); strings.Count(got.body, "value") != 12 {
		t.Errorf("suggested: %s", got.body)
	}
	if n := strings.Count(r.get("/admin/tenants?find=no").body, "site-"); n != 0 {
		t.Errorf("%d tenants are found by what they do not hold", n)
	}
	seen := map[string]bool{}
	path, pages := "/admin/tenants?done=tenant-added", 0
	for ; path != "" && pages < 100; pages++ {
		got := r.get(path)
		for _, found := range regexp.MustCompile(`href="/admin/tenants/([^"?]+)"`).FindAllStringSubmatch(got.body, -1) {
			if seen[found[1]] {
				t.Errorf("%s stands on two pages", found[1])
			}
			seen[found[1]] = true
		}
		path = ""
		if next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(got.body); next != nil {
			path = html.UnescapeString(next[1])
		}
		if strings.Contains(path, "done") {
			t.Error("the next page says once more that something was done")
		}
	}
	if len(seen) != 1001 || pages != 17 {
		t.Errorf("%d tenants on %d pages", len(seen), pages)
	}
}

// TestUsageOfMany: the tenants that have used the most of their limits are shown, whatever
// their names.
func TestUsageOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(100)
	for name, bytes := range map[string]int64{"site-0077": 300, "site-0055": 500} {
		tenant, err := w.accounts.Tenant(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		reserved, err := w.meter.Reserve(t.Context(), tenant, bytes, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		reserved.Settle(bytes, time.Now())
	}
	got := w.signedIn("ann", callvault.Listen).get("/usage")
	got.want(t, "usage", 200, "500 B", "300 B", "89</data> more tenants")
	if most, less := strings.Index(got.body, "site-0055"), strings.Index(got.body, "site-0077"); most < 0 || less < most {
		t.Errorf("the tenant that used the most stands at %d, the next at %d", most, less)
	}
}

// TestTypedTenants: with many tenants, those of an account are typed, one per line.
func TestTypedTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(100)
	r := w.signedIn("root", callvault.Admin)
	r.post("/admin/users/new/service-user", "name", "robot", "reach", "some", "tenants", "site-0007\r\n site-0099 \r\n", "can", "read").want(t, "adding", 200, "cvk_")
	page := r.get("/admin/users/service-user/robot")
	page.want(t, "the user", 200, "site-0007\nsite-0099</textarea>")
	was := regexp.MustCompile(`name="was" value="([^"]*)"`).FindStringSubmatch(page.body)[1]
	r.post("/admin/users/service-user/robot", "was", was, "reach", "some", "tenants", "site-0007\r\nsite-9999", "can", "read").
		want(t, "a tenant that there is not", 400, "site-9999", "</textarea>")
	r.post("/admin/users/service-user/robot", "was", was, "reach", "some", "tenants", "site-0007", "can", "read").want(t, "narrowing", 303)
	users, err := w.accounts.Users(t.Context())
	if err != nil || len(users) != 1 || fmt.Sprint(users[0].Tenants) != "[site-0007]" {
		t.Errorf("%v, %v", users, err)
	}
}

// TestDayThatMissesMuch: a day that lacks hundreds of recordings lists some and counts the rest.
func TestDayThatMissesMuch(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	day := daysAgo(3)
	for i := range 205 {
		key := fmt.Sprintf("lost-%03d", i)
		c.origin.add("acme-ns", key, day.Add(time.Duration(i)*time.Second))
		c.origin.missing[key] = true
	}
	c.collect()
	r := c.signedIn("ann", callvault.Listen)
	r.get("/completeness?find=north").want(t, "found by its title", 200, "/completeness/acme/acme-ns")
	r.get("/completeness?find=south").want(t, "not found", 200, "None of its tenants matches")
	r.get("/completeness/acme/acme-ns?"+url.Values{"day": {day.Format(time.DateOnly)}}.Encode()).
		want(t, "the day", 200, "lost-199", `5</data> more`, `205</data> by the source`)
}

// TestSomeTenantsOfMany: a visitor with access to some of many tenants chooses among those, in order.
func TestSomeTenantsOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(100)
	r := w.newReader()
	r.get(strings.TrimPrefix(w.addPerson("ann", callvault.Grant{Tenants: []string{"site-0003", "acme-ns", "site-0001"}}, callvault.Listen), w.url))
	var values []string
	for _, found := range regexp.MustCompile(`<option value="([^"]+)">(?:Acme|site)`).FindAllStringSubmatch(r.get("/recordings").body, -1) {
		values = append(values, found[1])
	}
	if fmt.Sprint(values) != "[acme-ns site-0001 site-0003]" {
		t.Errorf("the tenants are %v", values)
	}
}

// TestManyCollectedTenants: a source's tenants are spread over pages, each on exactly one.
func TestManyCollectedTenants(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	for i := range 70 {
		c.origin.add(fmt.Sprintf("branch-%02d", i), fmt.Sprintf("r-%02d", i), daysAgo(3))
	}
	c.collect()
	r := c.signedIn("ann", callvault.Listen)
	links := regexp.MustCompile(`href="/completeness/acme/branch-\d\d"`)
	next := regexp.MustCompile(`href="(/completeness\?[^"]*source=acme[^"]*)"`)
	first := r.get("/completeness?find=branch")
	to := next.FindStringSubmatch(first.body)
	if n := len(links.FindAllString(first.body, -1)); n != 60 || to == nil {
		t.Fatalf("%d tenants, and then %v", n, to)
	}
	second := r.get(html.UnescapeString(to[1]))
	second.want(t, "the next page", 200, `value="branch"`, `href="/completeness?find=branch"`)
	if n := len(links.FindAllString(second.body, -1)); n != 10 {
		t.Errorf("%d tenants on the next page", n)
	}
	r.get("/completeness?source=acme&from=70").want(t, "beyond the last page", 200, "No more tenants.", `href="/completeness"`)
}

// TestManyTenantsInTheBrowser: the pages look right with many tenants, and one is
// suggested for a part of its title.
func TestManyTenantsInTheBrowser(t *testing.T) {
	w := newWorld(t)
	w.many(100)
	b := w.openBrowser(w.addPerson("root", callvault.Grant{AllTenants: true}, callvault.Listen, callvault.Admin))
	for _, path := range []string{"/recordings", "/completeness", "/usage", "/admin/tenants", "/admin/users/new/person"} {
		b.open(path)
		b.inspect("many" + strings.ReplaceAll(path, "/", "-"))
	}
	b.open("/recordings")
	b.do(chromedp.SendKeys("#tenant", "nor"))
	b.until(`document.querySelector("#tenants option")?.value === "acme-ns"`)
	b.do(chromedp.SetValue("#tenant", "acme-ns"), chromedp.SendKeys("#party", "1"))
	b.until(`location.search === "?party=1&tenant=acme-ns"`)
}
