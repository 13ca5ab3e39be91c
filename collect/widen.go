package collect

import (
	"context"
	"database/sql"
	"math"
	"time"

	"callvault"
)

// widen forgets, in tx, what was listed before this run: its source shows a tenant for
// the first time. Whether that is new or was granted only now is not known, and the
// lists of those days may have been without its recordings. r.lists.mu is held.
func (r *Run) widen(ctx context.Context, tx *sql.Tx) error {
	all, err := r.c.listings(ctx, r.source.Name, time.Now())
	if err != nil {
		return err
	}
	here := inside(all, r.lists.here)
	if length(here) == length(all) {
		return nil
	}
	r.lists.widened = true
	return writeListings(ctx, tx, r.source.Name, here)
}

// forgotten are the stretches of time that are to be listed after widen, but for those
// that this run has listed already.
func (r *Run) forgotten() []callvault.Span {
	var here []listing
	for _, span := range r.lists.here {
		here = add(here, listing{span, math.MaxInt64}, 0)
	}
	return r.piecesOf(here)
}

// inside is what of listings is in these stretches of time.
func inside(listings []listing, spans []callvault.Span) []listing {
	outside := listings
	for _, span := range spans {
		outside = without(outside, span)
	}
	left := listings
	for _, l := range outside {
		left = without(left, l.Span)
	}
	return left
}

// length is how much time was listed.
func length(listings []listing) (ms int64) {
	for _, l := range listings {
		ms += l.To - l.From
	}
	return ms
}
