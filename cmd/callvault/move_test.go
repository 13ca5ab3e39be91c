//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callvault/archive/s3/s3test"
	"callvault/database/databasetest"

	"github.com/google/go-cmp/cmp"
)

const moversPassword = "correct horse battery"

// inUse is a data folder of an archive that somebody works with, and what they know about
// it. asked counts the requests for audio to its source.
type inUse struct {
	data, key, config string
	asked             atomic.Int64
}

// usedArchive collects some recordings into an archive, beside a second tenant,
// and uses it: downloads count against a limit, a person has a password.
func usedArchive(t *testing.T, clips int) *inUse {
	t.Helper()
	u := &inUse{data: pacedCollector(t, clips)}
	u.config = filepath.Join(u.data, "callvault.toml")
	text, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://[^"]+`).Find(text)
	source, err := url.Parse(string(address))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(source)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/audio") {
			u.asked.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	text = bytes.ReplaceAll(text, address, []byte(front.URL))
	if err := os.WriteFile(u.config, append(text, "own_server = true\npace = \"0s\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, u.data, "collect")
	must(t, u.data, "tenant", "set", "acme-ns", "--agents", "25", "--time-zone", "America/Denver")
	must(t, u.data, "import", "--tenant", addTenant(t, u.data, "other"), clipFile(t))
	u.key = must(t, u.data, "user", "add", "robot", "--all-tenants", "--can", "read,write,admin", "--request-limit", "off")
	link := must(t, u.data, "user", "add", "kelly", "--person", "--tenant", "acme-ns")
	p := serving(t, u.data)
	answer, err := http.PostForm(p.url+link, url.Values{"name": {"kelly"}, "password": {moversPassword}, "again": {moversPassword}})
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("setting a password: %v, %v", answer, err)
	}
	answer.Body.Close()
	takeWithoutAudio(t, p.url, u.key)
	first := firstRecording(t, p.url, u.key)
	if status, _ := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+first, u.key, nil)); status != http.StatusOK {
		t.Fatalf("audio: %d", status)
	}
	stop(t, p)
	return u
}

// takeWithoutAudio uploads a recording whose audio was deleted.
func takeWithoutAudio(t *testing.T, base, key string) {
	t.Helper()
	body := strings.ReplaceAll(`--x
Content-Disposition: form-data; name="recording"
Content-Type: application/json

{"recordingKey":"gone","startTime":1707770449131,"status":"DELETED_USER"}
--x--
`, "\n", "\r\n")
	post := request(t, http.MethodPost, base+"/rest/api/v2/recordings/other", key, strings.NewReader(body))
	post.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	if status, answer := fetch(t, http.DefaultClient, post); status != http.StatusCreated {
		t.Fatalf("a recording without audio: %d %s", status, answer)
	}
}

func addTenant(t *testing.T, data, name string) string {
	t.Helper()
	must(t, data, "tenant", "add", name)
	return name
}

func clipFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "one.opus")
	if err := os.WriteFile(file, sampleClips(1)[0], 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func stop(t *testing.T, p *process) {
	t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Release(); err != nil { // its end is told by its log
		t.Fatal(err)
	}
	<-p.log
}

const allRecordings = "/rest/api/v2/recordings?startTime=2000-01-01T00:00:00Z&endTime=2100-01-01T00:00:00Z"

// firstRecording returns the path of the first listed recording's audio.
func firstRecording(t *testing.T, base, key string) string {
	t.Helper()
	_, body := fetch(t, http.DefaultClient, request(t, http.MethodGet, base+allRecordings+"&tenantName=acme-ns", key, nil))
	var list []struct{ TenantName, RecordingKey string }
	if err := json.Unmarshal(body, &list); err != nil || len(list) == 0 {
		t.Fatalf("list: %v %.300s", err, body)
	}
	return "/rest/api/v2/recordings/" + list[0].TenantName + "/" + list[0].RecordingKey + "/audio"
}

// seen is what users see of an archive.
type seen struct {
	Files       map[string]string // of exports
	Lists       []string
	Usage       string
	AuditFits   string
	Tenants     string
	SignedIn    bool
	Unauthentic int
}

// look looks at the archive that the arguments name, and checks its audit trail
// before it adds to it.
func look(t *testing.T, key string, where ...string) seen {
	t.Helper()
	run := func(args ...string) string { return must(t, "unused", append(args, where...)...) }
	s := seen{
		Files: map[string]string{}, AuditFits: run("audit", "verify"), Tenants: run("tenant", "list", "--json"),
		Usage: run("tenant", "usage", "acme-ns", "--json"),
	}
	for _, tenant := range []string{"acme-ns", "other"} {
		dir := t.TempDir()
		run("export", "--tenant", tenant, "--since", "2000-01-01", "--until", "2100-01-01", "--to", dir)
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(name)
			s.Files[tenant+strings.TrimPrefix(name, dir)] = fmt.Sprintf("%x", sha256.Sum256(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := start(command(append([]string{"serve", "--listen", "127.0.0.1:0"}, where...)...))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{allRecordings, strings.Replace(allRecordings, "recordings", "call-recording-info", 1)} {
		status, body := fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+path, key, nil))
		s.Lists = append(s.Lists, fmt.Sprint(status, string(body)))
	}
	s.Unauthentic, _ = fetch(t, http.DefaultClient, request(t, http.MethodGet, p.url+allRecordings, key+"x", nil))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Jar: jar}).PostForm(p.url+"/sign-in", url.Values{"name": {"kelly"}, "password": {moversPassword}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	s.SignedIn = answer.StatusCode == http.StatusOK && answer.Request.Method == http.MethodGet // sent on from the form
	stop(t, p)
	return s
}

// TestMoveThereAndBack moves a folder that is in use into PostgreSQL and S3, from
// there into PostgreSQL and a folder, and back into one folder. What users see is
// the same everywhere, and the collector fetches nothing again.
func TestMoveThereAndBack(t *testing.T) {
	t.Setenv("CALLVAULT_DATA", "")
	bucket := s3test.Start(t).Bucket(t)
	u := usedArchive(t, 5)
	first, second := databasetest.PostgreSQL(t), databasetest.PostgreSQL(t)
	mixed, back := t.TempDir(), filepath.Join(t.TempDir(), "back")

	must(t, u.data, "move", "--to-database", first, "--to-audio", bucket)
	want := look(t, u.key, "--data", u.data)
	if !want.SignedIn || want.Unauthentic != http.StatusUnauthorized || len(want.Files) < 8 || !strings.Contains(want.Usage, `"used": `) || strings.Contains(want.Usage, `"used": 0,`) {
		t.Fatalf("the archive is not in use: %+v", want)
	}
	must(t, "unused", "move", "--from-database", first, "--from-audio", bucket, "--to", mixed, "--to-database", second)
	fits := func(got seen, what string) {
		t.Helper()
		want.AuditFits, got.AuditFits = "", ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-before +after):\n%.3000s", what, diff)
		}
	}
	fits(look(t, u.key, "--database", first, "--audio", bucket), "PostgreSQL and S3")
	must(t, "unused", "move", "--from", mixed, "--from-database", second, "--to", back)
	fits(look(t, u.key, "--database", second, "--data", mixed), "PostgreSQL and a folder")
	fits(look(t, u.key, "--data", back), "back in a folder")

	before := u.asked.Load()
	for _, where := range [][]string{{"--data", back}, {"--database", first, "--audio", bucket}} {
		must(t, "unused", append([]string{"collect", "--config", u.config}, where...)...)
		if out := must(t, "unused", append([]string{"verify", "--json"}, where...)...); !strings.Contains(out, `"faults": []`) {
			t.Errorf("verify: %s", out)
		}
	}
	// The source has a limit, so some recordings were asked for again while collecting.
	if again := u.asked.Load() - before; before < 5 || again != 0 {
		t.Errorf("the source was asked for audio %d times, and %d times after the move; want at least 5 and none", before, again)
	}
}

// TestMoveKilled kills moves at random moments, there and back, and runs them again
// until they end. Meanwhile nothing else opens the new archive.
func TestMoveKilled(t *testing.T) {
	t.Setenv("CALLVAULT_DATA", "")
	bucket := s3test.Start(t).Bucket(t)
	data, in := t.TempDir(), t.TempDir()
	for i := range 150 {
		for name, content := range map[string][]byte{
			"opus": sampleClips(3)[i%3],
			"json": fmt.Appendf(nil, `{"recordingKey":"%d","startTime":%d}`, i, 1707770449131+int64(i)*3_600_000),
		} {
			if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%d.%s", i, name)), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, data, "import", "--tenant", addTenant(t, data, "acme-ns"), in)
	database, back := databasetest.PostgreSQL(t), filepath.Join(t.TempDir(), "back")
	there := []string{"--database", database, "--audio", bucket}
	for _, way := range []struct{ move, to []string }{
		{[]string{"--from", data, "--to-database", database, "--to-audio", bucket}, there},
		{[]string{"--from-database", database, "--from-audio", bucket, "--to", back}, []string{"--data", back}},
	} {
		kills := killed(t, append([]string{"move"}, way.move...), way.to)
		if kills == 0 {
			t.Errorf("%q ended before it was killed once", way.move)
		}
		if out := must(t, "unused", append([]string{"verify"}, way.to...)...); !strings.HasPrefix(out, "150 recordings read") || !strings.Contains(out, " 0 faults") {
			t.Errorf("after %d kills: %s", kills, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(back, "audio", "acme-ns", "*", "*", "*", "*")); len(left) != 300 {
		t.Errorf("%d files came back, want 300", len(left))
	}
}

// killed runs a command until it is done, and kills it after a while that grows
// from run to run.
func killed(t *testing.T, args, to []string) (kills int) {
	t.Helper()
	for patience := 100 * time.Millisecond; ; patience += 100 * time.Millisecond {
		c := command(args...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(patience/2+rand.N(patience), func() { _ = c.Process.Kill() })
		err := c.Wait()
		end.Stop()
		if err == nil {
			return kills
		}
		if c.ProcessState.ExitCode() != -1 {
			t.Fatalf("%q: %v, %s", args, err, stderr.String())
		}
		kills++
		// It was killed before it began; or the archive must not be opened; or the move
		// had ended but its process had not, and then it says so when run again.
		out, refused, status := runOn(t, "unused", append([]string{"tenant", "list", "--json"}, to...)...)
		switch {
		case status == 1 && strings.Contains(refused, "is not whole yet"), status == 0 && out == "[]\n":
		case status == 0 && strings.Contains(must(t, "unused", args...), " before; both sides are the same"):
			return kills
		default:
			t.Fatalf("after a kill it is opened: %d %s %s", status, out, refused)
		}
	}
}
