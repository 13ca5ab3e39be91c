package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault"
)

// Scope is a tenant of a source, with the time zone of its days.
type Scope struct {
	Source *Source
	Tenant string
	Zone   *time.Location
}

// coverage is what is known at now of a source's lists.
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

// malformedIn returns the malformed items of the lists that cover part of span.
func (k *coverage) malformedIn(span callvault.Span) []LackingRecording {
	var all []LackingRecording
	for _, m := range k.malformed {
		if m.From < span.To && span.From < m.To {
			all = append(all, LackingRecording{StartTime: max(m.From, span.From), Reason: m.reason})
		}
	}
	return all
}

// assess sets how complete a day is, whose recordings have been counted.
func (k *coverage) assess(d *Day) {
	d.Lacking += len(k.malformedIn(d.span))
	wanted := callvault.Span{From: max(d.span.From, k.source.Since), To: min(d.span.To, k.now.UnixMilli())}
	d.State = stateOf(d, k.listings, wanted, k.source.Lookback, k.now)
}

// Calendar reports how complete the collecting of a tenant is for each day of its
// zone that overlaps span, from the source's first day, or the first recording's,
// until now. It counts what is lacking without naming it; Day does that.
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

// withoutEmptyStart leaves out empty days before collecting begins: a single recording
// that its source dates 1970 would cause 20,000 of them.
func (k *coverage) withoutEmptyStart(days []Day) []Day {
	begins := k.source.Since
	if len(k.listings) > 0 {
		begins = min(begins, k.listings[0].From)
	}
	return slices.DeleteFunc(days, func(d Day) bool {
		return d.Listed == 0 && d.Lacking == 0 && d.span.To <= begins
	})
}

// CalendarStart returns the first instant of a calendar, in Unix milliseconds: of the
// source's first day, or of the first recording; 0 if there is neither.
func (c *Collector) CalendarStart(ctx context.Context, scope *Scope) (ms int64, err error) {
	listings, err := c.listings(ctx, scope.Source.Name, time.Now())
	if err != nil {
		return 0, err
	}
	return c.firstDay(ctx, scope.Source, scope.Tenant, listings)
}

// calendarDays returns the days of a calendar that overlap span, in order, without counts.
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

// countDays counts a tenant's recordings by day, in one statement over an index. from is
// the SQL that names the index and what to count of it.
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

// clockShift says what to add to Unix milliseconds, from an instant on, to get the Unix
// milliseconds at which UTC has the same date and time of day.
type clockShift struct{ from, add int64 }

// clockShifts returns the shifts of consecutive days: a new one whenever the clocks are
// set, and one for what a long day has beyond 24 hours, so that it stays within its day.
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
			continue // cannot happen: Format wrote it
		}
		add := midnight.UnixMilli() - span.From
		put(span.From, add)
		if over := span.To - span.From - dayMs; over > 0 {
			put(span.From+dayMs, add-over)
		}
	}
	return all
}

// dayNumber returns the SQL for the number, since 1970, of the day on which a recording
// starts. Its arguments are appended to args.
func dayNumber(days []Day, args []any) (string, []any) {
	all := clockShifts(days)
	if len(all) == 1 {
		args = append(args, all[0].add)
		return fmt.Sprintf("(start_ms + CAST($%d AS BIGINT)) / %d", len(args), dayMs), args
	}
	var text strings.Builder
	text.WriteString("(start_ms + CASE")
	for i := len(all) - 1; i > 0; i-- { // the newest first: they match most often
		args = append(args, all[i].from, all[i].add)
		fmt.Fprintf(&text, " WHEN start_ms >= $%d THEN CAST($%d AS BIGINT)", len(args)-1, len(args))
	}
	args = append(args, all[0].add)
	fmt.Fprintf(&text, " ELSE CAST($%d AS BIGINT) END) / %d", len(args), dayMs)
	return text.String(), args
}

// DayDetail is a day with what is missing, and what became of its recordings: how many
// have no audio at the source yet (Pending) or any longer (Deleted), are doubtful, have
// changed since they were held, or have vanished at the source; and which an operator has
// settled.
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

// Span returns the day's stretch of time, from midnight to midnight in the scope's zone.
func (d *Day) Span() callvault.Span { return d.span }

// Day reports on the day, in the scope's zone, in which the instant at lies. The error is
// callvault.NotFound if the calendar does not have that day.
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

// DayOf returns the day in which t lies, from midnight to midnight in t's zone.
func DayOf(t time.Time) callvault.Span {
	day := startOfDay(t)
	return callvault.Span{From: day.UnixMilli(), To: nextDay(day).UnixMilli()}
}

// ParseDay returns the day of a date such as 2024-02-12, from midnight to midnight in a
// zone. If the clocks are set forward at midnight, it begins at that moment.
func ParseDay(date string, zone *time.Location) (callvault.Span, error) {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return callvault.Span{}, fmt.Errorf("a day: %w", err)
	}
	return callvault.Span{From: inZone(day, zone).UnixMilli(), To: inZone(day.Add(24*time.Hour), zone).UnixMilli()}, nil
}
