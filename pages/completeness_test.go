package pages_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive/archivetest"
	"callvault/archive/disk"
	"callvault/client"
	"callvault/collect"
	"callvault/pages"
)

// origin is a service that speaks the recordings API: the source of these tests.
type origin struct {
	*httptest.Server
	recordings []callvault.Recording
	audio      map[string][]byte
	missing    map[string]bool // answered with 404
	gate       chan struct{}   // where not nil, a value is taken before each audio is sent
}

func newOrigin(t *testing.T) *origin {
	o := &origin{audio: map[string][]byte{}, missing: map[string]bool{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

// add adds a recording.
func (o *origin) add(tenant, key string, start time.Time) {
	audio := archivetest.Opus(len(o.recordings), 2*time.Second)
	o.audio[tenant+"/"+key] = audio
	o.recordings = append(o.recordings, callvault.Recording{RecordingKey: key, CallKey: key, StartTime: start.UnixMilli(), Duration: 2000,
		Size: int64(len(audio)), Status: callvault.Saved, TenantName: tenant, CallDirection: "INBOUND"})
}

// ServeHTTP answers like a recordings API without calls.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	switch {
	case strings.HasSuffix(r.URL.Path, "/audio"):
		tenant, key := parts[5], parts[6]
		if o.gate != nil {
			<-o.gate
		}
		if o.missing[key] {
			http.Error(w, `{"code":"not_found","message":"no"}`, http.StatusNotFound)
			return
		}
		w.Write(o.audio[tenant+"/"+key])
	case strings.HasSuffix(r.URL.Path, "/recordings"):
		from, _ := callvault.ParseTime(r.URL.Query().Get("startTime"))
		to, _ := callvault.ParseTime(r.URL.Query().Get("endTime"))
		var items []string
		for _, one := range o.recordings {
			if (callvault.Span{From: from, To: to}).Contains(one.StartTime) {
				items = append(items, string(one.AppendJSON(nil)))
			}
		}
		fmt.Fprintf(w, "[%s]", strings.Join(items, ","))
	default:
		http.Error(w, `{"code":"not_found","message":"no"}`, http.StatusNotFound)
	}
}

// collected is a world whose pages show a collector over an origin.
type collected struct {
	*world
	origin    *origin
	collector *collect.Collector
	source    *collect.Source
	dir       string
}

// newCollected returns such a world, in which nothing has been collected yet.
func newCollected(t *testing.T) *collected {
	t.Helper()
	c := &collected{origin: newOrigin(t), dir: t.TempDir()}
	c.world = newWorld(t, func(w *world, config *pages.Config) {
		quarantine, err := disk.Open(filepath.Join(c.dir, "quarantine"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { quarantine.Close() })
		c.collector = collect.New(collect.Config{DB: w.db, Archive: w.archive, Quarantine: quarantine, Log: slog.New(slog.DiscardHandler),
			EnsureTenants: func(ctx context.Context, names []string) error {
				return w.accounts.EnsureTenants(ctx, names, time.Now())
			}})
		asks, err := client.New(c.origin.URL, "key")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(asks.CloseIdleConnections)
		c.source = &collect.Source{Name: "acme", Client: asks, OwnServer: true, Lookback: collect.DefaultLookback, Since: time.Now().AddDate(0, 0, -40).UnixMilli()}
		config.Collector = c.collector
		config.Sources = []pages.Source{{Source: c.source, URL: c.origin.URL}}
	})
	t.Cleanup(c.pages.Stopping)
	return c
}

// collect does a run to its end.
func (c *collected) collect() {
	c.Helper()
	run, err := c.collector.Start(c.Context(), c.source, collect.Always)
	if err == nil {
		_, err = run.Wait(c.Context())
	}
	if err != nil {
		c.Fatal(err)
	}
}

// denver is the time zone of acme-ns.
var denver = func() *time.Location {
	zone, err := time.LoadLocation("America/Denver")
	if err != nil {
		panic(err)
	}
	return zone
}()

// daysAgo returns noon in acme-ns's time zone, so many days ago.
func daysAgo(n int) time.Time {
	now := time.Now().In(denver)
	return time.Date(now.Year(), now.Month(), now.Day()-n, 12, 0, 0, 0, denver)
}

// lastMidnight returns when the present day began in acme-ns's time zone. If the day is
// about to end, it waits for the next, so that it is still that day in a minute.
func lastMidnight() time.Time {
	now := time.Now().In(denver)
	if soon := now.Add(time.Minute); soon.Day() != now.Day() {
		time.Sleep(time.Minute)
		now = soon
	}
	return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, denver)
}

// month fills the origin with the recordings of a month, one of which cannot be fetched.
func (c *collected) month() (bad time.Time) {
	for n := 39; n > 0; n-- {
		for i := range 1 + n%3 {
			c.origin.add("acme-ns", fmt.Sprintf("r-%d-%d", n, i), daysAgo(n).Add(time.Duration(i)*time.Hour))
		}
	}
	bad = daysAgo(20)
	c.origin.add("acme-ns", "bad-one", bad)
	c.origin.missing["bad-one"] = true
	c.origin.add("borealis", "b", daysAgo(10))
	return bad
}

func TestCalendarPages(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	bad := c.month()
	c.addTenant(callvault.Tenant{Name: "by-hand"})
	r := c.signedIn("ann", callvault.Listen)
	r.get("/completeness").want(t, "before any run", 200, "none has finished yet", "by hand")
	c.collect()
	r.get("/completeness").want(t, "after a run", 200, `href="/completeness/acme/acme-ns"`, `>1</data> missing`, "1 of 2 tenants incomplete",
		"Taken in directly", "by-hand", "No source says what there should be", "the last 35 days: ")
	month := r.get("/completeness/acme/acme-ns?month=" + bad.Format("2006-01"))
	month.want(t, "the month", 200, "incomplete", bad.Format("January 2006"), "day="+bad.Format(time.DateOnly)+"#day", `class="mark" aria-hidden="true">✓`)
	r.get("/completeness/acme/acme-ns?day="+bad.Format(time.DateOnly)).want(t, "the day", 200, "bad-one", "missing: ",
		"callvault settle --tenant acme-ns bad-one --give-up", "/recordings?")
	now := r.get("/completeness/acme/acme-ns?month=2999-01")
	now.want(t, "a month to come", 200, time.Now().In(denver).Format("January 2006"))
	if strings.Contains(now.body, `rel="next"`) {
		t.Error("there is a way into the future")
	}
	for path, status := range map[string]int{
		"/completeness/acme/nobody": 404, "/completeness/other/acme-ns": 404, "/completeness/acme/by-hand": 404,
		"/completeness/acme/acme-ns?month=x": 400, "/completeness/acme/acme-ns?day=2024-02-31": 400,
		"/completeness/acme/acme-ns?day=2001-01-01": 404, "/certificate/nobody": 404, "/certificate/acme-ns?from=2024-02-02&until=2024-02-01": 400,
		"/certificate/acme-ns/hashes.txt?from=%27": 400,
	} {
		if got := r.get(path); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
}

// A source that is no longer in the configuration keeps its calendar, but nothing new is
// expected of it.
func TestFormerSource(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	bad := c.month()
	c.collect()
	err := c.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE sources SET complete_ms = 1`)
		if err == nil {
			_, err = tx.ExecContext(t.Context(), `UPDATE collected_tenants SET complete_ms = 1`)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := c.signedIn("ann", callvault.Listen)
	r.get("/completeness").want(t, "still configured", 200, "No run has succeeded for 26 hours", "over 4 days ago", c.origin.URL)
	if former, err := c.collector.FormerSources(t.Context(), []*collect.Source{c.source}); err != nil || len(former) != 0 {
		t.Errorf("%v, %v: the source is configured", former, err)
	}
	former, err := c.collector.FormerSources(t.Context(), nil)
	if err != nil || len(former) != 1 || former[0].Name != "acme" || former[0].Since != c.source.Since {
		t.Fatalf("%v, %v", former, err)
	}
	c.pages.Sources = []pages.Source{{Source: former[0]}}
	all := r.get("/completeness")
	all.want(t, "no more", 200, `href="/completeness/acme/acme-ns"`, "No longer in the configuration", "1 of 2 tenants incomplete", "<dd>none</dd>")
	if strings.Contains(all.body, "No run has succeeded") || strings.Contains(all.body, "over 4 days ago") {
		t.Error("a run is asked for that there will not be")
	}
	r.get("/completeness/acme/acme-ns?day="+bad.Format(time.DateOnly)).want(t, "the day", 200, "bad-one")
}

// What the visitor may not reach is not shown.
func TestCompletenessWithinTheGrant(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	c.month()
	c.collect()
	sign := func(name string, grant callvault.Grant) *reader {
		r := c.newReader()
		r.get(strings.TrimPrefix(c.addPerson(name, grant, callvault.Listen), c.url))
		return r
	}
	one := sign("bo", callvault.Grant{Tenants: []string{"borealis"}})
	for _, path := range []string{"/completeness", "/usage"} {
		page := one.get(path)
		page.want(t, path, 200, "borealis")
		if strings.Contains(page.body, "acme-ns") {
			t.Errorf("%s shows a tenant that is not granted", path)
		}
	}
	for _, path := range []string{"/completeness/acme/acme-ns", "/certificate/acme-ns", "/certificate/acme-ns/hashes.txt", "/certificate/acme-ns/certificate.json"} {
		if got := one.get(path); got.status != 404 {
			t.Errorf("%s of a tenant that is not granted: %d", path, got.status)
		}
	}
	narrow := sign("cy", callvault.Grant{AllTenants: true, Agents: []string{"Ann"}})
	for _, path := range []string{"/completeness", "/completeness/events", "/completeness/acme/acme-ns", "/certificate/acme-ns", "/certificate/acme-ns/hashes.txt", "/usage"} {
		if got := narrow.get(path); got.status != 403 {
			t.Errorf("%s for who hears one agent: %d, want 403", path, got.status)
		}
	}
}

// TestCertificate recomputes a certificate's hash from the list and from the files, with
// the very commands that it shows.
func TestCertificate(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	bad := c.month()
	c.collect()
	r := c.signedIn("ann", callvault.Listen)
	query := "?from=" + daysAgo(25).Format(time.DateOnly) + "&until=" + daysAgo(15).Format(time.DateOnly)
	var told struct {
		Held, Recordings int64
		SHA256, Verdict  string
		Whole            bool
		Days             map[string]int
		NotWhole         []struct{ Day, State string }
	}
	answer := r.get("/certificate/acme-ns/certificate.json" + query)
	if err := json.Unmarshal([]byte(answer.body), &told); err != nil {
		t.Fatal(err, answer.body)
	}
	if told.Whole || told.Days["incomplete"] != 1 || told.Days["complete"] != 10 || told.Recordings != told.Held+1 ||
		len(told.NotWhole) != 1 || told.NotWhole[0].Day != bad.Format(time.DateOnly) || told.Verdict != "Not complete: of 11 days, 1 incomplete." {
		t.Errorf("%+v", told)
	}
	page := r.get("/certificate/acme-ns" + query)
	page.want(t, "the page", 200, told.SHA256, told.Verdict, "Issued ", "by ann", "days in America/Denver")
	list := r.get("/certificate/acme-ns/hashes.txt" + query)
	if got := list.header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename*=UTF-8''acme-ns_") {
		t.Errorf("the list is sent as %q", got)
	}
	if n := strings.Count(list.body, "\n"); int64(n) != told.Held {
		t.Errorf("the list has %d lines, %d are held", n, told.Held)
	}
	name := regexp.MustCompile(`LC_ALL=C sort (\S+) `).FindStringSubmatch(page.body)
	if err := os.WriteFile(filepath.Join(c.dir, name[1]), []byte(list.body), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, c.dir, "LC_ALL=C sort "+name[1]+" | sha256sum", told.SHA256)
	line := regexp.MustCompile(`(?s)id="recompute">(.*?)</code>`).FindStringSubmatch(page.body)
	shell(t, c.world.dir, unescape(line[1]), told.SHA256)

	whole := r.get("/certificate/acme-ns/certificate.json?from=" + daysAgo(15).Format(time.DateOnly) + "&until=" + daysAgo(12).Format(time.DateOnly))
	whole.want(t, "a whole period", 200, `"whole": true`, "Complete: for 4 days, everything")
	open := r.get("/certificate/acme-ns/certificate.json?from=" + daysAgo(15).Format(time.DateOnly) + "&until=" + daysAgo(1).Format(time.DateOnly))
	open.want(t, "a period that is not over", 200, `"whole": false`, `"soFar": true`, "Nothing is missing so far: for 15 days", "late recordings may still arrive")
	r.get("/certificate/acme-ns?from=2001-01-01&until="+time.Now().AddDate(0, 0, 9).Format(time.DateOnly)).
		want(t, "too long a period", 200, "before collecting began", "still to come", "Not complete")
	var issued int
	err := c.db.Reader.QueryRow(`SELECT count(*) FROM audit WHERE action = 'certify' AND who = 'ann' AND tenant = 'acme-ns' AND detail LIKE '%' || $1`, told.SHA256).Scan(&issued)
	if err != nil || issued != 2 {
		t.Errorf("the audit trail has %d certificates with this hash (%v), want 2", issued, err)
	}
}

// shell runs a command in a folder and checks the hash that it prints.
func shell(t *testing.T, dir, line, want string) {
	t.Helper()
	command := exec.Command("sh", "-c", line)
	command.Dir, command.Stderr = dir, os.Stderr
	out, err := command.Output()
	if got, _, _ := strings.Cut(string(out), " "); err != nil || got != want {
		t.Errorf("%s\ngives %q (%v), want %s", line, out, err, want)
	}
}

func unescape(text string) string {
	return strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

func TestUsagePage(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	c.origin.add("acme-ns", "r", daysAgo(3))
	c.collect()
	limit := int64(1000)
	c.limitEgress("acme-ns", &limit)
	tenant, err := c.accounts.Tenant(t.Context(), "acme-ns")
	if err != nil {
		t.Fatal(err)
	}
	reserved, err := c.meter.Reserve(t.Context(), tenant, 900, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	reserved.Settle(900, time.Now())
	if _, err := c.meter.Reserve(t.Context(), tenant, 900, time.Now()); err == nil {
		t.Fatal("1800 bytes fit into 1000")
	}
	page := c.signedIn("ann", callvault.Listen).get("/usage")
	none := c.signedIn("bo", callvault.Listen).get("/usage?find=nowhere")
	if none.want(t, "usage of none", 200, "No tenants match"); strings.Contains(none.body, "0001-01-01") {
		t.Error("the service was started in the year 1")
	}
	page.want(t, "usage", 200, "90% used", `value="900"`, "When room frees", `509, limit used up</dt><dd><data value="1"`, "Fetched from acme")
}

// The progress stream says how far a run has got, and ends with the session and with the
// service.
func TestProgressStream(t *testing.T) {
	t.Parallel()
	c := newCollected(t)
	for i := range 20 {
		c.origin.add("acme-ns", fmt.Sprint("r", i), daysAgo(2))
	}
	c.origin.gate = make(chan struct{})
	defer close(c.origin.gate) // so that the run ends also when the test fails
	r := c.signedIn("ann", callvault.Listen)
	request, _ := http.NewRequestWithContext(t.Context(), "GET", c.url+"/completeness/events", nil)
	response, err := r.client.Do(request)
	if err != nil || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(err, response)
	}
	defer response.Body.Close()
	ended := make(chan error, 1)
	go func() {
		run, err := c.collector.Start(context.Background(), c.source, collect.Always)
		if err == nil {
			_, err = run.Wait(context.Background())
		}
		ended <- err
	}()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for text := ""; ; {
			chunk := make([]byte, 4096)
			n, err := response.Body.Read(chunk)
			text += string(chunk[:n])
			for {
				line, rest, found := strings.Cut(text, "\n")
				if !found {
					break
				}
				text = rest
				if data, ok := strings.CutPrefix(line, "data: "); ok {
					lines <- data
				}
			}
			if err != nil {
				if err != io.EOF {
					t.Log(err)
				}
				return
			}
		}
	}()
	wait := func(want string) {
		t.Helper()
		for line := range lines {
			if strings.Contains(line, want) {
				return
			}
		}
		t.Fatalf("the stream ended before it sent %s", want)
	}
	wait(`"due":20`)
	for range 5 {
		c.origin.gate <- struct{}{}
	}
	wait(`"done":5,"due":15`)
	for range 15 {
		c.origin.gate <- struct{}{}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	wait(`{"runs":[]}`)
	if err := c.accounts.RemovePerson(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	c.pages.Stopping()
	for range lines {
	}
}
