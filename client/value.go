package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errNotJSON = errors.New("it is not valid JSON")

// fields calls do with each field of the JSON object b, and returns do's first error
// after all fields were read. If b is not valid, it returns errNotJSON instead.
func fields(b []byte, do func(name, value []byte) error) (first error) {
	at := skipSpace(b, 1)
	for !hasByte(b, at, '}') {
		name, begin := fieldBounds(b, at)
		end := skipValue(b, begin, 1)
		if end < 0 {
			return errNotJSON
		}
		if err := do(fieldName(b[at:name]), b[begin:end:end]); err != nil && first == nil {
			first = err
		}
		at = skipSpace(b, end)
		if hasByte(b, at, ',') {
			at = skipSpace(b, at+1)
			if !hasByte(b, at, '"') {
				return errNotJSON
			}
		} else if !hasByte(b, at, '}') {
			return errNotJSON
		}
	}
	if at+1 != len(b) {
		return errNotJSON
	}
	return first
}

// fieldName returns a name without its quotes and escapes.
func fieldName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	name, _ := unquote(quoted)
	return []byte(name)
}

// elements calls do with each element of a JSON array that is known to be valid.
func elements(b []byte, do func(value []byte)) {
	for at := skipSpace(b, 1); !hasByte(b, at, ']'); {
		end := skipValue(b, at, 1)
		if end < 0 {
			return
		}
		do(b[at:end:end])
		if at = skipSpace(b, end); hasByte(b, at, ',') {
			at = skipSpace(b, at+1)
		}
	}
}

// unquote reads a JSON string.
func unquote(value []byte) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(value, &text)
	return text, err == nil
}

// readText reads a string; null is "".
func readText(field *string, value []byte) error {
	if value[0] == 'n' {
		*field = ""
		return nil
	}
	if value[0] != '"' {
		return fmt.Errorf("is %s, not a string", excerpt(value))
	}
	inside := value[1 : len(value)-1]
	if bytes.IndexByte(inside, '\\') >= 0 {
		*field, _ = unquote(value)
		return nil
	}
	*field = string(inside)
	return nil
}

// readArray reads an array of any values; null is an empty one.
func readArray(value []byte) ([]json.RawMessage, error) {
	switch value[0] {
	case 'n':
		return nil, nil
	case '[':
	default:
		return nil, fmt.Errorf("is %s, not an array", excerpt(value))
	}
	list := []json.RawMessage{}
	elements(value, func(element []byte) { list = append(list, element) })
	return list, nil
}

var errNotWhole = errors.New("not a whole number")

// readInteger reads an integer in any form that servers send: with an exponent, with a
// fraction of zeros, or in a string; null is 0.
func readInteger(value []byte) (int64, error) {
	digits := value
	switch value[0] {
	case 'n':
		return 0, nil
	case '"':
		digits = value[1 : len(value)-1]
	}
	n, ok := exactInteger(digits)
	if !ok {
		return 0, fmt.Errorf("is %s, %w", excerpt(value), errNotWhole)
	}
	return n, nil
}

// exactInteger reads a JSON number (RFC 8259 6), if it is whole and fits an int64.
func exactInteger(b []byte) (int64, bool) {
	if n, ok := shortInteger(b); ok {
		return n, true
	}
	if len(b) == 0 || skipNumber(b, 0) != len(b) {
		return 0, false
	}
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(string(b)), "e")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil || exponent > 1000 || exponent < -1000 {
			return 0, false
		}
	}
	sign, mantissa := cutSign(mantissa)
	before, behind, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(before+behind, "0")
	exponent -= len(behind)
	if trimmed := strings.TrimRight(digits, "0"); trimmed != "" {
		exponent += len(digits) - len(trimmed)
		digits = trimmed
	} else {
		return 0, true
	}
	if exponent < 0 || len(digits)+exponent > 19 {
		return 0, false
	}
	n, err := strconv.ParseInt(sign+digits+strings.Repeat("0", exponent), 10, 64)
	return n, err == nil
}

func cutSign(number string) (sign, rest string) {
	if rest, negative := strings.CutPrefix(number, "-"); negative {
		return "-", rest
	}
	return "", number
}

// shortInteger reads a number of nothing but digits, few enough to fit an int64.
func shortInteger(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
