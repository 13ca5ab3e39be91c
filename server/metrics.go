package server

import (
	"context"
	"strconv"
	"sync"
	"time"

	"callvault/archive"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the server's Prometheus metrics.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	egress   *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_requests_total", Help: "Requests answered, by endpoint and status.",
		}, []string{"endpoint", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "callvault_request_seconds", Help: "Seconds from a request's headers to the end of its answer.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
		}, []string{"endpoint"}),
		egress: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_egress_bytes_total", Help: "Audio bytes sent, by tenant.",
		}, []string{"tenant"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_refused_total", Help: "Requests refused by a limit: 429 the request limit, 509 the egress limit.",
		}, []string{"status"}),
	}
	version := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "callvault_build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": s.Version},
	})
	version.Set(1)
	m.refused.WithLabelValues("429")
	m.refused.WithLabelValues("509")
	m.registry.MustRegister(m.requests, m.seconds, m.egress, m.refused, version, &stock{s: s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Register adds other metrics to those that the server publishes.
func (s *Server) Register(more prometheus.Collector) { s.metrics.registry.MustRegister(more) }

// count counts a response.
func (m *metrics) count(w *response, took time.Duration) {
	status := strconv.Itoa(w.Status)
	m.requests.WithLabelValues(w.endpoint, status).Inc()
	m.seconds.WithLabelValues(w.endpoint).Observe(took.Seconds())
	if w.Status == 429 || w.Status == 509 {
		m.refused.WithLabelValues(status).Inc()
	}
}

// stock is a prometheus.Collector of what the archive holds. It asks the archive at
// most once in stockAge.
type stock struct {
	s *Server

	mu     sync.Mutex
	at     time.Time
	totals []archive.Total
}

const stockAge = 30 * time.Second

var (
	heldDesc  = prometheus.NewDesc("callvault_recordings_held", "Recordings whose audio is held, by tenant.", []string{"tenant"}, nil)
	knownDesc = prometheus.NewDesc("callvault_recordings_known", "Recordings known, with or without audio, by tenant.", []string{"tenant"}, nil)
	bytesDesc = prometheus.NewDesc("callvault_held_bytes", "Bytes of the audio held, by tenant.", []string{"tenant"}, nil)
	freeDesc  = prometheus.NewDesc("callvault_disk_free_bytes", "Bytes free where audio is kept.", nil, nil)
)

// Describe sends the descriptions of the metrics.
func (c *stock) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{heldDesc, knownDesc, bytesDesc, freeDesc} {
		to <- desc
	}
}

// Collect sends the metrics.
func (c *stock) Collect(to chan<- prometheus.Metric) {
	for _, total := range c.current() {
		to <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(total.Held), total.Tenant)
		to <- prometheus.MustNewConstMetric(knownDesc, prometheus.GaugeValue, float64(total.Recordings), total.Tenant)
		to <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(total.Bytes), total.Tenant)
	}
	if c.s.DiskFree == nil {
		return
	}
	if free, err := c.s.DiskFree(); err == nil {
		to <- prometheus.MustNewConstMetric(freeDesc, prometheus.GaugeValue, float64(free))
	}
}

// current returns the totals, at most stockAge old. If the archive does not answer, it
// returns the last totals and does not ask again for stockAge: the other metrics
// matter most just then, and must not wait for the archive each time.
func (c *stock) current() []archive.Total {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < stockAge {
		return c.totals
	}
	totals, err := c.s.Archive.Totals(context.Background())
	c.at = time.Now()
	if err != nil {
		c.s.Log.Error("metrics", "error", err)
		return c.totals
	}
	c.totals = totals
	return totals
}
