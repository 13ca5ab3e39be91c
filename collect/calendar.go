package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault"
)

// Scope is a tenant of a source, with the time zone in which its days are counted.
type Scope struct {
	Source *Source
	Tenant string
	Zone   *time.Location
}

// coverage is what was listed of a source, as it is known at now.
type coverage struct {
	source    *Source
	now       time.Time
	listings  []listing
	malformed []malformedItem
}

func (c *Collector) coverage(ctx context.Context, source *Source, now time.Time) (*coverage, error) {
	known := &coverage{source: source, now: now}
	var err error
	if known.listings, err = c.listings(ctx, source.Name, now); err != nil {
		return nil, err
	}
	known.malformed, err = c.malformedItems(ctx, source.Name)
	return known, err
}

// malformedIn is what of the lists over span could not be read.
func (k *coverage) malformedIn(span callvault.Span) []LackingRecording {
	var all []LackingRecording
	for _, m := range k.malformed {
		if m.From < span.To && span.From < m.To {
			all = append(all, LackingRecording{StartTime: max(m.From, span.From), Reason: m.reason})
		}
	}
	return all
}

// assess says how complete a day is whose recordings are counted.
func (k *coverage) assess(d *Day) {
	d.Lacking += len(k.malformedIn(d.span))
	wanted := callvault.Span{From: max(d.span.From, k.source.Since), To: min(d.span.To, k.now.UnixMilli())}
	d.State = stateOf(d, k.listings, wanted, k.source.Lookback, k.now)
}

// Calendar tells how complete the collecting of a tenant is for each day of its
// zone that meets span, from the source's first day, or the first recording's,
// until now. It counts what is missing and does not name it: Day does.
func (c *Collector) Calendar(ctx context.Context, scope *Scope, span callvault.Span, now time.Time) ([]Day, error) {
	known, err := c.coverage(ctx, scope.Source, now)
	if err != nil {
		return nil, err
	}
	return c.calendar(ctx, scope, known, span)
}

func (c *Collector) calendar(ctx context.Context, scope *Scope, known *coverage, span callvault.Span) ([]Day, error) {
	days, err := c.calendarDays(ctx, scope, known, span)
	if err != nil || len(days) == 0 {
		return []Day{}, err
	}
	counts, err := c.countDays(ctx, `items INDEXED BY items_by_day WHERE`, scope.Tenant, days)
	if err != nil {
		return nil, err
	}
	for i := range days {
		n := counts[days[i].Day]
		days[i].Listed, days[i].Held, days[i].Lacking = n.listed, n.held, n.lacking
		known.assess(&days[i])
	}
	return known.withoutEmptyStart(days), nil
}

// withoutEmptyStart leaves out the days before collecting begins on which nothing lies: a
// single recording that its source dates 1970 would make 20,000 of them.
func (k *coverage) withoutEmptyStart(days []Day) []Day {
	begins := k.source.Since
	if len(k.listings) > 0 {
		begins = min(begins, k.listings[0].From)
	}
	return slices.DeleteFunc(days, func(d Day) bool {
		return d.Listed == 0 && d.Lacking == 0 && d.span.To <= begins
	})
}

// CalendarStart is the first instant that a calendar tells of, in Unix milliseconds: the
// source's first day, or the first recording's; 0 when there is neither.
func (c *Collector) CalendarStart(ctx context.Context, scope *Scope) (ms int64, err error) {
	listings, err := c.listings(ctx, scope.Source.Name, time.Now())
	if err != nil {
		return 0, err
	}
	return c.firstDay(ctx, scope.Source, scope.Tenant, listings)
}

// calendarDays are the days that there is something to tell of, in order.
func (c *Collector) calendarDays(ctx context.Context, scope *Scope, known *coverage, span callvault.Span) ([]Day, error) {
	first, err := c.firstDay(ctx, scope.Source, scope.Tenant, known.listings)
	if err != nil || first == 0 {
		return nil, err
	}
	end := min(span.To, known.now.UnixMilli())
	var days []Day
	day := startOfDay(time.UnixMilli(max(first, span.From)).In(scope.Zone))
	for day.UnixMilli() < end {
		next := nextDay(day)
		days = append(days, Day{Day: day.Format(time.DateOnly), span: callvault.Span{From: day.UnixMilli(), To: next.UnixMilli()}})
		day = next
	}
	return days, nil
}

type dayCount struct{ listed, held, lacking int }

// countDays counts a tenant's recordings by day, in one statement over an index;
// from names it and what of it counts.
func (c *Collector) countDays(ctx context.Context, from, tenant string, days []Day) (map[string]dayCount, error) {
	args := []any{tenant, days[0].span.From, days[len(days)-1].span.To}
	number, args := dayNumber(days, args)
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT day, count(*), count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE `+lacking+`)
		FROM (SELECT `+number+` AS day, state FROM `+from+` tenant = $1 AND start_ms >= $2 AND start_ms < $3) AS starts GROUP BY day`, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger of %s: %w", tenant, err)
	}
	defer rows.Close()
	counts := map[string]dayCount{}
	for rows.Next() {
		var day int64
		var n dayCount
		if err := rows.Scan(&day, &n.listed, &n.held, &n.lacking); err != nil {
			return nil, fmt.Errorf("ledger of %s: %w", tenant, err)
		}
		counts[time.UnixMilli(day*dayMs).UTC().Format(time.DateOnly)] = n
	}
	return counts, rows.Err()
}

// clockShift is what must be added, from an instant on, to get from Unix milliseconds
// to those that a clock in UTC would show at the same time of day.
type clockShift struct{ from, add int64 }

// clockShifts are those of consecutive days: a new one where the clocks are set, and one
// for what a long day has beyond 24 hours, so that it stays within the day.
func clockShifts(days []Day) []clockShift {
	var all []clockShift
	put := func(from, add int64) {
		if n := len(all); n == 0 || all[n-1].add != add {
			all = append(all, clockShift{from, add})
		}
	}
	for i := range days {
		span := days[i].span
		midnight, err := time.Parse(time.DateOnly, days[i].Day)
		if err != nil {
			continue // it was written by Format
		}
		add := midnight.UnixMilli() - span.From
		put(span.From, add)
		if over := span.To - span.From - dayMs; over > 0 {
			put(span.From+dayMs, add-over)
		}
	}
	return all
}

// dayNumber is the SQL of the number of the day, since 1970, on which a recording
// starts, with its arguments after those that are there.
func dayNumber(days []Day, args []any) (string, []any) {
	all := clockShifts(days)
	if len(all) == 1 {
		args = append(args, all[0].add)
		return fmt.Sprintf("(start_ms + CAST($%d AS BIGINT)) / %d", len(args), dayMs), args
	}
	var text strings.Builder
	text.WriteString("(start_ms + CASE")
	for i := len(all) - 1; i > 0; i-- { // the newest days are asked for most
		args = append(args, all[i].from, all[i].add)
		fmt.Fprintf(&text, " WHEN start_ms >= $%d THEN CAST($%d AS BIGINT)", len(args)-1, len(args))
	}
	args = append(args, all[0].add)
	fmt.Fprintf(&text, " ELSE CAST($%d AS BIGINT) END) / %d", len(args), dayMs)
	return text.String(), args
}

// DayDetail is a day with what is missing of it, and what else became of its
// recordings: those that have no audio at the source yet, or no more, those that an
// operator has settled, and of what is held, what is doubtful, was told of
// otherwise later, or has vanished at the source.
type DayDetail struct {
	Day
	HeldBytes int64              `json:"heldBytes"`
	Pending   int                `json:"pending"`
	Deleted   int                `json:"deleted"`
	Doubtful  int                `json:"doubtful"`
	Changed   int                `json:"changed"`
	Vanished  int                `json:"vanished"`
	Settled   []LackingRecording `json:"settled"`
}

// Span is the day, from midnight to midnight in the zone of the scope.
func (d *Day) Span() callvault.Span { return d.span }

// Day tells of the one day, in the zone of the scope, in which the instant at lies.
// callvault.NotFound when there is nothing to tell of it.
func (c *Collector) Day(ctx context.Context, scope *Scope, at, now time.Time) (*DayDetail, error) {
	known, err := c.coverage(ctx, scope.Source, now)
	if err != nil {
		return nil, err
	}
	instant := callvault.Span{From: at.UnixMilli(), To: at.UnixMilli() + 1}
	days, err := c.calendarDays(ctx, scope, known, instant)
	if err != nil {
		return nil, err
	}
	if len(days) == 0 || days[0].span.From > instant.From {
		return nil, fmt.Errorf("nothing was collected of %s on %s: %w", scope.Tenant, at.In(scope.Zone).Format(time.DateOnly), callvault.NotFound)
	}
	d := &DayDetail{Day: days[0], Settled: []LackingRecording{}}
	d.Missing = []LackingRecording{}
	items, err := queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_by_day
		WHERE tenant = $1 AND start_ms >= $2 AND start_ms < $3 ORDER BY start_ms, recording_key`, scope.Tenant, d.span.From, d.span.To)
	for _, it := range items {
		d.count(it)
	}
	d.Lacking = len(d.Missing)
	d.Missing = append(d.Missing, known.malformedIn(d.span)...)
	known.assess(&d.Day)
	return d, err
}

func (d *DayDetail) count(it *item) {
	d.Listed++
	switch it.state {
	case held:
		d.Held++
		d.HeldBytes += it.size
	case due, quarantined, denied, missing:
		d.Missing = append(d.Missing, it.lacking())
	case settled:
		d.Settled = append(d.Settled, it.lacking())
	case noted:
		if it.status.Deleted() {
			d.Deleted++
		} else {
			d.Pending++
		}
	}
	for _, n := range []struct {
		is    bool
		count *int
	}{{it.doubt != "", &d.Doubtful}, {it.changedMs > 0, &d.Changed}, {it.vanishedMs > 0, &d.Vanished}} {
		if n.is {
			*n.count++
		}
	}
}

// DayOf is the day in which t lies, from midnight to midnight in t's own zone.
func DayOf(t time.Time) callvault.Span {
	day := startOfDay(t)
	return callvault.Span{From: day.UnixMilli(), To: nextDay(day).UnixMilli()}
}

// ParseDay is the day of a date such as 2024-02-12, from midnight to midnight in a
// zone. Where the clocks are set on at midnight it begins when they are.
func ParseDay(date string, zone *time.Location) (callvault.Span, error) {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return callvault.Span{}, fmt.Errorf("a day: %w", err)
	}
	return callvault.Span{From: inZone(day, zone).UnixMilli(), To: inZone(day.Add(24*time.Hour), zone).UnixMilli()}, nil
}
