package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault"
	"callvault/archive/s3/s3test"
	"callvault/database/databasetest"
	"callvault/sample"
)

// sourceOfSamples runs a service of its own with the sample month, without limits,
// and returns it with the key of a user of all tenants.
func sourceOfSamples(t *testing.T) (p *process, key string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "source")
	v, err := openVault(t.Context(), place{data: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := loadSample(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range sample.Tenants() {
		err := v.accounts.SetTenant(t.Context(), tenant.Name, func(t *callvault.Tenant) error {
			t.RequestLimit, t.EgressOff = false, true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	key = must(t, data, "user", "add", "collector", "--all-tenants", "--request-limit", "off")
	return serving(t, data), strings.TrimSpace(key)
}

// worker starts a worker; it is killed at the end of the test.
func worker(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := command(append([]string{"worker"}, args...)...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGCONT)
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("a worker said:\n%s", said.String())
		}
	})
	return c
}

// standing is how the collecting stands, as status --json tells it.
type standing struct {
	Sources []struct {
		LastRun *struct{ Result string }
	}
	Tenants []struct {
		Tenant    string
		Held, Due int
	}
}

func (s *standing) held() (n int) {
	for _, tenant := range s.Tenants {
		n += tenant.Held
	}
	return n
}

// await asks for the status until it is as wanted.
func await(t *testing.T, data, what string, wanted func(*standing) bool) *standing {
	t.Helper()
	deadline := time.Now().Add(150 * time.Second)
	for {
		var now standing
		if err := json.Unmarshal([]byte(must(t, data, "status", "--json")), &now); err != nil {
			t.Fatal(err)
		}
		if wanted(&now) {
			return &now
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", what, now)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// TestWorkers lets three workers and a service collect a month over one PostgreSQL
// and one S3 store. One is killed in the middle, one stands still until the others
// have taken up its jobs and goes on then, one is stopped in order. All is held in
// the end, and next to nothing was asked for twice.
func TestWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes")
	}
	store, url := s3test.Start(t), databasetest.PostgreSQL(t)
	source, key := sourceOfSamples(t)
	dir := t.TempDir()
	t.Setenv("CALLVAULT_AUDIO", store.Bucket(t))
	t.Setenv("CALLVAULT_DATABASE", url)
	t.Setenv("SOURCE_KEY", key)
	config := fmt.Sprintf("[[source]]\nname = \"own\"\nurl = %q\nkey_env = \"SOURCE_KEY\"\nsince = %q\nown_server = true\npace = \"300ms\"\nschedule = \"* * * * *\"\n",
		source.url, time.Now().AddDate(0, 0, -32).UTC().Format(time.DateOnly))
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	node := serving(t, dir)
	t.Cleanup(func() {
		out, _ := exec.Command("psql", url, "-x", "-c", "select id,kind,state,attempt,attempted_by,args,scheduled_at,errors[array_length(errors,1)] from river_job where state<>'completed'", "-c", "select * from sources").CombinedOutput()
		t.Log(string(out))
		_ = node.Process.Signal(syscall.SIGTERM)
		text := <-node.log
		for l := range strings.Lines(text) {
			if !strings.Contains(l, "\"msg\":\"request\"") {
				t.Log(l)
			}
		}
	})
	killed, still, stopped := worker(t, "--data", dir), worker(t, "--data", dir), worker(t, "--data", dir)

	await(t, dir, "at work", func(s *standing) bool { return s.held() > 10 })
	for process, signal := range map[*exec.Cmd]os.Signal{killed: syscall.SIGKILL, still: syscall.SIGSTOP, stopped: syscall.SIGTERM} {
		if err := process.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := stopped.Wait(); err != nil {
		t.Errorf("a worker that was stopped in order: %v", err)
	}
	time.AfterFunc(45*time.Second, func() { _ = still.Process.Signal(syscall.SIGCONT) })
	want := 0
	for item := range sample.Month(time.Now()) {
		if item.Audio != nil {
			want++
		}
	}
	await(t, dir, "complete", func(s *standing) bool {
		return s.held() == want && s.Sources[0].LastRun != nil && s.Sources[0].LastRun.Result == "complete"
	})
	if out := must(t, dir, "verify", "--json"); !strings.Contains(out, `"faults": []`) {
		t.Error(out)
	}
	admin := strings.TrimSpace(must(t, dir, "user", "add", "reader", "--all-tenants"))
	span := "?startTime=2020-01-01T00:00:00Z&endTime=2100-01-01T00:00:00Z"
	if status, body := fetch(t, http.DefaultClient, request(t, http.MethodGet, node.url+"/rest/api/v2/recordings"+span, admin, nil)); status != http.StatusOK || bytes.Count(body, []byte(`"recordingKey"`)) < want {
		t.Errorf("the node lists %d of %d: %d", bytes.Count(body, []byte(`"recordingKey"`)), want, status)
	}
	if err := source.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	asked := askedFor(t, <-source.log)
	twice := 0
	for _, n := range asked {
		twice += n - 1
	}
	// What each of two was at as it ended: a request of each of three tenants, and
	// what was not durable yet.
	if len(asked) != want || twice > 2*3*collectAbreast {
		t.Errorf("%d recordings were asked for, want %d; %d times once more", len(asked), want, twice)
	}
}

// collectAbreast is how many recordings of a tenant of one's own service are under
// way at once.
const collectAbreast = 32

// askedFor counts the requests for audio by recording in a service's log.
func askedFor(t *testing.T, log string) map[string]int {
	t.Helper()
	asked := map[string]int{}
	for line := range strings.Lines(log) {
		var one struct{ Endpoint, Tenant, Key string }
		if json.Unmarshal([]byte(line), &one) == nil && one.Endpoint == "audio" {
			asked[one.Tenant+"/"+one.Key]++
		}
	}
	return asked
}
