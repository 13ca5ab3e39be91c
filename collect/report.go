package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Result says how a run ended.
type Result string

// The results of a run.
const (
	Complete   Result = "complete"   // all that the source offers is held
	Incomplete Result = "incomplete" // something is not, or the run had other problems
	Failed     Result = "failed"     // the source could not be collected from
)

// Report says what came of a run.
type Report struct {
	Source    string         `json:"source"`
	StartedAt int64          `json:"startedAt"` // Unix milliseconds
	EndedAt   int64          `json:"endedAt"`
	Result    Result         `json:"result"`
	Error     string         `json:"error"`
	Stopped   bool           `json:"stopped"` // before it was done
	Held      int            `json:"held"`    // fetched in this run
	Bytes     int64          `json:"bytes"`
	Tenants   []TenantReport `json:"tenants"`
	Problems  []Problem      `json:"problems"`
}

// TenantReport says what came of a tenant in a run.
type TenantReport struct {
	Tenant      string `json:"tenant"`
	Held        int    `json:"held"` // fetched in this run
	Bytes       int64  `json:"bytes"`
	Lacking     int    `json:"lacking"`     // offered by the source, not here
	ClosedUntil *int64 `json:"closedUntil"` // Unix milliseconds
}

// lacking is the SQL condition that an item is offered by its source and not held.
const lacking = `state IN ('due', 'quarantined', 'denied', 'missing')`

// maxProblems is how many lacking recordings of each tenant a report names.
const maxProblems = 100

// finish reports what came of the run, writes that and the paces to the ledger, and
// returns the report. A cause that says that the run's ctx ended is returned beside it.
func (r *Run) finish(ctx context.Context, cause error) (*Report, error) {
	var broken error
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		cause, broken = nil, cause
	}
	report := &Report{
		Source: r.source.Name, StartedAt: r.began, EndedAt: max(r.began, time.Now().UnixMilli()),
		Stopped: r.cutShort.Load() || broken != nil, Problems: append([]Problem{}, r.problems...), Tenants: []TenantReport{},
	}
	if r.unnamedProblems > 0 {
		report.Problems = append(report.Problems, Problem{Reason: fmt.Sprintf("%d more problems", r.unnamedProblems)})
	}
	whole := cause == nil && !report.Stopped && len(r.problems) == 0 && r.coversSource()
	for _, tenant := range slices.Sorted(maps.Keys(r.turns)) {
		one, err := r.reportTenant(ctx, r.turns[tenant], report, whole)
		if err != nil {
			return nil, err
		}
		report.Tenants = append(report.Tenants, one)
		report.Held, report.Bytes = report.Held+one.Held, report.Bytes+one.Bytes
	}
	report.Result = r.result(report, cause)
	if cause != nil {
		report.Error = cause.Error()
		r.c.log.Error("source left", "source", r.source.Name, "error", cause)
	}
	if err := r.writeEnd(ctx, report); err != nil {
		return nil, err
	}
	return report, broken
}

// coversSource reports whether the run listed all that is to be collected of the source.
func (r *Run) coversSource() bool { return r.span.From <= r.source.Since && r.span.To >= r.began }

func (r *Run) result(report *Report, cause error) Result {
	switch {
	case cause != nil:
		return Failed
	case len(report.Problems) > 0 || report.Stopped:
		return Incomplete
	}
	return Complete
}

// reportTenant reports what came of a tenant, and adds what is lacking to the report's
// problems. whole says that all lists of the run came, so that a tenant that lacks nothing
// is complete.
func (r *Run) reportTenant(ctx context.Context, t *turn, report *Report, whole bool) (TenantReport, error) {
	one := TenantReport{Tenant: t.site.tenant, Held: t.fetched, Bytes: t.bytes}
	if r.queue != nil {
		if err := r.readTaken(ctx, t, &one); err != nil {
			return one, err
		}
	}
	err := r.c.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM items INDEXED BY items_lacking WHERE tenant = $1 AND `+lacking, t.site.tenant).Scan(&one.Lacking)
	if err != nil {
		return one, fmt.Errorf("ledger of %s: %w", t.site.tenant, err)
	}
	if closed := max(t.site.closedMs, t.opensAt); closed > report.EndedAt {
		one.ClosedUntil = &closed
	}
	if one.Lacking == 0 {
		if whole {
			t.site.completeMs = r.began
			return one, r.c.saveSite(ctx, t.site) // safe: its turn is over
		}
		return one, nil
	}
	items, err := queryItems(ctx, r.c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_lacking WHERE tenant = $1 AND `+lacking+`
		ORDER BY reason = '', start_ms DESC, recording_key LIMIT $2`, t.site.tenant, maxProblems)
	for _, it := range items {
		report.Problems = append(report.Problems, Problem{Tenant: it.tenant, Key: it.key, Reason: it.why()})
	}
	if more := one.Lacking - len(items); more > 0 && err == nil {
		report.Problems = append(report.Problems, Problem{Tenant: t.site.tenant, Reason: fmt.Sprintf("%d more recordings are not held", more)})
	}
	return one, err
}

// readTaken reads what the workers that took the tenant's turn have written.
func (r *Run) readTaken(ctx context.Context, t *turn, one *TenantReport) error {
	err := r.c.db.Reader.QueryRowContext(ctx, `SELECT recordings, bytes FROM taken WHERE tenant = $1 AND began_ms = $2`,
		t.site.tenant, r.began).Scan(&one.Held, &one.Bytes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // without a row, nothing was fetched
		return fmt.Errorf("ledger of %s: %w", t.site.tenant, err)
	}
	sites, err := r.c.sites(ctx, r.source.Name)
	for _, s := range sites {
		if s.tenant == t.site.tenant {
			t.site = s
		}
	}
	return err
}

// why returns the reason why a recording is not held.
func (i *item) why() string {
	if i.reason == "" {
		return "not fetched yet"
	}
	if i.state == due || i.state == settled {
		return i.reason
	}
	return string(i.state) + ": " + i.reason
}

// markStarted notes that a run is making requests: unless it ends in order, the next run
// does not know the last of them. It also makes sure that what earlier runs tried counts
// as tried before began, whatever the clock said then.
func (c *Collector) markStarted(ctx context.Context, source string, began int64) error {
	err := c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sources (name, started_ms, ended_ms, result, error, complete_ms, resting)
			VALUES ($1, 0, 0, '', '', 0, FALSE) ON CONFLICT (name) DO UPDATE SET resting = FALSE, halted = ''`, source)
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE items INDEXED BY items_lacking SET tried_ms = CAST($1 AS BIGINT) - 1 WHERE `+lacking+` AND tried_ms >= $1
				AND tenant IN (SELECT tenant FROM collected_tenants WHERE source = $2)`, began, source)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("source %s: %w", source, err)
	}
	return nil
}

// writeEnd writes the run's report and paces to the ledger.
func (r *Run) writeEnd(ctx context.Context, report *Report) error {
	if err := r.savePaces(ctx); err != nil {
		return err
	}
	succeeded := int64(0) // when the source was last collected from, though something may be lacking
	if report.Result != Failed && !report.Stopped && r.lists.anyCame {
		succeeded = report.EndedAt
	}
	err := r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sources SET started_ms = $1, ended_ms = $2, result = $3, error = $4,
			complete_ms = CASE WHEN CAST($5 AS BIGINT) > 0 THEN $5 ELSE complete_ms END WHERE name = $6`,
			r.began, report.EndedAt, string(report.Result), report.Error, succeeded, r.source.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("end of the run over %s: %w", r.source.Name, err)
	}
	return nil
}

// savePaces writes the paces, so that the next run can continue from them, and that this
// run ended in order.
func (r *Run) savePaces(ctx context.Context) error {
	r.mu.Lock()
	only := r.onlyTurn()
	r.mu.Unlock()
	if only != nil { // the lists shared its pace
		r.lists.pacer.inherit(only.pacer)
	}
	err := r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		subjects := map[string]*pacer{listSubject: r.lists.pacer}
		for tenant, t := range r.turns {
			subjects[tenant] = t.pacer
		}
		if r.queue != nil {
			subjects = nil // shared paces are always up to date
		}
		for subject, p := range subjects {
			last, _ := p.snapshot()
			_, err := tx.ExecContext(ctx, `INSERT INTO paces (source, subject, first_ms, second_ms, third_ms) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (source, subject) DO UPDATE SET first_ms = excluded.first_ms, second_ms = excluded.second_ms, third_ms = excluded.third_ms`,
				r.source.Name, subject, last[0], last[1], last[2])
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE sources SET resting = TRUE WHERE name = $1`, r.source.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("paces of %s: %w", r.source.Name, err)
	}
	return nil
}
