package callvault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is a half-open range of time: it includes From but not To. Both are Unix
// milliseconds.
type Span struct {
	From, To int64
}

// Contains reports whether the instant ms is in the span.
func (s Span) Contains(ms int64) bool { return s.From <= ms && ms < s.To }

// Empty reports whether no instant is in the span.
func (s Span) Empty() bool { return s.From >= s.To }

// ParseTime parses an ISO 8601 date and time as clients actually send it and
// returns Unix milliseconds. It takes the extended and the basic form, seconds and
// fraction optional, a comma as the decimal point, "t" for "T", "z" for "Z", the
// offsets ±hh:mm, ±hhmm and ±hh, and surrounding white space. A space before a
// trailing hh:mm is taken for a "+" that the client forgot to encode. Digits finer
// than a millisecond are dropped. The error, a sentence for the client, wraps
// InvalidParameter.
func ParseTime(s string) (int64, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return 0, badTime(s, "it is empty")
	}
	at := strings.IndexAny(text, "Tt")
	if at < 0 {
		return 0, badTime(s, "it has no T between the date and the time of day")
	}
	year, month, day, ok := parseDate(text[:at])
	if !ok {
		return 0, badTime(s, "its date is not YYYY-MM-DD or YYYYMMDD")
	}
	clock, offset, why := splitOffset(text[at+1:])
	if why != "" {
		return 0, badTime(s, why)
	}
	sinceMidnight, why := parseClock(clock)
	if why != "" {
		return 0, badTime(s, why)
	}
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if midnight.Day() != day || int(midnight.Month()) != month {
		return 0, badTime(s, "there is no such day")
	}
	return midnight.UnixMilli() + (sinceMidnight - offset).Milliseconds(), nil
}

func badTime(s, why string) error {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Errorf("the time %q is not valid: %s; send ISO 8601 with an offset, such as 2022-09-10T23:59:59.000-06:00: %w",
		s, why, InvalidParameter)
}

func parseDate(s string) (year, month, day int, ok bool) {
	if len(s) == 10 && s[4] == '-' && s[7] == '-' {
		s = s[:4] + s[5:7] + s[8:]
	}
	if len(s) != 8 || !allDigits(s) {
		return 0, 0, 0, false
	}
	year, month, day = number(s[:4]), number(s[4:6]), number(s[6:])
	return year, month, day, 1 <= month && month <= 12 && 1 <= day
}

// splitOffset splits the time of day from its offset from UTC. why says what is
// wrong; it is empty if nothing is.
func splitOffset(s string) (clock string, offset time.Duration, why string) {
	if strings.HasSuffix(s, "Z") || strings.HasSuffix(s, "z") {
		return s[:len(s)-1], 0, ""
	}
	at := strings.LastIndexAny(s, "+-")
	if at < 0 && len(s) > 6 && s[len(s)-6] == ' ' && s[len(s)-3] == ':' {
		at = len(s) - 6
	}
	if at < 0 {
		return "", 0, "it has no offset from UTC (Z, or ±hh:mm; write + as %2B in a URL)"
	}
	digits := s[at+1:]
	if len(digits) == 5 && digits[2] == ':' {
		digits = digits[:2] + digits[3:]
	}
	if (len(digits) != 2 && len(digits) != 4) || !allDigits(digits) {
		return "", 0, "its offset is not Z, ±hh:mm, ±hhmm or ±hh"
	}
	hours, minutes := number(digits[:2]), 0
	if len(digits) == 4 {
		minutes = number(digits[2:])
	}
	if hours > 23 || minutes > 59 {
		return "", 0, "its offset is more than 23:59"
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[at] == '-' {
		offset = -offset
	}
	return s[:at], offset, ""
}

// parseClock parses hh:mm[:ss[.fff]] or hhmm[ss[.fff]].
func parseClock(s string) (sinceMidnight time.Duration, why string) {
	const form = "its time of day is not hh:mm, hh:mm:ss or hh:mm:ss.fff"
	whole, fraction := s, ""
	if at := strings.IndexAny(s, ".,"); at >= 0 {
		whole, fraction = s[:at], s[at+1:]
		if fraction == "" || !allDigits(fraction) {
			return 0, form
		}
	}
	switch {
	case len(whole) == 8 && whole[2] == ':' && whole[5] == ':':
		whole = whole[:2] + whole[3:5] + whole[6:]
	case len(whole) == 5 && whole[2] == ':':
		whole = whole[:2] + whole[3:]
	}
	if !allDigits(whole) || (len(whole) != 6 && (len(whole) != 4 || fraction != "")) {
		return 0, form
	}
	hours, minutes, seconds := number(whole[:2]), number(whole[2:4]), 0
	if len(whole) == 6 {
		seconds = number(whole[4:])
	}
	if hours > 23 || minutes > 59 || seconds > 59 {
		return 0, "its time of day is outside 00:00:00 to 23:59:59"
	}
	millis := number((fraction + "000")[:3])
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute +
		time.Duration(seconds)*time.Second + time.Duration(millis)*time.Millisecond, ""
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// number converts a few characters that are known to be decimal digits.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}
