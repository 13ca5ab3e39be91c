//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
)

// The numbers of recordings among which lists and searches are measured, unless
// BENCH_SIZES says otherwise, and the number of recordings in a week.
const (
	scales = "1000000 10000000"
	weekly = 100_000
)

// scale measures how much space a recording takes in PostgreSQL, and lists and searches
// among few recordings and among many. It needs some 5 KB of disk for each recording.
func scale(ctx context.Context, b *bench) error {
	server, err := b.startPostgreSQL(ctx, "shared_buffers=1GB", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=8GB",
		"maintenance_work_mem=256MB", "synchronous_commit=off", "full_page_writes=off")
	if err != nil {
		return err
	}
	defer server.stop()
	g := &grown{week: weekly}
	l, blobs, err := b.seedWeek(ctx, server, g)
	if err != nil {
		return err
	}
	defer g.db.Close()
	defer blobs.Close()
	var first *scaled
	for size := range strings.FieldsSeq(cmp.Or(os.Getenv("BENCH_SIZES"), scales)) {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		if err := g.grow(ctx, n); err != nil {
			return err
		}
		s, err := b.measureScale(ctx, g, l, blobs)
		if err != nil {
			return err
		}
		s.print()
		if first == nil {
			first = s
		}
		compareScales(first, s) // the first with itself, too: the next may take hours
	}
	return nil
}

// seedWeek makes the first week.
func (b *bench) seedWeek(ctx context.Context, server *postgreSQL, g *grown) (*loaded, *disk.Store, error) {
	l, err := b.loadInto(ctx, place{filepath.Join(b.dir, "scale"), server.url()}, func(l *loading) error {
		g.db = l.db
		blobs, err := disk.Open(filepath.Join(l.dir, "audio"))
		if err != nil {
			return err
		}
		defer blobs.Close()
		return g.seed(ctx, l, blobs)
	})
	if err != nil {
		return nil, nil, err
	}
	if g.db, err = database.Open(ctx, server.url()); err != nil {
		return nil, nil, err
	}
	blobs, err := disk.Open(filepath.Join(l.dir, "audio"))
	return l, blobs, err
}

// scaled is what was measured with a number of recordings.
type scaled struct {
	recordings int
	names      []string // the tables and indexes
	bytes      map[string]int64
	lists      []timed
	searches   []timed
}

// timed is how long something took, in milliseconds, and a further figure.
type timed struct {
	name            string
	median, slowest float64
	more            string
}

func (b *bench) measureScale(ctx context.Context, g *grown, l *loaded, blobs archive.Blobs) (*scaled, error) {
	s := &scaled{recordings: g.weeks * g.week}
	var err error
	if s.names, s.bytes, err = g.sizes(ctx); err != nil {
		return nil, err
	}
	if s.lists, err = b.timeLists(ctx, g, l); err != nil {
		return nil, err
	}
	a, err := archive.New(ctx, g.db, blobs)
	if err != nil {
		return nil, err
	}
	for i := range searchCases {
		row, err := b.searchOne(ctx, a, nil, &searchCases[i])
		if err != nil {
			return nil, fmt.Errorf("search %s: %w", searchCases[i].name, err)
		}
		s.searches = append(s.searches, timed{name: row.name, median: median(row.firsts), slowest: slices.Max(row.firsts), more: fmt.Sprint(row.found)})
	}
	return s, nil
}

// timeLists reads lists over HTTP, of the first hour and of the last weeks. Their lengths
// do not depend on how many recordings there are in all.
func (b *bench) timeLists(ctx context.Context, g *grown, l *loaded) (list []timed, err error) {
	service, err := b.start(ctx, "callvault", func(address string) (*exec.Cmd, error) {
		return exec.Command(b.callvault, "serve", "--data", l.dir, "--database", l.database, "--listen", address), nil
	})
	if err != nil {
		return nil, err
	}
	defer service.stop()
	end := int64(firstStart) + int64(g.weeks)*week
	cases := []struct {
		name     string
		from, to int64
		tenant   string
	}{
		{"the first hour, all tenants", firstStart, firstStart + 3600_000, ""},
		{"the last hour, all tenants", end - 3600_000, end, ""},
		{"the last three weeks, all tenants", end - 3*week, end, ""},
		{"the last ten weeks of one tenant", end - 10*week, end, tenantName(1)},
	}
	for _, c := range cases {
		query := url.Values{"startTime": {instant(c.from)}, "endTime": {instant(c.to)}}
		if c.tenant != "" {
			query.Set("tenantName", c.tenant)
		}
		address := service.url() + "/rest/api/v2/recordings?" + query.Encode()
		var firsts, rates []float64
		for range b.rounds {
			got, err := fetch(ctx, address, l.key, io.Discard)
			if err != nil {
				return nil, err
			}
			firsts, rates = append(firsts, got.first), append(rates, got.rate)
		}
		list = append(list, timed{c.name, median(firsts), slices.Max(firsts), show(median(rates)) + " MB/s"})
	}
	return list, nil
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// print prints the sizes. compareScales prints the times.
func (s *scaled) print() {
	rows := [][]string{{"table or index", "GB", "bytes a recording"}}
	var total int64
	for _, name := range s.names {
		total += s.bytes[name]
		rows = append(rows, []string{name, show(float64(s.bytes[name]) / 1e9), show(float64(s.bytes[name]) / float64(s.recordings))})
	}
	rows = append(rows, []string{"all", show(float64(total) / 1e9), show(float64(total) / float64(s.recordings))})
	table(fmt.Sprintf("PostgreSQL with %d recordings", s.recordings), rows...)
}

// compareScales prints what was timed at two sizes side by side.
func compareScales(few, many *scaled) {
	of := func(s *scaled, what string) string {
		return fmt.Sprintf("%s at %g million", what, float64(s.recordings)/1e6)
	}
	header := func(what, more string) []string {
		return []string{what, of(few, "ms"), "slowest", more, of(many, "ms"), "slowest", more, "ratio"}
	}
	rows := func(header []string, few, many []timed) [][]string {
		all := [][]string{header}
		for i, one := range few {
			other := many[i]
			all = append(all, []string{one.name, show(one.median), show(one.slowest), one.more,
				show(other.median), show(other.slowest), other.more, show(other.median / one.median)})
		}
		return all
	}
	table("lists over HTTP, time to the first byte", rows(header("list", "rate"), few.lists, many.lists)...)
	table("searches, first page of 50", rows(header("search", "found"), few.searches, many.searches)...)
}

// progress reports how far a long step has got, on standard error.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
