package collect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// TestCallChanges: a change of a held recording's call, or to another call, is kept as
// history like a change of the recording, and ends no run.
func TestCallChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		moved, renamed, goesOn := s.add("acme-ns", "moved", ago(2*time.Hour)), s.add("acme-ns", "renamed", ago(3*time.Hour)), s.add("acme-ns", "goes-on", ago(4*time.Hour))
		goesOn.where = "Reno"
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		s.counts()
		moved.CallKey, goesOn.where = "another-call", "Denver"
		complete(t, v.run(t, source))
		renamed.CallKey, s.noCalls = "yet-another", true
		complete(t, v.run(t, source))
		for range 2 { // the calls are told of once more
			s.noCalls = false
			time.Sleep(time.Hour)
			complete(t, v.run(t, source))
		}
		if got := v.status(t, source, "acme-ns"); got.Changed != 3 || got.Held != 3 || got.Vanished != 0 {
			t.Errorf("%+v", got)
		}
		if _, audio := s.counts(); audio != 0 {
			t.Errorf("%d audio requests", audio)
		}
		for key, says := range map[string][]string{
			"moved": {`"callKey": "another-call"`, `"callKey": "call-moved"`}, "goes-on": {`"location": "Denver"`, `"location": "Reno"`},
			"renamed": {`"callKey": "yet-another"`, `"callKey": "call-renamed"`, "first without its call"},
		} {
			now, before, _ := strings.Cut(sidecarOf(t, v, key), `"history"`)
			if !strings.Contains(now, says[0]) || !strings.Contains(before, says[1]) || strings.Contains(now, says[1]) ||
				!strings.Contains(now, `"callGiven": true`) || strings.Count(before, "replacedAt") != len(says)-1 {
				t.Errorf("the sidecar of %s is %s %s", key, now, before)
			}
		}
		s.check(t)
	})
}

// TestListedTwiceInAList: two calls share a recording and show it differently. The same one
// counts each time, so that the recording does not change from run to run; what either
// offers is fetched.
func TestListedTwiceInAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		r := s.add("acme-ns", "shared", ago(2*time.Hour))
		offered := s.add("acme-ns", "offered", ago(time.Hour))
		for _, again := range []callvault.Recording{r.Recording, offered.Recording} {
			again.CallKey, again.Agent = "other-call", "Beth(2)"
			if again.RecordingKey == "offered" {
				offered.Status = callvault.Pending
			}
			call := callvault.CallOf(&again)
			call.Recordings = []callvault.Recording{again}
			s.extra = append(s.extra, string(call.AppendJSON(nil))) // stands in the lists of other days too
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(3 * time.Hour).UnixMilli() // the first run has one list
		for range 5 {
			complete(t, v.run(t, source))
			time.Sleep(time.Hour)
		}
		if got := v.status(t, source, "acme-ns"); got.Held != 2 || got.Changed != 0 || got.Vanished != 0 {
			t.Errorf("%+v", got)
		}
		if side := sidecarOf(t, v, "shared"); strings.Contains(side, "replacedAt") || !strings.Contains(side, "Beth(2)") { // as it was told first
			t.Errorf("the sidecar is %s", side)
		}
		s.check(t)
	})
}

// TestListedTwiceFarApart: the same, with so much in between that both are not noted together.
func TestListedTwiceFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.unlimited = true
		for i := range 600 {
			key := fmt.Sprintf("between-%04d", i)
			s.recordings = append(s.recordings, &recording{Recording: callvault.Recording{
				RecordingKey: key, CallKey: key, StartTime: ago(2 * time.Hour).UnixMilli(), Status: callvault.Pending, TenantName: "acme-ns"}})
		}
		again := s.add("acme-ns", "shared", ago(time.Hour)).Recording
		again.CallKey, again.Agent = "other-call", "Beth(2)"
		call := callvault.CallOf(&again)
		call.Recordings = []callvault.Recording{again}
		v, source := newVault(t, tempDir(t)), from(t, s)
		s.extra = []string{string(call.AppendJSON(nil))}
		source.OwnServer, source.Pace = true, 0
		source.Since = ago(3 * time.Hour).UnixMilli()
		for range 2 {
			complete(t, v.run(t, source))
			time.Sleep(time.Minute)
		}
		if got := v.status(t, source, "acme-ns"); got.Held != 1 || got.Changed != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestListedOnAnotherDay: the list of a call's day has a recording that starts on
// another day, whose own list does not have it: it has not vanished.
func TestListedOnAnotherDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(2 * time.Hour) // else this day has no list yet
		s := newSource()
		r := s.add("acme-ns", "early", ago(24*time.Hour))
		call := callvault.CallOf(&r.Recording)
		call.Recordings = []callvault.Recording{r.Recording}
		s.listFault = func(span callvault.Span, _ int) *answer {
			if span.From <= r.StartTime {
				return say(200, "[]")
			}
			return say(200, "["+string(call.AppendJSON(nil))+"]")
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = r.StartTime - 1
		for range 2 {
			complete(t, v.run(t, source))
			time.Sleep(time.Hour)
		}
		if got := v.status(t, source, "acme-ns"); got.Held != 1 || got.Vanished != 0 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestRecordingWithoutCallKey: a recording within a call belongs to that call, even if it does
// not say so.
func TestRecordingWithoutCallKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		r := s.add("acme-ns", "silent", ago(time.Hour))
		call := callvault.Call{CallID: "c", CallKey: "the-call", StartTime: r.StartTime, EndTime: r.StartTime + 1, TenantName: "acme-ns", Location: "Reno"}
		r.CallKey = ""
		call.Recordings = []callvault.Recording{r.Recording}
		s.extra = []string{string(call.AppendJSON(nil))}
		r.StartTime = ago(100 * 24 * time.Hour).UnixMilli() // is in no list but that one
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		got, err := v.archive.FindCall(t.Context(), "acme-ns", "the-call", &callvault.Grant{AllTenants: true})
		if err != nil || got.Location != "Reno" || len(got.Recordings) != 1 || !v.isHeld(t, r) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestSidecarIsGone: a change of one recording that cannot be kept does not keep anything
// else from being collected.
func TestSidecarIsGone(t *testing.T) {
	s := newSource()
	s.unlimited = true
	gone, other := s.add("acme-ns", "gone", ago(2*time.Hour)), s.add("acme-ns", "other", ago(time.Hour))
	v, source := newVault(t, tempDir(t)), serveOver(t, s)
	complete(t, v.run(t, source))
	names, err := filepath.Glob(filepath.Join(v.dir, "audio", "acme-ns", "*", "*", "*", "gone.json"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []func() error{
		func() error { return os.Remove(names[0]) },
		func() error { return os.WriteFile(names[0], whole[:20], 0o600) },
	} {
		if err := damaged(); err != nil {
			t.Fatal(err)
		}
		gone.Agent += "!"
		other.Agent += "!"
		fresh := s.add("birch-ns", fmt.Sprint("fresh-", len(s.recordings)), ago(time.Hour))
		report := v.run(t, source)
		if report.Result != collect.Incomplete || !strings.Contains(reasonOf(report, "gone"), "sidecar") || len(report.Problems) != 1 {
			t.Errorf("%s %s: %s", report.Result, report.Error, problems(report))
		}
		if !v.isHeld(t, fresh) || !strings.Contains(sidecarOf(t, v, "other"), other.Agent) {
			t.Error("what has nothing to do with it was not kept")
		}
	}
	if err := os.WriteFile(names[0], whole, 0o600); err != nil { // from a backup
		t.Fatal(err)
	}
	complete(t, v.run(t, source))
	if !strings.Contains(sidecarOf(t, v, "gone"), gone.Agent) {
		t.Error("what could not be kept was forgotten")
	}
}

// TestLedgerForgot: what the ledger does not know about held audio, because a run was killed
// or the ledger was lost, comes from the archive: the doubt, the size, and the changes.
func TestLedgerForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		doubtful, changed := s.add("acme-ns", "doubtful", ago(2*time.Hour)), s.add("acme-ns", "changed", ago(3*time.Hour))
		doubtful.Size += 5
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		changed.Agent = "Beth(2)"
		complete(t, v.run(t, source))
		want := v.status(t, source, "acme-ns")
		s.counts()
		const asDue = `UPDATE items SET state = 'due', doubt = '', tried_ms = 0, size = size + 5, start_ms = start_ms - 864000000 WHERE recording_key = 'doubtful'`
		for _, c := range []struct {
			forget string
			listed bool
		}{{asDue, true}, {asDue, false}, {`DELETE FROM items`, true}} {
			forget, start := c.forget, doubtful.StartTime
			if err := execute(v, forget); err != nil {
				t.Fatal(err)
			}
			if !c.listed {
				doubtful.StartTime -= (100 * 24 * time.Hour).Milliseconds()
			}
			complete(t, v.run(t, source))
			doubtful.StartTime = start
			got := v.status(t, source, "acme-ns")
			if got.Doubtful != 1 || got.Changed != 1 || got.HeldBytes != want.HeldBytes || got.Held != 2 {
				t.Errorf("%s: %+v, want %+v", forget, got, want)
			}
		}
		if _, audio := s.counts(); audio != 0 {
			t.Errorf("%d audio requests", audio)
		}
		if err := execute(v, `DELETE FROM items`); err != nil {
			t.Fatal(err)
		}
		changed.Agent, doubtful.where = "Carl(3)", "Reno" // meanwhile
		complete(t, v.run(t, source))
		if side := sidecarOf(t, v, "doubtful"); strings.Count(side, "replacedAt") != 1 || !strings.Contains(side, `"location": "Reno"`) {
			t.Errorf("the sidecar is %s", side)
		}
		if side := sidecarOf(t, v, "changed"); strings.Count(side, "replacedAt") != 2 || !strings.Contains(side, "Carl(3)") {
			t.Errorf("the sidecar is %s", side)
		}
		s.check(t)
	})
}
