package archivetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"callvault"
	"callvault/archive"
)

// fullBlobs is a disk that may be full: where says at which call.
type fullBlobs struct {
	archive.Blobs
	where atomic.Value // a string
}

func (b *fullBlobs) full(where string) error {
	if b.where.Load() != where {
		return nil
	}
	return fmt.Errorf("write: %w", syscall.ENOSPC)
}

func (b *fullBlobs) Stage() (*os.File, error) {
	if err := b.full("stage"); err != nil {
		return nil, err
	}
	return b.Blobs.Stage()
}

func (b *fullBlobs) Put(ctx context.Context, keys []string, files []*os.File) error {
	if err := b.full("put"); err != nil {
		return err
	}
	if err := b.full("half"); err != nil { // there is room for the audio only
		return errors.Join(b.Blobs.Put(ctx, keys[:1], files[:1]), err)
	}
	return errors.Join(b.Blobs.Put(ctx, keys, files), b.full("after"))
}

// fullDisk: a recording for which there is no room is refused, nothing of it is kept, and it
// can be kept later.
func fullDisk(s *suite) {
	disk := &fullBlobs{Blobs: s.Blobs}
	disk.where.Store("")
	a := s.Open(s.T, disk)
	s.add(row("here", noon), second)
	before := len(s.blobKeys())
	for _, where := range []string{"put", "half", "after"} {
		in := s.intake(a, row("one", noon), second)
		disk.where.Store(where)
		if _, _, err := a.Keep(s.Context(), in); !errors.Is(err, callvault.InsufficientStorage) {
			s.Errorf("full at %s: %v, want 507", where, err)
		}
		if _, err := a.Find(s.Context(), tenant, "one"); !errors.Is(err, callvault.NotFound) {
			s.Errorf("full at %s: found, %v", where, err)
		}
		if keys := s.blobKeys(); len(keys) != before {
			s.Errorf("full at %s: left behind in %v", where, keys)
		}
		disk.where.Store("")
	}
	in := s.intake(a, row("one", noon), second)
	disk.where.Store("stage")
	if _, err := a.NewSpool(); !errors.Is(err, callvault.InsufficientStorage) {
		s.Errorf("spool: %v, want 507", err)
	}
	if _, _, err := a.Scratch(); !errors.Is(err, callvault.InsufficientStorage) {
		s.Errorf("scratch: %v, want 507", err)
	}
	if _, _, err := a.Keep(s.Context(), in); !errors.Is(err, callvault.InsufficientStorage) {
		s.Errorf("full at the sidecar: %v, want 507", err)
	}
	s.held(a, tenant, "here", second) // reads go on
	disk.where.Store("")
	if _, outcome, err := a.Keep(s.Context(), s.intake(a, row("one", noon), second)); outcome != archive.Added || err != nil {
		s.Errorf("room again: %d, %v", outcome, err)
	}
	s.sound(a, 2)

	// A recording that was pending before stays pending.
	s.add(pending("two", noon), nil)
	in = s.intake(a, row("two", noon), second)
	disk.where.Store("after")
	if _, _, err := a.Keep(s.Context(), in); !errors.Is(err, callvault.InsufficientStorage) {
		s.Errorf("completion: %v, want 507", err)
	}
	disk.where.Store("")
	if _, outcome, err := a.Keep(s.Context(), s.intake(a, row("two", noon), second)); outcome != archive.Completed || err != nil {
		s.Errorf("completion, room again: %d, %v", outcome, err)
	}
	s.sound(a, 3)
}

// awayBlobs is a store that does not answer, neither to Put nor to Delete.
type awayBlobs struct {
	archive.Blobs
	deletes int
}

type away struct{}

func (away) Error() string     { return "the store does not answer" }
func (away) Unavailable() bool { return true }

func (b *awayBlobs) Put(context.Context, []string, []*os.File) error { return away{} }

func (b *awayBlobs) Delete(context.Context, string) error {
	b.deletes++
	return away{}
}

// storeAway: keeping a recording while the store is away fails. Only one blob is tried to be
// deleted then, because every other intake is waiting.
func storeAway(s *suite) {
	store := &awayBlobs{Blobs: s.Blobs}
	a := s.Open(s.T, store)
	if _, _, err := a.Keep(s.Context(), s.intake(a, row("one", noon), second)); !errors.Is(err, callvault.Unavailable) {
		s.Errorf("kept in a store that is away: %v, want 503", err)
	}
	if store.deletes != 1 {
		s.Errorf("the store was asked %d times to delete a blob", store.deletes)
	}
}

// panickyBlobs is a store that panics, while others are waiting for their turn.
type panickyBlobs struct {
	archive.Blobs
	called, proceed chan struct{}
}

func (b *panickyBlobs) Put(ctx context.Context, keys []string, files []*os.File) error {
	if b.called == nil {
		return b.Blobs.Put(ctx, keys, files)
	}
	close(b.called)
	b.called = nil
	<-b.proceed
	panic("put")
}

// storePanics: a panic while one recording is being kept, which net/http survives, does not
// keep others from being kept.
func storePanics(s *suite) {
	store := &panickyBlobs{Blobs: s.Blobs, called: make(chan struct{}), proceed: make(chan struct{})}
	a := s.Open(s.T, store)
	called, one, two := store.called, s.intake(a, row("one", noon), second), s.intake(a, row("two", noon), second)
	var wait sync.WaitGroup
	wait.Go(func() {
		defer func() {
			if recover() == nil {
				s.Error("the panic is not passed on")
			}
		}()
		a.Keep(s.Context(), one)
	})
	<-called
	wait.Go(func() {
		if _, outcome, err := a.Keep(s.Context(), two); outcome != archive.Added || err != nil {
			s.Errorf("after a panic: %d, %v", outcome, err)
		}
	})
	close(store.proceed)
	wait.Wait()
	s.held(s.Archive, tenant, "two", second)
	s.keep(s.intake(s.Archive, row("one", noon), second), archive.Added)
	s.sound(s.Archive, 2)
}

// stingyBlobs is a store that never returns some blobs. It says that it is ready, unless it
// is gone altogether.
type stingyBlobs struct {
	archive.Blobs
	keeps string // part of the keys of those blobs
	gone  bool
}

func (b *stingyBlobs) Ready(context.Context) error {
	if b.gone {
		return away{}
	}
	return nil
}

func (b *stingyBlobs) Open(ctx context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	if b.gone || strings.Contains(key, b.keeps) {
		return nil, away{}
	}
	return b.Blobs.Open(ctx, key, size)
}

// storeKeepsOne: audio that the store never returns is reported, and all other recordings
// are read. If it returns nothing at all, that is no fault of a recording: Verify and
// Rebuild fail.
func storeKeepsOne(s *suite) {
	store := &stingyBlobs{Blobs: s.Blobs, keeps: "one.opus"}
	a := s.Open(s.T, store)
	for _, key := range []string{"one", "two"} {
		s.add(row(key, noon), second)
	}
	faults, read := s.faults(a, archive.Selection{}, time.Now().Add(time.Hour))
	if len(faults) != 1 || !strings.Contains(faults["one"], "though the store answers") || read != 2 {
		s.Errorf("%d read, %v", read, faults)
	}
	store.gone = true
	for _, err := range a.Verify(s.Context(), archive.Selection{Span: always}, time.Now()) {
		if !errors.Is(err, callvault.Unavailable) {
			s.Errorf("verified while the store is gone: %v, want 503", err)
		}
	}
	if _, err := a.Rebuild(s.Context(), time.Now(), func(archive.Rebuilt) {}); !errors.Is(err, callvault.Unavailable) {
		s.Errorf("rebuilt while the store is gone: %v, want 503", err)
	}
	s.held(s.Archive, tenant, "two", second)
}

// storeKeepsSidecar: the same holds for sidecars, including those of recordings without
// audio and of files without a row.
func storeKeepsSidecar(s *suite) {
	store := &stingyBlobs{Blobs: s.Blobs, keeps: "one.json"}
	a := s.Open(s.T, store)
	s.add(pending("one", noon), nil)
	s.add(row("two", noon), second)
	faults, read := s.faults(a, archive.Selection{}, time.Now())
	if len(faults) != 1 || !strings.Contains(faults["one"], "though the store answers") || read != 1 {
		s.Errorf("%d read, %v", read, faults)
	}
	store.keeps = "two.json"
	faults, read = s.faults(a, archive.Selection{}, time.Now())
	if len(faults) != 1 || !strings.Contains(faults["two"], "though the store answers") || read != 1 {
		s.Errorf("%d read, %v", read, faults)
	}
	elsewhere, stray := s.Fresh(s.T), row("three", noon)
	stray.TenantName = "beta-co"
	if _, _, err := elsewhere.Keep(s.Context(), s.intake(elsewhere, stray, second)); err != nil {
		s.Fatal(err)
	}
	store.keeps = "three.json"
	faults, _ = s.faults(a, archive.Selection{Tenant: stray.TenantName}, time.Now())
	if fault := faults["beta-co/2024/02/12/three.json"]; !strings.Contains(fault, "though the store answers") {
		s.Errorf("a sidecar without a row: %q", fault)
	}
	store.gone = true
	for _, of := range []string{tenant, stray.TenantName} { // begins with one, has only the stray
		failed := false
		for checked, err := range a.Verify(s.Context(), archive.Selection{Tenant: of, Span: always}, time.Now()) {
			if failed = errors.Is(err, callvault.Unavailable); !failed {
				s.Errorf("%s: %+v, %v, want 503", of, checked, err)
			}
		}
		if !failed {
			s.Errorf("%s: verified while no sidecar can be read", of)
		}
	}
}

// damagedSidecarIsReplaced: a damaged file prevents neither its recording nor others from
// being kept.
func damagedSidecarIsReplaced(s *suite) {
	for i, damage := range []string{"{", "", `{"recording":{}}`} {
		key := fmt.Sprint(i)
		s.add(pending(key, noon), nil)
		s.putBlob(tenant+"/2024/02/12/"+key+".json", []byte(damage))
		s.keep(s.intake(s.Archive, row(key, noon), second), archive.Completed)
		s.held(s.Archive, tenant, key, second)
	}
	s.sound(s.Archive, 3)
}

// clockThatJumpsBack: audio counts as later than the pending recording that it completes,
// even if the clock was set back in between, and even if both sidecars are there.
func clockThatJumpsBack(s *suite) {
	now := time.Now()
	announced := s.intake(s.Archive, pending("one", noon), nil)
	announced.Added = now
	s.keep(announced, archive.Added)
	old := s.blob(tenant + "/2024/02/12/one.json")
	completed := s.intake(s.Archive, row("one", noon+24*time.Hour.Milliseconds()), second)
	completed.Added = now.Add(-time.Hour)
	entry := s.keep(completed, archive.Completed)
	if entry.Added <= now.UnixMilli() {
		s.Errorf("completed at %d, announced at %d", entry.Added, now.UnixMilli())
	}
	s.putBlob(tenant+"/2024/02/12/one.json", old) // as if a crash had prevented its deletion
	if faults, _ := s.faults(s.Archive, archive.Selection{}, now); len(faults) != 1 || !strings.Contains(faults[tenant+"/2024/02/12/one.json"], "earlier form") {
		s.Errorf("faults: %v", faults)
	}
	after, _ := s.rebuilt()
	s.rebuild(s.Archive)
	for _, a := range []*archive.Archive{s.Archive, after} {
		s.held(a, tenant, "one", second)
	}
	s.same(s.Archive, after)

	// A row that seems later than its sidecar, because the clock was ahead, follows it too.
	ahead := s.intake(s.Archive, row("two", noon), second)
	ahead.Added = now.Add(1000 * time.Hour)
	s.keep(ahead, archive.Added)
	path := tenant + "/2024/02/12/two.json"
	text := strings.ReplaceAll(string(s.blob(path)), fmt.Sprint(ahead.Added.UnixMilli()), fmt.Sprint(now.UnixMilli()))
	s.putBlob(path, []byte(strings.ReplaceAll(text, "CC Sales", "CC Other")))
	s.rebuild(s.Archive)
	if got := s.find(s.Archive, "two"); got.Recording.Skill != "CC Other" || got.Added != now.UnixMilli() {
		s.Errorf("the row does not follow its file: %+v", got)
	}
}

// clockThatJumpsBackUnderACall: the call that was given last counts.
func clockThatJumpsBackUnderACall(s *suite) {
	now := time.Now()
	for i, location := range []string{"first", "second", "third"} {
		in := s.intakeOf(pending(fmt.Sprint(9-i), noon), &callvault.Call{StartTime: noon, EndTime: noon + 1000, Location: location})
		in.Added = now.Add(-time.Duration(i) * time.Hour)
		s.keep(in, archive.Added)
		if call := s.oneCall(s.Archive); call.Location != location {
			s.Errorf("the call of %q, want %q", call.Location, location)
		}
	}
	after, _ := s.rebuilt()
	s.same(s.Archive, after)
}
