package ingest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is a file to be imported, with where its metadata stands.
type File struct {
	Path string // of the audio; of the metadata where there is no audio
	Size int64  // in bytes

	sidecar string            // path of a KEY.json; empty when there is none
	row     map[string]string // of a table, by field; nil when there is none
	noAudio bool              // metadata of a recording without audio
	torn    string            // a field of which two rows tell differently
	table   string            // path of one in its folder that cannot be read, and may tell of it
}

// Scan finds the files to be imported below the paths: audio, and beside it
// KEY.json and tables, in CSV or JSON lines, with its metadata. Hidden files are passed over, but for
// the paths themselves. What cannot be read is told by failures, by path.
func Scan(paths []string) (files []File, failures map[string]error) {
	s := scan{
		failures: map[string]error{}, sidecars: map[string]string{}, rows: map[string]map[string]string{},
		torn: map[string]string{}, unread: map[string]string{}, seen: map[string]bool{},
	}
	for _, path := range paths {
		root := filepath.Clean(path) // as rows of tables name it
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

// lookBeside reads the tables in the folders of files that are named by themselves,
// as by a shell's *.wav, for what they tell of those. A table that tells of no audio
// is not meant for us here.
func (s *scan) lookBeside(paths []string) {
	s.only = map[string]bool{}
	for _, path := range paths {
		if path = filepath.Clean(path); s.seen[path] {
			s.only[path], s.only[withoutEnding(path)] = true, true
		}
	}
	for _, dir := range foldersOf(s.only) {
		entries, _ := os.ReadDir(dir) // where it cannot be listed, its files can still be read
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

// foldersOf is where the paths lie, each folder once.
func foldersOf(paths map[string]bool) []string {
	folders := map[string]bool{}
	for path := range paths {
		folders[filepath.Dir(path)] = true
	}
	return slices.Sorted(maps.Keys(folders))
}

// scan is what was found so far.
type scan struct {
	files    []File
	failures map[string]error
	sidecars map[string]string            // path of a KEY.json, by its path without ending
	rows     map[string]map[string]string // row of a table, by path, with its ending or without
	torn     map[string]string            // a field of which two rows tell differently, by their path
	unread   map[string]string            // path of a table that cannot be read, by its folder
	seen     map[string]bool
	only     map[string]bool // paths of which the rows to be read may tell; nil: of all
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
	info, err := os.Stat(path) // what a link leads to
	switch {
	case err == nil && info.IsDir():
		err = errors.New("this is a link to a folder, which is not followed: name it, if what is in it shall be imported")
	case err == nil && !info.Mode().IsRegular():
		err = errors.New("this is not a file")
	}
	if err != nil {
		s.failures[path] = err
		return nil
	}
	switch {
	case strings.EqualFold(filepath.Ext(path), ".json"):
		s.sidecars[withoutEnding(path)] = path
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

// isTable tells whether a path is that of a table, by its ending.
func isTable(path string) bool {
	ending := filepath.Ext(path)
	return strings.EqualFold(ending, ".csv") || strings.EqualFold(ending, ".jsonl")
}

func withoutEnding(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }

// match brings audio and metadata together.
func (s *scan) match() []File {
	for i := range s.files {
		f := &s.files[i]
		stem := withoutEnding(f.Path)
		f.sidecar, f.row = s.sidecars[stem], s.rows[f.Path]
		f.torn = s.torn[f.Path]
		if f.row == nil {
			f.row, f.torn = s.rows[stem], s.torn[stem]
		}
		f.table = s.unread[filepath.Dir(f.Path)]
		if _, err := os.Stat(stem + ".json"); err == nil && f.sidecar == "" {
			f.sidecar = stem + ".json" // beside a file that was named by itself
		}
	}
	for i := range s.files { // two files may have one stem
		stem := withoutEnding(s.files[i].Path)
		delete(s.sidecars, stem)
		delete(s.rows, stem)
		delete(s.rows, s.files[i].Path)
	}
	for _, path := range s.sidecars {
		s.files = append(s.files, File{Path: path, sidecar: path, noAudio: true})
	}
	for stem, row := range s.rows {
		s.files = append(s.files, File{Path: stem, row: row, torn: s.torn[stem], noAudio: true})
	}
	slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return s.files
}
