package meter

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/database"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Both kinds of meter answer the same to any sequence of calls. Other tests check
// Memory's answers against the rules.
func TestSharedSaysWhatMemorySays(t *testing.T) {
	memory, shared := newMemory(t), newShared(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		name := fmt.Sprintf("tenant-%d", runs)
		now := t0
		tenant := site(name, 1000)
		if rapid.Bool().Draw(t, "without limit") {
			tenant.EgressOverride = nil
		}
		var pairs [][2]*Reservation
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.OneOf(
				rapid.SampledFrom([]int64{0, 1, 2749, 2750, 3000, 10_000, hourMs, 121 * hourMs}),
				rapid.Int64Range(-20_000, 12_000), rapid.Int64Range(0, 30*hourMs)).Draw(t, "gap")) * time.Millisecond)
			switch {
			case rapid.Bool().Draw(t, "admit"):
				a, errA := memory.Admit(ctx, "tenant/"+name, now)
				b, errB := shared.Admit(ctx, "tenant/"+name, now)
				if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
					t.Fatalf("at %v: %+v, %v by Memory; %+v, %v by Shared", now, a, errA, b, errB)
				}
			case len(pairs) > 0 && rapid.Bool().Draw(t, "settle"):
				sent := rapid.Int64Range(0, 400).Draw(t, "sent")
				pairs[0][0].Settle(sent, now)
				pairs[0][1].Settle(sent, now)
				pairs = pairs[1:]
			default:
				bytes := rapid.Int64Range(0, 1200).Draw(t, "bytes")
				a, errA := memory.Reserve(ctx, tenant, bytes, now)
				b, errB := shared.Reserve(ctx, tenant, bytes, now)
				if fmt.Sprint(errA) != fmt.Sprint(errB) {
					t.Fatalf("at %v: %v by Memory; %v by Shared", now, errA, errB)
				}
				if errA == nil {
					pairs = append(pairs, [2]*Reservation{a, b})
				}
			}
			shared.hold(t, now)
		}
		for _, pair := range pairs {
			pair[0].Settle(7, now)
			pair[1].Settle(7, now)
		}
		a, errA := memory.Hours(ctx, tenant, now)
		b, errB := shared.Hours(ctx, tenant, now)
		if diff := cmp.Diff(a, b); diff != "" || errA != nil || errB != nil {
			t.Fatalf("hours (-Memory +Shared): %s %v %v", diff, errA, errB)
		}
		usedA, errA := memory.Used(ctx, []callvault.Tenant{{Name: "none"}, *tenant}, now)
		usedB, errB := shared.Used(ctx, []callvault.Tenant{{Name: "none"}, *tenant}, now)
		if diff := cmp.Diff(usedA, usedB); diff != "" || errA != nil || errB != nil {
			t.Fatalf("used (-Memory +Shared): %s %v %v", diff, errA, errB)
		}
		countsA, _ := memory.Counts(ctx, name)
		if countsB, _ := shared.Counts(ctx, name); countsA != countsB {
			t.Fatalf("counts %+v by Memory, %+v by Shared", countsA, countsB)
		}
	})
}

// hold does what Run does while the time that callers pass goes on.
func (m *Shared) hold(t interface{ Fatal(...any) }, now time.Time) {
	if _, err := m.db.Exec(`UPDATE reservations SET until_ms = $1`, now.Add(1000*time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
}

// nodes are meters of several processes over one database, which do not agree on
// the time.
func nodes(t *testing.T) []*Shared {
	place := databasetest.PostgreSQL(t)
	return []*Shared{NewShared(openDB(t, place)), NewShared(openDB(t, place)), NewShared(openDB(t, place))}
}

func TestThreeOfFortyPassOverThreeNodes(t *testing.T) {
	all := nodes(t)
	var passed atomic.Int64
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			ownClock := time.Now().Add(time.Duration(i%3-1) * 15 * time.Second)
			standing, err := all[i%3].Admit(ctx, "tenant/acme", ownClock)
			if err == nil {
				passed.Add(1)
				return
			}
			var refused callvault.Wait
			if !errors.As(err, &refused) || refused.For <= 0 || refused.For > Period || standing.Remaining != 0 {
				t.Errorf("%+v, %v; want a wait of up to 10 s", standing, err)
			}
		})
	}
	wait.Wait()
	if passed.Load() != 3 {
		t.Errorf("%d of 40 passed, want 3", passed.Load())
	}
}

func TestDownloadsOverThreeNodesCannotOvershoot(t *testing.T) {
	const limit = 10_000
	all, tenant := nodes(t), site("acme", limit)
	var promised, sent atomic.Int64
	var wait sync.WaitGroup
	for i := range 24 {
		wait.Go(func() {
			for n := range 20 {
				r, err := all[i%3].Reserve(ctx, tenant, 400, time.Now())
				if err != nil {
					continue
				}
				if now := promised.Add(400); now > limit {
					t.Errorf("%d bytes are sent or promised, the limit is %d", now, limit)
				}
				left := int64(n * 20)
				promised.Add(left - 400)
				sent.Add(left)
				r.Settle(left, time.Now())
			}
		})
	}
	wait.Wait()
	for _, m := range all {
		if got := used(t, m, tenant, time.Now()); got != sent.Load() || got > limit {
			t.Errorf("used %d, want the %d that were sent", got, sent.Load())
		}
	}
}

// Reservations wait for each other: of two that each leave too little room for the
// other, one is refused, however close together they come.
func TestReservationsOfOneTenantWaitForEachOther(t *testing.T) {
	m := nodes(t)[0]
	first, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback()
	_, err = first.Exec(`SELECT reserve_together(ARRAY[1::BIGINT], ARRAY['acme'], ARRAY[0::BIGINT], ARRAY[600::BIGINT],
		ARRAY[1000::BIGINT], ARRAY[0::BIGINT], 60000)`)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := m.Reserve(ctx, site("acme", 1000), 600, time.Now())
		second <- err
	}()
	waits := &database.DB{Reader: m.db}
	for len(second) == 0 && count(t, waits, `SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database AND datname = current_database()
		WHERE locktype = 'advisory' AND NOT granted`) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("the second: %v, want no room", err)
	}
}

// What a dead process had reserved is free again a minute later.
func TestReservationOfADeadProcess(t *testing.T) {
	place := databasetest.PostgreSQL(t)
	dead, alive := NewShared(openDB(t, place)), NewShared(openDB(t, place))
	dead.callersClock, alive.callersClock = true, true
	tenant := site("acme", 100)
	late, err := dead.Reserve(ctx, tenant, 100, t0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alive.Reserve(ctx, tenant, 1, t0.Add(holdTime-time.Millisecond)); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("while it may be alive: %v, want 509", err)
	}
	if _, err := alive.Reserve(ctx, tenant, 1, t0.Add(holdTime)); err != nil {
		t.Errorf("after its time: %v", err)
	}
	late.Settle(60, t0.Add(holdTime))
	if got := used(t, alive, tenant, t0.Add(holdTime)); got != 60 {
		t.Errorf("used %d after it came back, want 60", got)
	}
}

func TestReservationIsRenewed(t *testing.T) {
	m, tenant := nodes(t)[0], site("acme", 100)
	r, err := m.Reserve(ctx, tenant, 100, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Exec(`UPDATE reservations SET until_ms = 1`); err != nil {
		t.Fatal(err)
	}
	if err := m.renew(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Reserve(ctx, tenant, 1, time.Now()); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("%v, want 509", err)
	}
	r.Settle(0, time.Now())
	if err := m.sweep(ctx, time.Now()); err != nil {
		t.Error(err)
	}
	if n := count(t, &database.DB{Reader: m.db}, `SELECT count(*) FROM reservations`); n != 0 {
		t.Errorf("%d reservations are left, want none", n)
	}
}

// What cannot be charged while the database is unavailable is charged later, once.
func TestChargesOutliveTheDatabase(t *testing.T) {
	server := databasetest.Start(t)
	db, tenant := openDB(t, server.Database(t)), site("acme", 100)
	m := NewShared(db)
	r, err := m.Reserve(ctx, tenant, 50, time.Now())
	if err == nil {
		err = db.Tx(ctx, func(tx *sql.Tx) error { // whose commit makes all before it durable
			_, err := tx.Exec(`INSERT INTO egress (tenant, epoch, hour, bytes) VALUES ('other', 0, 0, 0)`)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	r.Settle(30, time.Now())
	if err := m.catchUp(ctx); !database.IsBusy(err) {
		t.Errorf("while it is away: %v, want busy", err)
	}
	if _, err := m.Admit(ctx, "tenant/acme", time.Now()); !database.IsBusy(err) {
		t.Errorf("while it is away: %v, want busy", err)
	}
	server.Start(t)
	for deadline := time.Now().Add(time.Minute); m.catchUp(ctx) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not charged")
		}
	}
	if got := used(t, m, tenant, time.Now()); got != 30 {
		t.Errorf("used %d, want 30", got)
	}
}

func TestResetOverNodes(t *testing.T) {
	all, tenant := nodes(t), site("acme", 100)
	send(t, all[0], tenant, 60, time.Now())
	running, err := all[0].Reserve(ctx, tenant, 40, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tenant.UsageEpoch++
	send(t, all[1], tenant, 10, time.Now())
	running.Settle(40, time.Now())
	if got := used(t, all[2], tenant, time.Now()); got != 10 {
		t.Errorf("used %d after the reset, want 10", got)
	}
}

// Downloads that end while others are charged are charged together, each once and
// to its own tenant and time.
func TestChargedTogether(t *testing.T) {
	m := nodes(t)[0]
	m.callersClock = true
	tenants := []*callvault.Tenant{site("acme", 1000), site("other", 1000)}
	var wait sync.WaitGroup
	m.settling.Lock() // as while charging
	for i := range int64(12) {
		r, err := m.Reserve(ctx, tenants[i%2], 50, t0)
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() { r.Settle(i, t0.Add(time.Duration(i/6)*time.Hour)) })
	}
	for waiting := 0; waiting < 12; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		waiting = len(m.unsettled)
		m.mu.Unlock()
	}
	m.settling.Unlock()
	wait.Wait()
	hour := t0.UnixMilli() / hourMs
	for i, want := range [][]Hour{{{hour, 0 + 2 + 4}, {hour + 1, 6 + 8 + 10}}, {{hour, 1 + 3 + 5}, {hour + 1, 7 + 9 + 11}}} {
		got, err := m.Hours(ctx, tenants[i], t0.Add(time.Hour))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("hours of %s (-want +got): %s %v", tenants[i].Name, diff, err)
		}
	}
	if n := count(t, &database.DB{Reader: m.db}, `SELECT count(*) FROM reservations`); n != 0 || len(m.unsettled) != 0 {
		t.Errorf("%d reservations and %d charges are left, want none", n, len(m.unsettled))
	}
}

// Downloads that begin together share their tenant's limit. One that does not fit
// leaves room for others that do.
func TestReservedTogether(t *testing.T) {
	m := nodes(t)[0]
	send(t, m, site("acme", 1000), 400, time.Now())
	limit := func(n int64) *int64 { return &n }
	var group []*reserving
	for i, r := range []reserving{
		{charge: charge{tenant: "acme"}, bytes: 500, limit: limit(1000), fits: true},
		{charge: charge{tenant: "other"}, bytes: 700, limit: limit(1000), fits: true},
		{charge: charge{tenant: "acme"}, bytes: 101, limit: limit(1000)},
		{charge: charge{tenant: "acme"}, bytes: 100, limit: limit(1000), fits: true},
		{charge: charge{tenant: "acme"}, bytes: 1, limit: limit(1000)},
		{charge: charge{tenant: "acme"}, bytes: 0, limit: limit(1000), fits: true},
		{charge: charge{tenant: "acme"}, bytes: 1 << 60, fits: true},
		{charge: charge{tenant: "acme", epoch: 1}, bytes: 1000, limit: limit(1000), fits: true},
		{charge: charge{tenant: "other"}, bytes: 301, limit: limit(1000)},
	} {
		r.id = int64(i)
		group = append(group, &r)
	}
	want := map[int64]bool{}
	for _, r := range group {
		want[r.id], r.fits = r.fits, false
	}
	m.reserveAll(ctx, group)
	got := map[int64]bool{}
	for _, r := range group {
		got[r.id] = r.fits
		if r.err != nil {
			t.Error(r.err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("which fit (-want +got): %s", diff)
	}
	if rows := count(t, &database.DB{Reader: m.db}, `SELECT count(*) FROM reservations`); rows != 6 {
		t.Errorf("%d reservations, want 6", rows)
	}
}

// Of requests that come together for one tenant, three pass and the rest are refused;
// another tenant's request passes.
func TestDecidedTogether(t *testing.T) {
	m := nodes(t)[0]
	var group []*decision
	for i := range 12 {
		group = append(group, &decision{subject: []string{"tenant/acme", "tenant/other"}[i/11]})
	}
	m.decideAll(ctx, group)
	passed := map[string]int{}
	for _, d := range group {
		if d.err != nil {
			t.Error(d.err)
		}
		if d.passes {
			passed[d.subject]++
		} else if opens := d.window.Opens(d.ms); opens <= d.ms || opens > d.ms+periodMs {
			t.Errorf("refused at %d until %d", d.ms, opens)
		}
	}
	if diff := cmp.Diff(map[string]int{"tenant/acme": 3, "tenant/other": 1}, passed); diff != "" {
		t.Errorf("passed (-want +got): %s", diff)
	}
}
