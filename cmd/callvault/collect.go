package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/database"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// newCollector makes a collector into an archive. Call closeQuarantine when it is no
// longer used.
func newCollector(v *vault, log *slog.Logger) (c *collect.Collector, closeQuarantine func() error, err error) {
	quarantine, err := v.openQuarantine()
	if err != nil {
		return nil, nil, err
	}
	c = collect.New(collect.Config{
		DB: v.db, Archive: v.archive, Quarantine: quarantine, Log: log,
		EnsureTenants: func(ctx context.Context, names []string) error {
			return v.accounts.EnsureTenants(ctx, names, time.Now())
		},
	})
	return c, quarantine.Close, nil
}

// withCollector runs fn with a collector and the configured sources with those names, or
// all.
func withCollector(ctx context.Context, o *options, names []string, fn func(*vault, *collect.Collector, []scheduled) error) error {
	config, err := readConfig(o)
	if err != nil {
		return err
	}
	sources, err := config.sources(names)
	if err == nil {
		err = requireAnyKey(sources)
	}
	if err != nil {
		return err
	}
	return withVault(ctx, o, func(v *vault) error { return overSources(v, sources, fn) })
}

// overSources runs fn with a collector and these sources.
func overSources(v *vault, sources []scheduled, fn func(*vault, *collect.Collector, []scheduled) error) error {
	c, closeQuarantine, err := newCollector(v, slog.New(slog.NewTextHandler(console, nil)))
	if err != nil {
		return err
	}
	return errors.Join(fn(v, c, sources), closeQuarantine())
}

// collectFlags say what a run is over.
type collectFlags struct {
	sources      []string
	since, until string
	wait, again  bool
}

func collectCommand(o *options) *cobra.Command {
	var flags collectFlags
	c := &cobra.Command{
		Use:   "collect",
		Short: "Collect from the configured sources, once",
		Long: `Collect from the configured sources, once: ask for the lists that are due, then fetch every recording
that is not held, within the sources' limits. Ctrl-C finishes what is under way; a second Ctrl-C aborts
it. Neither loses anything that was held.

Exit status 3: something that a source offers is not held, a list failed, or an item of a list could not
be read; each is named, with the reason.`,
		Example: `  callvault collect
  callvault collect --source acme --since 2024-02-01 --until 2024-03-01 --again`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			span, err := spanOf(flags.since, flags.until)
			if err != nil {
				return err
			}
			alerts, err := alertsOf(o)
			if err != nil {
				return err
			}
			return withCollector(context.WithoutCancel(c.Context()), o, flags.sources, func(v *vault, collector *collect.Collector, sources []scheduled) error {
				if err := v.requireAudio(c.Context()); err != nil {
					return err
				}
				v.db.Reader.SetMaxOpenConns(2) // a run reads little, and each connection keeps pages in memory
				if os.Getenv("GOGC") == "" {
					debug.SetGCPercent(75) // saves some megabytes, and is no slower
				}
				runs, err := startRuns(c.Context(), collector, sources, span, flags.wait)
				if err != nil {
					return err
				}
				if flags.again {
					for _, run := range runs {
						run.ListAgain()
					}
				}
				reports, err := waitRuns(c.Context(), runs, c.ErrOrStderr())
				outcome := errors.Join(printReports(c.OutOrStdout(), o, reports), err, interrupted(c.Context(), reports))
				sendAlerts(c.Context(), alerts, reports)
				return outcome
			})
		},
	}
	c.Flags().StringArrayVar(&flags.sources, "source", nil, "only this `SOURCE` (repeat for more)")
	c.Flags().StringVar(&flags.since, "since", "", "list only recordings that start then or later: a day, or a time with an offset")
	c.Flags().StringVar(&flags.until, "until", "", "list only recordings that start before then")
	c.Flags().BoolVar(&flags.again, "again", false, "list even days that need no more listing: the service user may see more of them now")
	c.Flags().BoolVar(&flags.wait, "wait", false, "if a run over a source is under way, wait for it to end")
	return c
}

// startRuns begins a run over each source, or over none.
func startRuns(ctx context.Context, c *collect.Collector, sources []scheduled, span callvault.Span, wait bool) ([]*collect.Run, error) {
	var runs []*collect.Run
	for _, s := range sources {
		run, err := startRun(ctx, c, s, span, wait)
		if err != nil {
			for _, begun := range runs {
				_ = begun.Abandon(context.WithoutCancel(ctx)) // on an error the next run only waits a little
			}
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func startRun(ctx context.Context, c *collect.Collector, s scheduled, span callvault.Span, wait bool) (*collect.Run, error) {
	for {
		run, err := c.Start(ctx, s.Source, span)
		var taken database.Held
		if !errors.As(err, &taken) {
			return run, err
		}
		if !wait {
			return nil, fmt.Errorf("a run over %s is under way, by %s; --wait waits for it to end", s.Name, taken.Holder)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// waitRuns does the runs side by side, and shows their progress, on plain where there is
// no terminal. When ctx ends the runs finish what is under way; a signal after that
// aborts it, and one more kills the program.
func waitRuns(ctx context.Context, runs []*collect.Run, plain io.Writer) ([]*collect.Report, error) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		for _, run := range runs {
			run.Stop()
		}
		go func() {
			select {
			case <-again:
				cancel()
			case <-hard.Done():
			}
			signal.Stop(again)
		}()
	})()
	watched := watchRuns(runs, plain)
	defer watched()
	reports := make([]*collect.Report, len(runs))
	var group errgroup.Group
	for i, run := range runs {
		group.Go(func() (err error) {
			run.AwaitLists(hard, runs[:i])
			reports[i], err = run.Wait(hard)
			return err
		})
	}
	err := group.Wait()
	return reports, err
}

// alertsOf returns the sender of alerts that is configured, or nil.
func alertsOf(o *options) (*collect.Alerts, error) {
	config, err := readConfig(o)
	if err != nil {
		return nil, err
	}
	return config.alerts(slog.New(slog.NewTextHandler(console, nil)))
}

// sendAlerts sends the alerts of runs. It sends none once ctx has ended: whoever
// interrupts a run knows about it.
func sendAlerts(ctx context.Context, alerts *collect.Alerts, reports []*collect.Report) {
	for _, report := range reports {
		if report != nil && ctx.Err() == nil {
			alerts.SendReport(ctx, report)
		}
	}
}

// interrupted returns the error of ctx if that stopped one of the runs.
func interrupted(ctx context.Context, reports []*collect.Report) error {
	for _, report := range reports {
		if ctx.Err() != nil && report != nil && report.Stopped {
			return ctx.Err()
		}
	}
	return nil
}

// printReports prints the results of runs. It returns errIncomplete unless all are
// complete.
func printReports(out io.Writer, o *options, reports []*collect.Report) error {
	ended := []*collect.Report{} // a run that an error ended has no report
	var outcome error
	for _, report := range reports {
		if report == nil {
			continue
		}
		ended = append(ended, report)
		if report.Result != collect.Complete {
			outcome = errIncomplete
		}
	}
	if o.json {
		return errors.Join(printJSON(out, ended), outcome)
	}
	for _, report := range ended {
		printReport(out, report)
	}
	return outcome
}

func planCommand(o *options) *cobra.Command {
	var names []string
	c := &cobra.Command{
		Use:     "plan",
		Short:   "Show what a run would fetch, how long it would take, and whether it fits on the disk",
		Example: "  callvault plan --source acme",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return withCollector(c.Context(), o, names, func(v *vault, collector *collect.Collector, sources []scheduled) error {
				plan, err := planAll(c.Context(), collector, sources)
				if err != nil {
					return err
				}
				if diskFree := v.diskFree(); diskFree != nil {
					if free, err := diskFree(); err == nil {
						plan.DiskFree = &free
					}
				}
				return printPlan(c.OutOrStdout(), o, plan)
			})
		},
	}
	c.Flags().StringArrayVar(&names, "source", nil, "only this `SOURCE` (repeat for more)")
	return c
}

// planAll plans a run over each source. A source that cannot be asked becomes a problem
// of the plan, unless none can: then planAll fails.
func planAll(ctx context.Context, c *collect.Collector, sources []scheduled) (*collect.Plan, error) {
	plan := &collect.Plan{FinishAt: time.Now().UnixMilli(), Tenants: []collect.TenantPlan{}, Problems: []collect.Problem{}}
	var failed []error
	for _, s := range sources {
		run, err := c.Start(ctx, s.Source, collect.Always)
		if taken := new(database.Held); errors.As(err, taken) {
			return nil, fmt.Errorf("a run over %s is under way, by %s; try again when it has ended", s.Name, taken.Holder)
		}
		if err != nil {
			return nil, err
		}
		one, err := planWithProgress(ctx, s.Name, run)
		if err != nil {
			failed = append(failed, fmt.Errorf("source %s: %w", s.Name, err))
			plan.Problems = append(plan.Problems, collect.Problem{Reason: failed[len(failed)-1].Error()})
			continue
		}
		for _, t := range one.Tenants {
			plan.Add(t)
		}
		plan.Problems = append(plan.Problems, one.Problems...)
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(append(failed, err)...)
	}
	if len(failed) == len(sources) {
		return nil, errors.Join(failed...)
	}
	return plan, nil
}

func printPlan(out io.Writer, o *options, plan *collect.Plan) error {
	var outcome error
	if len(plan.Problems) > 0 {
		outcome = errIncomplete
	}
	if o.json {
		return errors.Join(printJSON(out, plan), outcome)
	}
	var rows [][]string
	for _, t := range plan.Tenants {
		closed, capped := "-", "-"
		if t.ClosedUntil != nil {
			closed = moment(*t.ClosedUntil)
		}
		if t.CapReachedAt != nil {
			capped = moment(*t.CapReachedAt)
		}
		rows = append(rows, []string{t.Source, t.Tenant, fmt.Sprint(t.Recordings), byteCount(t.Bytes),
			(time.Duration(t.Seconds) * time.Second).String(), closed, capped, moment(t.FinishAt)})
	}
	if err := printTable(out, []string{"SOURCE", "TENANT", "RECORDINGS", "SIZE", "TAKES", "CLOSED UNTIL", "LIMIT REACHED", "DONE AT"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d recordings, %s, in %v, done at %s\n", plan.Recordings, byteCount(plan.Bytes),
		time.Duration(plan.Seconds)*time.Second, moment(plan.FinishAt))
	if plan.DiskFree != nil && *plan.DiskFree < plan.Bytes+plan.Bytes/10 {
		fmt.Fprintf(out, "it does not fit on the disk: %s are free\n", byteCount(*plan.DiskFree))
	}
	for _, p := range plan.Problems {
		fmt.Fprintln(out, problemLine(p))
	}
	return outcome
}
