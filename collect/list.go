package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"callvault"
	"callvault/client"
)

// noteBatch is how many recordings of a list are noted in one transaction.
const noteBatch = 250

// shortestSlice is the stretch of time, in milliseconds, that is not halved further.
const shortestSlice = int64(time.Minute / time.Millisecond)

// listTimeout is how long a list may take, even one that trickles in. After it, a shorter
// stretch of time is asked for.
const listTimeout = time.Hour

// lists is how far a run has come with its lists.
type lists struct {
	pacer     *pacer
	noCalls   bool          // the source has no call-recording-info
	relist    bool          // list everything, even where the last list is final
	anyCame   bool          // a list came, or none was needed
	items     int           // how many items the lists had
	remaining int           // lists still to ask for, as far as is known; guarded by Run.mu
	allListed atomic.Bool   // of a shared run: no more will come
	done      chan struct{} // closed when no more will come

	mu        sync.Mutex       // guards the ledger's listings of the source, and these:
	thisRun   []callvault.Span // what this run has listed
	forgotten bool             // earlier listings were forgotten, and are yet to be listed again
}

// listedRecording is a recording with its call, as a list shows them.
type listedRecording struct {
	recording callvault.Recording
	call      *callvault.Call
}

// listAll lists every stretch of time that must be listed, the newest first, and notes
// what the lists show. Its error ends the run over the source.
func (r *Run) listAll(ctx context.Context) error {
	if r.source.Since > r.began { // else a mistyped year would look complete each night
		return fmt.Errorf("since is %s, which is in the future: nothing would be collected", moment(r.source.Since))
	}
	spans, err := r.spansToList(ctx)
	if err != nil {
		return err
	}
	failed := 0
	r.lists.anyCame = len(spans) == 0
	for len(spans) > 0 {
		r.listsPlanned(len(spans))
		if r.stopped() {
			return errStopped
		}
		span := spans[0]
		spans = spans[1:]
		err := r.listSlice(ctx, span)
		switch {
		case err == nil:
			failed, r.lists.anyCame = 0, true
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case sourceStops(err), errors.As(err, new(localFault)):
			return err
		case worthHalving(err, span):
			middle := span.From + (span.To-span.From)/2
			spans = append([]callvault.Span{{From: middle, To: span.To}, {From: span.From, To: middle}}, spans...)
			r.c.log.Info("list halved", "source", r.source.Name, "from", moment(span.From), "to", moment(span.To), "reason", err.Error())
		case errors.Is(err, errLater):
			r.listFailed(span, err)
			return err
		default:
			failed++
			r.listFailed(span, err)
		}
		if failed == listFailures {
			return fmt.Errorf("%d lists in a row failed, the last with: %w", failed, err)
		}
		if len(spans) == 0 && r.lists.forgotten {
			r.lists.forgotten, spans = false, r.forgottenSpans()
		}
	}
	r.listsPlanned(0)
	return r.checkEmptied(ctx)
}

func (r *Run) listsPlanned(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists.remaining = n
}

func (r *Run) listFailed(span callvault.Span, err error) {
	r.addProblem(Problem{Reason: fmt.Sprintf("the list from %s to %s failed: %v", moment(span.From), moment(span.To), err)})
	r.c.log.Error("list failed", "source", r.source.Name, "from", moment(span.From), "to", moment(span.To), "error", err)
}

// listsDone reports whether the run has asked for all its lists.
func (r *Run) listsDone() bool {
	select {
	case <-r.lists.done:
		return true
	default:
		return false
	}
}

// tolerableVanished is how many recordings may vanish from all lists at once without
// anything being wrong: the source may have deleted a small site.
const tolerableVanished = 20

// checkEmptied adds a problem if all lists were empty although earlier ones were not. A
// service user that has lost its tenants is not refused: it gets empty lists, night after
// night.
func (r *Run) checkEmptied(ctx context.Context) error {
	if r.lists.items > 0 || !r.coversSource() {
		return nil
	}
	var n int64
	err := r.c.db.Reader.QueryRowContext(ctx, `SELECT count(*) FROM items WHERE source = $1 AND start_ms >= $2 AND vanished_ms > 0`,
		r.source.Name, r.began-r.source.Lookback.Milliseconds()).Scan(&n)
	if err != nil {
		return localFault{fmt.Errorf("vanished recordings: %w", err)}
	}
	if n > tolerableVanished {
		r.addProblem(Problem{Reason: fmt.Sprintf("the lists are empty, though they told of %d recordings of the last days before: see whether the service user may still reach its tenants", n)})
	}
	return nil
}

// spansToList returns the stretches of time that are to be listed, the newest first.
func (r *Run) spansToList(ctx context.Context) (spans []callvault.Span, err error) {
	if r.lists.relist {
		return r.gapsByDay(nil), nil
	}
	listings, err := r.c.listings(ctx, r.source.Name, time.Now())
	return r.gapsByDay(listings), err
}

// gapsByDay returns what of the run's span has no final listing among these, by UTC day,
// the newest first.
func (r *Run) gapsByDay(listings []listing) (spans []callvault.Span) {
	whole := callvault.Span{From: max(r.source.Since, r.span.From), To: min(r.began, r.span.To)}
	for _, gap := range gaps(listings, whole, r.source.Lookback) {
		spans = append(daysOf(gap), spans...)
	}
	return spans
}

// sourceStops reports whether a refusal means that nothing more can be fetched from the
// source.
func sourceStops(err error) bool {
	return errors.Is(err, callvault.Unauthorized) || errors.Is(err, callvault.Forbidden)
}

// worthHalving reports whether a list that failed might come if it were for less time.
func worthHalving(err error, span callvault.Span) bool {
	return (errors.Is(err, client.TimedOut) || errors.Is(err, client.Cut)) && span.To-span.From > shortestSlice
}

// listSlice lists one stretch of time, again after transient failures, and notes what it
// shows.
func (r *Run) listSlice(ctx context.Context, span callvault.Span) (err error) {
	var tries patience
	for {
		if waited := r.awaitList(ctx); waited != nil {
			return errors.Join(waited, err)
		}
		err = r.listOnce(ctx, span)
		r.c.refused.add(r.source.Name, listSubject, err)
		if err == nil || worthHalving(err, span) {
			return err
		}
		if !tries.again(r.listPacer(), err) {
			if tries.spent() {
				err = errors.Join(errLater, err)
			}
			return err
		}
	}
}

// awaitList waits until a list may be requested. Where lists share the pace of the only
// tenant's audio, the audio goes first when both could go: it has waited since before the
// last list.
func (r *Run) awaitList(ctx context.Context) error {
	p := r.listPacer()
	r.mu.Lock()
	only := r.onlyTurn()
	r.mu.Unlock()
	if only != nil && only.pacer == p && only.isFetching() {
		if err := p.awaitNext(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 5*tick); err != nil {
			return err
		}
	}
	return p.wait(ctx)
}

// listOnce requests the list of one stretch of time and notes what it shows. What came of
// a list that broke off stays noted, but the stretch does not count as listed.
func (r *Run) listOnce(ctx context.Context, span callvault.Span) error {
	l := listing{span, time.Now().UnixMilli()}
	keep := context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var batch []listEntry
	bad, err := r.c.newBadItems(ctx, r.source.Name)
	if err != nil {
		return localFault{err}
	}
	for t, err := range r.listedRecordings(ctx, span) {
		r.lists.items++
		if m, ok := client.MalformedOf(err); ok {
			bad.add(fmt.Sprintf("item %d of the list from %s", m.Index, moment(span.From)), m.Raw, m)
			continue
		}
		if err != nil {
			return err
		}
		e, err := r.toEntry(keep, &t, l.at, bad)
		if err != nil {
			return localFault{err}
		}
		if e.item != nil {
			batch = append(batch, e)
		}
		if len(batch) == noteBatch {
			if err := r.noteAll(keep, batch); err != nil {
				return localFault{err}
			}
			batch = batch[:0]
		}
	}
	err = r.noteAll(keep, batch)
	if err == nil {
		err = r.markListed(keep, l, bad)
	}
	if err != nil {
		return localFault{err}
	}
	return nil
}

// listedRecordings yields the recordings that the source lists under
// call-recording-info or, if it has no such list, under recordings.
func (r *Run) listedRecordings(ctx context.Context, span callvault.Span) iter.Seq2[listedRecording, error] {
	return func(yield func(listedRecording, error) bool) {
		if !r.lists.noCalls {
			plain := false
			for call, err := range r.client.Calls(r.listPacer().traced(ctx), span) {
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
			r.lists.noCalls = true
			if err := r.listPacer().wait(ctx); err != nil {
				yield(listedRecording{}, err)
				return
			}
		}
		for item, err := range r.client.Recordings(r.listPacer().traced(ctx), span) {
			if errors.Is(err, callvault.NotFound) {
				r.lists.noCalls = false // neither list is there, so that nothing was learned about calls
			}
			if !yield(listedRecording{recording: item.Recording}, err) {
				return
			}
		}
	}
}

// yieldCall yields the recordings of a call, even if the call itself is malformed.
func yieldCall(yield func(listedRecording, error) bool, call *client.CallItem, err error) bool {
	if m, ok := client.MalformedOf(err); ok {
		for _, item := range m.Recordings {
			if !yield(listedRecording{recording: item.Recording}, nil) {
				return false
			}
		}
	}
	if err != nil {
		return yield(listedRecording{}, err)
	}
	whole := call.Call
	whole.Recordings = nil
	for _, recording := range call.Recordings {
		if !yield(listedRecording{recording: recording, call: &whole}, nil) {
			return false
		}
	}
	return true
}

// markListed records that a stretch was fully listed. Recordings known in it that no list
// of this run has shown, not even one of another stretch, have vanished at the source.
func (r *Run) markListed(ctx context.Context, l listing, bad *badItems) error {
	r.lists.mu.Lock()
	defer r.lists.mu.Unlock()
	done := l
	if bad.refused || bad.total > 0 { // never final, so that what could not be kept is found once it is fixed
		done.at = min(l.at, l.To-1)
	}
	err := r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		err := r.c.changeListings(ctx, tx, r.source.Name, func(all []listing) []listing { return overlay(all, done, r.source.Lookback) })
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE items SET vanished_ms = $1
			WHERE source = $2 AND start_ms >= $3 AND start_ms < $4 AND seen_ms < $5 AND vanished_ms = 0`,
			l.at, r.source.Name, l.From, l.To, min(l.at, r.began))
		if err != nil {
			return fmt.Errorf("vanished recordings: %w", err)
		}
		return bad.write(ctx, tx, r.source.Name, l)
	})
	if err == nil {
		r.lists.thisRun = append(r.lists.thisRun, l.Span)
		bad.report(r)
	}
	return err
}

// moment formats Unix milliseconds for the log, in UTC.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }
