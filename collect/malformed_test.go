package collect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestMalformedItems: one bad item is set aside and named, never fatal; a list of nothing
// but bad items costs no memory.
func TestMalformedItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		good := s.add("acme-ns", "good", ago(time.Hour))
		s.noCalls = true
		s.extra = []string{`{"recordingKey":17}`, `"text"`, fmt.Sprintf(`{"recordingKey":"a/b","callKey":"c","startTime":%d,"tenantName":"acme-ns","status":"SAVED"}`, ago(time.Hour).UnixMilli())}
		for i := range 3000 {
			s.extra = append(s.extra, fmt.Sprintf(`{"x":%d,"y":%q}`, i, strings.Repeat("y", 100)))
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		report := v.run(t, source)
		if report.Result != collect.Incomplete || !v.isHeld(t, good) {
			t.Errorf("the run is %s %q", report.Result, report.Error)
		}
		if text := problems(report); !strings.Contains(text, "malformed") || !strings.Contains(text, "more") || len(report.Problems) > 3000 {
			t.Errorf("%d problems: %.500s", len(report.Problems), text)
		}
		days, err := v.Days(t.Context(), source, "acme-ns", time.UTC, time.Now())
		if err != nil || days[len(days)-2].State != collect.DayIncomplete { // the last one has only begun
			t.Errorf("the day is %v (%v)", days[len(days)-2].State, err)
		}
		if got := v.status(t, source, "acme-ns"); got.State != collect.DayIncomplete {
			t.Errorf("the tenant is %s", got.State)
		}
		s.heal()
		complete(t, v.run(t, source))
		days, err = v.Days(t.Context(), source, "acme-ns", time.UTC, time.Now())
		if err != nil || days[len(days)-2].State != collect.DaySoFar || days[len(days)-1].State != collect.DaySoFar {
			t.Errorf("the last days are %+v (%v)", days[len(days)-2:], err)
		}
		s.check(t)
	})
}

// TestMalformedBytes: bytes that are not text are set aside like anything else that cannot
// be read, and so is an item that is too long to be kept whole.
func TestMalformedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		good := s.add("acme-ns", "good", ago(time.Hour))
		s.noCalls = true
		s.extra = []string{"{\"recordingKey\":\"\xff\"}", "{\"recordingKey\":\"\\u0000\",\"x\":\"\x00\"}", "[\"\xff\"]", "[\"\x00\"]", `{"tenantName":"\u0000"}`,
			"{\"tenantName\":NaN,\"x\":\"\xff\"}", `{"x":"` + strings.Repeat("é", 4000) + `"}`, `{"xy":"` + strings.Repeat("é", 4000) + `"}`}
		v, source := newVault(t, tempDir(t)), from(t, s)
		report := v.run(t, source)
		if report.Result != collect.Incomplete || !v.isHeld(t, good) {
			t.Errorf("the run is %s %q: %s", report.Result, report.Error, problems(report))
		}
		s.check(t)
	})
}

// TestMalformedForLong: as long as an item of a list cannot be read, the list is requested
// again and the run is incomplete, however long ago its day is.
func TestMalformedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.noCalls = true
		bad := s.add("acme-ns", "bad", ago(20*24*time.Hour))
		s.add("acme-ns", "good", ago(20*24*time.Hour))
		bad.StartTime = -1
		s.listFault = func(span callvault.Span, _ int) *answer { // as the source would list it
			if !span.Contains(bad.well.StartTime) {
				return nil
			}
			s.extra = []string{string(bad.AppendJSON(nil))}
			return nil
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(21 * 24 * time.Hour).UnixMilli()
		for range 3 {
			s.extra = nil
			report := v.run(t, source)
			if got := v.status(t, source, "acme-ns"); report.Result != collect.Incomplete || got.State != collect.DayIncomplete || got.LastCompleteAt != nil {
				t.Errorf("the run is %s, the tenant %+v", report.Result, got)
			}
			time.Sleep(24 * time.Hour)
		}
		s.heal()
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		if got := v.status(t, source, "acme-ns"); got.State != collect.DayComplete {
			t.Errorf("the tenant is %+v", got)
		}
		s.counts()
		complete(t, v.run(t, source))
		if lists, _ := s.counts(); lists > 7 {
			t.Errorf("%d lists by a run after all was well", lists)
		}
		s.check(t)
	})
}

// TestGiveUp: once a malformed item that the source does not fix is given up, it and no
// other is passed over, and the run is complete again.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.noCalls = true
		s.add("acme-ns", "good", ago(time.Hour))
		s.extra = []string{`{"recordingKey":17}`, `{"recordingKey":18}`}
		v, source := newVault(t, tempDir(t)), from(t, s)
		var marks []string
		for _, p := range v.run(t, source).Problems {
			_, mark, _ := strings.Cut(p.Reason, "or settle it as ")
			marks = append(marks, mark)
		}
		slices.Sort(marks)
		if marks = slices.Compact(marks); len(marks) != 2 {
			t.Fatalf("the items are known as %q", marks)
		}
		decision := &collect.Settlement{Key: marks[0], Reason: "a test call", Who: "me"}
		for _, not := range []struct{ source, mark, reason string }{{"other", marks[0], "why"}, {source.Name, "malformed-0", "why"}, {source.Name, "", "why"}, {source.Name, marks[0], ""}} {
			if err := v.GiveUpMalformed(t.Context(), not.source, &collect.Settlement{Key: not.mark, Reason: not.reason}); err == nil {
				t.Errorf("%+v was settled", not)
			}
		}
		if err := v.GiveUpMalformed(t.Context(), source.Name, decision); err != nil {
			t.Fatal(err)
		}
		report := v.run(t, source)
		if text := problems(report); report.Result != collect.Incomplete || strings.Contains(text, marks[0]) || !strings.Contains(text, marks[1]) {
			t.Errorf("the run is %s: %s", report.Result, text)
		}
		decision.Key = marks[1]
		if err := v.GiveUpMalformed(t.Context(), source.Name, decision); err != nil {
			t.Fatal(err)
		}
		if got := v.status(t, source, "acme-ns"); got.State != collect.DayComplete {
			t.Errorf("the tenant is %s", got.State)
		}
		time.Sleep(10 * 24 * time.Hour)
		complete(t, v.run(t, source))
		s.counts()
		complete(t, v.run(t, source))
		if lists, _ := s.counts(); lists > 8 {
			t.Errorf("%d lists by a run after all was settled", lists)
		}
		if got, err := v.SourceStatus(t.Context(), source.Name); err != nil || got.Settled != 2 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
