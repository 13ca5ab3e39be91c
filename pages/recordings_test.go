package pages_test

import (
	"database/sql"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/account"
)

// linksTo reports whether the body links to the recording's page.
func linksTo(body string, r callvault.Recording) bool {
	return strings.Contains(body, `href="/recordings/`+url.PathEscape(r.TenantName)+"/"+url.PathEscape(r.RecordingKey)+`"`)
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "beta-co", TimeZone: "Asia/Tokyo"})
	midnight := lastMidnight()
	today, before := recording("today", midnight.UnixMilli()+1000), recording("before", midnight.UnixMilli()-1000)
	today.CallingParty, today.Agent, today.TagData = "17775550123", "Ann Onyx(7)", "Gold"
	before.CallDirection, before.Duration = "OUTBOUND", 90_000
	beta := recording("beta", midnight.UnixMilli()-30*24*3600_000)
	beta.TenantName, beta.Skill = "beta-co", "Repairs"
	all := []callvault.Recording{today, before, beta}
	for _, r := range all {
		w.keep(r, nil, clip().Audio)
	}
	reader := w.signedIn("lena", callvault.Listen)
	for query, want := range map[string]string{
		"":                                   "today before beta",
		"tenant=acme-ns":                     "today before",
		"tenant=acme-ns&when=today":          "today",
		"tenant=acme-ns&when=yesterday":      "before",
		"tenant=acme-ns&when=7d":             "today before",
		"party=0123":                         "today",
		"party=ann":                          "today",
		"agent=onyx":                         "today",
		"skill=repairs":                      "beta",
		"direction=OUTBOUND":                 "before",
		"tag=gold":                           "today",
		"min=1:30":                           "before",
		"max=1:29":                           "today beta",
		"min=1&max=1:30&tenant=acme-ns":      "before",
		"party=0123&skill=repairs":           "",
		"tenant=acme-ns&from=" + day(before): "today before",
		"tenant=acme-ns&when=range&from=" + day(before) + "&until=" + day(before): "before",
	} {
		got := reader.get("/recordings?" + query)
		got.want(t, query, http.StatusOK)
		for _, r := range all {
			if found := linksTo(got.body, r); found != strings.Contains(want, r.RecordingKey) {
				t.Errorf("%s: %s found: %t", query, r.RecordingKey, found)
			}
		}
		part := reader.get("/recordings?" + query + "&part=results")
		if strings.Contains(part.body, "<form") || strings.Count(part.body, "result-link") != strings.Count(got.body, "result-link") {
			t.Errorf("%s: the results alone differ from those of the page", query)
		}
	}
	for _, query := range []string{"when=never", "from=soon", "min=x", "max=1:99", "min=3&max=2", "from=2026-02-02&until=2026-02-01", "tenant=nobody"} {
		reader.get("/recordings?"+query).want(t, query, http.StatusBadRequest, "notice bad")
	}
	reader.get("/recordings?after=damaged").want(t, "after", http.StatusBadRequest)
	if got := w.events(account.ActionSearch); len(got) == 0 || got[0].Who != "lena" || got[0].Via != account.ViaPages {
		t.Errorf("the audit trail has these searches: %v", got)
	}
}

// TestSearchDayWithoutMidnight: where clocks go forward at midnight, the day begins then,
// and the day before keeps its last hour.
func TestSearchDayWithoutMidnight(t *testing.T) {
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "sur", TimeZone: "America/Santiago"})
	begins := time.Date(2022, 9, 11, 4, 0, 0, 0, time.UTC).UnixMilli() // 01:00 there
	last, first := recording("last", begins-1), recording("first", begins)
	last.TenantName, first.TenantName = "sur", "sur"
	w.keep(last, nil, clip().Audio)
	w.keep(first, nil, clip().Audio)
	reader := w.signedIn("lena", callvault.Listen)
	for day, want := range map[string][2]bool{"2022-09-10": {true, false}, "2022-09-11": {false, true}} {
		body := reader.get("/recordings?tenant=sur&from=" + day + "&until=" + day).body
		if got := [2]bool{linksTo(body, last), linksTo(body, first)}; got != want {
			t.Errorf("%s: the last of the day before and its first found: %t, want %t", day, got, want)
		}
	}
}

func day(r callvault.Recording) string {
	denver, _ := time.LoadLocation("America/Denver")
	return time.UnixMilli(r.StartTime).In(denver).Format("2006-01-02")
}

func TestSearchShowsOnlyWhatMayBeHeard(t *testing.T) {
	w := newWorld(t)
	mine, other := recording("mine", 1_707_770_449_131), recording("other", 1_707_770_449_132)
	other.Agent = "Somebody Else"
	w.keep(mine, nil, clip().Audio)
	w.keep(other, nil, clip().Audio)
	reader := w.newReader()
	link := w.addPerson("kim", callvault.Grant{Tenants: []string{"acme-ns"}, Agents: []string{mine.Agent}}, callvault.Listen)
	reader.get(strings.TrimPrefix(link, w.url))
	got := reader.get("/recordings")
	if !linksTo(got.body, mine) || linksTo(got.body, other) {
		t.Errorf("the list: %.2000s", got.body)
	}
	reader.get("/recordings/acme-ns/mine").want(t, "mine", http.StatusOK)
	for _, end := range []string{"", "/audio", "/peaks"} {
		reader.get("/recordings/acme-ns/other"+end).want(t, "other"+end, http.StatusNotFound)
	}
	if got := reader.get("/recordings/suggest?field=agent&prefix=s"); got.body != "[]\n" {
		t.Errorf("suggested: %s", got.body)
	}
	if got := reader.get("/recordings/suggest?field=agent&prefix=kel"); !strings.Contains(got.body, mine.Agent) {
		t.Errorf("suggested: %s", got.body)
	}
	admin := w.signedIn("ada", callvault.Admin)
	for _, path := range []string{"/recordings", "/recordings/acme-ns/mine", "/recordings/acme-ns/mine/audio", "/recordings/suggest?field=agent"} {
		admin.get(path).want(t, path, http.StatusForbidden, "may not")
	}
}

// TestZonesAreTold: times of several zones in one list name their zones; those of one
// tenant are all in its zone.
func TestZonesAreTold(t *testing.T) {
	w := newWorld(t)
	w.addTenant(callvault.Tenant{Name: "beta-co", TimeZone: "Asia/Tokyo"})
	start := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC).UnixMilli()
	here, there := recording("here", start), recording("there", start)
	there.TenantName = "beta-co"
	w.keep(here, nil, clip().Audio)
	w.keep(there, nil, clip().Audio)
	reader := w.signedIn("lena", callvault.Listen)
	reader.get("/recordings").want(t, "two zones", http.StatusOK, "2026-01-05 05:00 MST</time>", "2026-01-05 21:00 JST</time>", `data-form="minuteIn"`)
	reader.get("/recordings?tenant=beta-co").want(t, "one zone", http.StatusOK, "2026-01-05 21:00</time>", `data-form="minute"`)
	reader.get("/recordings/beta-co/there").want(t, "the recording", http.StatusOK, "2026-01-05 21:00:00 JST</time>", `data-form="momentIn"`)
}

func TestSearchPages(t *testing.T) {
	w := newWorld(t)
	items := w.fill()
	reader := w.signedIn("lena", callvault.Listen)
	path, seen := "/recordings", map[string]bool{}
	for path != "" {
		got := reader.get(path)
		got.want(t, path, http.StatusOK)
		for _, item := range items {
			if linksTo(got.body, item.Recording) {
				if seen[item.Recording.RecordingKey] {
					t.Fatalf("%s is on two pages", item.Recording.RecordingKey)
				}
				seen[item.Recording.RecordingKey] = true
			}
		}
		_, next, more := strings.Cut(got.body, `<a class="button" href="/recordings?after=`)
		if path = ""; more {
			cursor, _, _ := strings.Cut(next, `"`)
			path = "/recordings?after=" + cursor
		}
	}
	if len(seen) != len(items) {
		t.Errorf("%d of %d recordings are on the pages", len(seen), len(items))
	}
	for _, status := range []string{"Not held yet", "Deleted", "Deleted soon"} {
		found := false
		for query := range map[string]bool{"/recordings": true} {
			found = found || strings.Contains(reader.get(query).body, status)
		}
		if !found && status == "Not held yet" {
			t.Errorf("the first page does not say %s", status)
		}
	}
}

func TestEmptyStates(t *testing.T) {
	w := newWorld(t)
	reader := w.signedIn("lena", callvault.Listen)
	reader.get("/recordings").want(t, "nothing there", http.StatusOK, "callvault collect")
	reader.get("/recordings?party=0123").want(t, "nothing found", http.StatusOK, "Try a longer period")
	err := w.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `DELETE FROM tenants`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fresh := w.signedIn("ada", callvault.Listen, callvault.Admin) // a change, so that the accounts are read again
	reader.get("/recordings").want(t, "no tenant", http.StatusOK, "No tenants yet", "An administrator adds tenants")
	fresh.get("/recordings").want(t, "no tenant, for who can add one", http.StatusOK, `href="/admin/tenants">Add a tenant`)
	w.addTenant(callvault.Tenant{Name: "acme-ns"})
	w.keep(recording("one", began), nil, clip().Audio)
	narrow := w.newReader()
	link := w.addPerson("bo", callvault.Grant{AllTenants: true, Agents: []string{"Nobody"}}, callvault.Listen)
	narrow.get(strings.TrimPrefix(link, w.url))
	got := narrow.get("/recordings")
	got.want(t, "nothing for them", http.StatusOK, "No recordings that you may hear")
	if strings.Contains(got.body, `href="/completeness"`) {
		t.Error("the page leads to one that the visitor may not see")
	}
}
