//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/collect"
)

// pacedCollector is a service with clips and a data folder that collects from it
// at a provider's pace.
func pacedCollector(t *testing.T, clips int) (data string) {
	t.Helper()
	source, in := t.TempDir(), t.TempDir()
	for i, clip := range sampleClips(clips) {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("clip%d.opus", i)), clip, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, source, "tenant", "add", "acme-ns")
	key := must(t, source, "user", "add", "robot", "--tenant", "acme-ns")
	must(t, source, "import", "--tenant", "acme-ns", in)
	p := serving(t, source)
	data = t.TempDir()
	since := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	config := fmt.Sprintf("[[source]]\nname = \"true\"\nurl = %q\nkey_file = \"key\"\nsince = %q\n", p.url, since)
	if err := errors.Join(os.WriteFile(filepath.Join(data, "key"), []byte(key), 0o600),
		os.WriteFile(filepath.Join(data, "callvault.toml"), []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	return data
}

// heldBelow counts the recordings of acme-ns that have audio in a data folder.
func heldBelow(data string) int {
	held, _ := filepath.Glob(filepath.Join(data, "audio", "acme-ns", "*", "*", "*", "*.opus"))
	return len(held)
}

// TestServeWithoutKey: a missing key of a source does not stop a service from serving.
func TestServeWithoutKey(t *testing.T) {
	t.Parallel()
	data := pacedCollector(t, 1)
	if err := os.Remove(filepath.Join(data, "key")); err != nil {
		t.Fatal(err)
	}
	stop(t, serving(t, data))
}

// Ctrl-C ends a run soon; until then no other process can run over the source.
func TestInterruptedCollect(t *testing.T) {
	data := pacedCollector(t, 8)
	c := command("collect", "--data", data)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a recording held", func() bool { return heldBelow(data) > 0 })
	if _, stderr, status := runOn(t, data, "collect"); status != 1 || !strings.Contains(stderr, fmt.Sprintf("process %d since", c.Process.Pid)) {
		t.Errorf("a second run exits with %d: %s", status, stderr)
	}
	if _, stderr, status := runOn(t, data, "plan"); status != 1 || !strings.Contains(stderr, "try again when it has ended") {
		t.Errorf("a plan beside it exits with %d: %s", status, stderr)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("an interrupted run ends with %v, want exit status 130\n%s", err, out.String())
	}
	if _, _, status := runOn(t, data, "verify"); status != 0 {
		t.Errorf("what it held does not verify: exit status %d", status)
	}
}

// TestCollectAlerts: a run by hand, or by a timer, sends its result to the webhook.
func TestCollectAlerts(t *testing.T) {
	events := make(chan collect.Event, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e collect.Event
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, json.Unmarshal(body, &e)); err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte("shared"))
		mac.Write(body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Callvault-Signature") != want {
			t.Errorf("the signature is %q, want %q", r.Header.Get("X-Callvault-Signature"), want)
		}
		events <- e
	}))
	defer hook.Close()
	data := pacedCollector(t, 1)
	config := filepath.Join(data, "callvault.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "own_server = true\npace = \"0s\"\n[alerts]\nwebhook = %q\nsecret_file = \"secret\"\n", hook.URL)
	if err := errors.Join(os.WriteFile(config, text, 0o600), os.WriteFile(filepath.Join(data, "secret"), []byte("shared\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	must(t, data, "collect")
	if len(events) != 1 {
		t.Fatalf("%d events arrived, want 1", len(events))
	}
	if e := <-events; e.Event != collect.EventFinished || e.Source != "true" || e.Report == nil || e.Report.Held != 1 {
		t.Errorf("the event is %+v", e)
	}
}

// TestForPeople: errors are shown without the API's own status numbers, but with those
// of a source, which are often all there is to say.
func TestForPeople(t *testing.T) {
	for text, want := range map[string]string{
		"tenant x: 404 not_found":  "tenant x",
		"a\nb":                     "a; b",
		"a source says \x1b]0;x\a": "a source says  ]0;x ",
		"audio of k at h:80: answered with status 500, try again in 1s; x": "audio of k at h:80: answered with status 500, try again in 1s; x",
	} {
		if got := forPeople(errors.New(text)); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestSummary: the summary fits on a screen however much is missing, and no tenant hides
// what another lacks.
func TestSummary(t *testing.T) {
	closed := time.Date(2024, 2, 12, 3, 10, 0, 0, time.UTC).UnixMilli()
	r := &collect.Report{Source: "acme", Result: collect.Incomplete, Problems: []collect.Problem{{Reason: "the list failed"}}}
	for i := range 300 {
		one := collect.TenantReport{Tenant: fmt.Sprintf("t%03d", i), Lacking: 100}
		if i == 299 {
			one.Lacking, one.ClosedUntil = 101, &closed
		}
		r.Tenants = append(r.Tenants, one)
		for k := range one.Lacking {
			r.Problems = append(r.Problems, collect.Problem{Tenant: one.Tenant, Key: fmt.Sprint("k", k), Reason: "denied: no"})
		}
	}
	var out strings.Builder
	printReport(&out, r)
	if lines := strings.Count(out.String(), "\n"); lines > 24 {
		t.Errorf("%d lines:\n%s", lines, out.String())
	}
	for _, want := range []string{
		"  t299: 101 recordings are missing, closed for its egress limit until 2024-02-12 03:10:00Z\n", "the list failed\n",
		"  t000 k0: denied: no\n  t001 k0: denied: no\n", "and 29990 more; callvault status --days names all\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestSourceLine: status, too, warns when no run over a source has succeeded for long,
// for where no service watches.
func TestSourceLine(t *testing.T) {
	ran := time.Date(2024, 2, 12, 1, 0, 0, 0, time.UTC)
	at := ran.UnixMilli()
	s := &collect.SourceStatus{Source: "acme", URL: "u", LastRun: &collect.LastRun{StartedAt: at, Result: collect.Failed}, LastSuccessAt: &at}
	for after, want := range map[time.Duration]bool{25 * time.Hour: false, 27 * time.Hour: true} {
		if line := sourceLine(s, ran.Add(after)); strings.Contains(line, "no run has succeeded for 26 hours") != want {
			t.Errorf("after %v: %q", after, line)
		}
	}
}

// TestNoReport: a run that an error ended is left out of the JSON list of reports.
func TestNoReport(t *testing.T) {
	var out strings.Builder
	if err := printReports(&out, &options{json: true}, []*collect.Report{nil}); err != nil || out.String() != "[]\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

// TestPlanInterrupted: a plan that is interrupted at its very end is an error, not nil.
func TestPlanInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if plan, err := planAll(ctx, nil, nil); plan != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", plan, err)
	}
}
