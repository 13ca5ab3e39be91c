//go:build unix

package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/collect"
	"callvault/database/databasetest"
	"callvault/server"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape returns the metrics of a ledger as they are now.
func (m *ledgerMetrics) scrape(t *testing.T) string {
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

// TestLedgerPause: a ledger that could not be read is left alone for a while, and then
// shown again.
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
		collector, closeQuarantine, err := newCollector(v, warningLog())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeQuarantine(); v.Close() })
		return v, collector
	}
	away, unread := open()
	if err := away.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, well := open()
	name := sources[0].Name
	m := &ledgerMetrics{collector: unread, sources: []*collect.Source{sources[0].Source}, failed: map[string]time.Time{}}
	if text := m.scrape(t); strings.Contains(text, "callvault_collect") || m.failed[name].IsZero() {
		t.Errorf("a ledger that cannot be read has the metrics %s", text)
	}
	m.collector = well
	if text := m.scrape(t); strings.Contains(text, "callvault_collect") {
		t.Errorf("it is read again at once: %s", text)
	}
	m.failed[name] = time.Now().Add(-ledgerPause - time.Second)
	if text := m.scrape(t); !strings.Contains(text, "callvault_collect_recordings") {
		t.Errorf("it is not read again: %s", text)
	}
}

// TestFormerSourceIsShown: the pages show a source that was collected from and is no
// longer in the configuration; without any source they show none.
func TestFormerSourceIsShown(t *testing.T) {
	data := pacedCollector(t, 1)
	must(t, data, "collect")
	for data, want := range map[string]int{data: 1, t.TempDir(): 0} {
		v, err := openVault(t.Context(), place{data: data})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		s, err := newService(t.Context(), v, server.DefaultMaxUpload, warningLog())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.release)
		if err := s.collectBySchedule(t.Context(), &config{}, false); err != nil {
			t.Fatal(err)
		}
		if n := len(s.pages.Sources); n != want || (s.pages.Collector != nil) != (want > 0) {
			t.Errorf("the pages tell of %d sources, want %d; their collector is %v", n, want, s.pages.Collector)
		}
	}
}

// TestServiceWatches: a service that leaves collecting to others sends an alert when they
// do not collect, over PostgreSQL too.
func TestServiceWatches(t *testing.T) {
	events := make(chan collect.Event, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e collect.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		events <- e
	}))
	defer hook.Close()
	for _, url := range []string{"", databasetest.PostgreSQL(t)} {
		t.Setenv("CALLVAULT_DATABASE", url)
		data := t.TempDir()
		config := fmt.Sprintf("[[source]]\nname = \"acme\"\nurl = \"http://127.0.0.1:1\"\nkey_env = \"ACME_KEY\"\nsince = \"2026-01-01\"\n[alerts]\nwebhook = %q\n", hook.URL)
		t.Setenv("ACME_KEY", "cvk_0")
		if err := os.WriteFile(filepath.Join(data, configName), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := openVault(t.Context(), place{data: data, database: url})
		if err != nil {
			t.Fatal(err)
		}
		err = v.db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO sources (name, started_ms, ended_ms, result, error, complete_ms, resting) VALUES ('acme', $1, $1, 'complete', '', $1, TRUE)`,
				time.Now().Add(-27*time.Hour).UnixMilli())
			return err
		})
		if err = errors.Join(err, v.Close()); err != nil {
			t.Fatal(err)
		}
		p := serving(t, data, "--no-collect")
		select {
		case e := <-events:
			if e.Event != collect.EventSilent || e.Source != "acme" {
				t.Errorf("it tells of %+v", e)
			}
		case <-time.After(patience):
			t.Fatal("it tells of nothing")
		}
		stop(t, p)
	}
}
