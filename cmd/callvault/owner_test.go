//go:build unix

package main

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
)

// TestAsRoot: commands that root runs on a service's folder leave nothing there that the
// service's own user cannot read or write.
func TestAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others: run this test as root")
	}
	t.Parallel()
	const service = 54321
	data := pacedCollector(t, 1)
	for _, name := range []string{data, filepath.Join(data, "key"), filepath.Join(data, "callvault.toml")} {
		if err := os.Chown(name, service, service); err != nil {
			t.Fatal(err)
		}
	}
	must(t, data, "tenant", "add", "beta-co")
	must(t, data, "collect")
	file := filepath.Join(t.TempDir(), "one.opus")
	if err := os.WriteFile(file, sampleClips(2)[1], 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, data, "import", "--tenant", "beta-co", file)
	serving(t, data) // at work, with its log of SQLite's and what it stages
	seen := 0
	err := filepath.WalkDir(data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != service {
			t.Errorf("%s belongs to user %d", name, info.Sys().(*syscall.Stat_t).Uid)
		}
		seen++
		return err
	})
	if err != nil || seen < 20 {
		t.Errorf("%d files and folders: %v", seen, err)
	}
}

// TestOperatorName: whoever runs a command has a name in the audit trail, or at least a
// number.
func TestOperatorName(t *testing.T) {
	for want, got := range map[string]string{
		"kelly":     operatorName(&user.User{Username: "kelly"}, nil, 1000),
		"uid 65532": operatorName(nil, user.UnknownUserIdError(65532), 65532),
		"unknown":   operatorName(nil, user.UnknownUserIdError(65532), -1),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
