package meter

import (
	"context"
	"slices"
	"time"

	"callvault"
)

// FreesAt returns the instant, in Unix milliseconds, from which on the bytes of the hour
// no longer count.
func (h Hour) FreesAt() int64 { return ends(h.Hour) }

// Start returns the hour's first instant, in Unix milliseconds.
func (h Hour) Start() int64 { return h.Hour * hourMs }

// Hours returns the bytes that count at now, by hour, the oldest first.
func (l *Ledger) Hours(now int64) []Hour {
	l.Advance(now)
	return slices.Clone(l.hours)
}

// Hours returns the tenant's audio bytes that count at now, by hour, the oldest first.
// Downloads in progress are not included.
func (m *Memory) Hours(_ context.Context, tenant *callvault.Tenant, now time.Time) ([]Hour, error) {
	s := m.shard(tenant.Name)
	ms := s.enter(now)
	defer s.mu.Unlock()
	return s.ledger(tenant).Hours(ms), nil
}

// Used returns, for each of the tenants, the audio bytes that count at now. Downloads in
// progress are not included.
func (m *Memory) Used(_ context.Context, tenants []callvault.Tenant, now time.Time) ([]int64, error) {
	used := make([]int64, len(tenants))
	for i := range tenants {
		s := m.shard(tenants[i].Name)
		ms := s.enter(now)
		used[i] = s.ledger(&tenants[i]).Use(ms)
		s.mu.Unlock()
	}
	return used, nil
}

// Counts is how many requests were decided on since the meter was opened.
type Counts struct {
	Passed  int64 // against the request limit
	TooMany int64 // refused by it: 429
	NoRoom  int64 // refused by the egress limit: 509
}

// Counts returns the counts of a tenant's requests since the meter was opened, and when
// that was.
func (m *Memory) Counts(_ context.Context, tenant string) (Counts, time.Time) {
	requests, audio := m.count("tenant/"+tenant), m.count(tenant)
	return Counts{Passed: requests.Passed, TooMany: requests.TooMany, NoRoom: audio.NoRoom}, m.opened
}

func (m *Memory) count(subject string) Counts {
	s := m.shard(subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.counts[subject]; n != nil {
		return *n
	}
	return Counts{}
}

// decided returns the counts of a subject. The shard must be locked. Refusals for egress
// are counted under the tenant's bare name, which is not the subject of any request.
func (s *shard) decided(subject string) *Counts {
	n := s.counts[subject]
	if n == nil {
		n = &Counts{}
		s.counts[subject] = n
	}
	return n
}
