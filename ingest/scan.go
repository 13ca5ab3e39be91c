package ingest

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"callvault"
)

// File is a file to be imported, with where its metadata stands.
type File struct {
	Path string // of the audio; of the metadata where there is no audio
	Size int64  // in bytes

	sidecar string            // path of a KEY.json; empty when there is none
	row     map[string]string // of a CSV, by field; nil when there is none
	noAudio bool              // metadata of a recording without audio
	table   string            // path of a CSV in its folder that cannot be read, and may tell of it
}

// Scan finds the files to be imported below the paths: audio, and beside it
// KEY.json and CSV files with its metadata. Hidden files are passed over, but for
// the paths themselves. What cannot be read is told by failures, by path.
func Scan(paths []string) (files []File, failures map[string]error) {
	s := scan{
		failures: map[string]error{}, sidecars: map[string]string{}, rows: map[string]map[string]string{},
		unread: map[string]string{}, seen: map[string]bool{},
	}
	for _, path := range paths {
		root := path
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			root = filepath.Clean(path) + string(filepath.Separator) // follows a link to a folder
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
	return s.match(), s.failures
}

// scan is what was found so far.
type scan struct {
	files    []File
	failures map[string]error
	sidecars map[string]string            // path of a KEY.json, by its path without ending
	rows     map[string]map[string]string // row of a CSV, by path without ending
	unread   map[string]string            // path of a CSV that cannot be read, by its folder
	seen     map[string]bool
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
	switch stem := withoutEnding(path); strings.ToLower(filepath.Ext(path)) {
	case ".json":
		s.sidecars[stem] = path
	case ".csv":
		if err := s.readTable(path); err != nil {
			s.failures[path] = err
			s.unread[filepath.Dir(path)] = path
		}
	default:
		info, err := os.Stat(path) // what a link leads to
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("this is not a file")
		}
		if err != nil {
			s.failures[path] = err
			return nil
		}
		s.files = append(s.files, File{Path: path, Size: info.Size()})
	}
	return nil
}

func withoutEnding(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }

// match brings audio and metadata together.
func (s *scan) match() []File {
	for i := range s.files {
		f := &s.files[i]
		stem := withoutEnding(f.Path)
		f.sidecar, f.row = s.sidecars[stem], s.rows[f.Path]
		if f.row == nil {
			f.row = s.rows[stem]
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
		s.files = append(s.files, File{Path: stem, row: row, noAudio: true})
	}
	slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return s.files
}

// tableFields are the columns of a CSV that are read: the seed's, and those that
// name the audio file.
var tableFields = []string{
	"recordingKey", "callKey", "startTime", "duration", "size", "eventId", "recordingSystemId", "status",
	"callingParty", "receivingParty", "tenantName", "tagData", "callDirection", "skill", "agent", "file",
}

func (s *scan) readTable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.readRows(filepath.Dir(path), file)
}

// readRows reads a CSV. A row belongs to the audio file that its column file
// names, or that is named as its recordingKey, in the CSV's folder. Its columns
// are parted by commas, semicolons or tabs.
func (s *scan) readRows(dir string, text io.Reader) error {
	buffered := bufio.NewReader(text)
	if mark, _ := buffered.Peek(3); string(mark) == "\ufeff" {
		_, _ = buffered.Discard(len(mark)) // which would hide the quotes of the first name
	}
	table := csv.NewReader(buffered)
	table.Comma, table.FieldsPerRecord = separator(buffered), -1
	header, err := table.Read()
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	columns := make([]string, len(header))
	for i, name := range header {
		at := slices.IndexFunc(tableFields, func(field string) bool { return strings.EqualFold(field, strings.TrimSpace(name)) })
		if at >= 0 {
			columns[i] = tableFields[at]
		}
	}
	if !slices.Contains(columns, "file") && !slices.Contains(columns, "recordingKey") {
		return errors.New("its header has neither a column file nor a column recordingKey, so its rows belong to no audio")
	}
	for {
		values, err := table.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !utf8.ValidString(strings.Join(values, "")) {
			return errors.New("it is not UTF-8; save it as UTF-8")
		}
		row := map[string]string{}
		for i := range min(len(values), len(columns)) {
			if columns[i] != "" {
				row[columns[i]] = values[i]
			}
		}
		s.place(dir, row)
	}
}

// separator is what parts the columns of a CSV most often in its first line.
func separator(text *bufio.Reader) rune {
	start, _ := text.Peek(text.Size())
	header, _, _ := strings.Cut(string(start), "\n")
	best := ','
	for _, other := range ";\t" {
		if strings.Count(header, string(other)) > strings.Count(header, string(best)) {
			best = other
		}
	}
	return best
}

func (s *scan) place(dir string, row map[string]string) {
	switch {
	case row["file"] != "" && filepath.IsAbs(row["file"]):
		s.rows[filepath.Clean(row["file"])] = row
	case row["file"] != "":
		s.rows[filepath.Join(dir, row["file"])] = row
	case row["recordingKey"] != "":
		s.rows[filepath.Join(dir, row["recordingKey"])] = row
	}
}

// readRow puts what a row of a CSV tells into r; an empty field tells nothing.
// The start is Unix milliseconds or ISO 8601.
func readRow(row map[string]string, r *callvault.Recording) error {
	status := (*string)(&r.Status)
	for field, to := range map[string]*string{
		"recordingKey": &r.RecordingKey, "callKey": &r.CallKey, "status": status, "callingParty": &r.CallingParty,
		"receivingParty": &r.ReceivingParty, "tenantName": &r.TenantName, "tagData": &r.TagData,
		"callDirection": &r.CallDirection, "skill": &r.Skill, "agent": &r.Agent,
	} {
		if row[field] != "" {
			*to = row[field]
		}
	}
	for field, to := range map[string]*int64{
		"startTime": &r.StartTime, "duration": &r.Duration, "size": &r.Size, "eventId": &r.EventID,
		"recordingSystemId": &r.RecordingSystemID,
	} {
		text := strings.TrimSpace(row[field])
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil && field == "startTime" {
			n, err = callvault.ParseTime(text)
		}
		if err != nil {
			return fmt.Errorf("the column %s holds %.40q: %w", field, text, callvault.InvalidParameter)
		}
		*to = n
	}
	return nil
}
