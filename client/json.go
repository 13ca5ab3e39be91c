package client

import "bytes"

// maxDepth is how deeply arrays and objects may be nested, as in encoding/json.
const maxDepth = 10_000

// skipValue returns the index behind the JSON value (RFC 8259) at b[at:], or -1 if
// there is no valid one. It accepts what json.Valid accepts, several times as fast.
// The functions below do the same for each kind of value.
func skipValue(b []byte, at, depth int) int {
	if at < 0 || at >= len(b) || depth > maxDepth {
		return -1
	}
	switch c := b[at]; c {
	case '"':
		return skipString(b, at)
	case '{':
		return skipObject(b, at, depth)
	case '[':
		return skipArray(b, at, depth)
	case 't':
		return skipWord(b, at, "true")
	case 'f':
		return skipWord(b, at, "false")
	case 'n':
		return skipWord(b, at, "null")
	default:
		return skipNumber(b, at)
	}
}

func skipWord(b []byte, at int, word string) int {
	if !bytes.HasPrefix(b[at:], []byte(word)) {
		return -1
	}
	return at + len(word)
}

func skipString(b []byte, at int) int {
	for i := at + 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i < len(b) && b[i] == 'u' {
				if i+4 >= len(b) || !isHex(b[i+1:i+5]) {
					return -1
				}
				i += 4
			} else if i >= len(b) || bytes.IndexByte([]byte(`"\/bfnrt`), b[i]) < 0 {
				return -1
			}
		}
	}
	return -1
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func skipNumber(b []byte, at int) int {
	if b[at] == '-' {
		at++
	}
	first := at
	at = skipDigits(b, at)
	if at < 0 || b[first] == '0' && at > first+1 {
		return -1
	}
	if at < len(b) && b[at] == '.' {
		if at = skipDigits(b, at+1); at < 0 {
			return -1
		}
	}
	if at < len(b) && (b[at] == 'e' || b[at] == 'E') {
		if at++; at < len(b) && (b[at] == '+' || b[at] == '-') {
			at++
		}
		return skipDigits(b, at)
	}
	return at
}

// skipDigits skips one or more digits.
func skipDigits(b []byte, at int) int {
	first := at
	for at < len(b) && '0' <= b[at] && b[at] <= '9' {
		at++
	}
	if at == first {
		return -1
	}
	return at
}

func skipSpace(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\r' || b[at] == '\t') {
		at++
	}
	return at
}

// hasByte reports whether b[at] is c.
func hasByte(b []byte, at int, c byte) bool { return at >= 0 && at < len(b) && b[at] == c }

func skipArray(b []byte, at, depth int) int {
	at = skipSpace(b, at+1)
	if hasByte(b, at, ']') {
		return at + 1
	}
	for {
		if at = skipValue(b, at, depth+1); at < 0 {
			return -1
		}
		at = skipSpace(b, at)
		if hasByte(b, at, ']') {
			return at + 1
		}
		if !hasByte(b, at, ',') {
			return -1
		}
		at = skipSpace(b, at+1)
	}
}

func skipObject(b []byte, at, depth int) int {
	at = skipSpace(b, at+1)
	if hasByte(b, at, '}') {
		return at + 1
	}
	for {
		_, value := fieldBounds(b, at)
		if at = skipValue(b, value, depth+1); at < 0 {
			return -1
		}
		at = skipSpace(b, at)
		if hasByte(b, at, '}') {
			return at + 1
		}
		if !hasByte(b, at, ',') {
			return -1
		}
		at = skipSpace(b, at+1)
	}
}

// fieldBounds returns where the name of the field at b[at:] ends and where its value
// begins; value is -1 if there is no field.
func fieldBounds(b []byte, at int) (name, value int) {
	if !hasByte(b, at, '"') {
		return at, -1
	}
	if name = skipString(b, at); name < 0 {
		return at, -1
	}
	if value = skipSpace(b, name); !hasByte(b, value, ':') {
		return name, -1
	}
	return name, skipSpace(b, value+1)
}
