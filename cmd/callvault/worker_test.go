//go:build unix

package main

import (
	"bytes"
	"database/sql"
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

// sourceOfSamples runs a service with the sample month, without limits, and returns it
// with the key of a user of all tenants.
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

// collectSamples writes to a folder a configuration that collects the sample month every
// minute, at a pace. Call it before the environment says where the archive is.
func collectSamples(t *testing.T, dir, pace string) (source *process) {
	t.Helper()
	source, key := sourceOfSamples(t)
	t.Setenv("SOURCE_KEY", key)
	config := fmt.Sprintf("[[source]]\nname = \"own\"\nurl = %q\nkey_env = \"SOURCE_KEY\"\nsince = %q\nown_server = true\npace = %q\nschedule = \"* * * * *\"\n",
		source.url, time.Now().AddDate(0, 0, -32).UTC().Format(time.DateOnly), pace)
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return source
}

// sampleAudio counts the recordings of the sample month that have audio.
func sampleAudio() (n int) {
	for item := range sample.Month(time.Now()) {
		if item.Audio != nil {
			n++
		}
	}
	return n
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

// standing is the state of the collecting, as status --json prints it.
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

// await asks for the status until it is as expected.
func await(t *testing.T, data, what string, wanted func(*standing) bool) *standing {
	t.Helper()
	deadline := time.Now().Add(patience)
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

// all reports whether all of n recordings are held, and the last run says so.
func (s *standing) all(want int) bool {
	return s.held() == want && len(s.Sources) > 0 && s.Sources[0].LastRun != nil && s.Sources[0].LastRun.Result == "complete"
}

// runner returns which of the workers is doing the run over the source.
func runner(t *testing.T, db *sql.DB, workers []*exec.Cmd) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var name string
		err := db.QueryRow(`SELECT coalesce(max(application_name), '') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE locktype = 'advisory' AND objsubid = 1 AND a.datname = current_database()
			AND ((classid::BIGINT << 32) | objid::BIGINT) = hashtextextended('lock source own', 0)`).Scan(&name)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range workers {
			if strings.HasPrefix(name, fmt.Sprintf("callvault process %d on ", w.Process.Pid)) {
				return i
			}
		}
	}
	t.Fatal("no worker is at the run")
	return 0
}

// TestWorkers lets three workers and a service collect a month over one PostgreSQL
// and one S3 store. The one that does the run is suspended, and resumed when everything
// is done; one is killed in the middle, one is stopped normally. In the end everything is
// held, and next to nothing was asked for twice.
func TestWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes")
	}
	store, url := s3test.Start(t), databasetest.PostgreSQL(t)
	dir := t.TempDir()
	source := collectSamples(t, dir, "300ms")
	t.Setenv("CALLVAULT_AUDIO", store.Bucket(t))
	t.Setenv("CALLVAULT_DATABASE", url)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	workers := []*exec.Cmd{worker(t, "--data", dir), worker(t, "--data", dir), worker(t, "--data", dir)}
	at := runner(t, db, workers)
	still, killed, stopped := workers[at], workers[(at+1)%3], workers[(at+2)%3]
	node := serving(t, dir)

	await(t, dir, "at work", func(s *standing) bool { return s.held() > 10 })
	for process, signal := range map[*exec.Cmd]os.Signal{killed: syscall.SIGKILL, still: syscall.SIGSTOP, stopped: syscall.SIGTERM} {
		if err := process.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := stopped.Wait(); err != nil {
		t.Errorf("a worker that was stopped in order: %v", err)
	}
	want := sampleAudio()
	await(t, dir, "complete", func(s *standing) bool { return s.all(want) })
	if err := still.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
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
	// What each of two workers was doing as it ended: a request to each of three tenants,
	// and what was not durable yet.
	if len(asked) != want || twice > 2*3*collectAbreast {
		t.Errorf("%d recordings were asked for, want %d; %d times once more", len(asked), want, twice)
	}
}

// TestJobThatNobodyReceived: a job that the queue gave to a worker, which never received
// it because its connection broke, is done all the same.
func TestJobThatNobodyReceived(t *testing.T) {
	url, dir := databasetest.PostgreSQL(t), t.TempDir()
	collectSamples(t, dir, "0s")
	t.Setenv("CALLVAULT_DATABASE", url)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	worker(t, "--data", dir)
	until := func(what, statement string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			result, err := db.Exec(statement)
			if err == nil {
				if n, _ := result.RowsAffected(); n == 1 {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("never %s: %v", what, err)
			}
		}
	}
	until("alive", `INSERT INTO river_job (state, attempt, max_attempts, attempted_at, attempted_by, kind, args, queue)
		SELECT 'running', 1, 10, now(), ARRAY[name], 'collect_turn', '{"source":"own","tenant":"acme-ns","began":1}', 'turns' FROM workers`)
	await(t, dir, "complete", func(s *standing) bool { return s.all(sampleAudio()) })
	// In PostgreSQL all connections have the program's name, even those of the queue.
	var strange int
	err = db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND application_name NOT LIKE 'callvault process %'`).Scan(&strange)
	if err != nil || strange > 0 {
		t.Errorf("%d connections have another name, %v", strange, err)
	}
	until("taken up", `UPDATE river_job SET priority = 4 WHERE state = 'discarded' AND args->>'began' = '1'`)
}

// collectAbreast is how many recordings of a tenant can be under way at once, if the
// source is one's own.
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
