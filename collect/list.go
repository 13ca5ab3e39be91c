package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/client"
)

// noteBatch is how many recordings of a list are noted together.
const noteBatch = 500

// shortestSlice is the stretch of time that is not halved any further.
const shortestSlice = int64(time.Minute / time.Millisecond)

// listFailures is how many lists in a row may fail before the source is left for
// this run.
const listFailures = 5

// told is a recording with its call, as a list tells of it.
type told struct {
	recording callvault.Recording
	call      *callvault.Call
}

// lists asks for all that must be listed, the newest first, and notes what it is
// told. An error ends the source for this run.
func (r *Run) lists(ctx context.Context) error {
	listings, err := r.c.listings(ctx, r.source.Name)
	if err != nil {
		return err
	}
	span := callvault.Span{From: max(r.source.Since, r.span.From), To: min(r.began, r.span.To)}
	var pieces []callvault.Span
	for _, gap := range wanted(listings, span, r.source.Lookback) {
		pieces = append(daysOf(gap), pieces...)
	}
	r.listsPlanned(len(pieces))
	failed := 0
	for len(pieces) > 0 {
		if r.stopped() {
			return nil
		}
		piece := pieces[0]
		pieces = pieces[1:]
		err := r.listSlice(ctx, piece)
		switch {
		case err == nil:
			failed = 0
			r.listsPlanned(len(pieces))
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case sourceStops(err):
			return err
		case halves(err) && piece.To-piece.From > shortestSlice:
			middle := piece.From + (piece.To-piece.From)/2
			pieces = append([]callvault.Span{{From: middle, To: piece.To}, {From: piece.From, To: middle}}, pieces...)
			r.c.log.Info("list halved", "source", r.source.Name, "from", moment(piece.From), "to", moment(piece.To), "reason", err.Error())
		default:
			failed++
			r.listFailed(piece, err)
		}
		if failed == listFailures {
			return fmt.Errorf("%d lists in a row failed, the last with: %w", failed, err)
		}
	}
	return nil
}

// sourceStops tells whether a refused list means that nothing more can be had.
func sourceStops(err error) bool {
	return errors.Is(err, callvault.Unauthorized) || errors.Is(err, callvault.Forbidden)
}

// halves tells whether a list that failed might come when asked for less.
func halves(err error) bool {
	return errors.Is(err, client.TimedOut) || errors.Is(err, client.Cut)
}

// listSlice asks for one stretch of time, as often as transient failures allow,
// and notes it.
func (r *Run) listSlice(ctx context.Context, piece callvault.Span) error {
	for try := 0; ; try++ {
		if err := r.lister().wait(ctx); err != nil {
			return err
		}
		err := r.listOnce(ctx, piece)
		if err == nil || halves(err) || !r.again(r.lister(), err, try) {
			return err
		}
	}
}

// backoffs are the waits before a transient failure is tried again.
var backoffs = []time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// longestRetryAfter is the longest Retry-After that a run waits for.
const longestRetryAfter = 15 * time.Minute

// again tells whether a request that failed is worth another try, and makes the
// pacer wait as long as it should. 429 is never counted as a try.
func (r *Run) again(p *pacer, err error, try int) bool {
	var code callvault.Code
	refused := errors.As(err, &code)
	var wait callvault.Wait
	after := errors.As(err, &wait)
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, callvault.TooManyRequests):
		d := 10 * time.Second
		if after {
			d = wait.For
		}
		p.delay(d)
		p.slower()
		return try < 10*len(backoffs) && d <= longestRetryAfter
	case refused && code < callvault.Internal, errors.Is(err, client.Untrusted), errors.Is(err, client.Redirected), errors.Is(err, client.BadAnswer):
		return false
	case try >= len(backoffs):
		return false
	case after:
		p.delay(wait.For)
		return wait.For <= longestRetryAfter
	}
	p.delay(backoffs[try] + rand.N(backoffs[try]/4))
	return true
}

// listOnce asks for one stretch of time and notes what it is told. What came of a
// list that broke off stays noted, but the stretch does not count as listed.
func (r *Run) listOnce(ctx context.Context, piece callvault.Span) error {
	asked := time.Now().UnixMilli()
	var batch []told
	var malformed []*client.MalformedItem
	for t, err := range r.tell(ctx, piece) {
		if m, ok := client.MalformedOf(err); ok {
			malformed = append(malformed, m)
			continue
		}
		if err != nil {
			return err
		}
		if batch = append(batch, t); len(batch) == noteBatch {
			if err := r.note(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := r.note(ctx, batch); err != nil {
		return err
	}
	return r.listed(ctx, listing{piece, asked}, malformed)
}

// tell yields the recordings that the source lists, by call-recording-info or,
// where the source has no such list, by recordings.
func (r *Run) tell(ctx context.Context, piece callvault.Span) iter.Seq2[told, error] {
	return func(yield func(told, error) bool) {
		if !r.plainLists {
			plain := false
			for call, err := range r.source.Client.Calls(ctx, piece) {
				if plain = errors.Is(err, callvault.NotFound); plain {
					break
				}
				if !yieldCall(yield, &call, err) {
					return
				}
			}
			if !plain {
				return
			}
			r.plainLists = true
			if err := r.lister().wait(ctx); err != nil {
				yield(told{}, err)
				return
			}
		}
		for item, err := range r.source.Client.Recordings(ctx, piece) {
			if !yield(told{recording: item.Recording}, err) {
				return
			}
		}
	}
}

// yieldCall yields the recordings of a call, also of one that is malformed itself.
func yieldCall(yield func(told, error) bool, call *client.CallItem, err error) bool {
	if m, ok := client.MalformedOf(err); ok {
		for _, item := range m.Recordings {
			if !yield(told{recording: item.Recording}, nil) {
				return false
			}
		}
	}
	if err != nil {
		return yield(told{}, err)
	}
	whole := call.Call
	whole.Recordings = nil
	for _, recording := range call.Recordings {
		if !yield(told{recording: recording, call: &whole}, nil) {
			return false
		}
	}
	return true
}

// note writes what a list tells: into the archive, so that it is listed here, and
// into the ledger.
func (r *Run) note(ctx context.Context, batch []told) error {
	now := time.Now()
	var notes []archive.Note
	var items []*item
	for i := range batch {
		n, it, err := r.prepare(ctx, &batch[i], now.UnixMilli())
		if err != nil {
			return err
		}
		if it != nil {
			notes, items = append(notes, n), append(items, it)
		}
	}
	isHeld, err := r.c.archive.Note(ctx, notes, now)
	if err != nil {
		return err
	}
	var changed []int
	var fresh []*item // due, and not so before
	err = r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		for i, it := range items {
			known, err := findItem(ctx, tx, it.tenant, it.key)
			if err != nil {
				return err
			}
			if it.follow(known, isHeld[i], now.UnixMilli()) {
				changed = append(changed, i)
			}
			if it.state == due && (known == nil || known.state != due) {
				fresh = append(fresh, it)
			}
			if err := it.write(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range changed {
		if err := r.c.archive.Amend(ctx, &notes[i], now); err != nil {
			return err
		}
	}
	r.wake(fresh)
	return nil
}

// prepare brings what a list tells into the form of this archive: the tenant's
// name here, a status that says whether the audio is here. The item is nil when
// it cannot be kept, or its tenant is another source's.
func (r *Run) prepare(ctx context.Context, t *told, now int64) (n archive.Note, it *item, err error) {
	rec := t.recording
	site, err := r.site(ctx, rec.TenantName)
	if site == nil {
		return n, nil, err
	}
	rec.TenantName = site.tenant
	rec.Size, rec.Duration = max(0, rec.Size), max(0, rec.Duration)
	if rec.CallKey == "" {
		rec.CallKey = rec.RecordingKey // a call of its own
	}
	if rec.Status == "" {
		rec.Status = "UNKNOWN"
	}
	if err := rec.Validate(); err != nil {
		r.setAside(t.recording.RecordingKey, err)
		return n, nil, nil
	}
	it = itemOf(&rec, r.source.Name, now)
	n.Recording = rec
	if !rec.Status.Deleted() {
		n.Recording.Status = callvault.Pending
	}
	if t.call != nil && t.call.CallKey == rec.CallKey && r.source.Prefix+t.call.TenantName == rec.TenantName {
		call := *t.call
		call.TenantName = site.tenant
		call.EndTime = max(call.EndTime, call.StartTime) // a call that goes on has no end yet
		call.TotalHoldDuration = max(0, call.TotalHoldDuration)
		if call.Validate() == nil {
			n.Call = &call
		}
	}
	return n, it, nil
}

// listed writes that a stretch was fully listed: recordings that were known in it
// and were not told of now have vanished at the source.
func (r *Run) listed(ctx context.Context, l listing, malformed []*client.MalformedItem) error {
	r.listMu.Lock()
	defer r.listMu.Unlock()
	all, err := r.c.listings(ctx, r.source.Name)
	if err != nil {
		return err
	}
	return r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := writeListings(ctx, tx, r.source.Name, add(all, l, r.source.Lookback)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE items SET vanished_ms = $1
			WHERE source = $2 AND start_ms >= $3 AND start_ms < $4 AND seen_ms < $1 AND vanished_ms = 0`, l.at, r.source.Name, l.From, l.To)
		if err != nil {
			return fmt.Errorf("vanished recordings: %w", err)
		}
		return r.writeMalformed(ctx, tx, l, malformed)
	})
}

// writeMalformed writes the malformed items of a list in place of those that were
// found in the same stretch before.
func (r *Run) writeMalformed(ctx context.Context, tx *sql.Tx, l listing, malformed []*client.MalformedItem) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM malformed WHERE source = $1 AND from_ms >= $2 AND to_ms <= $3`, r.source.Name, l.From, l.To)
	for place, m := range malformed {
		if err != nil {
			break
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO malformed (source, from_ms, to_ms, place, raw, reason, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			r.source.Name, l.From, l.To, place, string(m.Raw), m.Error(), l.at)
		r.setAside(fmt.Sprintf("item %d of the list from %s", m.Index, moment(l.From)), m)
	}
	if err != nil {
		return fmt.Errorf("malformed items: %w", err)
	}
	return nil
}

// moment writes Unix milliseconds for the log, in UTC.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }
