package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"callvault/collect"
	"callvault/database"
	"callvault/pages"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// collecting is everything that a process collects with.
type collecting struct {
	collector *collect.Collector
	sources   []scheduled
	alerts    *collect.Alerts
	log       *slog.Logger
	close     func() error // of the quarantine
}

// openCollecting prepares the collecting that is configured.
func openCollecting(v *vault, config *config, log *slog.Logger) (*collecting, error) {
	sources, err := config.sources(nil)
	if err != nil {
		return nil, err
	}
	alerts, err := config.alerts(log)
	if err != nil {
		return nil, err
	}
	collector, closeQuarantine, err := newCollector(v, log)
	if err != nil {
		return nil, err
	}
	return &collecting{collector, sources, alerts, log, closeQuarantine}, nil
}

// schedules runs over each source by its schedule until ctx ends, and watches whether
// the runs succeed.
func (c *collecting) schedules(ctx context.Context) error {
	running, ctx := errgroup.WithContext(ctx)
	for _, source := range c.sources {
		if source.schedule == nil {
			continue
		}
		running.Go(func() error {
			return c.collector.Serve(ctx, source.Source, source.schedule, func(report *collect.Report) {
				announce(ctx, report, c.alerts, c.log)
			})
		})
	}
	running.Go(func() error { return c.collector.Watch(ctx, collectSources(c.sources), c.alerts) })
	return running.Wait()
}

// watchOver watches whether runs succeed, in this process or any other, until ctx ends.
// Of the processes that share a database, one does so at a time.
func (c *collecting) watchOver(ctx context.Context, db *database.DB) error {
	if !db.Shared() {
		return c.collector.Watch(ctx, collectSources(c.sources), c.alerts)
	}
	for ctx.Err() == nil {
		if err := c.watchAlone(ctx, db); err != nil && ctx.Err() == nil {
			c.log.Error("watching over the collecting", "error", err)
			pause(ctx, retryAfter)
		}
	}
	return nil
}

// watchAlone waits until no other process watches over the collecting, and then does so
// until ctx ends or the lock is lost.
func (c *collecting) watchAlone(ctx context.Context, db *database.DB) error {
	ctx, end := context.WithCancel(database.Within(ctx, jobPatience))
	defer end()
	release, err := db.WaitLock(ctx, "watch", end)
	if err != nil {
		return err
	}
	defer release()
	return c.collector.Watch(ctx, collectSources(c.sources), c.alerts)
}

// collectBySchedule makes the service collect from the configured sources, each by its
// schedule, together with other processes where the database is shared; and show on its
// pages and in its metrics how complete that is. With watchOnly it collects nothing, but
// watches and shows what others collect.
func (s *service) collectBySchedule(ctx context.Context, config *config, watchOnly bool) error {
	if len(config.Source) == 0 {
		return s.show(ctx, collect.New(collect.Config{DB: s.vault.db, Log: s.log}), nil)
	}
	c, err := openCollecting(s.vault, config, s.log)
	if err != nil {
		return err
	}
	if err := s.show(ctx, c.collector, c.sources); err != nil {
		return errors.Join(err, c.close())
	}
	s.server.Register(&ledgerMetrics{collector: c.collector, sources: collectSources(c.sources), failed: map[string]time.Time{}})
	work := c.schedules
	switch {
	case watchOnly: // perhaps nobody is left who collects, or watches
		work = func(ctx context.Context) error { return c.watchOver(ctx, s.vault.db) }
	case s.vault.db.Shared():
		node, err := joinQueue(ctx, s.vault, c, defaultTurns)
		if err != nil {
			return errors.Join(err, c.close())
		}
		work = node.run
	}
	s.jobs = append(s.jobs, func(ctx context.Context) error {
		return errors.Join(work(ctx), c.close())
	})
	return nil
}

// show makes the pages show how complete the sources are, including those that are no
// longer in the configuration.
func (s *service) show(ctx context.Context, collector *collect.Collector, sources []scheduled) error {
	for _, source := range sources {
		s.pages.Sources = append(s.pages.Sources, pages.Source{Source: source.Source, URL: source.url, Schedule: source.schedule})
	}
	former, err := collector.FormerSources(ctx, collectSources(sources))
	for _, source := range former {
		s.pages.Sources = append(s.pages.Sources, pages.Source{Source: source})
	}
	if len(s.pages.Sources) > 0 {
		s.pages.Collector = collector
	}
	return err
}

// announce reports the result of a run in the log and as an alert.
func announce(ctx context.Context, report *collect.Report, alerts *collect.Alerts, log *slog.Logger) {
	log.Info("run ended", "source", report.Source, "result", report.Result, "fetched", report.Held,
		"bytes", report.Bytes, "problems", len(report.Problems), "error", report.Error)
	alerts.SendReport(ctx, report)
}

// ledgerMetrics shows how complete the collecting is, for Prometheus.
type ledgerMetrics struct {
	collector *collect.Collector
	sources   []*collect.Source

	mu     sync.Mutex
	failed map[string]time.Time // when reading a source's ledger last failed
}

// ledgerPause is how long a ledger that could not be read is left alone, so that a
// request for the other metrics does not wait for it each time.
const ledgerPause = 30 * time.Second

var (
	ledgerItems = prometheus.NewDesc("callvault_collect_recordings", "Recordings of the sources, by state.", []string{"source", "tenant", "state"}, nil)
	ledgerDone  = prometheus.NewDesc("callvault_collect_last_complete_seconds", "When a tenant was last complete, in Unix seconds; 0 if never.", []string{"source", "tenant"}, nil)
	ledgerUsed  = prometheus.NewDesc("callvault_collect_egress_bytes", "Audio bytes fetched in the last five days.", []string{"source", "tenant"}, nil)
	ledgerNo    = prometheus.NewDesc("callvault_collect_refused_total", "Answers of the sources other than 200, by status; those to lists have no tenant.", []string{"source", "tenant", "code"}, nil)
	ledgerRun   = prometheus.NewDesc("callvault_collect_last_run_seconds", "When the last run ended, in Unix seconds, by its result.", []string{"source", "result"}, nil)
)

// Describe names the metrics.
func (m *ledgerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{ledgerItems, ledgerDone, ledgerUsed, ledgerNo, ledgerRun} {
		to <- desc
	}
}

// Collect sends the metrics, except those of a source whose ledger cannot be read.
func (m *ledgerMetrics) Collect(to chan<- prometheus.Metric) {
	for refused, n := range m.collector.Refusals() {
		to <- prometheus.MustNewConstMetric(ledgerNo, prometheus.CounterValue, float64(n), refused.Source, refused.Tenant, strconv.Itoa(refused.Status))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, source := range m.sources {
		if time.Since(m.failed[source.Name]) < ledgerPause {
			continue
		}
		if last, err := m.collector.SourceStatus(ctx, source.Name); err == nil && last.LastRun != nil {
			to <- prometheus.MustNewConstMetric(ledgerRun, prometheus.GaugeValue, float64(last.LastRun.EndedAt)/1000, source.Name, string(last.LastRun.Result))
		}
		tenants, err := m.collector.TenantStatuses(ctx, source, time.Now())
		if err != nil {
			m.failed[source.Name] = time.Now()
			continue
		}
		for i := range tenants {
			collectTenant(to, &tenants[i])
		}
	}
}

func collectTenant(to chan<- prometheus.Metric, t *collect.TenantStatus) {
	states := map[string]int64{
		"held": t.Held, "due": t.Due, "quarantined": t.Quarantined, "doubtful": t.Doubtful, "denied": t.Denied, "missing": t.Missing,
		"pending": t.Pending, "deleted": t.Deleted, "changed": t.Changed, "vanished": t.Vanished, "settled": t.Settled,
	}
	for state, n := range states {
		to <- prometheus.MustNewConstMetric(ledgerItems, prometheus.GaugeValue, float64(n), t.Source, t.Tenant, state)
	}
	complete := 0.0
	if t.LastCompleteAt != nil {
		complete = float64(*t.LastCompleteAt) / 1000
	}
	to <- prometheus.MustNewConstMetric(ledgerDone, prometheus.GaugeValue, complete, t.Source, t.Tenant)
	to <- prometheus.MustNewConstMetric(ledgerUsed, prometheus.GaugeValue, float64(t.EgressUsed), t.Source, t.Tenant)
}
