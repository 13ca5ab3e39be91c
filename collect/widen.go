package collect

import (
	"context"
	"database/sql"
	"math"
	"time"

	"callvault"
)

// forgetEarlier forgets, in tx, what was listed before this run: its source shows a tenant for
// the first time. Whether that is new or was granted only now is not known, and the
// lists of those days may have been without its recordings. r.lists.mu is held.
func (r *Run) forgetEarlier(ctx context.Context, tx *sql.Tx) error {
	all, err := r.c.listings(ctx, r.source.Name, time.Now())
	if err != nil {
		return err
	}
	here := intersect(all, r.lists.thisRun)
	if totalLength(here) == totalLength(all) {
		return nil
	}
	r.lists.forgotten = true
	return writeListings(ctx, tx, r.source.Name, here)
}

// forgottenSpans are the stretches of time that are to be listed after widen, but for those
// that this run has listed already.
func (r *Run) forgottenSpans() []callvault.Span {
	var here []listing
	for _, span := range r.lists.thisRun {
		here = overlay(here, listing{span, math.MaxInt64}, 0)
	}
	return r.gapsByDay(here)
}

// intersect is what of listings is in these stretches of time.
func intersect(listings []listing, spans []callvault.Span) []listing {
	outside := listings
	for _, span := range spans {
		outside = subtract(outside, span)
	}
	left := listings
	for _, l := range outside {
		left = subtract(left, l.Span)
	}
	return left
}

// totalLength is how much time was listed.
func totalLength(listings []listing) (ms int64) {
	for _, l := range listings {
		ms += l.To - l.From
	}
	return ms
}
