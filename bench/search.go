//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
)

// searched is the number of recordings to search, unless BENCH_RECORDINGS says otherwise.
const searched = 1_000_000

// searchCase is a search, and the text by which SQLite alone finds the same in the JSON of
// all recordings.
type searchCase struct {
	name  string
	query archive.Query
	text  string
}

var searchCases = []searchCase{
	{"newest", archive.Query{}, ""},
	{"one tenant", archive.Query{Tenants: []string{tenantName(1)}}, `"` + tenantName(1)},
	{"a number", archive.Query{Party: "8015554321"}, "8015554321"},
	{"its last four digits, none", archive.Query{Party: "77777"}, "77777"},
	{"three digits", archive.Query{Party: "432"}, `432"`},
	{"a name", archive.Query{Party: "agent 17"}, "Agent 17("},
	{"an agent", archive.Query{Agent: "agent 17"}, `"agent":"Agent 17(`},
	{"a skill", archive.Query{Skill: "bill"}, `"skill":"Bill`},
	{"a tag, none", archive.Query{Tag: "vip"}, `"tagData":"VIP`},
	{"a direction, none", archive.Query{Direction: "INTERNAL"}, `"INTERNAL"`},
	{"over 99 s", archive.Query{MinLength: 99 * time.Second}, `"duration":99`},
	{"over an hour, none", archive.Query{MinLength: time.Hour}, `"duration":36000`},
	{"agent and number", archive.Query{Agent: "agent 17", Party: "4321"}, ""},
	{"agent, skill, tenant", archive.Query{Agent: "agent 17", Skill: "bill", Tenants: []string{tenantName(1)}}, ""},
	{"agent and length, none", archive.Query{Agent: "agent 17", MinLength: 99_990 * time.Millisecond}, ""},
	{"by one agent's ears", archive.Query{Grant: &callvault.Grant{AllTenants: true, Agents: []string{"Agent 17(217)"}}}, ""},
}

// search measures each search, the first page of 50 and the ten after it, beside SQLite
// alone, which reads recordings until it has found as many.
func search(ctx context.Context, b *bench) error {
	n := number("BENCH_RECORDINGS", searched)
	l, err := b.load(ctx, "search", func(l *loading) error {
		if err := l.rowsOnly(n); err != nil {
			return err
		}
		return l.db.Tx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO unmarked VALUES ('', 0, '')`) // as in a database from before there were marks
			return err
		})
	})
	if err != nil {
		return err
	}
	db, err := database.Open(ctx, filepath.Join(l.dir, "callvault.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	blobs, err := disk.Open(filepath.Join(l.dir, "audio"))
	if err != nil {
		return err
	}
	defer blobs.Close()
	began := time.Now()
	a, err := archive.New(ctx, db, blobs)
	if err != nil {
		return err
	}
	marking := time.Since(began).Seconds()
	rows := [][]string{{"search", "first page, ms", fmt.Sprintf("slowest of %d", b.rounds), "pages 2–11, each", "found", "÷ SQLite reading"}}
	for i := range searchCases {
		found, err := b.searchOne(ctx, a, db, &searchCases[i])
		if err != nil {
			return err
		}
		rows = append(rows, found.row())
	}
	table(fmt.Sprintf("search among %d recordings, marked in %.0f s", n, marking), rows...)
	return nil
}

// searchTimes are how long a search took, in milliseconds.
type searchTimes struct {
	name   string
	firsts []float64 // the first page, round by round
	found  int       // how many it found
	later  []float64 // each of the ten pages after it
	scans  []float64 // SQLite alone
}

// searchOne measures a search, and SQLite alone if the case has a text and db is not nil.
func (b *bench) searchOne(ctx context.Context, a *archive.Archive, db *database.DB, c *searchCase) (*searchTimes, error) {
	if c.query.Grant == nil {
		c.query.Grant = &callvault.Grant{AllTenants: true}
	}
	t := &searchTimes{name: c.name}
	var page *archive.Found
	var err error
	for range b.rounds {
		began := time.Now()
		if page, err = a.Search(ctx, &c.query); err != nil {
			return nil, err
		}
		t.firsts = append(t.firsts, time.Since(began).Seconds()*1000)
	}
	if c.text != "" && db != nil {
		began := time.Now()
		if err := scan(ctx, db.Reader, c.text); err != nil {
			return nil, err
		}
		t.scans = append(t.scans, time.Since(began).Seconds()*1000)
	}
	t.found = len(page.Entries)
	for q := c.query; len(t.later) < 10 && page.Next != ""; {
		q.After = page.Next
		began := time.Now()
		if page, err = a.Search(ctx, &q); err != nil {
			return nil, err
		}
		t.later = append(t.later, time.Since(began).Seconds()*1000)
	}
	return t, nil
}

func (t *searchTimes) row() []string {
	row := []string{t.name, show(median(t.firsts)), show(slices.Max(t.firsts)), "", fmt.Sprint(t.found), ""}
	if len(t.later) > 0 {
		row[3] = show(median(t.later))
	}
	if len(t.scans) > 0 {
		row[5] = fmt.Sprintf("%s (%s ms)", show(median(t.firsts)/t.scans[0]), show(t.scans[0]))
	}
	return row
}

// scan reads recordings, the newest first, until it has found 50 with the text.
func scan(ctx context.Context, db *sql.DB, text string) error {
	var n int
	return db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT json FROM recordings INDEXED BY recordings_by_start
		WHERE instr(json, $1) > 0 ORDER BY start_ms DESC, recording_key DESC, tenant DESC LIMIT 50)`, text).Scan(&n)
}
