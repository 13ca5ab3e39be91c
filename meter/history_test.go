package meter

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The hours add up to the use, and each stops counting when its FreesAt says.
func TestHoursTellWhenRoomFrees(t *testing.T) {
	m, acme := newMemory(t), site("acme-ns", 1000)
	send(t, m, acme, 300, t0)
	send(t, m, acme, 200, t0.Add(90*time.Minute))
	now := t0.Add(2 * time.Hour)
	hours, err := m.Hours(ctx, acme, now)
	if err != nil || len(hours) != 2 || hours[0].Bytes != 300 || hours[1].Bytes != 200 {
		t.Fatalf("%+v, %v, want 300 and 200 bytes", hours, err)
	}
	if start := hours[0].Start(); start > t0.UnixMilli() || start <= t0.Add(-time.Hour).UnixMilli() {
		t.Errorf("the first hour starts at %d, the bytes were sent at %d", start, t0.UnixMilli())
	}
	used := int64(500)
	for _, h := range hours {
		for at, want := range map[int64]int64{h.FreesAt() - 1: used, h.FreesAt(): used - h.Bytes} {
			clone := Ledger{hours: append([]Hour{}, hours...), used: 500}
			if got := clone.Use(at); got != want {
				t.Errorf("%d bytes count at %d, want %d", got, at, want)
			}
		}
		used -= h.Bytes
	}
	hours[0].Bytes = 0 // a copy
	if u, err := m.Usage(ctx, acme, now); err != nil || u.Used != 500 {
		t.Errorf("%+v, %v, want 500 bytes", u, err)
	}
}

func TestCountsOfDecisions(t *testing.T) {
	m, acme := newMemory(t), site("acme-ns", 100)
	for range 5 {
		m.Admit(ctx, "tenant/acme-ns", t0)
	}
	m.Admit(ctx, "user/acme-ns", t0)
	send(t, m, acme, 60, t0)
	if _, err := m.Reserve(ctx, acme, 60, t0); err == nil {
		t.Error("60 bytes fit beside 60 of 100")
	}
	got, since := m.Counts(ctx, "acme-ns")
	if diff := cmp.Diff(Counts{Passed: 3, TooMany: 2, NoRoom: 1}, got); diff != "" {
		t.Error(diff)
	}
	if since.IsZero() || since.After(time.Now()) {
		t.Errorf("counted since %v", since)
	}
	if got, _ := m.Counts(ctx, "nobody"); got != (Counts{}) {
		t.Errorf("%+v of nobody", got)
	}
}
