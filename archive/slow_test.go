package archive_test

import (
	"context"
	"os"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/database/databasetest"
)

// slowBlobs is a store to which sending takes so long.
type slowBlobs struct {
	archive.Blobs
	takes time.Duration
}

func (b slowBlobs) Put(ctx context.Context, keys []string, files []*os.File) error {
	time.Sleep(b.takes)
	return b.Blobs.Put(ctx, keys, files)
}

// TestSlowStore: PostgreSQL does not end the transaction of a recording that takes long to
// reach the store.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	place := databasetest.PostgreSQL(t) + "&idle_in_transaction_session_timeout=15s"
	a := openArchive(t, place, slowBlobs{openDisk(t, t.TempDir()), 17 * time.Second})
	r := callvault.Recording{RecordingKey: "a", CallKey: "a", TenantName: "acme-ns", StartTime: 1, Status: callvault.Pending}
	if _, outcome, err := a.Keep(t.Context(), &archive.Intake{Recording: r, Source: "test", Added: time.Now()}); err != nil || outcome != archive.Added {
		t.Errorf("outcome %d, %v", outcome, err)
	}
}
