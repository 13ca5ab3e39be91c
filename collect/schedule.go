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

// Schedule says when runs begin: by a cron expression in a time zone.
type Schedule struct {
	cron cron.Schedule
	zone *time.Location
}

// ParseSchedule parses a cron expression, which has five fields or is @daily or the
// like, and the IANA name of a time zone; "" is UTC.
func ParseSchedule(expression, zone string) (*Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; use an IANA name such as America/Denver", zone)
	}
	if strings.Contains(expression, "TZ=") { // the parser panics on some of these
		return nil, fmt.Errorf("schedule %q: give the time zone as time_zone", expression)
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, fmt.Errorf("schedule %q is not a cron expression such as \"0 1 * * *\": %w", expression, err)
	}
	if parsed.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("schedule %q names no day that ever comes", expression)
	}
	return &Schedule{cron: parsed, zone: location}, nil
}

// Next returns the first time after t at which a run begins; zero if there is none.
// When the clocks are set forward past a time, its run begins that much later; when they
// are set back, it begins once.
func (s *Schedule) Next(t time.Time) time.Time {
	// Left to itself, the cron library skips a night in spring and runs twice in autumn.
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

// inZone returns when a wall clock in the zone shows the date and time of at. When the
// clocks are set forward past it, that is as much later: some zones have days without a
// midnight. When they are set back past it, that is the first time: others have days with
// two.
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

// wallClock returns what a clock on the wall shows at t, as a time in UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// Serve runs over a source by its schedule until ctx ends, and in between whenever a
// closed tenant opens again. If the last scheduled time was missed, a run begins at once;
// if another run is under way, the run begins after it. Serve passes each report to report.
func (c *Collector) Serve(ctx context.Context, source *Source, schedule *Schedule, report func(*Report)) error {
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
		done, err := c.runScheduled(ctx, source)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, new(database.Held)): // by hand, perhaps of some days only
			at = time.Now().Add(time.Minute)
			continue
		case err != nil:
			c.log.Error("scheduled run", "source", source.Name, "error", err)
		default:
			report(done)
		}
		at = c.nextRunAt(ctx, source, schedule.Next(time.Now()))
	}
}

// runScheduled does one run, which it stops when ctx ends.
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

// nextRunAt returns when the next run begins: as planned, or when the first closed tenant
// that has recordings due opens again.
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

// sleepUntil waits until at, in steps, so that it notices a clock that is set forward.
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
