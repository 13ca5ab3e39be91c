package collect_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault"
	"callvault/collect"
)

// serveOver makes a source, owned by the operator, of a handler behind a real connection.
func serveOver(t *testing.T, s *source) *collect.Source {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	source := fromURL(t, server.URL)
	source.OwnServer, source.Pace = true, 0
	return source
}

// TestMissedNights: the next run lists what a run missed; what came late is found within
// the trailing window; nothing is listed forever.
func TestMissedNights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.add("acme-ns", "first", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		for day := 1; day <= 9; day++ { // nobody runs
			time.Sleep(24 * time.Hour)
			s.add("acme-ns", "missed-"+string(rune('0'+day)), ago(time.Hour))
		}
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		s.add("acme-ns", "late", ago(4*24*time.Hour))
		s.add("acme-ns", "too-late", ago(8*24*time.Hour))
		s.counts()
		complete(t, v.run(t, source))
		lists, audio := s.counts()
		if lists > 7 || audio != 1 {
			t.Errorf("%d lists and %d audio requests; the window is 5 days", lists, audio)
		}
		days, err := v.Days(t.Context(), source, "acme-ns", time.UTC, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i, day := range days {
			want := collect.DayComplete
			if i >= len(days)-6 {
				want = collect.DaySoFar
			}
			if i == len(days)-6 && day.State == collect.DayComplete {
				continue // the edge of the window
			}
			if day.State != want {
				t.Errorf("%s is %s, want %s", day.Day, day.State, want)
			}
		}
		time.Sleep(3 * 24 * time.Hour)
		days, err = v.Days(t.Context(), source, "acme-ns", time.UTC, time.Now())
		if err != nil || days[len(days)-1].State != collect.DayUnknown || days[len(days)-2].State != collect.DayUnknown {
			t.Errorf("after three nights without a run: %+v, %v", days[len(days)-2:], err)
		}
		s.check(t)
	})
}

// TestClockAhead: what a run listed while the clock was a year ahead does not count as
// listed once the clock is right again: neither days to come nor those that had just ended.
func TestClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 3)
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		year := (365 * 24 * time.Hour).Milliseconds()
		for _, then := range []string{
			`UPDATE listed SET to_ms = to_ms + $1 - 600000000, listed_ms = listed_ms + $1 WHERE to_ms = (SELECT max(to_ms) FROM listed)`,
			`UPDATE sources SET started_ms = started_ms + $1, ended_ms = ended_ms + $1`,
		} {
			if err := execute(v, then, year); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24 * time.Hour)
		s.add("acme-ns", "of the day", ago(12*time.Hour))
		s.add("acme-ns", "late", ago(30*time.Hour))
		if got := v.status(t, source, "acme-ns"); got.State == collect.DayComplete {
			t.Errorf("the tenant is %s", got.State)
		}
		schedule, err := collect.ParseSchedule(time.Now().UTC().Format("4 15 * * *"), "")
		if err != nil {
			t.Fatal(err)
		}
		if due, err := v.RunDue(t.Context(), source, schedule, time.Now()); !due || err != nil {
			t.Errorf("a run is due: %v, %v", due, err)
		}
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		s.check(t)
	})
}

// TestPartialRun: a run over some days claims nothing about the others.
func TestPartialRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.add("acme-ns", "old", ago(50*time.Hour))
		s.add("acme-ns", "new", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		r, err := v.Start(t.Context(), source, callvault.Span{From: ago(24 * time.Hour).UnixMilli(), To: callvault.MaxTime})
		if err != nil {
			t.Fatal(err)
		}
		report, err := r.Wait(t.Context())
		if err != nil || report.Held != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		if got := v.status(t, source, "acme-ns"); got.LastCompleteAt != nil || got.State != collect.DayUnknown {
			t.Errorf("%+v", got)
		}
		complete(t, v.run(t, source))
		if got := v.status(t, source, "acme-ns"); got.LastCompleteAt == nil || got.State != collect.DayComplete {
			t.Errorf("%+v", got)
		}
	})
}

// TestChangedAndVanished: a change is kept as history and the audio is not fetched again;
// what vanished or was deleted at the source stays.
func TestChangedAndVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		changed := s.add("acme-ns", "changed", ago(2*time.Hour))
		s.add("acme-ns", "stays", ago(3*time.Hour))
		deleted := s.add("acme-ns", "deleted", ago(4*time.Hour))
		gone := s.add("acme-ns", "vanished", ago(5*time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		changed.Agent, changed.TagData = "Beth(2)", "Complaint"
		deleted.Status, deleted.Size = callvault.DeletedTime, 0
		s.recordings = s.recordings[1:] // the earliest
		s.counts()
		for range 3 {
			time.Sleep(time.Hour)
			complete(t, v.run(t, source))
		}
		if _, audio := s.counts(); audio != 0 {
			t.Errorf("%d audio requests", audio)
		}
		got := v.status(t, source, "acme-ns")
		if got.Changed != 1 || got.Vanished != 1 || got.Held != 4 || got.Deleted != 0 || !v.isHeld(t, gone) {
			t.Errorf("%+v", got)
		}
		entry, err := v.archive.Find(t.Context(), "acme-ns", "changed")
		if err != nil || entry.Recording.Agent != "Beth(2)" || entry.Recording.Status != callvault.Saved {
			t.Errorf("%+v, %v", entry, err)
		}
		if side := sidecarOf(t, v, "changed"); strings.Count(side, "Ann(1)") != 1 || strings.Count(side, `"replacedAt"`) != 1 {
			t.Errorf("the sidecar is %s", side)
		}
		s.recordings = append(s.recordings, gone)
		time.Sleep(time.Hour)
		complete(t, v.run(t, source))
		if got := v.status(t, source, "acme-ns"); got.Vanished != 0 || got.Held != 4 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

func sidecarOf(t *testing.T, v *vault, key string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(v.dir, "audio", "acme-ns", "*", "*", "*", key+".json"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDeniedAndMissing are requested again while they are young.
func TestDeniedAndMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		old := s.add("acme-ns", "old", ago(20*24*time.Hour))
		old.fault, old.times = "status 404", -1
		young := s.add("acme-ns", "young", ago(time.Hour))
		young.fault, young.times = "status 403", -1
		v, source := newVault(t, tempDir(t)), from(t, s)
		source.Since = ago(30 * 24 * time.Hour).UnixMilli()
		for range 12 {
			if report := v.run(t, source); report.Result != collect.Incomplete || len(report.Problems) != 2 {
				t.Errorf("%s: %s", report.Result, problems(report))
			}
			time.Sleep(24 * time.Hour)
		}
		if old.asked < 5 || old.asked > 6 || young.asked < 5 || young.asked > 6 {
			t.Errorf("asked %d and %d times in twelve days, want about 5", old.asked, young.asked)
		}
		s.check(t)
	})
}

// TestAudioOfManyChannels: whole audio is held as it came, however many channels it has.
func TestAudioOfManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for name, ms := range map[string]int64{"stereo": 1000, "surround": 700, "discrete": 1000} {
			file, err := os.ReadFile(filepath.Join("..", "audio", "testdata", name+".opus"))
			if err != nil {
				t.Fatal(err)
			}
			r := s.add("acme-ns", name, ago(time.Hour))
			r.audio, r.Size, r.Duration = file, int64(len(file)), ms
		}
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		if got := v.status(t, source, "acme-ns"); got.Held != 3 || got.Doubtful != 0 {
			t.Errorf("%+v", got)
		}
		s.check(t)
	})
}

// TestSettle: what is accepted is held with its doubt, and counts with its real size; what
// is given up is not requested; neither makes a run incomplete.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for key, fault := range map[string]string{"take": "crc", "leave": "page", "never": "status 404", "text": "json"} {
			r := s.add("acme-ns", key, ago(time.Hour))
			r.fault, r.times = fault, -1
		}
		held := s.add("acme-ns", "held", ago(time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		if report := v.run(t, source); len(report.Problems) != 4 {
			t.Fatal(problems(report))
		}
		settle := func(key string, accept bool, reason, want string) {
			t.Helper()
			err := v.Settle(t.Context(), &collect.Settlement{Tenant: "acme-ns", Key: key, Accept: accept, Reason: reason, Who: "ann"})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("settle %s: %v, want %q", key, err, want)
			}
		}
		settle("take", true, "", "a reason is needed")
		settle("nobody", true, "x", "404")
		settle(held.RecordingKey, true, "x", "409")
		settle("never", true, "x", "nothing of the recording")
		settle("take", true, "can be heard", "")
		settle("text", true, "an experiment", "")
		settle("leave", false, "lost there", "")
		settle("never", false, "lost there", "")
		s.counts()
		for range 2 {
			time.Sleep(24 * time.Hour)
			complete(t, v.run(t, source))
		}
		if _, audio := s.counts(); audio != 0 {
			t.Errorf("%d audio requests for what is settled", audio)
		}
		got := v.status(t, source, "acme-ns")
		if got.Held != 3 || got.Settled != 4 || got.Doubtful != 2 || got.Quarantined+got.Missing != 0 || got.State != collect.DayComplete {
			t.Errorf("%+v", got)
		}
		bytes := int64(0)
		for _, key := range []string{"held", "take", "text"} {
			entry, err := v.archive.Find(t.Context(), "acme-ns", key)
			if err != nil || !entry.Held || key == "text" && entry.Recording.Size != 59 {
				t.Fatalf("%+v, %v", entry, err)
			}
			bytes += entry.Recording.Size
		}
		if got.HeldBytes != bytes {
			t.Errorf("%d bytes are held by the status, %d in the archive", got.HeldBytes, bytes)
		}
	})
}

// TestPrefixAddedLater: a known tenant keeps its name here when its source gets a prefix,
// and its calls are kept as before.
func TestPrefixAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.add("acme-ns", "first", ago(2*time.Hour))
		v, source := newVault(t, tempDir(t)), from(t, s)
		complete(t, v.run(t, source))
		source.Prefix = "west-"
		r := s.add("acme-ns", "second", ago(time.Hour))
		call := callvault.Call{CallID: r.CallKey, CallKey: r.CallKey, StartTime: r.StartTime, EndTime: r.StartTime + r.Duration,
			TenantName: "acme-ns", CallerID: "WIRELESS CALLER", Recordings: []callvault.Recording{r.Recording}}
		s.extra = []string{string(call.AppendJSON(nil))}
		r.StartTime -= 10 * 24 * time.Hour.Milliseconds() // so that it is listed as that alone
		complete(t, v.run(t, source))
		grant := callvault.Grant{Tenants: []string{"acme-ns"}}
		told := ""
		for call, err := range v.archive.Calls(t.Context(), collect.Always, &grant).Rows() {
			if err != nil {
				t.Fatal(err)
			}
			told += call
		}
		if got := v.status(t, source, "acme-ns"); got.Held != 2 || !strings.Contains(told, "WIRELESS CALLER") {
			t.Errorf("%+v, of calls: %s", got, told)
		}
	})
}

// TestTenantOfTwoSources: the second source is refused for that tenant, and a prefix solves
// it.
func TestTenantOfTwoSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSource(), newSource()
		fill(first, "acme-ns", 2)
		fill(second, "acme-ns", 3)
		second.add("acme-ns", "old", ago(60*24*time.Hour))
		own := second.add("birch-ns", "own", ago(time.Hour))
		v := newVault(t, tempDir(t))
		a, b := from(t, first), from(t, second)
		b.Name = "other"
		b.Since = ago(62 * 24 * time.Hour).UnixMilli()
		complete(t, v.run(t, a))
		report := v.run(t, b)
		if report.Result != collect.Incomplete || !strings.Contains(problems(report), "belongs to another source, acme") || !v.isHeld(t, own) || second.audio != 1 {
			t.Errorf("%d audio requests, %s", second.audio, problems(report))
		}
		b.Prefix = "other-"
		complete(t, v.run(t, b))
		for _, r := range second.recordings {
			name := "other-" + r.TenantName
			if r == own {
				name = r.TenantName // it was this source's before
			}
			if entry, err := v.archive.Find(t.Context(), name, r.RecordingKey); err != nil || !entry.Held {
				t.Errorf("%s: %v", r.RecordingKey, err)
			}
		}
		first.check(t)
		second.check(t)
	})
}

// TestTwoNewSources: when two sources are collected for the first time together, the first
// gets the tenant that both have, however slow it is; a known source waits for nobody.
func TestTwoNewSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSource(), newSource()
		fill(first, "acme-ns", 2)
		fill(second, "acme-ns", 3)
		v := newVault(t, tempDir(t))
		a, b := from(t, watched{first, func(string) { time.Sleep(20 * time.Second) }}), from(t, second)
		b.Name = "other"
		for _, known := range []bool{false, true} {
			one, err := v.Start(t.Context(), a, collect.Always)
			if err != nil {
				t.Fatal(err)
			}
			two, err := v.Start(t.Context(), b, collect.Always)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				two.AwaitLists(t.Context(), []*collect.Run{one})
				if waited := time.Since(began) > 0; waited == known {
					t.Errorf("known %v: it waited %v", known, waited)
				}
				if _, err := two.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			if _, err := one.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			<-done
			if !known {
				if got := v.status(t, a, "acme-ns"); got.Held != 2 {
					t.Errorf("%+v", got)
				}
				second.add("birch-ns", "own", ago(time.Hour))
				v.run(t, b)
			}
		}
	})
}

// TestLostHere: what the archive lost comes again, whether the ledger was reconciled or not.
func TestLostHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 4)
		s.recordings[0].fault, s.recordings[0].times = "status 500", 4
		v, source := newVault(t, tempDir(t)), from(t, s)
		v.run(t, source)
		time.Sleep(20 * 24 * time.Hour)
		v.run(t, source)
		for _, key := range []string{"acme-ns-0001", "acme-ns-0003"} {
			if err := execute(v, `DELETE FROM recordings WHERE recording_key = $1`, key); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Reconcile(t.Context(), []string{"acme"}, nil); err != nil {
			t.Fatal(err)
		}
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		s.counts()
		complete(t, v.run(t, source))
		if lists, audio := s.counts(); lists > 7 || audio != 0 {
			t.Errorf("%d lists and %d audio requests", lists, audio)
		}
		// Nobody told the ledger.
		err := execute(v, `DELETE FROM recordings WHERE recording_key = $1`, "acme-ns-0002")
		if err == nil {
			err = execute(v, `UPDATE items SET state = 'due' WHERE recording_key = $1`, "acme-ns-0002")
		}
		if err != nil {
			t.Fatal(err)
		}
		if report := v.run(t, source); report.Result != collect.Incomplete || reasonOf(report, "acme-ns-0002") == "" {
			t.Errorf("%s: %s", report.Result, problems(report))
		}
		complete(t, v.run(t, source))
		v.allHeld(t, s)
		s.check(t)
	})
}
