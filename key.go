package callvault

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeyBytes is the maximum length of a key or tenant name, in bytes.
const MaxKeyBytes = 255

// CheckKey returns an error if a recording key, call key or tenant name cannot be
// stored and used in a URL: it must be 1 to 255 bytes of UTF-8 without "/" and
// control characters. Otherwise keys are opaque: those in the API guide are not
// valid UUIDs. The error calls the key what and wraps InvalidParameter.
func CheckKey(what, key string) error {
	why := ""
	switch {
	case key == "":
		why = "is empty"
	case len(key) > MaxKeyBytes:
		why = fmt.Sprintf("has %d bytes; at most %d are allowed", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		why = "is not valid UTF-8"
	case strings.ContainsRune(key, '/'):
		why = "holds a slash"
	case strings.ContainsFunc(key, unicode.IsControl):
		why = "holds a control character"
	default:
		return nil
	}
	return fmt.Errorf("the %s %s: %w", what, why, InvalidParameter)
}

// NewRecordingKey returns a new key for a recording that starts at startMs (Unix
// milliseconds): {uuid}-{startMs}.
func NewRecordingKey(startMs int64) string {
	return newUUID() + "-" + strconv.FormatInt(startMs, 10)
}

// NewCallKey returns a new key for a call: {uuid}-{startMs}-{endMs}.
func NewCallKey(call Span) string {
	return newUUID() + "-" + strconv.FormatInt(call.From, 10) + "-" + strconv.FormatInt(call.To, 10)
}

// SplitCallKey splits a call key into the call's identifier and its start and end.
// For a key of any other form, id is the whole key and ok is false.
func SplitCallKey(key string) (id string, call Span, ok bool) {
	rest, end, ok := cutNumber(key)
	if !ok {
		return key, Span{}, false
	}
	id, start, ok := cutNumber(rest)
	if !ok || start > end {
		return key, Span{}, false
	}
	return id, Span{From: start, To: end}, true
}

// cutNumber cuts the decimal number after the last "-" from what comes before it.
func cutNumber(key string) (rest string, n int64, ok bool) {
	at := strings.LastIndexByte(key, '-')
	if at <= 0 || !allDigits(key[at+1:]) {
		return "", 0, false
	}
	n, err := strconv.ParseInt(key[at+1:], 10, 64)
	return key[:at], n, err == nil && n <= MaxTime
}

// newUUID returns a random UUID (RFC 9562 5.4, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
