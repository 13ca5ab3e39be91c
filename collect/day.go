package collect

import (
	"context"
	"fmt"
	"time"

	"callvault"
)

// How complete a day is.
const (
	DayComplete   = "complete"        // everything offered is held, and nothing can come late
	DaySoFar      = "complete so far" // everything offered is held, but more may come late
	DayIncomplete = "incomplete"      // something offered is not held
	DayUnknown    = "unknown"         // not listed, or not all of it
)

// Day says how complete the collecting of a tenant is for a day. Listed counts the
// recordings that the source showed, Held those whose audio is here, Lacking those
// that are offered and not held; Missing names these if that was asked for.
type Day struct {
	Day     string             `json:"day"`
	State   string             `json:"state"`
	Listed  int                `json:"listed"`
	Held    int                `json:"held"`
	Lacking int                `json:"lacking"`
	Missing []LackingRecording `json:"missing"`

	span callvault.Span
}

// LackingRecording is a recording that is offered and not held, and why. A malformed item
// of a list has no key.
type LackingRecording struct {
	RecordingKey string `json:"recordingKey"`
	StartTime    int64  `json:"startTime"` // Unix milliseconds
	Reason       string `json:"reason"`
}

// Days reports how complete the collecting of a tenant is, day by day in zone, from
// the source's first day, or the first recording's, until now, and names what is
// missing.
func (c *Collector) Days(ctx context.Context, source *Source, tenant string, zone *time.Location, now time.Time) ([]Day, error) {
	known, err := c.coverage(ctx, source, now)
	if err != nil {
		return nil, err
	}
	scope := Scope{Source: source, Tenant: tenant, Zone: zone}
	days, err := c.calendar(ctx, &scope, known, Always)
	if err != nil {
		return nil, err
	}
	items, err := queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_lacking
		WHERE tenant = $1 AND `+lacking+` ORDER BY start_ms, recording_key`, tenant)
	if err != nil {
		return nil, err
	}
	for i := range days {
		days[i].Missing = []LackingRecording{}
		end := days[i].span.To
		for len(items) > 0 && items[0].startMs < end {
			days[i].Missing = append(days[i].Missing, items[0].lacking())
			items = items[1:]
		}
		days[i].Missing = append(days[i].Missing, known.malformedIn(days[i].span)...)
	}
	return days, nil
}

func (i *item) lacking() LackingRecording { return LackingRecording{i.key, i.startMs, i.why()} }

// firstDay returns the first instant of a calendar; 0 if nothing was listed and the source
// has no first day.
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

// maxSinceListed is how long ago the last list may have ended for a day that goes on since
// then to be complete so far rather than unknown.
const maxSinceListed = 24 * time.Hour

// stateOf returns how complete a day is. span is the part of it that should be listed by
// now.
func stateOf(d *Day, listings []listing, span callvault.Span, lookback time.Duration, now time.Time) string {
	covered, final := cover(listings, span, lookback)
	var last int64
	if len(listings) > 0 {
		last = listings[len(listings)-1].To
	}
	lately := last > span.From && last > now.Add(-maxSinceListed).UnixMilli()
	switch {
	case d.Lacking > 0:
		return DayIncomplete
	case covered > 0 && final:
		return DayComplete
	case covered > 0 && (covered == span.To-span.From || lately && covered == last-span.From):
		return DaySoFar
	}
	return DayUnknown
}

// malformedItem is a malformed item of the list of a stretch of time.
type malformedItem struct {
	callvault.Span
	reason string
}

func (c *Collector) malformedItems(ctx context.Context, source string) ([]malformedItem, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT from_ms, to_ms, reason FROM malformed WHERE source = $1 ORDER BY from_ms, place`, source)
	if err != nil {
		return nil, fmt.Errorf("malformed items of %s: %w", source, err)
	}
	defer rows.Close()
	var all []malformedItem
	for rows.Next() {
		var b malformedItem
		if err := rows.Scan(&b.From, &b.To, &b.reason); err != nil {
			return nil, fmt.Errorf("malformed items of %s: %w", source, err)
		}
		all = append(all, b)
	}
	return all, rows.Err()
}

func startOfDay(t time.Time) time.Time {
	return inZone(wallClock(t).Truncate(24*time.Hour), t.Location())
}

func nextDay(t time.Time) time.Time {
	return inZone(wallClock(t).Truncate(24*time.Hour).Add(24*time.Hour), t.Location())
}
