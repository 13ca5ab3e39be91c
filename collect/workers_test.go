package collect_test

import (
	"errors"
	"testing"
	"time"

	"callvault/collect"
)

// TestWorkers: a worker that was heard of lately is alive, until it leaves.
func TestWorkers(t *testing.T) {
	v := newVault(t, t.TempDir())
	beat := func(worker string, wantLate bool) {
		t.Helper()
		if late, err := v.Heartbeat(t.Context(), worker); err != nil || late != wantLate {
			t.Errorf("beat of %s: late %v, %v; want %v", worker, late, err, wantLate)
		}
	}
	beat("one", true) // for the first time
	beat("two", true)
	beat("one", false)
	if err := execute(v, `UPDATE workers SET seen_ms = seen_ms - $1 WHERE name = 'two'`, 2*collect.WorkerTimeout.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	alive, err := v.AliveWorkers(t.Context())
	if err != nil || len(alive) != 1 || !alive["one"] {
		t.Errorf("alive: %v, %v", alive, err)
	}
	beat("two", true)
	beat("two", false)
	// The database's clock is set back, as by a standby that takes over.
	if err := execute(v, `UPDATE workers SET seen_ms = seen_ms + $1`, time.Hour.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	if alive, err := v.AliveWorkers(t.Context()); err != nil || len(alive) != 0 {
		t.Errorf("alive, as heard of in an hour: %v, %v", alive, err)
	}
	beat("two", true)
	beat("two", false)
	if err := errors.Join(v.RemoveWorker(t.Context(), "one"), v.RemoveWorker(t.Context(), "two")); err != nil {
		t.Fatal(err)
	}
	if alive, err := v.AliveWorkers(t.Context()); err != nil || len(alive) != 0 {
		t.Errorf("alive after the last has left: %v, %v", alive, err)
	}
}

// TestRunDue: a run is due at its time until it has begun; a missed time is made up for, but
// not before there was any run.
func TestRunDue(t *testing.T) {
	v, source := newVault(t, t.TempDir()), from(t, newSource())
	source.OwnServer, source.Pace = true, 0
	now := time.Now()
	at := func(d time.Duration) *collect.Schedule {
		t.Helper()
		when := now.Add(d).UTC()
		schedule, err := collect.ParseSchedule(when.Format("4 15 * * *"), "UTC")
		if err != nil {
			t.Fatal(err)
		}
		return schedule
	}
	due := func(schedule *collect.Schedule) bool {
		t.Helper()
		is, err := v.RunDue(t.Context(), source, schedule, now)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if due(nil) || due(at(time.Hour)) || due(at(-time.Hour)) || !due(at(0)) {
		t.Error("before any run: due when it should not be, or not when it should")
	}
	v.run(t, source)
	now = now.Add(48 * time.Hour)
	if due(nil) || !due(at(-time.Hour)) {
		t.Error("a time that was missed is not made up for")
	}
	if err := execute(v, `UPDATE sources SET started_ms = $1, reopens_ms = 0`, now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if due(at(-time.Hour)) {
		t.Error("due again after it has begun")
	}
	if err := execute(v, `UPDATE sources SET started_ms = $1`, now.Add(20*time.Second).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if due(at(0)) {
		t.Error("due again after a node has begun it whose clock is ahead")
	}
	if err := execute(v, `UPDATE sources SET started_ms = $1`, now.Add(time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if !due(at(0)) {
		t.Error("not due, since a clock was wrong once")
	}
	if err := execute(v, `UPDATE sources SET reopens_ms = $1`, now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	planned, err := v.Start(t.Context(), source, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := planned.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !due(nil) {
		t.Error("not due as a tenant opens again, since somebody has asked for a plan")
	}
}
