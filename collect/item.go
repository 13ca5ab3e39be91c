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

// state says what became of a recording.
type state string

const (
	due         state = "due"         // to be fetched
	held        state = "held"        // its audio is here
	noted       state = "noted"       // known but not requested: PENDING, DELETED_* and unknown statuses
	quarantined state = "quarantined" // its body was refused and set aside
	denied      state = "denied"      // its request was answered 403
	missing     state = "missing"     // its request was answered 404
	settled     state = "settled"     // an operator gave it up
)

// item is a recording of a source, as the ledger has it. Times are Unix milliseconds,
// 0 if what they are of has not happened.
type item struct {
	tenant, key, source string
	startMs             int64
	durationMs          int64
	size                int64            // in bytes, as the source lists it; of a held recording, of its audio here
	status              callvault.Status // as the source lists it
	digest              []byte           // of the recording and, behind that, of its call if that is known
	state               state
	reason              string // why it is in this state
	doubt               string // why it is doubtful though held
	changedMs           int64  // when a list last showed it changed while it was held
	vanishedMs          int64  // when lists stopped showing it
	seenMs              int64  // when a list last showed it
	triedMs             int64  // when it was last requested
	failedMs            int64  // when it was first denied, missing or quarantined
}

const itemColumns = `tenant, recording_key, source, start_ms, duration_ms, size, status, digest, state, reason, doubt,
	changed_ms, vanished_ms, seen_ms, tried_ms, failed_ms`

// itemOf makes an item of a recording as a list shows it at now.
func itemOf(r *callvault.Recording, source string, now int64) *item {
	return &item{
		tenant: r.TenantName, key: r.RecordingKey, source: source, startMs: r.StartTime, durationMs: r.Duration,
		size: r.Size, status: r.Status, digest: digestOf(r), seenMs: now,
	}
}

// digestOf hashes a recording as a list shows it, except for its status and size, which
// change as a matter of course.
func digestOf(r *callvault.Recording) []byte {
	told := *r
	told.Status, told.Size = "", 0
	sum := sha256.Sum256(told.AppendJSON(nil))
	return sum[:digestSize]
}

// digestSize is the length in bytes of a recording's digest, and of a call's.
const digestSize = 16

// digestOfCall hashes a call as a list shows it.
func digestOfCall(c *callvault.Call) []byte {
	sum := sha256.Sum256(c.AppendJSON(nil))
	return sum[:digestSize]
}

// differsFrom reports whether a list shows the item otherwise than it was known. If either
// lacks the call, only the recordings are compared, and the known call's digest is taken
// over.
func (i *item) differsFrom(known *item) bool {
	if len(i.digest) == digestSize && len(known.digest) > digestSize {
		i.digest = append(i.digest, known.digest[digestSize:]...)
	}
	n := min(len(i.digest), max(len(known.digest), digestSize))
	return string(known.digest) != string(i.digest[:n])
}

// addsCall reports whether a list shows the item's call for the first time. Whether it
// differs from the call in the sidecar only the archive can say.
func (i *item) addsCall(known *item) bool {
	return len(known.digest) == digestSize && len(i.digest) > digestSize
}

// repeats reports whether the item adds nothing to what the same list showed of it earlier:
// unless only the repetition has audio, the first telling counts.
func (i *item) repeats(earlier *item) bool {
	return earlier.seenMs == i.seenMs && (earlier.status.HasAudio() || !i.status.HasAudio())
}

// urgency is 0 for what is about to be deleted at the source, else 1.
func (i *item) urgency() int64 {
	if strings.HasPrefix(string(i.status), "PENDING_DELETE") {
		return 0
	}
	return 1
}

// carryOver takes over what a new listing does not change from the item as it was known,
// nil if it was not, and sets the item's state. isHeld says whether its audio is here;
// changed reports whether a list now shows a held recording otherwise.
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

// alter runs fn in a transaction that excludes every other one, of any process, that
// alters items of these tenants. fn may run more than once.
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

// findItems returns a query for the items whose tenants and keys are the rows of values.
func findItems(values string) string {
	return `SELECT ` + itemColumns + ` FROM (` + values + `) AS asked CROSS JOIN items WHERE tenant = column1 AND recording_key = column2`
}

// id identifies an item: its tenant and key.
func (i *item) id() [2]string { return [2]string{i.tenant, i.key} }

// knownItems reads from the ledger those of items that it has, by their ids.
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

// setState writes an item's state, and what belongs to it, unless an operator has settled
// the item.
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

// refresh reads items from the ledger again, without those that it no longer has.
func (c *Collector) refresh(ctx context.Context, items []*item) (fresh []*item, err error) {
	known, err := knownItems(ctx, c.db.Reader, slices.Values(items))
	for _, it := range items {
		if now := known[it.id()]; now != nil {
			fresh = append(fresh, now)
		}
	}
	return fresh, err
}

// nextDue returns the tenant's next items to fetch that were not tried since began: the
// urgent first, then the newest. Those that were denied or missing are due again as long
// as they started, or first failed, after lookbackFrom.
func (c *Collector) nextDue(ctx context.Context, tenant string, began, lookbackFrom int64, limit int) ([]*item, error) {
	return queryItems(ctx, c.db.Reader, `SELECT `+itemColumns+` FROM items INDEXED BY items_lacking
		WHERE tenant = $1 AND `+lacking+` AND tried_ms < $2
		AND (state IN ('due', 'quarantined') OR start_ms >= $3 OR failed_ms >= $3)
		ORDER BY urgency, start_ms DESC, recording_key LIMIT $4`, tenant, began, lookbackFrom, limit)
}
