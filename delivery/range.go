package delivery

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fitRange rewrites the Range of a request so that http.ServeContent answers it as RFC
// 9110 14 requires. It removes a Range on a HEAD or with an unknown unit. A suffix of 0
// bytes is never satisfiable, neither alone nor among other ranges. Numbers too large
// for an int64 become the largest one. A malformed Range becomes one that
// http.ServeContent refuses.
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
	empty := true
	for part := range strings.SplitSeq(set, ",") {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue // RFC 9110 5.6.1.2
		}
		empty = false
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
	case empty:
		r.Header.Set("Range", unreadableRange)
	case fitting == nil:
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", size))
	default:
		r.Header.Set("Range", "bytes="+strings.Join(fitting, ","))
	}
}

// unreadableRange is a Range that http.ServeContent refuses as malformed.
const unreadableRange = "bytes=?"

// fitPart returns one range of a Range, first-last, first- or -suffix, with numbers
// that fit into an int64. ok is false if it is malformed.
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
			n, _ := strconv.ParseInt(*number, 10, 64) // the largest int64 if it is out of range
			*number = strconv.FormatInt(n, 10)
		}
	}
	return first + "-" + last, true
}

// joinConditions joins the lines of each condition that may have several (RFC 9110
// 5.3), since http.ServeContent reads only the first.
func joinConditions(header http.Header) {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if lines := header[name]; len(lines) > 1 {
			header.Set(name, strings.Join(lines, ", "))
		}
	}
}
