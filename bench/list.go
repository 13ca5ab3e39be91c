//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	listed     = 300_000     // recordings
	listTarget = 450         // MB/s
	listTime   = time.Minute // a list may take at most
)

// list measures the lists as a client reads them to their end, beside nginx, which sends
// the same bytes from a file, and beside SQLite alone, which reads the same column in the
// same order, one row per recording.
func list(ctx context.Context, b *bench) error {
	l, err := b.load(ctx, "list", func(l *loading) error { return l.rowsOnly(listed) })
	if err != nil {
		return err
	}
	service, err := b.serve(ctx, l)
	if err != nil {
		return err
	}
	defer service.stop()
	idle, err := service.peak()
	if err != nil {
		return err
	}
	static := filepath.Join(b.dir, "static")
	if err := os.Mkdir(static, 0o700); err != nil {
		return err
	}
	files, err := b.nginx(ctx, static)
	if err != nil {
		return err
	}
	defer files.stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(l.dir, "callvault.db")+"?_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()

	span := url.Values{"startTime": {"2026-01-01T00:00:00Z"}, "endTime": {"2026-02-01T00:00:00Z"}}
	ofTenant := url.Values{"startTime": span["startTime"], "endTime": span["endTime"], "tenantName": {tenantName(1)}}
	api := service.url() + "/rest/api/v2/"
	lists := []listCase{
		{"recordings", api + "recordings?" + span.Encode(), "recordings"},
		{"recordings of one tenant", api + "recordings?" + ofTenant.Encode(), ""},
		{"call-recording-info", api + "call-recording-info?" + span.Encode(), ""},
	}
	rows := [][]string{targetHeader}
	for i := range lists {
		more, err := b.compareList(ctx, &lists[i], &listPeers{l.key, static, files, db})
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	peak, err := service.peak()
	if err != nil {
		return err
	}
	rows = append(rows,
		below("most memory resident", []float64{float64(peak) / 1e6}, 100, " MB"),
		reference("of it before the first list", []float64{float64(idle) / 1e6}, " MB"))
	table(fmt.Sprintf("lists of %d recordings over HTTP, %d calls", listed, listed), rows...)
	return nil
}

// listCase is a list, and the table whose JSON SQLite alone reads for comparison.
type listCase struct{ name, address, table string }

// listPeers are what lists are compared with.
type listPeers struct {
	key    string
	static string // the folder that files serves
	files  *process
	db     *sql.DB
}

func (b *bench) compareList(ctx context.Context, c *listCase, peers *listPeers) ([][]string, error) {
	const name = "list.json"
	file, err := os.Create(filepath.Join(peers.static, name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := fetch(ctx, c.address, peers.key, file); err != nil {
		return nil, err
	}
	var ours, nginx, bare, first []float64
	for range b.rounds {
		listed, err := fetch(ctx, c.address, peers.key, io.Discard)
		if err != nil {
			return nil, err
		}
		sent, err := fetch(ctx, peers.files.url()+"/"+name, "", io.Discard)
		if err != nil {
			return nil, err
		}
		ours, nginx = append(ours, listed.rate), append(nginx, sent.rate)
		first = append(first, listed.first)
		if c.table == "" {
			continue
		}
		read, err := readColumn(ctx, peers.db, c.table)
		if err != nil {
			return nil, err
		}
		bare = append(bare, read)
	}
	rows := [][]string{reference(c.name, ours, " MB/s")}
	if c.table != "" {
		rows[0] = atLeast(c.name, ours, listTarget, " MB/s")
		rows = append(rows, reference("  ÷ SQLite alone, a row a recording", ratios(ours, bare), ""))
	}
	return append(rows,
		reference("  ÷ nginx, the same bytes from a file", ratios(ours, nginx), ""),
		below("  first byte", first, 5, " ms")), nil
}

// fetched is how fast a body came.
type fetched struct {
	rate  float64 // MB/s, from the request to the last byte
	first float64 // milliseconds until the first byte
}

// fetch reads an answer to its end and copies its body.
func fetch(ctx context.Context, address, key string, to io.Writer) (f fetched, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return f, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return f, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return f, fmt.Errorf("%s: %s", address, answer.Status)
	}
	var total int64
	for buffer := make([]byte, 256<<10); ; {
		n, err := answer.Body.Read(buffer)
		if total == 0 {
			f.first = time.Since(began).Seconds() * 1000
		}
		total += int64(n)
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
			return f, writeErr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return f, err
		}
	}
	f.rate = float64(total) / 1e6 / time.Since(began).Seconds()
	return f, nil
}

// readColumn reads a table's JSON in the order of its list and returns the rate in MB/s.
func readColumn(ctx context.Context, db *sql.DB, table string) (float64, error) {
	began := time.Now()
	rows, err := db.QueryContext(ctx, `SELECT json FROM `+table+` INDEXED BY `+table+`_by_start ORDER BY start_ms, recording_key, tenant`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var total int
	for rows.Next() {
		var row sql.RawBytes
		if err := rows.Scan(&row); err != nil {
			return 0, err
		}
		total += len(row)
	}
	return float64(total) / 1e6 / time.Since(began).Seconds(), rows.Err()
}
