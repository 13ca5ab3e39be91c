package archivetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/google/go-cmp/cmp"
)

func roundTrip(s *suite) {
	opus := Opus(7, 2500*time.Millisecond)
	entry := s.add(row("one", noon), opus)
	if entry.AudioMs != 2500 || entry.Recording.Size != int64(len(opus)) {
		s.Errorf("%+v", entry)
	}
	s.held(s.Archive, tenant, "one", opus)
	found := s.find(s.Archive, "one")
	if found.Recording != entry.Recording || found.AudioMs != entry.AudioMs || found.Added != entry.Added || found.Read != entry.Added {
		s.Errorf("found %+v, kept %+v", found, entry)
	}
	want := []string{tenant + "/2024/02/12/one.json", tenant + "/2024/02/12/one.opus"}
	if diff := cmp.Diff(want, s.blobKeys()); diff != "" {
		s.Error(diff)
	}
	if upload, err := s.Archive.FindUpload(s.Context(), tenant, sha256.Sum256(opus)); err != nil || upload.Recording != entry.Recording {
		s.Errorf("by its upload: %+v, %v", upload, err)
	}
	for _, other := range [][2]string{{tenant, "two"}, {"beta-co", "one"}} {
		if _, err := s.Archive.Find(s.Context(), other[0], other[1]); !errors.Is(err, callvault.NotFound) {
			s.Errorf("%v: %v, want 404", other, err)
		}
	}
	totals, err := s.Archive.Totals(s.Context())
	if wanted := []archive.Total{{Tenant: tenant, Recordings: 1, Held: 1, Bytes: int64(len(opus))}}; err != nil || !slices.Equal(totals, wanted) {
		s.Errorf("totals %+v, %v", totals, err)
	}
}

// keptAsNoted: with AsNoted, what was noted while the audio arrived is kept, and all lists
// show it. Without it, the intake's own metadata is kept.
func keptAsNoted(s *suite) {
	asked := pending("one", noon)
	told := asked
	told.Skill, told.Duration = "CC Support", 2000
	call := callvault.CallOf(&told)
	call.CallID, call.StartTime, call.EndTime, call.Location = "one", noon-500, noon+2500, "Denver"
	for _, r := range []callvault.Recording{asked, told} {
		_, err := s.Archive.Note(s.Context(), []archive.Note{{Recording: r, Call: &call}}, time.Now())
		s.must(err)
	}
	in := s.intake(s.Archive, row("one", noon), second)
	in.AsNoted = true
	kept := s.keep(in, archive.Completed)
	want := told
	want.Status, want.Size = callvault.Saved, int64(len(second))
	if diff := cmp.Diff(want, kept.Recording); diff != "" {
		s.Error(diff)
	}
	s.held(s.Archive, tenant, "one", second)
	if got := s.find(s.Archive, "one").Recording; got != want {
		s.Errorf("found %+v", got)
	}
	if diff := cmp.Diff([]string{string(want.AppendJSON(nil))}, s.recordings(s.Archive, always, everything)); diff != "" {
		s.Error(diff)
	}
	call.Recordings = []callvault.Recording{want}
	if diff := cmp.Diff([]string{string(call.AppendJSON(nil))}, s.calls(s.Archive, always, everything)); diff != "" {
		s.Error(diff)
	}
	after, _ := s.rebuilt()
	s.same(s.Archive, after)

	s.add(pending("two", noon), nil)
	other := row("two", noon)
	other.Skill = "CC Support"
	if kept := s.keep(s.intake(s.Archive, other, second), archive.Completed); kept.Recording.Skill != other.Skill {
		s.Errorf("kept %+v", kept.Recording)
	}
}

// outcomes keeps the same recordings again and again.
func outcomes(s *suite) {
	other := Opus(2, time.Second)
	renamed := pending("two", noon)
	renamed.Agent = "Kelly Jaques(256)"
	for i, step := range []struct {
		recording callvault.Recording
		opus      []byte
		want      archive.Outcome
		refusal   error
	}{
		{row("one", noon), second, archive.Added, nil},
		{row("one", noon), second, archive.Unchanged, nil},
		{row("one", noon), other, archive.Unchanged, callvault.Conflict},
		{pending("one", noon), nil, archive.Unchanged, callvault.Conflict},
		{pending("two", noon), nil, archive.Added, nil},
		{pending("two", noon), nil, archive.Unchanged, nil},
		{renamed, nil, archive.Updated, nil},
		{row("two", noon), second, archive.Completed, nil},
		{row("two", noon), second, archive.Unchanged, nil},
		{row("two", noon), other, archive.Unchanged, callvault.Conflict},
	} {
		_, outcome, err := s.Archive.Keep(s.Context(), s.intake(s.Archive, step.recording, step.opus))
		if outcome != step.want || !errors.Is(err, step.refusal) {
			s.Errorf("step %d: outcome %d, %v; want %d, %v", i, outcome, err, step.want, step.refusal)
		}
	}
	s.held(s.Archive, tenant, "one", second)
	s.held(s.Archive, tenant, "two", second)

	// Encoded again, by another version of the encoder, the same upload gives other bytes.
	in := s.intake(s.Archive, row("one", noon), other)
	in.UploadSHA256 = sha256.Sum256(second)
	s.keep(in, archive.Unchanged)
	s.held(s.Archive, tenant, "one", second)
	s.sound(s.Archive, 2)
}

// lostAudioComesAgain: audio whose file was lost or truncated is restored when it is
// uploaded again.
func lostAudioComesAgain(s *suite) {
	s.add(row("one", noon), second)
	key := tenant + "/2024/02/12/one.opus"
	s.deleteBlob(key)
	s.keep(s.intake(s.Archive, row("one", noon), second), archive.Unchanged)
	s.held(s.Archive, tenant, "one", second)
	s.putBlob(key, second[:100])
	s.keep(s.intake(s.Archive, row("one", noon), second), archive.Unchanged)
	s.held(s.Archive, tenant, "one", second)
	s.sound(s.Archive, 1)
}

func completedAtAnotherStart(s *suite) {
	s.add(pending("one", noon), nil)
	if entry := s.find(s.Archive, "one"); entry.Held {
		s.Error("held without audio")
	} else if _, err := s.Archive.OpenAudio(s.Context(), entry); !errors.Is(err, callvault.NotFound) {
		s.Errorf("audio of a recording without audio: %v, want 404", err)
	}
	later := row("one", noon+24*time.Hour.Milliseconds())
	s.keep(s.intake(s.Archive, later, second), archive.Completed)
	s.held(s.Archive, tenant, "one", second)
	want := []string{tenant + "/2024/02/13/one.json", tenant + "/2024/02/13/one.opus"}
	if diff := cmp.Diff(want, s.blobKeys()); diff != "" {
		s.Errorf("the files of the earlier form are still there:\n%s", diff)
	}
	if list := s.recordings(s.Archive, always, everything); len(list) != 1 || !strings.Contains(list[0], fmt.Sprint(later.StartTime)) {
		s.Errorf("list: %s", list)
	}
	s.sound(s.Archive, 1)
	after, _ := s.rebuilt()
	s.same(s.Archive, after)
}

// historyIsKept: all earlier forms are in the sidecar's history, including those that were
// kept at the same time.
func historyIsKept(s *suite) {
	s.add(pending("one", noon), nil)
	var wait sync.WaitGroup
	for i := range 10 {
		wait.Go(func() {
			r := pending("one", noon)
			r.EventID = int64(1 + i)
			if _, _, err := s.Archive.Keep(s.Context(), s.intake(s.Archive, r, nil)); err != nil {
				s.Error(err)
			}
		})
	}
	wait.Wait()
	s.keep(s.intake(s.Archive, row("one", noon), second), archive.Completed)
	var sidecar struct {
		History []struct{ Recording callvault.Recording }
	}
	s.must(json.Unmarshal(s.blob(tenant+"/2024/02/12/one.json"), &sidecar))
	var events []int64
	for _, earlier := range sidecar.History {
		events = append(events, earlier.Recording.EventID)
	}
	slices.Sort(events)
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, events); diff != "" {
		s.Error(diff)
	}
}

// oneKeyTwiceAtOnce: if one key is kept twice at the same time, by one process or by two,
// one of them adds it, and the other finds it there.
func oneKeyTwiceAtOnce(s *suite) {
	archives := []*archive.Archive{s.Archive, s.Open(s.T, s.Blobs)}
	other := Opus(2, time.Second)
	for round := range 20 {
		for _, same := range []bool{true, false} {
			key := fmt.Sprintf("%d-%v", round, same)
			audio := [][]byte{second, other}
			if same {
				audio[1] = second
			}
			var outcomes [2]archive.Outcome
			var errs [2]error
			var wait sync.WaitGroup
			for i := range 2 {
				a := archives[i*(round%2)] // odd rounds: two processes
				in := s.intake(a, row(key, noon), audio[i])
				wait.Go(func() { _, outcomes[i], errs[i] = a.Keep(s.Context(), in) })
			}
			wait.Wait()
			first := slices.Index(outcomes[:], archive.Added)
			if first < 0 || errs[first] != nil || outcomes[1-first] != archive.Unchanged || errors.Is(errs[1-first], callvault.Conflict) == same {
				s.Fatalf("%s: outcomes %v, errors %v", key, outcomes, errs)
			}
			s.held(archives[1], tenant, key, audio[first])
		}
	}
	s.sound(s.Archive, 40)
}

func manyAtOnce(s *suite) {
	var intakes []*archive.Intake
	for i := range 200 {
		intakes = append(intakes, s.intake(s.Archive, row(fmt.Sprint(i), noon+int64(i%3)), Opus(i, time.Second)))
	}
	s.keepAll(intakes)
	for i := range 200 {
		s.held(s.Archive, tenant, fmt.Sprint(i), Opus(i, time.Second))
	}
	s.sound(s.Archive, 200)
}

// refused: nothing of a refused intake stays.
func refused(s *suite) {
	withKey := func(key string) callvault.Recording { return row(key, noon) }
	withTenant := func(name string) callvault.Recording {
		r := row("one", noon)
		r.TenantName = name
		return r
	}
	broken := func(edit func(*callvault.Recording)) callvault.Recording {
		r := row("one", noon)
		edit(&r)
		return r
	}
	call := func(edit func(*callvault.Call)) *callvault.Call {
		r := row("one", noon)
		c := callvault.CallOf(&r)
		edit(&c)
		return &c
	}
	for name, in := range map[string]*archive.Intake{
		"no key":              s.intake(s.Archive, withKey(""), second),
		"key of 256 bytes":    s.intake(s.Archive, withKey(strings.Repeat("k", 256)), second),
		"slash":               s.intake(s.Archive, withKey("../x"), second),
		"NUL":                 s.intake(s.Archive, withKey("a\x00b"), second),
		"newline":             s.intake(s.Archive, withKey("a\nb"), second),
		"not UTF-8":           s.intake(s.Archive, withKey("a\xff"), second),
		"tenant with a slash": s.intake(s.Archive, withTenant("a/b"), second),
		"no tenant":           s.intake(s.Archive, withTenant(""), second),
		"no start":            s.intake(s.Archive, broken(func(r *callvault.Recording) { r.StartTime = 0 }), second),
		"no call key":         s.intake(s.Archive, broken(func(r *callvault.Recording) { r.CallKey = "" }), second),
		"SAVED without audio": s.intake(s.Archive, row("one", noon), nil),
		"PENDING with audio":  s.intake(s.Archive, pending("one", noon), second),
		"another call":        {Recording: pending("one", noon), Call: call(func(c *callvault.Call) { c.CallKey = "x" })},
		"call of another":     {Recording: pending("one", noon), Call: call(func(c *callvault.Call) { c.TenantName = "x" })},
		"call that ends first": {Recording: pending("one", noon),
			Call: call(func(c *callvault.Call) { c.EndTime = c.StartTime - 1 })},
	} {
		if _, _, err := s.Archive.Keep(s.Context(), in); !errors.Is(err, callvault.InvalidParameter) {
			s.Errorf("%s: %v, want 400", name, err)
		}
	}
	if keys := s.blobKeys(); len(keys) > 0 {
		s.Errorf("left behind: %v", keys)
	}
	if list := s.recordings(s.Archive, always, everything); len(list) > 0 {
		s.Errorf("listed: %v", list)
	}
}

// oddNames: any text that is allowed as a name works as one, and nothing else.
func oddNames(s *suite) {
	names := []string{
		"..", ".", ".hidden", "...", "a..b", "%2E%2E", "%", "%%", "a b", "a\\b", "C:", "CON", "nul", "COM1.txt", "aux.json",
		"x.opus", "x", "x.json", "x.opus.json", "A", "a", "~", "a~b", "é", "e\u0301", "☎️📼", "\u202ertl", "\u2028", "-rf", "*?", "\"'<>|",
		strings.Repeat("k", 255), strings.Repeat("k", 254) + "l", strings.Repeat("📼", 63), strings.Repeat("📼", 62) + "📞",
		strings.Repeat("y", 200), strings.Repeat("y", 201), "trailing.", "trailing ",
	}
	var intakes []*archive.Intake
	for i, name := range names {
		r := row(name, noon)
		r.CallKey, r.Agent, r.Skill = name, name, name
		intakes = append(intakes, s.intake(s.Archive, r, Opus(i, time.Second)))
		r = row("by tenant", noon)
		r.TenantName = name
		intakes = append(intakes, s.intake(s.Archive, r, Opus(1000+i, time.Second)))
	}
	s.keepAll(intakes)
	after, done := s.rebuilt()
	if len(done.Faults) > 0 || done.Held != 2*len(names) {
		s.Errorf("rebuilt %+v", done)
	}
	for _, a := range []*archive.Archive{s.Archive, after} {
		for i, name := range names {
			s.held(a, tenant, name, Opus(i, time.Second))
			s.held(a, name, "by tenant", Opus(1000+i, time.Second))
			narrow := callvault.Grant{Tenants: []string{tenant}, Agents: []string{name}, Skills: []string{name}}
			if list := s.recordings(a, always, narrow); len(list) != 1 {
				s.Errorf("%q: list of %d", name, len(list))
			}
		}
		s.sound(a, 2*len(names))
	}
	s.same(s.Archive, after)
}
