package collect

import (
	"context"
	"fmt"
	"time"

	"callvault"
)

// How complete a day is.
const (
	DayComplete   = "complete"        // all that was offered is held, and nothing late can come
	DaySoFar      = "complete so far" // the same, but late recordings may come
	DayIncomplete = "incomplete"      // something that is offered is not held
	DayUnknown    = "unknown"         // not listed, or not all of it
)

// Day is how complete the collecting of a tenant is for a day. Listed counts the
// recordings that the source told of, Held those whose audio is here.
type Day struct {
	Day     string   `json:"day"`
	State   string   `json:"state"`
	Listed  int      `json:"listed"`
	Held    int      `json:"held"`
	Missing []Lacked `json:"missing"`
}

// Lacked is a recording that is offered and not held, and why.
type Lacked struct {
	RecordingKey string `json:"recordingKey"`
	Reason       string `json:"reason"`
}

// Days tells how complete the collecting of a tenant is, day by day in zone, from
// the source's first day, or the first recording's, until now.
func (c *Collector) Days(ctx context.Context, source *Source, tenant string, zone *time.Location, now time.Time) ([]Day, error) {
	listings, err := c.listings(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	first, err := c.firstDay(ctx, source, tenant, listings)
	if err != nil || first == 0 {
		return []Day{}, err
	}
	malformed, err := c.malformed(ctx, source.Name)
	if err != nil {
		return nil, err
	}
	days := []Day{}
	day := startOfDay(time.UnixMilli(first).In(zone))
	for ; day.Before(now); day = nextDay(day) {
		span := callvault.Span{From: day.UnixMilli(), To: nextDay(day).UnixMilli()}
		one, err := c.day(ctx, tenant, span)
		if err != nil {
			return nil, err
		}
		one.Day = day.Format(time.DateOnly)
		for _, m := range malformed {
			if m.From < span.To && span.From < m.To {
				one.Missing = append(one.Missing, Lacked{Reason: m.reason})
			}
		}
		wanted := callvault.Span{From: max(span.From, source.Since), To: min(span.To, now.UnixMilli())}
		one.State = stateOf(&one, listings, wanted, source.Lookback, now)
		days = append(days, one)
	}
	return days, nil
}

// firstDay is the first instant to tell of; 0 when nothing was listed and there is
// no first day to begin with.
func (c *Collector) firstDay(ctx context.Context, source *Source, tenant string, listings []listing) (ms int64, err error) {
	err = c.db.Reader.QueryRowContext(ctx, `SELECT coalesce(min(start_ms), 0) FROM items INDEXED BY items_by_day WHERE tenant = $1`, tenant).Scan(&ms)
	if err != nil {
		return 0, fmt.Errorf("ledger of %s: %w", tenant, err)
	}
	switch {
	case source.Since > 0 && (ms == 0 || source.Since < ms):
		ms = source.Since
	case ms == 0 && len(listings) > 0:
		ms = listings[0].From
	}
	return ms, nil
}

// day counts what is known of a tenant's recordings that start in span.
func (c *Collector) day(ctx context.Context, tenant string, span callvault.Span) (Day, error) {
	one := Day{Missing: []Lacked{}}
	items, err := queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_by_day WHERE tenant = $1 AND start_ms >= $2 AND start_ms < $3
		ORDER BY start_ms, recording_key`, tenant, span.From, span.To)
	for _, it := range items {
		one.Listed++
		switch it.state {
		case held:
			one.Held++
		case due, quarantined, denied, missing:
			one.Missing = append(one.Missing, Lacked{it.key, it.why()})
		}
	}
	return one, err
}

// awaited is how long ago the last run may have been, so that what came since
// makes a day not unknown.
const awaited = 24 * time.Hour

// stateOf says how complete a day is of which span was to be listed by now.
func stateOf(d *Day, listings []listing, span callvault.Span, lookback time.Duration, now time.Time) string {
	covered, final := cover(listings, span, lookback)
	var last int64
	if len(listings) > 0 {
		last = listings[len(listings)-1].To
	}
	lately := last > span.From && last > now.Add(-awaited).UnixMilli()
	switch {
	case len(d.Missing) > 0:
		return DayIncomplete
	case covered > 0 && final:
		return DayComplete
	case covered > 0 && (covered == span.To-span.From || lately && covered == last-span.From):
		return DaySoFar
	}
	return DayUnknown
}

// badList is a malformed item of a list.
type badList struct {
	callvault.Span
	reason string
}

func (c *Collector) malformed(ctx context.Context, source string) ([]badList, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT from_ms, to_ms, reason FROM malformed WHERE source = $1 ORDER BY from_ms, place`, source)
	if err != nil {
		return nil, fmt.Errorf("malformed items of %s: %w", source, err)
	}
	defer rows.Close()
	var all []badList
	for rows.Next() {
		var b badList
		if err := rows.Scan(&b.From, &b.To, &b.reason); err != nil {
			return nil, fmt.Errorf("malformed items of %s: %w", source, err)
		}
		all = append(all, b)
	}
	return all, rows.Err()
}

func startOfDay(t time.Time) time.Time {
	return inZone(clock(t).Truncate(24*time.Hour), t.Location())
}

func nextDay(t time.Time) time.Time {
	return inZone(clock(t).Truncate(24*time.Hour).Add(24*time.Hour), t.Location())
}
