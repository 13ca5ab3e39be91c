package collect

import (
	"cmp"
	"slices"
	"time"

	"callvault"
)

// listing is a stretch of time that was fully listed, and when that was, in Unix
// milliseconds.
type listing struct {
	callvault.Span
	at int64
}

// final reports whether no late recording can be missing from the listing, since it was
// made when the stretch had been over for lookback.
func (l listing) final(lookback time.Duration) bool {
	return l.at >= l.To+lookback.Milliseconds()
}

// overlay puts a new listing over earlier ones, cutting them where it covers them, and
// joins neighbours that are final. The result is in order of time, without overlaps.
func overlay(listings []listing, fresh listing, lookback time.Duration) []listing {
	if fresh.Empty() {
		return listings
	}
	all := append(subtract(listings, fresh.Span), fresh)
	slices.SortFunc(all, func(a, b listing) int { return cmp.Compare(a.From, b.From) })
	return joinFinal(all, lookback)
}

// subtract returns what is left of listings when a stretch of time is forgotten.
func subtract(listings []listing, span callvault.Span) (left []listing) {
	for _, l := range listings {
		for _, part := range []callvault.Span{{From: l.From, To: min(l.To, span.From)}, {From: max(l.From, span.To), To: l.To}} {
			if !part.Empty() {
				left = append(left, listing{part, l.at})
			}
		}
	}
	return left
}

// joinFinal joins adjacent listings that are final.
func joinFinal(listings []listing, lookback time.Duration) []listing {
	var joined []listing
	for _, l := range listings {
		n := len(joined) - 1
		touches := n >= 0 && joined[n].To == l.From
		if touches && joined[n].final(lookback) && l.final(lookback) {
			// The later part's time is the one that must be final for the later end.
			joined[n].To, joined[n].at = l.To, max(l.at, joined[n].at)
			continue
		}
		joined = append(joined, l)
	}
	return joined
}

// gaps returns what of span must be listed, in order of time: what was never listed, and
// what has no final listing.
func gaps(listings []listing, span callvault.Span, lookback time.Duration) []callvault.Span {
	var open []callvault.Span
	at := span.From
	for _, l := range listings {
		if !l.final(lookback) || l.To <= at {
			continue
		}
		if l.From >= span.To {
			break
		}
		if l.From > at {
			open = append(open, callvault.Span{From: at, To: l.From})
		}
		at = max(at, l.To)
	}
	if at < span.To {
		open = append(open, callvault.Span{From: at, To: span.To})
	}
	return open
}

// cover returns how many milliseconds of span were listed, and whether all of it was, in
// listings that are final.
func cover(listings []listing, span callvault.Span, lookback time.Duration) (covered int64, final bool) {
	final = true
	for _, l := range listings {
		part := callvault.Span{From: max(l.From, span.From), To: min(l.To, span.To)}
		if part.Empty() {
			continue
		}
		covered += part.To - part.From
		final = final && l.final(lookback)
	}
	return covered, final && covered == span.To-span.From
}

const dayMs = int64(24 * time.Hour / time.Millisecond)

// daysOf cuts a stretch of time into UTC days, the newest first.
func daysOf(span callvault.Span) []callvault.Span {
	var days []callvault.Span
	for to := span.To; to > span.From; {
		from := max(span.From, (to-1)/dayMs*dayMs)
		days = append(days, callvault.Span{From: from, To: to})
		to = from
	}
	return days
}
