// Package disk keeps blobs as files in a folder.
//
// It knows keys and bytes, not what they mean. It promises that a blob is there
// whole or not at all, and that one which was put survives a power cut.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"callvault/owner"
)

// stagingDir holds files that are not blobs yet. No key begins with a dot.
const stagingDir = ".staging"

// Store is a folder of blobs. Several processes may use one folder.
type Store struct {
	root    string
	staging string
	lock    *os.File // nil where nothing can be written
}

// Open opens the folder, makes it if there is none, and clears away what
// processes that were killed had staged in it.
func Open(root string) (*Store, error) {
	all := filepath.Join(root, stagingDir)
	if err := owner.MkdirAll(all); err != nil {
		return nil, fmt.Errorf("audio folder: %w", err)
	}
	if err := clearStaging(all); err != nil {
		return nil, fmt.Errorf("audio folder: %w", err)
	}
	staging, err := os.MkdirTemp(all, "")
	if err != nil {
		return nil, fmt.Errorf("audio folder: %w", err)
	}
	owner.Give(staging)
	lock, err := lockStaging(staging)
	if err != nil {
		return nil, fmt.Errorf("audio folder: %w", err)
	}
	return &Store{root: root, staging: staging, lock: lock}, nil
}

// OpenReadOnly opens a folder in which nothing can be written.
func OpenReadOnly(root string) (*Store, error) {
	s := &Store{root: root, staging: filepath.Join(root, stagingDir)}
	return s, s.Ready(context.Background())
}

// Close clears away what is staged. Blobs stay.
func (s *Store) Close() error {
	if s.lock == nil { // as it is
		return nil
	}
	return errors.Join(os.RemoveAll(s.staging), s.lock.Close())
}

// gone says that the folder itself is not there any more, as when its disk was
// unmounted: whether a blob is in it is not known then.
type gone struct{ error }

// Unavailable tells that it may come back.
func (gone) Unavailable() bool { return true }

// Ready tells whether the folder that was opened is still where it was.
func (s *Store) Ready(context.Context) error {
	made := s.staging
	if s.lock == nil {
		made = s.root
	}
	if _, err := os.Stat(made); err != nil {
		return gone{fmt.Errorf("the folder of audio is not there any more: %v", err)}
	}
	return nil
}

// lookup gives an error met when looking for a blob its meaning: that it is not
// there is told only by the folder that was opened.
func (s *Store) lookup(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if gone := s.Ready(context.Background()); gone != nil {
			return gone
		}
	}
	return fmt.Errorf("blob: %w", err)
}

// Stage returns an empty file on the blobs' disk, which counts for nothing until
// Put makes it a blob. Discard ends it otherwise.
func (s *Store) Stage() (*os.File, error) {
	file, err := os.CreateTemp(s.staging, "")
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	owner.Give(file.Name())
	return file, nil
}

// Discard ends a staged file that did not become a blob. It does nothing to one
// that did.
func (s *Store) Discard(file *os.File) {
	if file.Close() == nil {
		_ = os.Remove(file.Name()) // what stays is cleared when the folder is next opened
	}
}

// Put makes the staged files blobs under their keys, in this order, over what
// was there: files[i] under keys[i]. When it returns nil, all are durable. After
// an error each is there whole or not at all. It closes the files.
func (s *Store) Put(ctx context.Context, keys []string, files []*os.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.syncFiles(files); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	changed := map[string]bool{} // folders with a new entry
	for i, key := range keys {
		name, err := s.name(key)
		if err != nil {
			return err
		}
		if err := s.makeDir(filepath.Dir(name), changed); err != nil {
			return err
		}
		if err := move(files[i], name); err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
		changed[filepath.Dir(name)] = true
	}
	if err := s.syncDirs(changed); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// move closes a staged file and gives it its name, or takes it away.
func move(file *os.File, name string) error {
	err := file.Close()
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// makeDir makes a folder and those above it, and notes which gained an entry.
func (s *Store) makeDir(dir string, changed map[string]bool) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		owner.Give(dir)
		changed[filepath.Dir(dir)] = true
	case errors.Is(err, fs.ErrExist):
	case errors.Is(err, fs.ErrNotExist) && dir != s.root:
		if err := s.makeDir(filepath.Dir(dir), changed); err != nil {
			return err
		}
		return s.makeDir(dir, changed)
	default:
		return fmt.Errorf("folder for a blob: %w", err)
	}
	return nil
}

// Open opens a blob for reading. One that is not there is fs.ErrNotExist; one
// that does not have size bytes is an error too.
func (s *Store) Open(_ context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, err
	}
	file, err := openFile(name)
	if err != nil {
		return nil, s.lookup(err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("blob %s has %d bytes, not %d", key, info.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Size is the number of bytes of a blob; fs.ErrNotExist when it is not there.
func (s *Store) Size(_ context.Context, key string) (int64, error) {
	name, err := s.name(key)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, s.lookup(err)
	}
	return info.Size(), nil
}

// Delete removes a blob. One that is not there is no error.
func (s *Store) Delete(_ context.Context, key string) error {
	name, err := s.name(key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// Keys yields the keys of all blobs that begin with prefix, in the order of
// their parts' names.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := fs.WalkDir(os.DirFS(s.root), ".", func(key string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && key != ".": // taken away since it was listed
				return nil
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case entry.IsDir() && skip(key, prefix):
				return fs.SkipDir
			case entry.IsDir() || hidden(key) || !strings.HasPrefix(key, prefix):
				return nil
			case !yield(key, nil):
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", fmt.Errorf("list blobs: %w", err))
		}
	}
}

// skip tells whether no key below the folder dir can begin with prefix.
func skip(dir, prefix string) bool {
	if dir == "." {
		return false
	}
	below := dir + "/"
	return hidden(dir) || !strings.HasPrefix(below, prefix) && !strings.HasPrefix(prefix, below)
}

// hidden tells whether a file is none of ours: no part of a key begins with a dot, and
// lost+found is the disk's own, which only root may read.
func hidden(key string) bool { return strings.HasPrefix(path.Base(key), ".") || key == "lost+found" }

// name is the file of a key, which must stay inside the folder: parts between
// slashes, none empty, none beginning with a dot.
func (s *Store) name(key string) (string, error) {
	if path.Clean(key) != key || !filepath.IsLocal(filepath.FromSlash(key)) || strings.HasPrefix(key, ".") || strings.Contains(key, "/.") {
		return "", fmt.Errorf("%q is not a blob's key", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}
