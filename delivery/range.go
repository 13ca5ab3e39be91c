package delivery

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fitRange makes the Range of a request what http.ServeContent answers as RFC
// 9110 14 asks: one on a HEAD or of an unknown unit is ignored; the last 0 bytes
// cannot be had, alone or among others; a number too large to hold is a large
// number; and what is no range does not pass for one.
func fitRange(r *http.Request, size int64) {
	given := r.Header.Get("Range")
	if given == "" {
		return
	}
	unit, set, _ := strings.Cut(given, "=")
	if r.Method == http.MethodHead || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		r.Header.Del("Range")
		return
	}
	var fitting []string
	none := true
	for part := range strings.SplitSeq(set, ",") {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue // RFC 9110 5.6.1.2
		}
		none = false
		fit, ok := fitPart(part)
		if !ok {
			r.Header.Set("Range", unreadableRange)
			return
		}
		if fit != "-0" {
			fitting = append(fitting, fit)
		}
	}
	switch {
	case none:
		r.Header.Set("Range", unreadableRange)
	case fitting == nil:
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", size))
	default:
		r.Header.Set("Range", "bytes="+strings.Join(fitting, ","))
	}
}

// unreadableRange is one that http.ServeContent refuses as no range at all.
const unreadableRange = "bytes=?"

// fitPart writes one range of a Range, first-last, first- or -suffix, in numbers
// that fit into an int64. ok is false when it is none.
func fitPart(part string) (fit string, ok bool) {
	first, last, found := strings.Cut(part, "-")
	if !found || first == "" && last == "" {
		return "", false
	}
	for _, number := range []*string{&first, &last} {
		if strings.Trim(*number, "0123456789") != "" {
			return "", false
		}
		if *number != "" {
			n, _ := strconv.ParseInt(*number, 10, 64) // the largest there is for what is out of range
			*number = strconv.FormatInt(n, 10)
		}
	}
	return first + "-" + last, true
}

// joinConditions makes one line of each condition that may be spread over many
// (RFC 9110 5.3): http.ServeContent reads the first.
func joinConditions(header http.Header) {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if lines := header[name]; len(lines) > 1 {
			header.Set(name, strings.Join(lines, ", "))
		}
	}
}
