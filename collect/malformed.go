package collect

import (
	"context"
	"database/sql"
	"fmt"
)

// What is kept of the malformed items of one list, and of one of them in bytes.
const (
	maxMalformed    = 1000
	maxMalformedRaw = 4 << 10
)

// badItem is an item of a list that could not be read or kept.
type badItem struct {
	what, raw string
	err       error
}

// badItems are those of one list: the first, and how many there were. refused
// says that some belong to a tenant of another source.
type badItems struct {
	kept    []badItem
	total   int
	refused bool
}

func (b *badItems) add(what string, raw []byte, err error) {
	if b.total++; len(b.kept) < maxMalformed {
		b.kept = append(b.kept, badItem{what, string(raw[:min(len(raw), maxMalformedRaw)]), err})
	}
}

// all is what was kept, and a line for the rest.
func (b *badItems) all() []badItem {
	if b.total == len(b.kept) {
		return b.kept
	}
	return append(b.kept, badItem{what: "the list", err: fmt.Errorf("%d more of its items are malformed", b.total-len(b.kept))})
}

// write writes them in the place of those that were found in the stretch before.
func (b *badItems) write(ctx context.Context, tx *sql.Tx, source string, l listing) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM malformed WHERE source = $1 AND from_ms < $2 AND to_ms > $3`, source, l.To, l.From)
	for place, bad := range b.all() {
		if err != nil {
			break
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO malformed (source, from_ms, to_ms, place, raw, reason, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			source, l.From, l.To, place, bad.raw, bad.err.Error(), l.at)
	}
	if err != nil {
		return fmt.Errorf("malformed items: %w", err)
	}
	return nil
}

// tell makes them problems of the run.
func (b *badItems) tell(r *Run) {
	for _, bad := range b.all() {
		r.problem(Problem{Key: bad.what, Reason: bad.err.Error()})
		r.c.log.Error("item set aside", "source", r.source.Name, "item", bad.what, "error", bad.err)
	}
}
