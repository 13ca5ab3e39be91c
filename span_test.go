package callvault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callvault"
)

// guideTime is 2022-09-10T23:59:59.000-06:00, the API guide's own example.
const guideTime = 1662875999000

func TestParseTime(t *testing.T) {
	for text, want := range map[string]int64{
		"2022-09-10T23:59:59.000-06:00":  guideTime,
		"2022-09-10T23:59:59.000-06:00 ": guideTime,
		"\t 2022-09-10T23:59:59-06:00\n": guideTime,
		"2022-09-10T23:59:59-0600":       guideTime,
		"2022-09-10T23:59:59-06":         guideTime,
		"2022-09-11T05:59:59Z":           guideTime,
		"2022-09-11t05:59:59z":           guideTime,
		"20220911T055959Z":               guideTime,
		"20220911T055959.000Z":           guideTime,
		"2022-09-11T055959Z":             guideTime,
		"20220911T05:59:59Z":             guideTime,
		"2022-09-11T05:59:59-00:00":      guideTime,
		"2022-09-11T05:59:59+00":         guideTime,
		"2022-09-11T11:29:59+05:30":      guideTime,
		"2022-09-11T11:29:59 05:30":      guideTime,
		"20220911T112959 05:30":          guideTime,
		"2022-09-11T05:59Z":              guideTime - 59_000,
		"20220911T0559Z":                 guideTime - 59_000,
		"2022-09-11T11:29 05:30":         guideTime - 59_000,
		"2022-09-11T05:59:59.1Z":         guideTime + 100,
		"2022-09-11T05:59:59,12Z":        guideTime + 120,
		"2022-09-11T05:59:59.1239999Z":   guideTime + 123,
		"2022-09-11T05:59:59.000999Z":    guideTime,
		"1970-01-01T00:00:00Z":           0,
		"1969-12-31T23:59:59.999Z":       -1,
		"2024-02-29T00:00:00Z":           1709164800000,
		"9999-12-31T23:59:59.999Z":       callvault.MaxTime,
		"2022-09-10T23:59:59+23:59":      guideTime - 6*3600_000 - 23*3600_000 - 59*60_000,
	} {
		if got, err := callvault.ParseTime(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"": "empty", "   ": "empty", "now": "no T", "1662875999000": "no T", "2022-09-10": "no T", "2022-09-10 23:59:59Z": "no T",
		"T": "date", "T00:00Z": "date", "22-09-10T23:59:59Z": "date", "2022-9-10T23:59:59Z": "date", "2022-0910T23:59:59Z": "date",
		"2022-W36-6T00:00Z": "date", "+2022-09-10T00:00Z": "date", "2022-13-10T00:00Z": "date", "2022-00-10T00:00Z": "date",
		"2022-02-30T00:00Z": "no such day", "2023-02-29T00:00Z": "no such day", "2022-09-00T00:00Z": "date", "2022-09-31T00:00Z": "no such day",
		"2022-09-10T23:59:59": "offset", "2022-09-10T23:59:59.000": "offset", "2022-09-10T23:59:59 0600": "offset", "2022-09-10T23:59:59 06": "offset",
		"2022-09-10T23:59:59-6": "offset", "2022-09-10T23:59:59-06:0": "offset", "2022-09-10T23:59:59-06:00:00": "offset",
		"2022-09-10T23:59:59+24:00": "offset", "2022-09-10T23:59:59+00:60": "offset", "2022-09-10T23:59:59+": "offset", "2022-09-10T": "offset",
		"2022-09-10T24:00:00Z": "time of day", "2022-09-10T23:60:00Z": "time of day", "2022-09-10T23:59:60Z": "time of day",
		"2022-09-10T23Z": "time of day", "2022-09-10TZ": "time of day", "2022-09-10T23:59:59.Z": "time of day", "2022-09-10T23:59.5Z": "time of day",
		"2022-09-10T2359:59Z": "time of day", "2022-09-10T1:00:00Z": "time of day", "2022-09-10T23:59:59ZZ": "time of day",
		"2022-09-10T23:59:5９Z": "time of day", "２０２２-09-10T00:00Z": "date", strings.Repeat("9", 1<<20): "no T",
	} {
		got, err := callvault.ParseTime(text)
		if !errors.Is(err, callvault.InvalidParameter) || !strings.Contains(err.Error(), why) || len(err.Error()) > 400 {
			t.Errorf("%.80q: got %d, %.200v; want an error on its %s", text, got, err, why)
		}
	}
}

// FuzzParseTime compares ParseTime with package time, and parses what that writes.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2022-09-10T23:59:59.000-06:00 ", "20220911T0559Z", "2022-09-11t05:59:59,12z", "2022-09-11T11:29 05:30", "T", "24:00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := callvault.ParseTime(text)
		var parsed time.Time // whose UnmarshalText follows RFC 3339 strictly, unlike time.Parse
		if parsed.UnmarshalText([]byte(text)) == nil && (err != nil || got != parsed.UnixMilli()) {
			t.Errorf("%q: got %d, %v; package time says %v", text, got, err, parsed)
		}
		if err != nil {
			if !errors.Is(err, callvault.InvalidParameter) {
				t.Errorf("%q: %v is not InvalidParameter", text, err)
			}
			return
		}
		if at := time.UnixMilli(got).UTC(); at.Year() >= 0 && at.Year() <= 9999 {
			if again, err := callvault.ParseTime(at.Format("2006-01-02T15:04:05.000Z07:00")); err != nil || again != got {
				t.Errorf("%q is %d, written and read again %d, %v", text, got, again, err)
			}
		}
	})
}

func TestSpan(t *testing.T) {
	s := callvault.Span{From: 5, To: 7}
	for ms, want := range map[int64]bool{4: false, 5: true, 6: true, 7: false} {
		if s.Contains(ms) != want {
			t.Errorf("%d in %v: %t", ms, s, !want)
		}
	}
	if s.Empty() || !(callvault.Span{From: 7, To: 7}).Empty() || !(callvault.Span{From: 8, To: 7}).Empty() {
		t.Error("Empty is wrong")
	}
}
