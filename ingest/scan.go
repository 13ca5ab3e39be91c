package ingest

import (
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

	"callvault"
)

// File is a file to be imported, with where its metadata stands.
type File struct {
	Path string // of the audio; of the metadata where there is no audio
	Size int64  // in bytes

	sidecar string            // path of a KEY.json; empty when there is none
	row     map[string]string // of a CSV, by field; nil when there is none
	noAudio bool              // metadata of a recording without audio
}

// Scan finds the files to be imported below the paths: audio, and beside it
// KEY.json and CSV files with its metadata. Hidden files are passed over. What
// cannot be read is told by failures, by path.
func Scan(paths []string) (files []File, failures map[string]error) {
	s := scan{failures: map[string]error{}, sidecars: map[string]string{}, rows: map[string]map[string]string{}, seen: map[string]bool{}}
	for _, path := range paths {
		if err := filepath.WalkDir(path, s.visit); err != nil {
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
	seen     map[string]bool
}

func (s *scan) visit(path string, entry fs.DirEntry, err error) error {
	hidden := strings.HasPrefix(entryName(entry), ".") && len(entryName(entry)) > 1 && entryName(entry) != ".."
	switch {
	case err != nil:
		s.failures[path] = err
		return nil
	case entry.IsDir() && hidden:
		return fs.SkipDir
	case entry.IsDir() || hidden || s.seen[path]:
		return nil
	}
	s.seen[path] = true
	switch stem := withoutEnding(path); strings.ToLower(filepath.Ext(path)) {
	case ".json":
		s.sidecars[stem] = path
	case ".csv":
		if err := s.readTable(path); err != nil {
			s.failures[path] = err
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

func entryName(entry fs.DirEntry) string {
	if entry == nil { // a path of the command line that is not there
		return ""
	}
	return entry.Name()
}

func withoutEnding(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }

// match brings audio and metadata together.
func (s *scan) match() []File {
	for i := range s.files {
		stem := withoutEnding(s.files[i].Path)
		s.files[i].sidecar, s.files[i].row = s.sidecars[stem], s.rows[stem]
		if s.files[i].row == nil {
			s.files[i].row = s.rows[s.files[i].Path]
		}
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

// readTable reads a CSV. A row belongs to the audio file that its column file
// names, or that is named as its recordingKey, in the same folder.
func (s *scan) readTable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	table := csv.NewReader(file)
	table.FieldsPerRecord = -1
	header, err := table.Read()
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	columns := make([]string, len(header))
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		at := slices.IndexFunc(tableFields, func(field string) bool { return strings.EqualFold(field, name) })
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
		row := map[string]string{}
		for i := range min(len(values), len(columns)) {
			if columns[i] != "" {
				row[columns[i]] = values[i]
			}
		}
		s.place(filepath.Dir(path), row)
	}
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

// tableRecording is what a row of a CSV tells. Numbers may be empty; the start
// is Unix milliseconds or ISO 8601.
func tableRecording(row map[string]string) (r callvault.Recording, err error) {
	number := func(field string) (n int64) {
		text := strings.TrimSpace(row[field])
		if text == "" || err != nil {
			return 0
		}
		if n, err = strconv.ParseInt(text, 10, 64); err != nil && field == "startTime" {
			n, err = callvault.ParseTime(text)
		}
		if err != nil {
			err = fmt.Errorf("the column %s holds %.40q: %w", field, text, callvault.InvalidParameter)
		}
		return n
	}
	r = callvault.Recording{
		RecordingKey: row["recordingKey"], CallKey: row["callKey"], StartTime: number("startTime"),
		Duration: number("duration"), Size: number("size"), EventID: number("eventId"),
		RecordingSystemID: number("recordingSystemId"), Status: callvault.Status(row["status"]),
		CallingParty: row["callingParty"], ReceivingParty: row["receivingParty"], TenantName: row["tenantName"],
		TagData: row["tagData"], CallDirection: row["callDirection"], Skill: row["skill"], Agent: row["agent"],
	}
	return r, err
}
