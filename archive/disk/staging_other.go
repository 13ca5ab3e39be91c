//go:build !unix

package disk

import (
	"os"
	"path/filepath"
	"time"
)

// lockStaging keeps a file open in the staging folder, because this system has no lock
// that ends with the process.
func lockStaging(dir string) (*os.File, error) {
	return os.Create(filepath.Join(dir, "in-use"))
}

// clearStaging removes the staging folders that are a day old.
func clearStaging(all string) error {
	dirs, err := os.ReadDir(all)
	if err != nil {
		return err
	}
	for _, entry := range dirs {
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(all, entry.Name())) // fails if it is still in use; a later Open tries again
		}
	}
	return nil
}

// syncDir does nothing: folders cannot be synced here.
func syncDir(string) error { return nil }
