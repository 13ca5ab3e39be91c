package collect_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"callvault/collect"
)

// TestDaysOfTimeZones: days begin and end at the tenant's midnights, even days of 23 or 25
// hours.
func TestDaysOfTimeZones(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     int
	}{
		{"America/Denver", "2026-03-08", 23},
		{"America/Denver", "2026-11-01", 25},
		{"America/Santiago", "2026-09-06", 23}, // it has no midnight
		{"America/Sao_Paulo", "2026-04-05", 24},
		{"Asia/Kolkata", "2026-03-08", 24},
		{"UTC", "2026-03-08", 24},
	} {
		t.Run(c.zone+" "+c.day, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zone, err := time.LoadLocation(c.zone)
				if err != nil {
					t.Skip(err)
				}
				day, err := time.ParseInLocation(time.DateOnly, c.day, zone)
				if err != nil {
					t.Fatal(err)
				}
				if c.zone == "America/Santiago" {
					day = time.Date(2026, 9, 6, 1, 0, 0, 0, zone)
				}
				next := day.Add(time.Duration(c.hours) * time.Hour)
				if next.Hour() != 0 {
					t.Fatal(next)
				}
				time.Sleep(time.Until(next.Add(36 * time.Hour)))
				s := newSource()
				s.unlimited = true
				for i, start := range []time.Time{day.Add(-time.Millisecond), day, next.Add(-time.Millisecond), next} {
					s.add("acme-ns", fmt.Sprint(i), start)
				}
				v, source := newVault(t, tempDir(t)), from(t, s)
				source.Since = day.AddDate(0, 0, -1).UnixMilli()
				complete(t, v.run(t, source))
				days, err := v.Days(context.Background(), source, "acme-ns", zone, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				for i, one := range days {
					if i > 0 && one.Day <= days[i-1].Day {
						t.Errorf("%s comes after %s", one.Day, days[i-1].Day)
					}
					if one.Day == c.day && (one.Listed != 2 || one.Held != 2 || one.State != collect.DaySoFar) {
						t.Errorf("%+v, want two recordings", one)
					}
				}
			})
		})
	}
}

// TestDayStates: what is lacking is named on its day; a day that was not listed is unknown.
func TestDayStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(6 * time.Hour)
		s := newSource()
		bad := s.add("acme-ns", "bad", ago(30*time.Hour))
		bad.fault, bad.times = "status 404", -1
		s.add("acme-ns", "good", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(9 * 24 * time.Hour).UnixMilli()
		v.run(t, source)
		states := func() (all []string) {
			t.Helper()
			days, err := v.Days(t.Context(), source, "acme-ns", time.UTC, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range days {
				all = append(all, d.State)
				if (d.State == collect.DayIncomplete) != (len(d.Missing) == 1 && d.Missing[0].RecordingKey == "bad") {
					t.Errorf("%+v", d)
				}
			}
			return all
		}
		const whole, soFar, lacks, unknown = collect.DayComplete, collect.DaySoFar, collect.DayIncomplete, collect.DayUnknown
		want := func(states []string, want ...string) {
			t.Helper()
			if fmt.Sprint(states) != fmt.Sprint(want) {
				t.Errorf("%q, want %q", states, want)
			}
		}
		want(states(), whole, whole, whole, whole, soFar, soFar, soFar, soFar, lacks, soFar)
		time.Sleep(10 * time.Hour)
		want(states(), whole, whole, whole, whole, soFar, soFar, soFar, soFar, lacks, soFar)
		time.Sleep(3 * 24 * time.Hour)
		want(states(), whole, whole, whole, whole, soFar, soFar, soFar, soFar, lacks, unknown, unknown, unknown, unknown)
		s.heal()
		complete(t, v.run(t, source))
		want(states(), whole, whole, whole, whole, whole, whole, whole, soFar, soFar, soFar, soFar, soFar, soFar)
		if days, err := v.Days(t.Context(), source, "nobody", time.UTC, time.Now()); err != nil || len(days) == 0 || days[0].Listed != 0 {
			t.Errorf("%+v, %v", days, err)
		}
	})
}

// TestFirstRunHalfWay: until everything is listed, a tenant is unknown, not complete.
func TestFirstRunHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(300 * 24 * time.Hour).UnixMilli()
		stopAfter(t, v, source, 16*time.Minute)
		if got := v.status(t, source, "acme-ns"); got.State != collect.DayUnknown || got.Held != 3 {
			t.Errorf("%+v", got)
		}
		complete(t, v.run(t, source))
		if got := v.status(t, source, "acme-ns"); got.State != collect.DayComplete {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestDaysOfZonesMeet: wherever the clocks are set, even at midnight, forward or back, each
// day ends where the next begins, and contains the instants that have its date.
func TestDaysOfZonesMeet(t *testing.T) {
	for _, name := range []string{"Asia/Amman", "Asia/Gaza", "Asia/Beirut", "America/Havana", "America/Sao_Paulo", "Atlantic/Azores", "Pacific/Apia", "Antarctica/Troll"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		ended := int64(0)
		for date := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC); date.Year() < 2022; date = date.AddDate(0, 0, 1) {
			day, err := collect.ParseDay(date.Format(time.DateOnly), zone)
			if err != nil || ended > 0 && day.From != ended {
				t.Errorf("%s: %s begins at %d, %v; the day before ended at %d", name, date, day.From, err, ended)
			}
			ended = day.To
			for _, ms := range []int64{day.From, day.From + 1_800_000, day.From + 5_400_000, day.To - 5_400_000, day.To - 1} {
				at := time.UnixMilli(ms).In(zone)
				if ms < day.From || ms >= day.To {
					continue // a day that there is not
				}
				if at.Format(time.DateOnly) != date.Format(time.DateOnly) || collect.DayOf(at) != day {
					t.Errorf("%s: %v is in %v by its date, in %v of %s", name, at, collect.DayOf(at), day, date.Format(time.DateOnly))
				}
			}
		}
	}
}
