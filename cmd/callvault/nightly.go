package main

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"callvault/collect"
	"callvault/pages"

	"github.com/prometheus/client_golang/prometheus"
)

// collectBySchedule lets the service collect from the sources of the
// configuration, each by its schedule, watch over that, and show it in its
// metrics. Without sources it does nothing.
func (s *service) collectBySchedule(config *config) error {
	if len(config.Source) == 0 {
		return nil
	}
	sources, err := config.sources(nil)
	if err != nil {
		return err
	}
	alerts, err := config.alerts(s.log)
	if err != nil {
		return err
	}
	collector, closeIt, err := newCollector(s.vault, s.log)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	var watched []*collect.Source
	for _, source := range sources {
		watched = append(watched, source.Source)
		if source.schedule == nil {
			continue
		}
		running.Add(1)
		s.jobs = append(s.jobs, func(ctx context.Context) error {
			defer running.Done()
			return collector.Serve(ctx, source.Source, source.schedule, func(report *collect.Report) {
				tellOf(ctx, report, alerts, s.log)
			})
		})
	}
	s.jobs = append(s.jobs, func(ctx context.Context) error {
		err := collector.Watch(ctx, watched, alerts)
		running.Wait()
		_ = closeIt() // what is left in staging is cleared at the next start
		return err
	})
	s.show(collector, sources)
	s.server.Register(&ledgerMetrics{collector: collector, sources: watched})
	return nil
}

// show lets the pages tell how complete the sources are.
func (s *service) show(collector *collect.Collector, sources []scheduled) {
	s.pages.Collector = collector
	for _, source := range sources {
		s.pages.Sources = append(s.pages.Sources, pages.Source{Source: source.Source, URL: source.url, Schedule: source.schedule})
	}
}

// tellOf tells what came of a run to the log and to who is to be alerted.
func tellOf(ctx context.Context, report *collect.Report, alerts *collect.Alerts, log *slog.Logger) {
	log.Info("run ended", "source", report.Source, "result", report.Result, "fetched", report.Held,
		"bytes", report.Bytes, "problems", len(report.Problems), "error", report.Error)
	alerts.Tell(ctx, report)
}

// ledgerMetrics shows how complete the collecting is, for Prometheus.
type ledgerMetrics struct {
	collector *collect.Collector
	sources   []*collect.Source
}

var (
	ledgerItems = prometheus.NewDesc("callvault_collect_recordings", "Recordings of the sources by how they stand.", []string{"source", "tenant", "state"}, nil)
	ledgerDone  = prometheus.NewDesc("callvault_collect_last_complete_seconds", "When a tenant was last complete, in Unix seconds; 0 never.", []string{"source", "tenant"}, nil)
	ledgerUsed  = prometheus.NewDesc("callvault_collect_egress_bytes", "Audio bytes fetched in the last five days.", []string{"source", "tenant"}, nil)
	ledgerNo    = prometheus.NewDesc("callvault_collect_refused_total", "Answers of the sources that were not 200, by status; those of lists have no tenant.", []string{"source", "tenant", "code"}, nil)
	ledgerRun   = prometheus.NewDesc("callvault_collect_last_run_seconds", "When the last run ended, in Unix seconds, by its result.", []string{"source", "result"}, nil)
)

// Describe names the metrics.
func (m *ledgerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{ledgerItems, ledgerDone, ledgerUsed, ledgerNo, ledgerRun} {
		to <- desc
	}
}

// Collect tells the metrics; of a source whose ledger cannot be read, none.
func (m *ledgerMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for refused, n := range m.collector.Refusals() {
		to <- prometheus.MustNewConstMetric(ledgerNo, prometheus.CounterValue, float64(n), refused.Source, refused.Tenant, strconv.Itoa(refused.Status))
	}
	for _, source := range m.sources {
		if last, err := m.collector.SourceStatus(ctx, source.Name); err == nil && last.LastRun != nil {
			to <- prometheus.MustNewConstMetric(ledgerRun, prometheus.GaugeValue, float64(last.LastRun.EndedAt)/1000, source.Name, string(last.LastRun.Result))
		}
		tenants, err := m.collector.TenantStatuses(ctx, source, time.Now())
		if err != nil {
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
