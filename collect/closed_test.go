package collect_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database"
)

// TestClosedTenant: after a 509 there is not one more audio request until room frees, even
// in later runs; other tenants go on.
func TestClosedTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.retryAfter = true
		fill(s, "acme-ns", 40)
		fill(s, "birch-ns", 40)
		s.cap["acme-ns"] = 20_000
		dir := tempDir(t)
		source := from(t, s)
		for night := range 20 {
			v, err := open(context.Background(), dir)
			if err != nil {
				t.Fatal(err)
			}
			report := v.run(t, source)
			if night == 0 {
				if got := v.status(t, source, "birch-ns"); got.Held != 40 {
					t.Errorf("the other tenant: %+v", got)
				}
				if c := report.Tenants[0].ClosedUntil; c == nil || time.UnixMilli(*c).Sub(s.closed["acme-ns"]).Abs() > 2*time.Second {
					t.Errorf("closed until %v, want %v", c, s.closed["acme-ns"])
				}
				if got := v.status(t, source, "acme-ns"); got.ClosedUntil == nil || got.EgressLimit == nil || *got.EgressLimit != got.EgressUsed {
					t.Errorf("%+v", got)
				}
			}
			v.close()
			if report.Result == collect.Complete {
				break
			}
			time.Sleep(24 * time.Hour)
		}
		newVault(t, dir).allHeld(t, s)
		s.check(t)
	})
}

// TestClosedByItsLedger: if a 509 does not say when room frees, the tenant is closed until
// fetched bytes age out. A limit that proves wrong is forgotten.
func TestClosedByItsLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 9)
		s.cap["acme-ns"] = int64(len(s.recordings[0].audio) * 3)
		v, source := newVault(t, tempDir(t)), from(t, s)
		v.run(t, source)
		got := v.status(t, source, "acme-ns")
		if got.Held == 0 || got.ClosedUntil == nil || got.EgressLimit == nil || *got.EgressLimit != got.EgressUsed {
			t.Fatalf("%+v", got)
		}
		if left := time.Until(time.UnixMilli(*got.ClosedUntil)); left < 119*time.Hour || left > 121*time.Hour {
			t.Errorf("closed for %v", left)
		}
		s.counts()
		for range 4 {
			time.Sleep(24 * time.Hour)
			v.run(t, source)
		}
		if _, audio := s.counts(); audio > 0 {
			t.Errorf("%d recordings were asked for while closed", audio)
		}
		delete(s.cap, "acme-ns")
		time.Sleep(25 * time.Hour)
		complete(t, v.run(t, source))
		if got := v.status(t, source, "acme-ns"); got.EgressLimit != nil {
			t.Errorf("%d bytes were had of %d", got.EgressUsed, *got.EgressLimit)
		}
		s.check(t)
	})
}

// TestReopen: a tenant whose egress the provider has reset is requested again when an
// operator says so, whether its source or its own ledger has closed it.
func TestReopen(t *testing.T) {
	for name, closeIt := range map[string]func(*source, *vault, *collect.Source){
		"509": func(s *source, _ *vault, _ *collect.Source) { s.cap["acme-ns"] = 0 },
		"ledger": func(_ *source, v *vault, source *collect.Source) {
			source.Agents = map[string]int64{"acme-ns": 1}
			charge(t, v, "acme-ns", callvault.EgressPerAgent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				fill(s, "acme-ns", 9)
				v, source := newVault(t, tempDir(t)), from(t, s)
				closeIt(s, v, source)
				if err := v.Reopen(t.Context(), "acme-ns"); !errors.Is(err, callvault.NotFound) {
					t.Errorf("before it was listed: %v", err)
				}
				v.run(t, source)
				delete(s.cap, "acme-ns")
				s.counts()
				v.run(t, source)
				if _, audio := s.counts(); audio > 0 {
					t.Fatalf("%d recordings were asked for while closed", audio)
				}
				r, err := v.Start(t.Context(), source, collect.Always)
				if err != nil {
					t.Fatal(err)
				}
				if err := v.Reopen(t.Context(), "acme-ns"); !errors.As(err, new(database.Held)) {
					t.Errorf("during a run: %v", err)
				}
				if err := errors.Join(r.Abandon(t.Context()), v.Reopen(t.Context(), "acme-ns")); err != nil {
					t.Fatal(err)
				}
				complete(t, v.run(t, source))
				s.check(t)
			})
		})
	}
}

// TestProbesAnHour: when nothing says when room frees, there is one request an hour.
func TestProbesAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		s.cap["acme-ns"] = 0
		v, source := newVault(t, tempDir(t)), from(t, s)
		schedule, err := collect.ParseSchedule("0 1 * * *", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Hour)
		defer cancel()
		if err := v.Serve(ctx, source, schedule, func(*collect.Report) {}); err != nil {
			t.Error(err)
		}
		if s.audio < 20 || s.audio > 26 {
			t.Errorf("%d audio requests in a day", s.audio)
		}
		s.cap["acme-ns"] = 1 << 20
		time.Sleep(time.Hour)
		complete(t, v.run(t, source))
		s.check(t)
	})
}

// TestClosedBesideOthers: the limit that a 509 teaches includes the requests in flight.
func TestClosedBesideOthers(t *testing.T) {
	s := newSource()
	s.unlimited = true
	fill(s, "acme-ns", 2)
	refused, other := s.recordings[0], s.recordings[1]
	refused.fault, refused.times = "status 509", -1
	v, asked := newVault(t, tempDir(t)), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, refused.RecordingKey+"/audio"):
			<-asked
		case strings.HasSuffix(r.URL.Path, other.RecordingKey+"/audio"):
			close(asked)
			for closed := 0; closed == 0 && r.Context().Err() == nil; time.Sleep(5 * time.Millisecond) {
				_ = v.db.Reader.QueryRow(`SELECT count(*) FROM collected_tenants WHERE closed_ms > 0`).Scan(&closed)
			}
		}
		s.ServeHTTP(w, r)
	}))
	defer server.Close()
	source := fromURL(t, server.URL)
	source.OwnServer, source.Pace = true, 0
	v.run(t, source)
	got := v.status(t, source, "acme-ns")
	if got.Held != 1 || got.EgressUsed == 0 || got.EgressLimit == nil || *got.EgressLimit != got.EgressUsed {
		t.Errorf("%+v, limit %v", got, got.EgressLimit)
	}
}

// TestClosedForTooLong: everything that counts against a limit ages out in five days,
// whatever the source says.
func TestClosedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 2)
		for _, r := range s.recordings {
			r.fault, r.times = "wait 509 1000000000000", 1
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		v.run(t, source)
		if c := v.status(t, source, "acme-ns").ClosedUntil; c == nil || time.Until(time.UnixMilli(*c)) > callvault.EgressWindow {
			t.Errorf("closed until %v", c)
		}
		s.heal()
		time.Sleep(callvault.EgressWindow)
		complete(t, v.run(t, source))
		v.allHeld(t, s)
	})
}

// TestClosedForTooShort: a source that says with each 509 that room frees in a moment, and
// then has none, is believed once.
func TestClosedForTooShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		for _, r := range s.recordings {
			r.fault, r.times = "wait 509 1", -1
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		report, err := r.Wait(ctx)
		if err != nil {
			t.Fatalf("the run did not end: %v, after %d audio requests", err, s.audio)
		}
		if c := report.Tenants[0].ClosedUntil; s.audio != 2 || c == nil || time.Until(time.UnixMilli(*c)) < 59*time.Minute {
			t.Errorf("%d audio requests, %+v", s.audio, report.Tenants)
		}
		time.Sleep(time.Hour)
		s.heal()
		for _, r := range []*recording{s.recordings[0], s.recordings[2]} { // the last and the first that is asked for
			r.fault, r.times = "wait 509 1", r.asked+1 // another has taken the room that there was
		}
		complete(t, v.run(t, source))
		s.check(t)
	})
}

// TestConfiguredCap: a tenant whose agents are configured is never asked for more than its
// limit allows, and goes on when its own ledger has room.
func TestConfiguredCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 9)
		size := int64(callvault.EgressPerAgent / 4)
		for _, r := range s.recordings {
			r.Size, r.well.Size = size, size // three fit; the list errs, which makes them doubtful
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Agents = map[string]int64{"acme-ns": 1}
		charge(t, v, "acme-ns", callvault.EgressPerAgent-size/2)
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		report, err := r.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if view := r.Progress(); view.Later != 9 || view.Left != 0 || !strings.HasPrefix(view.Tenants[0].State, "closed until 2000-01-0") {
			t.Errorf("the view of a closed tenant is %+v", view)
		}
		if report.Held != 0 || s.audio != 0 || report.Tenants[0].ClosedUntil == nil {
			t.Errorf("%d audio requests, %+v", s.audio, report.Tenants)
		}
		if got := v.status(t, source, "acme-ns"); got.ClosedUntil == nil {
			t.Errorf("%+v", got)
		}
		schedule, err := collect.ParseSchedule("0 1 1 7 *", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 6*24*time.Hour)
		defer cancel()
		runs := 0
		if err := v.Serve(ctx, source, schedule, func(r *collect.Report) { runs++ }); err != nil {
			t.Error(err)
		}
		if got := v.status(t, source, "acme-ns"); got.Held != 9 || runs != 1 {
			t.Errorf("%d runs, %+v", runs, got)
		}
		s.check(t)
	})
}

// charge records egress of a tenant as fetched just now.
func charge(t *testing.T, v *vault, tenant string, bytes int64) {
	t.Helper()
	err := execute(v, `INSERT INTO fetched (tenant, hour, bytes) VALUES ($1, $2, $3)`, tenant, time.Now().UnixMilli()/3_600_000, bytes)
	if err != nil {
		t.Fatal(err)
	}
}
