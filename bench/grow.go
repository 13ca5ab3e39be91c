//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"callvault/archive"
	"callvault/database"

	"golang.org/x/sync/errgroup"
)

// grown is a PostgreSQL database that holds copies of one week of recordings, one for
// each of many weeks.
type grown struct {
	db    *database.DB
	week  int // recordings in a week
	weeks int // weeks so far
}

// seed writes the first week, as the program would have left it: held, with its marks,
// and listed by a collector.
func (g *grown) seed(ctx context.Context, l *loading, blobs archive.Blobs) error {
	if err := l.rowsOnly(g.week); err != nil {
		return err
	}
	err := g.run(ctx,
		`UPDATE recordings SET sha256 = sha256(convert_to(recording_key, 'UTF8')), upload_sha256 = sha256(convert_to(call_key, 'UTF8')),
			audio_ms = 60000, path = tenant || '/2026/01/05/' || recording_key`,
		`INSERT INTO items (tenant, recording_key, source, start_ms, duration_ms, size, status, urgency, digest, state, reason, doubt,
			changed_ms, vanished_ms, seen_ms, tried_ms, failed_ms)
			SELECT tenant, recording_key, 'bench', start_ms, 60000, bytes, status, 1, sha256, 'held', '', '',
			0, 0, start_ms, start_ms, 0 FROM recordings`,
		`INSERT INTO unmarked VALUES ('', 0, '')`) // as in a database from before there were marks
	if err != nil {
		return err
	}
	if _, err := archive.New(ctx, g.db, blobs); err != nil { // marks them
		return err
	}
	g.weeks = 1
	for _, table := range bigTables {
		if err := g.run(ctx, "CREATE TABLE first_"+table.name+" AS TABLE "+table.name); err != nil {
			return err
		}
	}
	return g.tidy(ctx, "VACUUM FULL")
}

// bigTables are the tables with rows for each recording, and the query that copies a week
// of each, $1 milliseconds later. A key ends with the start.
var bigTables = []struct{ name, copy string }{
	{"recordings", `SELECT tenant, start_ms + $1, replace(recording_key, start_ms::text, (start_ms + $1)::text),
		replace(call_key, start_ms::text, (start_ms + $1)::text), status, agent, skill,
		replace(json, start_ms::text, (start_ms + $1)::text), bytes, audio_ms,
		sha256(sha256 || int8send($1)), sha256(upload_sha256 || int8send($1)),
		replace(path, start_ms::text, (start_ms + $1)::text), added_ms + $1, read_ms`},
	{"calls", `SELECT tenant, replace(call_key, start_ms::text, (start_ms + $1)::text), start_ms + $1, given,
		replace(json, start_ms::text, (start_ms + $1)::text), lead_ms, reach_ms, updated_ms + $1`},
	{"items", `SELECT tenant, replace(recording_key, start_ms::text, (start_ms + $1)::text), source, start_ms + $1, duration_ms,
		size, status, urgency, sha256(digest || int8send($1)), state, reason, doubt, changed_ms, vanished_ms,
		seen_ms + $1, tried_ms + $1, failed_ms`},
	{"marks", `SELECT mark, start_ms + $1, replace(recording_key, start_ms::text, (start_ms + $1)::text), tenant`},
}

// grow copies the first week until there are n recordings. The tables keep all their
// indexes, as they do when recordings come in.
func (g *grown) grow(ctx context.Context, n int) error {
	var tables errgroup.Group
	weeks := n / g.week
	for _, table := range bigTables {
		tables.Go(func() error {
			began := time.Now()
			for w := g.weeks; w < weeks; w++ {
				later := fmt.Sprintf("%d::bigint", int64(w)*week)
				text := "INSERT INTO " + table.name + " " + strings.ReplaceAll(table.copy, "$1", later) + " FROM first_" + table.name
				if err := g.run(ctx, text); err != nil {
					return err
				}
			}
			progress("%s: %d weeks in %.0f s", table.name, weeks, time.Since(began).Seconds())
			return nil
		})
	}
	if err := tables.Wait(); err != nil {
		return err
	}
	g.weeks = weeks
	return g.tidy(ctx, "VACUUM ANALYZE")
}

func (g *grown) tidy(ctx context.Context, how string) error {
	for _, table := range bigTables {
		if _, err := g.db.Relaxed.ExecContext(database.Patient(ctx), how+" "+table.name); err != nil {
			return fmt.Errorf("%s %s: %w", how, table.name, err)
		}
	}
	return nil
}

func (g *grown) run(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := g.db.Relaxed.ExecContext(database.Patient(ctx), statement); err != nil {
			return fmt.Errorf("%.40s: %w", statement, err)
		}
	}
	return nil
}

// sizes returns the size in bytes of each big table and each of its indexes, by name. The
// names list each table's rows before its indexes.
func (g *grown) sizes(ctx context.Context) (names []string, bytes map[string]int64, err error) {
	bytes = map[string]int64{}
	for _, table := range bigTables {
		rows, err := g.db.Reader.QueryContext(ctx, `SELECT '', pg_table_size(c.oid) FROM pg_class c WHERE relname = $1 AND relkind = 'r'
			UNION ALL SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid
			WHERE relname = $1 ORDER BY 1`, table.name)
		if err != nil {
			return nil, nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var index string
			var size int64
			if err := rows.Scan(&index, &size); err != nil {
				return nil, nil, err
			}
			name := table.name
			if index != "" {
				name = "  " + index
			}
			names, bytes[name] = append(names, name), size
		}
		if err := rows.Err(); err != nil {
			return nil, nil, err
		}
	}
	return names, bytes, nil
}
