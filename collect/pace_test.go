package collect_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/client"
	"callvault/collect"
	"callvault/database/databasetest"
)

// fill gives one of a source's tenants n recordings of the last days, the newest first.
func fill(s *source, tenant string, n int) {
	for i := range n {
		s.add(tenant, fmt.Sprintf("%s-%04d", tenant, i), ago(time.Duration(i+1)*7*time.Minute))
	}
}

// TestStrictWindow: there is not one request too many, whatever becomes of the runs; the
// lists of a source with one tenant count as that tenant's.
func TestStrictWindow(t *testing.T) {
	for tenants := 1; tenants <= 3; tenants++ {
		t.Run(fmt.Sprint(tenants, " tenants"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				for i := range tenants {
					fill(s, fmt.Sprintf("tenant-%d", i), 30)
				}
				dir := tempDir(t)
				v, source := newVault(t, dir), from(t, s)
				source.Pace = collect.MinPace
				for _, after := range []time.Duration{time.Second, 8 * time.Second, 11 * time.Second, 17 * time.Second} {
					stopAfter(t, v, source, after)
				}
				for _, after := range []time.Duration{0, 2 * time.Second, 7 * time.Second, 20 * time.Second} {
					if databasetest.Second() {
						break // PostgreSQL is not broken by who closes his connections to it
					}
					crashAfter(t, dir, source, after)
				}
				complete(t, v.run(t, source))
				v.allHeld(t, s)
				s.check(t)
				if most := 30*tenants + 8*tenants; s.audio > most {
					t.Errorf("%d audio requests, want at most %d", s.audio, most)
				}
			})
		})
	}
}

// stopAfter does a run that is stopped after a while, and must then end at once.
func stopAfter(t *testing.T, v *vault, source *collect.Source, d time.Duration) {
	t.Helper()
	r, err := v.Start(t.Context(), source, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(d, r.Stop)
	defer timer.Stop()
	began := time.Now()
	report, err := r.Wait(t.Context())
	if err != nil || !report.Stopped || report.Result != collect.Incomplete || report.Error != "" {
		t.Fatalf("%+v, %v, want a run that was stopped", report, err)
	}
	if took := time.Since(began); took != d {
		t.Errorf("the run took %v and was stopped after %v", took, d)
	}
	held := int64(0)
	all, err := v.TenantStatuses(t.Context(), source, time.Now())
	for _, one := range all {
		held += one.Held
	}
	if err != nil || held < int64(report.Held) {
		t.Errorf("the ledger has %d held, the report %d (%v)", held, report.Held, err)
	}
}

// crashAfter does a run, in a vault of its own, that cannot write how it ends: its database
// breaks.
func crashAfter(t *testing.T, dir string, source *collect.Source, d time.Duration) {
	t.Helper()
	v, err := open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Start(t.Context(), source, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(d, func() {
		v.db.Close() // first: a run that only lacks its blobs still writes how it ended
		v.close()
	})
	if report, err := r.Wait(t.Context()); err == nil && report.Result != collect.Failed {
		t.Errorf("a run without a database ended well: %+v", report)
	}
}

// TestBrokenOff: a run whose ctx ends loses nothing that was held.
func TestBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 10)
		s.recordings[3].fault, s.recordings[3].times = "stall", 1
		v, source := newVault(t, tempDir(t)), from(t, s)
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		report, err := r.Wait(ctx)
		if err == nil || report == nil || !report.Stopped || report.Held == 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		s.check(t)
	})
}

// TestStopWhileStalled: a request in flight ends in its own time, what waits ends at once.
func TestStopWhileStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		fill(s, "birch-ns", 3)
		for _, r := range s.recordings[:3] {
			r.fault, r.times = "wait 503 600", -1
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		stopAfter(t, v, source, 5*time.Minute)
		if got := v.status(t, source, "birch-ns"); got.Held != 3 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestLongRetryAfter: a run does not wait longer than 15 minutes.
func TestLongRetryAfter(t *testing.T) {
	for _, fault := range []string{"wait 503 3600", "wait 429 3600"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSource()
			fill(s, "acme-ns", 5)
			fill(s, "birch-ns", 5)
			s.recordings[1].fault, s.recordings[1].times = fault, -1
			v, source := newVault(t, tempDir(t)), from(t, s)
			began := time.Now()
			report := v.run(t, source)
			if took := time.Since(began); took > 15*time.Minute || report.Result != collect.Incomplete || s.recordings[1].asked != 1 {
				t.Errorf("%s: the run took %v, asked %d times: %s", fault, took, s.recordings[1].asked, problems(report))
			}
			if got := v.status(t, source, "birch-ns"); got.Held != 5 {
				t.Errorf("%s: the other tenant: %+v", fault, got)
			}
			s.check(t)
		})
	}
}

// TestPutOffAgainAndAgain: a source that always asks to be left alone for a little less than
// a run waits does not keep the run for long.
func TestPutOffAgainAndAgain(t *testing.T) {
	for _, fault := range []string{"wait 503 840", "wait 429 840"} {
		for _, lists := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				fill(s, "acme-ns", 30)
				for _, r := range s.recordings {
					r.fault, r.times = fault, -1
				}
				if lists {
					s.listFault = func(callvault.Span, int) *answer { return s.faulty(s.recordings[0]) }
				}
				v, source := newVault(t, tempDir(t)), from(t, s)
				began := time.Now()
				report := v.run(t, source)
				if took := time.Since(began); took > time.Hour || report.Result == collect.Complete {
					t.Errorf("%s, of lists %v: the run took %v, and is %s", fault, lists, took, report.Result)
				}
				s.check(t)
			})
		}
	}
}

// TestSourceGoesDown: when everything fails the run ends, and loses nothing.
func TestSourceGoesDown(t *testing.T) {
	for _, fault := range []string{"reset", "status 429", "stall"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSource()
			fill(s, "acme-ns", 60)
			for _, r := range s.recordings {
				r.fault, r.times = fault, -1
			}
			v, source := newVault(t, tempDir(t)), from(t, s)
			began := time.Now()
			report := v.run(t, source)
			if took := time.Since(began); took > 2*time.Hour || report.Result != collect.Incomplete {
				t.Errorf("%s: the run took %v: %s", fault, took, report.Result)
			}
			s.heal()
			complete(t, v.run(t, source))
			v.allHeld(t, s)
			s.check(t)
		})
	}
}

// trickling sends the audio of one recording so slowly that it never quite stalls.
type trickling struct {
	*source
	key string
}

func (d trickling) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.source.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, d.key) {
		resp.Body = trickle{resp.Body, r.Context()}
	}
	return resp, err
}

type trickle struct {
	io.ReadCloser
	ctx context.Context
}

func (d trickle) Read(p []byte) (int, error) {
	select {
	case <-time.After(30 * time.Second):
		return d.ReadCloser.Read(p[:1])
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// TestTrickle: a body that comes byte by byte does not keep its tenant for days, whatever
// size the list says it has.
func TestTrickle(t *testing.T) {
	for size, most := range map[int64]time.Duration{0: time.Hour, math.MaxInt64: 25 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newSource()
			fill(s, "acme-ns", 3)
			if size > 0 {
				s.recordings[0].Size = size
			}
			v, source := newVault(t, tempDir(t)), from(t, trickling{s, "acme-ns-0000"})
			began := time.Now()
			report := v.run(t, source)
			if took := time.Since(began); report.Held != 2 || took > most {
				t.Errorf("%d held after %v", report.Held, took)
			}
			if reason := reasonOf(report, "acme-ns-0000"); !strings.Contains(reason, "timed out") {
				t.Errorf("the reason is %q", reason)
			}
			s.check(t)
		})
	}
}

// TestListTrickles: nor does such a list keep its source forever.
func TestListTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 1)
		v, source := newVault(t, tempDir(t)), from(t, trickling{s, "call-recording-info"})
		began := time.Now()
		report := v.run(t, source)
		if took := time.Since(began); report.Result != collect.Incomplete || took > 24*time.Hour {
			t.Errorf("%s after %v", report.Result, took)
		}
		if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Reason, "timed out") {
			t.Errorf("%+v", report.Problems)
		}
	})
}

// TestManyTenants: all tenants are done in the time that one of them needs.
func TestManyTenants(t *testing.T) {
	tenants, each := 300, 40
	if testing.Short() || raceEnabled {
		tenants, each = 40, 15
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for i := range tenants {
			fill(s, fmt.Sprintf("tenant-%03d", i), each)
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		began := time.Now()
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		var told time.Duration
		half := time.Duration(each) * source.Pace / 2
		time.AfterFunc(half, func() {
			view := r.Progress()
			told = view.Left
			for _, one := range view.Tenants {
				if behind := view.Tenants[0].Done - one.Done; behind > 3 || behind < -3 {
					t.Errorf("half way %s has %d, %s has %d", one.Tenant, one.Done, view.Tenants[0].Tenant, view.Tenants[0].Done)
				}
			}
		})
		report, err := r.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		complete(t, report)
		took, most := time.Since(began), time.Duration(each+8)*source.Pace
		if took > most || report.Held != tenants*each {
			t.Errorf("%d held in %v, want all within %v", report.Held, took, most)
		}
		if left := took - half; told < left*8/10 || told > left*12/10 {
			t.Errorf("half way %v were said to be left, it took %v", told, left)
		}
		s.check(t)
	})
}

// TestSlowTenantsStarveNobody: hanging requests do not hold up other tenants.
func TestSlowTenantsStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for i := range 40 {
			fill(s, fmt.Sprintf("slow-%02d", i), 2)
		}
		for _, r := range s.recordings {
			r.fault, r.times = "stall", -1
		}
		fill(s, "quick", 20)
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Client, _ = client.New("https://source.example", sourceKey, client.WithTransport(s), client.WithIdleTimeout(10*time.Second))
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Minute, func() {
			for _, one := range r.Progress().Tenants {
				if one.Tenant == "quick" && one.Done < 20 {
					t.Errorf("after five minutes quick has %d of 20", one.Done)
				}
			}
		})
		if _, err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(t)
	})
}
