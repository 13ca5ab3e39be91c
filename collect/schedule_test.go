package collect_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"callvault/collect"
)

func TestScheduleNext(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for _, c := range []struct{ cron, zone, after, want string }{
		{"0 1 * * *", "", "2026-03-07T00:00:00Z", "2026-03-07T01:00:00Z"},
		{"0 1 * * *", "", "2026-03-07T01:00:00Z", "2026-03-08T01:00:00Z"},
		{"0 1 * * *", "America/Denver", "2026-01-07T00:00:00Z", "2026-01-07T08:00:00Z"},
		{"0 1 * * *", "America/Denver", "2026-07-07T00:00:00Z", "2026-07-07T07:00:00Z"},
		{"30 2 * * *", "America/Denver", "2026-03-08T00:00:00Z", "2026-03-08T09:30:00Z"},  // there is no 02:30
		{"30 2 * * *", "America/Denver", "2026-03-08T09:30:00Z", "2026-03-09T08:30:00Z"},  // and the night after
		{"30 1 * * *", "America/Denver", "2026-11-01T00:00:00Z", "2026-11-01T07:30:00Z"},  // there are two 01:30
		{"30 1 * * *", "America/Denver", "2026-11-01T07:30:00Z", "2026-11-02T08:30:00Z"},  // one of them counts
		{"30 1 * * *", "America/Denver", "2026-11-01T08:10:00Z", "2026-11-02T08:30:00Z"},  // also from between
		{"0 0 * * *", "America/Santiago", "2026-09-06T03:00:00Z", "2026-09-06T04:00:00Z"}, // there is no midnight
		{"@daily", "Asia/Kolkata", "2026-01-07T00:00:00Z", "2026-01-07T18:30:00Z"},
		{"0 1 29 2 *", "", "2026-01-01T00:00:00Z", "2028-02-29T01:00:00Z"},
	} {
		s, err := collect.ParseSchedule(c.cron, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.cron, err)
			continue
		}
		if got := s.Next(at(c.after)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s %s after %s is %s, want %s", c.cron, c.zone, c.after, got, c.want)
		}
	}
	for cron, zone := range map[string]string{
		"TZ=Asia/Tokyo 0 1 * * *": "", "CRON_TZ=UTC 0 1 * * *": "", "TZ=": "", "0 1 * *": "", "61 1 * * *": "", "nightly": "",
		"0 0 30 2 *": "", "0 1 * * *": "Local", "0 2 * * *": "Mars/Olympus", "": "",
	} {
		if s, err := collect.ParseSchedule(cron, zone); err == nil {
			t.Errorf("%q in %q is taken: %v", cron, zone, s.Next(time.Now()))
		}
	}
}

// TestServe runs each night, makes up for a missed night, and goes on when a closed tenant
// opens.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.retryAfter = true
		fill(s, "acme-ns", 2)
		v, source := newVault(t, tempDir(t)), from(t, s)
		schedule, err := collect.ParseSchedule("0 1 * * *", "")
		if err != nil {
			t.Fatal(err)
		}
		var began []string
		serve := func(d time.Duration, want ...string) {
			t.Helper()
			began = nil
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			err := v.Serve(ctx, source, schedule, func(r *collect.Report) {
				began = append(began, time.UnixMilli(r.StartedAt).UTC().Format("02 15:04"))
			})
			if err != nil || len(began) != len(want) {
				t.Fatalf("runs at %q, %v, want %q", began, err, want)
			}
			for i := range want {
				if began[i] != want[i] {
					t.Errorf("runs at %q, want %q", began, want)
				}
			}
		}
		serve(48*time.Hour, "01 01:00", "02 01:00")
		time.Sleep(30 * time.Hour) // one is missed
		serve(time.Hour, "04 06:00")
		used := int64(0)
		for _, r := range s.recordings {
			used += r.Size
		}
		fill(s, "acme-ns", 1)
		s.recordings[len(s.recordings)-1].RecordingKey = "more"
		s.cap["acme-ns"] = used + 10
		serve(44*time.Hour, "05 01:00", "06 01:00") // closed until bytes of the first night age out
		if got := v.status(t, source, "acme-ns"); got.Due != 0 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestServeAfterAnotherRun: a night whose time comes during another run is not left out.
func TestServeAfterAnotherRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 2)
		v, source := newVault(t, tempDir(t)), from(t, s)
		schedule, err := collect.ParseSchedule("0 1 * * *", "")
		if err != nil {
			t.Fatal(err)
		}
		other, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2*time.Hour-30*time.Second, func() {
			if err := other.Abandon(context.Background()); err != nil {
				t.Error(err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		began := ""
		err = v.Serve(ctx, source, schedule, func(r *collect.Report) { began += time.UnixMilli(r.StartedAt).UTC().Format("15:04 ") })
		if err != nil || began != "02:00 " {
			t.Errorf("runs at %q, %v", began, err)
		}
		v.allHeld(t, s)
	})
}

// TestServeGoesOnAfterItsOwnRestart when the closed tenant opens.
func TestServeGoesOnAfterItsOwnRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 1)
		s.recordings[0].fault, s.recordings[0].times = "wait 509 7200", 1
		v, source := newVault(t, tempDir(t)), from(t, s)
		if report := v.run(t, source); report.Tenants[0].ClosedUntil == nil {
			t.Fatal(report)
		}
		schedule, err := collect.ParseSchedule("0 0 1 7 *", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		if err := v.Serve(ctx, source, schedule, func(*collect.Report) {}); err != nil {
			t.Fatal(err)
		}
		v.allHeld(t, s)
	})
}
