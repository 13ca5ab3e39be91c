package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"callvault"
)

func TestNamesOfPBXs(t *testing.T) {
	const start = 1707770449 // 2024-02-12 13:40:49 in Denver
	for name, want := range map[string]callvault.Recording{
		// FreePBX: kind, called, caller, local time, unique id.
		"in-7035559310-13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "13855554334", ReceivingParty: "7035559310", StartTime: start * 1000},
		"out-17035559310-253-20240212-134049-1707770440.12": {
			CallDirection: "OUTBOUND", CallingParty: "253", ReceivingParty: "17035559310", Agent: "253", StartTime: start * 1000},
		"exten-256-253-20240212-134049-1707770440.12": {
			CallDirection: "INTERNAL", CallingParty: "253", ReceivingParty: "256", Agent: "256", StartTime: start * 1000},
		"internal-256-253-20240212-134049-1707770440.12": {
			CallDirection: "INTERNAL", CallingParty: "253", ReceivingParty: "256", Agent: "256", StartTime: start * 1000},
		"exten-256-13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "13855554334", ReceivingParty: "256", Agent: "256", StartTime: start * 1000},
		"q-600-13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "13855554334", ReceivingParty: "600", Skill: "600", StartTime: start * 1000},
		"rg-601-253-20240212-134049-pbx1-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "253", ReceivingParty: "601", Skill: "601", StartTime: start * 1000},
		"in-sales-desk-+13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "+13855554334", ReceivingParty: "sales-desk", StartTime: start * 1000},
		"in--anonymous-20240212-134049-x": {
			CallDirection: "INBOUND", CallingParty: "anonymous", StartTime: start * 1000},
		"external-256-13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "13855554334", ReceivingParty: "256", Agent: "256", StartTime: start * 1000},
		"force-17035559310-253-20240212-134049-1707770440.12": {
			CallDirection: "OUTBOUND", CallingParty: "253", ReceivingParty: "17035559310", Agent: "253", StartTime: start * 1000},
		"generic-7035559310-13855554334-20240212-134049-1707770440.12": {
			CallDirection: "INBOUND", CallingParty: "13855554334", ReceivingParty: "7035559310", StartTime: start * 1000},
		"conf-8000-8000-20240212-134049-1707770440.12": {
			CallDirection: "INTERNAL", CallingParty: "8000", ReceivingParty: "8000", StartTime: start * 1000},
		// Asterisk: local time, then whatever the dialplan says.
		"20240212-134049":                               {StartTime: start * 1000},
		"20240212-134049-1707770440.12":                 {StartTime: start * 1000},
		"20240212-134049-253-17035559310":               {CallDirection: "OUTBOUND", CallingParty: "253", ReceivingParty: "17035559310", StartTime: start * 1000},
		"20240212-134049-17035559310-253-1707770440.12": {CallDirection: "INBOUND", CallingParty: "17035559310", ReceivingParty: "253", StartTime: start * 1000},
		"1707770449.12":                                 {StartTime: start * 1000},
		"pbx1-1707770449.12":                            {StartTime: start * 1000},
		// Names of no known form.
		"voice memo":        {},
		"20240212":          {},
		"20241312-134049":   {},
		"20240212-254049":   {},
		"00000000-000000":   {},
		"00010101-000000":   {},
		"in-1-2-3":          {},
		"x-20240212-134049": {},
		"91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131": {},
		"": {},
	} {
		denver, err := time.LoadLocation("America/Denver")
		if err != nil {
			t.Fatal(err)
		}
		told := parseName(name, denver)
		if got := told.recording(); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

// TestTimeInNames: the local time if the tenant's zone is known, and otherwise the unique
// id's. When clocks are set back an hour occurs twice; the id says which one is meant.
func TestTimeInNames(t *testing.T) {
	at := func(text string) int64 {
		ms, err := callvault.ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	id := func(text string) string { return fmt.Sprintf("-%d.7", at(text)/1000) }
	for _, c := range []struct{ zone, local, id, want string }{
		{"", "20240212-134049", "", "2024-02-12T13:40:49Z"},
		{"", "20240212-134049", id("2024-02-12T20:40:49Z"), "2024-02-12T20:40:49Z"},
		{"UTC", "20240212-134049", id("2024-02-12T20:40:49Z"), "2024-02-12T13:40:49Z"},
		{"America/Denver", "20240212-134049", "", "2024-02-12T13:40:49-07:00"},
		{"America/Denver", "20240712-134049", "", "2024-07-12T13:40:49-06:00"},
		{"Europe/Berlin", "20240712-134049", id("2024-07-12T13:20:00+02:00"), "2024-07-12T13:40:49+02:00"},
		{"Asia/Kolkata", "20240712-134049", "", "2024-07-12T13:40:49+05:30"},
		// Set back: 01:30 in Denver on 3 November, 02:30 in Berlin on 27 October.
		{"America/Denver", "20241103-013000", id("2024-11-03T01:29:00-06:00"), "2024-11-03T01:30:00-06:00"},
		{"America/Denver", "20241103-013000", id("2024-11-03T01:30:20-06:00"), "2024-11-03T01:30:00-06:00"},
		{"America/Denver", "20241103-013000", id("2024-11-03T01:29:00-07:00"), "2024-11-03T01:30:00-07:00"},
		{"America/Denver", "20241103-013000", id("2024-11-03T01:31:30-06:00"), "2024-11-03T01:30:00-07:00"},
		{"Europe/Berlin", "20241027-023000", id("2024-10-27T02:29:00+02:00"), "2024-10-27T02:30:00+02:00"},
		{"Europe/Berlin", "20241027-023000", id("2024-10-27T02:29:00+01:00"), "2024-10-27T02:30:00+01:00"},
		{"Europe/Berlin", "20241027-023000", id("2024-10-27T02:40:00+02:00"), "2024-10-27T02:30:00+01:00"},
		{"Europe/Berlin", "20241027-013000", id("2024-10-27T01:29:00+02:00"), "2024-10-27T01:30:00+02:00"},
		{"Europe/Berlin", "20241027-033000", id("2024-10-27T03:29:00+01:00"), "2024-10-27T03:30:00+01:00"},
		// Southern hemisphere: 02:30 in Sydney on 7 April.
		{"Australia/Sydney", "20240407-023000", id("2024-04-07T02:29:00+11:00"), "2024-04-07T02:30:00+11:00"},
		{"Australia/Sydney", "20240407-023000", id("2024-04-07T02:29:00+10:00"), "2024-04-07T02:30:00+10:00"},
		// An id from a different clock decides nothing.
		{"America/Denver", "20240712-134049", id("2030-01-01T00:00:00Z"), "2024-07-12T13:40:49-06:00"},
	} {
		var zone *time.Location
		if c.zone != "" {
			var err error
			if zone, err = time.LoadLocation(c.zone); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"in-1-2-" + c.local + cmp.Or(c.id, "-x"), c.local + c.id} {
			told := parseName(name, zone)
			if got, want := told.recording().StartTime, at(c.want); got != want {
				t.Errorf("%s in %q starts at %s, want %s", name, c.zone, time.UnixMilli(got).In(time.UTC), time.UnixMilli(want).In(time.UTC))
			}
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, name := range []string{
		"in-7035559310-13855554334-20240212-134049-1707770440.12", "20241103-013000-253-17035559310-1730619000.1",
		"1707770449.12", "q--", "00000000-000000", "\xff-20240212-134049-x",
	} {
		f.Add(name, "America/Denver")
		f.Add(name, "")
	}
	f.Fuzz(func(t *testing.T, name, zoneName string) {
		zone, err := time.LoadLocation(zoneName)
		if err != nil || zoneName == "" {
			zone = nil
		}
		told := parseName(name, zone)
		r := told.recording()
		if r.StartTime < 0 || r.StartTime > callvault.MaxTime {
			t.Errorf("%q starts at %d", name, r.StartTime)
		}
		for _, text := range []string{r.CallingParty, r.ReceivingParty, r.Agent, r.Skill} {
			if !strings.Contains(name, text) {
				t.Errorf("%q tells of %q", name, text)
			}
		}
	})
}

// TestStartsInTables: Unix milliseconds, ISO 8601, and local time if the zone is known;
// if not, the error says how to set it.
func TestStartsInTables(t *testing.T) {
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{
		"1707770449131": 1707770449131, "2024-02-12T13:40:49.131-07:00": 1707770449131, "2024-02-12 20:40:49Z": 1707770449000,
		"2024-02-12 13:40:49 -0700": 1707770449000, "2024-02-12 22:40:49 +02:00": 1707770449000, "20240212T204049Z": 1707770449000,
		"2024-02-12T13:40:49": 1707770449000, "2024-02-12 13:40:49.131": 1707770449131, "2024-02-12 13:40": 1707770400000,
		"20240212T134049": 1707770449000, "2024-07-12 13:40:49": 1720813249000,
	} {
		var r callvault.Recording
		if err := readRow(map[string]string{"startTime": text}, denver, &r); err != nil || r.StartTime != want {
			t.Errorf("%q: %d, %v, want %d", text, r.StartTime, err, want)
		}
	}
	for text, says := range map[string]string{
		"2024-02-12 13:40:49": "set --time-zone", "2024-02-30T13:40:49Z": "no such day", "1.70777E+12": "startTime", "02/12/2024 1:40 PM": "startTime",
	} {
		var r callvault.Recording
		err := readRow(map[string]string{"startTime": text}, nil, &r)
		if err == nil || !strings.Contains(err.Error(), says) || !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("\ufefffile,recordingKey,startTime,duration\na.wav,k,2024-02-12T00:00:00Z,5\n"))
	f.Add([]byte("\"FILE\";x\n"))
	f.Add([]byte("file,agent\na.wav,Ann\na.wav,Bob\n"))
	f.Add([]byte(`{"file":"a.wav","startTime":5,"agent":"x"}` + "\n" + `{"recordingKey":["k"],"duration":null}`))
	f.Add([]byte("recordingKey,recordingkey, STATUS\n../../x,y,PENDING\n\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scan{rows: map[string]map[string]string{}, conflicts: map[string]string{}}
		_ = s.readRows("in", bufio.NewReader(bytes.NewReader(text)))
		_ = s.readLines("in", bytes.NewReader(text))
		for path, row := range s.rows {
			if path != filepath.Clean(path) {
				t.Errorf("a row of %q", path)
			}
			var r callvault.Recording
			if err := readRow(row, time.UTC, &r); err != nil && !utf8.ValidString(err.Error()) {
				t.Errorf("%q", err)
			}
			_ = r.Validate()
		}
	})
}
