package disk

import "os"

// syncFiles makes the bytes of the files durable. If there are many, one sync of the whole
// file system, where the system has such a call, is cheaper than one sync for each.
func (s *Store) syncFiles(files []*os.File) error {
	if len(files) > fewFiles {
		return syncFileSystem(s.lock)
	}
	for _, file := range files {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// syncDirs makes the entries of the folders durable.
func (s *Store) syncDirs(dirs map[string]bool) error {
	if len(dirs) > fewFiles {
		return syncFileSystem(s.lock)
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
