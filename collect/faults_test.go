package collect_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callvault/archive"
	"callvault/client"
	"callvault/collect"
)

// verdict is what is to become of a recording with a fault in a run: held, doubtful, or not
// held for a reason, with or without evidence set aside.
type verdict struct {
	name, fault  string
	times        int
	size, length int64 // by how much the list errs
	held         bool
	doubt        string
	reason       string
	status       int // of the evidence
}

var verdicts = []verdict{
	{name: "good", held: true},
	{name: "size", size: 5, held: true, doubt: "the list says"},
	{name: "length", length: 9000, held: true, doubt: "it lasts"},
	{name: "endless", fault: "endless", times: -1, held: true, doubt: "its end is not marked"},
	{name: "truncated once", fault: "truncated", times: 1, held: true},
	{name: "500 twice", fault: "status 500", times: 2, held: true},
	{name: "reset three times", fault: "reset", times: 3, held: true},
	{name: "stall once", fault: "stall", times: 1, held: true},
	{name: "503 once", fault: "wait 503 300", times: 1, held: true},
	{name: "429 once", fault: "wait 429 40", times: 1, held: true},
	{name: "429 without a time", fault: "status 429", times: 1, held: true},
	{name: "truncated", fault: "truncated", times: -1, reason: "cut off", status: 200},
	{name: "short", fault: "short", times: -1, reason: "page", status: 200},
	{name: "longer", fault: "longer", times: -1, reason: "", status: 200},
	{name: "page", fault: "page", times: -1, reason: "", status: 200},
	{name: "echo", fault: "echo", times: -1, reason: "", status: 200},
	{name: "json", fault: "json", times: -1, reason: "", status: 200},
	{name: "jpeg", fault: "jpeg", times: -1, reason: "", status: 200},
	{name: "crc", fault: "crc", times: -1, reason: "", status: 200},
	{name: "size and length", size: 5, length: 9000, reason: "the list says", status: 200},
	{name: "size and end", fault: "endless", times: -1, size: 5, reason: "its end is not marked", status: 200},
	{name: "digest", fault: "digest", times: -1, reason: "Repr-Digest", status: 200},
	{name: "206", fault: "status 206", times: -1, reason: "206", status: 206},
	{name: "204", fault: "status 204", times: -1, reason: "204", status: 204},
	{name: "400", fault: "status 400", times: -1, reason: "400", status: 400},
	{name: "elsewhere", fault: "elsewhere", times: -1, reason: "the key must not go there", status: 302},
	{name: "403", fault: "status 403", times: -1, reason: "denied: "},
	{name: "404", fault: "status 404", times: -1, reason: "missing: "},
	{name: "500", fault: "status 500", times: -1, reason: "500"},
	{name: "reset", fault: "reset", times: -1, reason: "connection lost"},
	{name: "stall", fault: "stall", times: -1, reason: "no byte came for 1m0s"},
	{name: "503 for a minute", fault: "wait 503 60", times: -1, reason: "503"},
}

// faultySource has one tenant for the transient faults, and two for the others.
func faultySource(s *source) map[string]*recording {
	recordings := map[string]*recording{}
	for i, c := range verdicts {
		tenant := []string{"acme-ns", "birch-ns", "cedar-ns"}[i%3]
		r := s.add(tenant, strings.ReplaceAll(c.name, " ", "-"), ago(time.Duration(i+1)*time.Hour))
		r.fault, r.times = c.fault, c.times
		r.Size += c.size
		r.Duration += c.length
		recordings[c.name] = r
	}
	return recordings
}

// TestEveryFaultAtOnce: all good recordings are held and every bad one is named, with
// evidence; when the source is well again the rest comes; then nothing is requested any
// longer.
func TestEveryFaultAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		recordings := faultySource(s)
		v, source := newVault(t, tempDir(t)), from(t, s)
		report := v.run(t, source)
		if report.Result != collect.Incomplete {
			t.Errorf("the run is %s %q", report.Result, report.Error)
		}
		doubtful := int64(0)
		for _, c := range verdicts {
			r := recordings[c.name]
			entry, err := v.archive.Find(t.Context(), r.TenantName, r.RecordingKey)
			if err != nil {
				t.Fatalf("%s: %v; %s %v", c.name, err, report.Error, problems(report))
			}
			if entry.Held != c.held {
				t.Errorf("%s: held %v, want %v: %s", c.name, entry.Held, c.held, reasonOf(report, r.RecordingKey))
			}
			reason := reasonOf(report, r.RecordingKey)
			if (reason == "") != c.held || !strings.Contains(reason, c.reason) || strings.Contains(reason, "send ") {
				t.Errorf("%s: the reason is %q, want %q", c.name, reason, c.reason)
			}
			if c.doubt != "" {
				doubtful++
			}
			checkEvidence(t, v, r, c.status)
		}
		got := int64(0)
		for _, tenant := range []string{"acme-ns", "birch-ns", "cedar-ns"} {
			got += v.status(t, source, tenant).Doubtful
		}
		if got != doubtful {
			t.Errorf("%d are doubtful, want %d", got, doubtful)
		}
		s.check(t)

		s.heal()
		time.Sleep(24 * time.Hour)
		complete(t, v.run(t, source))
		for _, c := range verdicts {
			if r := recordings[c.name]; c.fault != "endless" && !v.isHeld(t, r) {
				t.Errorf("%s is not held though the source is well", c.name)
			}
		}
		s.counts()
		time.Sleep(24 * time.Hour)
		complete(t, v.run(t, source))
		if lists, audio := s.counts(); audio != 0 || lists == 0 {
			t.Errorf("the third run made %d list and %d audio requests", lists, audio)
		}
		s.check(t)
	})
}

// checkEvidence checks what was set aside of a recording; status 0 means nothing.
func checkEvidence(t *testing.T, v *vault, r *recording, status int) {
	t.Helper()
	path := filepath.Join(v.dir, "quarantine", archive.FileName(r.TenantName), archive.FileName(r.RecordingKey))
	text, err := os.ReadFile(path + ".json")
	if status == 0 {
		if !os.IsNotExist(err) {
			t.Errorf("%s: there is evidence (%v): %s", r.RecordingKey, err, text)
		}
		return
	}
	body, bodyErr := os.ReadFile(path + ".body")
	if err != nil || bodyErr != nil {
		t.Errorf("%s: no evidence: %v, %v", r.RecordingKey, err, bodyErr)
		return
	}
	if strings.Contains(string(text), sourceKey) || strings.Contains(string(body), sourceKey) {
		t.Errorf("%s: the key is in the evidence", r.RecordingKey)
	}
	var proof struct {
		Reason string
		Status int
		Bytes  int
		Header map[string][]string
	}
	if err := json.Unmarshal(text, &proof); err != nil || proof.Status != status || proof.Reason == "" || proof.Bytes != len(body) || len(proof.Header) == 0 {
		t.Errorf("%s: the evidence is %s (%v), want status %d and %d bytes", r.RecordingKey, text, err, status, len(body))
	}
}

// TestFlood: an endless answer does not fill the disk.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		r := s.add("acme-ns", "flood", ago(time.Hour))
		r.fault, r.times = "flood", -1
		v, source := newVault(t, tempDir(t)), from(t, s)
		report := v.run(t, source)
		if reason := reasonOf(report, "flood"); report.Result != collect.Incomplete || !strings.Contains(reason, "goes on beyond") {
			t.Errorf("the run is %s: %s", report.Result, reason)
		}
		checkEvidence(t, v, r, 200)
		body, err := os.Stat(filepath.Join(v.dir, "quarantine", "acme-ns", "flood.body"))
		if err != nil || body.Size() > 65<<20 {
			t.Errorf("%v were set aside (%v)", body.Size(), err)
		}
	})
}

// TestKeyRefreshed: a run begins with the key as it is then or, if that cannot be read,
// with the previous one.
func TestKeyRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		fill(s, "acme-ns", 2)
		v := newVault(t, tempDir(t))
		source := from(t, s)
		current := source.Client
		stale, err := client.New("https://source.example", "cv_refreshed-away", client.WithTransport(s))
		if err != nil {
			t.Fatal(err)
		}
		source.Client = stale
		if report := v.run(t, source); report.Result != collect.Failed {
			t.Errorf("with a key that is refreshed away: %s", report.Result)
		}
		source.Renew = func() (*client.Client, error) { return current, nil }
		complete(t, v.run(t, source))
		unread := errors.New("permission denied")
		source.Renew = func() (*client.Client, error) { return current, unread }
		complete(t, v.run(t, source))
		s.counts()
		source.Renew = func() (*client.Client, error) { return nil, unread }
		if report := v.run(t, source); report.Result != collect.Failed || report.Error != unread.Error() {
			t.Errorf("without a key the run is %s %q", report.Result, report.Error)
		}
		if lists, audio := s.counts(); lists+audio > 0 {
			t.Errorf("%d lists and %d audio requests without a key", lists, audio)
		}
		run, err := v.Collector.Start(t.Context(), source, collect.Always)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Plan(t.Context()); !errors.Is(err, unread) {
			t.Errorf("a plan without a key: %v", err)
		}
		var resting bool
		if err := v.db.Reader.QueryRow(`SELECT resting FROM sources WHERE name = $1`, source.Name).Scan(&resting); err != nil || !resting {
			t.Errorf("after a plan without a key the next run begins as after a crash (%v)", err)
		}
		if err := v.Collector.TakeTurn(t.Context(), source, collect.Turn{Source: source.Name, Tenant: "acme-ns"}, time.Minute); !errors.Is(err, unread) {
			t.Errorf("a turn without a key: %v", err)
		}
	})
}

// TestKeyRevoked: 401 on audio stops the source at once, including its lists.
func TestKeyRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for i := range 5 {
			s.add("acme-ns", string(rune('a'+i)), ago(time.Duration(i+1)*time.Hour))
			s.add("birch-ns", string(rune('a'+i)), ago(time.Duration(i+1)*time.Hour))
		}
		s.recordings[4].fault, s.recordings[4].times = "status 401", -1
		v, source := newVault(t, tempDir(t)), from(t, s)
		report := v.run(t, source)
		if report.Result != collect.Failed || !strings.Contains(report.Error, "401") {
			t.Errorf("the run is %s %q", report.Result, report.Error)
		}
		if held := v.status(t, source, "acme-ns").Held + v.status(t, source, "birch-ns").Held; int(held) != report.Held {
			t.Errorf("the ledger has %d held, the report %d", held, report.Held)
		}
		s.counts()
		s.revoked = true
		if report := v.run(t, source); report.Result != collect.Failed || report.Tenants[0].Lacking == 0 {
			t.Errorf("the run is %+v", report)
		}
		if lists, audio := s.counts(); lists+audio > 3 {
			t.Errorf("%d lists and %d audio requests with a key that is void", lists, audio)
		}
		s.revoked, s.recordings[4].fault = false, ""
		s.heal()
		complete(t, v.run(t, source))
		v.allHeld(t, s)
	})
}
