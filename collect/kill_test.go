package collect_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"callvault/client"
	"callvault/collect"
	"callvault/database/databasetest"
)

// childDir and childURL make the test binary, run as a child, collect.
const (
	childDir = "CALLVAULT_TEST_COLLECT_DIR"
	childURL = "CALLVAULT_TEST_COLLECT_URL"
)

// collectInChild does one run; with "holding" as the address it only takes the lock.
func collectInChild(dir, url string) error {
	ctx := context.Background()
	v, err := open(ctx, dir)
	if err != nil {
		return err
	}
	c, err := client.New(strings.TrimPrefix(url, "holding "), sourceKey)
	if err != nil {
		return err
	}
	s := &collect.Source{Name: "acme", Client: c, OwnServer: true, Lookback: collect.DefaultLookback, Since: time.Now().Add(-48 * time.Hour).UnixMilli()}
	r, err := v.Start(ctx, s, collect.Always)
	if err != nil {
		return err
	}
	fmt.Println("started")
	if strings.HasPrefix(url, "holding ") {
		time.Sleep(time.Minute)
	}
	_, err = r.Wait(ctx)
	return err
}

func child(t *testing.T, dir, url string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, bufio.NewScanner(out)
}

// TestKilledAtAnyMoment: whenever a run is killed, nothing that was held is lost, nothing
// half done counts, and the next run repeats only the requests that were in flight.
func TestKilledAtAnyMoment(t *testing.T) {
	const each, abreast = 40, 32
	rounds, longest := 50, 200*time.Millisecond
	if testing.Short() || raceEnabled {
		rounds, longest = 10, 800*time.Millisecond
	}
	if databasetest.Second() {
		rounds, longest = rounds/2, 5*longest // each statement is a round trip
	}
	s := newSource()
	s.unlimited = true
	server := httptest.NewServer(s)
	defer server.Close()
	dir := tempDir(t)
	var held []*recording
	for round := range rounds {
		for i := range each {
			s.add("acme-ns", fmt.Sprintf("r%d-%d", round, i), ago(time.Hour))
		}
		run, lines := child(t, dir, server.URL)
		if !lines.Scan() {
			t.Fatal("the child did not start")
		}
		time.Sleep(rand.N(longest))
		run.Process.Kill()
		run.Wait()
		before := len(held)
		if held = stillHeld(t, dir, s, held); len(held) == before {
			longest = min(2*longest, 10*time.Second) // it was killed before it could hold anything
		}
	}
	if len(held) == 0 {
		t.Error("no child lived long enough to hold anything")
	}
	v := newVault(t, dir)
	source := fromURL(t, server.URL)
	source.OwnServer, source.Pace = true, 0
	complete(t, v.run(t, source))
	v.allHeld(t, s)
	if most := rounds*each + rounds*abreast; s.audio > most {
		t.Errorf("%d requests for %d recordings and %d kills, want at most %d", s.audio, rounds*each, rounds, most)
	}
	t.Logf("%d requests for %d recordings; %d held before the last run", s.audio, rounds*each, len(held))
	s.counts()
	complete(t, v.run(t, source))
	if _, audio := s.counts(); audio != 0 {
		t.Errorf("%d audio requests over a complete archive", audio)
	}
}

// stillHeld returns the recordings that are held now, and fails if one that was held no
// longer is.
func stillHeld(t *testing.T, dir string, s *source, before []*recording) (held []*recording) {
	t.Helper()
	v, err := open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	was := map[*recording]bool{}
	for _, r := range before {
		was[r] = true
	}
	for _, r := range s.recordings {
		switch entry, err := v.archive.Find(t.Context(), r.TenantName, r.RecordingKey); {
		case err == nil && entry.Held && v.isHeld(t, r):
			held = append(held, r)
		case err == nil && entry.Held:
			t.Errorf("%s counts as held, but not with its audio", r.RecordingKey)
		case was[r]:
			t.Errorf("%s was held and is not any more", r.RecordingKey)
		}
	}
	return held
}

func TestTwoRunsOverOneSource(t *testing.T) {
	s := newSource()
	s.unlimited = true
	s.add("acme-ns", "r", ago(time.Hour))
	server := httptest.NewServer(s)
	defer server.Close()
	dir := tempDir(t)
	v := newVault(t, dir)
	source := fromURL(t, server.URL)
	source.OwnServer, source.Pace = true, 0

	first, err := v.Start(t.Context(), source, collect.Always)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, v, source, fmt.Sprint(os.Getpid()))
	if err := first.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, lines := child(t, dir, "holding "+server.URL)
	if !lines.Scan() {
		t.Fatal("the child did not start")
	}
	refused(t, v, source, fmt.Sprint(other.Process.Pid))
	status, err := v.SourceStatus(t.Context(), "acme")
	if err != nil || !status.Running {
		t.Errorf("status %+v, %v, want running", status, err)
	}
	other.Process.Kill()
	other.Wait()
	for status.Running && err == nil { // PostgreSQL learns of the death a moment later
		time.Sleep(time.Millisecond)
		status, err = v.SourceStatus(t.Context(), "acme")
	}
	complete(t, v.run(t, source))
	if status, err := v.SourceStatus(t.Context(), "acme"); err != nil || status.Running || status.LastRun == nil {
		t.Errorf("status %+v, %v, want a run that ended", status, err)
	}
}

// refused fails unless a second run is refused and the error names the first.
func refused(t *testing.T, v *vault, source *collect.Source, holder string) {
	t.Helper()
	if _, err := v.Start(t.Context(), source, collect.Always); err == nil || !strings.Contains(err.Error(), "process "+holder) {
		t.Errorf("got %v, want the run of process %s", err, holder)
	}
}
