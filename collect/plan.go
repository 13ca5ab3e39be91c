package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"callvault/meter"
)

// Plan is what a run over a source would do, were it begun now.
type Plan struct {
	Recordings int64        `json:"recordings"`
	Bytes      int64        `json:"bytes"`
	Seconds    int64        `json:"seconds"`
	FinishAt   int64        `json:"finishAt"` // Unix milliseconds
	DiskFree   *int64       `json:"diskFree"` // bytes; null where nobody knows
	Tenants    []TenantPlan `json:"tenants"`
	Problems   []Problem    `json:"problems"`
}

// TenantPlan is what a run would do for one tenant. CapReachedAt is when its
// egress limit would stop it for a while; null when it would not, or the limit is
// not known.
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

// Add puts a tenant into the plan. Tenants are fetched side by side.
func (p *Plan) Add(t TenantPlan) {
	p.Recordings, p.Bytes = p.Recordings+t.Recordings, p.Bytes+t.Bytes
	p.Seconds, p.FinishAt = max(p.Seconds, t.Seconds), max(p.FinishAt, t.FinishAt)
	p.Tenants = append(p.Tenants, t)
}

// Plan asks for the run's lists, and for nothing else, and tells what the run
// would fetch. It is called in place of Wait.
func (r *Run) Plan(ctx context.Context) (*Plan, error) {
	defer r.release()
	defer r.Stop()
	r.launch = func(context.Context, *turn) error { return nil }
	if err := r.beginKnown(ctx); err != nil {
		return nil, err
	}
	err := r.listAll(ctx)
	if restErr := r.savePaces(context.WithoutCancel(ctx)); err == nil {
		err = restErr
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

// listsToCome is how many lists a run would ask for, before it fetches.
func (r *Run) listsToCome(ctx context.Context) (int64, error) {
	spans, err := r.spansToList(ctx)
	if r.lists.noCalls {
		return int64(len(spans)) + 1, err // each run asks for calls once
	}
	return int64(len(spans)), err
}

// plan tells what the turn would do, by going through it in thought, after so many
// lists.
func (t *turn) plan(ctx context.Context, now, lists int64) (TenantPlan, error) {
	one := TenantPlan{Tenant: t.site.tenant, Source: t.r.source.Name}
	course, err := t.simulate(ctx, now, lists)
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
		course.fetch(size)
	}
	one.Requests = one.Recordings
	if len(t.r.turns) == 1 { // its lists are at its own pace
		one.Requests += lists
	}
	one.FinishAt = max(now, course.lastAt)
	one.Seconds = (one.FinishAt - now + 999) / 1000
	if course.cappedAt > 0 {
		one.CapReachedAt = &course.cappedAt
	}
	return one, rows.Err()
}

// simulation is a turn gone through in thought.
type simulation struct {
	lastAt   int64 // the last request, in Unix milliseconds
	nextAt   int64
	step     int64
	ledger   *meter.Ledger
	limit    int64
	limited  bool
	cappedAt int64
}

// timing is when the next request may be made, and the time between requests: the
// pace, or a third of a burst.
func (t *turn) timing(now int64) (next, step int64) {
	_, next = t.pacer.snapshot()
	t.mu.Lock()
	defer t.mu.Unlock()
	step = t.r.source.Pace.Milliseconds()
	if !t.r.source.OwnServer {
		step = max(step, (burstWindow.Milliseconds()+2)/3)
	}
	return max(now, next, t.site.closedMs), step
}

// simulate begins a turn in thought, with so many lists.
func (t *turn) simulate(ctx context.Context, now, lists int64) (*simulation, error) {
	ledger, err := t.r.c.ledgerOf(ctx, t.site.tenant)
	if err != nil {
		return nil, err
	}
	c := &simulation{ledger: ledger}
	c.nextAt, c.step = t.timing(now)
	if lists > 0 {
		_, first := t.r.listPacer().snapshot()
		c.lastAt = max(now, first) + (lists-1)*c.step
		c.nextAt = max(c.nextAt, c.lastAt+c.step)
	}
	c.limit, c.limited = t.site.limit(t.r.source)
	return c, nil
}

// fetch takes a recording of so many bytes.
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
	c.nextAt = c.lastAt + c.step
}
