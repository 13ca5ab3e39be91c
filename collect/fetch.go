package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/client"
)

// refusedBody is audio that was not admitted.
type refusedBody struct {
	reason string
	spool  *archive.Spool // nil when no body came
	answer evidence
}

// Error is why it was not admitted.
func (e *refusedBody) Error() string { return e.reason }

// fetch asks for one recording, as often as transient failures allow, and notes
// how it stands then. An error ends the run over the source.
func (t *turn) fetch(ctx, waiting context.Context, it *item, final bool) error {
	entry, err := t.r.c.archive.Find(ctx, it.tenant, it.key)
	if err == nil && entry.Held {
		t.note(it, held, "") // by a run that was killed before it could write so
		return nil
	}
	if err != nil {
		return fmt.Errorf("recording %s is in the ledger but not in the archive: run rebuild: %w", it.key, err)
	}
	for try := 0; ; try++ {
		err := t.request(ctx, it, entry, final)
		if done, err := t.outcome(ctx, it, err, final); done {
			return err
		}
		if !t.r.again(t.pacer, err, try) {
			if ctx.Err() == nil {
				t.note(it, due, err.Error())
				t.r.c.log.Warn("left for the next run", "tenant", it.tenant, "recording", it.key, "reason", err.Error())
			}
			return nil
		}
		t.is("waiting")
		if err := t.pacer.wait(waiting); err != nil {
			return nil // due as before
		}
	}
}

// outcome answers each refusal for what it is. done is false for what may be
// worth another try.
func (t *turn) outcome(ctx context.Context, it *item, err error, final bool) (done bool, fatal error) {
	var body *refusedBody
	var wait callvault.Wait
	errors.As(err, &wait)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return true, nil // due as before
	case errors.Is(err, callvault.InsufficientStorage):
		return true, err
	case errors.As(err, &body):
		return true, t.refused(ctx, it, body, final)
	case errors.Is(err, callvault.Unauthorized):
		return true, err
	case errors.Is(err, callvault.BandwidthExceeded):
		return true, t.close(ctx, wait.For)
	case errors.Is(err, callvault.Forbidden):
		t.note(it, denied, err.Error())
	case errors.Is(err, callvault.NotFound):
		t.note(it, missing, err.Error())
	default:
		return false, nil
	}
	return true, nil
}

// request asks for one recording's audio and keeps it.
func (t *turn) request(ctx context.Context, it *item, entry *archive.Entry, final bool) error {
	answer, err := t.r.source.Client.Audio(ctx, t.site.remote, it.key)
	if refusal, ok := client.RefusalOf(err); ok && strange(refusal.Status) {
		return &refusedBody{reason: err.Error(), answer: evidence{Status: refusal.Status, Header: refusal.Header, body: refusal.Body}}
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	spool, err := t.r.c.archive.NewSpool()
	if err != nil {
		return err
	}
	defer spool.Discard()
	n, err := io.Copy(spool, answer.Body)
	t.count(n)
	if err != nil && !errors.Is(err, client.Cut) {
		return err
	}
	cut := err
	sum, info, fault := spool.End()
	verdict := judge(it, answer, sum, info, fault)
	if cut != nil {
		verdict.refused = cut.Error()
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
		return err
	}
	return t.keep(ctx, it, entry, audio, verdict.doubt)
}

// strange tells whether a status is none that the API answers for audio that
// cannot be had, so that the answer is evidence.
func strange(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, int(callvault.BandwidthExceeded):
		return false
	}
	return status < 500
}

// count counts audio bytes against the tenant's egress.
func (t *turn) count(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ledger.Add(n, time.Now().UnixMilli())
	t.fresh += n
	t.bytes += n
}

// keep makes a recording held.
func (t *turn) keep(ctx context.Context, it *item, entry *archive.Entry, audio *archive.Audio, doubt string) error {
	in := &archive.Intake{
		Recording: entry.Recording, Audio: audio, UploadSHA256: audio.SHA256,
		Source: t.r.source.Name, Added: time.Now(), Doubt: doubt,
	}
	in.Recording.Status = callvault.Saved
	if _, _, err := t.r.c.archive.Keep(context.WithoutCancel(ctx), in); err != nil {
		return err
	}
	it.doubt = doubt
	t.note(it, held, "")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held++
	return nil
}

// refused puts what was not admitted off to the end of the tenant's turn, or sets
// it aside.
func (t *turn) refused(ctx context.Context, it *item, body *refusedBody, final bool) error {
	if final {
		return t.quarantine(ctx, it, body, nil)
	}
	t.note(it, quarantined, "refused, to be fetched once more: "+body.reason)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = append(t.again, it)
	return nil
}
