//go:build unix

package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault/database/databasetest"
)

// nodes starts three services over one PostgreSQL and one folder of audio.
func nodes(t *testing.T, server *databasetest.Server) (data, key, path string, all []*process) {
	t.Helper()
	t.Setenv("CALLVAULT_DATABASE", server.Database(t)+"&pool_max_conns=12")
	data, key, path = vaultWithOne(t)
	for range 3 {
		all = append(all, serving(t, data))
	}
	return data, key, path, all
}

// spread sends n requests at once to the nodes in turn.
func spread(t *testing.T, all []*process, n int, key, path string) (answers []*http.Response, bodies []string) {
	t.Helper()
	answers, bodies = make([]*http.Response, n), make([]string, n)
	client := &http.Client{Timeout: 2 * time.Minute}
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			answer, err := client.Do(request(t, http.MethodGet, all[i%len(all)].url+path, key, nil))
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Error(err)
			}
			answers[i], bodies[i] = answer, string(body)
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answers, bodies
}

func countStatus(answers []*http.Response, status int) (n int) {
	for _, answer := range answers {
		if answer.StatusCode == status {
			n++
		}
	}
	return n
}

// TestThreeNodes: three services that share a database promise what one does: the
// limits, and that a change takes effect with the next request.
func TestThreeNodes(t *testing.T) {
	data, key, path, all := nodes(t, databasetest.Start(t))

	// Each node sees at once that a key was refreshed elsewhere.
	if answers, bodies := spread(t, all, 3, key, path); countStatus(answers, http.StatusOK) != 3 || len(bodies[0]) != len(sampleClips(1)[0]) {
		t.Fatalf("%d answers of 3 are 200, the first %d bytes", countStatus(answers, http.StatusOK), len(bodies[0]))
	}
	old := key
	key = must(t, data, "user", "refresh", "robot")
	if answers, _ := spread(t, all, 6, old, path); countStatus(answers, http.StatusUnauthorized) != 6 {
		t.Errorf("%d answers of 6 to the old key are 401", countStatus(answers, http.StatusUnauthorized))
	}

	// The request limit.
	must(t, data, "tenant", "set", "acme-ns", "--request-limit", "on")
	began := time.Now()
	answers, _ := spread(t, all, 40, key, path)
	passed, refused := countStatus(answers, http.StatusOK), countStatus(answers, http.StatusTooManyRequests)
	if most := 3 + 3*int(time.Since(began)/(10*time.Second)); passed < 3 || passed > most || passed+refused != 40 {
		t.Errorf("of 40 at once %d pass and %d are refused, want %d to pass", passed, refused, most)
	}
	for _, answer := range answers {
		after, err := strconv.Atoi(answer.Header.Get("Retry-After"))
		if answer.StatusCode == http.StatusTooManyRequests && (err != nil || after < 1 || after > 10) {
			t.Errorf("Retry-After %q", answer.Header.Get("Retry-After"))
		}
	}

	// The egress limit: there is room for two and a half more.
	must(t, data, "tenant", "set", "acme-ns", "--request-limit", "off")
	must(t, data, "tenant", "reset-usage", "acme-ns")
	size := len(sampleClips(1)[0])
	must(t, data, "tenant", "set", "acme-ns", "--egress-limit", fmt.Sprint(size*5/2))
	answers, _ = spread(t, all, 30, key, path)
	passed, refused = countStatus(answers, http.StatusOK), countStatus(answers, 509)
	if passed > 2 || passed+refused != 30 {
		t.Errorf("of 30 downloads at once %d pass and %d are refused, want at most 2", passed, refused)
	}
	if status, _ := fetch(t, http.DefaultClient, request(t, http.MethodGet, all[0].url+path, key, nil)); passed == 2 && status != 509 {
		t.Errorf("one more: %d", status)
	}
	var usage struct{ Used int }
	if err := json.Unmarshal([]byte(must(t, data, "tenant", "usage", "acme-ns", "--json")), &usage); err != nil || usage.Used != passed*size {
		t.Errorf("used %d, %v, want %d times %d", usage.Used, err, passed, size)
	}
}

// TestNodesOutliveTheDatabase: while PostgreSQL is unavailable or stalled, all requests are
// soon answered with 503 and Retry-After; when it is back, the nodes recover by
// themselves.
func TestNodesOutliveTheDatabase(t *testing.T) {
	server := databasetest.Start(t)
	_, key, path, all := nodes(t, server)
	away := func(what string, n int) {
		t.Helper()
		answers, bodies := spread(t, all, n, key, path)
		for i, answer := range answers {
			if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || strings.Contains(bodies[i], "postgres") {
				t.Errorf("%s: %s, Retry-After %q: %s", what, answer.Status, answer.Header.Get("Retry-After"), bodies[i])
			}
		}
	}
	back := func(what string) {
		t.Helper()
		for _, node := range all {
			eventually(t, "serving again, "+what, func() bool {
				status, _ := fetch(t, http.DefaultClient, request(t, http.MethodGet, node.url+path, key, nil))
				return status == http.StatusOK
			})
		}
	}
	back("before")
	server.Kill()
	away("killed", 60)
	server.Start(t)
	back("started again")
	time.Sleep(1500 * time.Millisecond) // long enough for connections to count as idle: they are checked before their next use
	server.Freeze(t)
	away("stopped", 60)
	server.Thaw(t)
	back("going on")
}

// TestStopWhileTheDatabaseIsLocked: a service that is told to stop while somebody
// keeps it from writing to PostgreSQL ends, and says what it could not write.
func TestStopWhileTheDatabaseIsLocked(t *testing.T) {
	url := databasetest.PostgreSQL(t)
	t.Setenv("CALLVAULT_DATABASE", url)
	data, key, path := vaultWithOne(t)
	p := serving(t, data)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`LOCK TABLE audit_head`); err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path, key, nil)); status != http.StatusOK {
		t.Fatalf("a download: %d", status)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case said := <-p.log:
		if !strings.Contains(said, "wait to be written to the audit trail") {
			t.Errorf("it said of the audit trail:\n%s", said)
		}
	case <-time.After(patience):
		t.Error("it never ends")
	}
}

// TestUploadsOverNodes: when the same keys are uploaded to all nodes at once, while one
// node is killed, each key is stored once or not at all, and what was acknowledged is
// held.
func TestUploadsOverNodes(t *testing.T) {
	data, key, _, all := nodes(t, databasetest.Start(t))
	const keys = 30
	clip := sampleClips(2)[1]
	var kept [keys]atomic.Bool
	var wait sync.WaitGroup
	for i, node := range all {
		wait.Go(func() {
			for n := range keys {
				if i == 2 && n == keys/3 {
					_ = node.Process.Kill()
				}
				body, contentType := upload(fmt.Sprintf("k%d", n), clip)
				r := request(t, http.MethodPost, node.url+"/rest/api/v2/recordings/acme-ns", key, body)
				r.Header.Set("Content-Type", contentType)
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					continue
				}
				answer.Body.Close()
				switch answer.StatusCode {
				case http.StatusOK:
				case http.StatusCreated:
					if kept[n].Swap(true) && i != 2 {
						t.Errorf("k%d was made twice", n)
					}
				default:
					t.Errorf("upload of k%d: %s", n, answer.Status)
				}
			}
		})
	}
	wait.Wait()
	var verified struct {
		Read   int
		Faults []any
	}
	out := must(t, data, "verify", "--json")
	if err := json.Unmarshal([]byte(out), &verified); err != nil || verified.Read != keys+1 || len(verified.Faults) > 0 {
		t.Errorf("verify: %v %s", err, out)
	}
}
