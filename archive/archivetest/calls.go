package archivetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callvault"
	"callvault/archive"

	"github.com/google/go-cmp/cmp"
)

// intakeOf returns an intake of a recording in the call "c", with the call unless it is nil.
func (s *suite) intakeOf(r callvault.Recording, call *callvault.Call) *archive.Intake {
	s.Helper()
	r.CallKey = "c"
	in := s.intake(s.Archive, r, nil)
	if call != nil {
		sent := *call
		sent.CallKey, sent.TenantName = "c", tenant
		in.Call = &sent
	}
	return in
}

// oneCall returns the only call that is listed.
func (s *suite) oneCall(a *archive.Archive) (call callvault.Call) {
	s.Helper()
	list := s.calls(a, always, everything)
	if len(list) != 1 {
		s.Fatalf("%d calls: %s", len(list), list)
	}
	s.must(json.Unmarshal([]byte(list[0]), &call))
	return call
}

// keysIn returns the keys of the recordings in a list of calls.
func (s *suite) keysIn(list []string) (keys []string) {
	s.Helper()
	for _, text := range list {
		var call callvault.Call
		s.must(json.Unmarshal([]byte(text), &call))
		for _, r := range call.Recordings {
			keys = append(keys, r.RecordingKey)
		}
	}
	return keys
}

// callOfSomeRecordings: a call is listed if a granted recording is in the range, with its
// granted recordings outside of the range too.
func callOfSomeRecordings(s *suite) {
	for i, agent := range []string{"x", "y", "x", "y"} {
		r := pending(fmt.Sprint(i), noon+int64(i)*1000)
		r.Agent = agent
		s.keep(s.intakeOf(r, nil), archive.Added)
	}
	for _, c := range []struct {
		agents   []string
		from, to int64 // seconds after noon
		want     []string
	}{
		{nil, 0, 1, []string{"0", "1", "2", "3"}},
		{nil, 3, 4, []string{"0", "1", "2", "3"}},
		{nil, 4, 9, nil},
		{[]string{"x"}, 0, 1, []string{"0", "2"}},
		{[]string{"x"}, 1, 2, nil},
		{[]string{"y"}, 0, 1, nil},
		{[]string{"y"}, 1, 3, []string{"1", "3"}},
	} {
		grant := callvault.Grant{Tenants: []string{tenant}, Agents: c.agents}
		span := callvault.Span{From: noon + c.from*1000, To: noon + c.to*1000}
		if diff := cmp.Diff(c.want, s.keysIn(s.calls(s.Archive, span, grant))); diff != "" {
			s.Errorf("%v from %d to %d: %s", c.agents, c.from, c.to, diff)
		}
	}
}

// callFarFromItsRecordings: the start of a recording decides, not that of its call.
func callFarFromItsRecordings(s *suite) {
	day := 24 * time.Hour.Milliseconds()
	for i, start := range []int64{noon - 30*day, noon, noon + 30*day} {
		r := pending(fmt.Sprint(i), noon)
		r.CallKey = "call " + r.RecordingKey
		in := s.intake(s.Archive, r, nil)
		in.Call = &callvault.Call{CallKey: r.CallKey, TenantName: tenant, StartTime: start, EndTime: start + 1}
		s.keep(in, archive.Added)
	}
	want := []string{"0", "1", "2"}
	for _, span := range []callvault.Span{{From: noon, To: noon + 1}, always, {From: 0, To: callvault.MaxTime}} {
		if got := s.keysIn(s.calls(s.Archive, span, everything)); !slices.Equal(got, want) {
			s.Errorf("%v: %v, want %v", span, got, want)
		}
	}
	for _, span := range []callvault.Span{{From: noon - 30*day, To: noon}, {From: noon + 1, To: noon + 60*day}} {
		if got := s.keysIn(s.calls(s.Archive, span, everything)); len(got) > 0 {
			s.Errorf("%v: %v, want none", span, got)
		}
	}
}

// callGivenBeforeOrAfter: a given call takes precedence over a made one, and a later one
// over an earlier one, whichever recording it came with.
func callGivenBeforeOrAfter(s *suite) {
	first := &callvault.Call{StartTime: noon - 5000, EndTime: noon + 5000, Location: "<first>", AccountCodes: []json.RawMessage{[]byte(`{"a":"<&>","recordings":[]}`)}}
	later := &callvault.Call{StartTime: noon - 6000, EndTime: noon + 6000, Location: "later"}
	changed := func(key string, event int64) callvault.Recording {
		r := pending(key, noon)
		r.EventID = event
		return r
	}
	for i, step := range []struct {
		in   *archive.Intake
		want archive.Outcome
		says string
	}{
		{s.intakeOf(pending("1", noon), nil), archive.Added, ""},
		{s.intakeOf(pending("2", noon), first), archive.Added, "<first>"},
		{s.intakeOf(changed("2", 8), nil), archive.Updated, "<first>"},
		{s.intakeOf(pending("0", noon-1), nil), archive.Added, "<first>"},
		{s.intakeOf(pending("3", noon), later), archive.Added, "later"},
		// Updated without a call, it does not bring back the call that it first came with.
		{s.intakeOf(changed("2", 9), nil), archive.Updated, "later"},
	} {
		s.keep(step.in, step.want)
		after, _ := s.rebuilt()
		for _, a := range []*archive.Archive{s.Archive, after} {
			call := s.oneCall(a)
			if call.Location != step.says {
				s.Errorf("step %d: the call of %q, want %q", i, call.Location, step.says)
			}
			if call.Location == first.Location && !bytes.Equal(call.AccountCodes[0], first.AccountCodes[0]) {
				s.Errorf("step %d: the account code %s, want %s", i, call.AccountCodes[0], first.AccountCodes[0])
			}
		}
		s.same(s.Archive, after)
	}
}

// callMadeAndWidened: a call that was never given is made from its first recording and spans
// all of them, in whatever order they arrive.
func callMadeAndWidened(s *suite) {
	for _, key := range []string{"2", "1", "3", "0"} {
		r := pending(key, noon+1000*int64(key[0]-'0'))
		r.CallingParty = "party " + key
		s.keep(s.intakeOf(r, nil), archive.Added)
	}
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		call := s.oneCall(a)
		if call.StartTime != noon || call.EndTime != noon+4000 || call.CallerID != "party 0" || call.Direction != "INBOUND" || call.CallID != "c" {
			s.Errorf("made: %+v", call)
		}
	}
	s.same(s.Archive, after)
}

// callLosesItsRecording: a recording that turns out to belong to another call, or to start
// at another time, leaves no trace in its first call.
func callLosesItsRecording(s *suite) {
	s.keep(s.intakeOf(pending("0", noon), nil), archive.Added)
	s.keep(s.intakeOf(pending("1", noon+1000), nil), archive.Added)
	s.keep(s.intakeOf(pending("0", noon+500), nil), archive.Updated)
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		if call := s.oneCall(a); call.StartTime != noon+500 || call.EndTime != noon+2000 {
			s.Errorf("moved: %+v", call)
		}
	}
	s.keep(s.intake(s.Archive, pending("0", noon+500), nil), archive.Updated) // of a call of its own
	s.keep(s.intake(s.Archive, pending("1", noon+1000), nil), archive.Updated)
	after, _ = s.rebuilt()
	s.same(s.Archive, after)
	s.keep(s.intakeOf(pending("9", noon+9000), nil), archive.Added)
	list := s.calls(s.Archive, callvault.Span{From: noon + 9000, To: noon + 9001}, everything)
	var call callvault.Call
	if len(list) == 1 {
		s.must(json.Unmarshal([]byte(list[0]), &call))
	}
	if call.StartTime != noon+9000 {
		s.Errorf("a call that lost all its recordings was widened: %s", list)
	}
}

// callKeyThatTellsNoTime: numbers at the end of another system's keys are not taken for
// times, and whatever is kept can be read back.
func callKeyThatTellsNoTime(s *suite) {
	for i, key := range []string{"x-0-0", "x-5-9", "pbx-20240212-20240213", "x-1-253402300799999", "-1-2"} {
		r := pending(fmt.Sprint(i), noon)
		r.CallKey = key
		s.add(r, nil)
	}
	last := pending("last", callvault.MaxTime)
	last.Duration = callvault.MaxTime
	s.add(last, nil)
	after, done := s.rebuilt()
	if len(done.Faults) > 0 {
		s.Errorf("faults: %+v", done.Faults)
	}
	s.same(s.Archive, after)
	for _, text := range s.calls(s.Archive, callvault.Span{From: noon, To: noon + 1}, everything) {
		var call callvault.Call
		s.must(json.Unmarshal([]byte(text), &call))
		if call.StartTime != noon && call.CallKey != "x-1-253402300799999" {
			s.Errorf("call %s starts at %d", call.CallKey, call.StartTime)
		}
	}
}

// heldMovesToAnotherCall: a held recording that is noted with another call stays in its
// present one until it is amended. Then the files have the other call too, whether it was
// given or not.
func heldMovesToAnotherCall(s *suite) {
	callOf := func(key, location string) *callvault.Call {
		return &callvault.Call{CallKey: key, TenantName: tenant, StartTime: noon, EndTime: noon + 1000, Location: location}
	}
	for _, given := range []*callvault.Call{callOf("second", "Reno"), nil} {
		r := row(fmt.Sprint("given ", given != nil), noon)
		r.CallKey = "first of " + r.RecordingKey
		in := s.intake(s.Archive, r, second)
		in.Call = callOf(r.CallKey, "Denver")
		s.keep(in, archive.Added)
		r.CallKey = "second of " + r.RecordingKey
		if given != nil {
			given.CallKey = r.CallKey
		}
		note := archive.Note{Recording: r, Call: given}
		held, err := s.Archive.Note(s.Context(), []archive.Note{note}, time.Now())
		s.must(err)
		if got := s.find(s.Archive, r.RecordingKey).Recording.CallKey; !held[0] || got != "first of "+r.RecordingKey {
			s.Errorf("noted: held %v, of call %s", held[0], got)
		}
		s.amend(&note)
	}
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		for key, location := range map[string]string{"given true": "Reno", "given false": ""} {
			call, err := a.FindCall(s.Context(), tenant, "second of "+key, &everything)
			if err != nil || call.Location != location || len(call.Recordings) != 1 {
				s.Errorf("%s: %+v, %v", key, call, err)
			}
		}
		if list := s.calls(a, always, everything); len(list) != 2 {
			s.Errorf("%d calls: %s", len(list), list)
		}
	}
	s.same(s.Archive, after)
	s.sound(s.Archive, 2)
}
