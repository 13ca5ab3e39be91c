//go:build unix

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callvault"
)

// TestImportShowsNames: the name of a customer's file cannot control the terminal of
// whoever imports it, and can still be recognized.
func TestImportShowsNames(t *testing.T) {
	data, in := t.TempDir(), t.TempDir()
	must(t, data, "tenant", "add", "acme-ns")
	for _, name := range []string{"evil\x1b]0;x\a.wav", "bad\xff.wav", "plain é.wav"} {
		if err := os.WriteFile(filepath.Join(in, name), []byte("no sound"), 0o600); err != nil {
			t.Skipf("no such name can be had here: %v", err)
		}
	}
	_, stderr, status := runOn(t, data, "import", "--tenant", "acme-ns", in)
	if status != exitIncomplete || strings.Count(stderr, "\n") != 3 || strings.ContainsAny(stderr, "\x1b\a") || strings.Contains(stderr, "\xff") {
		t.Errorf("%d: %q", status, stderr)
	}
	for _, name := range []string{`evil\x1b]0;x\a.wav`, `bad\xff.wav`, "/plain é.wav: "} {
		if !strings.Contains(stderr, name) {
			t.Errorf("%q does not name %s", stderr, name)
		}
	}
}

// TestImportEnds: an error that every further file would meet ends an import; one of a
// single file is reported, and the import goes on.
func TestImportEnds(t *testing.T) {
	for reason, ends := range map[error]bool{
		callvault.InsufficientStorage: true, callvault.Unavailable: true, context.Canceled: true,
		callvault.UnprocessableAudio: false, callvault.Conflict: false, fs.ErrPermission: false,
	} {
		done := &imported{}
		err := done.note("a.wav", 0, fmt.Errorf("store a.wav: %w", reason))
		if (err != nil) != ends || (len(done.Refused) == 0) != ends {
			t.Errorf("%v: returned %v, refused %v", reason, err, done.Refused)
		}
	}
}

// TestFaultsShowNames: the name of a file in the archive's folder cannot control the
// terminal of whoever verifies or rebuilds the archive.
func TestFaultsShowNames(t *testing.T) {
	data := t.TempDir()
	must(t, data, "tenant", "add", "acme-ns")
	dir := filepath.Join(data, "audio", "acme-ns", "2024", "01", "01")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "evil\x1b]0;x\a.json"), []byte("{"), 0o600); err != nil {
		t.Skipf("no such name can be had here: %v", err)
	}
	for _, command := range []string{"verify", "rebuild"} {
		stdout, _, status := runOn(t, data, command)
		if status != exitIncomplete || strings.ContainsAny(stdout, "\x1b\a") || !strings.HasPrefix(stdout, `"acme-ns/2024/01/01/evil\x1b]0;x\a.json": `) {
			t.Errorf("%s: %d %q", command, status, stdout)
		}
	}
}
