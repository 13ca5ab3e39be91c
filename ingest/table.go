package ingest

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callvault"
)

// tableFields are the fields of a table that are used: those of a Recording, and the one
// that names the audio file.
var tableFields = []string{
	"recordingKey", "callKey", "startTime", "duration", "size", "eventId", "recordingSystemId", "status",
	"callingParty", "receivingParty", "tenantName", "tagData", "callDirection", "skill", "agent", "file",
}

// errNoAudio means that a table is not about audio.
var errNoAudio = errors.New("belongs to no audio")

// readTable reads a table with metadata of audio. If the table is about something else
// the error wraps errNoAudio.
func (s *scan) readTable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	text := bufio.NewReader(file)
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		_, _ = text.Discard(len(mark)) // it would hide the quotes of the first name
	} else if strings.HasPrefix(string(mark), "\xff\xfe") || strings.HasPrefix(string(mark), "\xfe\xff") {
		return errors.New("it is UTF-16, which spreadsheets call Unicode text; save it as UTF-8")
	}
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return s.readRows(filepath.Dir(path), text)
	}
	return s.readLines(filepath.Dir(path), text)
}

// readLines reads JSON lines. Each is a recording as the API publishes it, with the name
// of its file and, optionally, its call, as an export writes them.
func (s *scan) readLines(dir string, text io.Reader) error {
	lines := json.NewDecoder(text)
	for n := 1; ; n++ {
		var text json.RawMessage
		err := lines.Decode(&text)
		if errors.Is(err, io.EOF) {
			return nil
		}
		var line map[string]json.RawMessage
		if err == nil {
			err = checkUnicode(text)
		}
		if err == nil {
			err = json.Unmarshal(text, &line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		row := map[string]string{}
		for _, field := range tableFields {
			var words string
			if value := line[field]; json.Unmarshal(value, &words) != nil {
				words = string(value) // a number
			}
			row[field] = words
		}
		if call := line["call"]; string(call) != "null" {
			row["call"] = string(call)
		}
		if !s.place(dir, row) {
			return fmt.Errorf("line %d has neither a file nor a recordingKey, so it %w", n, errNoAudio)
		}
	}
}

// readRows reads a CSV. A row belongs to the audio file that its column file names, or
// otherwise to the one in the CSV's folder that is named like its recordingKey.
func (s *scan) readRows(dir string, text *bufio.Reader) error {
	table := csv.NewReader(text)
	table.Comma, table.FieldsPerRecord = separator(text), -1
	header, err := table.Read()
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	columns := make([]string, len(header))
	for i, name := range header {
		at := slices.IndexFunc(tableFields, func(field string) bool { return strings.EqualFold(field, strings.TrimSpace(name)) })
		if at < 0 {
			continue
		}
		if slices.Contains(columns, tableFields[at]) {
			return fmt.Errorf("its header has the column %s twice; remove one of them", tableFields[at])
		}
		columns[i] = tableFields[at]
	}
	if !slices.Contains(columns, "file") && !slices.Contains(columns, "recordingKey") {
		return fmt.Errorf("its header has neither a column file nor a column recordingKey, so it %w", errNoAudio)
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
		if strings.Join(values[min(len(values), len(columns)):], "") != "" { // the values may be in the wrong columns
			line, _ := table.FieldPos(0)
			return fmt.Errorf("line %d has %d values for %d columns; put values that contain a %q in quotes", line, len(values), len(columns), table.Comma)
		}
		row := map[string]string{}
		for i := range min(len(values), len(columns)) {
			if columns[i] != "" {
				row[columns[i]] = withoutGuard(values[i])
			}
		}
		s.place(dir, row)
	}
}

// separator returns the separator of the columns of a CSV. If the first line is like
// sep=; (spreadsheets write and understand such lines) it is that one, and the line is
// skipped. Otherwise it is the comma, semicolon or tab that is most frequent in the
// header.
func separator(text *bufio.Reader) rune {
	if hint, _ := text.Peek(5); len(hint) == 5 && strings.EqualFold(string(hint[:4]), "sep=") {
		_, _ = text.ReadString('\n')
		return rune(hint[4])
	}
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

// withoutGuard removes the apostrophe with which an export keeps spreadsheets from
// taking a text for a formula. The text may have begun with apostrophes of its own.
func withoutGuard(text string) string {
	rest, guarded := strings.CutPrefix(text, "'")
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeft(rest, "'")); guarded && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return rest
	}
	return text
}

// lineBreaks turns all line breaks into \n. JSON lines preserve their form, a CSV does
// not.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// place files a row under the path of its audio, and reports whether it names any.
func (s *scan) place(dir string, row map[string]string) bool {
	path := ""
	switch {
	case row["file"] != "" && filepath.IsAbs(row["file"]):
		path = filepath.Clean(row["file"])
	case row["file"] != "":
		path = filepath.Join(dir, row["file"])
	case row["recordingKey"] != "":
		path = filepath.Join(dir, row["recordingKey"])
	default:
		return false
	}
	if s.only == nil || s.only[path] {
		s.merge(path, row)
	}
	return true
}

// merge adds a row to what is known of the audio at path. Two rows for the same audio
// complete each other; if they differ it is a conflict.
func (s *scan) merge(path string, row map[string]string) {
	for field, value := range s.rows[path] {
		switch {
		case row[field] == "":
			row[field] = value
		case value == "" || value == row[field]:
		case lineBreaks.Replace(value) != lineBreaks.Replace(row[field]):
			s.conflicts[path] = field
		case strings.Contains(value, "\r"):
			row[field] = value
		}
	}
	s.rows[path] = row
}

// readRow sets the fields of r from a row of a table, except those that are empty in the
// row. zone is the tenant's time zone, nil if unknown.
func readRow(row map[string]string, zone *time.Location, r *callvault.Recording) error {
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
		switch {
		case err == nil:
		case field == "startTime":
			if n, err = parseStart(text, zone); err != nil {
				return fmt.Errorf("the column startTime: %w", err)
			}
		default:
			return fmt.Errorf("the column %s holds %.40q, not a whole number: %w", field, text, callvault.InvalidParameter)
		}
		*to = n
	}
	return nil
}

// localForms are the forms of times without an offset in spreadsheets and call detail
// records. A fraction may follow the seconds.
var localForms = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "20060102 150405", "20060102 1504"}

// offsetSpace removes the space before an offset.
var offsetSpace = strings.NewReplacer(" +", "+", " -", "-")

// parseStart parses ISO 8601, in which a space may stand for the T, and returns Unix
// milliseconds. A time without an offset is in zone.
func parseStart(text string, zone *time.Location) (int64, error) {
	date, clock, _ := strings.Cut(strings.Replace(text, "T", " ", 1), " ")
	if zone != nil {
		for _, form := range localForms {
			if start, err := time.ParseInLocation(form, date+" "+clock, zone); err == nil {
				return start.UnixMilli(), nil
			}
		}
	}
	ms, err := callvault.ParseTime(date + "T" + offsetSpace.Replace(clock))
	if err != nil && zone == nil {
		err = fmt.Errorf("%w; if it is the tenant's local time, set the time zone first: tenant set --time-zone", err)
	}
	return ms, err
}
