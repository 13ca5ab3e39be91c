// Package disk stores blobs as files in a folder.
//
// It knows keys and bytes, not what they mean. It promises that a blob is there whole or
// not at all, and that a blob survives a power cut once Put has returned.
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

// Store is a folder of blobs. Several processes may use the same folder.
type Store struct {
	root    string
	staging string   // this process's own folder in stagingDir
	lock    *os.File // marks staging as in use; nil if the store is read-only
}

// Open opens the folder, or creates it, and removes what processes that were killed had
// staged in it.
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

// OpenReadOnly opens a folder without writing to it.
func OpenReadOnly(root string) (*Store, error) {
	s := &Store{root: root, staging: filepath.Join(root, stagingDir)}
	return s, s.Ready(context.Background())
}

// Close removes what is still staged.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(s.staging), s.lock.Close())
}

// gone is the error when the folder itself is no longer there, as after its disk was
// unmounted. Then nobody knows whether it has a blob.
type gone struct{ error }

// Unavailable reports that the folder may come back.
func (gone) Unavailable() bool { return true }

// Ready returns an error if the folder that was opened is no longer there. It looks for
// the staging folder, which another disk mounted in its place would not have.
func (s *Store) Ready(context.Context) error {
	made := s.staging
	if s.lock == nil {
		made = s.root
	}
	if _, err := os.Stat(made); err != nil {
		return gone{fmt.Errorf("the folder that was opened is no longer there: %v", err)}
	}
	return nil
}

// orGone returns err, unless it says that a file does not exist and the whole folder is
// gone: then it returns that instead.
func (s *Store) orGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if gone := s.Ready(context.Background()); gone != nil {
			return gone
		}
	}
	return err
}

// Stage returns an empty file on the blobs' disk, which becomes a blob with Put, or is
// removed with Discard.
func (s *Store) Stage() (*os.File, error) {
	file, err := os.CreateTemp(s.staging, "")
	if err != nil {
		return nil, fmt.Errorf("stage: %w", s.orGone(err))
	}
	owner.Give(file.Name())
	return file, nil
}

// Discard closes and removes a staged file. It does nothing once Put has closed the file.
func (s *Store) Discard(file *os.File) {
	if file.Close() == nil {
		_ = os.Remove(file.Name()) // if this fails, a later Open removes it
	}
}

// Put turns staged files into blobs, files[i] under keys[i], in this order, replacing what
// was there. When it returns nil, all of them are durable. After an error, each is there
// whole or not at all, and files that were not put must be discarded.
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
		dir := filepath.Dir(name)
		if !changed[dir] {
			if err := s.makeDir(dir, changed); err != nil {
				return s.orGone(err)
			}
		}
		if err := move(files[i], name); err != nil {
			return fmt.Errorf("put %s: %w", key, s.orGone(err))
		}
		changed[dir] = true
	}
	if err := s.syncDirs(changed); err != nil {
		return fmt.Errorf("sync: %w", s.orGone(err))
	}
	return nil
}

// move closes a staged file and renames it to its final name, or removes it.
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

// makeDir creates a folder and those above it, and notes in changed which folders gained
// an entry.
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

// Open opens a blob for reading. The error is fs.ErrNotExist if there is no such blob. It
// is also an error if the blob does not have size bytes.
func (s *Store) Open(_ context.Context, key string, size int64) (io.ReadSeekCloser, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, err
	}
	file, err := openFile(name)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", s.orGone(err))
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

// Size returns the size of a blob in bytes, or fs.ErrNotExist.
func (s *Store) Size(_ context.Context, key string) (int64, error) {
	name, err := s.name(key)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, fmt.Errorf("blob: %w", s.orGone(err))
	}
	return info.Size(), nil
}

// Delete removes a blob. It is not an error if there is none.
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

// Keys yields the keys of all blobs that begin with prefix, ordered part by part.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		stopped := false
		err := fs.WalkDir(os.DirFS(s.root), ".", func(key string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && key != ".": // deleted since its folder was listed
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
				stopped = true
				return fs.SkipAll
			}
			return nil
		})
		if err == nil && !stopped {
			err = s.Ready(ctx) // an unmounted disk leaves an empty folder
		}
		if err != nil {
			yield("", fmt.Errorf("list blobs: %w", err))
		}
	}
}

// skip reports whether no key below the folder dir can begin with prefix.
func skip(dir, prefix string) bool {
	if dir == "." {
		return false
	}
	below := dir + "/"
	return hidden(dir) || !strings.HasPrefix(below, prefix) && !strings.HasPrefix(prefix, below)
}

// hidden reports whether a file is not a blob's: no part of a key begins with a dot, and
// lost+found belongs to the file system and may be read only by root.
func hidden(key string) bool { return strings.HasPrefix(path.Base(key), ".") || key == "lost+found" }

// name returns the file of a key, and refuses keys that would lead out of the folder. The
// parts of a key, between slashes, are not empty and do not begin with a dot.
func (s *Store) name(key string) (string, error) {
	if path.Clean(key) != key || !filepath.IsLocal(filepath.FromSlash(key)) || strings.HasPrefix(key, ".") || strings.Contains(key, "/.") {
		return "", fmt.Errorf("%q is not a blob's key", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}
