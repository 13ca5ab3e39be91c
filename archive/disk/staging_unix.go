//go:build unix

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockStaging marks a staging folder as in use. The mark lasts as long as the file is open,
// at most until the process ends, however it ends.
func lockStaging(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
	}
	return file, nil
}

// settled is the age at which a staging folder has certainly been locked by its creator.
const settled = time.Minute

// clearStaging removes the staging folders that are no longer in use.
func clearStaging(all string) error {
	dirs, err := os.ReadDir(all)
	if err != nil {
		return err
	}
	for _, entry := range dirs {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < settled {
			continue
		}
		dir := filepath.Join(all, entry.Name())
		file, err := os.Open(dir)
		if err != nil {
			continue // gone already
		}
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.RemoveAll(dir)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the entries of a folder durable.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
