package owner_test

import (
	"os"
	"path/filepath"
	"testing"

	"callvault/owner"
)

func TestWhatIsThereStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := owner.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "c")
	owner.Touch(file)
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	owner.Touch(file)
	if text, err := os.ReadFile(file); string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
	for _, path := range []string{file, filepath.Join(file, "d")} {
		if err := owner.MkdirAll(path); err == nil {
			t.Errorf("%s became a folder", path)
		}
	}
	owner.Touch(filepath.Join(file, "d")) // impossible, and not an error here
}
