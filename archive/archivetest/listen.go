package archivetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/audio"

	"github.com/google/go-cmp/cmp"
)

// cursors: an invalid cursor is refused, and a forged one reveals nothing.
func cursors(s *suite) {
	for i := range int64(5) {
		s.add(row(string(rune('a'+i)), noon+i/2), second)
	}
	q := archive.Query{Grant: &everything, Limit: 2}
	page, err := s.Archive.Search(s.Context(), &q)
	s.must(err)
	for _, after := range []string{"x", "%%", page.Next[1:], page.Next + "AAAA", strings.Repeat("A", 100_000), "e30x", "eyJTdGFydCI6LTF9", "eyJTdGFydCI6MSwiS2V5IjoiLyIsIlRlbmFudCI6ImEifQ"} {
		q.After = after
		if _, err := s.Archive.Search(s.Context(), &q); !errors.Is(err, callvault.InvalidParameter) {
			s.Errorf("cursor %.40q: %v", after, err)
		}
	}
	s.finds(s.Archive, archive.Query{Limit: 2}, "e", "d", "c", "b", "a")
	s.finds(s.Archive, archive.Query{Grant: &callvault.Grant{Tenants: []string{"other"}}, After: page.Next})
}

// searchedTo: a search without matches stops after its effort and says how far it got.
func searchedTo(s *suite) {
	var notes []archive.Note
	const effort = 1000
	for i := range int64(effort + 500) {
		r := pending(time.UnixMilli(i).UTC().Format("150405.000"), noon+i)
		r.Duration = 70_000
		notes = append(notes, archive.Note{Recording: r})
	}
	_, err := s.Archive.Note(s.Context(), notes, time.Now())
	s.must(err)
	q := archive.Query{Grant: &everything, MinLength: 80 * time.Second, Span: callvault.Span{From: noon}, Effort: effort}
	page, err := s.Archive.Search(s.Context(), &q)
	s.must(err)
	if len(page.Entries) > 0 || page.Next == "" || page.SearchedTo <= noon || page.SearchedTo > noon+1000 {
		s.Errorf("searched to %d after %d, next %q", page.SearchedTo, noon, page.Next)
	}
	s.finds(s.Archive, q)
}

func suggestions(s *suite) {
	for i, agent := range []string{"Kelly Jaques(256)", "Kelly Jaques(256)", "José Núñez", "<b>Kelly</b>", strings.Repeat("Kelly ", 2000)} {
		r := row(string(rune('a'+i)), noon)
		r.Agent, r.Skill = agent, []string{"Sales", "Support", "", "", ""}[i]
		s.add(r, second)
	}
	for _, test := range []struct {
		grant        callvault.Grant
		field, typed string
		want         []string
	}{
		{everything, "agent", "kel", []string{"<b>Kelly</b>", "Kelly Jaques(256)"}},
		{everything, "agent", "nun", []string{"José Núñez"}},
		{everything, "skill", "", []string{"Sales", "Support"}},
		{everything, "tag", "", nil},
		{callvault.Grant{Tenants: []string{"other"}}, "agent", "", nil},
		{callvault.Grant{AllTenants: true, Agents: []string{"José Núñez"}}, "skill", "", nil},
		{callvault.Grant{AllTenants: true, Skills: []string{"Sales"}}, "agent", "", []string{"Kelly Jaques(256)"}},
	} {
		got, err := s.Archive.Suggest(s.Context(), &test.grant, test.field, test.typed, 10)
		if err != nil || !slices.Equal(got, test.want) {
			s.Errorf("%s %q: %q, %v; want %q", test.field, test.typed, got, err, test.want)
		}
	}
	if _, err := s.Archive.Suggest(s.Context(), &everything, "shape", "", 10); !errors.Is(err, callvault.InvalidParameter) {
		s.Errorf("suggest shapes: %v", err)
	}
}

// oneCall: a call is returned with those of its recordings that are granted.
func oneCall(s *suite) {
	one, other := row("one", noon), row("other", noon+5)
	one.CallKey, other.CallKey, other.Agent = "c", "c", "Kelly"
	s.add(one, second)
	s.add(other, second)
	call, err := s.Archive.FindCall(s.Context(), tenant, "c", &everything)
	if err != nil || len(call.Recordings) != 2 || call.CallKey != "c" {
		s.Fatalf("%+v, %v", call, err)
	}
	call, err = s.Archive.FindCall(s.Context(), tenant, "c", &callvault.Grant{AllTenants: true, Agents: []string{"Kelly"}})
	if err != nil || len(call.Recordings) != 1 || call.Recordings[0].RecordingKey != "other" {
		s.Errorf("%+v, %v", call, err)
	}
	for _, grant := range []callvault.Grant{{Tenants: []string{"x"}}, {AllTenants: true, Agents: []string{"x"}}} {
		if _, err := s.Archive.FindCall(s.Context(), tenant, "c", &grant); !errors.Is(err, callvault.NotFound) {
			s.Errorf("a call that is not granted: %v", err)
		}
	}
}

// remarksAreKept: remarks survive an amendment and a rebuild as they were written.
func remarksAreKept(s *suite) {
	s.add(row("a", noon), second)
	write := func(text string) error {
		return s.Archive.AddRemark(s.Context(), &archive.Remark{Tenant: tenant, RecordingKey: "a", Who: "Ann <b>", Text: text, At: noon})
	}
	texts := []string{"<script>alert(1)</script>", strings.Repeat("🙂", archive.MaxRemark)}
	for _, text := range texts {
		s.must(write(text))
	}
	for _, text := range []string{"", " \n", strings.Repeat("x", archive.MaxRemark+1)} {
		if err := write(text); !errors.Is(err, callvault.InvalidParameter) {
			s.Errorf("%d characters: %v", len(text), err)
		}
	}
	s.amend(&archive.Note{Recording: row("a", noon+1)})
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		got, err := a.Remarks(s.Context(), tenant, "a")
		s.must(err)
		want := []archive.Remark{
			{Tenant: tenant, RecordingKey: "a", At: noon, Who: "Ann <b>", Text: texts[0]},
			{Tenant: tenant, RecordingKey: "a", At: noon + 1, Who: "Ann <b>", Text: texts[1]},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Error(diff)
		}
	}
	err := s.Archive.AddRemark(s.Context(), &archive.Remark{Tenant: tenant, RecordingKey: "b", Who: "Ann", Text: "x"})
	if !errors.Is(err, callvault.NotFound) {
		s.Errorf("a note on nothing: %v", err)
	}
	s.add(row("torn", noon), second)
	s.putBlob(tenant+"/2024/02/12/torn.json", []byte("{"))
	err = s.Archive.AddRemark(s.Context(), &archive.Remark{Tenant: tenant, RecordingKey: "torn", Who: "Ann", Text: "x"})
	if !errors.Is(err, callvault.NotFound) {
		s.Errorf("a note in a damaged sidecar: %v", err)
	}
	provenance, err := after.Provenance(s.Context(), s.find(after, "a"))
	if err != nil || provenance.Source != "test" || len(provenance.History) != 1 {
		s.Errorf("%+v, %v", provenance, err)
	}
}

// remarksHaveAnEnd: remarks never make a recording's sidecar too large to be read.
func remarksHaveAnEnd(s *suite) {
	s.add(row("a", noon), second)
	kept := 0
	for ; kept < 1000; kept++ {
		m := archive.Remark{Tenant: tenant, RecordingKey: "a", Who: "Ann", Text: strings.Repeat(string('🙂'+rune(kept%2)), archive.MaxRemark), At: noon} // alternating: repeated, it would be stored once
		err := s.Archive.AddRemark(s.Context(), &m)
		if errors.Is(err, callvault.InvalidParameter) && strings.Contains(err.Error(), "no room for another note") {
			break
		}
		s.must(err)
	}
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		if remarks, err := a.Remarks(s.Context(), tenant, "a"); err != nil || len(remarks) != kept || kept < 20 || kept == 1000 {
			s.Errorf("%d notes, %v; %d were kept", len(remarks), err, kept)
		}
	}
	s.sound(s.Archive, 1)
}

// certificate compares a certificate with the hashes of the files.
func certificate(s *suite) {
	var hashes []string
	for i := range 5 {
		opus := Opus(i, time.Second)
		s.add(row(string(rune('a'+i)), noon+int64(i)), opus)
		if i > 0 { // from noon+1 on
			sum := sha256.Sum256(s.blob(tenant + "/2024/02/12/" + string(rune('a'+i)) + ".opus"))
			hashes = append(hashes, hex.EncodeToString(sum[:])+"\n")
		}
	}
	s.add(pending("p", noon+3), nil)
	slices.Sort(hashes)
	sum := sha256.Sum256([]byte(strings.Join(hashes, "")))
	c, err := s.Archive.Certify(s.Context(), tenant, callvault.Span{From: noon + 1, To: noon + 100})
	s.must(err)
	if c.SHA256 != hex.EncodeToString(sum[:]) || c.Held != 4 || c.Recordings != 5 || c.NotHeld[callvault.Pending] != 1 ||
		c.First != noon+1 || c.Last != noon+4 || c.AudioMs != 4000 {
		s.Errorf("%+v", c)
	}
	c, err = s.Archive.Certify(s.Context(), "nobody", always)
	if sum := sha256.Sum256(nil); err != nil || c.Recordings != 0 || c.SHA256 != hex.EncodeToString(sum[:]) {
		s.Errorf("%+v, %v", c, err)
	}
}

// peaks: peaks are measured once, for all callers, and outlive the audio.
func peaks(s *suite) {
	entry := s.add(row("a", noon), second)
	want, err := audio.Peaks(bytes.NewReader(second), time.Second)
	s.must(err)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if got, err := s.Archive.Peaks(s.Context(), entry); err != nil || !bytes.Equal(got, want) {
				s.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
	wait.Wait()
	s.sound(s.Archive, 1)
	s.deleteBlob(tenant + "/2024/02/12/a.opus")
	if got, err := s.Archive.Peaks(s.Context(), entry); err != nil || !bytes.Equal(got, want) {
		s.Errorf("kept: %d bytes, %v", len(got), err)
	}
	for _, r := range []callvault.Recording{pending("p", noon)} {
		if _, err := s.Archive.Peaks(s.Context(), s.add(r, nil)); !errors.Is(err, callvault.NotFound) {
			s.Errorf("peaks of no audio: %v", err)
		}
	}
}

// peaksOfDamagedAudio: the peaks of damaged audio end at the fault, and are not used for the
// audio that is restored in its place.
func peaksOfDamagedAudio(s *suite) {
	opus, key := Opus(1, 20*time.Second), tenant+"/2024/02/12/a.opus"
	entry := s.add(row("a", noon), opus)
	want, err := audio.Peaks(bytes.NewReader(opus), 20*time.Second)
	s.must(err)
	damaged := bytes.Clone(opus)
	damaged[len(damaged)/2]++
	s.putBlob(key, damaged)
	if got, err := s.Archive.Peaks(s.Context(), entry); err != nil || len(got) >= len(want) {
		s.Errorf("damaged: %d bytes, %v; of the whole %d", len(got), err, len(want))
	}
	s.putBlob(key, opus)
	if got, err := s.Archive.Peaks(s.Context(), entry); err != nil || !bytes.Equal(got, want) {
		s.Errorf("put back: %d bytes, %v; want %d", len(got), err, len(want))
	}
}
