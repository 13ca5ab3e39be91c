package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/client"
)

// refusedBody is audio that was not admitted.
type refusedBody struct {
	reason string
	answer evidence
}

// Error says why it was not admitted.
func (e *refusedBody) Error() string { return e.reason }

// prepareFetch waits until the item may be requested. entry is its row in the archive,
// nil if that is lost. needed is false when there is nothing to request.
func (t *turn) prepareFetch(ctx, waiting context.Context, it *item, entry *archive.Entry) (needed bool, err error) {
	switch {
	case entry == nil:
		return false, t.forget(ctx, it)
	case entry.Held: // a run was killed before it wrote that to the ledger
		there, err := t.r.c.itemFromArchive(ctx, entry, it)
		if err != nil {
			return false, localFault{err}
		}
		t.mu.Lock()
		t.dueSize -= it.size - there.size
		t.mu.Unlock()
		it.size, it.doubt = there.size, there.doubt
		t.record(it, held, "")
		return false, nil
	}
	err = t.acquire(waiting, it)
	return err == nil, err
}

// fetch requests a recording that prepareFetch has prepared, again after transient
// failures, and records its new state. errStopped and errLater end the turn; any other
// error ends the run over the source.
func (t *turn) fetch(ctx, waiting context.Context, it *item, entry *archive.Entry, final bool) error {
	var tries patience
	for {
		failed := t.requestAudio(ctx, it, entry, final)
		if done, err := t.handleOutcome(ctx, it, failed, final); done {
			return err
		}
		if !tries.again(t.pacer, failed) {
			return t.leaveForNextRun(it, failed, tries.spent())
		}
		t.setState(StateWaiting)
		if err := t.acquire(waiting, it); err != nil {
			t.record(it, due, failed.Error())
			return err
		}
	}
}

// leaveForNextRun gives up in this run on a recording that could not be fetched, and with
// errLater on the tenant when it seems that nothing can be fetched. spent says that the
// source has put the request off for longer than maxWait.
func (t *turn) leaveForNextRun(it *item, err error, spent bool) error {
	t.record(it, due, err.Error())
	t.r.c.log.Warn("left for the next run", "tenant", it.tenant, "recording", it.key, "reason", err.Error())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failuresInRow++; spent || t.failuresInRow >= audioFailures || errors.Is(err, callvault.TooManyRequests) {
		t.state = StateLeft
		return errLater
	}
	return nil
}

// forget removes an item whose row the archive has lost, so that the next run lists the
// recording again.
func (t *turn) forget(ctx context.Context, it *item) error {
	t.r.lists.mu.Lock()
	defer t.r.lists.mu.Unlock()
	t.r.addProblem(Problem{Tenant: it.tenant, Key: it.key, Reason: "its row was lost here; the next run lists it anew"})
	t.mu.Lock()
	t.due--
	t.dueSize -= it.size
	t.mu.Unlock()
	return t.r.c.forget(context.WithoutCancel(ctx), it)
}

// handleOutcome reacts to the result of a request. done is false for a failure that may be
// worth another try.
func (t *turn) handleOutcome(ctx context.Context, it *item, err error, final bool) (done bool, fatal error) {
	var body *refusedBody
	var wait callvault.Wait
	errors.As(err, &wait)
	switch {
	case err == nil:
	case t.awaitsStore(err):
		t.postpone(it, due, notKept+err.Error(), final)
		return true, nil
	case errors.As(err, new(localFault)), errors.Is(err, callvault.InsufficientStorage) && !isRefusal(err):
		return true, err
	case ctx.Err() != nil:
		return true, nil // it stays due
	case errors.As(err, &body):
		err = t.refuse(ctx, it, body, final)
		if t.awaitsStore(err) {
			t.postpone(it, due, notKept+err.Error(), final)
			return true, nil
		}
		if err != nil {
			return true, err
		}
	case errors.Is(err, callvault.Unauthorized):
		return true, err
	case errors.Is(err, callvault.BandwidthExceeded):
		return true, t.closeTenant(context.WithoutCancel(ctx), wait.For)
	case errors.Is(err, callvault.Forbidden):
		t.record(it, denied, err.Error())
	case errors.Is(err, callvault.NotFound):
		t.record(it, missing, err.Error())
	default:
		return false, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failuresInRow = 0
	return true, nil
}

// notKept begins the reason of a recording that the archive's store did not take.
const notKept = "not kept, to be fetched once more: "

// isRefusal reports whether the error is an answer of the source.
func isRefusal(err error) bool {
	_, ok := client.RefusalOf(err)
	return ok
}

// fetchTimeout is how long a recording may take to come, even one that trickles in: as
// long as playing it takes, and five minutes more, but six hours at most, whatever size
// the list says. Otherwise one recording could block its tenant, and keep the source's
// lock, for days.
func fetchTimeout(size int64) time.Duration {
	const bytesPerSecond = 1000 // 8 kbit/s
	return min(6*time.Hour, 5*time.Minute+time.Duration(size/bytesPerSecond)*time.Second)
}

// maxBody is how many bytes a recording may have, which allows for any error of a list.
// Without it one endless answer would fill the disk.
func maxBody(size int64) int64 { return 64<<20 + 4*size }

// requestAudio makes one request for a recording's audio, and keeps what it admits.
func (t *turn) requestAudio(ctx context.Context, it *item, entry *archive.Entry, final bool) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout(it.size))
	defer cancel()
	n := int64(0)
	done := sync.OnceFunc(func() { t.release(it, n) })
	defer done()
	answer, err := t.r.client.Audio(t.pacer.traced(ctx), t.site.remote, it.key)
	t.r.c.refused.add(t.site.source, t.site.tenant, err)
	if refusal, ok := client.RefusalOf(err); ok && isEvidence(refusal.Status) {
		return &refusedBody{reason: err.Error(), answer: evidence{Status: refusal.Status, Header: refusal.Header, body: refusal.Body}}
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	spool, err := t.r.c.archive.NewSpool()
	if err != nil {
		return localFault{err}
	}
	defer spool.Discard()
	most := maxBody(it.size)
	n, err = io.Copy(spool, io.LimitReader(answer.Body, most+1))
	done() // the rest is local work: the next request need not wait for it
	if err != nil && !errors.Is(err, client.Cut) {
		return err
	}
	cut := err
	sum, info, fault := spool.End()
	verdict := admit(it, answer, sum, info, fault)
	switch {
	case cut != nil:
		verdict.refused = cut.Error()
	case n > most:
		verdict.refused = fmt.Sprintf("it goes on beyond %d bytes, the list says %d", most, it.size)
	}
	if verdict.refused != "" {
		refused := &refusedBody{reason: verdict.refused, answer: evidence{Status: answer.Status, Header: answer.Header}}
		if final { // the spool ends with this function
			return t.quarantine(ctx, it, refused, spool)
		}
		return refused
	}
	audio, err := spool.Finish()
	if err != nil {
		return localFault{err}
	}
	return t.keep(ctx, it, entry, audio, verdict.doubt)
}

// isEvidence reports whether the API never answers with this status for audio that it
// does not give, so that the answer is worth keeping as evidence.
func isEvidence(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, int(callvault.BandwidthExceeded):
		return false
	}
	return status < 500
}

// keep makes a recording held.
func (t *turn) keep(ctx context.Context, it *item, entry *archive.Entry, audio *archive.Audio, doubt string) error {
	ctx = context.WithoutCancel(ctx)
	in := &archive.Intake{
		Recording: entry.Recording, Audio: audio, UploadSHA256: audio.SHA256,
		Source: t.r.source.Name, Added: time.Now(), Doubt: doubt,
		AsNoted: true, // a list may have changed it since
	}
	in.Recording.Status = callvault.Saved
	if _, _, err := t.r.c.archive.Keep(ctx, in); err != nil {
		return localFault{fmt.Errorf("keep recording %s of %s: %w", it.key, it.tenant, err)}
	}
	t.mu.Lock()
	t.fetched++
	t.promisedOpen = 0
	t.storeDownSince = time.Time{}
	t.dueSize -= it.size - audio.Info.Bytes
	t.mu.Unlock()
	it.doubt, it.size = doubt, audio.Info.Bytes
	t.record(it, held, "")
	return nil
}

// refuse postpones a recording whose body was not admitted to the end of the tenant's
// turn or, when that is now, sets it aside.
func (t *turn) refuse(ctx context.Context, it *item, body *refusedBody, final bool) error {
	if final {
		return t.quarantine(ctx, it, body, nil)
	}
	stands := due
	if it.state == quarantined {
		stands = quarantined // by an earlier run, whose evidence is still there
	}
	t.postpone(it, stands, "refused, to be fetched once more: "+body.reason, false)
	return nil
}

// postpone has a recording fetched once more at the end of the tenant's turn or, when that
// is now, in the next run.
func (t *turn) postpone(it *item, stands state, reason string, final bool) {
	t.record(it, stands, reason)
	if final {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due++ // once more
	t.dueSize += it.size
	t.postponed = append(t.postponed, it)
}

// awaitsStore reports whether a recording was not kept because the archive's store cannot
// be reached, in an outage that has lasted less than storePatience so far. It then delays
// the turn's next request.
func (t *turn) awaitsStore(err error) bool {
	if !errors.As(err, new(localFault)) || !errors.Is(err, callvault.Unavailable) {
		return false
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.storeDownSince.IsZero() {
		t.storeDownSince = now
	}
	t.pacer.delay(backoffs[len(backoffs)-1])
	return now.Sub(t.storeDownSince) < storePatience
}
