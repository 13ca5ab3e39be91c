package collect_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"path"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestLists: whatever form lists have, and however they fail for a while, everything in
// them is collected.
func TestLists(t *testing.T) {
	cut := func(n int) func(callvault.Span, int) *answer {
		return func(span callvault.Span, asked int) *answer {
			if asked > n {
				return nil
			}
			return &answer{status: 200, header: http.Header{}, body: []byte(`[{"callKey":"c","startTime":1`), length: 9999, cut: true}
		}
	}
	longer := func(most time.Duration, fails *answer) func(callvault.Span, int) *answer {
		return func(span callvault.Span, _ int) *answer {
			if span.To-span.From > most.Milliseconds() {
				return fails
			}
			return nil
		}
	}
	failing := func(a *answer, n int) func(callvault.Span, int) *answer {
		return func(_ callvault.Span, asked int) *answer {
			if asked > n {
				return nil
			}
			return a
		}
	}
	for _, c := range []struct {
		name   string
		change func(*source)
	}{
		{"calls", func(s *source) {}},
		{"recordings", func(s *source) { s.noCalls = true }},
		{"wrapped", func(s *source) { s.wrapped = "calls" }},
		{"wrapped recordings", func(s *source) { s.noCalls, s.wrapped = true, "recordings" }},
		{"cut once", func(s *source) { s.listFault = cut(1) }},
		{"cut five times", func(s *source) { s.listFault = cut(5) }},
		{"long ones stall", func(s *source) { s.listFault = longer(2*time.Hour, &answer{stall: true}) }},
		{"long ones are cut", func(s *source) { s.listFault = longer(40*time.Minute, cut(99)(callvault.Span{}, 0)) }},
		{"500 three times", func(s *source) { s.listFault = failing(refusal(500), 3) }},
		{"503 with a time", func(s *source) { s.listFault = failing(refusal(503).with("Retry-After", "800"), 2) }},
		{"429", func(s *source) { s.listFault = failing(refusal(429).with("Retry-After", "30"), 4) }},
		{"429 without a time", func(s *source) { s.listFault = failing(refusal(429), 7) }},
		{"reset", func(s *source) { s.listFault = failing(&answer{reset: true}, 2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				for i := range 20 {
					s.add("acme-ns", fmt.Sprintf("r%d", i), ago(time.Duration(i+1)*3*time.Hour))
				}
				c.change(s)
				v, source := newVault(t, tempDir(t)), from(t, s)
				complete(t, v.run(t, source))
				v.allHeld(t, s)
				s.counts()
				s.heal()
				complete(t, v.run(t, source))
				if _, audio := s.counts(); audio != 0 {
					t.Errorf("%d audio requests by the second run", audio)
				}
				s.check(t)
			})
		})
	}
}

// TestListsFail: a list that never comes makes the run incomplete, five in a row end it,
// and a key that may not list ends it at once; the next run makes up for it.
func TestListsFail(t *testing.T) {
	lostAt := time.Date(1999, 12, 30, 18, 0, 0, 0, time.UTC) // bubbles begin with the year 2000
	someDay := func(span callvault.Span) bool { return span.Contains(lostAt.UnixMilli()) }
	for _, c := range []struct {
		name   string
		fails  func(span callvault.Span) bool
		answer *answer
		result collect.Result
		text   string
		held   int
	}{
		{"one day", someDay, refusal(500), collect.Incomplete, "500", 1},
		{"all", func(callvault.Span) bool { return true }, refusal(500), collect.Failed, "5 lists in a row failed", 0},
		{"403", func(callvault.Span) bool { return true }, refusal(403), collect.Failed, "403", 0},
		{"a long wait", func(callvault.Span) bool { return true }, refusal(503).with("Retry-After", "4000"), collect.Failed, "503", 0},
		{"cut for ever", someDay,
			&answer{status: 200, header: http.Header{}, body: []byte("["), length: 99, cut: true}, collect.Incomplete, "cut off", 1},
		{"not a list", someDay,
			say(200, `<html>`), collect.Incomplete, "not an answer", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				s.add("acme-ns", "new", ago(time.Hour))
				lost := s.add("acme-ns", "lost", lostAt)
				s.listFault = func(span callvault.Span, _ int) *answer {
					if !c.fails(span) {
						return nil
					}
					return c.answer
				}
				v, source := newVault(t, tempDir(t)), from(t, s)
				source.Since = ago(6 * 24 * time.Hour).UnixMilli()
				report := v.run(t, source)
				if report.Result != c.result || !strings.Contains(report.Error+problems(report), c.text) || report.Held < c.held {
					t.Errorf("the run is %s %q, held %d: %s", report.Result, report.Error, report.Held, problems(report))
				}
				if v.isHeld(t, lost) {
					t.Error("what was not listed is held")
				}
				if c.held > 0 {
					if got := v.status(t, source, "acme-ns"); got.LastCompleteAt != nil || got.State != collect.DayUnknown {
						t.Errorf("the tenant is %+v", got)
					}
				}
				s.heal()
				time.Sleep(time.Hour)
				complete(t, v.run(t, source))
				v.allHeld(t, s)
				s.check(t)
			})
		})
	}
}

// TestNotOneListComes: a run that got no list is not a success, however few it needed.
func TestNotOneListComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.add("acme-ns", "good", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		for _, broken := range []bool{true, false, true} {
			s.listFault = func(callvault.Span, int) *answer {
				if broken {
					return say(200, `<html>`)
				}
				return nil
			}
			before, err := v.SourceStatus(t.Context(), source.Name)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			v.run(t, source)
			after, err := v.SourceStatus(t.Context(), source.Name)
			same := before.LastSuccessAt == nil && after.LastSuccessAt == nil ||
				before.LastSuccessAt != nil && after.LastSuccessAt != nil && *before.LastSuccessAt == *after.LastSuccessAt
			if err != nil || same != broken {
				t.Errorf("broken %v: the last success was %v, and is %v (%v)", broken, before.LastSuccessAt, after.LastSuccessAt, err)
			}
		}
	})
}

// TestNotThereForAMoment: if for a moment neither list is there, calls are requested again
// afterwards, since recordings alone say less.
func TestNotThereForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		asked := map[string]int{}
		s.listFault = func(callvault.Span, int) *answer {
			if asked["recordings"] == 1 && asked["call-recording-info"] == 1 || len(asked) < 2 {
				return refusal(404)
			}
			return nil
		}
		v, source := newVault(t, tempDir(t)), from(t, watched{s, func(at string) { asked[path.Base(at)]++ }})
		if report := v.run(t, source); report.Result != collect.Incomplete {
			t.Errorf("the run is %s", report.Result)
		}
		if asked["recordings"] != 1 || asked["call-recording-info"] < 3 {
			t.Errorf("asked for %v", asked)
		}
		s.heal()
		complete(t, v.run(t, source))
	})
}

// TestAbsurdNumbers: an impossible size or duration in a list is one witness like any other:
// neither does it keep the recording from being held nor the rest from being counted.
func TestAbsurdNumbers(t *testing.T) {
	for _, n := range []int64{math.MaxInt64, 1e13} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				fill(s, "acme-ns", 7)
				for _, r := range s.recordings[:2] {
					r.Size = n
				}
				for _, r := range s.recordings[2:4] {
					r.Duration = n
				}
				v, source := newVault(t, tempDir(t)), from(t, s)
				for _, lacking := range []int64{7, 0} {
					r, err := v.Start(t.Context(), source, collect.Always)
					if err != nil {
						t.Fatal(err)
					}
					plan, err := r.Plan(t.Context())
					if err != nil || plan.Recordings != lacking || plan.Bytes < 0 {
						t.Errorf("the plan is %+v (%v)", plan, err)
					}
					complete(t, v.run(t, source))
				}
				v.allHeld(t, s)
				if got := v.status(t, source, "acme-ns"); got.Held != 7 || got.Doubtful != 4 {
					t.Errorf("%+v", got)
				}
				s.check(t)
			})
		})
	}
}

// TestStatuses: only what has audio is requested; first what is about to be deleted, then
// the newest.
func TestStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for i, status := range []callvault.Status{"PENDING", "SAVED", "DELETED_USER", "SAVED", "PENDING_DELETE_TIME", "ARCHIVED", ""} {
			s.add("acme-ns", fmt.Sprintf("r%d", i), ago(time.Duration(i+1)*time.Hour)).Status = status
		}
		var asked []string
		v, source := newVault(t, tempDir(t)), from(t, watched{s, func(path string) {
			if strings.HasSuffix(path, "/audio") {
				asked = append(asked, strings.Split(path, "/")[6])
			}
		}})
		complete(t, v.run(t, source))
		if got := fmt.Sprint(asked); got != "[r4 r1 r3]" {
			t.Errorf("asked for %s", got)
		}
		got := v.status(t, source, "acme-ns")
		if got.Held != 3 || got.Pending != 1 || got.Deleted != 1 {
			t.Errorf("%+v", got)
		}
		s.recordings[len(s.recordings)-1].Status = callvault.Saved // sorted by time by now: r0 is the newest
		time.Sleep(24 * time.Hour)
		complete(t, v.run(t, source))
		if got := v.status(t, source, "acme-ns"); got.Held != 4 || got.Pending != 0 || !v.isHeld(t, s.recordings[len(s.recordings)-1]) {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// watched reports each request before it is answered.
type watched struct {
	http.RoundTripper
	tell func(path string)
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.tell(r.URL.Path)
	return w.RoundTripper.RoundTrip(r)
}

// endlessList lists deleted recordings only, and forgets each at once.
type endlessList struct{ n int }

func (l endlessList) RoundTrip(r *http.Request) (*http.Response, error) {
	from, _ := callvault.ParseTime(r.URL.Query().Get("startTime"))
	out, in := io.Pipe()
	go func() {
		io.WriteString(in, "[")
		for i := range l.n {
			rec := callvault.Recording{RecordingKey: fmt.Sprintf("key-of-a-recording-%d", i), CallKey: fmt.Sprint("call-", i), StartTime: from + int64(i)%86_000_000,
				Status: callvault.DeletedTime, TenantName: "acme-ns"}
			comma := ","
			if i == 0 {
				comma = ""
			}
			if _, err := io.WriteString(in, comma+string(rec.AppendJSON(nil))); err != nil {
				return
			}
		}
		io.WriteString(in, "]")
		in.Close()
	}()
	code := 200
	if strings.HasSuffix(r.URL.Path, "call-recording-info") {
		code = 404
	}
	return &http.Response{StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, TransferEncoding: []string{"chunked"},
		ContentLength: -1, Body: out, Request: r}, nil
}

// TestLongListIsFlat: memory use does not grow with the list.
func TestLongListIsFlat(t *testing.T) {
	n := 5_000
	if testing.Short() || raceEnabled {
		n = 1_000
	}
	v := newVault(t, tempDir(t))
	source := from(t, endlessList{n})
	source.OwnServer, source.Pace = true, 0
	source.Since = time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour).UnixMilli()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			select {
			case <-done:
				peak <- most
				return
			case <-time.After(300 * time.Millisecond):
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	r, err := v.Start(t.Context(), source, callvault.Span{From: source.Since, To: source.Since + 86_400_000})
	if err != nil {
		t.Fatal(err)
	}
	report, err := r.Wait(t.Context())
	close(done)
	most := <-peak
	if err != nil || report.Result != collect.Complete {
		t.Fatalf("%+v, %v", report, err)
	}
	if got := v.status(t, source, "acme-ns"); got.Deleted != int64(n) {
		t.Errorf("%d are noted, want %d", got.Deleted, n)
	}
	if most > 24<<20 {
		t.Errorf("%d MB of heap for a list of %d", most>>20, n)
	}
	t.Logf("%d MB of heap for a list of %d", most>>20, n)
}

// TestRealConnections: the same over TCP, where net/http produces the faults.
func TestRealConnections(t *testing.T) {
	s := newSource()
	s.unlimited = true
	fill(s, "acme-ns", 40)
	for i, fault := range []string{"truncated", "short", "page", "json", "jpeg", "crc", "digest", "status 206", "elsewhere"} {
		s.recordings[2*i].fault, s.recordings[2*i].times = fault, -1
	}
	source := serveOver(t, s)
	v := newVault(t, tempDir(t))
	report := v.run(t, source)
	if report.Result != collect.Incomplete || report.Held != 31 || len(report.Problems) != 9 {
		t.Errorf("%s, %d held: %s", report.Result, report.Held, problems(report))
	}
	s.heal()
	complete(t, v.run(t, source))
	v.allHeld(t, s)
}

// TestSinceToCome: a source whose since is a mistyped year is not complete, night after
// night, with nothing.
func TestSinceToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 1)
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = time.Now().AddDate(36, 0, 0).UnixMilli()
		if report := v.run(t, source); report.Result != collect.Failed || !strings.Contains(report.Error, "which is in the future") {
			t.Errorf("the run is %s: %q", report.Result, report.Error)
		}
		if status, err := v.SourceStatus(t.Context(), source.Name); err != nil || status.LastSuccessAt != nil {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
