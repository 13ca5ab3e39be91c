package archivetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault"
	"callvault/archive"
)

func verifyWhole(s *suite) {
	s.add(row("one", noon), second)
	s.add(row("two", noon+1), second)
	s.add(pending("three", noon), nil)
	s.sound(s.Archive, 2)
	later := time.Now().Add(time.Hour)
	s.faults(s.Archive, archive.Selection{Span: callvault.Span{From: noon, To: noon + 1}}, later)
	if one, two := s.find(s.Archive, "one"), s.find(s.Archive, "two"); one.Read != later.UnixMilli() || two.Read >= one.Read {
		s.Errorf("read %d and %d", one.Read, two.Read)
	}
	if oldest, err := s.Archive.OldestRead(s.Context()); err != nil || oldest != s.find(s.Archive, "two").Read {
		s.Errorf("oldest read %d, %v", oldest, err)
	}
	// If the caller stops early, what was read until then is noted.
	later = later.Add(time.Hour)
	for range s.Archive.Verify(s.Context(), archive.Selection{Span: always}, later) {
		break
	}
	if one := s.find(s.Archive, "one"); one.Read != later.UnixMilli() {
		s.Errorf("read %d, forgotten", one.Read)
	}
	for _, selection := range []archive.Selection{{Tenant: "beta-co"}, {Span: callvault.Span{From: noon + 2, To: noon + 3}}} {
		if faults, read := s.faults(s.Archive, selection, later); read != 0 || len(faults) > 0 {
			s.Errorf("%+v: %d read, %v", selection, read, faults)
		}
	}
}

// verifyFaults damages recordings, each in a different way.
func verifyFaults(s *suite) {
	flip := func(content []byte) []byte {
		content = slices.Clone(content)
		content[len(content)/2]++
		return content
	}
	for key, c := range map[string]struct {
		says  string
		spoil func(path string)
	}{
		"whole":     {"", func(string) {}},
		"exchanged": {"SHA-256", func(path string) { s.putBlob(path+".opus", Opus(2, time.Second)) }},
		"damaged":   {"SHA-256", func(path string) { s.putBlob(path+".opus", flip(second)) }},
		"truncated": {"bytes, not", func(path string) { s.putBlob(path+".opus", second[:len(second)-1]) }},
		"emptied":   {"bytes, not", func(path string) { s.putBlob(path+".opus", nil) }},
		"missing":   {"audio file is missing", func(path string) { s.deleteBlob(path + ".opus") }},
		"gone":      {"audio file is missing", func(path string) { s.deleteBlob(path + ".opus"); s.deleteBlob(path + ".json") }},
		"orphan":    {"sidecar is missing", func(path string) { s.deleteBlob(path + ".json") }},
		"torn":      {"sidecar cannot be read", func(path string) { s.putBlob(path+".json", []byte(`{"recording":`)) }},
		"zeroed":    {"sidecar cannot be read", func(path string) { s.putBlob(path+".json", make([]byte, 100)) }},
		"swapped":   {"sidecar cannot be read", func(path string) { s.putBlob(path+".json", s.blob(tenant+"/2024/02/12/whole.json")) }},
		"edited": {"sidecar and the database disagree", func(path string) {
			s.putBlob(path+".json", []byte(strings.ReplaceAll(string(s.blob(path+".json")), "CC Sales", "CC Other")))
		}},
		"rehashed": {"describes other audio", func(path string) {
			text := string(s.blob(path + ".json"))
			sum := fmt.Sprintf("%x", s.find(s.Archive, "rehashed").SHA256)
			s.putBlob(path+".json", []byte(strings.ReplaceAll(text, sum, strings.Repeat("0", 64))))
		}},
		"resized": {"describes other audio", func(path string) {
			s.putBlob(path+".json", []byte(strings.Replace(string(s.blob(path+".json")), `"bytes": `, `"bytes": 1`, 1)))
		}},
	} {
		if key != "whole" {
			s.add(row("whole", noon), second)
		}
		s.add(row(key, noon), second)
		before := s.find(s.Archive, key).Read
		c.spoil(tenant + "/2024/02/12/" + key)
		faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now().Add(time.Hour))
		if fault, named := faults[key]; len(faults) > 1 || named != (c.says != "") || !strings.Contains(fault, c.says) {
			s.Errorf("%s: %v, want %q", key, faults, c.says)
		}
		if read := s.find(s.Archive, key).Read; (read > before) != (c.says == "") {
			s.Errorf("%s: last read back at %d", key, read)
		}
		if entry := s.find(s.Archive, key); key == "missing" || key == "gone" {
			if err := s.open(entry); !errors.Is(err, callvault.NotFound) {
				s.Errorf("%s: %v, want 404", key, err)
			}
		}
		for _, blob := range s.blobKeys() {
			s.deleteBlob(blob)
		}
		s.rebuild(s.Archive)
	}
}

// verifyWithoutAudio: for recordings without audio, the sidecar is checked.
func verifyWithoutAudio(s *suite) {
	for _, key := range []string{"whole", "orphan", "torn"} {
		s.add(pending(key, noon), nil)
	}
	s.add(row("lost", noon), second)
	s.add(row("held", noon), second)
	s.sound(s.Archive, 2)
	path := tenant + "/2024/02/12/"
	s.deleteBlob(path + "orphan.json")
	s.putBlob(path+"torn.json", []byte("{"))
	s.deleteBlob(path + "lost.opus")
	damaged := s.Fresh(s.T)
	s.rebuild(damaged) // makes PENDING what was held
	for a, want := range map[*archive.Archive]map[string]string{
		s.Archive: {"orphan": "sidecar is missing", "torn": "cannot be read", "lost": "audio file is missing"},
		damaged:   {"lost": "audio is lost", path + "torn.json": "a file without a recording"},
	} {
		faults, _ := s.faults(a, archive.Selection{}, time.Now())
		for key, says := range want {
			if !strings.Contains(faults[key], says) {
				s.Errorf("%s: %q, want %q", key, faults[key], says)
			}
		}
		if len(faults) != len(want) {
			s.Errorf("faults %v", faults)
		}
	}
	s.keep(s.intake(s.Archive, row("whole", noon+48*3600*1000), second), archive.Completed) // at another path
	if faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now()); len(faults) != 3 {
		s.Errorf("faults %v", faults)
	}

	// A crash while its audio was kept leaves the files of a recording without its row.
	s.add(pending("crashed", noon), nil)
	elsewhere := s.Fresh(s.T)
	if _, _, err := elsewhere.Keep(s.Context(), s.intake(elsewhere, row("crashed", noon), second)); err != nil {
		s.Fatal(err)
	}
	if faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now()); len(faults) != 4 || !strings.Contains(faults["crashed"], "rebuild takes it in") {
		s.Errorf("faults %v", faults)
	}
	s.add(pending("moved", noon), nil)
	in := s.intake(elsewhere, row("moved", noon+24*3600*1000), second)
	in.Added = in.Added.Add(time.Second)
	if _, _, err := elsewhere.Keep(s.Context(), in); err != nil {
		s.Fatal(err)
	}
	noted := []archive.Note{{Recording: pending("noted", noon+24*3600*1000)}}
	_, err := s.Archive.Note(s.Context(), noted, time.Now().Add(time.Hour)) // by a clock that is ahead
	s.must(err)
	if _, _, err := elsewhere.Keep(s.Context(), s.intake(elsewhere, row("noted", noon+24*3600*1000), second)); err != nil {
		s.Fatal(err)
	}
	faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now())
	for _, key := range []string{"moved.json", "moved.opus", "noted.json", "noted.opus"} {
		if fault := faults[tenant+"/2024/02/13/"+key]; !strings.Contains(fault, "rebuild takes it in") {
			s.Errorf("%s: %q", key, fault)
		}
	}
	s.rebuild(s.Archive)
	s.held(s.Archive, tenant, "crashed", second)
	s.held(s.Archive, tenant, "moved", second)
	s.held(s.Archive, tenant, "noted", second)
}

// verifyStrays: blobs that belong to no recording are reported, once each.
func verifyStrays(s *suite) {
	s.add(row("one", noon), second)
	s.add(row("x.opus", noon), second)
	s.putBlob(tenant+"/2024/02/12/two.opus", second)
	s.putBlob(tenant+"/2024/02/12/note.txt", []byte("x"))
	s.putBlob("somebody", []byte("x"))
	elsewhere := s.Fresh(s.T)
	if _, _, err := elsewhere.Keep(s.Context(), s.intake(elsewhere, row("three", noon), second)); err != nil {
		s.Fatal(err)
	}
	faults, read := s.faults(s.Archive, archive.Selection{}, time.Now())
	got := slices.Sorted(maps.Keys(faults))
	want := []string{tenant + "/2024/02/12/note.txt", tenant + "/2024/02/12/three.json", tenant + "/2024/02/12/three.opus",
		tenant + "/2024/02/12/two.opus", "somebody"}
	if !slices.Equal(got, want) || read != 2 {
		s.Errorf("%d read, faults %q", read, faults)
	}
	if faults, _ := s.faults(s.Archive, archive.Selection{Tenant: tenant}, time.Now()); len(faults) != 4 {
		s.Errorf("of one tenant: %q", faults)
	}
	s.rebuild(s.Archive)
	if faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now()); len(faults) != 3 {
		s.Errorf("after a rebuild took one in: %q", faults)
	}
}

// verifyParts: n parts read everything, each recording once.
func verifyParts(s *suite) {
	const recordings = 60
	var intakes []*archive.Intake
	for i := range recordings {
		intakes = append(intakes, s.intake(s.Archive, row(fmt.Sprint(i), noon+int64(i)), second))
	}
	s.keepAll(intakes)
	s.putBlob("stray", nil)
	for _, of := range []int{1, 2, 7, 31} {
		times, strays := map[string]int{}, 0
		for n := 1; n <= of; n++ {
			for checked, err := range s.Archive.Verify(s.Context(), archive.Selection{Span: always, Part: archive.Part{N: n, Of: of}}, time.Now()) {
				s.must(err)
				if checked.RecordingKey == "stray" {
					strays++
					continue
				}
				times[checked.RecordingKey]++
			}
		}
		for key, n := range times {
			if n != 1 {
				s.Errorf("%d parts read %s %d times", of, key, n)
			}
		}
		if len(times) != recordings || strays != 1 {
			s.Errorf("%d parts read %d recordings, reported the stray %d times", of, len(times), strays)
		}
	}
}

// slowBlobs is a disk to which a recording's audio is written a while before its sidecar.
type slowBlobs struct {
	archive.Blobs
	half, rest chan struct{}
}

func (b *slowBlobs) Put(ctx context.Context, keys []string, files []*os.File) error {
	if err := b.Blobs.Put(ctx, keys[:1], files[:1]); err != nil {
		return err
	}
	close(b.half)
	<-b.rest
	return b.Blobs.Put(ctx, keys[1:], files[1:])
}

// halfKept: a recording that is being kept, of which only the audio is there yet, is not
// reported as a fault.
func halfKept(s *suite) {
	disk := &slowBlobs{Blobs: s.Blobs, half: make(chan struct{}), rest: make(chan struct{})}
	a := s.Open(s.T, disk)
	in := s.intake(a, row("one", noon), second)
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, _, err := a.Keep(s.Context(), in); err != nil {
			s.Error(err)
		}
	})
	<-disk.half
	wait.Go(func() {
		if faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now()); len(faults) > 0 {
			s.Errorf("verify: %v", faults)
		}
	})
	wait.Go(func() {
		if done := s.rebuild(s.Open(s.T, s.Blobs)); len(done.Faults) > 0 {
			s.Errorf("rebuild: %+v", done)
		}
	})
	time.Sleep(300 * time.Millisecond) // long enough for them to find the audio
	close(disk.rest)
	wait.Wait()
	s.sound(s.Archive, 1)
}

// verifyBesideKeep: a recording that is being kept is not reported as a fault.
func verifyBesideKeep(s *suite) {
	stop := s.keepOn(s.Open(s.T, s.Blobs))
	for range 5 {
		if faults, _ := s.faults(s.Archive, archive.Selection{}, time.Now()); len(faults) > 0 {
			s.Errorf("faults: %v", faults)
		}
	}
	s.sound(s.Archive, len(stop()))
}

// open opens a recording's audio, and fetches it if it is remote, as before it is sent.
func (s *suite) open(entry *archive.Entry) error {
	file, err := s.Archive.OpenAudio(s.Context(), entry)
	if err != nil {
		return err
	}
	defer file.Close()
	if remote, ok := file.(archive.Remote); ok {
		return remote.Fetch(entry.Recording.Size)
	}
	return nil
}
