package archivetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/sample"

	"github.com/google/go-cmp/cmp"
)

// keepOn keeps recordings until stop is called, which returns their keys. Every other one is
// first pending on one day and then completed on another.
func (s *suite) keepOn(a *archive.Archive) (stop func() (keys []string)) {
	var ended atomic.Bool
	var mu sync.Mutex
	var wait sync.WaitGroup
	var kept []string
	for worker := range 4 {
		wait.Go(func() {
			for i := 0; !ended.Load() && i < 30; i++ {
				key := fmt.Sprintf("beside-%d-%d", worker, i)
				if i%2 == 0 {
					if _, _, err := a.Keep(s.Context(), s.intake(a, pending(key, noon), nil)); err != nil {
						s.Error(err)
					}
				}
				if _, _, err := a.Keep(s.Context(), s.intake(a, row(key, noon+24*time.Hour.Milliseconds()), second)); err != nil {
					s.Error(err)
				}
				mu.Lock()
				kept = append(kept, key)
				mu.Unlock()
			}
		})
	}
	return func() []string {
		ended.Store(true)
		wait.Wait()
		return kept
	}
}

// rebuild: an archive that is rebuilt without its database publishes the same, byte for byte.
func rebuild(s *suite) {
	audio := map[[2]string][]byte{}
	var intakes []*archive.Intake
	for item := range sample.Month(time.UnixMilli(noon)) {
		if len(audio) == 120 && item.Audio != nil {
			continue
		}
		in := s.intake(s.Archive, item.Recording, item.Audio)
		if len(intakes)%3 > 0 {
			in.Call = &item.Call
		}
		intakes = append(intakes, in)
		if item.Audio != nil {
			audio[[2]string{item.Recording.TenantName, item.Recording.RecordingKey}] = item.Audio
		}
	}
	s.keepAll(intakes)
	after, done := s.rebuilt()
	var tenants []string
	for _, tenant := range sample.Tenants() {
		tenants = append(tenants, tenant.Name)
	}
	if done.Recordings != len(intakes) || done.Held != len(audio) || done.Dropped != 0 || len(done.Faults) > 0 || !slices.Equal(done.Tenants, tenants) {
		s.Errorf("rebuilt %+v, want %d recordings", done, len(intakes))
	}
	s.same(s.Archive, after)
	for name, opus := range audio {
		s.held(after, name[0], name[1], opus)
	}
	if oldest, err := after.OldestRead(s.Context()); oldest != 0 || err != nil {
		s.Errorf("oldest read %d, %v: a rebuild reads no audio", oldest, err)
	}
	s.sound(after, len(audio))
	some := &intakes[5].Recording
	before, err := after.Find(s.Context(), some.TenantName, some.RecordingKey)
	s.must(err)
	again := s.rebuild(after)
	if diff := cmp.Diff(done, again); diff != "" {
		s.Errorf("rebuilt twice: %s", diff)
	}
	if entry, err := after.Find(s.Context(), some.TenantName, some.RecordingKey); err != nil || entry.Read != before.Read || entry.Read == 0 {
		s.Errorf("read at %d, then %+v, %v: forgotten in a rebuild", before.Read, entry, err)
	}
	s.same(s.Archive, after)
}

func rebuildWithoutAudio(s *suite) {
	s.add(row("gone", noon), second)
	s.add(row("short", noon), second)
	s.deleteBlob(tenant + "/2024/02/12/gone.opus")
	s.putBlob(tenant+"/2024/02/12/short.opus", second[:100])
	after, done := s.rebuilt()
	if done.Recordings != 2 || done.Held != 0 || len(done.Faults) != 2 {
		s.Errorf("rebuilt %+v", done)
	}
	for _, key := range []string{"gone", "short"} {
		if entry := s.find(after, key); entry.Held || entry.Recording.Status != callvault.Pending {
			s.Errorf("%s: %+v", key, entry)
		}
		if _, outcome, err := after.Keep(s.Context(), s.intake(after, row(key, noon), second)); outcome != archive.Completed || err != nil {
			s.Errorf("%s comes again: %d, %v", key, outcome, err)
		}
		s.held(after, tenant, key, second)
	}
	s.sound(after, 2)
}

// rebuildDamagedFiles: damaged and unknown files are reported, the rest is taken in.
func rebuildDamagedFiles(s *suite) {
	for _, key := range []string{"whole", "torn", "orphan", "swapped"} {
		s.add(row(key, noon), second)
	}
	path := tenant + "/2024/02/12/"
	s.putBlob(path+"torn.json", []byte("{"))
	s.deleteBlob(path + "orphan.json")
	s.putBlob(path+"swapped.json", s.blob(path+"whole.json"))
	s.putBlob("somebody.txt", nil)
	after, done := s.rebuilt()
	var named []string
	for _, fault := range done.Faults {
		named = append(named, fault.RecordingKey)
	}
	slices.Sort(named)
	want := []string{path + "orphan.opus", path + "swapped.json", path + "torn.json", "somebody.txt"}
	if diff := cmp.Diff(want, named); diff != "" || done.Recordings != 1 {
		s.Errorf("%+v: %s", done, diff)
	}
	s.held(after, tenant, "whole", second)
}

// rebuildBesideKeep: recordings that are kept during a rebuild stay as they were kept.
func rebuildBesideKeep(s *suite) {
	var intakes []*archive.Intake
	for i := range 100 {
		intakes = append(intakes, s.intake(s.Archive, row(fmt.Sprint(i), noon), second))
	}
	s.keepAll(intakes)
	fresh := s.Fresh(s.T)
	stop := s.keepOn(fresh)
	for range 4 {
		if done := s.rebuild(fresh); len(done.Faults) > 0 || done.Dropped > 0 {
			s.Errorf("rebuilt %+v", done)
		}
	}
	keys := stop()
	for _, key := range keys {
		s.held(fresh, tenant, key, second)
	}
	s.sound(fresh, 100+len(keys))
	after, _ := s.rebuilt()
	s.same(fresh, after)
}

func rebuildDropsRows(s *suite) {
	s.add(row("one", noon), second)
	s.add(row("two", noon), second)
	in := s.intake(s.Archive, row("from the future", noon), second)
	in.Added = time.Now().Add(1000 * time.Hour)
	s.keep(in, archive.Added)
	for _, key := range s.blobKeys() {
		if !strings.Contains(key, "/one.") {
			s.deleteBlob(key)
		}
	}
	if done := s.rebuild(s.Archive); done.Recordings != 1 || done.Dropped != 2 {
		s.Errorf("rebuilt %+v", done)
	}
	if list := s.recordings(s.Archive, always, everything); len(list) != 1 || !strings.Contains(list[0], `"one"`) {
		s.Errorf("list: %s", list)
	}
	after, _ := s.rebuilt()
	s.same(s.Archive, after)
	// If only the sidecar is lost, the audio is reported and the row is kept.
	s.deleteBlob(tenant + "/2024/02/12/one.json")
	if done := s.rebuild(s.Archive); done.Dropped != 0 || len(done.Faults) != 1 {
		s.Errorf("rebuilt %+v", done)
	}
	s.held(s.Archive, tenant, "one", second)
}
