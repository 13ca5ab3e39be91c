package collect_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault/archive"
	"callvault/archive/disk"
	"callvault/collect"
)

// busyStore refuses to put blobs while busy says so. gone is its answer when it is asked
// whether it is ready.
type busyStore struct {
	archive.Blobs
	busy func(key string) bool
	gone error
}

func (b *busyStore) Ready(context.Context) error { return b.gone }

// slowDown is the answer of a store that gets too many requests.
type slowDown struct{ error }

func (slowDown) Unavailable() bool { return true }

func (b *busyStore) Put(ctx context.Context, keys []string, files []*os.File) error {
	for _, key := range keys {
		if b.busy != nil && b.busy(key) {
			return slowDown{errors.New("please reduce your request rate")}
		}
	}
	return b.Blobs.Put(ctx, keys, files)
}

// over gives the vault a collector over stores that are busy; nil is never busy.
func over(t *testing.T, v *vault, audio, quarantine func(key string) bool) *busyStore {
	t.Helper()
	folder, err := disk.Open(filepath.Join(v.dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	store := &busyStore{Blobs: folder, busy: audio}
	if v.archive, err = archive.New(t.Context(), v.db, store); err != nil {
		t.Fatal(err)
	}
	v.Collector = collect.New(collect.Config{
		DB: v.db, Archive: v.archive, Quarantine: &busyStore{Blobs: v.quarantine, busy: quarantine}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		EnsureTenants: func(context.Context, []string) error { return nil },
	})
	return store
}

// TestQuarantineIsBusy: what cannot be set aside just now is requested in the next run.
func TestQuarantineIsBusy(t *testing.T) {
	for _, fault := range []string{"page", "status 410"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSource()
			fill(s, "acme-ns", 5)
			bad := s.recordings[1]
			bad.fault, bad.times = fault, -1
			v, source := newVault(t, tempDir(t)), from(t, s)
			busy := true
			over(t, v, nil, func(string) bool { return busy })
			report := v.run(t, source)
			if got := v.status(t, source, "acme-ns"); report.Result != collect.Incomplete || got.Held != 4 || got.Due != 1 {
				t.Errorf("%s: the run is %s %q: %+v", fault, report.Result, report.Error, got)
			}
			busy = false
			v.run(t, source)
			if got := v.status(t, source, "acme-ns"); got.Quarantined != 1 {
				t.Errorf("%s: %+v", fault, got)
			}
			s.check(t)
		})
	}
}

// TestStoreIsBusy: a store that takes nothing for a moment, or not one particular recording,
// costs no more than another request for that; if it takes nothing for long the run ends
// before it has fetched much in vain.
func TestStoreIsBusy(t *testing.T) {
	for name, busy := range map[string]func(began time.Time) func(string) bool{
		"one, once": func(time.Time) func(string) bool {
			refused := false
			return func(key string) bool {
				was := refused
				refused = refused || strings.Contains(key, "acme-ns-0002")
				return refused && !was
			}
		},
		"for a moment": func(began time.Time) func(string) bool {
			return func(string) bool { return time.Since(began) > time.Minute && time.Since(began) < 90*time.Second }
		},
		"for ever": func(began time.Time) func(string) bool {
			return func(string) bool { return time.Since(began) > time.Minute }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource()
				fill(s, "acme-ns", 30)
				fill(s, "birch-ns", 30)
				v, source := newVault(t, tempDir(t)), from(t, s)
				store := over(t, v, busy(time.Now()), nil)
				began := time.Now()
				report := v.run(t, source)
				_, asked := s.counts()
				if name == "for ever" {
					if took := time.Since(began); report.Result != collect.Failed || took > 5*time.Minute || asked > 45 {
						t.Errorf("the run took %v, asked %d times and is %s %q", took, asked, report.Result, report.Error)
					}
					store.busy = func(string) bool { return false }
					report = v.run(t, source)
				} else if asked > 70 {
					t.Errorf("60 recordings took %d requests", asked)
				}
				complete(t, report)
				v.allHeld(t, s)
				s.check(t)
			})
		})
	}
}
