package collect_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
)

// history writes what many runs leave behind: a recording every step since the source's
// first, of which all but every hundredth are held, in stretches that are listed finally.
func history(t *testing.T, v *vault, source *collect.Source, step time.Duration, now time.Time) (starts []time.Time) {
	t.Helper()
	err := v.db.Tx(t.Context(), func(tx *sql.Tx) error {
		for at := source.Since; at < now.UnixMilli(); at += step.Milliseconds() {
			state := "held"
			if len(starts)%100 == 99 {
				state = "missing"
			}
			_, err := tx.Exec(`INSERT INTO items VALUES ('acme-ns', $1, 'acme', $2, 0, 1000, 'SAVED', 1, $4, $3, 'no', '', 0, 0, 0, 0, 0)`,
				fmt.Sprint(at), at, state, []byte{})
			if err != nil {
				return err
			}
			starts = append(starts, time.UnixMilli(at))
		}
		_, err := tx.Exec(`INSERT INTO listed VALUES ('acme', $1, $2, $2)`, source.Since, now.UnixMilli())
		if err == nil {
			_, err = tx.Exec(`INSERT INTO collected_tenants VALUES ('acme-ns', 'acme', 'acme-ns', 0, NULL, 0)`)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return starts
}

// TestYearsOfHistory: a calendar of years counts each recording on its day in the zone,
// across all changes of its clocks.
func TestYearsOfHistory(t *testing.T) {
	for _, name := range []string{"UTC", "America/Denver", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"} {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(name)
			if err != nil {
				t.Skip(err)
			}
			v, source, now := newVault(t, tempDir(t)), from(t, newSource()), time.Now()
			source.Since = now.AddDate(-3, 0, 0).UnixMilli() + rand.Int64N(1e7)
			listed, lacking := map[string]int{}, map[string]int{}
			for i, start := range history(t, v, source, 101*time.Minute, now) {
				day := start.In(zone).Format(time.DateOnly)
				listed[day]++
				if i%100 == 99 {
					lacking[day]++
				}
			}
			days, err := v.Calendar(t.Context(), &collect.Scope{Source: source, Tenant: "acme-ns", Zone: zone}, collect.Always, now)
			if err != nil || len(days) < 3*365 {
				t.Fatalf("%d days, %v", len(days), err)
			}
			for _, d := range days {
				want := collect.DayIncomplete
				if lacking[d.Day] == 0 {
					want = collect.DayComplete
				}
				if d.Listed != listed[d.Day] || d.Lacking != lacking[d.Day] || d.Held != d.Listed-d.Lacking ||
					d.State != want && (d.State != collect.DaySoFar || want != collect.DayComplete) {
					t.Errorf("%+v, want %d listed, %d lacking, %s", d, listed[d.Day], lacking[d.Day], want)
				}
				delete(listed, d.Day)
			}
			if len(listed) > 0 {
				t.Errorf("not in the calendar: %v", listed)
			}
		})
	}
}

// TestOneOfLongAgo: a recording that its source dates 1970 is shown on its day, without
// the 20,000 days since.
func TestOneOfLongAgo(t *testing.T) {
	v, source, now := newVault(t, tempDir(t)), from(t, newSource()), time.Now()
	source.Since = now.AddDate(0, 0, -10).UnixMilli()
	history(t, v, source, time.Hour, now)
	err := v.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO items VALUES ('acme-ns', 'old', 'acme', 1000, 0, 1000, 'SAVED', 1, $1, 'held', '', '', 0, 0, 0, 0, 0)`, []byte{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, zone := range map[string]*time.Location{"UTC": time.UTC, "east": time.FixedZone("east", 3600)} {
		days, err := v.Days(t.Context(), source, "acme-ns", zone, now)
		if err != nil || len(days) < 11 || len(days) > 13 || days[0].Day != "1970-01-01" || days[0].Listed != 1 || days[1].Listed == 0 {
			t.Errorf("%s: %d days, %v: %+v", name, len(days), err, days[:min(2, len(days))])
		}
		glances, err := v.Glances(t.Context(), &collect.GlanceQuery{Source: source, Days: 35,
			Include: func(string) bool { return true }, ZoneOf: func(string) *time.Location { return zone }}, now)
		if err != nil || len(glances) != 1 || len(glances[0].Days) > 12 {
			t.Errorf("%s: %+v, %v", name, glances, err)
		}
	}
}

// TestCalendarReadsAnIndex: days are counted from an index alone, and a glance at a tenant
// reads only what it lacks.
func TestCalendarReadsAnIndex(t *testing.T) {
	if databasetest.Second() {
		t.Skip("PostgreSQL chooses its indexes by what it knows of the table")
	}
	v := newVault(t, tempDir(t))
	for query, want := range map[string]string{
		`SELECT (start_ms + CAST($1 AS BIGINT)) / 86400000 AS day, state FROM items INDEXED BY items_by_day
			WHERE tenant = $2 AND start_ms >= $3 AND start_ms < $4`: "COVERING INDEX items_by_day (tenant=? AND start_ms>? AND start_ms<?)",
		`SELECT start_ms, state FROM items INDEXED BY items_lacking WHERE state IN ('due', 'quarantined', 'denied', 'missing')
			AND urgency IN (0, 1) AND tenant = $1 AND start_ms >= $2 AND start_ms < $3`: "COVERING INDEX items_lacking (tenant=? AND urgency=? AND start_ms>? AND start_ms<?)",
		`SELECT tenant, state, count(*) FROM items INDEXED BY items_lacking WHERE state IN ('due', 'quarantined', 'denied', 'missing')
			GROUP BY tenant`: "COVERING INDEX items_lacking",
	} {
		var id, parent, unused int
		var step string
		err := v.db.Reader.QueryRow("EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "$"))...).Scan(&id, &parent, &unused, &step)
		if err != nil || !strings.Contains(step, want) {
			t.Errorf("%s, %v, want %s", step, err, want)
		}
	}
}

// TestGlances: a glance agrees with the status, which looks at each recording, and shows
// only the tenants that were asked for.
func TestGlances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(6 * time.Hour)
		s := newSource()
		s.unlimited = true
		for _, tenant := range []string{"acme-ns", "borealis", "hidden"} {
			fill(s, tenant, 5)
		}
		for _, fault := range []string{"status 404", "status 403", "json"} {
			bad := s.add("borealis", "bad "+fault, ago(30*time.Hour))
			bad.fault, bad.times = fault, -1
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		v.run(t, source)
		look := &collect.GlanceQuery{Source: source, Days: 35,
			Include: func(tenant string) bool { return tenant != "hidden" }, ZoneOf: func(string) *time.Location { return time.UTC }}
		glances, err := v.Glances(t.Context(), look, time.Now())
		if err != nil || len(glances) != 2 {
			t.Fatalf("%+v, %v, want two tenants", glances, err)
		}
		for _, g := range glances {
			long := v.status(t, source, g.Tenant)
			days := g.Days
			g.Days = nil
			if diff := cmp.Diff(glanceOf(&long), g); diff != "" {
				t.Error(diff)
			}
			full, err := v.Days(t.Context(), source, g.Tenant, time.UTC, time.Now())
			if err != nil || len(full) != len(days) || len(days) < 4 {
				t.Fatalf("%d days at a glance, %d in full, %v", len(days), len(full), err)
			}
			for i, d := range days {
				if full[i].Day != d.Day || full[i].State != d.State || full[i].Lacking != d.Lacking || len(full[i].Missing) != d.Lacking {
					t.Errorf("%+v at a glance, %+v in full", d, full[i])
				}
			}
		}
		if g := glances[0]; g.Stale(time.Now()) || !g.Stale(time.Now().Add(collect.StaleAfter+time.Hour)) {
			t.Error("a tenant is stale four days after its last complete run, and not before")
		}
		if g := glances[1]; g.LastCompleteAt != nil || g.Denied != 1 || g.Missing != 1 || g.Quarantined != 1 {
			t.Errorf("%+v", g)
		}
	})
}

// TestOneDay: a day says what is missing and why, and what became of the rest.
func TestOneDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(20 * time.Hour)
		s := newSource()
		s.unlimited = true
		at := ago(30 * time.Hour)
		s.add("acme-ns", "good", at)
		bad := s.add("acme-ns", "bad", at.Add(time.Minute))
		bad.fault, bad.times = "status 404", -1
		s.add("acme-ns", "late", at.Add(2*time.Minute)).Status = callvault.Pending
		s.add("acme-ns", "gone", at.Add(3*time.Minute)).Status = callvault.DeletedUser
		lost := s.add("acme-ns", "lost", at.Add(4*time.Minute))
		lost.fault, lost.times = "status 404", -1
		s.add("acme-ns", "another day", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		v.run(t, source)
		err := v.Settle(t.Context(), &collect.Settlement{Tenant: "acme-ns", Key: "lost", Reason: "ticket 4711", Who: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		scope := &collect.Scope{Source: source, Tenant: "acme-ns", Zone: time.UTC}
		d, err := v.Day(t.Context(), scope, at, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if d.Listed != 5 || d.Held != 1 || d.Pending != 1 || d.Deleted != 1 || d.Lacking != 1 || d.State != collect.DayIncomplete {
			t.Errorf("%+v", d)
		}
		if len(d.Missing) != 1 || d.Missing[0].RecordingKey != "bad" || !strings.HasPrefix(d.Missing[0].Reason, "missing: ") || d.Missing[0].StartTime != bad.StartTime {
			t.Errorf("%+v, want bad, missing", d.Missing)
		}
		if len(d.Settled) != 1 || d.Settled[0].Reason != "given up by ann: ticket 4711" {
			t.Errorf("%+v, want lost, given up", d.Settled)
		}
		for _, none := range []time.Time{ago(40 * 24 * time.Hour), time.Now().Add(24 * time.Hour)} {
			if _, err := v.Day(t.Context(), scope, none, time.Now()); err == nil {
				t.Errorf("there is something to tell of %v", none)
			}
		}
	})
}

// TestProgress: the runs of this process can be watched while they are under way.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 20)
		v, source := newVault(t, tempDir(t)), from(t, s)
		if views := v.Progress(); len(views) != 0 {
			t.Errorf("%v before any run", views)
		}
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { _, err := r.Wait(t.Context()); ended <- err }()
		var done []int
		for range 3 {
			time.Sleep(20 * time.Second)
			view := v.Progress()["acme"]
			done = append(done, view.Done)
			if view.Done+view.Due > 20 || view.Began == 0 || view.Left <= 0 {
				t.Errorf("%+v", view)
			}
		}
		if done[0] >= done[1] || done[1] >= done[2] {
			t.Errorf("%v recordings after 20, 40 and 60 s", done)
		}
		status, err := v.SourceStatus(t.Context(), "acme")
		if err != nil || !strings.HasPrefix(status.Runner, "process ") || status.LastSuccessAt != nil {
			t.Errorf("%+v, %v", status, err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if views := v.Progress(); len(views) != 0 {
			t.Errorf("%v after the run", views)
		}
		status, err = v.SourceStatus(t.Context(), "acme")
		if err != nil || status.Runner != "" || status.LastSuccessAt == nil || status.Silent(time.Now()) || !status.Silent(time.Now().Add(27*time.Hour)) {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
