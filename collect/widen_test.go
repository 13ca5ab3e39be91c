package collect_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestTenantGrantedLater: a tenant that the source shows later has a past too, in days that
// were listed without it; until those are listed again they do not count as complete.
func TestTenantGrantedLater(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(20 * day).UnixMilli()
		for _, at := range []time.Duration{time.Hour, 9 * day, 18 * day} {
			s.add("acme-ns", "acme "+at.String(), ago(at))
		}
		complete(t, v.run(t, source))
		time.Sleep(day)
		if lists, _ := askedFor(t, v, s, source); lists > 8 {
			t.Errorf("a night has %d lists", lists)
		}
		for _, at := range []time.Duration{time.Hour, 9 * day, 15 * day} {
			s.add("beta", "beta "+at.String(), ago(at))
		}
		s.listFault = func(span callvault.Span, _ int) *answer {
			if span.To > ago(17*day).UnixMilli() && span.From < ago(14*day).UnixMilli() {
				return refusal(500)
			}
			return nil
		}
		if report := v.run(t, source); report.Result == collect.Complete {
			t.Error("the run is complete before beta's past was listed")
		}
		if got := v.status(t, source, "beta"); got.State != "unknown" || got.LastCompleteAt != nil {
			t.Errorf("before its past was listed beta is %s", got.State)
		}
		s.heal()
		s.counts()
		if _, audio := askedFor(t, v, s, source); audio != 1 { // that of the days that could not be listed
			t.Errorf("%d requests for audio", audio)
		}
		v.allHeld(t, s)
		if lists, audio := askedFor(t, v, s, source); lists > 8 || audio > 0 {
			t.Errorf("the night after has %d lists and %d requests for audio", lists, audio)
		}
		s.check(t)
	})
}

// TestListAgain: what a source did not show of a known tenant when its days were listed is found
// when they are listed again.
func TestListAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(480 * time.Hour).UnixMilli()
		s.add("acme-ns", "shown", ago(time.Hour))
		complete(t, v.run(t, source))
		hidden := s.add("acme-ns", "hidden", ago(240*time.Hour))
		complete(t, v.run(t, source))
		if v.isHeld(t, hidden) {
			t.Fatal("it was listed again though nothing asked for that")
		}
		run, err := v.Start(t.Context(), source, callvault.Span{From: ago(264 * time.Hour).UnixMilli(), To: ago(216 * time.Hour).UnixMilli()})
		if err != nil {
			t.Fatal(err)
		}
		run.ListAgain()
		s.counts()
		report, err := run.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		complete(t, report)
		if lists, audio := s.counts(); lists > 3 || audio != 1 || !v.isHeld(t, hidden) {
			t.Errorf("%d lists, %d requests for audio", lists, audio)
		}
		s.check(t)
	})
}

// TestEmptiedLists: a service user that has lost its tenants is not refused; a run whose lists
// show nothing of what they showed yesterday is not complete.
func TestEmptiedLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		v, source := newVault(t, tempDir(t)), from(t, s)
		fill(s, "acme-ns", 20)
		complete(t, v.run(t, source))
		all := s.recordings
		s.recordings = nil
		time.Sleep(time.Hour)
		complete(t, v.run(t, source)) // a small site's may have been deleted
		s.recordings = all
		fill(s, "birch-ns", 1)
		all = s.recordings
		complete(t, v.run(t, source))
		s.recordings = nil
		for range 2 {
			time.Sleep(time.Hour)
			if report := v.run(t, source); report.Result != collect.Incomplete || !strings.Contains(problems(report), "told of 21 recordings of the last days before") {
				t.Errorf("%s: %s", report.Result, problems(report))
			}
		}
		s.recordings = all
		complete(t, v.run(t, source))
		s.recordings = nil
		time.Sleep(source.Lookback + 24*time.Hour) // in which nobody calls
		complete(t, v.run(t, source))
		s.check(t)
	})
}

// askedFor does a run, which must be complete, and returns how much it requested.
func askedFor(t *testing.T, v *vault, s *source, source *collect.Source) (lists, audio int) {
	t.Helper()
	s.counts()
	complete(t, v.run(t, source))
	return s.counts()
}
