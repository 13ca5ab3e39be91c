package meter

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"callvault"
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
