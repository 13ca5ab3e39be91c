package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"callvault/database"
	"callvault/meter"
)

// SourceStatus is how the collecting of a source stands (contract of status
// --json). Times are Unix milliseconds.
type SourceStatus struct {
	Source    string   `json:"source"`
	URL       string   `json:"url"`
	Running   bool     `json:"running"`
	Runner    string   `json:"runner"` // who runs, in words; "" when nobody does
	LastRun   *LastRun `json:"lastRun"`
	NextRunAt *int64   `json:"nextRunAt"`
	// Settled is how many malformed items of its lists were given up.
	Settled int64 `json:"settled"`
	// LastSuccessAt is when the last run ended that was not failed or stopped, and to
	// which a list came.
	LastSuccessAt *int64 `json:"lastSuccessAt"`
}

// Silent tells whether no run has succeeded for too long at now.
func (s *SourceStatus) Silent(now time.Time) bool {
	return s.LastSuccessAt != nil && now.Sub(time.UnixMilli(*s.LastSuccessAt)) > SilentAfter
}

// LastRun is what came of the last run that ended.
type LastRun struct {
	StartedAt int64  `json:"startedAt"`
	EndedAt   int64  `json:"endedAt"`
	Result    Result `json:"result"`
	Error     string `json:"error"`
}

// TenantStatus is how the collecting of a tenant stands.
type TenantStatus struct {
	Tenant         string `json:"tenant"`
	Source         string `json:"source"`
	Held           int64  `json:"held"`
	HeldBytes      int64  `json:"heldBytes"`
	Due            int64  `json:"due"`
	DueBytes       int64  `json:"dueBytes"`
	Quarantined    int64  `json:"quarantined"`
	Doubtful       int64  `json:"doubtful"`
	Denied         int64  `json:"denied"`
	Missing        int64  `json:"missing"`
	Pending        int64  `json:"pending"`
	Deleted        int64  `json:"deleted"`
	Changed        int64  `json:"changed"`
	Vanished       int64  `json:"vanished"`
	Settled        int64  `json:"settled"`
	ClosedUntil    *int64 `json:"closedUntil"`
	EgressUsed     int64  `json:"egressUsed"`
	EgressLimit    *int64 `json:"egressLimit"`
	LastCompleteAt *int64 `json:"lastCompleteAt"`
	State          string `json:"state"`
	Days           []Day  `json:"days,omitempty"`
}

// SourceStatus tells how a source stands. URL and NextRunAt are the caller's.
func (c *Collector) SourceStatus(ctx context.Context, source string) (SourceStatus, error) {
	s := SourceStatus{Source: source}
	var err error
	if s.Runner, err = c.runner(ctx, source); err != nil {
		return s, err
	}
	s.Running = s.Runner != ""
	if err := c.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM given_up WHERE source = $1`, source).Scan(&s.Settled); err != nil {
		return s, fmt.Errorf("source %s: %w", source, err)
	}
	last, succeeded := LastRun{}, int64(0)
	err = c.db.Reader.QueryRowContext(ctx, `SELECT started_ms, ended_ms, result, error, complete_ms FROM sources WHERE name = $1 AND ended_ms > 0`, source).
		Scan(&last.StartedAt, &last.EndedAt, &last.Result, &last.Error, &succeeded)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("source %s: %w", source, err)
	}
	s.LastRun = &last
	if succeeded > 0 {
		s.LastSuccessAt = &succeeded
	}
	return s, nil
}

// runner tells who runs over the source; "" when nobody does. Its lock is tried only
// when the last run did not end in order, so that asking keeps no run from it.
func (c *Collector) runner(ctx context.Context, source string) (string, error) {
	var resting bool
	err := c.db.Reader.QueryRowContext(ctx, `SELECT resting FROM sources WHERE name = $1`, source).Scan(&resting)
	if errors.Is(err, sql.ErrNoRows) || err == nil && resting {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("source %s: %w", source, err)
	}
	release, err := c.db.Lock("source "+source, nil)
	var taken database.Held
	if errors.As(err, &taken) {
		return taken.Holder, nil
	}
	if err == nil {
		release()
	}
	return "", err
}

// opens is when a tenant opens for what is due next; in the past when it is open.
func (c *Collector) opens(ctx context.Context, s *site, source *Source, ledger *meter.Ledger, now int64) (int64, error) {
	next, err := c.nextDue(ctx, s.tenant, math.MaxInt64, now-source.Lookback.Milliseconds(), 1)
	if err != nil || len(next) == 0 {
		return s.closedMs, err
	}
	return s.opens(source, ledger, next[0].size, now), nil
}

// TenantStatuses tells how the tenants of the source stand at now.
func (c *Collector) TenantStatuses(ctx context.Context, source *Source, now time.Time) ([]TenantStatus, error) {
	sites, err := c.sites(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	statuses := []TenantStatus{}
	for _, s := range sites {
		one, err := c.tenantStatus(ctx, s, source, now)
		if err != nil {
			return nil, err
		}
		statuses = append(statuses, one)
	}
	return statuses, nil
}

func (c *Collector) tenantStatus(ctx context.Context, s *site, source *Source, now time.Time) (TenantStatus, error) {
	t := TenantStatus{Tenant: s.tenant, Source: s.source}
	err := c.db.Reader.QueryRowContext(ctx, `SELECT
		count(*) FILTER (WHERE state = 'held'), coalesce(sum(CASE WHEN state = 'held' THEN size ELSE 0 END), 0),
		count(*) FILTER (WHERE state = 'due'), coalesce(sum(CASE WHEN state = 'due' THEN size ELSE 0 END), 0),
		count(*) FILTER (WHERE state = 'quarantined'), count(*) FILTER (WHERE doubt <> ''), count(*) FILTER (WHERE state = 'denied'),
		count(*) FILTER (WHERE state = 'missing'), count(*) FILTER (WHERE state = 'noted' AND status = 'PENDING'),
		count(*) FILTER (WHERE state = 'noted' AND status LIKE 'DELETED%'), count(*) FILTER (WHERE changed_ms > 0),
		count(*) FILTER (WHERE vanished_ms > 0), (SELECT count(DISTINCT recording_key) FROM settlements WHERE tenant = $1)
		FROM items WHERE tenant = $1`, s.tenant).
		Scan(&t.Held, &t.HeldBytes, &t.Due, &t.DueBytes, &t.Quarantined, &t.Doubtful, &t.Denied,
			&t.Missing, &t.Pending, &t.Deleted, &t.Changed, &t.Vanished, &t.Settled)
	if err != nil {
		return t, fmt.Errorf("ledger of %s: %w", s.tenant, err)
	}
	ledger, err := c.ledgerOf(ctx, s.tenant)
	if err != nil {
		return t, err
	}
	t.EgressUsed = ledger.Use(now.UnixMilli())
	if limit, known := s.limit(source); known {
		t.EgressLimit = &limit
	}
	if at, err := c.opens(ctx, s, source, ledger, now.UnixMilli()); err != nil {
		return t, err
	} else if at > now.UnixMilli() {
		t.ClosedUntil = &at
	}
	if s.completeMs > 0 {
		t.LastCompleteAt = &s.completeMs
	}
	known, err := c.coverage(ctx, source, now)
	if err != nil {
		return t, err
	}
	t.State = known.sumUp(t.Due+t.Quarantined+t.Denied+t.Missing > 0, t.Pending > 0)
	return t, nil
}

// Egress is the audio bytes that a source has sent of a tenant in the last five
// days, and what it allows; nil where that is not known.
type Egress struct {
	Tenant string `json:"tenant"`
	Used   int64  `json:"used"`
	Limit  *int64 `json:"limit"`
}

// Egress tells what a source has sent, of each of its tenants.
func (c *Collector) Egress(ctx context.Context, source *Source, now time.Time) ([]Egress, error) {
	sites, err := c.sites(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	used, err := c.fetched(ctx, now)
	if err != nil {
		return nil, err
	}
	all := []Egress{}
	for _, s := range sites {
		e := Egress{Tenant: s.tenant, Used: used[s.tenant]}
		if limit, known := s.limit(source); known {
			e.Limit = &limit
		}
		all = append(all, e)
	}
	return all, nil
}
