package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/database"
)

func save(t testing.TB, m *Memory) {
	t.Helper()
	if err := m.Save(ctx); err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, m *Memory, query string) {
	t.Helper()
	err := m.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(query)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// restarted compares a newly opened Memory with the one that saved, and the command
// line's view with both.
func restarted(t *testing.T, m *Memory, tenants []*callvault.Tenant, now time.Time) *Memory {
	t.Helper()
	again := open(t, m.db)
	for _, tenant := range tenants {
		u, err := ReadUsage(ctx, m.db, tenant, now)
		before, after := used(t, m, tenant, now), used(t, again, tenant, now)
		if err != nil || after != before || u.Used != before {
			t.Fatalf("%s used %d before the restart, %d after, %d in the database (%v)", tenant.Name, before, after, u.Used, err)
		}
		for _, probe := range []int64{1, 300, 700, 1000} {
			was, is := waitFor(m, tenant, probe, now), waitFor(again, tenant, probe, now)
			if was != is {
				t.Fatalf("%d bytes for %s: wait %v before the restart, %v after", probe, tenant.Name, was, is)
			}
		}
		subject := "tenant/" + tenant.Name
		was, err1 := m.Admit(ctx, subject, now)
		is, err2 := again.Admit(ctx, subject, now)
		if was != is || (err1 == nil) != (err2 == nil) {
			t.Fatalf("request of %s: %+v %v before the restart, %+v %v after", tenant.Name, was, err1, is, err2)
		}
	}
	return again
}

func waitFor(m *Memory, tenant *callvault.Tenant, bytes int64, now time.Time) time.Duration {
	r, err := m.Reserve(ctx, tenant, bytes, now)
	if err == nil {
		r.Settle(0, now)
		return 0
	}
	var wait callvault.Wait
	errors.As(err, &wait)
	return wait.For
}

// Sites live through days of downloads, resets and a clock that jumps back, and
// the service restarts again and again.
func TestRestart(t *testing.T) {
	m := newMemory(t)
	random := rand.New(rand.NewPCG(1, 2))
	var tenants []*callvault.Tenant
	for i := range 5 {
		tenants = append(tenants, site(fmt.Sprintf("site-%d", i), 1000))
	}
	now := t0
	for range 60 {
		for range random.IntN(30) {
			now = now.Add(time.Duration(random.Int64N(int64(2 * time.Hour))))
			tenant := tenants[random.IntN(len(tenants))]
			_, _ = m.Admit(ctx, "tenant/"+tenant.Name, now)
			if r, err := m.Reserve(ctx, tenant, random.Int64N(200), now); err == nil {
				r.Settle(random.Int64N(200), now)
			}
		}
		switch random.IntN(6) {
		case 0:
			now = now.Add(-time.Duration(random.Int64N(int64(30 * time.Hour))))
			used(t, m, tenants[0], now)
		case 1:
			tenants[random.IntN(len(tenants))].UsageEpoch++
		case 2:
			for range 3 {
				_, _ = m.Admit(ctx, "tenant/site-0", now)
			}
		}
		save(t, m)
		m = restarted(t, m, tenants, now)
	}
	if got := count(t, m.db, `SELECT count(*) FROM egress`); got > len(tenants)*121 {
		t.Errorf("%d rows of egress are kept", got)
	}
}

func TestReservationsAreNotSaved(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 100)
	send(t, m, tenant, 10, t0)
	if _, err := m.Reserve(ctx, tenant, 90, t0); err != nil {
		t.Fatal(err)
	}
	save(t, m)
	if u, err := ReadUsage(ctx, m.db, tenant, t0); err != nil || u.Used != 10 {
		t.Errorf("the database says %+v, %v, want 10 used", u, err)
	}
	send(t, open(t, m.db), tenant, 90, t0)
}

func TestFailedSaveLosesNothing(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 1000)
	send(t, m, tenant, 100, t0)
	for range 3 {
		_, _ = m.Admit(ctx, "tenant/acme", t0.Add(time.Hour))
	}
	// The windows are written before the trigger stops the transaction.
	exec(t, m, `CREATE TRIGGER stop BEFORE INSERT ON egress BEGIN SELECT RAISE(ABORT, 'stopped'); END`)
	if err := m.Save(ctx); err == nil {
		t.Fatal("the save did not fail")
	}
	send(t, m, tenant, 10, t0.Add(time.Hour))
	if err := m.Save(ctx); err == nil {
		t.Fatal("the save did not fail")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := m.Save(cancelled); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled save: %v", err)
	}
	exec(t, m, `DROP TRIGGER stop`)
	save(t, m)
	again := open(t, m.db)
	if got := used(t, again, tenant, t0.Add(time.Hour)); got != 110 {
		t.Errorf("%d bytes were saved, want 110", got)
	}
	if _, err := again.Admit(ctx, "tenant/acme", t0.Add(time.Hour)); !errors.Is(err, callvault.TooManyRequests) {
		t.Errorf("the window was not saved: %v", err)
	}
}

func TestSaveToAClosedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	m, tenant := open(t, openDB(t, path)), site("acme", 1000)
	send(t, m, tenant, 100, t0)
	m.db.Close()
	if err := m.Save(ctx); err == nil {
		t.Error("a closed database took a save")
	}
	m.db = openDB(t, path)
	save(t, m)
	if u, err := ReadUsage(ctx, m.db, tenant, t0); err != nil || u.Used != 100 {
		t.Errorf("the database says %+v, %v, want 100 used", u, err)
	}
}

func TestIdleWindowsAreDropped(t *testing.T) {
	m := newMemory(t)
	kept := func() (n int) {
		for i := range m.shards {
			n += len(m.shards[i].windows)
		}
		return n
	}
	ask := func(from, to int, now time.Time) {
		for i := from; i < to; i++ {
			if _, err := m.Admit(ctx, fmt.Sprintf("user/%d", i), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	const rows = `SELECT count(*) FROM request_windows`
	ask(0, 1000, t0)
	save(t, m)
	if got := count(t, m.db, rows); got != 1000 || kept() != 1000 {
		t.Errorf("%d windows in memory, %d saved, want 1000", kept(), got)
	}
	ask(1000, 2000, t0.Add(9*time.Second))
	ask(2000, 3000, t0.Add(10*time.Second))
	exec(t, m, `CREATE TRIGGER stop BEFORE DELETE ON request_windows BEGIN SELECT RAISE(ABORT, 'stopped'); END`)
	if err := m.Save(ctx); err == nil {
		t.Error("the save did not fail")
	}
	exec(t, m, `DROP TRIGGER stop`)
	save(t, m)
	if got := count(t, m.db, rows); got != 2000 || kept() != 2000 {
		t.Errorf("%d windows in memory, %d saved, want 2000", kept(), got)
	}
}

// A request may come while Save writes that its subject is idle.
func TestIdleWindowIsUsedDuringSave(t *testing.T) {
	m := newMemory(t)
	_, _ = m.Admit(ctx, "user/a", t0)
	save(t, m)
	now := t0.Add(time.Minute)
	s := m.shard("user/a")
	s.enter(now)
	s.mu.Unlock()
	b := m.collect()
	if len(b.windows) != 1 || !b.windows[0].idle {
		t.Fatalf("%+v is to be written, want one idle window", b.windows)
	}
	_, _ = m.Admit(ctx, "user/a", now)
	b.dropIdle()
	if got, err := m.Admit(ctx, "user/a", now); err != nil || got.Remaining != 1 {
		t.Errorf("after two requests %+v, %v, want 1 remaining", got, err)
	}
}

// A Memory that had not seen a reset yet may have written its old epoch after
// the new one was begun by another.
func TestOpenTakesTheLatestEpoch(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 1000)
	exec(t, m, fmt.Sprintf(`INSERT INTO egress VALUES ('acme', 3, %d, 30), ('acme', 4, %[1]d, 4)`, start/hourMs))
	tenant.UsageEpoch = 4
	if got := used(t, open(t, m.db), tenant, t0); got != 4 {
		t.Errorf("used %d, want the 4 of the latest epoch", got)
	}
}

func TestOldRowsAreDeleted(t *testing.T) {
	m, acme, other := newMemory(t), site("acme", 1000), site("other", 1000)
	send(t, m, acme, 1, t0)
	send(t, m, other, 1, t0)
	save(t, m)
	acme.UsageEpoch++
	used(t, m, acme, t0)
	save(t, m)
	if got := count(t, m.db, `SELECT count(*) FROM egress WHERE tenant = 'acme'`); got != 0 {
		t.Errorf("%d rows of an older epoch are left", got)
	}
	last := time.UnixMilli(ends(start/hourMs) - 1)
	for i, now := range []time.Time{last, last.Add(time.Millisecond)} {
		send(t, m, acme, 1, now)
		save(t, m)
		if got := count(t, m.db, `SELECT count(*) FROM egress WHERE tenant = 'other'`); got != 1-i {
			t.Errorf("at %v %d rows of the first hour are left, want %d", now, got, 1-i)
		}
	}
}

// After a jump back the rows of later hours must not come again at a restart.
func TestClockJumpsBackBetweenSaves(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 1000)
	send(t, m, tenant, 100, t0.Add(48*time.Hour))
	save(t, m)
	send(t, m, tenant, 10, t0)
	save(t, m)
	again := open(t, m.db)
	if got := used(t, again, tenant, t0); got != 110 {
		t.Errorf("used %d, want 110", got)
	}
	if got := used(t, again, tenant, time.UnixMilli(ends(start/hourMs))); got != 0 {
		t.Errorf("%d bytes still count 5 days and an hour later", got)
	}
}

// Whoever reads a tenant's use after a download sees it: it is saved as the download
// ends, and those that follow within the second are saved together.
func TestRunSavesWhenADownloadEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callvault.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := database.Open(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		m, tenant := open(t, db), site("acme", 1000)
		running, stop := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- m.Run(running) }()
		for _, step := range []struct {
			later time.Duration
			want  int64
		}{{1500 * time.Millisecond, 1}, {10 * time.Millisecond, 1}, {time.Second, 3}, {10 * time.Millisecond, 3}, {1500 * time.Millisecond, 5}} {
			time.Sleep(step.later)
			send(t, m, tenant, 1, time.Now())
			synctest.Wait()
			u, err := ReadUsage(ctx, db, tenant, time.Now())
			if err != nil || u.Used != step.want {
				t.Errorf("%v later %d are saved, want %d (%v)", step.later, u.Used, step.want, err)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRun(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 1000)
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- m.Run(running) }()
	send(t, m, tenant, 1, t0)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		u, err := ReadUsage(ctx, m.db, tenant, t0)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("not saved by itself: %+v, %v", u, err)
		}
		if u.Used == 1 {
			break
		}
	}
	send(t, m, tenant, 1, t0)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if u, err := ReadUsage(ctx, m.db, tenant, t0); err != nil || u.Used != 2 {
		t.Errorf("the last second was not saved: %+v, %v", u, err)
	}
}
