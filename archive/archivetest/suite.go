package archivetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/google/go-cmp/cmp"
)

// suite is one test and its fixture.
type suite struct {
	*testing.T
	Fixture
}

var (
	everything = callvault.Grant{AllTenants: true}
	always     = callvault.Span{From: 0, To: math.MaxInt64}
	second     = Opus(1, time.Second)
	// noon is a start for recordings whose start does not matter.
	noon = time.Date(2024, 2, 12, 12, 0, 0, 0, time.UTC).UnixMilli()
)

// tenant is the tenant of the recordings that row returns.
const tenant = "acme-ns"

// row returns a recording that is SAVED.
func row(key string, startMs int64) callvault.Recording {
	return callvault.Recording{
		RecordingKey: key, CallKey: "call of " + key, StartTime: startMs, Duration: 1000, Status: callvault.Saved,
		CallingParty: "18885553794", ReceivingParty: "Spencer Porter(253)", TenantName: tenant,
		CallDirection: "INBOUND", Skill: "CC Sales", Agent: "Spencer Porter(253)",
	}
}

// pending returns a recording whose audio is not here yet.
func pending(key string, startMs int64) callvault.Recording {
	r := row(key, startMs)
	r.Status = callvault.Pending
	return r
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// intake returns an intake for a. opus is nil for a recording without audio.
func (s *suite) intake(a *archive.Archive, r callvault.Recording, opus []byte) *archive.Intake {
	s.Helper()
	in := &archive.Intake{Recording: r, Source: "test", Added: time.Now()}
	if opus == nil {
		return in
	}
	spool, err := a.NewSpool()
	s.must(err)
	defer spool.Discard()
	_, err = spool.Write(opus)
	s.must(err)
	in.Audio, err = spool.Finish()
	s.must(err)
	in.UploadSHA256 = sha256.Sum256(opus)
	return in
}

// keep keeps a recording and expects this outcome.
func (s *suite) keep(in *archive.Intake, want archive.Outcome) *archive.Entry {
	s.Helper()
	entry, outcome, err := s.Archive.Keep(s.Context(), in)
	if err != nil || outcome != want {
		s.Fatalf("keep %s: outcome %d, %v; want outcome %d", in.Recording.RecordingKey, outcome, err, want)
	}
	return entry
}

// amend amends the metadata of a recording, and expects that amending it again changes
// nothing.
func (s *suite) amend(n *archive.Note) {
	s.Helper()
	for _, want := range []bool{true, false} {
		if amended, err := s.Archive.Amend(s.Context(), n, time.Now()); err != nil || amended != want {
			s.Fatalf("amend %s: %v, %v", n.Recording.RecordingKey, amended, err)
		}
	}
}

// add keeps a new recording.
func (s *suite) add(r callvault.Recording, opus []byte) *archive.Entry {
	s.Helper()
	return s.keep(s.intake(s.Archive, r, opus), archive.Added)
}

// keepAll keeps many recordings, 64 at a time, as a busy service would.
func (s *suite) keepAll(intakes []*archive.Intake) {
	s.Helper()
	queue := make(chan *archive.Intake)
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for in := range queue {
				if _, _, err := s.Archive.Keep(s.Context(), in); err != nil {
					s.Errorf("keep %s: %v", in.Recording.RecordingKey, err)
				}
			}
		})
	}
	for _, in := range intakes {
		queue <- in
	}
	close(queue)
	wait.Wait()
}

func (s *suite) find(a *archive.Archive, key string) *archive.Entry {
	s.Helper()
	entry, err := a.Find(s.Context(), tenant, key)
	s.must(err)
	return entry
}

// audio reads a recording's audio.
func (s *suite) audio(a *archive.Archive, entry *archive.Entry) []byte {
	s.Helper()
	file, err := a.OpenAudio(s.Context(), entry)
	s.must(err)
	defer file.Close()
	opus, err := io.ReadAll(file)
	s.must(err)
	return opus
}

// held checks that the recording is held with this audio.
func (s *suite) held(a *archive.Archive, tenant, key string, opus []byte) {
	s.Helper()
	entry, err := a.Find(s.Context(), tenant, key)
	s.must(err)
	if got := s.audio(a, entry); !entry.Held || !bytes.Equal(got, opus) || entry.SHA256 != sha256.Sum256(opus) || entry.Recording.Size != int64(len(opus)) {
		s.Errorf("%s of %s: held %v, %d bytes of %d, entry %+v", key, tenant, entry.Held, len(got), len(opus), entry)
	}
}

func (s *suite) recordings(a *archive.Archive, span callvault.Span, grant callvault.Grant) []string {
	s.Helper()
	var list []string
	for row, err := range a.Recordings(s.Context(), span, &grant).Rows() {
		s.must(err)
		list = append(list, row)
	}
	return list
}

func (s *suite) calls(a *archive.Archive, span callvault.Span, grant callvault.Grant) []string {
	s.Helper()
	var list []string
	for call, err := range a.Calls(s.Context(), span, &grant).Rows() {
		s.must(err)
		list = append(list, call)
	}
	return list
}

// same checks that two archives publish the same lists.
func (s *suite) same(before, after *archive.Archive) {
	s.Helper()
	if diff := cmp.Diff(s.recordings(before, always, everything), s.recordings(after, always, everything)); diff != "" {
		s.Errorf("recordings (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(s.calls(before, always, everything), s.calls(after, always, everything)); diff != "" {
		s.Errorf("calls (-before +after):\n%s", diff)
	}
}

// rebuilt returns an archive that was rebuilt from the files on a fresh database.
func (s *suite) rebuilt() (*archive.Archive, archive.Rebuilt) {
	s.Helper()
	fresh := s.Fresh(s.T)
	return fresh, s.rebuild(fresh)
}

func (s *suite) rebuild(a *archive.Archive) archive.Rebuilt {
	s.Helper()
	done, err := a.Rebuild(s.Context(), time.Now(), func(archive.Rebuilt) {})
	s.must(err)
	return done
}

// faults returns the faults that Verify finds, by key, and how many recordings it read.
func (s *suite) faults(a *archive.Archive, selection archive.Selection, now time.Time) (faults map[string]string, read int) {
	s.Helper()
	faults = map[string]string{}
	if selection.Span == (callvault.Span{}) {
		selection.Span = always
	}
	for checked, err := range a.Verify(s.Context(), selection, now) {
		s.must(err)
		if checked.Bytes > 0 {
			read++
		}
		if checked.Fault == "" {
			continue
		}
		if was, twice := faults[checked.RecordingKey]; twice {
			s.Errorf("%s is reported twice: %s; %s", checked.RecordingKey, was, checked.Fault)
		}
		faults[checked.RecordingKey] = checked.Fault
	}
	return faults, read
}

// sound checks that Verify reads this many recordings and finds no fault.
func (s *suite) sound(a *archive.Archive, recordings int) {
	s.Helper()
	if faults, read := s.faults(a, archive.Selection{}, time.Now()); len(faults) > 0 || read != recordings {
		s.Errorf("%d recordings read, want %d; faults: %v", read, recordings, faults)
	}
}

func (s *suite) blobKeys() []string {
	s.Helper()
	var keys []string
	for key, err := range s.Blobs.Keys(context.WithoutCancel(s.Context()), "") {
		s.must(err)
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (s *suite) blob(key string) []byte {
	s.Helper()
	size, err := s.Blobs.Size(s.Context(), key)
	s.must(err)
	file, err := s.Blobs.Open(s.Context(), key, size)
	s.must(err)
	defer file.Close()
	content, err := io.ReadAll(file)
	s.must(err)
	return content
}

func (s *suite) putBlob(key string, content []byte) {
	s.Helper()
	file, err := s.Blobs.Stage()
	s.must(err)
	defer s.Blobs.Discard(file)
	_, err = file.Write(content)
	s.must(err)
	s.must(s.Blobs.Put(s.Context(), []string{key}, []*os.File{file}))
}

func (s *suite) deleteBlob(key string) {
	s.Helper()
	if _, err := s.Blobs.Size(s.Context(), key); err != nil {
		s.Fatalf("there is no blob %s to delete: %v", key, err)
	}
	s.must(s.Blobs.Delete(s.Context(), key))
	if _, err := s.Blobs.Size(s.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		s.Fatalf("blob %s is still there: %v", key, err)
	}
}
