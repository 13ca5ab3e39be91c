//go:build unix

package main

import (
	"strings"
	"testing"
	"time"

	"callvault/collect"

	"github.com/prometheus/client_golang/prometheus"
)

// told are the metrics of a ledger as they are shown now.
func (m *ledgerMetrics) told(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		text.WriteString(family.String() + "\n")
	}
	return text.String()
}

// TestLedgerPause: a ledger that cannot be read is left alone for a while, and told of
// again after it.
func TestLedgerPause(t *testing.T) {
	data := pacedCollector(t, 1)
	must(t, data, "collect")
	config, err := readConfig(&options{place: place{data: data}})
	if err != nil {
		t.Fatal(err)
	}
	sources, err := config.sources(nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*vault, *collect.Collector) {
		v, err := openVault(t.Context(), place{data: data})
		if err != nil {
			t.Fatal(err)
		}
		collector, closeIt, err := newCollector(v, quiet())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeIt(); v.Close() })
		return v, collector
	}
	away, unread := open()
	if err := away.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, well := open()
	name := sources[0].Name
	m := &ledgerMetrics{collector: unread, sources: []*collect.Source{sources[0].Source}, failed: map[string]time.Time{}}
	if text := m.told(t); strings.Contains(text, "callvault_collect") || m.failed[name].IsZero() {
		t.Errorf("of a ledger that cannot be read is told %s", text)
	}
	m.collector = well
	if text := m.told(t); strings.Contains(text, "callvault_collect") {
		t.Errorf("it is read again at once: %s", text)
	}
	m.failed[name] = time.Now().Add(-ledgerPause - time.Second)
	if text := m.told(t); !strings.Contains(text, "callvault_collect_recordings") {
		t.Errorf("it is not read again: %s", text)
	}
}
