package main

import (
	"bufio"
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

	// days returns a tenant's days, as the tenant is printed: those of all tenants
	// would take too much memory. It is nil when no days are asked for.
	days func(*collect.TenantStatus) ([]collect.Day, error)
}

// statusFlags say what to show: which sources and tenants, or all where none is named,
// and whether day by day.
type statusFlags struct {
	sources, tenants []string
	days             bool
}

func statusCommand(o *options) *cobra.Command {
	var flags statusFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how complete the collecting is, by tenant and by day",
		Long: `Show how complete the collecting is. The state of a tenant or day is complete, complete so far (late
recordings may still come), incomplete (something that the source offers is not held), or unknown (not
listed). Sources that are no longer in the configuration are shown too.`,
		Example: `  callvault status
  callvault status --days --tenant acme-ns --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			sources, err := config.withoutClients(flags.sources)
			if err != nil {
				return err
			}
			return withDatabase(c.Context(), o, func(v *vault) error {
				return overSources(v, sources, func(v *vault, collector *collect.Collector, sources []scheduled) error {
					sources, err := withFormer(c.Context(), collector, sources, flags.sources)
					if err != nil {
						return err
					}
					report, err := gatherStatus(c, v, collector, sources, flags)
					if err != nil {
						return err
					}
					return report.print(c.OutOrStdout(), o)
				})
			})
		},
	}
	c.Flags().BoolVar(&flags.days, "days", false, "day by day, with what is missing and why")
	c.Flags().StringArrayVar(&flags.sources, "source", nil, "only this `SOURCE` (repeat for more)")
	c.Flags().StringArrayVar(&flags.tenants, "tenant", nil, "only this `TENANT` (repeat for more)")
	return c
}

// withFormer adds to the configured sources those that are no longer in the
// configuration, with these names or all.
func withFormer(ctx context.Context, collector *collect.Collector, sources []scheduled, names []string) ([]scheduled, error) {
	former, err := collector.FormerSources(ctx, collectSources(sources))
	if err != nil {
		return nil, err
	}
	for _, source := range former {
		if len(names) == 0 || slices.Contains(names, source.Name) {
			sources = append(sources, scheduled{Source: source})
		}
	}
	return sources, checkNames(sources, names)
}

func gatherStatus(c *cobra.Command, v *vault, collector *collect.Collector, sources []scheduled, flags statusFlags) (*statusReport, error) {
	ctx, now := c.Context(), time.Now()
	report := &statusReport{Tenants: []collect.TenantStatus{}}
	of := map[string]*collect.Source{}
	for _, s := range sources {
		of[s.Name] = s.Source
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
		report.Tenants = append(report.Tenants, tenants...)
	}
	if err := report.narrow(flags.tenants); err != nil || !flags.days {
		return report, err
	}
	zones, err := zonesOf(c, v)
	report.days = func(t *collect.TenantStatus) ([]collect.Day, error) {
		return collector.Days(ctx, of[t.Source], t.Tenant, cmp.Or(zones[t.Tenant], time.UTC), now)
	}
	return report, err
}

// narrow leaves only the tenants with these names, or all when no name is given.
func (report *statusReport) narrow(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(report.Tenants, func(t collect.TenantStatus) bool { return t.Tenant == name }) {
			return fmt.Errorf("the tenant %s is not collected from any source", name)
		}
	}
	report.Tenants = slices.DeleteFunc(report.Tenants, func(t collect.TenantStatus) bool {
		return len(names) > 0 && !slices.Contains(names, t.Tenant)
	})
	return nil
}

// zonesOf returns the tenants' time zones.
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
	if o.json && report.days != nil {
		return report.stream(out)
	}
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
		if remarks := remarks(&report.Tenants[i], time.Now()); remarks != "" {
			fmt.Fprintf(out, "%s: %s\n", report.Tenants[i].Tenant, remarks)
		}
	}
	for i := range report.Tenants {
		if report.days == nil {
			break
		}
		days, err := report.days(&report.Tenants[i])
		if err != nil {
			return err
		}
		printDays(out, report.Tenants[i].Tenant, days)
	}
	return nil
}

// stream prints the report as JSON, each tenant with its days as they come.
func (report *statusReport) stream(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprint(w, "{\n  \"sources\": ")
	if err := printIndented(w, report.Sources, "  "); err != nil {
		return err
	}
	fmt.Fprint(w, ",\n  \"tenants\": [")
	separator := ""
	for _, t := range report.Tenants {
		var err error
		if t.Days, err = report.days(&t); err != nil {
			return err
		}
		fmt.Fprint(w, separator+"\n    ")
		if err := printIndented(w, &t, "    "); err != nil {
			return err
		}
		separator = ","
	}
	fmt.Fprint(w, "\n  ]\n}\n")
	return w.Flush()
}

// remarks returns what there is to know about a tenant beside its row, mostly nothing.
func remarks(t *collect.TenantStatus, now time.Time) string {
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
	line := s.Source + " (" + cmp.Or(s.URL, "no longer in the configuration") + "): "
	switch {
	case s.Running:
		line += "a run is under way"
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

// printDays prints a line for each day that has recordings or is not complete, and what
// is missing.
func printDays(out io.Writer, tenant string, days []collect.Day) {
	if len(days) == 0 {
		return
	}
	fmt.Fprintln(out, tenant)
	for _, day := range days {
		if day.Listed == 0 && day.State != collect.DayIncomplete && day.State != collect.DayUnknown {
			continue
		}
		fmt.Fprintf(out, "  %s  %-15s  %d of %d held\n", day.Day, day.State, day.Held, day.Listed)
		for _, m := range day.Missing {
			fmt.Fprintln(out, "    "+problemLine(collect.Problem{Key: m.RecordingKey, Reason: m.Reason}))
		}
	}
}
