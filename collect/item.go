package collect

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"callvault"
	"callvault/database"
)

// state is how a recording stands.
type state string

// The states: to be fetched; here; not asked for (PENDING, DELETED_* and unknown
// statuses); refused and set aside; answered 403; answered 404; settled by an
// operator.
const (
	due         state = "due"
	held        state = "held"
	noted       state = "noted"
	quarantined state = "quarantined"
	denied      state = "denied"
	missing     state = "missing"
	settled     state = "settled"
)

// item is a recording of a source, as the ledger has it.
type item struct {
	tenant, key, source string
	startMs             int64
	durationMs          int64
	size                int64 // as the source lists it; of what is held, as it is here
	status              callvault.Status
	digest              []byte
	state               state
	reason, doubt       string
	changedMs           int64
	vanishedMs          int64
	seenMs              int64
	triedMs             int64
	failedMs            int64
}

const itemColumns = `tenant, recording_key, source, start_ms, duration_ms, size, status, digest, state, reason, doubt,
	changed_ms, vanished_ms, seen_ms, tried_ms, failed_ms`

// itemOf is what a list tells of a recording.
func itemOf(r *callvault.Recording, source string, now int64) *item {
	return &item{
		tenant: r.TenantName, key: r.RecordingKey, source: source, startMs: r.StartTime, durationMs: r.Duration,
		size: r.Size, status: r.Status, digest: digestOf(r), seenMs: now,
	}
}

// digestOf is of all that is told of a recording but its status and size, which
// change as a matter of course.
func digestOf(r *callvault.Recording) []byte {
	told := *r
	told.Status, told.Size = "", 0
	sum := sha256.Sum256(told.AppendJSON(nil))
	return sum[:digestSize]
}

// digestSize is the bytes of the digest of a recording, behind which that of its call
// may stand.
const digestSize = 16

// digestOfCall is of all that is told of a call.
func digestOfCall(c *callvault.Call) []byte {
	sum := sha256.Sum256(c.AppendJSON(nil))
	return sum[:digestSize]
}

// differsFrom tells whether not all that is told of an item is what was told before.
// Where either tells nothing of the call, only the recording counts, and what was known
// of the call is taken over.
func (i *item) differsFrom(known *item) bool {
	if len(i.digest) == digestSize && len(known.digest) > digestSize {
		i.digest = append(i.digest, known.digest[digestSize:]...)
	}
	n := min(len(i.digest), max(len(known.digest), digestSize))
	return string(known.digest) != string(i.digest[:n])
}

// addsCall tells whether nothing was known of the call that is told of now: the
// archive knows whether it is another than that in the sidecar.
func (i *item) addsCall(known *item) bool {
	return len(known.digest) == digestSize && len(i.digest) > digestSize
}

// repeats tells whether a list has told of an item before, and there is no audio only
// there.
func (i *item) repeats(earlier *item) bool {
	return earlier.seenMs == i.seenMs && (earlier.status.HasAudio() || !i.status.HasAudio())
}

// urgency is 0 for what is about to be deleted at the source.
func (i *item) urgency() int64 {
	if strings.HasPrefix(string(i.status), "PENDING_DELETE") {
		return 0
	}
	return 1
}

// carryOver takes over from the item as it was known what a new listing does not
// change, and says how the item stands now. isHeld tells whether its audio is here,
// changed whether what is told of held audio is not what was told before.
func (i *item) carryOver(known *item, isHeld bool) (changed bool) {
	i.state = noted
	if i.status.HasAudio() {
		i.state = due
	}
	if known != nil {
		i.doubt, i.changedMs, i.triedMs, i.failedMs = known.doubt, known.changedMs, known.triedMs, known.failedMs
		keeps := known.state == due || known.state == quarantined || known.state == denied || known.state == missing
		if known.state == settled || i.state == due && keeps {
			i.state, i.reason = known.state, known.reason
		}
		changed = i.differsFrom(known) && isHeld
	}
	if isHeld && i.state != settled {
		i.state, i.reason = held, ""
	}
	if known != nil && known.state == held && isHeld {
		i.size = known.size
	}
	return changed
}

// alter runs fn in a transaction that keeps out all others which alter the
// tenants' items, in whichever processes. fn may run again from its beginning.
func (c *Collector) alter(ctx context.Context, tenants []string, fn func(*sql.Tx) error) error {
	names := make([]string, len(tenants))
	for i, tenant := range tenants {
		names[i] = "ledger " + tenant
	}
	return c.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := c.db.Exclude(ctx, tx, names...); err != nil {
			return err
		}
		return fn(tx)
	})
}

// findItems is a query for the items of the tenants and keys that are the rows of
// values.
func findItems(values string) string {
	return `SELECT ` + itemColumns + ` FROM (` + values + `) AS asked CROSS JOIN items WHERE tenant = column1 AND recording_key = column2`
}

// id tells items apart.
func (i *item) id() [2]string { return [2]string{i.tenant, i.key} }

// knownItems reads items anew, by their names; those that are known.
func knownItems(ctx context.Context, db queryer, items iter.Seq[*item]) (map[[2]string]*item, error) {
	var names [][]any
	for it := range items {
		names = append(names, []any{it.tenant, it.key})
	}
	known := make(map[[2]string]*item, len(names))
	for values, args := range database.Rows(names) {
		found, err := queryItems(ctx, db, findItems(values), args...)
		if err != nil {
			return nil, err
		}
		for _, it := range found {
			known[it.id()] = it
		}
	}
	return known, nil
}

func scanItem(row interface{ Scan(...any) error }) (*item, error) {
	i := &item{}
	err := row.Scan(&i.tenant, &i.key, &i.source, &i.startMs, &i.durationMs, &i.size, &i.status, &i.digest, &i.state, &i.reason, &i.doubt,
		&i.changedMs, &i.vanishedMs, &i.seenMs, &i.triedMs, &i.failedMs)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (i *item) write(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO items (`+itemColumns+`, urgency)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		ON CONFLICT (tenant, recording_key) DO UPDATE SET source = excluded.source, start_ms = excluded.start_ms,
		duration_ms = excluded.duration_ms, size = excluded.size, status = excluded.status, digest = excluded.digest,
		state = excluded.state, reason = excluded.reason, doubt = excluded.doubt, changed_ms = excluded.changed_ms,
		vanished_ms = excluded.vanished_ms, seen_ms = excluded.seen_ms, tried_ms = excluded.tried_ms,
		failed_ms = excluded.failed_ms, urgency = excluded.urgency`,
		i.tenant, i.key, i.source, i.startMs, i.durationMs, i.size, string(i.status), i.digest, string(i.state), i.reason, i.doubt,
		i.changedMs, i.vanishedMs, i.seenMs, i.triedMs, i.failedMs, i.urgency())
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", i.key, err)
	}
	return nil
}

// setState writes how an item stands after it was asked for.
func (i *item) setState(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE items SET state = $1, reason = $2, doubt = $3, tried_ms = $4, failed_ms = $5, size = $6
		WHERE tenant = $7 AND recording_key = $8 AND state <> 'settled'`,
		string(i.state), i.reason, i.doubt, i.triedMs, i.failedMs, i.size, i.tenant, i.key)
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", i.key, err)
	}
	return nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func queryItems(ctx context.Context, db queryer, query string, args ...any) ([]*item, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer rows.Close()
	var items []*item
	for rows.Next() {
		i, err := scanItem(rows)
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		items = append(items, i)
	}
	return items, rows.Err()
}

// refresh reads items anew.
func (c *Collector) refresh(ctx context.Context, items []*item) (fresh []*item, err error) {
	known, err := knownItems(ctx, c.db.Reader, slices.Values(items))
	for _, it := range items {
		if now := known[it.id()]; now != nil {
			fresh = append(fresh, now)
		}
	}
	return fresh, err
}

// nextDue returns the tenant's next items to fetch that were not tried since
// began: the urgent first, then the newest. What was denied or missing is due
// again while it started, or failed first, after lookbackFrom.
func (c *Collector) nextDue(ctx context.Context, tenant string, began, lookbackFrom int64, limit int) ([]*item, error) {
	return queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_lacking
		WHERE tenant = $1 AND `+lacking+` AND tried_ms < $2
		AND (state IN ('due', 'quarantined') OR start_ms >= $3 OR failed_ms >= $3)
		ORDER BY urgency, start_ms DESC, recording_key LIMIT $4`, tenant, began, lookbackFrom, limit)
}
