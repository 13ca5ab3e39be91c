//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault"
	"callvault/archive/s3/s3test"
	"callvault/database/databasetest"
	"callvault/sample"
)

// cluster is three services and three workers over one PostgreSQL and one S3 store.
type cluster struct {
	*testing.T
	dir      string
	postgres *databasetest.Server
	store    *s3test.Server
	nodes    [3]atomic.Pointer[process]
	workers  [3]*exec.Cmd
}

func newCluster(t *testing.T, dir string) *cluster {
	c := &cluster{T: t, dir: dir, postgres: databasetest.Start(t), store: s3test.Start(t)}
	t.Setenv("CALLVAULT_AUDIO", c.store.Bucket(t))
	t.Setenv("CALLVAULT_DATABASE", c.postgres.Database(t)+"&pool_max_conns=12")
	return c
}

func (c *cluster) start() {
	for i := range 3 {
		c.nodes[i].Store(serving(c.T, c.dir, "--no-collect"))
		c.workers[i] = worker(c.T, "--data", c.dir)
	}
}

// hurt breaks a part of the cluster, repairs it, and returns what it did.
func (c *cluster) hurt() string {
	i, long := rand.IntN(3), time.Duration(rand.IntN(3000))*time.Millisecond
	switch rand.IntN(8) {
	case 0:
		_ = c.nodes[i].Load().Process.Kill()
		c.nodes[i].Store(serving(c.T, c.dir, "--no-collect"))
		return "a service killed"
	case 1, 2:
		_ = c.workers[i].Process.Kill()
		c.workers[i] = worker(c.T, "--data", c.dir)
		return "a worker killed"
	case 3:
		freeze(c.nodes[i].Load().Process, long)
		return "a service stopped"
	case 4:
		freeze(c.workers[i].Process, long)
		return "a worker stopped"
	case 5:
		freeze(c.store.Process, long)
		return "the store stopped"
	case 6:
		c.store.Kill()
		time.Sleep(long)
		c.store.Start(c.T)
		return "the store killed"
	}
	c.postgres.Kill()
	time.Sleep(long)
	c.postgres.Start(c.T)
	return "PostgreSQL killed"
}

func freeze(p *os.Process, long time.Duration) {
	_ = p.Signal(syscall.SIGSTOP)
	time.Sleep(long)
	_ = p.Signal(syscall.SIGCONT)
}

// ask sends a request to some node; status is 0 if the connection breaks.
func (c *cluster) ask(client *http.Client, method, path, key string, body io.Reader, contentType string) (status int, answer []byte) {
	r := request(c.T, method, c.nodes[rand.IntN(3)].Load().url+path, key, body)
	r.Header.Set("Content-Type", contentType)
	response, err := client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, nil
	}
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
		c.Errorf("503 without Retry-After: %s", answer)
	}
	return response.StatusCode, answer
}

// use uploads recordings, each until it is acknowledged, plays acknowledged ones, and
// reads lists, until enough is closed. It returns how many were uploaded.
func (c *cluster) use(user int, key string, enough <-chan struct{}) (uploaded int) {
	client, clip := &http.Client{Timeout: time.Minute}, sampleClips(3)[user%3]
	for {
		name := fmt.Sprintf("user%d-%d", user, uploaded)
		for acknowledged := false; !acknowledged; {
			body, contentType := upload(name, clip)
			switch status, answer := c.ask(client, http.MethodPost, "/rest/api/v2/recordings/uploads", key, body, contentType); status {
			case http.StatusCreated, http.StatusOK:
				acknowledged = true
			case 0, http.StatusServiceUnavailable:
				time.Sleep(200 * time.Millisecond)
			default:
				c.Errorf("upload of %s: %d %s", name, status, answer)
				return uploaded
			}
		}
		uploaded++
		status, answer := c.ask(client, http.MethodGet, "/rest/api/v2/recordings/uploads/"+name+"/audio", key, nil, "")
		if status != 0 && status != http.StatusServiceUnavailable && (status != http.StatusOK || !bytes.Equal(answer, clip)) {
			c.Errorf("%s, which was acknowledged: %d, %d bytes", name, status, len(answer))
		}
		status, answer = c.ask(client, http.MethodGet, allRecordings+"&tenantName=uploads", key, nil, "")
		if n := bytes.Count(answer, []byte(`"recordingKey":"user`+fmt.Sprint(user)+`-`)); status == http.StatusOK && n != uploaded {
			c.Errorf("a whole list has %d of the %d recordings that were acknowledged", n, uploaded)
		}
		select {
		case <-enough:
			return uploaded
		default:
		}
	}
}

// TestKills: for a minute services, workers, PostgreSQL and the store are killed, or
// suspended for a while, one after the other, while the cluster collects and accepts
// uploads. What is acknowledged is held and listed from then on by each node; in the
// end everything is held, and whole.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes")
	}
	dir := t.TempDir()
	collectSamples(t, dir, "400ms")
	c := newCluster(t, dir)
	must(t, c.dir, "tenant", "add", "uploads", "--request-limit", "off")
	key := must(t, c.dir, "user", "add", "robot", "--all-tenants", "--can", "read,write", "--request-limit", "off")
	c.start()

	var users sync.WaitGroup
	var uploaded atomic.Int64
	enough := make(chan struct{})
	for user := range 3 {
		users.Go(func() { uploaded.Add(int64(c.use(user, key, enough))) })
	}
	hurts := map[string]int{}
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && !t.Failed(); {
		hurts[c.hurt()]++
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	close(enough)
	users.Wait()
	t.Logf("%d uploads; %v", uploaded.Load(), hurts)

	want, rows := sampleAudio(), int(uploaded.Load())
	for range sample.Month(time.Now()) {
		rows++
	}
	await(t, c.dir, "complete", func(s *standing) bool { return s.all(want) })
	var verified struct {
		Read   int
		Faults []any
	}
	out := must(t, c.dir, "verify", "--json")
	if err := json.Unmarshal([]byte(out), &verified); err != nil || verified.Read != want+int(uploaded.Load()) || len(verified.Faults) > 0 {
		t.Errorf("verify, of %d: %v %s", want+int(uploaded.Load()), err, out)
	}
	var first []callvault.Recording
	for i := range c.nodes {
		status, answer := fetch(t, http.DefaultClient, request(t, http.MethodGet, c.nodes[i].Load().url+allRecordings, key, nil))
		var list []callvault.Recording
		if err := json.Unmarshal(answer, &list); status != http.StatusOK || err != nil || len(list) != rows {
			t.Errorf("node %d lists %d of %d: %d, %v", i, len(list), rows, status, err)
		}
		if i > 0 && !slices.Equal(list, first) {
			t.Errorf("node %d lists otherwise than the first", i)
		}
		first = list
	}
}
