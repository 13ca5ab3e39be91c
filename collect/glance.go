package collect

import (
	"context"
	"fmt"
	"time"

	"callvault"
)

// Glance is the state of collecting a tenant, as far as it can be told without a look at
// each of its recordings: it counts only what is lacking. Times are Unix milliseconds.
type Glance struct {
	Tenant         string `json:"tenant"`
	Source         string `json:"source"`
	State          string `json:"state"`
	Due            int64  `json:"due"`
	Quarantined    int64  `json:"quarantined"`
	Denied         int64  `json:"denied"`
	Missing        int64  `json:"missing"`
	ClosedUntil    *int64 `json:"closedUntil"`
	LastCompleteAt *int64 `json:"lastCompleteAt"`
	Days           []Day  `json:"days,omitempty"` // the latest; without Listed and Held
}

// Lacking returns how many recordings are offered and not held.
func (g *Glance) Lacking() int64 { return g.Due + g.Quarantined + g.Denied + g.Missing }

// Stale reports whether the tenant's last complete run is more than StaleAfter before now.
func (g *Glance) Stale(now time.Time) bool {
	return g.LastCompleteAt != nil && now.Sub(time.UnixMilli(*g.LastCompleteAt)) > StaleAfter
}

// GlanceQuery says what Glances returns: the tenants of Source for which Include is true,
// each with its last Days days in the zone that ZoneOf gives. ZoneOf is not needed if Days
// is 0.
type GlanceQuery struct {
	Source  *Source
	Include func(tenant string) bool
	ZoneOf  func(tenant string) *time.Location
	Days    int
}

// Glances returns the state of a source's tenants at now, in the order of their names.
func (c *Collector) Glances(ctx context.Context, query *GlanceQuery, now time.Time) ([]Glance, error) {
	known, err := c.coverage(ctx, query.Source, now)
	if err != nil {
		return nil, err
	}
	sites, err := c.sites(ctx, query.Source.Name)
	if err != nil {
		return nil, err
	}
	counts, err := c.countLacking(ctx)
	if err != nil {
		return nil, err
	}
	all := []Glance{}
	for _, s := range sites {
		if !query.Include(s.tenant) {
			continue
		}
		g := counts[s.tenant]
		if err := c.glance(ctx, s, known, &g); err != nil {
			return nil, err
		}
		if query.Days > 0 {
			scope := Scope{Source: query.Source, Tenant: s.tenant, Zone: query.ZoneOf(s.tenant)}
			if g.Days, err = c.latestDays(ctx, &scope, known, query.Days); err != nil {
				return nil, err
			}
		}
		all = append(all, g)
	}
	return all, nil
}

// countLacking counts what every tenant lacks.
func (c *Collector) countLacking(ctx context.Context) (map[string]Glance, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT tenant, count(*) FILTER (WHERE state = 'due'), count(*) FILTER (WHERE state = 'quarantined'),
		count(*) FILTER (WHERE state = 'denied'), count(*) FILTER (WHERE state = 'missing')
		FROM items INDEXED BY items_lacking WHERE `+lacking+` GROUP BY tenant`)
	if err != nil {
		return nil, fmt.Errorf("what is lacking: %w", err)
	}
	defer rows.Close()
	counts := map[string]Glance{}
	for rows.Next() {
		var g Glance
		if err := rows.Scan(&g.Tenant, &g.Due, &g.Quarantined, &g.Denied, &g.Missing); err != nil {
			return nil, fmt.Errorf("what is lacking: %w", err)
		}
		counts[g.Tenant] = g
	}
	return counts, rows.Err()
}

// glance completes the glance of a tenant whose lacking recordings have been counted.
func (c *Collector) glance(ctx context.Context, s *site, known *coverage, g *Glance) error {
	g.Tenant, g.Source, g.LastCompleteAt = s.tenant, s.source, s.lastComplete()
	var err error
	if g.ClosedUntil, err = c.closedUntil(ctx, s, known, g.Lacking() > 0); err != nil {
		return err
	}
	var pending bool
	err = c.db.Reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM items INDEXED BY items_pending
		WHERE tenant = $1 AND state = 'noted' AND status = 'PENDING')`, s.tenant).Scan(&pending)
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", s.tenant, err)
	}
	g.State = known.sumUp(g.Lacking() > 0, pending)
	return nil
}

// sumUp returns the state of a tenant as a whole, in the words for a day.
func (k *coverage) sumUp(lacks, pending bool) string {
	past := callvault.Span{From: k.source.Since, To: k.now.Add(-24 * time.Hour).UnixMilli()}
	covered, _ := cover(k.listings, past, k.source.Lookback)
	switch {
	case lacks || len(k.malformed) > 0:
		return DayIncomplete
	case len(k.listings) == 0:
		return DayUnknown
	case !past.Empty() && covered < past.To-past.From:
		return DayUnknown
	case pending:
		return DaySoFar
	}
	return DayComplete
}

// latestDays returns a tenant's last n days, counting only the recordings that are
// lacking.
func (c *Collector) latestDays(ctx context.Context, scope *Scope, known *coverage, n int) ([]Day, error) {
	span := callvault.Span{From: known.now.In(scope.Zone).AddDate(0, 0, 1-n).UnixMilli(), To: callvault.MaxTime}
	days, err := c.calendarDays(ctx, scope, known, span)
	if err != nil || len(days) == 0 {
		return nil, err
	}
	counts, err := c.countDays(ctx, `items INDEXED BY items_lacking WHERE `+lacking+` AND urgency IN (0, 1) AND`, scope.Tenant, days)
	if err != nil {
		return nil, err
	}
	for i := range days {
		days[i].Lacking = counts[days[i].Day].lacking
		known.assess(&days[i])
	}
	return known.withoutEmptyStart(days), nil
}
