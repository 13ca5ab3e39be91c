package archivetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"callvault"
	"callvault/archive"

	gocmp "github.com/google/go-cmp/cmp"
)

// model is what the lists should contain, in memory.
type model struct {
	recordings []callvault.Recording
	calls      map[[2]string]callvault.Call
}

// lifelike returns calls and their recordings, in no particular order: more than two pages
// of each list, of three tenants with three agents and skills, many with equal starts.
func lifelike(rng *rand.Rand) (m model) {
	m.calls = map[[2]string]callvault.Call{}
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	for i := range 520 {
		start := noon + int64(rng.IntN(400))*1000
		call := callvault.Call{
			CallKey: fmt.Sprintf("%s%d", pick("a", "B", "é", "\ufffd", "📼", "-", "~"), i), TenantName: pick("acme-ns", "beta-co", "Acme"),
			StartTime: start, EndTime: start + 60_000, Location: "Reno, NV",
		}
		m.calls[[2]string{call.TenantName, call.CallKey}] = call
		for range 1 + rng.IntN(3) {
			r := pending(fmt.Sprintf("%s%d", pick("a", "B", "é", "\ufffd", "📼", "-", "~"), len(m.recordings)), start+int64(rng.IntN(60)-10)*1000)
			r.TenantName, r.CallKey = call.TenantName, call.CallKey
			r.Agent, r.Skill = pick("x", "y", ""), pick("x", "y", "<&>")
			m.recordings = append(m.recordings, r)
		}
	}
	return m
}

// keep keeps all recordings of the model.
func (m *model) keep(s *suite) {
	var intakes []*archive.Intake
	for i := range m.recordings {
		r := m.recordings[i]
		in := s.intake(s.Archive, r, nil)
		call := m.calls[[2]string{r.TenantName, r.CallKey}]
		in.Call = &call
		intakes = append(intakes, in)
	}
	s.keepAll(intakes)
	slices.SortFunc(m.recordings, func(a, b callvault.Recording) int {
		return cmp.Or(cmp.Compare(a.StartTime, b.StartTime), strings.Compare(a.RecordingKey, b.RecordingKey))
	})
}

func (m *model) list(span callvault.Span, grant *callvault.Grant) (list []string) {
	for i := range m.recordings {
		if r := &m.recordings[i]; span.Contains(r.StartTime) && grant.MayHear(r) {
			list = append(list, string(r.AppendJSON(nil)))
		}
	}
	return list
}

func (m *model) listCalls(span callvault.Span, grant *callvault.Grant) (list []string) {
	starts := map[[2]string]bool{} // the calls of which a recording starts in the span
	gathered := map[[2]string][]callvault.Recording{}
	for _, r := range m.recordings {
		if key := [2]string{r.TenantName, r.CallKey}; grant.MayHear(&r) {
			starts[key] = starts[key] || span.Contains(r.StartTime)
			gathered[key] = append(gathered[key], r)
		}
	}
	var calls []callvault.Call
	for key, call := range m.calls {
		if call.Recordings = gathered[key]; starts[key] {
			calls = append(calls, call)
		}
	}
	slices.SortFunc(calls, func(a, b callvault.Call) int {
		return cmp.Or(cmp.Compare(a.StartTime, b.StartTime), strings.Compare(a.CallKey, b.CallKey))
	})
	for _, call := range calls {
		list = append(list, string(call.AppendJSON(nil)))
	}
	return list
}

var grants = map[string]callvault.Grant{
	"all":               everything,
	"one tenant":        {Tenants: []string{"acme-ns"}},
	"two tenants":       {Tenants: []string{"beta-co", "Acme"}},
	"a tenant twice":    {Tenants: []string{"beta-co", "beta-co"}},
	"unknown tenant":    {Tenants: []string{"gamma"}},
	"no tenant":         {},
	"an agent":          {AllTenants: true, Agents: []string{"x"}},
	"agents and skills": {Tenants: []string{"acme-ns"}, Agents: []string{"x", ""}, Skills: []string{"<&>", "y"}},
	"unknown skill":     {AllTenants: true, Skills: []string{"z"}},
	"quotes":            {Tenants: []string{`a"c`, "acme-ns"}, Agents: []string{`x","y`, "y"}},
}

// spans returns a span of everything, odd spans, and random ones that begin or end at a
// recording.
func (m *model) spans(rng *rand.Rand, some int) []callvault.Span {
	spans := []callvault.Span{always, {From: noon, To: noon}, {From: noon + 1, To: noon}, {From: -1, To: 1}}
	for range some {
		from, to := m.recordings[rng.IntN(len(m.recordings))].StartTime, m.recordings[rng.IntN(len(m.recordings))].StartTime
		spans = append(spans, callvault.Span{From: min(from, to), To: max(from, to)}, callvault.Span{From: from, To: from + 1})
	}
	return spans
}

func listsAgreeWithModel(s *suite) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := lifelike(rng)
	m.keep(s)
	for name, grant := range grants {
		for _, span := range m.spans(rng, 5) {
			if diff := gocmp.Diff(m.list(span, &grant), s.recordings(s.Archive, span, grant)); diff != "" {
				s.Errorf("%s, %v (-want +got):\n%.1000s", name, span, diff)
			}
		}
	}
}

func callListsAgreeWithModel(s *suite) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := lifelike(rng)
	m.keep(s)
	for name, grant := range grants {
		spans := m.spans(rng, 2)
		if name != "all" {
			spans = slices.DeleteFunc(spans, func(span callvault.Span) bool { // long lists are slow under the race detector
				return span.To-span.From > 60_000
			})
		}
		for _, span := range spans {
			if diff := gocmp.Diff(m.listCalls(span, &grant), s.calls(s.Archive, span, grant)); diff != "" {
				s.Errorf("%s, %v (-want +got):\n%.1000s", name, span, diff)
			}
		}
	}
}

// listsEndEarly: the caller may leave a list at any row, and a list that cannot be read to
// its end yields an error.
func listsEndEarly(s *suite) {
	var intakes []*archive.Intake
	const all, most = 1200, 258 // of the recordings of 600 calls, more than a page of calls
	for i := range all {
		r := pending(fmt.Sprintf("%04d", i), noon+int64(i))
		r.CallKey = fmt.Sprint(i / 2)
		intakes = append(intakes, s.intake(s.Archive, r, nil))
	}
	s.keepAll(intakes)
	for _, grant := range []callvault.Grant{everything, {Tenants: []string{tenant}}} {
		for name, list := range map[string]func(context.Context) (int, error){
			"recordings": func(ctx context.Context) (n int, err error) {
				for _, err := range s.Archive.Recordings(ctx, always, &grant).Rows() {
					if n++; err != nil || n == most {
						return n, err
					}
				}
				return n, nil
			},
			"calls": func(ctx context.Context) (n int, err error) {
				for _, err := range s.Archive.Calls(ctx, always, &grant).Rows() {
					if n++; err != nil || n == most {
						return n, err
					}
				}
				return n, nil
			},
		} {
			if n, err := list(s.Context()); n != most || err != nil {
				s.Errorf("%s left in the middle: %d, %v", name, n, err)
			}
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			if n, err := list(ctx); n != 1 || !errors.Is(err, context.Canceled) {
				s.Errorf("%s of a caller that is gone: %d, %v", name, n, err)
			}
		}
	}
	again := s.Archive.Recordings(s.Context(), always, &everything).Rows()
	calls := s.Archive.Calls(s.Context(), always, &everything).Rows()
	for range 2 { // a list that was left begins anew
		for line, err := range again {
			if err != nil || !strings.Contains(line, `"recordingKey":"0000"`) {
				s.Errorf("the list begins with %s, %v", line, err)
			}
			break
		}
		n := 0
		for _, err := range again {
			s.must(err)
			n++
		}
		for line, err := range calls {
			s.must(err)
			if n++; strings.Contains(line, `"recordingKey":"1199"`) {
				break
			}
		}
		if n != all+all/2 {
			s.Errorf("%d recordings and calls", n)
		}
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	n, last := 0, error(nil)
	for _, err := range s.Archive.Recordings(ctx, always, &everything).Rows() {
		if n++; n == 100 {
			cancel()
		}
		last = err
	}
	if n > 32+64+128+256+512+1 || !errors.Is(last, context.Canceled) { // the pages that were read meanwhile, and the error
		s.Errorf("cancelled in mid-list: %d rows, %v", n, last)
	}
}

// seedRows keeps the samples of the recordings API, odd keys included. They come back as
// they are printed there, except for the size.
func seedRows(s *suite) {
	var intakes []*archive.Intake
	for i, sample := range seedRecordings {
		in := s.intake(s.Archive, sample, Opus(i, time.Duration(sample.Duration)*time.Millisecond))
		if sample.CallKey == seedCall.CallKey {
			call := seedCall
			in.Call = &call
		}
		intakes = append(intakes, in)
	}
	s.keepAll(intakes)
	after, _ := s.rebuilt()
	for _, a := range []*archive.Archive{s.Archive, after} {
		var want []string
		for _, sample := range seedRecordings {
			sample.Size = s.find(a, sample.RecordingKey).Recording.Size
			want = append(want, seedJSON(&sample))
		}
		if diff := gocmp.Diff(want, s.recordings(a, always, everything)); diff != "" {
			s.Error(diff)
		}
		calls := s.calls(a, callvault.Span{From: seedRecordings[2].StartTime, To: seedRecordings[2].StartTime + 1}, everything)
		wantCall := `{"callId":"853be5cc-f498-5D47-a552-a0b38e6841fc","shortId":31875,` +
			`"callKey":"853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851","startTime":1712110317069,"endTime":1712110924851,` +
			`"direction":"INBOUND","recordings":[` + want[2] + `],"tenantName":"acme-ns","callerId":"WIRELESS CALLER",` +
			`"dialedPartyNumber":"7035559310","accountCodes":[],"totalHoldDuration":0,"location":"Reno, NV","dropEventType":"DROP"}`
		if diff := gocmp.Diff([]string{wantCall}, calls); diff != "" {
			s.Error(diff)
		}
	}
}

// seedJSON returns a recording as the samples are printed. The format is written by hand.
func seedJSON(r *callvault.Recording) string {
	return fmt.Sprintf(`{"recordingKey":"%s","callKey":"%s","startTime":%d,"duration":%d,"size":%d,"eventId":%d,"recordingSystemId":%d,`+
		`"status":"%s","callingParty":"%s","receivingParty":"%s","tenantName":"%s","tagData":"%s","callDirection":"%s","skill":"%s","agent":"%s"}`,
		r.RecordingKey, r.CallKey, r.StartTime, r.Duration, r.Size, r.EventID, r.RecordingSystemID,
		r.Status, r.CallingParty, r.ReceivingParty, r.TenantName, r.TagData, r.CallDirection, r.Skill, r.Agent)
}

var seedRecordings = []callvault.Recording{
	{
		RecordingKey: "91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131",
		CallKey:      "1dd0gg18-9c63-41de-a386-4f21ba0086f2-1707770438499-1707770497510",
		StartTime:    1707770449131, Duration: 3606, EventID: 99181, Status: callvault.Saved,
		CallingParty: "18885553794", ReceivingParty: "Spencer Porter(253)", TenantName: "acme-ns", TagData: "Default",
		CallDirection: "INBOUND", Skill: "CC Sales", Agent: "Spencer Porter(253)",
	},
	{
		RecordingKey: "a4bc65b6-24gh-41a7-a07b-0bcee2da6551-1707770466508",
		CallKey:      "5dcf3a89-3c3b-47f2-a674-7884c2ee1054-1707770438499-1707770497510",
		StartTime:    1707770466508, Duration: 12806, EventID: 99184, Status: callvault.Saved,
		CallingParty: "18885551347", ReceivingParty: "Kelly Jaques(256)", TenantName: "acme-ns",
		CallDirection: "INBOUND", Agent: "Kelly Jaques(256)",
	},
	{
		RecordingKey: "fe417b58-34da-426c-8ffd-feca5fd772f4-1712110321584",
		CallKey:      "853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851",
		StartTime:    1712110321584, Duration: 603006, EventID: 101370, Status: callvault.Saved,
		CallingParty: "13855554334", ReceivingParty: "Kelly Jaques(256)", TenantName: "acme-ns",
		CallDirection: "INBOUND", Agent: "Kelly Jaques(256)",
	},
}

var seedCall = callvault.Call{
	CallID: "853be5cc-f498-5D47-a552-a0b38e6841fc", ShortID: 31875,
	CallKey:   "853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851",
	StartTime: 1712110317069, EndTime: 1712110924851, Direction: "INBOUND", TenantName: "acme-ns",
	CallerID: "WIRELESS CALLER", DialedPartyNumber: "7035559310", Location: "Reno, NV", DropEventType: "DROP",
}
