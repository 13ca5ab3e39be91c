package ingest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"

	"callvault/archive"
)

// ending is a context that ends after that many calls of Err.
type ending struct {
	context.Context
	left atomic.Int32
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestImportStopsInsideAFile: interrupting an import does not wait until the hours of
// sound that a file may hold are encoded.
func TestImportStopsInsideAFile(t *testing.T) {
	needLibopus(t)
	w := newWorld(t)
	long := append(wav(1, 16, 8000, 1), make([]byte, 4<<20)...)
	binary.LittleEndian.PutUint32(long[40:], uint32(len(long)-44))
	w.write("long.wav", long)
	files, _ := w.scan()
	for _, after := range []int32{5, 150} { // while it is hashed, and while it is encoded
		ctx := &ending{Context: t.Context()}
		ctx.left.Store(after)
		if outcome, err := w.intake.File(ctx, acme, &files[0]); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d: outcome %v, %v", after, outcome, err)
		}
	}
	if outcome, err := w.intake.File(t.Context(), acme, &files[0]); outcome != archive.Added || err != nil {
		t.Errorf("again: %v, %v", outcome, err)
	}
}
