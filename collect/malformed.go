package collect

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"callvault"
)

const (
	maxMalformed    = 1000    // how many malformed items of one list are kept
	maxMalformedRaw = 4 << 10 // how many bytes of each are kept
)

// badItem is an item of a list that could not be read or kept.
type badItem struct {
	what string // its key, or its place in the list
	raw  string
	mark string // derived from raw, so that it is recognized when the source lists it again
	err  error
}

// badItems collects the bad items of one list, without those that an operator gave up.
type badItems struct {
	kept    []badItem       // the first maxMalformed
	total   int             // how many there were
	refused bool            // the list also had items of another source's tenant
	givenUp map[string]bool // by mark
}

func (b *badItems) add(what string, raw []byte, err error) {
	sum := sha256.Sum256(raw)
	mark := markPrefix + hex.EncodeToString(sum[:6])
	if b.givenUp[mark] {
		return
	}
	if b.total++; len(b.kept) < maxMalformed {
		err = fmt.Errorf("%w, or settle it as %s", err, mark)
		b.kept = append(b.kept, badItem{what: what, raw: string(raw[:min(len(raw), maxMalformedRaw)]), mark: mark, err: err})
	}
}

// markPrefix begins the mark of every malformed item.
const markPrefix = "malformed-"

// newBadItems returns an empty collection for a list of the source.
func (c *Collector) newBadItems(ctx context.Context, source string) (*badItems, error) {
	rows, err := c.db.Reader.QueryContext(ctx, `SELECT mark FROM given_up WHERE source = $1`, source)
	if err != nil {
		return nil, fmt.Errorf("malformed items: %w", err)
	}
	defer rows.Close()
	b := &badItems{givenUp: map[string]bool{}}
	for rows.Next() {
		var mark string
		if err := rows.Scan(&mark); err != nil {
			return nil, fmt.Errorf("malformed items: %w", err)
		}
		b.givenUp[mark] = true
	}
	return b, rows.Err()
}

// GiveUpMalformed settles the malformed item of a source's lists whose mark is the
// settlement's Key: from now on it is passed over. The error is callvault.NotFound if none
// of the last lists had such an item.
func (c *Collector) GiveUpMalformed(ctx context.Context, source string, s *Settlement) error {
	if s.Reason == "" {
		return errNoReason
	}
	return c.db.Tx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM malformed WHERE source = $1 AND mark = $2 AND mark <> ''`, source, s.Key)
		if err != nil {
			return fmt.Errorf("malformed items: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("no list of the source %s has a malformed item %s: %w", source, s.Key, callvault.NotFound))
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO given_up (source, mark, reason, who, settled_ms) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (source, mark) DO NOTHING`, source, s.Key, s.Reason, s.Who, time.Now().UnixMilli())
		return err
	})
}

// all returns what was kept, and one more that stands for the rest.
func (b *badItems) all() []badItem {
	if b.total == len(b.kept) {
		return b.kept
	}
	return append(b.kept, badItem{what: "the list", err: fmt.Errorf("%d more of its items are malformed", b.total-len(b.kept))})
}

// write writes the bad items in place of those found before in the same stretch of time.
func (b *badItems) write(ctx context.Context, tx *sql.Tx, source string, l listing) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM malformed WHERE source = $1 AND from_ms < $2 AND to_ms > $3`, source, l.To, l.From)
	for place, bad := range b.all() {
		if err != nil {
			break
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO malformed (source, from_ms, to_ms, place, raw, reason, seen_ms, mark) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			source, l.From, l.To, place, bad.raw, bad.err.Error(), l.at, bad.mark)
	}
	if err != nil {
		return fmt.Errorf("malformed items: %w", err)
	}
	return nil
}

// report adds the bad items to the run's problems.
func (b *badItems) report(r *Run) {
	for _, bad := range b.all() {
		r.addProblem(Problem{Key: bad.what, Reason: bad.err.Error()})
		r.c.log.Error("item set aside", "source", r.source.Name, "item", bad.what, "error", bad.err)
	}
}
