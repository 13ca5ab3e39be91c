package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/collect"

	"github.com/spf13/cobra"
)

// statusReport is what status prints as JSON (contract 7).
type statusReport struct {
	Sources []collect.SourceStatus `json:"sources"`
	Tenants []collect.TenantStatus `json:"tenants"`
}

func statusCommand(o *options) *cobra.Command {
	var days bool
	var names []string
	c := &cobra.Command{
		Use:   "status",
		Short: "How complete the collecting is, by tenant and by day",
		Long: `How complete the collecting is. The state of a tenant or day is complete, complete so far (late
recordings may still come), incomplete (something that the source offers is not held), or unknown (not
listed). Sources that are in the configuration no more are told of too.`,
		Example: `  callvault status
  callvault status --days --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			sources, err := config.described(names)
			if err != nil {
				return err
			}
			return overSources(c.Context(), o, sources, func(v *vault, collector *collect.Collector, sources []scheduled) error {
				sources, err := withFormer(c.Context(), collector, sources, names)
				if err != nil {
					return err
				}
				report, err := gatherStatus(c, v, collector, sources, days)
				if err != nil {
					return err
				}
				return report.print(c.OutOrStdout(), o)
			})
		},
	}
	c.Flags().BoolVar(&days, "days", false, "day by day, with what is missing and why")
	c.Flags().StringArrayVar(&names, "source", nil, "only this source (repeat for more)")
	return c
}

// withFormer adds to the configured sources those that are in the configuration no
// more, of these names or all.
func withFormer(ctx context.Context, collector *collect.Collector, sources []scheduled, names []string) ([]scheduled, error) {
	var present []*collect.Source
	for _, s := range sources {
		present = append(present, s.Source)
	}
	former, err := collector.Former(ctx, present)
	if err != nil {
		return nil, err
	}
	for _, source := range former {
		if len(names) == 0 || slices.Contains(names, source.Name) {
			sources = append(sources, scheduled{Source: source})
		}
	}
	return sources, allNamed(sources, names)
}

func gatherStatus(c *cobra.Command, v *vault, collector *collect.Collector, sources []scheduled, days bool) (*statusReport, error) {
	ctx, now := c.Context(), time.Now()
	report := &statusReport{Tenants: []collect.TenantStatus{}}
	zones, err := zonesOf(c, v)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		one, err := collector.SourceStatus(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		one.URL = s.url
		if s.schedule != nil {
			next := s.schedule.Next(now).UnixMilli()
			one.NextRunAt = &next
		}
		report.Sources = append(report.Sources, one)
		tenants, err := collector.TenantStatuses(ctx, s.Source, now)
		if err != nil {
			return nil, err
		}
		for i := range tenants {
			if !days {
				continue
			}
			zone := zones[tenants[i].Tenant]
			if zone == nil {
				zone = time.UTC
			}
			if tenants[i].Days, err = collector.Days(ctx, s.Source, tenants[i].Tenant, zone, now); err != nil {
				return nil, err
			}
		}
		report.Tenants = append(report.Tenants, tenants...)
	}
	return report, nil
}

// zonesOf is the tenants' time zones.
func zonesOf(c *cobra.Command, v *vault) (map[string]*time.Location, error) {
	tenants, err := v.accounts.Tenants(c.Context())
	zones := map[string]*time.Location{}
	for _, t := range tenants {
		if zone, err := time.LoadLocation(t.TimeZone); err == nil {
			zones[t.Name] = zone
		}
	}
	return zones, err
}

func (report *statusReport) print(out io.Writer, o *options) error {
	if o.json {
		return printJSON(out, report)
	}
	for _, s := range report.Sources {
		fmt.Fprintln(out, sourceLine(&s, time.Now()))
	}
	var rows [][]string
	for i := range report.Tenants {
		rows = append(rows, statusRow(&report.Tenants[i]))
	}
	header := []string{"TENANT", "STATE", "HELD", "SIZE", "DUE", "QUARANTINED", "DENIED", "MISSING", "LAST COMPLETE", "EGRESS USED", "CLOSED UNTIL"}
	if err := printTable(out, header, rows); err != nil {
		return err
	}
	for i := range report.Tenants {
		if besides := besides(&report.Tenants[i], time.Now()); besides != "" {
			fmt.Fprintf(out, "%s: %s\n", report.Tenants[i].Tenant, besides)
		}
	}
	for i := range report.Tenants {
		printDays(out, &report.Tenants[i])
	}
	return nil
}

// besides is what there is to know of a tenant beside its row; mostly nothing.
func besides(t *collect.TenantStatus, now time.Time) string {
	var parts []string
	for _, n := range []struct {
		count int64
		what  string
	}{
		{t.Doubtful, "doubtful"}, {t.Pending, "pending"}, {t.Deleted, "deleted at the source"}, {t.Changed, "changed"},
		{t.Vanished, "vanished at the source"}, {t.Settled, "settled"},
	} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if t.LastCompleteAt != nil && now.Sub(time.UnixMilli(*t.LastCompleteAt)) > collect.StaleAfter {
		parts = append(parts, "no complete run for over 4 days: the source may delete what is not fetched")
	}
	return strings.Join(parts, ", ")
}

func sourceLine(s *collect.SourceStatus, now time.Time) string {
	line := s.Source + " (" + cmp.Or(s.URL, "in the configuration no more") + "): "
	switch {
	case s.Running:
		line += "a run is at work"
	case s.LastRun == nil:
		line += "no run has ended yet"
	default:
		line += fmt.Sprintf("last run %s, %s", moment(s.LastRun.StartedAt), s.LastRun.Result)
		if s.LastRun.Error != "" {
			line += ": " + forPeople(fmt.Errorf("%s", s.LastRun.Error))
		}
	}
	if s.Settled > 0 {
		line += fmt.Sprintf(", %d malformed items of its lists settled", s.Settled)
	}
	if s.URL != "" && s.Silent(now) {
		line += ", no run has succeeded for 26 hours"
	}
	if s.NextRunAt != nil {
		line += ", next run " + moment(*s.NextRunAt)
	}
	return line
}

func statusRow(t *collect.TenantStatus) []string {
	last, closed, egress := int64(0), "-", byteCount(t.EgressUsed)
	if t.LastCompleteAt != nil {
		last = *t.LastCompleteAt
	}
	if t.ClosedUntil != nil {
		closed = moment(*t.ClosedUntil)
	}
	if t.EgressLimit != nil {
		egress += " of " + byteCount(*t.EgressLimit)
	}
	numbers := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{t.Tenant, t.State, numbers(t.Held), byteCount(t.HeldBytes), numbers(t.Due), numbers(t.Quarantined),
		numbers(t.Denied), numbers(t.Missing), moment(last), egress, closed}
}

// printDays tells of the days, those that are alike in one line.
func printDays(out io.Writer, t *collect.TenantStatus) {
	if len(t.Days) == 0 {
		return
	}
	fmt.Fprintln(out, t.Tenant)
	for _, day := range t.Days {
		if day.Listed == 0 && day.State != collect.DayIncomplete && day.State != collect.DayUnknown {
			continue
		}
		fmt.Fprintf(out, "  %s  %-15s  %d of %d held\n", day.Day, day.State, day.Held, day.Listed)
		for _, m := range day.Missing {
			fmt.Fprintln(out, "    "+problemLine(collect.Problem{Key: m.RecordingKey, Reason: m.Reason}))
		}
	}
}
