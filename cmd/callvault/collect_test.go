package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// Ctrl-C ends a run soon, and another process is kept from the source until then.
func TestInterruptedCollect(t *testing.T) {
	data := pacedCollector(t, 8)
	c := command("collect", "--data", data)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if held, _ := filepath.Glob(filepath.Join(data, "audio", "acme-ns", "*", "*", "*", "*.opus")); len(held) > 0 {
			break
		}
	}
	if _, stderr, status := runOn(t, data, "collect"); status != 1 || !strings.Contains(stderr, fmt.Sprintf("process %d since", c.Process.Pid)) {
		t.Errorf("a second run exits with %d: %s", status, stderr)
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
