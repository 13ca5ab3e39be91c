package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"callvault/meter"
)

// Plan is what a run over a source would do if it began now.
type Plan struct {
	Recordings int64        `json:"recordings"`
	Bytes      int64        `json:"bytes"`
	Seconds    int64        `json:"seconds"`
	FinishAt   int64        `json:"finishAt"` // Unix milliseconds
	DiskFree   *int64       `json:"diskFree"` // bytes; null if unknown
	Tenants    []TenantPlan `json:"tenants"`
	Problems   []Problem    `json:"problems"`
}

// TenantPlan is what a run would do for one tenant. CapReachedAt is when its egress
// limit would stop it for a while; null if it would not, or the limit is not known.
type TenantPlan struct {
	Tenant       string `json:"tenant"`
	Source       string `json:"source"`
	Recordings   int64  `json:"recordings"`
	Bytes        int64  `json:"bytes"`
	Requests     int64  `json:"requests"`
	Seconds      int64  `json:"seconds"`
	ClosedUntil  *int64 `json:"closedUntil"`
	CapReachedAt *int64 `json:"capReachedAt"`
	FinishAt     int64  `json:"finishAt"`
}

// Add adds a tenant to the plan. Tenants are fetched side by side.
func (p *Plan) Add(t TenantPlan) {
	p.Recordings, p.Bytes = p.Recordings+t.Recordings, p.Bytes+t.Bytes
	p.Seconds, p.FinishAt = max(p.Seconds, t.Seconds), max(p.FinishAt, t.FinishAt)
	p.Tenants = append(p.Tenants, t)
}

// Plan requests the run's lists, and nothing else, and returns what the run would fetch.
// It is called in place of Wait.
func (r *Run) Plan(ctx context.Context) (*Plan, error) {
	defer r.release()
	defer r.Stop()
	r.launch = func(context.Context, *turn) error { return nil }
	err := r.beginKnown(ctx)
	if err == nil {
		err = r.listAll(ctx)
	}
	if saveErr := r.savePaces(context.WithoutCancel(ctx)); err == nil {
		err = saveErr
	}
	if err != nil {
		return nil, err
	}
	plan := &Plan{FinishAt: time.Now().UnixMilli(), Tenants: []TenantPlan{}, Problems: append([]Problem{}, r.problems...)}
	lists, err := r.listsToCome(ctx)
	if err != nil {
		return nil, err
	}
	for _, tenant := range slices.Sorted(maps.Keys(r.turns)) {
		one, err := r.turns[tenant].plan(ctx, time.Now().UnixMilli(), lists)
		if err != nil {
			return nil, err
		}
		plan.Add(one)
	}
	return plan, nil
}

// listsToCome returns how many lists a run would request before it fetches.
func (r *Run) listsToCome(ctx context.Context) (int64, error) {
	spans, err := r.spansToList(ctx)
	if r.lists.noCalls {
		return int64(len(spans)) + 1, err // each run tries call-recording-info once
	}
	return int64(len(spans)), err
}

// plan returns what the turn would do after so many lists, by simulating it.
func (t *turn) plan(ctx context.Context, now, lists int64) (TenantPlan, error) {
	one := TenantPlan{Tenant: t.site.tenant, Source: t.r.source.Name}
	sim, err := t.simulate(ctx, now, lists)
	if err != nil {
		return one, err
	}
	rows, err := t.r.c.db.Reader.QueryContext(ctx, `SELECT size FROM items INDEXED BY items_lacking WHERE tenant = $1
		AND `+lacking+` AND (state IN ('due', 'quarantined') OR start_ms >= $2 OR failed_ms >= $2)
		ORDER BY urgency, start_ms DESC, recording_key`, t.site.tenant, now-t.r.source.Lookback.Milliseconds())
	if err != nil {
		return one, fmt.Errorf("ledger of %s: %w", t.site.tenant, err)
	}
	defer rows.Close()
	if t.site.closedMs > now {
		one.ClosedUntil = &t.site.closedMs
	}
	for rows.Next() {
		var size int64
		if err := rows.Scan(&size); err != nil {
			return one, fmt.Errorf("ledger of %s: %w", t.site.tenant, err)
		}
		one.Recordings, one.Bytes = one.Recordings+1, one.Bytes+size
		sim.fetch(size)
	}
	one.Requests = one.Recordings
	if len(t.r.turns) == 1 { // lists share its pace
		one.Requests += lists
	}
	one.FinishAt = max(now, sim.lastAt)
	one.Seconds = (one.FinishAt - now + 999) / 1000
	if sim.cappedAt > 0 {
		one.CapReachedAt = &sim.cappedAt
	}
	return one, rows.Err()
}

// simulation goes through a turn without making requests. Times are Unix milliseconds.
type simulation struct {
	lastAt   int64 // when the last request would be made
	nextAt   int64 // when the next request could be made
	interval int64 // between requests
	ledger   *meter.Ledger
	limit    int64 // of egress, in bytes
	limited  bool  // limit is known
	cappedAt int64 // when the limit would first stop the turn; 0 if it would not
}

// timing returns when the next request may be made, and the average time between
// requests in milliseconds: the pace, or a third of burstWindow if that is longer.
func (t *turn) timing(now int64) (next, interval int64) {
	_, next = t.pacer.snapshot()
	t.mu.Lock()
	defer t.mu.Unlock()
	interval = t.r.source.Pace.Milliseconds()
	if !t.r.source.OwnServer {
		interval = max(interval, (burstWindow.Milliseconds()+2)/3)
	}
	return max(now, next, t.site.closedMs), interval
}

// simulate begins the simulation of the turn, with the requests for so many lists.
func (t *turn) simulate(ctx context.Context, now, lists int64) (*simulation, error) {
	ledger, err := t.r.c.ledgerOf(ctx, t.site.tenant)
	if err != nil {
		return nil, err
	}
	c := &simulation{ledger: ledger}
	c.nextAt, c.interval = t.timing(now)
	if lists > 0 {
		_, first := t.r.listPacer().snapshot()
		c.lastAt = max(now, first) + (lists-1)*c.interval
		c.nextAt = max(c.nextAt, c.lastAt+c.interval)
	}
	c.limit, c.limited = t.site.limit(t.r.source)
	return c, nil
}

// fetch simulates fetching a recording of size bytes.
func (c *simulation) fetch(size int64) {
	c.lastAt = c.nextAt
	if c.limited {
		if free, fits := c.ledger.FreesAt(c.limit, size, c.lastAt); fits && free > c.lastAt {
			if c.cappedAt == 0 {
				c.cappedAt = c.lastAt
			}
			c.lastAt = free
		}
		c.ledger.Add(size, c.lastAt)
	}
	c.nextAt = c.lastAt + c.interval
}
