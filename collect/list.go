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

// noteBatch is how many recordings of a list are noted together.
const noteBatch = 500

// shortestSlice is the stretch of time that is not halved any further.
const shortestSlice = int64(time.Minute / time.Millisecond)

// listTimeout is how long a list may take to come, however it trickles; a shorter
// stretch of time is asked for then.
const listTimeout = time.Hour

// lists is how far a run is with what it asks for first.
type lists struct {
	pacer     *pacer
	noCalls   bool          // the source has no call-recording-info
	relist    bool          // what was listed finally is listed too
	anyCame   bool          // a list came, if any was to be asked for
	items     int           // items
	remaining int           // to be asked for, as far as is known; Run.mu is held for it
	allListed atomic.Bool   // all were asked for, where others take the turns
	done      chan struct{} // closed when no more will come

	mu        sync.Mutex       // for what was listed
	thisRun   []callvault.Span // by this run
	forgotten bool             // what was listed before was forgotten, and is not listed again yet
}

// listedRecording is a recording with its call, as a list tells of it.
type listedRecording struct {
	recording callvault.Recording
	call      *callvault.Call
}

// listAll asks for all that must be listed, the newest first, and notes what it is
// told. An error ends the source for this run.
func (r *Run) listAll(ctx context.Context) error {
	if r.source.Since > r.began { // a mistyped year would be complete each night
		return fmt.Errorf("since is %s, which has not come: nothing would be collected", moment(r.source.Since))
	}
	pieces, err := r.spansToList(ctx)
	if err != nil {
		return err
	}
	failed := 0
	r.lists.anyCame = len(pieces) == 0
	for len(pieces) > 0 {
		r.listsPlanned(len(pieces))
		if r.stopped() {
			return errStopped
		}
		piece := pieces[0]
		pieces = pieces[1:]
		err := r.listSlice(ctx, piece)
		switch {
		case err == nil:
			failed, r.lists.anyCame = 0, true
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case sourceStops(err), errors.As(err, new(localFault)):
			return err
		case worthHalving(err, piece):
			middle := piece.From + (piece.To-piece.From)/2
			pieces = append([]callvault.Span{{From: middle, To: piece.To}, {From: piece.From, To: middle}}, pieces...)
			r.c.log.Info("list halved", "source", r.source.Name, "from", moment(piece.From), "to", moment(piece.To), "reason", err.Error())
		case errors.Is(err, errLater):
			r.listFailed(piece, err)
			return err
		default:
			failed++
			r.listFailed(piece, err)
		}
		if failed == listFailures {
			return fmt.Errorf("%d lists in a row failed, the last with: %w", failed, err)
		}
		if len(pieces) == 0 && r.lists.forgotten {
			r.lists.forgotten, pieces = false, r.forgottenSpans()
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

func (r *Run) listFailed(piece callvault.Span, err error) {
	r.addProblem(Problem{Reason: fmt.Sprintf("the list from %s to %s failed: %v", moment(piece.From), moment(piece.To), err)})
	r.c.log.Error("list failed", "source", r.source.Name, "from", moment(piece.From), "to", moment(piece.To), "error", err)
}

// listsDone tells whether all lists of the run were asked for.
func (r *Run) listsDone() bool {
	select {
	case <-r.lists.done:
		return true
	default:
		return false
	}
}

// tolerableVanished is how many recordings may vanish from all lists at once without anything
// being wrong: a source may delete those of a small site.
const tolerableVanished = 20

// checkEmptied makes a problem of lists that tell of nothing at all, of which there was
// much before: one whose service user may reach no tenant any more is not refused,
// but told of none, night after night.
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

// spansToList are the stretches of time that are to be listed, the newest first.
func (r *Run) spansToList(ctx context.Context) (pieces []callvault.Span, err error) {
	if r.lists.relist {
		return r.gapsByDay(nil), nil
	}
	listings, err := r.c.listings(ctx, r.source.Name, time.Now())
	return r.gapsByDay(listings), err
}

// gapsByDay are the stretches of time that are to be listed where these were.
func (r *Run) gapsByDay(listings []listing) (pieces []callvault.Span) {
	span := callvault.Span{From: max(r.source.Since, r.span.From), To: min(r.began, r.span.To)}
	for _, gap := range gaps(listings, span, r.source.Lookback) {
		pieces = append(daysOf(gap), pieces...)
	}
	return pieces
}

// sourceStops tells whether a refused list means that nothing more can be had.
func sourceStops(err error) bool {
	return errors.Is(err, callvault.Unauthorized) || errors.Is(err, callvault.Forbidden)
}

// worthHalving tells whether a list that failed might come when asked for less.
func worthHalving(err error, piece callvault.Span) bool {
	return (errors.Is(err, client.TimedOut) || errors.Is(err, client.Cut)) && piece.To-piece.From > shortestSlice
}

// listSlice asks for one stretch of time, as often as transient failures allow,
// and notes it.
func (r *Run) listSlice(ctx context.Context, piece callvault.Span) (err error) {
	var tries patience
	for {
		if waited := r.awaitList(ctx); waited != nil {
			return errors.Join(waited, err)
		}
		err = r.listOnce(ctx, piece)
		r.c.refused.add(r.source.Name, listSubject, err)
		if err == nil || worthHalving(err, piece) {
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

// awaitList waits for the turn of a list. At a pace that it shares with the audio of
// the one tenant, that goes first when its turn comes at the same time: it has waited
// since before the last list.
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

// listOnce asks for one stretch of time and notes what it is told. What came of a
// list that broke off stays noted, but the stretch does not count as listed.
func (r *Run) listOnce(ctx context.Context, piece callvault.Span) error {
	l := listing{piece, time.Now().UnixMilli()}
	keep := context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var batch []listEntry
	bad, err := r.c.newBadItems(ctx, r.source.Name)
	if err != nil {
		return localFault{err}
	}
	for t, err := range r.listedRecordings(ctx, piece) {
		r.lists.items++
		if m, ok := client.MalformedOf(err); ok {
			bad.add(fmt.Sprintf("item %d of the list from %s", m.Index, moment(piece.From)), m.Raw, m)
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

// listedRecordings yields the recordings that the source lists, by call-recording-info or,
// where the source has no such list, by recordings.
func (r *Run) listedRecordings(ctx context.Context, piece callvault.Span) iter.Seq2[listedRecording, error] {
	return func(yield func(listedRecording, error) bool) {
		if !r.lists.noCalls {
			plain := false
			for call, err := range r.client.Calls(r.listPacer().traced(ctx), piece) {
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
		for item, err := range r.client.Recordings(r.listPacer().traced(ctx), piece) {
			if errors.Is(err, callvault.NotFound) {
				r.lists.noCalls = false // not one list is there: that tells nothing of the other
			}
			if !yield(listedRecording{recording: item.Recording}, err) {
				return
			}
		}
	}
}

// yieldCall yields the recordings of a call, also of one that is malformed itself.
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

// markListed writes that a stretch was fully listed: recordings that were known in it
// and that no list of this run has told of, not even one over another stretch, have
// vanished at the source.
func (r *Run) markListed(ctx context.Context, l listing, bad *badItems) error {
	r.lists.mu.Lock()
	defer r.lists.mu.Unlock()
	all, err := r.c.listings(ctx, r.source.Name, time.Now())
	if err != nil {
		return err
	}
	done := l
	if bad.refused || bad.total > 0 { // never final, so that what could not be kept is found once it is mended
		done.at = min(l.at, l.To-1)
	}
	err = r.c.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := writeListings(ctx, tx, r.source.Name, overlay(all, done, r.source.Lookback)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE items SET vanished_ms = $1
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

// moment writes Unix milliseconds for the log, in UTC.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }
