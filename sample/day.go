package sample

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that the month is the same on a machine without time zones

	"callvault"
)

// How many identifiers are set aside for a day, so that they grow from day to day.
const (
	callsOfDay  = 8
	eventsOfDay = 3 * callsOfDay
)

// day makes the recordings of the site's calls on a local day, in order of their start.
// Each call has an equal share of the opening hours, so that no two overlap.
func (s *site) day(date time.Time) []Item {
	zone, err := time.LoadLocation(s.zone)
	if err != nil {
		panic(err)
	}
	number := date.Unix() / (24 * 60 * 60)
	rng := rand.New(rand.NewPCG(s.seed, uint64(number)))
	count := s.weekday - 1 + rng.IntN(3)
	if date.Weekday() == time.Saturday || date.Weekday() == time.Sunday {
		count = rng.IntN(s.weekend + 1)
	}
	var items []Item
	for i := range count {
		share := time.Duration(s.close-s.open) * time.Hour / time.Duration(count)
		start := time.Date(date.Year(), date.Month(), date.Day(), s.open, 0, 0, 0, zone).
			Add(time.Duration(i)*share + between(rng, 0, share-5*time.Minute))
		t := talk{site: s, rng: rng, script: &s.scripts[rng.IntN(len(s.scripts))]}
		t.shortID = s.base + number*callsOfDay + int64(i) + 1
		t.eventID = s.base + number*eventsOfDay + int64(len(items)) + 1
		items = append(items, t.items(start)...)
	}
	return items
}

// talk is one call in the making.
type talk struct {
	site             *site
	rng              *rand.Rand
	script           *script
	shortID, eventID int64
	call             callvault.Call
	// other is the party that is not recorded.
	other string
}

// items makes the recordings of the call that starts at start.
func (t *talk) items(start time.Time) []Item {
	t.call = callvault.Call{
		CallID: newUUID(t.rng), ShortID: t.shortID, StartTime: start.UnixMilli(),
		Direction: t.script.direction, TenantName: t.site.name, DropEventType: "DROP",
	}
	t.dial()
	at := start.Add(between(t.rng, 2*time.Second, 20*time.Second)) // ringing, or in the queue
	if t.script.direction == inbound && t.rng.IntN(10) == 0 {
		at = t.hold(at)
	}
	var items []Item
	for i, p := range t.script.parts {
		if i > 0 {
			at = t.transfer(at)
		}
		said := clips()[p.speech]
		items = append(items, Item{Recording: t.recording(p, said, at.UnixMilli()), Audio: said.audio})
		at = at.Add(time.Duration(said.length) * time.Millisecond)
	}
	t.call.EndTime = at.Add(between(t.rng, 200*time.Millisecond, 3*time.Second)).UnixMilli()
	t.call.CallKey = fmt.Sprintf("%s-%d-%d", t.call.CallID, t.call.StartTime, t.call.EndTime)
	for i := range items {
		items[i].Recording.CallKey = t.call.CallKey
		items[i].Call = t.call
	}
	return items
}

// dial fills in who is at the other end, and what the network reports about them.
func (t *talk) dial() {
	if t.script.direction == internal {
		t.other = t.site.agent(t.rng, t.script.to)
		_, extension, _ := strings.Cut(strings.TrimSuffix(t.other, ")"), "(")
		t.call.DialedPartyNumber = extension
		return
	}
	from := t.site.places[t.rng.IntN(len(t.site.places))]
	t.other = fmt.Sprintf("1%s55501%02d", from.area, t.rng.IntN(100))
	t.call.Location = from.city
	t.call.CallerID, t.call.DialedPartyNumber = t.site.callerID, t.other[1:]
	if t.script.direction == inbound {
		t.call.CallerID, t.call.DialedPartyNumber = "WIRELESS CALLER", t.site.number
		switch {
		case from.city == "":
			t.call.CallerID = "TOLL FREE CALL"
		case t.rng.IntN(3) == 0:
			t.call.CallerID = strings.ToUpper(strings.ReplaceAll(from.city, ",", ""))
		}
	}
	if t.rng.IntN(12) == 0 {
		t.call.AccountCodes = []json.RawMessage{fmt.Appendf(nil, `"%04d"`, t.rng.IntN(10_000))}
	}
}

// hold puts the other party on hold, unrecorded, and returns until when.
func (t *talk) hold(at time.Time) time.Time {
	waited := between(t.rng, 5*time.Second, 40*time.Second)
	t.call.TotalHoldDuration += waited.Milliseconds()
	return at.Add(waited)
}

// transfer rings the next agent, and returns when that agent answers.
func (t *talk) transfer(at time.Time) time.Time {
	if t.rng.IntN(3) == 0 {
		return t.hold(at)
	}
	return at.Add(between(t.rng, 2*time.Second, 8*time.Second))
}

// recording makes the recording of one part. Its call key is not known yet.
func (t *talk) recording(p part, said clip, startMs int64) callvault.Recording {
	agent := t.site.agent(t.rng, p.skill)
	r := callvault.Recording{
		RecordingKey: fmt.Sprintf("%s-%d", newUUID(t.rng), startMs),
		StartTime:    startMs, Duration: said.length, Size: int64(len(said.audio)),
		EventID: t.eventID, Status: callvault.Saved,
		CallingParty: agent, ReceivingParty: t.other,
		TenantName: t.site.name, TagData: tags[t.rng.IntN(len(tags))],
		CallDirection: t.script.direction, Skill: p.skill, Agent: agent,
	}
	t.eventID++
	switch t.script.direction {
	case inbound:
		r.CallingParty, r.ReceivingParty = t.other, agent
	case internal:
		r.Skill = "" // calls between desks pass no queue
	}
	return r
}

// agent picks one of the agents who have the skill.
func (s *site) agent(rng *rand.Rand, skill string) string {
	var able []string
	for _, a := range s.agents {
		if slices.Contains(a.skills, skill) {
			able = append(able, a.name)
		}
	}
	return able[rng.IntN(len(able))]
}

// between picks a duration in whole milliseconds, the unit of the API.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N((most-least).Milliseconds()))*time.Millisecond
}

// newUUID makes a UUID (RFC 9562 5.4, version 4) from the seeded generator.
func newUUID(rng *rand.Rand) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], rng.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
