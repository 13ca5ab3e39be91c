//go:build unix

package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/sample"

	"github.com/rogpeppe/go-internal/testscript"
)

// quickExit keeps the race detector from waiting a second at the end of each command.
const quickExit = "atexit_sleep_ms=10"

// TestMain makes the test binary act as callvault when it is run under that name.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", quickExit)
	testscript.Main(m, map[string]func(){"callvault": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[serviceOf{}] = new(process)
			env.Setenv("GORACE", quickExit)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return exec.Command("unshare", "-rm", "true").Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "clips": clips, "serve": startServe, "get": get, "stopserve": stopServe, "oneline": oneLine, "damage": damage,
			"source": configureSource, "tamper": tamper,
		},
	})
}

// status runs a command and compares its exit status with the first argument.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// oneLine requires standard error to be one line that begins with "callvault: ".
func oneLine(ts *testscript.TestScript, _ bool, _ []string) {
	text := ts.ReadFile("stderr")
	if !strings.HasPrefix(text, "callvault: ") || strings.Count(text, "\n") != 1 {
		ts.Fatalf("standard error is not one line of an error: %q", text)
	}
}

// clips writes the audio of the first sample calls, one file each.
func clips(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for i, clip := range sampleClips(n) {
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join(args[0], fmt.Sprintf("clip%d.opus", i))), clip, 0o600))
	}
}

// sampleClips returns n different clips.
func sampleClips(n int) (clips [][]byte) {
	seen := map[string]bool{}
	for item := range sample.Month(time.Date(2024, 2, 13, 0, 0, 0, 0, time.UTC)) {
		if item.Audio != nil && !seen[string(item.Audio)] && len(clips) < n {
			seen[string(item.Audio)] = true
			clips = append(clips, item.Audio)
		}
	}
	return clips
}

// damage flips a bit in the middle of the file that matches the pattern.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%d files match %s", len(names), args[0])
	}
	content, err := os.ReadFile(names[0])
	ts.Check(err)
	content[len(content)/2] ^= 1
	ts.Check(os.WriteFile(names[0], content, 0o600))
}

// tamper runs a statement on a database, as somebody with access to the file could.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	for _, statement := range []string{`DROP TRIGGER IF EXISTS audit_stays`, `DROP TRIGGER IF EXISTS audit_remains`, args[1]} {
		_, err := db.Exec(statement)
		ts.Check(err)
	}
}

// startServe starts a service in the background on the script's data folder, and sets
// URL, and METRICS if it has a separate address for metrics.
func startServe(ts *testscript.TestScript, _ bool, args []string) {
	c := command(append([]string{"serve", "--listen", "127.0.0.1:0", "--data", ts.Getenv("CALLVAULT_DATA")}, args...)...)
	c.Dir = ts.MkAbs(".")
	p, err := start(c)
	ts.Check(err)
	ts.Defer(func() { _ = p.Process.Kill() }) // it has already ended if all went well
	*ts.Value(serviceOf{}).(*process) = *p
	ts.Setenv("URL", p.url)
	ts.Setenv("METRICS", p.metrics)
}

// configureSource writes a configuration that collects what was recorded in the last two
// days from the script's service, with the key in robot.key beside it.
func configureSource(ts *testscript.TestScript, _ bool, args []string) {
	since := time.Now().AddDate(0, 0, -2).UTC().Format(time.DateOnly)
	text := fmt.Sprintf("[[source]]\nname = \"own\"\nurl = %q\nkey_file = \"robot.key\"\nsince = %q\nown_server = true\npace = \"0s\"\n", ts.Getenv("URL"), since)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// serviceOf is the key under which a script keeps its service.
type serviceOf struct{}

// stopServe stops the script's service, which must exit without an error.
func stopServe(ts *testscript.TestScript, _ bool, _ []string) {
	p := ts.Value(serviceOf{}).(*process)
	ts.Check(p.Process.Signal(syscall.SIGTERM))
	ts.Check(p.wait())
}

// get requests a URL with the key in a file ("-" for none), and compares the status of
// the answer with the first argument. It writes the body to the file body.
func get(ts *testscript.TestScript, _ bool, args []string) {
	r, err := http.NewRequest(http.MethodGet, args[2], nil)
	ts.Check(err)
	if args[1] != "-" {
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(args[1])))
	}
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("body"), body, 0o600))
	if fmt.Sprint(answer.StatusCode) != args[0] {
		ts.Fatalf("%s: %d %.300s, want %s", args[2], answer.StatusCode, body, args[0])
	}
}

// process is a callvault in the background.
type process struct {
	*exec.Cmd
	url, metrics string
	log          chan string // everything it wrote to standard error, once it has ended
	said         *sync.Map   // the msg of each line of that so far
}

// command prepares a callvault that is not started yet. It knows no data folder but the
// one that its arguments name.
func command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &exec.Cmd{Path: self, Args: append([]string{"callvault"}, args...)}
}

// patience is how long to wait for something that takes a moment, or longer on a busy
// machine.
const patience = 5 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never %s", what)
		}
	}
}

// start starts a service, and returns once it serves.
func start(c *exec.Cmd) (*process, error) {
	p := &process{Cmd: c, log: make(chan string, 1), said: &sync.Map{}}
	stderr, err := p.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	serving := make(chan bool, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, URL string }
			_ = json.Unmarshal(lines.Bytes(), &line) // a line that is not JSON is an error message
			switch line.Msg {
			case "metrics":
				p.metrics = line.URL
			case "serving":
				p.url = line.URL
				serving <- true
			}
			p.said.Store(line.Msg, true)
			all.WriteString(lines.Text() + "\n")
		}
		close(serving)
		p.log <- all.String()
	}()
	select {
	case ok := <-serving:
		if !ok {
			return nil, fmt.Errorf("%w: %s", p.Cmd.Wait(), <-p.log)
		}
	case <-time.After(patience):
		return nil, errors.Join(errors.New("it does not serve"), p.Process.Kill())
	}
	return p, nil
}

// wait waits for the process to end, and fails if it ends with an error.
func (p *process) wait() error {
	text := <-p.log
	if err := p.Cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// runOn runs a command to its end on a data folder.
func runOn(t *testing.T, data string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := command(append([]string{"--data", data}, args...)...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// must runs a command that must succeed, and returns what it printed.
func must(t *testing.T, data string, args ...string) string {
	t.Helper()
	stdout, stderr, status := runOn(t, data, args...)
	if status != 0 {
		t.Fatalf("callvault %q: exit status %d, %s", args, status, stderr)
	}
	return strings.TrimSpace(stdout)
}
