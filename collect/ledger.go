package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"callvault"
	"callvault/meter"
)

const hourMs = int64(time.Hour / time.Millisecond)

// site is a tenant of a source, as the ledger has it. Times are Unix milliseconds.
type site struct {
	tenant     string // its name here
	source     string
	remote     string // its name at the source
	closedMs   int64  // the source has closed it until then
	learned    *int64 // the egress limit in bytes, as a 509 taught it; nil if none did
	completeMs int64  // when the last run began after which nothing was lacking; 0 for none
}

const siteColumns = `tenant, source, remote, closed_ms, learned, complete_ms`

func scanSite(row interface{ Scan(...any) error }) (*site, error) {
	s := &site{}
	if err := row.Scan(&s.tenant, &s.source, &s.remote, &s.closedMs, &s.learned, &s.completeMs); err != nil {
		return nil, err
	}
	return s, nil
}

// sites returns the tenants of a source, or of all sources if it is "".
func (c *Collector) sites(ctx context.Context, source string) ([]*site, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT `+siteColumns+` FROM collected_tenants
		WHERE $1 = '' OR source = $1 ORDER BY tenant`, source)
	if err != nil {
		return nil, fmt.Errorf("collected tenants: %w", err)
	}
	defer rows.Close()
	var all []*site
	for rows.Next() {
		s, err := scanSite(rows)
		if err != nil {
			return nil, fmt.Errorf("collected tenants: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// SourceOf returns the name of the source that a tenant is collected from. The error
// is callvault.NotFound if it is not collected.
func (c *Collector) SourceOf(ctx context.Context, tenant string) (source string, err error) {
	err = c.db.Reader.QueryRowContext(ctx, `SELECT source FROM collected_tenants WHERE tenant = $1`, tenant).Scan(&source)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("the tenant %s is not collected from any source: %w", tenant, callvault.NotFound)
	}
	if err != nil {
		return "", fmt.Errorf("tenant %s: %w", tenant, err)
	}
	return source, nil
}

// FormerSources returns the sources that tenants were collected from and that are not
// among those present: they were taken out of the configuration. What they listed, and
// what became of it, is still known; nothing can be asked of them.
func (c *Collector) FormerSources(ctx context.Context, present []*Source) ([]*Source, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT source, (SELECT coalesce(min(from_ms), 0) FROM listed WHERE listed.source = owners.source)
		FROM (SELECT DISTINCT source FROM collected_tenants) AS owners ORDER BY source`)
	if err != nil {
		return nil, fmt.Errorf("former sources: %w", err)
	}
	defer rows.Close()
	var all []*Source
	for rows.Next() {
		s := &Source{Lookback: DefaultLookback}
		if err := rows.Scan(&s.Name, &s.Since); err != nil {
			return nil, fmt.Errorf("former sources: %w", err)
		}
		if !slices.ContainsFunc(present, func(p *Source) bool { return p.Name == s.Name }) {
			all = append(all, s)
		}
	}
	return all, rows.Err()
}

// errOtherSource says that a tenant already belongs to another source.
var errOtherSource = errors.New("belongs to another source")

// claim returns a tenant of a source, and makes it the source's if it was nobody's: then
// it calls first in the same transaction. The error is errOtherSource if it belongs to
// another source.
func (c *Collector) claim(ctx context.Context, source *Source, remote string, first func(*sql.Tx) error) (*site, error) {
	name := source.Prefix + remote
	if err := callvault.CheckKey("tenant's name", name); err != nil {
		return nil, err
	}
	var owned *site
	err := c.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		claimed, err := tx.ExecContext(ctx, `INSERT INTO collected_tenants (`+siteColumns+`) VALUES ($1, $2, $3, 0, NULL, 0)
			ON CONFLICT (tenant) DO NOTHING`, name, source.Name, remote)
		if err != nil {
			return err
		}
		n, err := claimed.RowsAffected()
		if err == nil && n > 0 {
			err = first(tx)
		}
		if err == nil {
			owned, err = scanSite(tx.QueryRowContext(ctx, `SELECT `+siteColumns+` FROM collected_tenants WHERE tenant = $1`, name))
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("tenant %s: %w", name, err)
	case owned.source != source.Name || owned.remote != remote:
		return nil, fmt.Errorf("the tenant %s of source %s %w, %s: if it is another site, give the source a prefix in the configuration; if it is the same, callvault handover %s --to %s, or give the source its old name",
			name, source.Name, errOtherSource, owned.source, name, source.Name)
	}
	return owned, c.ensureTenants(ctx, []string{name})
}

// saveSite writes what a run has learned about a tenant.
func (c *Collector) saveSite(ctx context.Context, s *site) error {
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE collected_tenants SET closed_ms = $1, learned = $2, complete_ms = $3 WHERE tenant = $4`,
			s.closedMs, s.learned, s.completeMs, s.tenant)
		return err
	})
	if err != nil {
		return fmt.Errorf("tenant %s: %w", s.tenant, err)
	}
	return nil
}

// clockSlack is how far ahead of now a recorded time may lie and still be believed.
const clockSlack = time.Hour

// listings returns what was listed of a source until now, in order of time. It leaves
// out what was listed at a time that has not come: the clock was wrong then, so that
// stretches that were not over, or had not even begun, counted as over for long.
func (c *Collector) listings(ctx context.Context, source string, now time.Time) ([]listing, error) {
	return readListings(ctx, c.db.Reader, source, now)
}

// changeListings replaces what was listed of a source by what change makes of it. No other
// transaction changes it until tx ends.
func (c *Collector) changeListings(ctx context.Context, tx *sql.Tx, source string, change func([]listing) []listing) error {
	if err := c.db.Exclude(ctx, tx, "listed "+source); err != nil {
		return err
	}
	all, err := readListings(ctx, tx, source, time.Now())
	if err != nil {
		return err
	}
	return writeListings(ctx, tx, source, change(all))
}

func readListings(ctx context.Context, db queryer, source string, now time.Time) ([]listing, error) {
	rows, err := db.QueryContext(ctx, `SELECT from_ms, to_ms, listed_ms FROM listed WHERE source = $1 AND listed_ms <= $2 ORDER BY from_ms`,
		source, now.Add(clockSlack).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("listed stretches of %s: %w", source, err)
	}
	defer rows.Close()
	var all []listing
	for rows.Next() {
		var l listing
		if err := rows.Scan(&l.From, &l.To, &l.at); err != nil {
			return nil, fmt.Errorf("listed stretches of %s: %w", source, err)
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

// writeListings replaces what was listed of a source.
func writeListings(ctx context.Context, tx *sql.Tx, source string, all []listing) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM listed WHERE source = $1`, source); err != nil {
		return fmt.Errorf("listed stretches of %s: %w", source, err)
	}
	for _, l := range all {
		_, err := tx.ExecContext(ctx, `INSERT INTO listed (source, from_ms, to_ms, listed_ms) VALUES ($1, $2, $3, $4)`, source, l.From, l.To, l.at)
		if err != nil {
			return fmt.Errorf("listed stretches of %s: %w", source, err)
		}
	}
	return nil
}

// paces returns the last requests of earlier runs, by subject. known is false if the
// last run did not end in order, so that its last requests are not known.
func (c *Collector) paces(ctx context.Context, source string) (last map[string][3]int64, known bool, err error) {
	var resting bool
	err = c.db.Reader.QueryRowContext(ctx, `SELECT resting FROM sources WHERE name = $1`, source).Scan(&resting)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, c.untouched(ctx), nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("paces of %s: %w", source, err)
	}
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT subject, first_ms, second_ms, third_ms FROM paces WHERE source = $1`, source)
	if err != nil {
		return nil, false, fmt.Errorf("paces of %s: %w", source, err)
	}
	defer rows.Close()
	last = map[string][3]int64{}
	for rows.Next() {
		var subject string
		var l [3]int64
		if err := rows.Scan(&subject, &l[0], &l[1], &l[2]); err != nil {
			return nil, false, fmt.Errorf("paces of %s: %w", source, err)
		}
		last[subject] = l
	}
	return last, resting, rows.Err()
}

// untouched reports whether the archive is empty, so that no earlier run can have been
// forgotten with a lost database.
func (c *Collector) untouched(ctx context.Context) bool {
	totals, err := c.archive.Totals(ctx)
	return err == nil && len(totals) == 0
}

// ledgerOf reads a tenant's egress: the audio bytes fetched, by hour.
func (c *Collector) ledgerOf(ctx context.Context, tenant string) (*meter.Ledger, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT hour, bytes FROM fetched WHERE tenant = $1 ORDER BY hour`, tenant)
	if err != nil {
		return nil, fmt.Errorf("egress of %s: %w", tenant, err)
	}
	defer rows.Close()
	l := &meter.Ledger{}
	for rows.Next() {
		var hour, bytes int64
		if err := rows.Scan(&hour, &bytes); err != nil {
			return nil, fmt.Errorf("egress of %s: %w", tenant, err)
		}
		l.Add(bytes, hour*hourMs)
	}
	return l, rows.Err()
}

// fetched returns the audio bytes fetched from each tenant that still count at now.
func (c *Collector) fetched(ctx context.Context, now time.Time) (map[string]int64, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT tenant, CAST(sum(bytes) AS BIGINT) FROM fetched WHERE hour >= $1 GROUP BY tenant`,
		meter.OldestHour(now.UnixMilli()))
	if err != nil {
		return nil, fmt.Errorf("egress of the tenants: %w", err)
	}
	defer rows.Close()
	all := map[string]int64{}
	for rows.Next() {
		var tenant string
		var bytes int64
		if err := rows.Scan(&tenant, &bytes); err != nil {
			return nil, fmt.Errorf("egress of the tenants: %w", err)
		}
		all[tenant] = bytes
	}
	return all, rows.Err()
}

// addFetched adds audio bytes to a tenant's egress, and forgets what no longer counts.
func addFetched(ctx context.Context, tx *sql.Tx, tenant string, bytes, now int64) error {
	if bytes == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO fetched (tenant, hour, bytes) VALUES ($1, $2, $3)
		ON CONFLICT (tenant, hour) DO UPDATE SET bytes = fetched.bytes + excluded.bytes`, tenant, now/hourMs, bytes)
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM fetched WHERE tenant = $1 AND hour < $2`,
			tenant, (now-callvault.EgressWindow.Milliseconds())/hourMs-1)
	}
	if err != nil {
		return fmt.Errorf("egress of %s: %w", tenant, err)
	}
	return nil
}

// limit returns the tenant's egress limit at its source, in bytes over
// callvault.EgressWindow, as its agents determine it or as a 509 taught it.
func (s *site) limit(source *Source) (limit int64, known bool) {
	if agents, ok := source.Agents[s.remote]; ok {
		return agents * callvault.EgressPerAgent, true
	}
	if s.learned != nil {
		return *s.learned, true
	}
	return 0, false
}

// opensAt returns when the tenant may next be asked for size bytes: the source may have
// closed it, or its egress limit, where agents are configured, leave no room before then.
func (s *site) opensAt(source *Source, ledger *meter.Ledger, size, now int64) int64 {
	agents, configured := source.Agents[s.remote]
	if !configured {
		return s.closedMs
	}
	if at, fits := ledger.FreesAt(agents*callvault.EgressPerAgent, size, now); fits {
		return max(s.closedMs, at)
	}
	return s.closedMs
}
