package archivetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/google/go-cmp/cmp"
)

// found returns the keys that a search finds, over all pages.
func (s *suite) found(a *archive.Archive, q archive.Query) []string {
	s.Helper()
	if q.Grant == nil {
		q.Grant = &everything
	}
	keys := []string{}
	for range 1000 {
		page, err := a.Search(s.Context(), &q)
		s.must(err)
		for _, entry := range page.Entries {
			keys = append(keys, entry.Recording.RecordingKey)
		}
		if page.Next == "" {
			return keys
		}
		q.After = page.Next
	}
	s.Fatal("a search that does not end")
	return nil
}

func (s *suite) finds(a *archive.Archive, q archive.Query, want ...string) {
	s.Helper()
	if diff := cmp.Diff(append([]string{}, want...), s.found(a, q)); diff != "" {
		s.Errorf("%+v (-want +found):\n%s", q, diff)
	}
}

// searchWays searches for the same recordings in all ways.
func searchWays(s *suite) {
	kelly, john := row("kelly", noon), row("john", noon+1)
	kelly.Agent, kelly.ReceivingParty, kelly.Skill, kelly.TagData = "Kelly Jaques(256)", "Kelly Jaques(256)", "CC Sales", "VIP 🙂"
	kelly.CallingParty, kelly.Duration = "+1 (888) 555-3794", 90_000
	john.Agent, john.CallingParty, john.ReceivingParty = "Jose\u0301 Núñez", "José Núñez", "Straße 77"
	john.Skill, john.CallDirection, john.Duration = "Support", "OUTBOUND", 7_200_000
	in := s.intake(s.Archive, kelly, second)
	in.Call = &callvault.Call{CallKey: kelly.CallKey, TenantName: tenant, StartTime: noon, EndTime: noon + 90_000, CallerID: "WIRELESS CALLER"}
	s.keep(in, archive.Added)
	s.add(john, second)
	for _, a := range []*archive.Archive{s.Archive, first(s.rebuilt())} {
		for _, party := range []string{"3794", "794", "888-555-3794", "(888) 555 3794", "kelly", "JAQ kel", "256", "wireless", "call wire", "Kelly 256"} {
			s.finds(a, archive.Query{Party: party}, "kelly")
		}
		for _, party := range []string{"jose", "NUNEZ", "Nún", "strasse", "Jose\u0301"} {
			s.finds(a, archive.Query{Party: party}, "john")
		}
		for _, party := range []string{"888", "379", "elly", "kelly john", "9999", "<b>", "37 94x", strings.Repeat("9", 5000), strings.Repeat("kelly ", 5000) + "x y z"} {
			if party == strings.Repeat("kelly ", 5000)+"x y z" {
				s.finds(a, archive.Query{Party: party}, "kelly") // the end is ignored
				continue
			}
			s.finds(a, archive.Query{Party: party})
		}
		s.finds(a, archive.Query{}, "john", "kelly")
		s.finds(a, archive.Query{Agent: "jaques kelly"}, "kelly")
		s.finds(a, archive.Query{Skill: "sales"}, "kelly")
		s.finds(a, archive.Query{Tag: "vip"}, "kelly")
		s.finds(a, archive.Query{Tag: "🙂"}, "kelly")
		s.finds(a, archive.Query{Direction: "outbound"}, "john")
		s.finds(a, archive.Query{Direction: "out"})
		s.finds(a, archive.Query{MinLength: 90 * time.Second}, "john", "kelly")
		s.finds(a, archive.Query{MinLength: 90*time.Second + 1*time.Millisecond}, "john")
		s.finds(a, archive.Query{MaxLength: 90 * time.Second}, "kelly")
		s.finds(a, archive.Query{MinLength: 1000 * time.Hour})
		s.finds(a, archive.Query{MinLength: 1<<63 - 1, MaxLength: -5})
		s.finds(a, archive.Query{Skill: "sales", Direction: "OUTBOUND"})
		s.finds(a, archive.Query{Agent: "kelly", Skill: "sales", Party: "3794", Direction: "INBOUND", Tag: "vip"}, "kelly")
		s.finds(a, archive.Query{Tenants: []string{"other"}})
		s.finds(a, archive.Query{Tenants: []string{"other", tenant}}, "john", "kelly")
		s.finds(a, archive.Query{Span: callvault.Span{From: noon + 1, To: noon + 2}}, "john")
		s.finds(a, archive.Query{Grant: &callvault.Grant{Tenants: []string{"other"}}})
		s.finds(a, archive.Query{Grant: &callvault.Grant{Tenants: []string{"other"}}, Tenants: []string{tenant}})
		s.finds(a, archive.Query{Grant: &callvault.Grant{AllTenants: true, Agents: []string{"Kelly Jaques(256)"}}}, "kelly")
		s.finds(a, archive.Query{Grant: &callvault.Grant{AllTenants: true, Agents: []string{"Kelly"}}})
		s.finds(a, archive.Query{Grant: &callvault.Grant{Tenants: []string{tenant}, Skills: []string{"Support"}}, Party: "3794"})
	}
}

// searchNumbers: a number is found with or without leading codes, however it is stored and
// typed.
func searchNumbers(s *suite) {
	for i, number := range []string{"+1 919 555 0142", "9195550142", "555-0142", "019195550142", "0142"} {
		r := row(string(rune('a'+i)), noon-int64(i))
		r.CallingParty, r.ReceivingParty, r.Agent, r.TagData = number, "", "", number
		s.add(r, second)
	}
	for _, party := range []string{"+1 (919) 555-0142", "9195550142", "001 919 555 0142"} {
		s.finds(s.Archive, archive.Query{Party: party}, "a", "b", "c", "d")
	}
	s.finds(s.Archive, archive.Query{Party: "555 0142"}, "a", "b", "c", "d")
	s.finds(s.Archive, archive.Query{Party: "918 555 0142"}, "c") // it may be
	s.finds(s.Archive, archive.Query{Party: "0142"}, "a", "b", "c", "d", "e")
	s.finds(s.Archive, archive.Query{Party: "9 555 0142"}, "a", "b", "c", "d")
	s.finds(s.Archive, archive.Query{Party: "919 555 0143"})
	s.finds(s.Archive, archive.Query{Tag: "19195550142"}, "a", "d") // a tag's number has no codes, as it may be of an order
}

func first[A, B any](a A, _ B) A { return a }

// searchFollowsChanges: a search finds what is known now.
func searchFollowsChanges(s *suite) {
	s.add(pending("moves", noon), nil)
	s.finds(s.Archive, archive.Query{Agent: "spencer"}, "moves")
	moved := row("moves", noon+90_000_000)
	moved.Agent, moved.Skill = "Ann Oak", ""
	s.keep(s.intake(s.Archive, moved, second), archive.Completed)
	s.finds(s.Archive, archive.Query{Agent: "spencer"})
	s.finds(s.Archive, archive.Query{Skill: "sales"})
	s.finds(s.Archive, archive.Query{Agent: "oak"}, "moves")
	s.finds(s.Archive, archive.Query{Agent: "oak", Span: callvault.Span{From: noon, To: noon + 1000}})

	changed := moved
	changed.TagData, changed.Duration = "<script>alert(1)</script>"+strings.Repeat("x", 10_000), 600_000
	call := callvault.Call{CallKey: moved.CallKey, TenantName: tenant, StartTime: moved.StartTime, EndTime: moved.StartTime + 1, CallerID: "First Caller"}
	s.amend(&archive.Note{Recording: changed, Call: &call})
	s.finds(s.Archive, archive.Query{Tag: "script"}, "moves")
	s.finds(s.Archive, archive.Query{Party: "first"}, "moves")
	s.finds(s.Archive, archive.Query{MinLength: 500 * time.Second}, "moves")
	s.finds(s.Archive, archive.Query{MaxLength: 10 * time.Second})

	call.CallerID = "Second Caller"
	_, err := s.Archive.Note(s.Context(), []archive.Note{{Recording: moved, Call: &call}}, time.Now().Add(time.Hour))
	s.must(err)
	s.finds(s.Archive, archive.Query{Party: "second"}, "moves")
	s.finds(s.Archive, archive.Query{Party: "first"})
	another := row("joins", noon+90_000_001)
	another.CallKey = moved.CallKey
	s.add(another, second)
	s.finds(s.Archive, archive.Query{Party: "second call"}, "joins", "moves")

	for _, key := range s.blobKeys() {
		s.deleteBlob(key)
	}
	s.rebuild(s.Archive)
	s.finds(s.Archive, archive.Query{Agent: "oak"})
	s.finds(s.Archive, archive.Query{})
}

// searchAgreesWithModel makes random queries, with pages of any size.
func searchAgreesWithModel(s *suite) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	agents := []string{"Kelly Jaques(256)", "Kelly Moor(257)", "Spencer Porter(253)", ""}
	var all []callvault.Recording
	var notes []archive.Note
	for i := range 600 {
		r := pending(fmt.Sprint("key ", random.IntN(1000), " ", i), noon+random.Int64N(20)*3_600_000+int64(i%7))
		r.TenantName, r.Agent = pick("a", "b", "c"), pick(agents...)
		r.CallingParty, r.ReceivingParty = fmt.Sprint(18885550000+random.IntN(300)), r.Agent
		r.Skill, r.TagData, r.CallDirection = pick("Sales", "Support", ""), pick("", "VIP"), pick("INBOUND", "OUTBOUND", "INTERNAL")
		r.Duration = random.Int64N(1000) * 1000
		all, notes = append(all, r), append(notes, archive.Note{Recording: r})
	}
	_, err := s.Archive.Note(s.Context(), notes, time.Now())
	s.must(err)
	slices.SortFunc(all, func(a, b callvault.Recording) int {
		return -cmpPlace(&a, &b)
	})
	for range 300 {
		q := archive.Query{
			Agent: pick("", "", "kelly", "porter"), Skill: pick("", "", "sal", "zzz"), Tag: pick("", "", "vip"),
			Direction: pick("", "", "inbound"), MinLength: time.Duration(random.IntN(3)*300) * time.Second,
			Span: callvault.Span{From: noon + random.Int64N(10)*3_600_000, To: noon + (5+random.Int64N(20))*3_600_000}, Limit: 1 + random.IntN(40),
		}
		if random.IntN(2) == 0 {
			q.Party = fmt.Sprint(random.IntN(300) + 1000)[1:]
		}
		grants := []callvault.Grant{everything, {Tenants: []string{"a"}}, {Tenants: []string{"a", "c"}}, {AllTenants: true, Agents: agents[:1]}, {AllTenants: true, Agents: []string{agents[1], ""}}}
		q.Grant = &grants[random.IntN(len(grants))]
		want := []string{}
		for i := range all {
			r := &all[i]
			if q.Grant.MayHear(r) && q.Span.Contains(r.StartTime) && r.Duration >= q.MinLength.Milliseconds() &&
				strings.Contains(strings.ToLower(r.Agent), q.Agent) && strings.Contains(strings.ToLower(r.Skill), q.Skill) &&
				strings.Contains(strings.ToLower(r.TagData), q.Tag) && (q.Direction == "" || r.CallDirection == "INBOUND") &&
				(strings.HasSuffix(r.CallingParty, q.Party) || q.Party != "" && strings.Contains(r.Agent, "("+q.Party+")")) {
				want = append(want, r.RecordingKey)
			}
		}
		if diff := cmp.Diff(want, s.found(s.Archive, q)); diff != "" {
			s.Fatalf("%+v (-want +found):\n%s", q, diff)
		}
	}
}

func cmpPlace(a, b *callvault.Recording) int {
	if a.StartTime != b.StartTime {
		return int(a.StartTime - b.StartTime)
	}
	return strings.Compare(a.RecordingKey+"\x00"+a.TenantName, b.RecordingKey+"\x00"+b.TenantName)
}
