package archive

import (
	"context"
	"errors"
	"testing"

	"callvault"
)

// TestCommitPanics: whoever waits for a commit that panics is not told that their recording
// is kept.
func TestCommitPanics(t *testing.T) {
	group := []*keeping{{in: &Intake{}, entry: &Entry{}}, {in: &Intake{Recording: callvault.Recording{RecordingKey: "two"}}}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is not passed on")
			}
		}()
		(&Archive{}).commit(context.Background(), group) // without a database
	}()
	for i, k := range group {
		if !k.done || k.entry != nil || !errors.Is(k.err, errPanicked) {
			t.Errorf("%d: done %v, %v, %v", i, k.done, k.entry, k.err)
		}
	}
}
