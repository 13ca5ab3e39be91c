package collect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"callvault"
	"callvault/database"

	"github.com/robfig/cron/v3"
)

// Schedule says when runs begin: a cron expression in a time zone.
type Schedule struct {
	cron cron.Schedule
	zone *time.Location
}

// ParseSchedule reads a cron expression of five fields, or @daily and the like,
// and the IANA name of a time zone; "" is UTC.
func ParseSchedule(expression, zone string) (*Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; use an IANA name such as America/Denver", zone)
	}
	if strings.Contains(expression, "TZ=") { // the parser panics on some of these
		return nil, fmt.Errorf("schedule %q: say the time zone with time_zone", expression)
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, fmt.Errorf("schedule %q is not a cron expression such as \"0 1 * * *\": %w", expression, err)
	}
	if parsed.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("schedule %q names no day that comes", expression)
	}
	return &Schedule{cron: parsed, zone: location}, nil
}

// Next is the first time after t at which a run begins. Where the clocks are set
// on over a time, the run begins as much later; where they are set back, it begins
// once.
func (s *Schedule) Next(t time.Time) time.Time {
	// The parser's own way leaves a night out in spring and runs twice in autumn.
	at := wallClock(t.In(s.zone))
	for {
		if at = s.cron.Next(at); at.IsZero() {
			return at
		}
		if next := inZone(at, s.zone); next.After(t) {
			return next
		}
	}
}

// inZone is when a clock in the zone shows what at does. Where the clocks are set
// on over that, it is as much later: some zones have days without a midnight. Where
// they are set back over it, it is the first time: others have days with two.
func inZone(at time.Time, zone *time.Location) time.Time {
	t := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone)
	if since, _ := t.ZoneBounds(); !since.IsZero() {
		_, now := t.Zone()
		_, before := since.Add(-time.Second).Zone()
		if first := t.Add(time.Duration(now-before) * time.Second); first.Before(since) && wallClock(first).Equal(at) {
			return first
		}
	}
	return t.Add(max(0, at.Sub(wallClock(t))))
}

// wallClock is what the clock on the wall shows, as if it were in UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// Serve runs over a source by its schedule until ctx ends, and in between when a
// tenant opens again that was closed. A time that was missed is made up for at
// once, one at which another run is at work after that. Each report is given to tell.
func (c *Collector) Serve(ctx context.Context, source *Source, schedule *Schedule, tell func(*Report)) error {
	last, err := c.SourceStatus(ctx, source.Name)
	if err != nil {
		return err
	}
	at := c.nextRunAt(ctx, source, schedule.Next(time.Now()))
	if last.LastRun != nil && schedule.Next(time.UnixMilli(last.LastRun.StartedAt)).Before(schedule.Next(time.Now())) {
		at = time.Now()
	}
	for {
		if err := sleepUntil(ctx, at); err != nil {
			return nil
		}
		report, err := c.runScheduled(ctx, source)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, new(database.Held)): // by hand, perhaps of some days only
			at = time.Now().Add(time.Minute)
			continue
		case err != nil:
			c.log.Error("scheduled run", "source", source.Name, "error", err)
		default:
			tell(report)
		}
		at = c.nextRunAt(ctx, source, schedule.Next(time.Now()))
	}
}

// runScheduled does one run that ends soon when ctx ends.
func (c *Collector) runScheduled(ctx context.Context, source *Source) (*Report, error) {
	r, err := c.Start(ctx, source, Always)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, r.Stop)()
	return r.Wait(context.WithoutCancel(ctx))
}

// Always is the span of a run over everything that a source has.
var Always = callvault.Span{From: 0, To: callvault.MaxTime}

// nextRunAt is when the next run begins: as planned, or as the first closed tenant
// opens again of which something is due.
func (c *Collector) nextRunAt(ctx context.Context, source *Source, planned time.Time) time.Time {
	all := func(string) bool { return true }
	tenants, err := c.Glances(ctx, &GlanceQuery{Source: source, Include: all}, time.Now())
	if err != nil {
		c.log.Error("closed tenants", "source", source.Name, "error", err)
	}
	for _, t := range tenants {
		if t.ClosedUntil == nil || t.Due+t.Quarantined == 0 {
			continue
		}
		if at := time.UnixMilli(*t.ClosedUntil); at.Before(planned) {
			planned = at
		}
	}
	return planned
}

// sleepUntil waits in steps, so that a clock that is set on is followed.
func sleepUntil(ctx context.Context, at time.Time) error {
	for {
		left := time.Until(at.Round(0))
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(min(left, time.Minute))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
