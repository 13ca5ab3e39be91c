package meter

import (
	"context"
	"slices"
	"time"

	"callvault"
)

// FreesAt is the instant, in Unix milliseconds, from which on the bytes of the hour
// no longer count.
func (h Hour) FreesAt() int64 { return ends(h.Hour) }

// Start is the hour's first instant, in Unix milliseconds.
func (h Hour) Start() int64 { return h.Hour * hourMs }

// Hours are the bytes that count at now, by hour, the oldest first.
func (l *Ledger) Hours(now int64) []Hour {
	l.Advance(now)
	return slices.Clone(l.hours)
}

// Hours are the audio bytes of the tenant that count at now, by hour, the oldest
// first. Downloads that still run are not in them.
func (m *Memory) Hours(_ context.Context, tenant *callvault.Tenant, now time.Time) ([]Hour, error) {
	s := m.shard(tenant.Name)
	ms := s.enter(now)
	defer s.mu.Unlock()
	return s.ledger(tenant).Hours(ms), nil
}

// Used is, of each of the tenants, the audio bytes that count at now. Downloads that
// still run are not in them.
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

// Counts is how many requests a meter has decided on since it was opened.
type Counts struct {
	Passed  int64 // against the request limit
	TooMany int64 // refused by it: 429
	NoRoom  int64 // refused by the egress limit: 509
}

// Counts tells what was decided on a tenant's requests since the meter was opened,
// and when that was.
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

// decided is the counts of a subject of the shard, which must be locked. What is
// refused for its egress is counted under the tenant's name, which holds no slash.
func (s *shard) decided(subject string) *Counts {
	n := s.counts[subject]
	if n == nil {
		n = &Counts{}
		s.counts[subject] = n
	}
	return n
}
