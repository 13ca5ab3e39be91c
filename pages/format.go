package pages

import (
	"fmt"
	"html/template"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"callvault"
)

// functions returns what templates can call. Times and numbers are written in a form
// that nobody can misread; app.js then rewrites them for the reader's locale.
func (p *Pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset":        p.assets.path,
		"here":         here,
		"moment":       moment,
		"day":          day,
		"clock":        clock,
		"length":       length,
		"number":       number,
		"bytes":        func(v reflect.Value) template.HTML { return byteCount(reflect.Indirect(v).Int()) },
		"join":         func(words []string) string { return strings.Join(words, ", ") },
		"may":          func(v *Visitor, capability string) bool { return v != nil && v.May(callvault.Capability(capability)) },
		"seesWhole":    seesWhole,
		"shorten":      shorten,
		"egressLimit":  egressLimit,
		"capabilities": capabilities,
		"meaning":      meaning,
		"narrowed":     narrowed,
		"path":         func(name any) string { return pathName(fmt.Sprint(name)) },
		"dict":         dict,
		"isoMilli":     func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") },
		"state":        stateBadge,
		"weekdays":     func() []string { return weekdays },
		"recompute":    recompute,
	}
}

// zones caches time zones by name: loading one reads a file, and every time that is
// written needs one.
var zones sync.Map

// zoneOf returns the time zone of an IANA name, or UTC for "" and for a name that this
// machine does not know.
func zoneOf(name string) *time.Location {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC // not cached: there is no end to such names
	}
	zones.Store(name, zone)
	return zone
}

// moment writes Unix milliseconds as a <time> in a time zone, which it names; 0 becomes
// a dash.
func moment(ms int64, zone string) template.HTML {
	return timeElement(ms, zone, "momentIn", "2006-01-02 15:04:05 MST")
}

// here writes Unix milliseconds that belong to no tenant, in UTC; app.js rewrites them
// in the reader's own time zone. 0 becomes a dash.
func here(ms int64) template.HTML {
	if ms == 0 {
		return "–"
	}
	at := time.UnixMilli(ms).UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="moment">%s</time>`,
		at.Format("2006-01-02T15:04:05.000Z07:00"), at.Format("2006-01-02 15:04:05 MST")))
}

// day writes the day of Unix milliseconds in a time zone.
func day(ms int64, zone string) template.HTML {
	return timeElement(ms, zone, "day", "2006-01-02")
}

// clock writes the time of day of Unix milliseconds in a time zone.
func clock(ms int64, zone string) template.HTML {
	return timeElement(ms, zone, "clock", "15:04:05")
}

func timeElement(ms int64, zone, form, layout string) template.HTML {
	if ms == 0 {
		return "–"
	}
	at := time.UnixMilli(ms).In(zoneOf(zone))
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s" data-zone="%s">%s</time>`,
		at.Format("2006-01-02T15:04:05.000Z07:00"), form, template.HTMLEscapeString(zoneOf(zone).String()), at.Format(layout)))
}

// length writes milliseconds as a length such as 1:23 or 1:02:03.
func length(ms int64) template.HTML {
	seconds := (ms + 500) / 1000
	text := fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	if seconds >= 3600 {
		text = fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return template.HTML(fmt.Sprintf(`<time datetime="PT%dS">%s</time>`, seconds, text))
}

// number writes an integer of any type, or a pointer to one, with narrow spaces between
// groups of three digits. It takes any type, as bytes does, so that no template fails
// because of a type.
func number(v reflect.Value) template.HTML {
	n := reflect.Indirect(v).Int()
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "\u202f" + text[at:]
	}
	return template.HTML(fmt.Sprintf(`<data value="%d" data-form="number">%s</data>`, n, text))
}

// byteCount writes a number of bytes.
func byteCount(n int64) template.HTML {
	return template.HTML(fmt.Sprintf(`<data value="%d" data-form="bytes">%s</data>`, n, byteText(n)))
}

// byteText returns a number of bytes as plain text.
func byteText(n int64) string {
	value, unit := float64(n), 0
	for value >= 1000 && unit < 5 {
		value, unit = value/1000, unit+1
	}
	text := strconv.FormatFloat(value, 'f', 1, 64)
	if unit == 0 {
		text = strconv.FormatInt(n, 10)
	}
	return text + " " + []string{"B", "kB", "MB", "GB", "TB", "PB"}[unit]
}

// shorten cuts a text to that many characters and marks the cut with "…".
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}

// dict makes a map of names and values, for a template to hand to another.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict has %d arguments, which are not pairs", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m, nil
}

// egressLimit writes a tenant's egress limit.
func egressLimit(t callvault.Tenant) template.HTML {
	if limit, limited := t.EgressLimit(); limited {
		return byteCount(limit)
	}
	return "none"
}

// meaning says in words what a capability allows.
func meaning(capability callvault.Capability) string {
	switch capability {
	case callvault.Listen:
		return "find and hear calls"
	case callvault.Download:
		return "download audio"
	case callvault.Read:
		return "read: lists and audio"
	case callvault.Write:
		return "write: take recordings in"
	case callvault.Admin:
		return "administer everything"
	}
	return string(capability)
}

func capabilities(list []callvault.Capability) string {
	var words []string
	for _, capability := range list {
		words = append(words, string(capability))
	}
	return strings.Join(words, ", ")
}

// narrowed lists the agents and skills to which a grant is narrowed.
func narrowed(g callvault.Grant) string {
	if len(g.Agents)+len(g.Skills) == 0 {
		return "–"
	}
	return strings.Join(append(append([]string{}, g.Agents...), g.Skills...), ", ")
}
