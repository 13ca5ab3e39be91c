// Package owner creates folders and files that belong to the owner of the folder they are
// in. Without it, a service running as that owner could not read what root has created
// there.
//
// It does not care what is in them. If the process does not run as root, or the system does
// not let it change the owner, what it creates belongs to the process's own user.
package owner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// MkdirAll creates a folder, and those above it, with access for its owner alone. It is not
// an error if the folder exists.
func MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(dir); above != dir {
		if err := MkdirAll(above); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() { // another process has created it since
			return nil
		}
	}
	if err == nil {
		Give(dir)
	}
	return err
}

// Touch creates an empty file unless it exists. It returns no error: whoever opens the file
// next will meet it.
func Touch(path string) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = file.Close() // nothing was written to it
	Give(path)
}

// Give changes the owner of what was just created to that of the folder it is in.
func Give(path string) {
	if os.Geteuid() != 0 {
		return
	}
	above, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return
	}
	if uid, gid, ok := of(above); ok && uid != 0 {
		_ = os.Lchown(path, uid, gid) // Lchown, in case somebody has put a symbolic link there
	}
}
