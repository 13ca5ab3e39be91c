package collect

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/database"
	"callvault/database/databasetest"
)

// TestListingsChangeTogether: an instant that is forgotten while a list comes stays
// forgotten, whichever process forgets it.
func TestListingsChangeTogether(t *testing.T) {
	db, err := database.Open(t.Context(), databasetest.Place(filepath.Join(t.TempDir(), "callvault.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := New(Config{DB: db})
	now := time.Now().UnixMilli()
	r := &Run{c: c, source: &Source{Name: "acme"}, began: now}
	mark := func(from, to int64) {
		span := callvault.Span{From: from * minute, To: to * minute}
		if err := r.markListed(t.Context(), listing{span, now}, &badItems{}); err != nil {
			t.Error(err)
		}
	}
	const times = 100
	mark(0, times)
	for i := range int64(times) {
		var both sync.WaitGroup
		both.Go(func() { mark(times+i, times+i+1) })
		both.Go(func() {
			if err := c.forget(t.Context(), &item{source: "acme", startMs: i * minute}); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
	}
	listings, err := c.listings(t.Context(), "acme", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if open := gaps(listings, callvault.Span{From: 0, To: 2 * times * minute}, 0); len(open) != times {
		t.Errorf("%d of %d moments are to be listed again", len(open), times)
	}
}
