package meter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"callvault"
	"callvault/database/databasetest"
)

// Parallel callers ask for 10,000 tenants in turn, at the pace that always passes.
func BenchmarkAdmit(b *testing.B) {
	m := newMemory(b)
	var subjects [10_000]string
	for i := range subjects {
		subjects[i] = fmt.Sprintf("tenant/site-%d", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i, now := rand.IntN(len(subjects)), t0
		for pb.Next() {
			if i++; i == len(subjects) {
				i, now = 0, now.Add(3*time.Second)
			}
			_, _ = m.Admit(ctx, subjects[i], now)
		}
	})
}

func BenchmarkAdmitRefused(b *testing.B) {
	m := newMemory(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = m.Admit(ctx, "tenant/acme", t0)
		}
	})
}

func BenchmarkReserveSettle(b *testing.B) {
	m := newMemory(b)
	var tenants [10_000]*callvault.Tenant
	for i := range tenants {
		tenants[i] = site(fmt.Sprintf("site-%d", i), 1<<60)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := rand.IntN(len(tenants))
		for pb.Next() {
			i = (i + 1) % len(tenants)
			r, err := m.Reserve(ctx, tenants[i], 60_000, t0)
			if err != nil {
				b.Fatal(err)
			}
			r.Settle(60_000, t0)
		}
	})
}

// A second of 10,000 tenants, each of which asked and downloaded once.
func BenchmarkSave10000(b *testing.B) {
	m := newMemory(b)
	var tenants [10_000]*callvault.Tenant
	for i := range tenants {
		tenants[i] = site(fmt.Sprintf("site-%d", i), 1<<60)
	}
	now := t0
	for b.Loop() {
		b.StopTimer()
		now = now.Add(20 * time.Minute)
		for _, tenant := range tenants {
			_, _ = m.Admit(ctx, "tenant/"+tenant.Name, now)
			send(b, m, tenant, 60_000, now)
		}
		b.StartTimer()
		save(b, m)
	}
}

// BenchmarkSharedAdmit lets 32 connections decide on requests of 10,000 tenants.
func BenchmarkSharedAdmit(b *testing.B) {
	m := NewShared(openDB(b, databasetest.PostgreSQL(b)+"&pool_max_conns=128"))
	over32(b, func(subject string) error {
		_, err := m.Admit(ctx, subject, time.Now())
		if errors.Is(err, callvault.TooManyRequests) {
			return nil
		}
		return err
	})
}

// BenchmarkBareUpdate is what PostgreSQL takes for one row, as the measure of it.
func BenchmarkBareUpdate(b *testing.B) {
	m := NewShared(openDB(b, databasetest.PostgreSQL(b)+"&pool_max_conns=128"))
	_, err := m.db.Exec(`INSERT INTO request_windows SELECT 'tenant/' || i, 0, 0, 1 FROM generate_series(0, 9999) i`)
	if err != nil {
		b.Fatal(err)
	}
	over32(b, func(subject string) error {
		var n int64
		return m.db.QueryRowContext(ctx, `UPDATE request_windows SET third_ms = third_ms + 1 WHERE subject = $1 RETURNING third_ms`, subject).Scan(&n)
	})
}

// over32 has 32 callers ask for 10,000 tenants in turn.
func over32(b *testing.B, ask func(subject string) error) {
	var next atomic.Int64
	b.SetParallelism(32 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := ask(fmt.Sprintf("tenant/%d", next.Add(1)*7919%10_000)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}
