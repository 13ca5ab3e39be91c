package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/google/go-cmp/cmp"
)

var day = time.Date(2026, time.March, 20, 15, 4, 5, 6, time.UTC)

func TestTenants(t *testing.T) {
	var names []string
	for _, tenant := range Tenants() {
		names = append(names, tenant.Name)
		if err := tenant.Validate(); err != nil {
			t.Error(err)
		}
		if tenant.Title == "" || tenant.TimeZone == "" || !tenant.RequestLimit {
			t.Errorf("tenant %s is not filled in: %+v", tenant.Name, tenant)
		}
		if n := *tenant.Agents; n < 6 || n > 10 {
			t.Errorf("tenant %s has %d agents, want 6 to 10", tenant.Name, n)
		}
	}
	want := []string{"acme-ns", "dunmarrow-dental", "kestrelby-freight"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
}

// TestMonthIsFixed fails when the month of a day changes: when the generator, its
// tables, or the length or size of a dialogue's audio do. Where that is meant,
// put the new sum here.
func TestMonthIsFixed(t *testing.T) {
	const want = "315cd824309a67a18b2c505f4173f9b1fb8568ea258c22490f31b8dd8cc0fe12"
	sum := sha256.New()
	for item := range Month(day) {
		sum.Write(item.Recording.AppendJSON(nil))
		sum.Write(item.Call.AppendJSON(nil))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the month's JSON has SHA-256 %s, want %s", got, want)
	}
}

func TestMonthIsTheSameAllDay(t *testing.T) {
	want := slices.Collect(Month(day))
	for _, at := range []time.Time{
		time.Date(2026, time.March, 20, 0, 0, 0, 0, time.UTC),
		time.Date(2026, time.March, 20, 19, 59, 59, 0, time.FixedZone("", -4*3600)),
	} {
		if diff := cmp.Diff(want, slices.Collect(Month(at)), cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("month of %v (-want +got):\n%s", at, diff)
		}
	}
}

func TestNextDaysMonthHasTheSameCalls(t *testing.T) {
	next := map[string]callvault.Call{}
	for item := range Month(day.AddDate(0, 0, 1)) {
		next[item.Recording.RecordingKey] = item.Call
	}
	first := day.Truncate(24*time.Hour).AddDate(0, 0, 1-days).UnixMilli()
	for item := range Month(day) {
		if item.Call.StartTime < first {
			continue
		}
		if diff := cmp.Diff(item.Call, next[item.Recording.RecordingKey]); diff != "" {
			t.Errorf("call of %s a day later (-want +got):\n%s", item.Recording.RecordingKey, diff)
		}
	}
}

func TestMonthStopsWhenToldTo(t *testing.T) {
	n := 0
	for range Month(day) {
		n++
		if n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d items came, want 5", n)
	}
}

// TestEachItem holds over a year of months, so that no day's demo is odd.
func TestEachItem(t *testing.T) {
	for end := day; end.Before(day.AddDate(1, 0, 0)); end = end.AddDate(0, 0, 13) {
		for item := range Month(end) {
			if wrong := faults(&item); len(wrong) > 0 {
				t.Errorf("%s: %s", item.Recording.RecordingKey, strings.Join(wrong, "; "))
			}
		}
	}
}

// faults are the rules that the item breaks.
func faults(item *Item) (wrong []string) {
	r, call := &item.Recording, &item.Call
	rule := func(kept bool, format string, args ...any) {
		if !kept {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	rule(r.Validate() == nil, "%v", r.Validate())
	rule(call.Validate() == nil, "%v", call.Validate())
	id, span, ok := callvault.SplitCallKey(call.CallKey)
	rule(ok && id == call.CallID && span == callvault.Span{From: call.StartTime, To: call.EndTime}, "call key %s", call.CallKey)
	rule(r.CallKey == call.CallKey && r.TenantName == call.TenantName && r.CallDirection == call.Direction, "not of its call")
	rule(strings.HasSuffix(r.RecordingKey, fmt.Sprintf("-%d", r.StartTime)), "start not in the key")
	rule(call.StartTime <= r.StartTime && r.StartTime+r.Duration <= call.EndTime, "outside of its call")
	rule(call.Recordings == nil, "the call has recordings already")
	rule(r.Size == int64(len(item.Audio)), "size %d of %d bytes", r.Size, len(item.Audio))
	rule(r.Status.HasAudio() == (item.Audio != nil), "status %s with %d bytes", r.Status, len(item.Audio))
	rule(item.Audio == nil || r.Duration == playingTime(item.Audio), "duration %d", r.Duration)
	rule(call.ShortID > 0 && r.EventID > 0, "shortId %d, eventId %d", call.ShortID, r.EventID)

	agent, other := r.CallingParty, r.ReceivingParty
	if call.Direction == inbound {
		agent, other = other, agent
	}
	rule(agent == r.Agent && strings.HasSuffix(agent, ")"), "agent %q is not a party", r.Agent)
	rule(strings.HasSuffix(other, ")") == (call.Direction == internal) && other != agent, "other party %q", other)
	rule(call.Direction == internal || len(other) == 11 && other[4:9] == "55501", "number %q is not fictional", other)
	rule((r.Skill == "") == (call.Direction == internal), "skill %q", r.Skill)
	return wrong
}

func TestMonthAsAWhole(t *testing.T) {
	for end := day; end.Before(day.AddDate(1, 0, 0)); end = end.AddDate(0, 0, 13) {
		items := slices.Collect(Month(end))
		if n := len(items); n < 250 || n > 350 {
			t.Errorf("%v: %d recordings, want some 300", end, n)
		}
		statuses, seen := map[callvault.Status]int{}, map[string]int{}
		calls := map[string]int{}
		for _, item := range items {
			r, call := &item.Recording, &item.Call
			statuses[r.Status]++
			seen[r.TenantName]++
			seen[r.CallDirection]++
			calls[call.CallKey]++
			if call.TotalHoldDuration > 0 {
				seen["held"]++
			}
			if len(call.AccountCodes) > 0 {
				seen["account code"]++
			}
			if r.Skill == "CC Spanish" && bytes.Equal(item.Audio, clips()["05-pedido"].audio) {
				seen["in Spanish"]++
			}
		}
		for _, n := range calls {
			seen[fmt.Sprint(n, " recordings")]++
		}
		want := map[callvault.Status]int{
			callvault.Pending: 1, callvault.DeletedTime: 1, callvault.PendingDeleteTime: 2, callvault.Saved: len(items) - 4,
		}
		if diff := cmp.Diff(want, statuses); diff != "" {
			t.Errorf("%v: statuses (-want +got):\n%s", end, diff)
		}
		for _, what := range []string{
			"acme-ns", "dunmarrow-dental", "kestrelby-freight", inbound, outbound, internal,
			"held", "account code", "in Spanish", "1 recordings", "2 recordings", "3 recordings",
		} {
			if seen[what] < 2 {
				t.Errorf("%v: %d of %q, want some", end, seen[what], what)
			}
		}
	}
}

func TestMonthIsInOrder(t *testing.T) {
	items := slices.Collect(Month(day))
	to := day.Truncate(24 * time.Hour)
	span := callvault.Span{From: to.AddDate(0, 0, -days).UnixMilli(), To: to.UnixMilli()}
	last := map[string]Item{}
	start := span.From
	for _, item := range items {
		r, call := item.Recording, item.Call
		if r.StartTime < start || !span.Contains(r.StartTime) {
			t.Errorf("%s is out of order or out of the month", r.RecordingKey)
		}
		start = r.StartTime
		before, ok := last[r.TenantName]
		last[r.TenantName] = item
		if !ok {
			continue
		}
		if r.EventID <= before.Recording.EventID {
			t.Errorf("%s has eventId %d after %d", r.RecordingKey, r.EventID, before.Recording.EventID)
		}
		if r.StartTime < before.Recording.StartTime+before.Recording.Duration {
			t.Errorf("%s begins while %s lasts", r.RecordingKey, before.Recording.RecordingKey)
		}
		same := call.CallKey == before.Call.CallKey
		if same && r.Agent == before.Recording.Agent {
			t.Errorf("%s is the next recording of its call, but of the same agent", r.RecordingKey)
		}
		if !same && (call.ShortID <= before.Call.ShortID || call.StartTime < before.Call.EndTime) {
			t.Errorf("call %s does not follow call %s", call.CallKey, before.Call.CallKey)
		}
	}
}

func TestBusinessHours(t *testing.T) {
	weekend, all := 0, 0
	for item := range Month(day) {
		at := slices.IndexFunc(sites, func(s site) bool { return s.name == item.Call.TenantName })
		zone, err := time.LoadLocation(sites[at].zone)
		if err != nil {
			t.Fatal(err)
		}
		local := time.UnixMilli(item.Call.StartTime).In(zone)
		if local.Hour() < sites[at].open || local.Hour() >= sites[at].close {
			t.Errorf("%s calls at %v", item.Call.TenantName, local)
		}
		if local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
			weekend++
		}
		all++
	}
	if weekend == 0 || weekend > all/10 {
		t.Errorf("%d of %d recordings are of weekends, want a few", weekend, all)
	}
}
