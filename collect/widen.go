package collect

import (
	"context"
	"database/sql"
	"math"

	"callvault"
)

// forgetEarlier forgets, in tx, what was listed before this run, because the source shows
// a tenant for the first time. The tenant may be new, but it may also have been granted
// only now, and earlier lists may have been without its recordings. r.lists.mu must be
// held.
func (r *Run) forgetEarlier(ctx context.Context, tx *sql.Tx) error {
	return r.c.changeListings(ctx, tx, r.source.Name, func(all []listing) []listing {
		here := intersect(all, r.lists.thisRun)
		if totalLength(here) < totalLength(all) {
			r.lists.forgotten = true
		}
		return here
	})
}

// forgottenSpans returns the stretches of time to list after forgetEarlier: all but those
// that this run has listed already.
func (r *Run) forgottenSpans() []callvault.Span {
	var here []listing
	for _, span := range r.lists.thisRun {
		here = overlay(here, listing{span, math.MaxInt64}, 0)
	}
	return r.gapsByDay(here)
}

// intersect returns what of listings lies within these stretches of time.
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

// totalLength returns how much time was listed, in milliseconds.
func totalLength(listings []listing) (ms int64) {
	for _, l := range listings {
		ms += l.To - l.From
	}
	return ms
}
