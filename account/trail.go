package account

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"callvault"
)

// AuditQuery selects entries of the audit trail. A field that is zero does not narrow
// the selection.
type AuditQuery struct {
	Who, Tenant, Recording string
	Span                   callvault.Span // of At; a To of 0 is no end
	Before                 int64          // entries older than the one with this Seq
	Limit                  int            // the maximum number of entries; 0 is 100
}

// Events returns the entries that the query selects, the newest first.
func (a *Accounts) Events(ctx context.Context, q *AuditQuery) ([]Event, error) {
	if err := a.Flush(ctx); err != nil {
		return nil, err
	}
	text, args := q.statement()
	return a.queryEvents(ctx, text, args...)
}

// statement returns the query in SQL. For each field there is an index in the order of
// the result.
func (q *AuditQuery) statement() (text string, args []any) {
	var where []string
	narrow := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if q.Recording != "" {
		narrow(`recording_key = $%d AND recording_key <> ''`, q.Recording)
	}
	if q.Who != "" {
		narrow(`who = $%d`, q.Who)
	}
	if q.Tenant != "" {
		narrow(`tenant = $%d`, q.Tenant)
	}
	if q.Span.From > 0 {
		narrow(`at_ms >= $%d`, q.Span.From)
	}
	if q.Span.To > 0 {
		narrow(`at_ms < $%d`, q.Span.To)
	}
	if q.Before > 0 {
		narrow(`(at_ms, seq) < (SELECT at_ms, seq FROM audit WHERE seq = $%d)`, q.Before)
	}
	text = `SELECT ` + eventColumns + ` FROM audit`
	if len(where) > 0 {
		text += ` WHERE ` + strings.Join(where, ` AND `)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	return text + fmt.Sprintf(` ORDER BY at_ms DESC, seq DESC LIMIT %d`, limit), args
}

// AllEvents returns the whole audit trail, the oldest entry first, including entries
// written in the meantime. Between pages it holds no connection.
func (a *Accounts) AllEvents(ctx context.Context) iter.Seq2[Event, error] {
	const page = 1000
	return func(yield func(Event, error) bool) {
		if err := a.Flush(ctx); err != nil {
			yield(Event{}, err)
			return
		}
		last := int64(0)
		for {
			events, err := a.queryEvents(ctx, `SELECT `+eventColumns+` FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2`, last, page)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for i := range events {
				if !yield(events[i], nil) {
					return
				}
				last = events[i].Seq
			}
			if len(events) < page {
				return
			}
		}
	}
}

func (a *Accounts) queryEvents(ctx context.Context, query string, args ...any) ([]Event, error) {
	rows, err := a.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	defer rows.Close()
	events := []Event{}
	for rows.Next() {
		var e Event
		var hash []byte
		err := rows.Scan(&e.Seq, &e.At, &e.Who, &e.Via, &e.From, &e.Action, &e.Tenant, &e.Recording, &e.Detail, &e.Times, &e.Bytes, &hash)
		if err != nil {
			return nil, fmt.Errorf("audit trail: %w", err)
		}
		copy(e.Hash[:], hash)
		events = append(events, e)
	}
	return events, rows.Err()
}

// Broken is the error of an audit trail whose chain of hashes is broken.
type Broken struct {
	Seq int64 // the first entry that is missing or wrong
	Why string
}

// Error returns the entry and what is wrong with it.
func (b Broken) Error() string {
	return fmt.Sprintf("the audit trail was tampered with or damaged: entry %d %s", b.Seq, b.Why)
}

// VerifyAudit recomputes the chain of the audit trail and returns its length and the
// last entry's hash. If the chain is broken the error is a Broken for the first entry
// that is missing or wrong; count and last are then those of the entry before it.
func (a *Accounts) VerifyAudit(ctx context.Context) (count int64, last Hash, err error) {
	var head int64
	var stored []byte
	err = a.db.Reader.QueryRowContext(ctx, `SELECT seq, hash FROM audit_head`).Scan(&head, &stored)
	headless := errors.Is(err, sql.ErrNoRows)
	if err != nil && !headless {
		return 0, last, fmt.Errorf("audit trail: %w", err)
	}
	for e, err := range a.AllEvents(ctx) {
		if err != nil {
			return count, last, err
		}
		if e.Seq != count+1 {
			return count, last, Broken{count + 1, "is not there"}
		}
		if e.chained(last) != e.Hash {
			return count, last, Broken{e.Seq, "does not fit its hash and the entry before"}
		}
		if e.Seq == head && !bytes.Equal(stored, e.Hash[:]) {
			return count, last, Broken{e.Seq, "is not the one that was written last"}
		}
		count, last = e.Seq, e.Hash
	}
	if count < head {
		return count, last, Broken{count + 1, "is not there"}
	}
	if headless {
		return count, last, Broken{count + 1, "may have been there: the row in audit_head that says which was written last is gone"}
	}
	return count, last, nil
}
