package ingest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/ingest"
)

// TestUploadTakesItsTurn: a client that gave up on an upload and sends it again, while
// the first is still being encoded, waits and gets the result of the first; if it gives up
// again the wait ends.
func TestUploadTakesItsTurn(t *testing.T) {
	w := newWorld(t)
	end, err := ingest.TakeTurn(w.intake, t.Context(), acme.Name+"/one")
	w.must(err)
	type result struct {
		outcome archive.Outcome
		err     error
	}
	done := make(chan result, 1)
	go func() {
		_, outcome, err := w.upload(part{"recording", `{"startTime":5000,"recordingKey":"one"}`}, part{"audio", string(second)})
		done <- result{outcome, err}
	}()
	w.uploaded(archive.Added, part{"recording", `{"startTime":5000,"recordingKey":"two"}`}, part{"audio", string(second)})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := ingest.TakeTurn(w.intake, ctx, acme.Name+"/one"); !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	select {
	case got := <-done:
		t.Fatalf("it did not wait for its turn: %+v", got)
	case <-time.After(300 * time.Millisecond):
	}
	end()
	if got := <-done; got.err != nil || got.outcome != archive.Added {
		t.Errorf("%+v", got)
	}
	if _, err := w.archive.Find(t.Context(), acme.Name, "one"); errors.Is(err, callvault.NotFound) {
		t.Error(err)
	}
}
