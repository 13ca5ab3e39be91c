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

// SourceStatus is the state of collecting from a source, as status --json prints it.
// Times are Unix milliseconds.
type SourceStatus struct {
	Source    string   `json:"source"`
	URL       string   `json:"url"`
	Running   bool     `json:"running"`
	Runner    string   `json:"runner"` // which process runs over it, in words; "" if none does
	LastRun   *LastRun `json:"lastRun"`
	NextRunAt *int64   `json:"nextRunAt"`
	// Settled is how many malformed items of its lists an operator gave up.
	Settled int64 `json:"settled"`
	// LastSuccessAt is when the last run ended that neither failed nor was stopped, and
	// that got a list.
	LastSuccessAt *int64 `json:"lastSuccessAt"`
}

// Silent reports whether the last successful run is more than SilentAfter before now.
func (s *SourceStatus) Silent(now time.Time) bool {
	return s.LastSuccessAt != nil && now.Sub(time.UnixMilli(*s.LastSuccessAt)) > SilentAfter
}

// LastRun says what came of the last run that ended.
type LastRun struct {
	StartedAt int64  `json:"startedAt"`
	EndedAt   int64  `json:"endedAt"`
	Result    Result `json:"result"`
	Error     string `json:"error"`
}

// TenantStatus is the state of collecting a tenant, as status --json prints it.
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

// SourceStatus returns the state of a source. The caller fills in URL and NextRunAt.
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

// runner returns which process runs over the source; "" if none does. It tries the
// source's lock only if the last run has not ended in order, so that asking does not keep
// a run from starting.
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

// opensForNext returns when a tenant opens for its next item; a time in the past if it is
// open.
func (c *Collector) opensForNext(ctx context.Context, s *site, source *Source, ledger *meter.Ledger, now int64) (int64, error) {
	next, err := c.nextDue(ctx, s.tenant, math.MaxInt64, now-source.Lookback.Milliseconds(), 1)
	if err != nil || len(next) == 0 {
		return s.closedMs, err
	}
	return s.opensAt(source, ledger, next[0].size, now), nil
}

// TenantStatuses returns the state of each tenant of the source at now. It reads counts
// that are kept up to date as recordings are written.
func (c *Collector) TenantStatuses(ctx context.Context, source *Source, now time.Time) ([]TenantStatus, error) {
	sites, err := c.sites(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	tallies, err := c.tallies(ctx)
	if err != nil {
		return nil, err
	}
	used, err := c.fetched(ctx, now)
	if err != nil {
		return nil, err
	}
	known, err := c.coverage(ctx, source, now)
	if err != nil {
		return nil, err
	}
	statuses := []TenantStatus{}
	for _, s := range sites {
		t := tallies[s.tenant]
		t.EgressUsed = used[s.tenant]
		if err := c.tenantStatus(ctx, s, known, &t); err != nil {
			return nil, err
		}
		statuses = append(statuses, t)
	}
	return statuses, nil
}

// tallies returns how many recordings of each tenant are in which state, and nothing else
// of the tenant's status.
func (c *Collector) tallies(ctx context.Context) (map[string]TenantStatus, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT tenant, standing, doubtful, changed, vanished, recordings, bytes, 0 FROM tallies
		UNION ALL SELECT tenant, '', FALSE, FALSE, FALSE, 0, 0, count(DISTINCT recording_key) FROM settlements GROUP BY tenant`)
	if err != nil {
		return nil, fmt.Errorf("tallies: %w", err)
	}
	defer rows.Close()
	all := map[string]TenantStatus{}
	for rows.Next() {
		var one tally
		if err := rows.Scan(&one.tenant, &one.standing, &one.doubtful, &one.changed, &one.vanished, &one.recordings, &one.bytes, &one.settled); err != nil {
			return nil, fmt.Errorf("tallies: %w", err)
		}
		t := all[one.tenant]
		one.addTo(&t)
		all[one.tenant] = t
	}
	return all, rows.Err()
}

// tally counts the recordings of a tenant that are in the same state.
type tally struct {
	tenant, standing            string
	doubtful, changed, vanished bool
	recordings, bytes, settled  int64
}

func (one *tally) addTo(t *TenantStatus) {
	switch one.standing {
	case string(held):
		t.Held, t.HeldBytes = t.Held+one.recordings, t.HeldBytes+one.bytes
	case string(due):
		t.Due, t.DueBytes = t.Due+one.recordings, t.DueBytes+one.bytes
	case string(quarantined):
		t.Quarantined += one.recordings
	case string(denied):
		t.Denied += one.recordings
	case string(missing):
		t.Missing += one.recordings
	case "pending":
		t.Pending += one.recordings
	case "deleted":
		t.Deleted += one.recordings
	}
	for _, mark := range []struct {
		is    bool
		count *int64
	}{{one.doubtful, &t.Doubtful}, {one.changed, &t.Changed}, {one.vanished, &t.Vanished}} {
		if mark.is {
			*mark.count += one.recordings
		}
	}
	t.Settled += one.settled
}

// tenantStatus completes the status of a tenant whose recordings have been counted.
func (c *Collector) tenantStatus(ctx context.Context, s *site, known *coverage, t *TenantStatus) error {
	t.Tenant, t.Source, t.LastCompleteAt = s.tenant, s.source, s.lastComplete()
	if limit, is := s.limit(known.source); is {
		t.EgressLimit = &limit
	}
	lacks := t.Due+t.Quarantined+t.Denied+t.Missing > 0
	t.State = known.sumUp(lacks, t.Pending > 0)
	var err error
	t.ClosedUntil, err = c.closedUntil(ctx, s, known, lacks)
	return err
}

// closedUntil returns when a tenant opens: if it lacks something, for its next item. It is
// nil if the tenant is open.
func (c *Collector) closedUntil(ctx context.Context, s *site, known *coverage, lacks bool) (*int64, error) {
	closed, now := s.closedMs, known.now.UnixMilli()
	if lacks {
		ledger, err := c.ledgerOf(ctx, s.tenant)
		if err != nil {
			return nil, err
		}
		if closed, err = c.opensForNext(ctx, s, known.source, ledger, now); err != nil {
			return nil, err
		}
	}
	if closed <= now {
		return nil, nil
	}
	return &closed, nil
}

// lastComplete returns when the last run began after which nothing was lacking; nil if
// there was none.
func (s *site) lastComplete() *int64 {
	if s.completeMs == 0 {
		return nil
	}
	return &s.completeMs
}

// Egress is how many audio bytes of a tenant a source has sent in the last five days, and
// its limit; nil if that is not known.
type Egress struct {
	Tenant string `json:"tenant"`
	Used   int64  `json:"used"`
	Limit  *int64 `json:"limit"`
}

// Egress returns the egress of each tenant of a source.
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
