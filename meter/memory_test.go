package meter

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/database"
	"callvault/database/databasetest"

	_ "modernc.org/sqlite"
)

var (
	ctx = context.Background()
	t0  = time.UnixMilli(start)
)

func openDB(t testing.TB, path string) *database.DB {
	t.Helper()
	db, err := database.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(t testing.TB, db *database.DB) *Memory {
	t.Helper()
	m, err := Open(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newMemory(t testing.TB) *Memory {
	return open(t, openDB(t, filepath.Join(t.TempDir(), "callvault.db")))
}

// store is what Memory and Shared have in common.
type store interface {
	Admit(ctx context.Context, subject string, now time.Time) (Standing, error)
	Reserve(ctx context.Context, tenant *callvault.Tenant, bytes int64, now time.Time) (*Reservation, error)
	Usage(ctx context.Context, tenant *callvault.Tenant, now time.Time) (Usage, error)
	Hours(ctx context.Context, tenant *callvault.Tenant, now time.Time) ([]Hour, error)
	Counts(ctx context.Context, tenant string) (Counts, time.Time)
}

// onBoth runs a test over each kind of meter.
func onBoth(t *testing.T, test func(t *testing.T, m store)) {
	t.Run("Memory", func(t *testing.T) { test(t, newMemory(t)) })
	t.Run("Shared", func(t *testing.T) { test(t, newShared(t)) })
}

// newShared makes a meter that decides by the time that callers pass.
func newShared(t testing.TB) *Shared {
	m := NewShared(openDB(t, databasetest.PostgreSQL(t)))
	m.callersClock = true
	return m
}

func site(name string, limit int64) *callvault.Tenant {
	return &callvault.Tenant{Name: name, EgressOverride: &limit}
}

// send reserves and settles the same bytes.
func send(t testing.TB, m store, tenant *callvault.Tenant, bytes int64, now time.Time) {
	t.Helper()
	r, err := m.Reserve(ctx, tenant, bytes, now)
	if err != nil {
		t.Fatal(err)
	}
	r.Settle(bytes, now)
}

func used(t testing.TB, m store, tenant *callvault.Tenant, now time.Time) int64 {
	t.Helper()
	u, err := m.Usage(ctx, tenant, now)
	if err != nil {
		t.Fatal(err)
	}
	return u.Used
}

func count(t testing.TB, db *database.DB, query string) (n int) {
	t.Helper()
	if err := db.Reader.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAdmit(t *testing.T) { onBoth(t, admitThree) }

func admitThree(t *testing.T, m store) {
	for i, want := range []Standing{{2, 10}, {1, 9}, {0, 8}} {
		got, err := m.Admit(ctx, "tenant/acme", t0.Add(time.Duration(i)*time.Second))
		if err != nil || got != want {
			t.Errorf("request %d: %+v, %v, want %+v", i, got, err, want)
		}
	}
	got, err := m.Admit(ctx, "tenant/acme", t0.Add(3500*time.Millisecond))
	var wait callvault.Wait
	if !errors.As(err, &wait) || wait != (callvault.Wait{Code: callvault.TooManyRequests, For: 6500 * time.Millisecond}) {
		t.Errorf("the fourth request got %v, want a wait of 6.5 s", err)
	}
	if want := (Standing{0, wait.RetryAfter()}); got != want || want.Reset != 7 {
		t.Errorf("the refused stands at %+v, want %+v", got, want)
	}
	if _, err := m.Admit(ctx, "user/acme", t0); err != nil {
		t.Errorf("another subject: %v", err)
	}
}

func TestReserve(t *testing.T) { onBoth(t, reserveAll) }

func reserveAll(t *testing.T, m store) {
	tenant := site("acme", 100)
	send(t, m, tenant, 60, t0)
	first, err := m.Reserve(ctx, tenant, 40, t0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Reserve(ctx, tenant, 1, t0)
	var wait callvault.Wait
	if !errors.As(err, &wait) || wait.Code != callvault.BandwidthExceeded || errors.Is(err, ErrNeverFits) {
		t.Fatalf("one byte too many got %v, want 509 with a wait", err)
	}
	at := t0.Add(wait.For)
	if !strings.Contains(err.Error(), at.UTC().Format(time.RFC3339)) || at.UnixMilli() != ends(start/hourMs) {
		t.Errorf("%q does not name the time %v", err, at)
	}
	first.Settle(15, t0)
	first.Settle(40, t0)
	if got := used(t, m, tenant, t0); got != 75 {
		t.Errorf("used %d, want 75", got)
	}
	send(t, m, tenant, 25, t0)
	if _, err := m.Reserve(ctx, tenant, 1, at.Add(-time.Millisecond)); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("a millisecond early got %v, want 509", err)
	}
	send(t, m, tenant, 100, at)
}

func TestReserveMoreThanTheLimit(t *testing.T) { onBoth(t, reserveMoreThanTheLimit) }

func reserveMoreThanTheLimit(t *testing.T, m store) {
	tenant := site("acme", 100)
	for _, want := range []time.Duration{time.Hour, time.Duration(ends(start/hourMs)-start) * time.Millisecond} {
		_, err := m.Reserve(ctx, tenant, 101, t0)
		var wait callvault.Wait
		if !errors.Is(err, ErrNeverFits) || !errors.As(err, &wait) || wait.Code != callvault.BandwidthExceeded || wait.For != want {
			t.Errorf("got %v, want ErrNeverFits and a wait of %v", err, want)
		}
		if used(t, m, tenant, t0) == 0 {
			send(t, m, tenant, 100, t0)
		}
	}
}

func TestNoLimitIsCountedAllTheSame(t *testing.T) { onBoth(t, noLimitIsCountedAllTheSame) }

func noLimitIsCountedAllTheSame(t *testing.T, m store) {
	tenant := &callvault.Tenant{Name: "acme"}
	send(t, m, tenant, 1<<50, t0)
	u, err := m.Usage(ctx, tenant, t0)
	if err != nil || u.Used != 1<<50 || u.Limit != nil {
		t.Errorf("usage %+v, %v, want %d of no limit", u, err, int64(1)<<50)
	}
	if _, err := m.Reserve(ctx, site("acme", 1<<50), 1, t0); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("with a limit set later: %v, want 509", err)
	}
}

func TestUsageJSON(t *testing.T) { onBoth(t, usageJSON) }

func usageJSON(t *testing.T, m store) {
	tenant := site("acme", 100)
	for _, want := range []string{
		`{"tenant":"acme","used":0,"limit":100,"freesAt":null}`,
		`{"tenant":"acme","used":9,"limit":100,"freesAt":1700434800000}`,
	} {
		u, err := m.Usage(ctx, tenant, t0)
		if got, _ := json.Marshal(u); err != nil || string(got) != want {
			t.Errorf("usage is %s, %v, want %s", got, err, want)
		}
		send(t, m, tenant, 9, t0)
	}
}

// A download may take hours: its bytes count from the hour of their end, and
// stand as reserved until then.
func TestSettleInALaterHour(t *testing.T) { onBoth(t, settleInALaterHour) }

func settleInALaterHour(t *testing.T, m store) {
	tenant := site("acme", 100)
	r, err := m.Reserve(ctx, tenant, 100, t0)
	if err != nil {
		t.Fatal(err)
	}
	end := t0.Add(3 * time.Hour)
	if shared, ok := m.(*Shared); ok {
		shared.hold(t, end)
	}
	if _, err := m.Reserve(ctx, tenant, 1, end); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("during the download: %v, want 509", err)
	}
	r.Settle(70, end)
	u, err := m.Usage(ctx, tenant, end)
	if err != nil || u.Used != 70 || *u.FreesAt != ends(end.UnixMilli()/hourMs) {
		t.Errorf("usage %+v, %v, want 70 from the last hour", u, err)
	}
	send(t, m, tenant, 30, end)
}

func TestParallelDownloadsCannotOvershoot(t *testing.T) { onBoth(t, parallelDownloadsCannotOvershoot) }

func parallelDownloadsCannotOvershoot(t *testing.T, m store) {
	const limit = 1000
	tenant := site("acme", limit)
	var promised atomic.Int64 // at any time no more than the ledger holds
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 500 {
				bytes := rand.Int64N(50)
				r, err := m.Reserve(ctx, tenant, bytes, t0)
				if err != nil {
					continue
				}
				if now := promised.Add(bytes); now > limit {
					t.Errorf("%d bytes are sent or promised, the limit is %d", now, limit)
				}
				left := rand.Int64N(bytes + 1)
				promised.Add(left - bytes)
				r.Settle(left, t0)
			}
		})
	}
	group.Wait()
	if got := used(t, m, tenant, t0); got != promised.Load() || got > limit {
		t.Errorf("used %d, want the %d that were sent", got, promised.Load())
	}
}

func TestParallelRequestsPassThree(t *testing.T) { onBoth(t, parallelRequestsPassThree) }

func parallelRequestsPassThree(t *testing.T, m store) {
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 100 {
				if _, err := m.Admit(ctx, "tenant/acme", t0); err == nil {
					passed.Add(1)
				}
				if m, ok := m.(*Memory); ok {
					save(t, m)
				}
			}
		})
	}
	group.Wait()
	if passed.Load() != 3 {
		t.Errorf("%d requests passed, want 3", passed.Load())
	}
}

// A reset on the command line reaches a running service through the tenant's epoch.
func TestResetBesideARunningMemory(t *testing.T) {
	m, tenant := newMemory(t), site("acme", 100)
	send(t, m, tenant, 60, t0)
	running, err := m.Reserve(ctx, tenant, 40, t0)
	if err != nil {
		t.Fatal(err)
	}
	save(t, m)
	stale := *tenant
	tenant.UsageEpoch++
	if got := used(t, m, tenant, t0); got != 0 {
		t.Errorf("used %d after the reset, want 0", got)
	}
	running.Settle(40, t0)
	if got := used(t, m, &stale, t0); got != 0 {
		t.Errorf("a download from before the reset charged %d", got)
	}
	send(t, m, tenant, 100, t0)
	if _, err := m.Reserve(ctx, tenant, 1, t0); !errors.Is(err, callvault.BandwidthExceeded) {
		t.Errorf("the new ledger took more than its limit: %v", err)
	}
	if got := used(t, m, &stale, t0); got != 100 {
		t.Errorf("a request that knows nothing of the reset sees %d used, want 100", got)
	}
	save(t, m)
	if u, err := ReadUsage(ctx, m.db, tenant, t0); err != nil || u.Used != 100 {
		t.Errorf("the database says %+v, %v, want 100", u, err)
	}
}
