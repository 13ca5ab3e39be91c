// Package owner makes folders and files for whom the folder belongs that they are made
// in: what root made for himself there, that user's service could not read.
//
// It knows nothing of what is in them. Where this process is not root's, or the system
// does not let it give things away, what it makes is its own.
package owner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// MkdirAll makes a folder, and those above it, for this user alone. One that is there is
// no error.
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
		if info, err := os.Stat(dir); err == nil && info.IsDir() { // by another process, since
			return nil
		}
	}
	if err == nil {
		Give(dir)
	}
	return err
}

// Touch makes an empty file unless it is there. What keeps it from that is for who opens
// the file to tell.
func Touch(path string) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = file.Close() // nothing was written to it
	Give(path)
}

// Give gives what was just made to whom the folder belongs that it is in.
func Give(path string) {
	if os.Geteuid() != 0 {
		return
	}
	above, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return
	}
	if uid, gid, ok := of(above); ok && uid != 0 {
		_ = os.Lchown(path, uid, gid) // of no other file, should somebody have put a link there
	}
}
