package ingest

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file to be imported, and where its metadata is.
type File struct {
	Path string // of the audio; of the metadata if there is no audio
	Size int64  // in bytes

	sidecar  string            // path of a KEY.json; empty if there is none
	row      map[string]string // of a table, by field; nil if there is none
	noAudio  bool              // metadata of a recording without audio
	conflict string            // a field in which two rows differ
	table    string            // path of a table in its folder that cannot be read, and may describe it
}

// Scan finds the files to be imported below the paths: audio, and with it metadata in a
// KEY.json and in tables, which are CSV or JSON lines. It skips hidden files, unless they
// are among the paths. failures has an error for each path that cannot be read.
func Scan(paths []string) (files []File, failures map[string]error) {
	s := scan{
		failures: map[string]error{}, sidecars: map[string]string{}, rows: map[string]map[string]string{},
		conflicts: map[string]string{}, unread: map[string]string{}, seen: map[string]bool{},
	}
	for _, path := range paths {
		root := filepath.Clean(path) // as place makes the paths of rows
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			root += string(filepath.Separator) // follows a link to a folder
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case path == root || entry == nil || !strings.HasPrefix(entry.Name(), "."):
				return s.visit(path, entry, err)
			case entry.IsDir():
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			s.failures[path] = err
		}
	}
	s.lookBeside(paths)
	return s.match(), s.failures
}

// lookBeside reads the tables in the folders of files that were named one by one, such as
// by a shell's *.wav, for the rows about these files. It ignores tables that are not about
// audio.
func (s *scan) lookBeside(paths []string) {
	s.only = map[string]bool{}
	for _, path := range paths {
		if path = filepath.Clean(path); s.seen[path] {
			s.only[path], s.only[trimExt(path)] = true, true
		}
	}
	for _, dir := range foldersOf(s.only) {
		entries, _ := os.ReadDir(dir) // if it cannot be listed, its files can still be read
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if s.seen[path] || strings.HasPrefix(entry.Name(), ".") || !isTable(path) {
				continue
			}
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := s.readTable(path); err != nil && !errors.Is(err, errNoAudio) {
				s.unread[dir] = path
			}
		}
	}
}

// foldersOf returns the folders of the paths, each once.
func foldersOf(paths map[string]bool) []string {
	folders := map[string]bool{}
	for path := range paths {
		folders[filepath.Dir(path)] = true
	}
	return slices.Sorted(maps.Keys(folders))
}

// scan is what was found so far.
type scan struct {
	files     []File
	failures  map[string]error
	sidecars  map[string]string            // path of a KEY.json, by its path without extension
	rows      map[string]map[string]string // row of a table, by path of the audio, with or without extension
	conflicts map[string]string            // a field in which two rows differ, by path as in rows
	unread    map[string]string            // path of a table that cannot be read, by its folder
	seen      map[string]bool
	only      map[string]bool // keep only rows about these paths; nil: all
}

func (s *scan) visit(path string, entry fs.DirEntry, err error) error {
	switch {
	case err != nil:
		s.failures[path] = err
		return nil
	case entry.IsDir() || s.seen[path]:
		return nil
	}
	s.seen[path] = true
	info, err := os.Stat(path) // follows links
	switch {
	case err == nil && info.IsDir():
		err = errors.New("this is a link to a folder, which is not followed; name it to import what is in it")
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("this is not a regular file")
	}
	if err != nil {
		s.failures[path] = err
		return nil
	}
	switch {
	case strings.EqualFold(filepath.Ext(path), ".json"):
		s.sidecars[trimExt(path)] = path
	case isTable(path):
		if err := s.readTable(path); err != nil {
			s.failures[path] = err
			s.unread[filepath.Dir(path)] = path
		}
	default:
		s.files = append(s.files, File{Path: path, Size: info.Size()})
	}
	return nil
}

// isTable reports whether a path has the extension of a table.
func isTable(path string) bool {
	ext := filepath.Ext(path)
	return strings.EqualFold(ext, ".csv") || strings.EqualFold(ext, ".jsonl")
}

func trimExt(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }

// match matches audio with its metadata, and returns all files ordered by path.
func (s *scan) match() []File {
	for i := range s.files {
		f := &s.files[i]
		stem := trimExt(f.Path)
		f.sidecar = s.sidecars[stem]
		if byKey := s.rows[stem]; byKey != nil && stem != f.Path {
			s.merge(f.Path, maps.Clone(byKey))
		}
		f.row, f.conflict = s.rows[f.Path], cmp.Or(s.conflicts[stem], s.conflicts[f.Path])
		f.table = s.unread[filepath.Dir(f.Path)]
		if _, err := os.Stat(stem + ".json"); err == nil && f.sidecar == "" {
			f.sidecar = stem + ".json" // of a file that was named without it
		}
	}
	for i := range s.files { // in a second loop, as two files may have the same stem
		stem := trimExt(s.files[i].Path)
		delete(s.sidecars, stem)
		delete(s.rows, stem)
		delete(s.rows, s.files[i].Path)
	}
	for _, path := range s.sidecars {
		s.files = append(s.files, File{Path: path, sidecar: path, noAudio: true})
	}
	for stem, row := range s.rows {
		s.files = append(s.files, File{Path: stem, row: row, conflict: s.conflicts[stem], noAudio: true})
	}
	slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return s.files
}
