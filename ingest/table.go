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

// tableFields are the fields of a table that are read: the seed's, and the one that
// names the audio file.
var tableFields = []string{
	"recordingKey", "callKey", "startTime", "duration", "size", "eventId", "recordingSystemId", "status",
	"callingParty", "receivingParty", "tenantName", "tagData", "callDirection", "skill", "agent", "file",
}

// errNoAudio says that a table tells of no audio.
var errNoAudio = errors.New("belongs to no audio")

// readTable reads what a table tells of audio; errNoAudio where it is no such table.
func (s *scan) readTable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	text := bufio.NewReader(file)
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		_, _ = text.Discard(len(mark)) // which would hide the quotes of the first name
	} else if strings.HasPrefix(string(mark), "\xff\xfe") || strings.HasPrefix(string(mark), "\xfe\xff") {
		return errors.New("it is UTF-16, which a spreadsheet calls Unicode text; save it as UTF-8")
	}
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return s.readRows(filepath.Dir(path), text)
	}
	return s.readLines(filepath.Dir(path), text)
}

// readLines reads JSON lines: each is a recording as the API publishes it, with the
// name of its file, and its call where that is told, as an export writes them.
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
			if told := line[field]; json.Unmarshal(told, &words) != nil {
				words = string(told) // a number
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

// readRows reads a CSV. A row belongs to the audio file that its column file
// names, or that is named as its recordingKey, in the CSV's folder. Its columns
// are parted by commas, semicolons or tabs.
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
			return fmt.Errorf("its header has the column %s twice; take one of them away", tableFields[at])
		}
		columns[i] = tableFields[at]
	}
	if !slices.Contains(columns, "file") && !slices.Contains(columns, "recordingKey") {
		return fmt.Errorf("its header has neither a column file nor a column recordingKey, so what stands in it %w", errNoAudio)
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
		if strings.Join(values[min(len(values), len(columns)):], "") != "" { // else each value may stand under its neighbour's name
			line, _ := table.FieldPos(0)
			return fmt.Errorf("line %d has %d values for %d columns; put a value that holds a %q into quotes", line, len(values), len(columns), table.Comma)
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

// separator is what parts the columns of a CSV: what a first line such as sep=; says,
// which spreadsheets write and read over, or what stands most often in the header.
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

// withoutGuard takes away the apostrophe by which an export keeps a spreadsheet from
// taking a text for a formula. The text may have had apostrophes of its own before.
func withoutGuard(text string) string {
	rest, guarded := strings.CutPrefix(text, "'")
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeft(rest, "'")); guarded && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return rest
	}
	return text
}

// unbroken has one form for all line breaks: a CSV keeps none apart, JSON lines do.
var unbroken = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// place keeps a row for its audio; false when it tells of none. Two that tell of one
// audio complete each other; where they differ neither is believed.
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
	if s.only != nil && !s.only[path] {
		return true
	}
	for field, value := range s.rows[path] {
		switch {
		case row[field] == "":
			row[field] = value
		case value == "" || value == row[field]:
		case unbroken.Replace(value) != unbroken.Replace(row[field]):
			s.torn[path] = field
		case strings.Contains(value, "\r"):
			row[field] = value
		}
	}
	s.rows[path] = row
	return true
}

// readRow puts what a row of a table tells into r; an empty field tells nothing.
// zone is the tenant's own, nil when it is not known.
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
			if n, err = startTold(text, zone); err != nil {
				return fmt.Errorf("the column startTime: %w", err)
			}
		default:
			return fmt.Errorf("the column %s holds %.40q, not a whole number: %w", field, text, callvault.InvalidParameter)
		}
		*to = n
	}
	return nil
}

// localForms are times of day without an offset, as spreadsheets and call detail
// records have them; a fraction may follow the seconds.
var localForms = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "20060102 150405", "20060102 1504"}

// unspaced brings an offset up to its time of day.
var unspaced = strings.NewReplacer(" +", "+", " -", "-")

// startTold reads ISO 8601, with a space for the T too, in Unix milliseconds; the
// time without an offset is that of zone.
func startTold(text string, zone *time.Location) (int64, error) {
	date, clock, _ := strings.Cut(strings.Replace(text, "T", " ", 1), " ")
	if zone != nil {
		for _, form := range localForms {
			if start, err := time.ParseInLocation(form, date+" "+clock, zone); err == nil {
				return start.UnixMilli(), nil
			}
		}
	}
	ms, err := callvault.ParseTime(date + "T" + unspaced.Replace(clock))
	if err != nil && zone == nil {
		err = fmt.Errorf("%w; where it is the tenant's own time, say its zone first: tenant set --time-zone", err)
	}
	return ms, err
}
