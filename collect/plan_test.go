package collect_test

import (
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestPlanComesTrue: what plan predicts then happens.
func TestPlanComesTrue(t *testing.T) {
	for _, c := range []struct {
		name    string
		tenants map[string]int
		change  func(s *source)
	}{
		{"one tenant", map[string]int{"acme-ns": 20}, func(*source) {}},
		{"one tenant, recordings alone", map[string]int{"acme-ns": 20}, func(s *source) { s.noCalls = true }},
		{"three tenants", map[string]int{"acme-ns": 120, "birch-ns": 60, "cedar-ns": 5}, func(*source) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(6 * time.Hour) // away from midnight
				s := newSource()
				n, bytes := 0, int64(0)
				for tenant, each := range c.tenants {
					fill(s, tenant, each)
					n += each
				}
				for _, r := range s.recordings {
					bytes += r.Size
				}
				c.change(s)
				v, source := newVault(t, tempDir(t)), from(t, s)
				r, err := v.Start(t.Context(), source, collect.Always)
				if err != nil {
					t.Fatal(err)
				}
				plan, err := r.Plan(t.Context())
				if err != nil || s.audio != 0 || len(plan.Tenants) != len(c.tenants) {
					t.Fatalf("%+v, %v, %d audio requests", plan, err, s.audio)
				}
				s.counts()
				began := time.Now()
				complete(t, v.run(t, source))
				took := time.Since(began).Seconds()
				lists, audio := s.counts()
				requests := int64(audio)
				if len(c.tenants) == 1 {
					requests += int64(lists)
				}
				planned := int64(0)
				for _, one := range plan.Tenants {
					planned += one.Requests
				}
				if plan.Recordings != int64(n) || plan.Bytes != bytes || s.bytes != bytes || planned != requests {
					t.Errorf("planned %d recordings, %d bytes, %d requests; it took %d, %d, %d", plan.Recordings, plan.Bytes, planned, n, s.bytes, requests)
				}
				if off := float64(plan.Seconds) - took; off > 0.05*took+1 || off < -0.05*took-1 {
					t.Errorf("planned %d s, it took %.0f s", plan.Seconds, took)
				}
				s.check(t)
			})
		})
	}
}

// TestPlanKnowsTheCap: it says when the limit bites, and when everything will be here.
func TestPlanKnowsTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 10)
		for _, r := range s.recordings {
			r.Size = callvault.EgressPerAgent / 4
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Agents = map[string]int64{"acme-ns": 1}
		r, err := v.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := r.Plan(t.Context())
		if err != nil || len(plan.Tenants) != 1 {
			t.Fatal(plan, err)
		}
		one := plan.Tenants[0]
		if one.CapReachedAt == nil || time.Until(time.UnixMilli(*one.CapReachedAt)) > time.Minute {
			t.Errorf("the limit is reached at %v", one.CapReachedAt)
		}
		if done := time.Until(time.UnixMilli(one.FinishAt)); done < 9*24*time.Hour || done > 12*24*time.Hour {
			t.Errorf("ten quarters of the five days' limit take %v", done)
		}
	})
}

// TestNewestBeforeBacklog: what tonight's list brings is fetched before the known backlog.
func TestNewestBeforeBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.add("birch-ns", "other", ago(time.Hour))
		for i := range 200 {
			s.add("acme-ns", "old-"+string(rune('A'+i/26))+string(rune('a'+i%26)), ago(40*time.Hour+time.Duration(i)*time.Minute))
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		stopAfter(t, v, source, 20*time.Second)
		var fresh []*recording
		for i := range 5 {
			fresh = append(fresh, s.add("acme-ns", "new-"+string(rune('a'+i)), ago(time.Duration(i+1)*time.Minute)))
		}
		stopAfter(t, v, source, time.Minute)
		for _, r := range fresh {
			if !v.isHeld(t, r) {
				t.Errorf("%s waits behind the backlog", r.RecordingKey)
			}
		}
		s.check(t)
	})
}
